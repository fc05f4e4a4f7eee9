//! The views of a role: a row of a table, a block of lines, a JSON object.

use apikey_core::RoleInfo;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::key_view::grants;
use super::table;
use super::width::{self, LeavingOut, Narrowing};
use crate::failure::Failure;
use crate::time::{both, relative};

const COLUMNS: [(&str, Narrowing); 4] = [
    ("NAME", Narrowing::Never),
    ("CHANGED", Narrowing::Never),
    ("PERMISSIONS", Narrowing::Text),
    ("DESCRIPTION", Narrowing::Text),
];

/// A narrow terminal shows what a role grants as long as it can.
const LEAVING_OUT: LeavingOut =
    LeavingOut { order: &["DESCRIPTION", "CHANGED", "PERMISSIONS"], dispensable: 1, advice: "--json shows all" };

/// A role after a request, and whether the request changed it.
#[derive(Debug, Serialize)]
pub(crate) struct PutView<'a> {
    changed: bool,
    #[serde(flatten)]
    role: &'a RoleInfo,
}

impl<'a> PutView<'a> {
    pub(crate) fn new(role: &'a RoleInfo, changed: bool) -> Self {
        Self { changed, role }
    }
}

/// One line: the name and what it grants.
pub(crate) fn line(role: &RoleInfo) -> String {
    table::one_line(&format!("{} ({})", role.name(), grants(role.permissions())))
}

pub(crate) fn print(roles: &[RoleInfo], now: DateTime<Utc>) -> Result<(), Failure> {
    let row = |role: &RoleInfo| {
        vec![
            role.name().into(),
            relative(role.changed_at(), now).into(),
            grants(role.permissions()).into(),
            role.description().unwrap_or("-").into(),
        ]
    };
    width::print(&COLUMNS, roles.iter().map(row).collect(), Some(&LEAVING_OUT))
}

/// All of a role, within the width of the terminal.
pub(crate) fn block(role: &RoleInfo, now: DateTime<Utc>) -> String {
    let rows = [
        ("name", role.name().to_owned()),
        ("permissions", grants(role.permissions())),
        ("description", role.description().unwrap_or("-").to_owned()),
        ("changed", both(role.changed_at(), now)),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(label, value)| vec![table::title(label), value.into()]).collect();
    table::block(&rows, width::terminal())
}
