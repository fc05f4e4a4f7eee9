//! What can be asked.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::key::change::Overlap;
use crate::key::event::filter::EventFilter;
use crate::key::key_filter::KeyFilter;
use crate::key::key_update::KeyUpdate;
use crate::key::new_key::NewKey;
use crate::key::rotation_policy::RotationPolicy;
use crate::token::imported::{ImportScheme, Imported};
use crate::token::key_id::KeyId;

use crate::admin::SecretText;

/// What can be asked of a store.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Request {
    /// How the store stands with its disk: [`Answer::Health`](crate::admin::Answer::Health).
    Health,
    /// The same, its events checked and its keys counted: [`Answer::Diagnosis`](crate::admin::Answer::Diagnosis).
    Diagnose,
    /// A new key: [`Answer::Made`](crate::admin::Answer::Made).
    Create(NewKeyForm),
    /// A key: [`Answer::Key`](crate::admin::Answer::Key).
    Get {
        /// Which.
        id: KeyId,
    },
    /// A page of keys, which may be shorter than was asked: [`Answer::Keys`](crate::admin::Answer::Keys).
    List(KeyFilter),
    /// Other fields: [`Answer::Changed`](crate::admin::Answer::Changed).
    Update {
        /// Of which key.
        id: KeyId,
        /// Which fields.
        change: UpdateForm,
    },
    /// A new secret: [`Answer::Made`](crate::admin::Answer::Made).
    Rotate {
        /// For which key.
        id: KeyId,
        /// How long the old one stays good.
        overlap: OverlapForm,
    },
    /// The end of a key: [`Answer::Changed`](crate::admin::Answer::Changed).
    Revoke {
        /// Which.
        id: KeyId,
        /// Why.
        reason: String,
    },
    /// The end of all keys of an owner: [`Answer::Count`](crate::admin::Answer::Count) of those that were not revoked before.
    RevokeOwner {
        /// Whose.
        owner: String,
        /// Why.
        reason: String,
    },
    /// Whether a token is good, and for what. It is no use of the key: [`Answer::Verdict`](crate::admin::Answer::Verdict).
    Check {
        /// The token.
        token: SecretText,
        /// What it must be allowed to do, all of it.
        permissions: Vec<String>,
        /// Where it is presented from; if it is not given, the key's networks are not asked about.
        peer: Option<IpAddr>,
    },
    /// Keys issued elsewhere: [`Answer::Imports`](crate::admin::Answer::Imports).
    Import(ExternalKeys),
    /// Lines as an export writes them: [`Answer::Imports`](crate::admin::Answer::Imports).
    ImportLines {
        /// The lines. They may hold digests.
        lines: SecretText,
        /// Whether they are only checked.
        check_only: bool,
    },
    /// Some keys as lines of JSON: [`Answer::Lines`](crate::admin::Answer::Lines).
    Export {
        /// Those made after this one.
        after: Option<KeyId>,
        /// Whether with the digests of their secrets.
        digests: bool,
    },
    /// A backup: [`Answer::BackedUp`](crate::admin::Answer::BackedUp).
    Backup {
        /// Into this file, by its whole path.
        path: PathBuf,
    },
    /// A page of what happened, which may be shorter than was asked: [`Answer::Events`](crate::admin::Answer::Events).
    Events(EventFilter),
    /// Rotations that are due, and what goes with them: [`Answer::Run`](crate::admin::Answer::Run).
    RunDue {
        /// Where new secrets go.
        to: SinkForm,
    },
    /// Records that are not needed any more are deleted: [`Answer::Count`](crate::admin::Answer::Count).
    Purge {
        /// Of keys that were revoked, or expired, before this time.
        before: DateTime<Utc>,
    },
    /// Events are deleted: [`Answer::Count`](crate::admin::Answer::Count).
    PurgeEvents {
        /// Those before this time.
        before: DateTime<Utc>,
    },
    /// The store's time is put back to that of its clock: [`Answer::Clock`](crate::admin::Answer::Clock).
    AcceptClock,
}

