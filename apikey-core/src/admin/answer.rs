//! What is answered.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::access::auth_error::AuthError;
use crate::base::clock_lead::AcceptedClock;
use crate::copies::backup_report::BackupReport;
use crate::key::event::chain::EventsReport;
use crate::key::event::filter::EventPage;
use crate::key::key_filter::Page;
use crate::key::key_info::KeyInfo;
use crate::rotation::report::RunReport;
use crate::store::health::Health;
use crate::token::key_id::KeyId;

use crate::admin::{Fault, SecretText};

/// What a request is answered with; the request's own documentation says by which.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Answer {
    /// It was not done.
    Fault(Fault),
    /// How the store stands with its disk.
    Health(Health),
    /// How the store is.
    Diagnosis(Diagnosis),
    /// A key and its secret.
    Made(Box<Made>),
    /// A key.
    Key(Box<KeyInfo>),
    /// A key that is as was asked.
    Changed(Box<Changed>),
    /// Some keys.
    Keys(Page),
    /// Some of what happened.
    Events(EventPage),
    /// How many.
    Count(u64),
    /// Whether a token is good.
    Verdict(Box<Verdict>),
    /// What came of an import.
    Imports(Imports),
    /// Lines of JSON.
    Lines(Lines),
    /// A backup that was made.
    BackedUp(BackupReport),
    /// What was due.
    Run(RunReport),
    /// How far the store's time was put back; none if it was not ahead.
    Clock(Option<AcceptedClock>),
}

/// A key after a change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Changed {
    /// The key.
    pub key: KeyInfo,
    /// Whether anything changed: `false` if it was so already.
    pub changed: bool,
}

/// A key that was made or rotated: the one time that its secret can be read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Made {
    /// The token.
    pub secret: SecretText,
    /// All else.
    pub key: KeyInfo,
}

/// How a store is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// How it stands with its disk.
    pub health: Health,
    /// What its chain of events shows.
    pub events: EventsReport,
    /// How many keys stand how, by the name of the state.
    pub keys: BTreeMap<String, u64>,
}

impl Diagnosis {
    /// Whether no fault was found.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.health.is_good() && self.health.ahead.is_none() && self.events.is_whole()
    }
}

/// Whether a token is good, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is.
    Good {
        /// Its key.
        key: Box<KeyInfo>,
        /// The number of the secret that was presented.
        secret_version: u32,
        /// Whether it is an old one, whose successor is out.
        superseded: bool,
        /// When that old one ends, if a time was set.
        superseded_until: Option<DateTime<Utc>>,
    },
    /// It is not.
    Bad {
        /// The code of the [`AuthError`](crate::AuthError).
        code: String,
        /// Its text.
        text: String,
        /// Why no secret matches, if none does.
        why: Option<Mismatch>,
        /// Its key. Where no secret matches, the one that the token names.
        key: Option<Box<KeyInfo>>,
        /// The number of the secret that was presented, if it is one of the key's.
        secret_version: Option<u32>,
    },
}

impl Verdict {
    /// It is not, for this reason.
    pub(crate) fn bad(error: &AuthError) -> Self {
        Self::Bad { code: error.code().to_owned(), text: error.to_string(), why: None, key: None, secret_version: None }
    }

    /// No secret matches.
    pub(crate) fn because(mut self, mismatch: Mismatch, named: Option<Box<KeyInfo>>) -> Self {
        if let Self::Bad { why, key, .. } = &mut self {
            (*why, *key) = (Some(mismatch), named);
        }
        self
    }

    /// A secret of this key was presented.
    pub(crate) fn of(mut self, held: Option<Box<KeyInfo>>, number: u32) -> Self {
        if let Self::Bad { key, secret_version, .. } = &mut self {
            (*key, *secret_version) = (held, Some(number));
        }
        self
    }
}

/// Why a token's secret is that of no key. Only an operator is told; a caller learns that the key is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mismatch {
    /// It has not the form of one of the store's keys, and no such key was imported.
    Form,
    /// It names a key that is not in the store.
    NoSuchKey,
    /// It names a key that has other secrets.
    NotItsSecret,
    /// It is a secret whose time is over.
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

/// Some keys as lines of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    /// The lines, each with its end. They may hold digests.
    pub lines: SecretText,
    /// How many.
    pub count: u64,
    /// There may be more: ask again after this key.
    pub next: Option<KeyId>,
}

/// What came of an import.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Imports {
    /// How many keys were imported, or would be.
    pub imported: u64,
    /// Their ids, of keys issued elsewhere; none of a mere check.
    pub ids: Vec<KeyId>,
    /// Those of imported lines that have no secret: each begins to work when it is rotated.
    pub awaiting_rotation: Vec<KeyId>,
    /// What was not imported.
    pub refused: Vec<RefusedEntry>,
}

/// What was not imported, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedEntry {
    /// Which: the entry's own number, or that of the line among those that were sent, from 1 on.
    pub line: u64,
    /// Why. It holds nothing that the line held.
    pub text: String,
}
