//! The requests of operators.

use std::net::IpAddr;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::key::event::filter::EventFilter;
use crate::key::key_filter::KeyFilter;
use crate::key::key_update::KeyUpdate;
use crate::key::new_key::NewKey;
use crate::key::owner::owner::Owner;
use crate::key::role::role::Role;
use crate::key::rotation::overlap::Overlap;
use crate::key::tenant::tenant::Tenant;
use crate::token::key_id::KeyId;
use crate::usage::query::Usage;

use crate::admin::{ExternalKeys, SecretText};

/// A request to a store. Each variant names the [`Answer`](crate::admin::Answer) to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Request {
    /// Reports the state of the store and its disk: [`Answer::Health`](crate::admin::Answer::Health).
    Health,
    /// Reports the same, verifies the events and counts the keys:
    /// [`Answer::Diagnosis`](crate::admin::Answer::Diagnosis).
    Diagnose,
    /// Creates a key: [`Answer::NewSecret`](crate::admin::Answer::NewSecret).
    Create(Box<NewKey>),
    /// Reads a key: [`Answer::Key`](crate::admin::Answer::Key).
    Get {
        /// The key's id.
        id: KeyId,
    },
    /// Reads a page of keys, which may be shorter than its limit: [`Answer::Keys`](crate::admin::Answer::Keys).
    List(KeyFilter),
    /// Changes fields of a key: [`Answer::Changed`](crate::admin::Answer::Changed).
    Update {
        /// The key's id.
        id: KeyId,
        /// The fields to change.
        change: Box<KeyUpdate>,
    },
    /// Reads what a key has left of its quota: [`Answer::Quota`](crate::admin::Answer::Quota).
    Quota {
        /// The key's id.
        id: KeyId,
    },
    /// Adds uses to a key's quota in all: [`Answer::Changed`](crate::admin::Answer::Changed).
    AddUses {
        /// The key's id.
        id: KeyId,
        /// How many.
        uses: u64,
    },
    /// Gives a key a new secret: [`Answer::NewSecret`](crate::admin::Answer::NewSecret).
    Rotate {
        /// The key's id.
        id: KeyId,
        /// How long the old secret stays valid.
        overlap: Overlap,
    },
    /// Revokes a key: [`Answer::Changed`](crate::admin::Answer::Changed).
    Revoke {
        /// The key's id.
        id: KeyId,
        /// The reason.
        reason: String,
    },
    /// Revokes all keys of an owner: [`Answer::Count`](crate::admin::Answer::Count) of those that were not revoked
    /// before.
    RevokeOwner {
        /// The owner.
        owner: String,
        /// The reason.
        reason: String,
    },
    /// Puts a role: [`Answer::RolePut`](crate::admin::Answer::RolePut).
    PutRole(Role),
    /// Reads a page of roles, by name: [`Answer::Roles`](crate::admin::Answer::Roles).
    Roles {
        /// Begins after the role of this name, in alphabetical order.
        after: Option<String>,
    },
    /// Deletes a role that no key has: [`Answer::Count`](crate::admin::Answer::Count), 0 if there is none.
    DeleteRole {
        /// The role's name.
        name: String,
    },
    /// Answers a request about keys as if the tenant had the only ones: [`TenantStore`](crate::TenantStore). It takes `Create`,
    /// `Get`, `List`, `Update`, `Quota`, `AddUses`, `Rotate`, `Revoke`, `RevokeOwner`, `PutOwner`, `Owners`, `SharedQuota`,
    /// `AddSharedUses` and `Events`, and has the answer of the request.
    InTenant {
        /// The tenant's name.
        tenant: String,
        /// The request.
        request: Box<Request>,
    },
    /// Puts a tenant: [`Answer::TenantChanged`](crate::admin::Answer::TenantChanged).
    PutTenant(Tenant),
    /// Reads a page of the tenants that were put or have ended, by name: [`Answer::Tenants`](crate::admin::Answer::Tenants).
    Tenants {
        /// Begins after the tenant of this name, in alphabetical order.
        after: Option<String>,
    },
    /// Ends a tenant, which is final: [`Answer::TenantChanged`](crate::admin::Answer::TenantChanged).
    EndTenant {
        /// The tenant's name.
        name: String,
        /// The reason.
        reason: String,
    },
    /// Puts an owner, of no tenant or of that of [`InTenant`](Self::InTenant):
    /// [`Answer::OwnerChanged`](crate::admin::Answer::OwnerChanged).
    PutOwner(Owner),
    /// Reads a page of the owners that were put and have bounds, by tenant and name:
    /// [`Answer::Owners`](crate::admin::Answer::Owners).
    Owners {
        /// Begins after this owner, in that order.
        after: Option<OwnerName>,
    },
    /// Reads what all keys of an owner have left of the quota that they share: [`Answer::Quota`](crate::admin::Answer::Quota).
    SharedQuota {
        /// The owner's name; `None` for what all keys of the tenant of [`InTenant`](Self::InTenant) share.
        owner: Option<String>,
    },
    /// Adds uses to such a quota in all, and reads what is left: [`Answer::Quota`](crate::admin::Answer::Quota).
    AddSharedUses {
        /// The owner's name; `None` for what all keys of the tenant of [`InTenant`](Self::InTenant) share.
        owner: Option<String>,
        /// How many.
        uses: u64,
    },
    /// Checks whether a token is valid, without using the key: [`Answer::Verdict`](crate::admin::Answer::Verdict).
    Check {
        /// The token.
        token: SecretText,
        /// The permissions that it needs, every one of them.
        permissions: Vec<String>,
        /// The address that presents it. Without one, the key's networks are not checked.
        peer: Option<IpAddr>,
    },
    /// Imports keys that another system issued: [`Answer::Imports`](crate::admin::Answer::Imports).
    Import(ExternalKeys),
    /// Imports lines of an export: [`Answer::Imports`](crate::admin::Answer::Imports).
    ImportLines {
        /// The lines. They may contain digests.
        lines: SecretText,
        /// Whether to check the lines only.
        check_only: bool,
    },
    /// Exports keys as lines of JSON: [`Answer::Lines`](crate::admin::Answer::Lines).
    Export {
        /// Begins after the last of the part before: [`Lines::next`](crate::admin::Lines::next).
        after: Option<KeyId>,
        /// Whether to export the digests of the secrets, too.
        digests: bool,
    },
    /// Writes a backup: [`Answer::BackedUp`](crate::admin::Answer::BackedUp).
    Backup {
        /// The absolute path of the file.
        path: PathBuf,
    },
    /// Reads a page of events, which may be shorter than its limit: [`Answer::Events`](crate::admin::Answer::Events).
    Events(EventFilter),
    /// Rotates the keys that are due, and does the other work of a rotator: [`Answer::Run`](crate::admin::Answer::Run).
    RunDue {
        /// The sink of the new secrets.
        to: SinkForm,
    },
    /// Deletes records of keys that have ended: [`Answer::Count`](crate::admin::Answer::Count).
    Purge {
        /// Deletes those of keys that were revoked, or expired, before this time.
        before: DateTime<Utc>,
    },
    /// Deletes events: [`Answer::Count`](crate::admin::Answer::Count).
    PurgeEvents {
        /// Deletes those before this time.
        before: DateTime<Utc>,
    },
    /// Reports which events that would delete: [`Answer::EventsToPurge`](crate::admin::Answer::EventsToPurge).
    EventsToPurge {
        /// Those before this time.
        before: DateTime<Utc>,
    },
    /// Reports the requests that the store has refused since it was opened:
    /// [`Answer::Refusals`](crate::admin::Answer::Refusals).
    Refusals {
        /// Those of this key.
        key: Option<KeyId>,
        /// Those with this code.
        code: Option<String>,
        /// At most this many counts, the highest.
        limit: usize,
    },
    /// Reports how often keys were used and refused: [`Answer::Usage`](crate::admin::Answer::Usage).
    Usage(Usage),
    /// Reports the keys that were used most: [`Answer::MostUsed`](crate::admin::Answer::MostUsed).
    MostUsed {
        /// Counts from this time on.
        since: DateTime<Utc>,
        /// At most this many keys, from 1 to [`MAX_MOST_USED`](crate::admin::MAX_MOST_USED).
        limit: usize,
    },
    /// Sets the store's time back to that of its clock: [`Answer::Clock`](crate::admin::Answer::Clock).
    AcceptClock,
    /// Asks for a link that signs this operator in to the console of the service, once and soon:
    /// [`Answer::ConsoleLink`](crate::admin::Answer::ConsoleLink).
    ConsoleLink,
    /// Ends all sessions of the console: [`Answer::Count`](crate::admin::Answer::Count).
    EndConsoleSessions,
    /// Takes the node out of its cluster: it refuses every key from now on, and no other node waits for it.
    /// [`Answer::Left`](crate::admin::Answer::Left).
    LeaveCluster,
}