impl Request {
    /// Its name, as it stands in a message.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Diagnose => "diagnose",
            Self::Create(_) => "create",
            Self::Get { .. } => "get",
            Self::List(_) => "list",
            Self::Update { .. } => "update",
            Self::Rotate { .. } => "rotate",
            Self::Revoke { .. } => "revoke",
            Self::RevokeOwner { .. } => "revoke_owner",
            Self::Check { .. } => "check",
            Self::Import(_) => "import",
            Self::ImportLines { .. } => "import_lines",
            Self::Export { .. } => "export",
            Self::Backup { .. } => "backup",
            Self::Events(_) => "events",
            Self::RunDue { .. } => "run_due",
            Self::Purge { .. } => "purge",
            Self::PurgeEvents { .. } => "purge_events",
            Self::AcceptClock => "accept_clock",
        }
    }
}

/// A new key, as [`NewKey`] has it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKeyForm {
    /// Whose.
    pub owner: String,
    /// What for.
    pub name: Option<String>,
    /// What it may do.
    pub permissions: Vec<String>,
    /// Entries of the operator's own.
    pub metadata: BTreeMap<String, String>,
    /// From when on it is good.
    pub not_before: Option<DateTime<Utc>>,
    /// When it ends.
    pub expiry: Option<Expiry>,
    /// By what policy it rotates itself.
    pub rotation: Option<RotationForm>,
    /// How often it may be used.
    pub limit: Option<LimitForm>,
    /// The networks that it may be used from; `None`: anywhere.
    pub networks: Option<Vec<String>>,
}

/// How often a key may be used.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitForm {
    /// So many times.
    pub count: u32,
    /// In so many milliseconds.
    pub per_ms: i64,
}

/// How a key rotates itself, as [`RotationPolicy`] has it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotationForm {
    /// The milliseconds between two rotations.
    pub every_ms: i64,
    /// How long the old secret stays good, if that is said.
    pub overlap: Option<OverlapForm>,
}

impl From<RotationForm> for RotationPolicy {
    fn from(form: RotationForm) -> Self {
        let policy = Self::every(span(form.every_ms));
        form.overlap.map_or(policy, |overlap| policy.overlap(overlap.into()))
    }
}

/// Where new secrets are delivered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SinkForm {
    /// Into a file for each key in this directory, by its whole path: a
    /// [`DirectorySink`](crate::rotation::sink::directory::DirectorySink).
    Directory(PathBuf),
    /// To the standard input of a program: a [`CommandSink`](crate::rotation::sink::command::CommandSink).
    Command {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
        /// The variables that it gets of the environment of the process that starts it, beside the
        /// [usual ones](crate::rotation::sink::command::CommandSink).
        #[serde(default)]
        environment: Vec<String>,
    },
}

/// When a new key ends.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expiry {
    /// So many milliseconds after it was made.
    InMilliseconds(i64),
    /// At this time.
    At(DateTime<Utc>),
}

impl Expiry {
    /// So long after it was made.
    #[must_use]
    pub fn after(span: TimeDelta) -> Self {
        Self::InMilliseconds(span.num_milliseconds())
    }
}

fn span(milliseconds: i64) -> TimeDelta {
    TimeDelta::try_milliseconds(milliseconds).unwrap_or(TimeDelta::MIN)
}

impl From<NewKeyForm> for NewKey {
    fn from(form: NewKeyForm) -> Self {
        let mut new = Self::for_owner(form.owner).permissions(form.permissions);
        if let Some(name) = form.name {
            new = new.name(name);
        }
        for (name, value) in form.metadata {
            new = new.metadata(name, value);
        }
        if let Some(start) = form.not_before {
            new = new.not_before(start);
        }
        if let Some(rotation) = form.rotation {
            new = new.rotation(rotation.into());
        }
        if let Some(limit) = form.limit {
            new = new.limit(limit.count, span(limit.per_ms));
        }
        if let Some(networks) = form.networks {
            new = new.networks(networks);
        }
        match form.expiry {
            Some(Expiry::InMilliseconds(milliseconds)) => new.expires_in(span(milliseconds)),
            Some(Expiry::At(end)) => new.expires_at(end),
            None => new,
        }
    }
}

/// A change of fields, as [`KeyUpdate`] has it; what is not named stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateForm {
    /// Another name.
    pub name: Option<String>,
    /// No name.
    pub no_name: bool,
    /// Other permissions, in place of all.
    pub permissions: Option<Vec<String>>,
    /// Another end.
    pub expires_at: Option<DateTime<Utc>>,
    /// No end.
    pub never_expires: bool,
    /// Off, or on again.
    pub disabled: Option<bool>,
    /// Another policy.
    pub rotation: Option<RotationForm>,
    /// No policy.
    pub no_rotation: bool,
    /// Another limit.
    pub limit: Option<LimitForm>,
    /// No limit.
    pub no_limit: bool,
    /// Other networks, in place of all.
    pub networks: Option<Vec<String>>,
    /// Good anywhere.
    pub any_network: bool,
    /// Entries to set, or to take away (`None`).
    pub metadata: BTreeMap<String, Option<String>>,
}

