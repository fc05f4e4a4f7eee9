//! Events as callers see them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::base::time::from_ms;
use crate::key::event::stored;
use crate::key::key_info::OverlapEnd;
use crate::token::key_id::KeyId;

/// One change of the store, as its history tells it. It serialises, and holds neither secret nor digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    number: u64,
    at: DateTime<Utc>,
    actor: Option<String>,
    key: Option<KeyId>,
    #[serde(flatten)]
    kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A key was created.
    Created,
    /// A key that was issued elsewhere was taken over.
    Imported,
    /// Fields of a key were set.
    Updated {
        /// Which.
        fields: Vec<String>,
    },
    /// A key got a new secret.
    Rotated {
        /// The number of the new secret.
        version: u32,
        /// When the old secrets end; `None`: at once.
        overlap: Option<OverlapEnd>,
    },
    /// A new secret was used for the first time.
    FirstUsed {
        /// The number of the secret.
        version: u32,
    },
    /// Superseded secrets were erased after their end.
    SecretsErased,
    /// A key was revoked.
    Revoked {
        /// Why.
        reason: String,
    },
    /// The record of a key was deleted.
    Purged,
    /// The store was restored from a backup.
    Restored {
        /// The number of the backup's last event.
        backup: u64,
        /// The number of the last event of the store it took the place of, if that could be read.
        old: Option<u64>,
    },
    /// While the store was restored, a key lost what the old store showed it had lost.
    Reapplied {
        /// Whether it was revoked.
        revoked: bool,
        /// Whether it was disabled.
        disabled: bool,
        /// The numbers of secrets that ended.
        ended: Vec<u32>,
        /// Whether its permissions, its time, its limit or its networks became less.
        narrowed: bool,
    },
    /// The store was put together from what a damaged one still had.
    Salvaged {
        /// How many keys were whole.
        records: u64,
        /// How many events were.
        events: u64,
    },
    /// A key that rotates itself got a new secret, which is good, and waits for its delivery.
    Staged {
        /// The number of the new secret.
        version: u32,
        /// The numbers of secrets that waited before it, and have ended.
        ended: Vec<u32>,
    },
    /// A secret that waited was delivered, or used, and is the current one.
    Promoted {
        /// The number of the secret.
        version: u32,
        /// When the one before ends.
        overlap: Option<OverlapEnd>,
        /// The numbers of other secrets that waited, and have ended.
        ended: Vec<u32>,
        /// Whether it was used before its delivery was confirmed.
        used: bool,
    },
    /// A key leaked: every secret ended at once, and a new one was made.
    Replaced {
        /// The number of the new secret.
        version: u32,
        /// Why, as given.
        reason: String,
    },
    /// The store's time was ahead of its clock, and an operator has put it back.
    ClockAccepted {
        /// What it was.
        from: DateTime<Utc>,
        /// What it became: that of the clock.
        to: DateTime<Utc>,
    },
}

impl Event {
    pub(crate) fn new(event: stored::Event) -> Self {
        Self {
            number: event.number,
            at: from_ms(event.at),
            actor: event.actor,
            key: (event.key != 0).then(|| KeyId::from_u128(event.key)),
            kind: EventKind::new(event.kind),
        }
    }

    /// Its number: 1 for the first change of the store, without gaps.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When, to the millisecond, by the store's time: that of its clock, and never before the event before it, but for
    /// [`ClockAccepted`](EventKind::ClockAccepted).
    #[must_use]
    pub fn at(&self) -> DateTime<Utc> {
        self.at
    }

    /// Who did it, where that was told.
    #[must_use]
    pub fn actor(&self) -> Option<&str> {
        self.actor.as_deref()
    }

    /// The key it happened to; `None` if it happened to the whole store.
    #[must_use]
    pub fn key(&self) -> Option<KeyId> {
        self.key
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> &EventKind {
        &self.kind
    }
}

impl EventKind {
    /// The names of all kinds, as [`name`](Self::name) gives them.
    pub const NAMES: [&str; 15] = [
        "created",
        "imported",
        "updated",
        "rotated",
        "first_used",
        "secrets_erased",
        "revoked",
        "purged",
        "restored",
        "reapplied",
        "salvaged",
        "staged",
        "promoted",
        "replaced",
        "clock_accepted",
    ];

    pub(crate) fn new(kind: stored::EventKind) -> Self {
        use stored::EventKind as Stored;
        match kind {
            Stored::Created => Self::Created,
            Stored::Imported => Self::Imported,
            Stored::Updated(fields) => Self::Updated { fields },
            Stored::Rotated { version, ends } => Self::Rotated { version, overlap: ends.and_then(OverlapEnd::of) },
            Stored::FirstUsed { version } => Self::FirstUsed { version },
            Stored::SecretsErased => Self::SecretsErased,
            Stored::Revoked { reason } => Self::Revoked { reason },
            Stored::Purged => Self::Purged,
            Stored::Restored { backup, old } => Self::Restored { backup, old },
            Stored::Reapplied { revoked, disabled, ended, narrowed } => {
                Self::Reapplied { revoked, disabled, ended, narrowed }
            }
            Stored::Salvaged { records, events } => Self::Salvaged { records, events },
            Stored::Staged { version, ended } => Self::Staged { version, ended },
            Stored::Promoted { version, end, ended, used } => {
                Self::Promoted { version, overlap: OverlapEnd::of(end), ended, used }
            }
            Stored::Replaced { version, reason } => Self::Replaced { version, reason },
            Stored::ClockAccepted { from, to } => Self::ClockAccepted { from: from_ms(from), to: from_ms(to) },
        }
    }

    /// Its name, as it serialises: `revoked`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let [created, imported, updated, rotated, used, erased, revoked, purged, restored, reapplied, salvaged, ..] =
            Self::NAMES;
        let [.., staged, promoted, replaced, clock] = Self::NAMES;
        match self {
            Self::Created => created,
            Self::Imported => imported,
            Self::Updated { .. } => updated,
            Self::Rotated { .. } => rotated,
            Self::FirstUsed { .. } => used,
            Self::SecretsErased => erased,
            Self::Revoked { .. } => revoked,
            Self::Purged => purged,
            Self::Restored { .. } => restored,
            Self::Reapplied { .. } => reapplied,
            Self::Salvaged { .. } => salvaged,
            Self::Staged { .. } => staged,
            Self::Promoted { .. } => promoted,
            Self::Replaced { .. } => replaced,
            Self::ClockAccepted { .. } => clock,
        }
    }
}
