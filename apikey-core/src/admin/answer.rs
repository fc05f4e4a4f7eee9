//! The answers to operators.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::access::auth_error::AuthError;
use crate::access::quota::status::QuotaStatus;
use crate::access::refusal_count::RefusalCount;
use crate::base::clock_lead::AcceptedClock;
use crate::copies::backup_report::BackupReport;
use crate::key::event::chain::EventsReport;
use crate::key::event::filter::EventPage;
use crate::key::event::history::Event;
use crate::key::key_filter::Page;
use crate::key::key_info::KeyInfo;
use crate::key::owner::owner_info::OwnerInfo;
use crate::key::role::role_info::RoleInfo;
use crate::key::tenant::tenant_info::TenantInfo;
use crate::rotation::report::RunReport;
use crate::store::health::Health;
use crate::token::key_id::KeyId;
use crate::usage::report::{Covers, KeyUse, UsageReport};

use crate::admin::request::OwnerName;
use crate::admin::{Fault, SecretText};

/// The answer to a [`Request`](crate::admin::Request), whose documentation names the variant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Answer {
    /// The request failed.
    Fault(Fault),
    /// The state of the store and its disk.
    Health(Health),
    /// The health of the store, its events and its keys.
    Diagnosis(Diagnosis),
    /// A key and its new secret.
    NewSecret(Box<NewSecret>),
    /// A key.
    Key(Box<KeyInfo>),
    /// A key after a change.
    Changed(Box<Changed>),
    /// What a key has left of its quota, or all keys of an owner or a tenant of theirs; `None` if there is no quota.
    Quota(Option<QuotaStatus>),
    /// A page of keys.
    Keys(Page),
    /// A role after it was put.
    RolePut(Box<RolePut>),
    /// A page of roles.
    Roles(RolePage),
    /// A tenant after a change.
    TenantChanged(Box<TenantChanged>),
    /// A page of tenants.
    Tenants(TenantPage),
    /// An owner after a change.
    OwnerChanged(Box<OwnerChanged>),
    /// A page of owners.
    Owners(OwnerPage),
    /// A page of events.
    Events(EventPage),
    /// A number of keys, roles or events.
    Count(u64),
    /// The events that a purge would delete.
    EventsToPurge(Box<EventsToPurge>),
    /// The refusals of a store.
    Refusals(RefusedRequests),
    /// How often keys were used and refused.
    Usage(Box<UsageAnswer>),
    /// The keys that were used most.
    MostUsed(MostUsed),
    /// The result of checking a token.
    Verdict(Box<Verdict>),
    /// The report of an import.
    Imports(Imports),
    /// Keys as lines of JSON.
    Lines(Lines),
    /// The report of a backup.
    BackedUp(BackupReport),
    /// The report of a rotator's run.
    Run(RunReport),
    /// The store's time before and after it was set back; `None` if it was not ahead.
    Clock(Option<AcceptedClock>),
    /// A link that signs the operator in to the console of the service.
    ConsoleLink(SecretText),
    /// The node has left its cluster.
    Left {
        /// Whether the engine has it: otherwise the next revocation of another node waits for this one once.
        unlisted: bool,
        /// The health of the store after it.
        health: Box<Health>,
    },
}

/// A key after a change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Changed {
    /// The key.
    pub key: KeyInfo,
    /// Whether anything changed: `false` if the key had that state already.
    pub changed: bool,
}

/// A role after it was put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolePut {
    /// The role.
    pub role: RoleInfo,
    /// Whether anything changed: `false` if the store had the role as it is already.
    pub changed: bool,
}

/// A page of roles, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RolePage {
    /// The roles.
    pub roles: Vec<RoleInfo>,
    /// The name of the last one, if there are more after it.
    pub next: Option<String>,
}

/// A tenant after it was put or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantChanged {
    /// The tenant.
    pub tenant: TenantInfo,
    /// Whether anything changed: `false` if the tenant had that state already.
    pub changed: bool,
}

/// A page of tenants, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TenantPage {
    /// The tenants.
    pub tenants: Vec<TenantInfo>,
    /// The name of the last one, if there are more after it.
    pub next: Option<String>,
}

/// An owner after it was put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerChanged {
    /// The owner.
    pub owner: OwnerName,
    /// Its bounds; `None` if it has none any more.
    pub info: Option<OwnerInfo>,
    /// Whether anything changed: `false` if the owner had these bounds already.
    pub changed: bool,
}

/// A page of owners, sorted by tenant and name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OwnerPage {
    /// The owners.
    pub owners: Vec<OwnerInfo>,
    /// The last one, if there are more after it.
    pub next: Option<OwnerName>,
}

/// A key that was created or rotated. This is the only answer that contains its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewSecret {
    /// The token.
    pub secret: SecretText,
    /// The key.
    pub key: KeyInfo,
}

/// The events that a purge would delete.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EventsToPurge {
    /// The number of events.
    pub events: u64,
    /// The first of them.
    pub first: Option<Event>,
    /// The last of them.
    pub last: Option<Event>,
}

