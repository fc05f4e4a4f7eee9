//! The views of a tenant: a row of a table, a block of lines, a JSON object.

use apikey_core::TenantInfo;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::key_view::{grants, rate};
use super::table;
use super::width::{self, LeavingOut, Narrowing};
use crate::failure::Failure;
use crate::time::{both, relative};

const COLUMNS: [(&str, Narrowing); 6] = [
    ("NAME", Narrowing::Text),
    ("ENDED", Narrowing::Never),
    ("CHANGED", Narrowing::Never),
    ("LIMIT", Narrowing::Text),
    ("QUOTA", Narrowing::Text),
    ("PERMISSIONS", Narrowing::Text),
];

/// A narrow terminal shows whether a tenant has ended as long as it can.
const LEAVING_OUT: LeavingOut =
    LeavingOut { order: &["CHANGED", "LIMIT", "QUOTA", "PERMISSIONS"], dispensable: 1, advice: "--json shows all" };

/// A tenant after a request, and whether the request changed it.
#[derive(Debug, Serialize)]
pub(crate) struct ChangedView<'a> {
    changed: bool,
    #[serde(flatten)]
    tenant: &'a TenantInfo,
}

impl<'a> ChangedView<'a> {
    pub(crate) fn new(tenant: &'a TenantInfo, changed: bool) -> Self {
        Self { changed, tenant }
    }
}

/// One line: the name and its bounds.
pub(crate) fn line(tenant: &TenantInfo) -> String {
    let limit = tenant.limit().map(|limit| format!(", {}", rate(limit))).unwrap_or_default();
    let quota = tenant.quota().map(|quota| format!(", {quota}")).unwrap_or_default();
    table::one_line(&format!("{} ({}{limit}{quota})", tenant.name(), grants(tenant.permissions())))
}

pub(crate) fn print(tenants: &[TenantInfo], now: DateTime<Utc>) -> Result<(), Failure> {
    let row = |tenant: &TenantInfo| {
        vec![
            tenant.name().into(),
            tenant.ended().map_or_else(|| "-".to_owned(), |ended| relative(ended.at(), now)).into(),
            relative(tenant.changed_at(), now).into(),
            tenant.limit().map_or_else(|| "-".to_owned(), rate).into(),
            tenant.quota().map_or_else(|| "-".to_owned(), |quota| quota.to_string()).into(),
            grants(tenant.permissions()).into(),
        ]
    };
    width::print(&COLUMNS, tenants.iter().map(row).collect(), Some(&LEAVING_OUT))
}

/// All of a tenant, which has bounds or only keys, within the width of the terminal.
pub(crate) fn block(name: &str, tenant: Option<&TenantInfo>, keys: usize, now: DateTime<Utc>) -> String {
    let mut rows = vec![("name", name.to_owned()), ("keys", keys.to_string())];
    match tenant {
        None => rows.push(("permissions", "no bounds".to_owned())),
        Some(tenant) => {
            rows.push(("permissions", grants(tenant.permissions())));
            rows.push(("limit", tenant.limit().map_or_else(|| "-".to_owned(), rate)));
            let quota = tenant.quota().map_or_else(|| "-".to_owned(), |quota| quota.to_string());
            rows.push(("quota", quota));
            rows.push(("changed", both(tenant.changed_at(), now)));
            if let Some(ended) = tenant.ended() {
                rows.push(("ended", both(ended.at(), now)));
                let reason = if ended.reason().is_empty() { "-" } else { ended.reason() };
                rows.push(("reason", reason.to_owned()));
            }
        }
    }
    let rows: Vec<_> = rows.into_iter().map(|(label, value)| vec![table::title(label), value.into()]).collect();
    table::block(&rows, width::terminal())
}
