//! The views of what is left of a quota.

use apikey_core::{KeyId, KeyInfo, Quota, QuotaStatus};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::key_view::{self, left};
use super::table::{self, Cell};
use super::width;
use crate::time::both;

/// A key's quota and what is left of it, as JSON. All but the key is `null` if the key has no quota.
#[derive(Debug, Serialize)]
pub(crate) struct QuotaView {
    key: KeyId,
    quota: Option<Quota>,
    used: Option<u64>,
    remaining: Option<u64>,
    resets_at: Option<DateTime<Utc>>,
}

impl QuotaView {
    pub(crate) fn new(key: &KeyInfo, status: Option<&QuotaStatus>) -> Self {
        Self {
            key: key.id(),
            // That of which the fewest uses are left may be one that the key shares.
            quota: status.map(QuotaStatus::quota).or(key.quota()),
            used: status.map(QuotaStatus::used),
            remaining: status.map(QuotaStatus::remaining),
            resets_at: status.and_then(QuotaStatus::resets_at),
        }
    }
}

/// What a key has left, as lines.
pub(crate) fn block(key: &KeyInfo, status: Option<&QuotaStatus>, now: DateTime<Utc>) -> String {
    rows_of(vec![("key", key_view::line(key).into())], status, key.quota(), now)
}

fn rows_of(
    mut rows: Vec<(&str, Cell)>,
    status: Option<&QuotaStatus>,
    held: Option<Quota>,
    now: DateTime<Utc>,
) -> String {
    match status {
        Some(status) => rows.extend([
            ("quota", status.quota().to_string().into()),
            ("used", status.used().to_string().into()),
            ("left", status.remaining().to_string().into()),
            ("resets", status.resets_at().map_or_else(|| "never".to_owned(), |end| both(end, now)).into()),
        ]),
        None => rows.push(("quota", held.map_or_else(|| "none".to_owned(), |quota| quota.to_string()).into())),
    }
    let rows: Vec<Vec<Cell>> = rows.into_iter().map(|(label, value)| vec![table::title(label), value]).collect();
    table::block(&rows, width::terminal())
}

/// All keys of a tenant, or of an owner, of a tenant or of none.
#[derive(Debug)]
pub(crate) struct Sharing {
    pub(crate) tenant: Option<String>,
    pub(crate) owner: Option<String>,
}

impl Sharing {
    fn row(&self) -> (&'static str, String) {
        match &self.owner {
            Some(owner) => ("owner", named(owner, self.tenant.as_deref())),
            None => ("tenant", self.tenant.clone().unwrap_or_default()),
        }
    }
}

/// `alice`, or `alice of acme`.
pub(crate) fn named(owner: &str, tenant: Option<&str>) -> String {
    let tenant = tenant.map(|tenant| format!(" of {tenant}")).unwrap_or_default();
    format!("{owner}{tenant}")
}

/// A quota that keys share and what is left of it, as JSON. All but the names is `null` if they share none.
#[derive(Debug, Serialize)]
pub(crate) struct SharedView<'a> {
    tenant: Option<&'a str>,
    owner: Option<&'a str>,
    quota: Option<Quota>,
    used: Option<u64>,
    remaining: Option<u64>,
    resets_at: Option<DateTime<Utc>>,
}

impl<'a> SharedView<'a> {
    pub(crate) fn new(of: &'a Sharing, status: Option<&QuotaStatus>) -> Self {
        Self {
            tenant: of.tenant.as_deref(),
            owner: of.owner.as_deref(),
            quota: status.map(QuotaStatus::quota),
            used: status.map(QuotaStatus::used),
            remaining: status.map(QuotaStatus::remaining),
            resets_at: status.and_then(QuotaStatus::resets_at),
        }
    }
}

/// What keys have left of the quota that they share, as lines.
pub(crate) fn shared_block(of: &Sharing, status: Option<&QuotaStatus>, now: DateTime<Utc>) -> String {
    let (label, name) = of.row();
    rows_of(vec![(label, table::one_line(&name).into())], status, None, now)
}

/// The same in one line.
pub(crate) fn shared_line(of: &Sharing, status: Option<&QuotaStatus>, now: DateTime<Utc>) -> String {
    let left = status.map_or_else(|| "none".to_owned(), |status| left(status, now));
    table::one_line(&format!("put {} ({left})", of.row().1))
}