/// The refusals of a store since it was opened. The store counts them in memory, so one that no service has open has
/// none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RefusedRequests {
    /// The counts, the highest first.
    pub counts: Vec<RefusalCount>,
    /// The number of all refused requests that the filter selects, including those whose counts are left out.
    pub total: u64,
    /// The number of counts that the answer leaves out.
    pub left_out: u64,
}

/// How often keys were used and refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageAnswer {
    /// The report.
    pub report: UsageReport,
    /// Whether the store [counts uses](crate::KeyStoreBuilder::count_use) now. If not, the report has what it counted before.
    pub counting: bool,
}

/// The keys that were used most.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MostUsed {
    /// The keys, the busiest first.
    pub keys: Vec<KeyUse>,
    /// The number of keys of those asked for that have no room in the answer.
    pub left_out: u64,
    /// Whether the store [counts uses](crate::KeyStoreBuilder::count_use) now.
    pub counting: bool,
    /// In a cluster, that these are the counts of the node that answers.
    #[serde(default)]
    pub covers: Covers,
}

/// The health of a store, its events and its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The state of the store and its disk.
    pub health: Health,
    /// The result of verifying the chain of events.
    pub events: EventsReport,
    /// The number of keys in each state, by the state's name.
    pub keys: BTreeMap<String, u64>,
}

impl Diagnosis {
    /// Returns whether there is no fault.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.health.is_good() && self.health.ahead.is_none() && self.events.is_whole()
    }
}

/// The result of checking a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The token is valid and meets the requirement.
    Good {
        /// The token's key.
        key: Box<KeyInfo>,
        /// The version of the token's secret.
        secret_version: u32,
        /// Whether the secret has a successor.
        superseded: bool,
        /// When a superseded secret ends, if it ends at a time.
        superseded_until: Option<DateTime<Utc>>,
        /// What the key has left of that of its quotas, also of those that it shares, of which the fewest uses are left; `None`
        /// if it has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quota: Option<QuotaStatus>,
    },
    /// The token is not valid, or does not meet the requirement.
    Bad {
        /// The code of the [`AuthError`](crate::AuthError).
        code: String,
        /// Its text.
        text: String,
        /// The reason why no secret matches, if none does.
        why: Option<Mismatch>,
        /// The token's key. If no secret matches, the key that the token names.
        key: Option<Box<KeyInfo>>,
        /// The version of the token's secret, if it is one of the key's.
        secret_version: Option<u32>,
    },
}

impl Verdict {
    /// The verdict on a token for which a caller gets this error.
    pub(super) fn bad(error: &AuthError) -> Self {
        Self::Bad { code: error.code().to_owned(), text: error.to_string(), why: None, key: None, secret_version: None }
    }

    /// Adds why no secret matches.
    pub(super) fn because(mut self, mismatch: Mismatch, named: Option<Box<KeyInfo>>) -> Self {
        if let Self::Bad { why, key, .. } = &mut self {
            (*why, *key) = (Some(mismatch), named);
        }
        self
    }

    /// Adds the key, and the version of the secret.
    pub(super) fn of(mut self, matched: Option<Box<KeyInfo>>, version: u32) -> Self {
        if let Self::Bad { key, secret_version, .. } = &mut self {
            (*key, *secret_version) = (matched, Some(version));
        }
        self
    }
}

/// The reason why no secret matches a token. Only operators learn it: callers learn that the key is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mismatch {
    /// It does not have the form of the store's keys, and no such key was imported.
    Form,
    /// It names a key that is not in the store.
    NoSuchKey,
    /// It names a key that has other secrets.
    NotItsSecret,
    /// It is a secret that has ended.
    Ended,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => {
                "it has not the form of this store's keys (another prefix, or it was not copied whole), and no such key was \
                 imported"
            }
            Self::NoSuchKey => "the key that it names is not in this store: it is of another one, or was deleted",
            Self::NotItsSecret => "it is none of the key's secrets, or not any more: the key was rotated",
            Self::Ended => "it is an old secret, whose time is over: the key was rotated",
        })
    }
}

/// Keys as lines of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    /// The lines, each with a line end. They may contain digests.
    pub lines: SecretText,
    /// The number of keys among them: roles, tenants and owners come before, in lines of their own.
    pub count: u64,
    /// The id of the last key, role or tenant, if there may be more after it.
    pub next: Option<KeyId>,
}

/// The report of an import.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Imports {
    /// The number of keys that were imported, or would be.
    pub imported: u64,
    /// The ids of imported external keys; empty after a check only.
    pub ids: Vec<KeyId>,
    /// The ids of imported lines without a secret: callers can use such a key once it is rotated.
    pub awaiting_rotation: Vec<KeyId>,
    /// The entries and lines that were refused.
    pub refused: Vec<RefusedEntry>,
}

/// An entry or a line that was not imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedEntry {
    /// The entry's own number, or that of the line in the request, from 1 on.
    pub line: u64,
    /// The reason, which repeats nothing of the line.
    pub text: String,
    /// The key that is in the store already, if that is the reason.
    pub existing: Option<KeyId>,
}
