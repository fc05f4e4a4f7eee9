//! The columns of a list of keys.

use std::collections::BTreeMap;

use apikey_core::{KeyInfo, Overlap};
use chrono::{DateTime, Utc};
use clap::ValueEnum;

use super::key_view::{grants, rate};
use super::table::{self, Cell};
use super::width::{self, LeavingOut, Narrowing};
use crate::failure::Failure;
use crate::time::{self, relative};

/// A column of a list of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyColumn {
    Id,
    Owner,
    Tenant,
    Name,
    State,
    Hint,
    Created,
    NotBefore,
    Expires,
    IdleEnd,
    LastUsed,
    Rotates,
    RotationDue,
    SecretNumber,
    Limit,
    Quota,
    Networks,
    Permissions,
    Roles,
    Labels,
    Prefix,
    Metadata,
}

/// The columns of a list that names none; it leaves out the tenants and the roles if no key has one.
const DEFAULT: [KeyColumn; 9] = [
    KeyColumn::Id,
    KeyColumn::Owner,
    KeyColumn::Tenant,
    KeyColumn::Name,
    KeyColumn::State,
    KeyColumn::LastUsed,
    KeyColumn::Expires,
    KeyColumn::Permissions,
    KeyColumn::Roles,
];

/// A narrow terminal shows which key it is, whose, and its state as long as it can.
const LEAVING_OUT: LeavingOut = LeavingOut {
    order: &["ROLES", "PERMISSIONS", "EXPIRES", "LAST USED", "NAME", "STATE", "TENANT", "OWNER"],
    dispensable: 5,
    advice: "--columns chooses",
};

/// Prints the keys with these columns, or with the default ones if there are none.
pub(crate) fn print(keys: &[KeyInfo], chosen: &[KeyColumn], now: DateTime<Utc>) -> Result<(), Failure> {
    let has_roles = keys.iter().any(|key| !key.roles().is_empty());
    let has_tenants = keys.iter().any(|key| key.tenant().is_some());
    let is_shown = |column: &&KeyColumn| match **column {
        _ if !chosen.is_empty() => true,
        KeyColumn::Roles => has_roles,
        KeyColumn::Tenant => has_tenants,
        _ => true,
    };
    let columns: Vec<KeyColumn> =
        if chosen.is_empty() { &DEFAULT[..] } else { chosen }.iter().filter(is_shown).copied().collect();
    let rows = keys.iter().map(|key| columns.iter().map(|column| column.cell(key, now)).collect()).collect();
    let titles: Vec<_> = columns.iter().map(|column| column.title()).collect();
    width::print(&titles, rows, chosen.is_empty().then_some(&LEAVING_OUT))
}

impl KeyColumn {
    fn title(self) -> (&'static str, Narrowing) {
        match self {
            Self::Id => ("ID", Narrowing::Id),
            Self::Owner => ("OWNER", Narrowing::Text),
            Self::Tenant => ("TENANT", Narrowing::Text),
            Self::Name => ("NAME", Narrowing::Text),
            Self::State => ("STATE", Narrowing::Never),
            Self::Hint => ("HINT", Narrowing::Never),
            Self::Created => ("CREATED", Narrowing::Never),
            Self::NotBefore => ("NOT BEFORE", Narrowing::Never),
            Self::Expires => ("EXPIRES", Narrowing::Never),
            Self::IdleEnd => ("IDLE END", Narrowing::Never),
            Self::LastUsed => ("LAST USED", Narrowing::Never),
            Self::Rotates => ("ROTATES", Narrowing::Text),
            Self::RotationDue => ("ROTATION DUE", Narrowing::Never),
            Self::SecretNumber => ("SECRET", Narrowing::Never),
            Self::Limit => ("LIMIT", Narrowing::Text),
            Self::Quota => ("QUOTA", Narrowing::Text),
            Self::Networks => ("NETWORKS", Narrowing::Text),
            Self::Permissions => ("PERMISSIONS", Narrowing::Text),
            Self::Roles => ("ROLES", Narrowing::Text),
            Self::Labels => ("LABELS", Narrowing::Text),
            Self::Prefix => ("PREFIX", Narrowing::Never),
            Self::Metadata => ("METADATA", Narrowing::Text),
        }
    }

    fn cell(self, key: &KeyInfo, now: DateTime<Utc>) -> Cell {
        let or = |text: Option<String>, none: &str| text.unwrap_or_else(|| none.to_owned()).into();
        let at = |time: Option<DateTime<Utc>>, none: &str| or(time.map(|time| relative(time, now)), none);
        let rotation = key.rotation();
        match self {
            Self::Id => key.id().to_string().into(),
            Self::Owner => key.owner().into(),
            Self::Tenant => key.tenant().unwrap_or("-").into(),
            Self::Name => key.name().unwrap_or("-").into(),
            Self::State => table::state(key.state(now)),
            Self::Hint => key.hint().into(),
            Self::Created => relative(key.created_at(), now).into(),
            Self::NotBefore => at(key.not_before(), "-"),
            Self::Expires => at(key.expires_at(), "never"),
            Self::IdleEnd => at(key.idle_at(), "-"),
            Self::LastUsed => at(key.last_used_at(), "never"),
            Self::Rotates => or(rotation.map(|rotation| rotates(rotation.policy())), "-"),
            Self::RotationDue => at(rotation.map(|rotation| rotation.due()), "-"),
            Self::SecretNumber => key.version().to_string().into(),
            Self::Limit => or(key.limit().map(rate), "-"),
            Self::Quota => or(key.quota().map(|quota| quota.to_string()), "-"),
            Self::Networks if key.networks().is_empty() => "-".into(),
            Self::Networks => key.networks().join(" ").into(),
            Self::Permissions => grants(key.permissions()).into(),
            Self::Roles => grants(key.roles()).into(),
            Self::Labels => entries(key.labels()).into(),
            Self::Prefix => key.prefix().unwrap_or("-").into(),
            Self::Metadata => entries(key.metadata()).into(),
        }
    }
}

/// Entries by name: `plan=pro region=eu`.
fn entries(of: &BTreeMap<String, String>) -> String {
    let entries: Vec<String> = of.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if entries.is_empty() { "-".to_owned() } else { entries.join(" ") }
}

/// A rotation policy: `every 30 days, overlap 1 day`.
pub(crate) fn rotates(policy: apikey_core::RotationPolicy) -> String {
    let overlap = match policy.overlap_span() {
        Overlap::For(span) => format!("overlap {}", time::length(span)),
        _ => "overlap until the first use".to_owned(),
    };
    format!("every {}, {overlap}", time::length(policy.interval()))
}
