//! The views of an owner: a row of a table, a block of lines.

use apikey_core::admin::OwnerName;
use apikey_core::{OwnerInfo, QuotaStatus};
use chrono::{DateTime, Utc};

use super::key_view::left;
use super::quota_view::named;
use super::table;
use super::width::{self, LeavingOut, Narrowing};
use crate::failure::Failure;
use crate::time::{both, relative};

const COLUMNS: [(&str, Narrowing); 4] = [
    ("NAME", Narrowing::Text),
    ("TENANT", Narrowing::Text),
    ("QUOTA", Narrowing::Never),
    ("CHANGED", Narrowing::Never),
];

const LEAVING_OUT: LeavingOut = LeavingOut { order: &["CHANGED"], dispensable: 1, advice: "--json shows all" };

/// One line: the name, the tenant and the bounds.
pub(crate) fn line(owner: &OwnerName, info: Option<&OwnerInfo>) -> String {
    let quota = info.and_then(OwnerInfo::quota).map_or_else(|| "no bounds".to_owned(), |quota| quota.to_string());
    table::one_line(&format!("{} ({quota})", named(&owner.name, owner.tenant.as_deref())))
}

pub(crate) fn print(owners: &[OwnerInfo], now: DateTime<Utc>) -> Result<(), Failure> {
    let row = |owner: &OwnerInfo| {
        vec![
            owner.name().into(),
            owner.tenant().unwrap_or("-").into(),
            owner.quota().map_or_else(|| "-".to_owned(), |quota| quota.to_string()).into(),
            relative(owner.changed_at(), now).into(),
        ]
    };
    width::print(&COLUMNS, owners.iter().map(row).collect(), Some(&LEAVING_OUT))
}

/// All of an owner, which has bounds or only keys, within the width of the terminal.
pub(crate) fn block(
    name: &str,
    tenant: Option<&str>,
    owner: Option<&OwnerInfo>,
    status: Option<&QuotaStatus>,
    keys: usize,
    now: DateTime<Utc>,
) -> String {
    let mut rows = vec![("name", name.to_owned())];
    rows.extend(tenant.map(|tenant| ("tenant", tenant.to_owned())));
    rows.push(("keys", keys.to_string()));
    rows.push(("quota", status.map_or_else(|| "none".to_owned(), |status| left(status, now))));
    rows.extend(owner.map(|owner| ("changed", both(owner.changed_at(), now))));
    let rows: Vec<_> = rows.into_iter().map(|(label, value)| vec![table::title(label), value.into()]).collect();
    table::block(&rows, width::terminal())
}