impl Request {
    /// Returns the name of the request in a message.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Diagnose => "diagnose",
            Self::Create(_) => "create",
            Self::Get { .. } => "get",
            Self::List(_) => "list",
            Self::Update { .. } => "update",
            Self::Quota { .. } => "quota",
            Self::AddUses { .. } => "add_uses",
            Self::Rotate { .. } => "rotate",
            Self::Revoke { .. } => "revoke",
            Self::RevokeOwner { .. } => "revoke_owner",
            Self::PutRole(_) => "put_role",
            Self::Roles { .. } => "roles",
            Self::DeleteRole { .. } => "delete_role",
            Self::InTenant { .. } => "in_tenant",
            Self::PutTenant(_) => "put_tenant",
            Self::Tenants { .. } => "tenants",
            Self::EndTenant { .. } => "end_tenant",
            Self::PutOwner(_) => "put_owner",
            Self::Owners { .. } => "owners",
            Self::SharedQuota { .. } => "shared_quota",
            Self::AddSharedUses { .. } => "add_shared_uses",
            Self::Check { .. } => "check",
            Self::Import(_) => "import",
            Self::ImportLines { .. } => "import_lines",
            Self::Export { .. } => "export",
            Self::Backup { .. } => "backup",
            Self::Events(_) => "events",
            Self::RunDue { .. } => "run_due",
            Self::Purge { .. } => "purge",
            Self::PurgeEvents { .. } => "purge_events",
            Self::EventsToPurge { .. } => "events_to_purge",
            Self::Refusals { .. } => "refusals",
            Self::Usage(_) => "usage",
            Self::MostUsed { .. } => "most_used",
            Self::AcceptClock => "accept_clock",
            Self::ConsoleLink => "console_link",
            Self::EndConsoleSessions => "end_console_sessions",
            Self::LeaveCluster => "leave_cluster",
        }
    }

    /// Whether a tenant's handle can answer it.
    pub(super) fn is_of_keys(&self) -> bool {
        matches!(
            self,
            Self::Create(_)
                | Self::Get { .. }
                | Self::List(_)
                | Self::Update { .. }
                | Self::Quota { .. }
                | Self::AddUses { .. }
                | Self::Rotate { .. }
                | Self::Revoke { .. }
                | Self::RevokeOwner { .. }
                | Self::PutOwner(_)
                | Self::Owners { .. }
                | Self::SharedQuota { .. }
                | Self::AddSharedUses { .. }
                | Self::Events(_)
        )
    }
}

