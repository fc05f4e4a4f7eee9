//! The kinds of events: one table for what is stored, what callers see, and the names to filter by.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::access::limit::{Limit, StoredLimit};
use crate::access::quota::{Quota, StoredQuota};
use crate::base::codec::tail::{Field, Tag, TailReader, TailWriter, critical, ignorable};
use crate::base::codec::{CodecError, Newer};
use crate::key::event::changes::Changes;
use crate::key::rotation::overlap::OverlapEnd;

/// Tags of the fields of events. Those of [`Changes`] are 32 to 45; those of the actor are below these.
mod tag {
    use super::{Tag, critical, ignorable};

    pub(super) const VERSION: Tag = critical(8);
    pub(super) const OVERLAP: Tag = critical(9);
    pub(super) const ENDED: Tag = critical(10);
    pub(super) const USED: Tag = critical(11);
    pub(super) const REASON: Tag = ignorable(12);
    pub(super) const REVOKED: Tag = critical(13);
    pub(super) const DISABLED: Tag = critical(14);
    pub(super) const SHORTENED: Tag = critical(15);
    pub(super) const BACKUP: Tag = critical(16);
    pub(super) const OLD: Tag = critical(17);
    pub(super) const RECORDS: Tag = critical(18);
    pub(super) const EVENTS: Tag = critical(19);
    pub(super) const FROM: Tag = critical(20);
    pub(super) const TO: Tag = critical(21);
    pub(super) const LAST: Tag = critical(22);
    pub(super) const USED_AT: Tag = critical(23);
    pub(super) const ROLE: Tag = critical(24);
    pub(super) const GRANTS_FROM: Tag = critical(25);
    pub(super) const GRANTS_TO: Tag = critical(26);
    pub(super) const CREATED: Tag = critical(27);
    pub(super) const TENANT: Tag = critical(28);
    pub(super) const LIMIT_FROM: Tag = critical(29);
    pub(super) const LIMIT_TO: Tag = critical(30);
    pub(super) const OWNER: Tag = critical(31);
    pub(super) const CHANGES: Tag = critical(32);
    pub(super) const QUOTA_FROM: Tag = critical(46);
    pub(super) const QUOTA_TO: Tag = critical(47);
}

