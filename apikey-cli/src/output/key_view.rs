//! How a key is shown: a row of a table, a block of lines, a JSON object.

use apikey_core::admin::Changed;
use apikey_core::{KeyInfo, KeyState, Overlap, OverlapEnd};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::table::{self, Cell};
use crate::time::{self, both, relative};

/// The key's fields under the library's names, and its state.
#[derive(Debug, Serialize)]
pub(crate) struct KeyView<'a> {
    #[serde(flatten)]
    info: &'a KeyInfo,
    state: KeyState,
}

impl<'a> KeyView<'a> {
    pub(crate) fn new(info: &'a KeyInfo, now: DateTime<Utc>) -> Self {
        Self { info, state: info.state(now) }
    }
}

/// A key after a request, and whether the request changed it.
#[derive(Debug, Serialize)]
pub(crate) struct ChangedView<'a> {
    changed: bool,
    #[serde(flatten)]
    key: KeyView<'a>,
}

impl<'a> ChangedView<'a> {
    pub(crate) fn new(of: &'a Changed, now: DateTime<Utc>) -> Self {
        Self { changed: of.changed, key: KeyView::new(&of.key, now) }
    }
}

/// One line: the id, the owner and the name.
pub(crate) fn line(info: &KeyInfo) -> String {
    let name = info.name().map(|name| format!(", {name}")).unwrap_or_default();
    format!("{} ({}{name})", info.id(), info.owner())
}

pub(crate) fn table(keys: &[KeyInfo], now: DateTime<Utc>) -> String {
    let titles = ["ID", "OWNER", "NAME", "STATE", "CREATED", "EXPIRES", "PERMISSIONS"];
    let mut rows: Vec<Vec<Cell>> = vec![titles.into_iter().map(table::title).collect()];
    for key in keys {
        rows.push(vec![
            key.id().to_string().into(),
            key.owner().into(),
            key.name().unwrap_or("-").into(),
            table::state(key.state(now)),
            relative(key.created_at(), now).into(),
            key.expires_at().map_or_else(|| "never".into(), |end| relative(end, now)).into(),
            grants(key.permissions()).into(),
        ]);
    }
    table::aligned(&rows)
}

pub(crate) fn block(key: &KeyInfo, now: DateTime<Utc>) -> String {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    let mut row = |label: &str, value: Cell| rows.push(vec![table::title(label), value]);
    row("id", key.id().to_string().into());
    row("owner", key.owner().into());
    row("name", key.name().unwrap_or("-").into());
    row("state", table::state(key.state(now)));
    row("hint", key.hint().into());
    row("permissions", grants(key.permissions()).into());
    row("created", both(key.created_at(), now).into());
    if let Some(start) = key.not_before() {
        row("valid from", both(start, now).into());
    }
    row("expires", key.expires_at().map_or_else(|| "never".into(), |end| both(end, now)).into());
    if let Some(limit) = key.limit() {
        let seconds = limit.per().as_seconds_f64();
        row("limit", format!("{} in {seconds} s", limit.count()).into());
    }
    if !key.networks().is_empty() {
        row("networks", key.networks().join(" ").into());
    }
    if let Some(revoked) = key.revoked() {
        row("revoked", both(revoked.at(), now).into());
        row("reason", if revoked.reason().is_empty() { "-" } else { revoked.reason() }.into());
    }
    row("last used", key.last_used_at().map_or_else(|| "never".into(), |used| both(used, now)).into());
    let secret = match (key.has_secret(), key.secret_until()) {
        (false, _) => "none: the key works once it is rotated".to_owned(),
        (true, None) => format!("number {}", key.version()),
        (true, Some(end)) => format!("valid until {}, with no successor: rotate the key", both(end, now)),
    };
    row("secret", secret.into());
    if let Some(end) = key.secret_expires_at() {
        row(
            "secret ends",
            format!("{}, by the store's max_lifetime: rotate the key before then", both(end, now)).into(),
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
    for (name, value) in key.metadata() {
        row(&format!("metadata {name}"), value.as_str().into());
    }
    table::aligned(&rows)
}

fn grants(grants: &[String]) -> String {
    if grants.is_empty() { "-".to_owned() } else { grants.join(" ") }
}
