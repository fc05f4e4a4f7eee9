//! A key as a line of JSON, for export and import.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::access::identity;
use crate::access::idle;
use crate::access::idle::StoredIdle;
use crate::access::limit::{Limit, LimitLine};
use crate::access::named::Kind;
use crate::access::owner::OwnerRef;
use crate::access::quota::Quota;
use crate::base::codec::tail::Unknown;
use crate::base::json::entries;
use crate::base::store_time::{MAX_LEAD_MS, Moment};
use crate::base::time::{LAST_MS, checked_ms, from_ms};
use crate::copies::named_line::{OWNER, OwnerLine, ROLE, RevokedLine, RoleLine, TENANT, TenantLine, not_json};
use crate::copies::transfer_report::LineFault;
use crate::key::bounds;
use crate::key::builder_json::SpanMs;
use crate::key::error::StoreError;
use crate::key::key_info::KeyInfo;
use crate::key::owner::owner::Owner;
use crate::key::record::{Record, Revocation, SecretEnd, SecretForm, StoredSecret};
use crate::key::role::role::Role;
use crate::key::rotation::policy::RotationLine;
use crate::key::tenant::tenant::Tenant;
use crate::token::digest::hex;
use crate::token::imported::{ImportForm, ImportHash, ImportScheme, from_hex};
use crate::token::key_id::KeyId;

/// The kind of a line of a key.
const KEY: &str = "key";
/// The most live secrets of a key.
const MAX_SECRETS: usize = 3;
/// The fields of a line, also those that follow from the rest, and that no import reads. Another one may limit the key,
/// so a line that has one is refused.
const FIELDS: [&str; 33] = [
    "id",
    "tenant",
    "owner",
    "name",
    "permissions",
    "roles",
    "metadata",
    "labels",
    "prefix",
    "keeps_prefix",
    "created_at",
    "not_before",
    "expires_at",
    "disabled",
    "revoked",
    "last_used_at",
    "uses_total",
    "version",
    "ended_secret",
    "secrets",
    "limit",
    "quota",
    "networks",
    "rotation",
    "idle_after_ms",
    "idle_at",
    "has_secret",
    "secret_until",
    "overlap",
    "hint",
    "secret_expires_at",
    "last_event",
    "state",
];
/// The most that the clock of another machine may be ahead.
const CLOCK_SKEW_MS: i64 = 86_400_000;

/// A line of an export: the key, and the digests of its secrets if the options ask for them.
#[derive(Serialize)]
pub(super) struct Exported<'a> {
    /// The kind of the subject, which `kind` and `id` name.
    kind: &'static str,
    #[serde(flatten)]
    info: &'a KeyInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    secrets: Option<Vec<SecretLine>>,
}

impl<'a> Exported<'a> {
    pub(super) fn new(info: &'a KeyInfo, record: Option<&Record>) -> Self {
        Self { kind: KEY, info, secrets: record.map(|record| record.secrets.iter().map(SecretLine::new).collect()) }
    }
}

/// The fields of a line that an import reads.
#[derive(Deserialize)]
pub(super) struct Line {
    id: KeyId,
    tenant: Option<String>,
    owner: String,
    name: Option<String>,
    #[serde(default)]
    permissions: Vec<String>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "entries")]
    labels: BTreeMap<String, String>,
    prefix: Option<String>,
    #[serde(default)]
    keeps_prefix: bool,
    created_at: Option<DateTime<Utc>>,
    not_before: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    #[serde(default)]
    disabled: bool,
    revoked: Option<RevokedLine>,
    last_used_at: Option<DateTime<Utc>>,
    version: Option<u32>,
    #[serde(default)]
    secrets: Vec<SecretLine>,
    limit: Option<LimitLine>,
    quota: Option<Quota>,
    #[serde(default)]
    networks: Vec<String>,
    rotation: Option<RotationLine>,
    idle_after_ms: Option<SpanMs>,
    idle_at: Option<DateTime<Utc>>,
}