/// Declares the kinds: the stored number, the variant, its name, and its fields with their tags.
macro_rules! event_kinds {
    ($(
        $(#[$doc:meta])*
        $code:literal $variant:ident $name:tt $({ $($(#[$field_doc:meta])* $field:ident: $type:ty = $tag:ident $(skip $skip:literal)?,)+ })?
    )+) => {
        /// The kind of an event, with its fields.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        #[non_exhaustive]
        pub enum EventKind {
            $(
                $(#[$doc])*
                #[serde(rename = $name)]
                $variant $({ $($(#[$field_doc])* $(#[serde(default, skip_serializing_if = $skip)])? $field: $type,)+ })?,
            )+
        }

        impl EventKind {
            /// The names of all kinds, as [`name`](Self::name) gives them.
            pub const NAMES: [&str; [$($code),+].len()] = [$($name),+];

            /// Returns the name of the kind, as it serialises: `revoked`.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant $({ $($field: _),+ })? => $name,)+
                }
            }

            /// Returns the number of the kind in a store.
            pub(crate) fn code(&self) -> u8 {
                match self {
                    $(Self::$variant $({ $($field: _),+ })? => $code,)+
                }
            }

            pub(crate) fn put(&self, tail: &mut TailWriter) -> Result<(), CodecError> {
                match self {
                    $(Self::$variant $({ $($field),+ })? => { $($($field.put(tag::$tag, tail)?;)+)? })+
                }
                Ok(())
            }

            pub(crate) fn take(code: u8, tail: &mut TailReader<'_>) -> Result<Self, CodecError> {
                match code {
                    $($code => Ok(Self::$variant $({ $($field: Field::take(tag::$tag, tail)?),+ })?),)+
                    0 => Err(CodecError::Payload(None)),
                    newer => Err(CodecError::Newer(Newer::Event(newer))),
                }
            }
        }
    };
}

event_kinds! {
    /// A call created a key.
    1 Created "created"
    /// A call imported a key that another system issued.
    2 Imported "imported"
    /// A call changed fields of a key.
    3 Updated "updated" {
        /// What changed.
        changes: Changes = CHANGES,
    }
    /// A key was disabled.
    4 Disabled "disabled" {
        /// What changed besides, by the same call.
        changes: Changes = CHANGES skip "Changes::is_empty",
    }
    /// A key that was disabled was enabled.
    5 Enabled "enabled" {
        /// What changed besides, by the same call.
        changes: Changes = CHANGES skip "Changes::is_empty",
    }
    /// A key got a new secret.
    6 Rotated "rotated" {
        /// The number of the new secret.
        version: u32 = VERSION,
        /// When the old secrets end; `None` if they ended at once.
        overlap: Option<OverlapEnd> = OVERLAP,
    }
    /// A caller used a new secret for the first time.
    7 FirstUsed "first_used" {
        /// The number of the secret.
        version: u32 = VERSION,
        /// The numbers of the older secrets that this ended, if another node of a cluster had replaced the new one before it
        /// knew of the use.
        ended: Vec<u32> = ENDED skip "Vec::is_empty",
    }
    /// The store erased superseded secrets that have ended.
    8 SecretsErased "secrets_erased"
    /// A key was revoked.
    9 Revoked "revoked" {
        /// The reason, as the caller gave it.
        reason: String = REASON,
    }
    /// A purge deleted the record of a key.
    10 Purged "purged"
    /// An operator restored the store from a backup.
    11 Restored "restored" {
        /// The number of the backup's last event.
        backup: u64 = BACKUP,
        /// The number of the last event of the store that it replaced, if that was readable.
        old: Option<u64> = OLD,
    }
    /// A restore or a salvage reapplied the restrictions of a key that the old store still showed.
    12 Reapplied "reapplied" {
        /// Whether it revoked the key.
        revoked: bool = REVOKED,
        /// Whether it disabled the key.
        disabled: bool = DISABLED,
        /// The numbers of the secrets that it ended.
        ended: Vec<u32> = ENDED,
        /// The numbers of the secrets that end sooner.
        shortened: Vec<u32> = SHORTENED,
        /// The other fields that it restricted: permissions, times, limit or networks.
        changes: Changes = CHANGES skip "Changes::is_empty",
    }
    /// An operator salvaged the store from a damaged one.
    13 Salvaged "salvaged" {
        /// The number of keys that were intact.
        records: u64 = RECORDS,
        /// The number of events that were intact.
        events: u64 = EVENTS,
    }
    /// A rotator gave a key a new secret, which is valid and waits for its delivery.
    14 Staged "staged" {
        /// The number of the new secret.
        version: u32 = VERSION,
        /// The numbers of the earlier waiting secrets that this ended.
        ended: Vec<u32> = ENDED,
    }
    /// A waiting secret was delivered or used, and is now the current one.
    15 Promoted "promoted" {
        /// The number of the secret.
        version: u32 = VERSION,
        /// When the secret before it ends.
        overlap: OverlapEnd = OVERLAP,
        /// The numbers of the other waiting secrets that this ended.
        ended: Vec<u32> = ENDED,
        /// Whether a caller used the secret before the sink confirmed its delivery.
        used: bool = USED,
    }
    /// A call replaced the secrets of a leaked key: every secret ended at once, and the key has a new one.
    16 Replaced "replaced" {
        /// The number of the new secret.
        version: u32 = VERSION,
        /// The reason, as the caller gave it.
        reason: String = REASON,
    }
    /// An operator set the store's time, which was ahead of its clock, back to that of the clock.
    17 ClockAccepted "clock_accepted" {
        /// The store's time before.
        from: DateTime<Utc> = FROM,
        /// The store's time after: that of the clock.
        to: DateTime<Utc> = TO,
    }
    /// The store is about to purge the oldest events, up to and including one. It deletes them once this event is on
    /// disk.
    18 EventsPurged "events_purged" {
        /// The number of the last event that the store purges.
        last: u64 = LAST,
    }
    /// A node of a cluster made known that somebody uses a key with an idle end
    /// ([`NewKey::idle_after`](crate::NewKey::idle_after)). Nodes do so about once in a quarter of its time.
    19 InUse "in_use" {
        /// The time of the use.
        used_at: DateTime<Utc> = USED_AT,
    }
    /// A call put a role: it created the role, or changed what the role grants or its description.
    20 RolePut "role_put" {
        /// The name of the role.
        role: String = ROLE,
        /// Whether there was no role of this name before.
        created: bool = CREATED,
        /// The grants before.
        from: Vec<String> = GRANTS_FROM,
        /// The grants after.
        to: Vec<String> = GRANTS_TO,
    }
    /// A call deleted a role that no key had.
    21 RoleDeleted "role_deleted" {
        /// The name of the role.
        role: String = ROLE,
        /// What it granted.
        from: Vec<String> = GRANTS_FROM,
    }
    /// A call put a tenant: it set or changed the bounds of all keys of the tenant.
    22 TenantPut "tenant_put" {
        /// The name of the tenant.
        tenant: String = TENANT,
        /// Whether nobody had put this tenant before.
        created: bool = CREATED,
        /// The ceiling before; `*` is everything.
        from: Vec<String> = GRANTS_FROM,
        /// The ceiling after.
        to: Vec<String> = GRANTS_TO,
        /// The limit that its keys shared before.
        limit_from: Option<Limit> = LIMIT_FROM,
        /// The limit that they share after.
        limit_to: Option<Limit> = LIMIT_TO,
        /// The quota that its keys shared before.
        quota_from: Option<Quota> = QUOTA_FROM,
        /// The quota that they share after.
        quota_to: Option<Quota> = QUOTA_TO,
    }
    /// A call ended a tenant, and with it all of its keys.
    23 TenantEnded "tenant_ended" {
        /// The name of the tenant.
        tenant: String = TENANT,
        /// The reason, as the caller gave it.
        reason: String = REASON,
    }
    /// A call put an owner: it set, changed or removed the bounds of all keys of the owner.
    24 OwnerPut "owner_put" {
        /// The name of the owner.
        owner: String = OWNER,
        /// The tenant whose owner it is; `None` for an owner of no tenant.
        tenant: Option<String> = TENANT,
        /// The quota that its keys shared before.
        quota_from: Option<Quota> = QUOTA_FROM,
        /// The quota that they share after.
        quota_to: Option<Quota> = QUOTA_TO,
    }
}

impl Field for Quota {
    fn put(&self, tag: Tag, tail: &mut TailWriter) -> Result<(), CodecError> {
        tail.put(tag, &self.to_stored())
    }

    fn take(tag: Tag, tail: &mut TailReader<'_>) -> Result<Self, CodecError> {
        tail.need::<StoredQuota>(tag).map(|stored| Self::stored(&stored))
    }
}

impl Field for Limit {
    fn put(&self, tag: Tag, tail: &mut TailWriter) -> Result<(), CodecError> {
        tail.put(tag, &self.to_stored())
    }

    fn take(tag: Tag, tail: &mut TailReader<'_>) -> Result<Self, CodecError> {
        tail.need::<StoredLimit>(tag).map(|stored| Self::stored(&stored))
    }
}

impl Field for DateTime<Utc> {
    fn put(&self, tag: Tag, tail: &mut TailWriter) -> Result<(), CodecError> {
        tail.put(tag, &self.timestamp_millis())
    }

    fn take(tag: Tag, tail: &mut TailReader<'_>) -> Result<Self, CodecError> {
        Self::from_timestamp_millis(tail.need(tag)?).ok_or(CodecError::Payload(None))
    }
}

/// Empty for the first use; otherwise the time.
impl Field for OverlapEnd {
    fn put(&self, tag: Tag, tail: &mut TailWriter) -> Result<(), CodecError> {
        match self {
            Self::FirstUse => {
                tail.bytes(tag, Vec::new());
                Ok(())
            }
            Self::At(end) => end.put(tag, tail),
        }
    }

    fn take(tag: Tag, tail: &mut TailReader<'_>) -> Result<Self, CodecError> {
        match tail.bytes(tag) {
            None => Err(CodecError::Payload(None)),
            Some([]) => Ok(Self::FirstUse),
            Some(content) => {
                let end = crate::base::codec::payload::whole(content)?;
                DateTime::from_timestamp_millis(end).map(Self::At).ok_or(CodecError::Payload(None))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_those_of_json() {
        let mut names = EventKind::NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), EventKind::NAMES.len());
        let kind = EventKind::ClockAccepted { from: DateTime::UNIX_EPOCH, to: DateTime::UNIX_EPOCH };
        let json = serde_json::to_value(&kind).unwrap();
        assert_eq!(json["kind"], kind.name());
        assert_eq!(serde_json::from_value::<EventKind>(json).unwrap(), kind);
        assert_eq!(serde_json::to_string(&EventKind::Created).unwrap(), r#"{"kind":"created"}"#);
        assert_eq!(
            serde_json::to_string(&EventKind::Disabled { changes: Changes::default() }).unwrap(),
            r#"{"kind":"disabled"}"#
        );
    }
}
