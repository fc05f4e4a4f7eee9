//! The views of what a key has left of its quota.

use apikey_core::{KeyId, KeyInfo, Quota, QuotaStatus};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::key_view;
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
            quota: key.quota(),
            used: status.map(QuotaStatus::used),
            remaining: status.map(QuotaStatus::remaining),
            resets_at: status.and_then(QuotaStatus::resets_at),
        }
    }
}

/// What a key has left, as lines.
pub(crate) fn block(key: &KeyInfo, status: Option<&QuotaStatus>, now: DateTime<Utc>) -> String {
    let mut rows: Vec<(&str, Cell)> = vec![("key", key_view::line(key).into())];
    match status {
        Some(status) => rows.extend([
            ("quota", status.quota().to_string().into()),
            ("used", status.used().to_string().into()),
            ("left", status.remaining().to_string().into()),
            ("resets", status.resets_at().map_or_else(|| "never".to_owned(), |end| both(end, now)).into()),
        ]),
        None => rows.push(("quota", key.quota().map_or_else(|| "none".to_owned(), |quota| quota.to_string()).into())),
    }
    let rows: Vec<Vec<Cell>> = rows.into_iter().map(|(label, value)| vec![table::title(label), value]).collect();
    table::block(&rows, width::terminal())
}