#[derive(Serialize, Deserialize)]
struct SecretLine {
    version: u32,
    digest: String,
    #[serde(default)]
    pepper: u32,
    #[serde(flatten)]
    form: FormLine,
    created_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends: Option<EndLine>,
    #[serde(default)]
    used: bool,
}

/// A store's own secret has a prefix; one issued elsewhere has a scheme and a hash.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum FormLine {
    Own { prefix: String },
    Imported { scheme: SchemeLine, hash: HashLine },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SchemeLine {
    Whole,
    AfterPipe,
    AfterLastUnderscore,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum HashLine {
    Sha256,
    Sha512,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EndLine {
    At(DateTime<Utc>),
    FirstUse,
    /// The secret is pending; its predecessor stays valid for this time after the delivery.
    Pending(Option<i64>),
}

impl SecretLine {
    fn new(secret: &StoredSecret) -> Self {
        Self {
            version: secret.version,
            digest: hex(&secret.digest),
            pepper: secret.pepper,
            form: match &secret.form {
                SecretForm::Own { prefix } => FormLine::Own { prefix: prefix.clone() },
                SecretForm::Imported(form) => FormLine::Imported {
                    scheme: match form.scheme {
                        ImportScheme::Whole => SchemeLine::Whole,
                        ImportScheme::AfterPipe => SchemeLine::AfterPipe,
                        ImportScheme::AfterLastUnderscore => SchemeLine::AfterLastUnderscore,
                    },
                    hash: match form.hash {
                        ImportHash::Sha256 => HashLine::Sha256,
                        ImportHash::Sha512 => HashLine::Sha512,
                    },
                },
            },
            created_at: from_ms(secret.created_at),
            ends: match secret.end {
                SecretEnd::Never => None,
                SecretEnd::At(end) => Some(EndLine::At(from_ms(end))),
                SecretEnd::FirstUse => Some(EndLine::FirstUse),
                SecretEnd::Pending { overlap_ms } => Some(EndLine::Pending(overlap_ms)),
            },
            used: secret.used,
        }
    }

    fn stored(self) -> Result<StoredSecret, LineFault> {
        Ok(StoredSecret {
            version: self.version,
            digest: from_hex(&self.digest).ok_or(LineFault::Secrets)?,
            pepper: self.pepper,
            form: match self.form {
                FormLine::Own { prefix } => SecretForm::Own { prefix },
                FormLine::Imported { scheme, hash } => SecretForm::Imported(ImportForm {
                    scheme: match scheme {
                        SchemeLine::Whole => ImportScheme::Whole,
                        SchemeLine::AfterPipe => ImportScheme::AfterPipe,
                        SchemeLine::AfterLastUnderscore => ImportScheme::AfterLastUnderscore,
                    },
                    hash: match hash {
                        HashLine::Sha256 => ImportHash::Sha256,
                        HashLine::Sha512 => ImportHash::Sha512,
                    },
                }),
            },
            created_at: checked_ms("created_at", self.created_at)?,
            end: match self.ends {
                None => SecretEnd::Never,
                Some(EndLine::At(end)) => SecretEnd::At(checked_ms("ends", end)?),
                Some(EndLine::FirstUse) => SecretEnd::FirstUse,
                Some(EndLine::Pending(overlap_ms)) if overlap_ms.is_none_or(|span| (1..=LAST_MS).contains(&span)) => {
                    SecretEnd::Pending { overlap_ms }
                }
                Some(EndLine::Pending(_)) => return Err(LineFault::Secrets),
            },
            used: self.used,
            is_strong: false,
            unknown: Unknown::default(),
        })
    }
}

/// What a line has.
pub(super) enum Subject {
    Key(Box<Line>),
    Role(Role),
    /// A tenant, and why it has ended.
    Tenant(Tenant, Option<String>),
    /// An owner, and its tenant.
    Owner(Owner, Option<String>),
}

/// A line that cannot be read, and of what it is.
pub(super) struct BadLine {
    pub(super) of: LineOf,
    pub(super) fault: LineFault,
}

/// Of what a line is, as far as it can be read.
pub(super) enum LineOf {
    Key,
    Named(Kind, String),
    /// It may be of any role, tenant or owner.
    Unknown,
}

/// The fields that say of what a line is. A line of another kind has other fields. Lines before 0.1.0 have no kind.
#[derive(Deserialize)]
struct Names {
    kind: Option<String>,
    name: Option<String>,
    /// Of an owner. A key has it, too.
    tenant: Option<serde_json::Value>,
    #[serde(flatten)]
    others: BTreeMap<String, IgnoredAny>,
}

impl Names {
    fn of(&self) -> LineOf {
        let named = |kind| self.name.clone().map_or(LineOf::Unknown, |name| LineOf::Named(kind, name));
        match self.kind.as_deref() {
            Some(ROLE) => named(Kind::Role),
            Some(TENANT) => named(Kind::Tenant),
            Some(OWNER) => {
                let tenant = self.tenant.as_ref().and_then(serde_json::Value::as_str);
                self.name.as_deref().map_or(LineOf::Unknown, |name| LineOf::of_owner(OwnerRef { tenant, name }))
            }
            Some(KEY) => LineOf::Key,
            None if self.others.contains_key("id") && self.others.contains_key("owner") => LineOf::Key,
            None | Some(_) => LineOf::Unknown,
        }
    }
}

impl LineOf {
    pub(super) fn of_owner(owner: OwnerRef<'_>) -> Self {
        Self::Named(Kind::Owner, identity::owner_text(owner).into_owned())
    }
}

impl Subject {
    pub(super) fn parse(text: &[u8]) -> Result<Self, Box<BadLine>> {
        let names: Names = serde_json::from_slice(text)
            .map_err(|error| Box::new(BadLine { of: LineOf::Unknown, fault: not_json(&error) }))?;
        Self::read(text, &names).map_err(|fault| Box::new(BadLine { of: names.of(), fault }))
    }

    fn read(text: &[u8], Names { kind, others, .. }: &Names) -> Result<Self, LineFault> {
        match kind.as_deref() {
            None | Some(KEY) => {}
            Some(ROLE) => return RoleLine::read(text).map(Self::Role),
            Some(TENANT) => return TenantLine::read(text).map(|(tenant, ended)| Self::Tenant(tenant, ended)),
            Some(OWNER) => return OwnerLine::read(text).map(|(owner, tenant)| Self::Owner(owner, tenant)),
            Some(_) => return Err(LineFault::Kind),
        }
        let is_unknown = |name: &&String| !FIELDS.contains(&name.as_str());
        if let Some(name) = others.keys().find(is_unknown) {
            // A name in small letters is no secret.
            let is_name = name.len() <= 32 && name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
            return Err(LineFault::Field { name: is_name.then(|| name.clone()) });
        }
        serde_json::from_slice(text).map(Self::Key).map_err(|error| not_json(&error))
    }
}

impl Line {
    /// Makes the line a record, within the bounds of a key that is created here.
    pub(super) fn record(self, Moment { now, raw }: Moment) -> Result<Record, LineFault> {
        let id = self.id.as_uuid();
        let made = self.id.as_u128() >> 80;
        let latest = u128::try_from(raw.saturating_add(CLOCK_SKEW_MS)).unwrap_or(0);
        if id.get_version_num() != 7 || id.get_variant() != uuid::Variant::RFC4122 || made > latest {
            return Err(LineFault::Id);
        }
        self.tenant.as_deref().map_or(Ok(()), bounds::tenant)?;
        bounds::stored_owner(&self.owner)?;
        self.name.as_deref().map_or(Ok(()), bounds::name)?;
        bounds::metadata(&self.metadata)?;
        bounds::labels(&self.labels)?;
        let ms = |field, time: Option<DateTime<Utc>>| time.map(|time| checked_ms(field, time)).transpose();
        let (not_before, expires_at) = (ms("not_before", self.not_before)?, ms("expires_at", self.expires_at)?);
        let revoked = self.revoked.map(|revoked| {
            bounds::reason(&revoked.reason)?;
            Ok::<_, StoreError>(Revocation { at: checked_ms("revoked", revoked.at)?, reason: revoked.reason })
        });
        let limit = self.limit.map(Limit::read).transpose()?;
        let quota = self.quota.map(Quota::check).transpose()?;
        let networks = if self.networks.is_empty() { Vec::new() } else { bounds::networks(&self.networks)? };
        let idle = idle_of(self.idle_after_ms, ms("idle_at", self.idle_at)?, now)?;
        let secrets = self.secrets.into_iter().map(SecretLine::stored).collect::<Result<Vec<_>, _>>()?;
        let created_at = ms("created_at", self.created_at)?.unwrap_or(now);
        // A time in the future would let a secret live longer than the store allows.
        let made = secrets.iter().map(|secret| secret.created_at).chain(self.created_at.map(|_| created_at));
        if let Some(ahead) = made.max().filter(|made| *made > raw.saturating_add(MAX_LEAD_MS)) {
            return Err(StoreError::invalid("created_at", &from_ms(ahead).to_string(), "times in the past").into());
        }
        let newest = secrets.last().map_or(1, |secret| secret.version);
        let version = self.version.unwrap_or(newest);
        let in_order = secrets.iter().zip(secrets.iter().skip(1)).all(|(one, next)| one.version < next.version);
        let distinct = secrets
            .iter()
            .enumerate()
            .all(|(at, secret)| !secrets.iter().skip(at + 1).any(|other| other.digest == secret.digest));
        if version == 0 || newest > version || secrets.len() > MAX_SECRETS || !in_order || !distinct {
            return Err(LineFault::Secrets);
        }
        Ok(Record {
            id: self.id.as_u128(),
            tenant: self.tenant,
            owner: self.owner,
            name: self.name,
            permissions: bounds::grants(&self.permissions)?,
            roles: bounds::roles(&self.roles)?,
            metadata: self.metadata,
            created_at,
            not_before,
            expires_at,
            disabled: self.disabled,
            revoked: revoked.transpose()?,
            version,
            secrets,
            // A use in the future would keep a key from being idle.
            used_before: ms("last_used_at", self.last_used_at)?.map(|used| used.min(now)),
            policy: self.rotation.map(|rotation| rotation.stored()).transpose()?,
            limit: limit.map(Limit::to_stored),
            quota: quota.map(Quota::to_stored),
            networks,
            idle,
            labels: self.labels,
            prefix: self.prefix.filter(|_| self.keeps_prefix),
            ended: None,
            last_event: 0,
            unknown: Unknown::default(),
        })
    }
}

/// The idle end of a line. A key that was idle where the line was exported stays so; a line that only names the time
/// begins it now.
fn idle_of(after: Option<SpanMs>, end: Option<i64>, now: i64) -> Result<Option<StoredIdle>, StoreError> {
    let Some(SpanMs(span)) = after else { return Ok(None) };
    let after_ms = idle::checked(span)?;
    let since = end.map_or(now, |end| end.saturating_sub(after_ms).min(now));
    Ok(Some(StoredIdle { after_ms, since }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What this version exports it imports: a new field of `KeyInfo` belongs into `FIELDS`.
    #[test]
    fn every_field_of_an_export_is_known() {
        let store = crate::KeyStore::temporary().unwrap();
        let created = store.create(crate::NewKey::for_owner("alice")).unwrap();
        let info = serde_json::to_value(&created.info).unwrap();
        let mut names: Vec<&str> = info.as_object().unwrap().keys().map(String::as_str).collect();
        names.push("secrets");
        names.sort_unstable();
        let mut known = FIELDS.to_vec();
        known.sort_unstable();
        assert_eq!(names, known);
    }
}
