//! The views of a key: a row of a table, a block of lines, a JSON object.

use apikey_core::admin::Changed;
use apikey_core::{KeyInfo, Limit, Overlap, OverlapEnd, QuotaStatus};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::table::{self, Cell};
use super::width;
use crate::time::{self, both};

/// The characters of the id in a token, after its prefix.
const ID_CHARS: usize = 22;

/// A key after a request, and whether the request changed it.
#[derive(Debug, Serialize)]
pub(crate) struct ChangedView<'a> {
    changed: bool,
    #[serde(flatten)]
    key: &'a KeyInfo,
}

impl<'a> ChangedView<'a> {
    pub(crate) fn new(of: &'a Changed) -> Self {
        Self { changed: of.changed, key: &of.key }
    }
}

/// One line: the id, the owner, the tenant and the name.
pub(crate) fn line(info: &KeyInfo) -> String {
    let name = info.name().map(|name| format!(", {name}")).unwrap_or_default();
    let tenant = info.tenant().map(|tenant| format!(" of {tenant}")).unwrap_or_default();
    table::one_line(&format!("{} ({}{tenant}{name})", info.id(), info.owner()))
}

/// All of a key and what it has left of its quota, within the width of the terminal.
pub(crate) fn block(key: &KeyInfo, quota: Option<&QuotaStatus>, now: DateTime<Utc>) -> String {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    let mut row = |label: &str, value: Cell| rows.push(vec![table::title(label), value]);
    row("id", key.id().to_string().into());
    row("owner", key.owner().into());
    if let Some(tenant) = key.tenant() {
        row("tenant", tenant.into());
    }
    row("name", key.name().unwrap_or("-").into());
    row("state", table::state(key.state(now)));
    row("hint", hint(key).into());
    if key.keeps_prefix() {
        row("prefix", format!("{}, also after a rotation", key.prefix().unwrap_or("-")).into());
    }
    row("permissions", grants(key.permissions()).into());
    if !key.roles().is_empty() {
        row("roles", key.roles().join(" ").into());
    }
    row("created", both(key.created_at(), now).into());
    if let Some(start) = key.not_before() {
        row("valid from", both(start, now).into());
    }
    row("expires", key.expires_at().map_or_else(|| "never".into(), |end| both(end, now)).into());
    if let Some((end, span)) = key.idle_at().zip(key.idle_after()) {
        row("idle", format!("{}, after {} without use", both(end, now), time::length(span)).into());
    }
    if let Some(limit) = key.limit() {
        row("limit", rate(limit).into());
    }
    // What is left may be of a quota that the keys of its owner or its tenant share.
    let own = quota.filter(|status| key.quota() == Some(status.quota()));
    if let Some(held) = key.quota() {
        row("quota", own.map_or_else(|| held.to_string(), |status| left(status, now)).into());
    }
    if let Some(shared) = quota.filter(|_| own.is_none()) {
        row("shared quota", left(shared, now).into());
    }
    if !key.networks().is_empty() {
        row("networks", key.networks().join(" ").into());
    }
    if let Some(revoked) = key.revoked() {
        row("revoked", both(revoked.at(), now).into());
        row("reason", if revoked.reason().is_empty() { "-" } else { revoked.reason() }.into());
    }
    row("last used", key.last_used_at().map_or_else(|| "never".into(), |used| both(used, now)).into());
    if key.uses_total() > 0 {
        row("uses", key.uses_total().to_string().into());
    }
    let secret = match (key.has_secret(), key.secret_until()) {
        (false, _) => "none: the key works once it is rotated".to_owned(),
        (true, None) => format!("number {}", key.version()),
        (true, Some(end)) => format!("valid until {}, with no successor: rotate the key", both(end, now)),
    };
    row("secret", secret.into());
    if let Some(end) = key.secret_expires_at() {
        row(
            "secret ends",
            format!("{}, by the store's longest lifetime: rotate the key before then", both(end, now)).into(),
        );
    }
    match key.overlap() {
        Some(OverlapEnd::At(end)) => row("old secret", format!("valid until {}", both(end, now)).into()),
        Some(OverlapEnd::FirstUse) => row("old secret", "valid until the new one is used".into()),
        None => {}
    }
    if let Some(rotation) = key.rotation() {
        let overlap = match rotation.policy().overlap_span() {
            Overlap::For(span) => format!("the old secret stays valid for {}", time::length(span)),
            _ => "the old secret stays valid until the new one is used".to_owned(),
        };
        let every = time::length(rotation.policy().interval());
        row("rotates", format!("every {every}, due {}; {overlap}", both(rotation.due(), now)).into());
        if let Some(pending) = rotation.pending() {
            row("new secret", format!("number {pending}, valid, not delivered yet").into());
        }
    }
    for (name, value) in key.labels() {
        row(&format!("label {name}"), value.as_str().into());
    }
    for (name, value) in key.metadata() {
        row(&format!("metadata {name}"), value.as_str().into());
    }
    table::block(&rows, width::terminal())
}

/// The hint, and its position in the token that a customer has: before the secret, and not at the token's end.
fn hint(key: &KeyInfo) -> String {
    let hint = key.hint();
    match hint.rsplit_once('_') {
        Some((prefix, _)) if prefix != "imported" => {
            let last = prefix.len() + 1 + ID_CHARS;
            format!("{hint} (characters {} to {last} of its token)", last - 3)
        }
        _ => hint.to_owned(),
    }
}

/// A rate limit: `100 in 1 minute`.
pub(super) fn rate(limit: Limit) -> String {
    format!("{} in {}", limit.count(), time::length(limit.per()))
}

/// A quota: `10000 a day, 9993 left until 2026-12-02T00:00:00Z (in 18 hours)`.
pub(super) fn left(status: &QuotaStatus, now: DateTime<Utc>) -> String {
    let until = status.resets_at().map(|end| format!(" until {}", both(end, now))).unwrap_or_default();
    format!("{}, {} left{until}", status.quota(), status.remaining())
}

pub(super) fn grants(grants: &[String]) -> String {
    if grants.is_empty() { "-".to_owned() } else { grants.join(" ") }
}