/// The name of an owner, who is one of a tenant or of none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerName {
    /// The tenant; `None` for an owner of no tenant.
    pub tenant: Option<String>,
    /// The name.
    pub name: String,
}

/// The sink of new secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SinkForm {
    /// A [`DirectorySink`](crate::rotation::sink::DirectorySink): a file for each key in this directory, whose
    /// path is absolute.
    Directory(PathBuf),
    /// A [`CommandSink`](crate::rotation::sink::CommandSink): the standard input of a program.
    Command {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
        /// The variables that it inherits from the process that starts it, beside the [usual
        /// ones](crate::rotation::sink::CommandSink).
        #[serde(default)]
        environment: Vec<String>,
    },
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::{ImportScheme, Imported, KeyStore, KeyUpdate, NewKey, RotationPolicy};

    fn json(request: &Request) -> String {
        serde_json::to_string(request).unwrap()
    }

    #[track_caller]
    fn comes_back(request: &Request, expected: &str) {
        assert_eq!(json(request), expected);
        assert_eq!(json(&serde_json::from_str(expected).unwrap()), expected);
    }

    #[test]
    fn a_new_key_is_sent_as_its_builder_says_and_no_more() {
        let create = |key: NewKey| Request::Create(Box::new(key));
        comes_back(&create(NewKey::for_owner("alice")), r#"{"create":{"owner":"alice"}}"#);
        let new = NewKey::for_owner("alice")
            .name("ci")
            .permissions(["orders:read"])
            .metadata("team", "blue")
            .expires_in(TimeDelta::days(1))
            .limit(5, TimeDelta::minutes(1))
            .networks(["10.0.0.0/8"])
            .rotation(RotationPolicy::every(TimeDelta::hours(4)));
        let expected = concat!(
            r#"{"create":{"owner":"alice","name":"ci","permissions":["orders:read"],"metadata":{"team":"blue"},"#,
            r#""expires_in_ms":86400000,"limit":{"count":5,"per_ms":60000},"networks":["10.0.0.0/8"],"#,
            r#""rotation":{"every_ms":14400000,"overlap_ms":7200000}}}"#
        );
        comes_back(&create(new), expected);
        let end = DateTime::from_timestamp(1_900_000_000, 0).unwrap();
        comes_back(
            &create(NewKey::for_owner("alice").expires_at(end).no_rotation()),
            r#"{"create":{"owner":"alice","expires_at":"2030-03-17T17:46:40Z","rotation":null}}"#,
        );
    }

    #[test]
    fn a_change_is_a_merge_patch() {
        let id = KeyId::from_u128(1);
        let update = |change| Request::Update { id, change: Box::new(change) };
        let expected = |fields: &str| format!(r#"{{"update":{{"id":"{id}","change":{{{fields}}}}}}}"#);
        comes_back(&update(KeyUpdate::new()), &expected(""));
        let cleared = KeyUpdate::new().without_name().expires_at(None).no_limit().any_network().no_rotation();
        comes_back(
            &update(cleared.without_metadata("team")),
            &expected(
                r#""name":null,"expires_at":null,"metadata":{"team":null},"limit":null,"networks":null,"rotation":null"#,
            ),
        );
        let policy = RotationPolicy::every(TimeDelta::hours(4)).overlap(Overlap::UntilFirstUse);
        let set = KeyUpdate::new().name("ci").permissions([""; 0]).disabled(true).rotation(policy);
        comes_back(
            &update(set),
            &expected(
                r#""name":"ci","permissions":[],"disabled":true,"rotation":{"every_ms":14400000,"overlap_ms":null}"#,
            ),
        );
    }

    #[test]
    fn a_question_about_usage_names_its_subject() {
        let alice = Usage::of_owner_in_tenant("acme", "alice").step(crate::Step::Day);
        let expected =
            r#"{"usage":{"of":{"owner":{"tenant":"acme","name":"alice"}},"since":null,"until":null,"step":"day"}}"#;
        comes_back(&Request::Usage(alice), expected);
        let most_used = Request::MostUsed { since: DateTime::from_timestamp(1_900_000_000, 0).unwrap(), limit: 10 };
        comes_back(&most_used, r#"{"most_used":{"since":"2030-03-17T17:46:40Z","limit":10}}"#);
        for text in [r#"{"usage":{"of":"store"}}"#, r#"{"usage":{"of":{"owner":{"name":"alice"}},"step":"minute"}}"#] {
            assert_eq!(serde_json::from_str::<Request>(text).unwrap().name(), "usage");
        }
        assert!(serde_json::from_str::<Request>(r#"{"usage":{"of":"store","limit":1}}"#).is_err());
    }

    /// Without its cap, a key could do more than the acting key may give it.
    #[test]
    fn what_belongs_to_this_process_is_neither_sent_nor_left_out() {
        let store = KeyStore::temporary().unwrap();
        let actor = store.verify(store.create(NewKey::for_owner("a")).unwrap().key.expose_secret()).unwrap();
        let imported = NewKey::for_owner("a").imported(Imported::raw("legacy-7f3a9c1e5b2d4860"), ImportScheme::Whole);
        for key in [NewKey::for_owner("a").within(&actor), imported, NewKey::for_owner("a").idempotency_key("k")] {
            let error = serde_json::to_string(&Request::Create(Box::new(key))).unwrap_err().to_string();
            assert!(error.ends_with("are not sent"), "{error}");
        }
        let change = Box::new(KeyUpdate::new().name("ci").within(&actor));
        assert!(serde_json::to_string(&Request::Update { id: actor.id(), change }).is_err());
        for (field, value) in [
            ("within", "null"),
            ("imported", "null"),
            ("allow_weak", "true"),
            ("idempotency_key", "\"k\""),
            ("other", "1"),
        ] {
            let text = format!(r#"{{"create":{{"owner":"a","{field}":{value}}}}}"#);
            assert!(serde_json::from_str::<Request>(&text).is_err(), "{text}");
        }
    }
}