impl From<UpdateForm> for KeyUpdate {
    fn from(form: UpdateForm) -> Self {
        let mut update = Self::new();
        if let Some(name) = form.name {
            update = update.name(name);
        }
        if form.no_name {
            update = update.without_name();
        }
        if let Some(permissions) = form.permissions {
            update = update.permissions(permissions);
        }
        if let Some(end) = form.expires_at {
            update = update.expires_at(end);
        }
        if form.never_expires {
            update = update.expires_at(None);
        }
        if let Some(disabled) = form.disabled {
            update = update.disabled(disabled);
        }
        if let Some(rotation) = form.rotation {
            update = update.rotation(rotation.into());
        }
        if form.no_rotation {
            update = update.no_rotation();
        }
        if let Some(limit) = form.limit {
            update = update.limit(limit.count, span(limit.per_ms));
        }
        if form.no_limit {
            update = update.no_limit();
        }
        if let Some(networks) = form.networks {
            update = update.networks(networks);
        }
        if form.any_network {
            update = update.any_network();
        }
        for (name, value) in form.metadata {
            update = match value {
                Some(value) => update.metadata(name, value),
                None => update.without_metadata(name),
            };
        }
        update
    }
}

/// How long an old secret stays good, as [`Overlap`] has it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverlapForm {
    /// Not at all.
    None,
    /// So many milliseconds.
    Milliseconds(i64),
    /// Until the new one is used.
    FirstUse,
}

impl From<Overlap> for OverlapForm {
    fn from(overlap: Overlap) -> Self {
        match overlap {
            Overlap::None => Self::None,
            Overlap::For(span) => Self::Milliseconds(span.num_milliseconds()),
            Overlap::UntilFirstUse => Self::FirstUse,
        }
    }
}

impl From<OverlapForm> for Overlap {
    fn from(form: OverlapForm) -> Self {
        match form {
            OverlapForm::None => Self::None,
            OverlapForm::Milliseconds(milliseconds) => Self::For(span(milliseconds)),
            OverlapForm::FirstUse => Self::UntilFirstUse,
        }
    }
}

/// Keys issued elsewhere, and what is the same for all of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalKeys {
    /// What the entries hold.
    pub form: EntryForm,
    /// Which part of a key its issuer hashed.
    pub scheme: ImportScheme,
    /// What they may do.
    pub permissions: Vec<String>,
    /// When they end.
    pub expiry: Option<Expiry>,
    /// Whether keys whose secret has fewer than 20 bytes are taken.
    pub allow_weak: bool,
    /// Whether nothing is imported, and all that would be refused is told. What one session was asked so counts for its
    /// next such request: a key that comes twice is refused the second time.
    pub check_only: bool,
    /// The keys.
    pub entries: Vec<Entry>,
}

/// What entries hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryForm {
    /// The keys themselves.
    Raw,
    /// SHA-256 in hexadecimal.
    Sha256,
    /// SHA-512 in hexadecimal.
    Sha512,
}

/// A key issued elsewhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What the report calls it, such as the number of its line.
    pub line: u64,
    /// The key, or its digest.
    pub key: SecretText,
    /// Whose.
    pub owner: String,
    /// What for.
    pub name: Option<String>,
}

impl ExternalKeys {
    /// One of them, as a new key.
    pub(crate) fn new_key(&self, entry: &Entry) -> NewKey {
        let text = entry.key.expose_secret();
        let imported = match self.form {
            EntryForm::Raw => Imported::raw(text),
            EntryForm::Sha256 => Imported::sha256_hex(text),
            EntryForm::Sha512 => Imported::sha512_hex(text),
        };
        let form = NewKeyForm {
            owner: entry.owner.clone(),
            name: entry.name.clone(),
            permissions: self.permissions.clone(),
            expiry: self.expiry,
            ..NewKeyForm::default()
        };
        let new = NewKey::from(form).imported(imported, self.scheme);
        if self.allow_weak { new.allow_weak() } else { new }
    }
}
