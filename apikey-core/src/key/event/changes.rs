//! The fields of a key that a change has set, as its event records them.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::access::idle;
use crate::access::limit::{Limit, StoredLimit};
use crate::access::quota::{Quota, StoredQuota};
use crate::base::codec::CodecError;
use crate::base::codec::tail::{Field, Tag, TailReader, TailWriter, critical, ignorable};
use crate::key::record::{Record, StoredPolicy};
use crate::key::rotation::policy::RotationPolicy;

/// The fields of a key that a change set. A field that did not change is `None` or empty, and the JSON leaves it out.
///
/// It does not contain the values of [`name`](Self::name) and [`metadata`](Self::metadata): they may be personal data,
/// and events remain when the store deletes a key's record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Changes {
    /// Whether the name changed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub name: bool,
    /// The names of the metadata entries that the change set or removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metadata: Vec<String>,
    /// The grants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<FromTo<Vec<String>>>,
    /// The labels, with their values: they are rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<FromTo<BTreeMap<String, String>>>,
    /// The names of the roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<FromTo<Vec<String>>>,
    /// The time from which on the key is valid; `None`: no such bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<FromTo<Option<DateTime<Utc>>>>,
    /// The time at which the key ends; `None`: it never ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<FromTo<Option<DateTime<Utc>>>>,
    /// The rate limit; `None`: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<FromTo<Option<Limit>>>,
    /// The quota; `None`: no quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<FromTo<Option<Quota>>>,
    /// The networks from which the key is valid; empty: anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<FromTo<Vec<String>>>,
    /// The rotation policy; `None`: no policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<FromTo<Option<RotationPolicy>>>,
    /// The time for which nobody may use the key, serialised as milliseconds; `None`: any time. Both are equal if the time
    /// only began anew.
    #[serde(rename = "idle_after_ms", skip_serializing_if = "Option::is_none", with = "idle_spans")]
    pub idle_after: Option<FromTo<Option<TimeDelta>>>,
}

/// The value of a field before and after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FromTo<T> {
    /// The value before the change.
    pub from: T,
    /// The value after the change.
    pub to: T,
}

impl<T> FromTo<T> {
    fn between<V: PartialEq + ?Sized>(before: &V, after: &V, value: impl Fn(&V) -> T) -> Option<Self> {
        (before != after).then(|| Self { from: value(before), to: value(after) })
    }

    fn map<V>(&self, value: impl Fn(&T) -> V) -> FromTo<V> {
        FromTo { from: value(&self.from), to: value(&self.to) }
    }
}

impl Changes {
    /// Returns whether no field changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the names of the fields that changed.
    #[must_use]
    pub fn fields(&self) -> Vec<&'static str> {
        let Self { name, metadata, permissions, roles, labels, not_before, expires_at, .. } = self;
        let Self { limit, quota, networks, rotation, idle_after, .. } = self;
        let all = [
            ("name", *name),
            ("metadata", !metadata.is_empty()),
            ("permissions", permissions.is_some()),
            ("labels", labels.is_some()),
            ("roles", roles.is_some()),
            ("not_before", not_before.is_some()),
            ("expires_at", expires_at.is_some()),
            ("limit", limit.is_some()),
            ("quota", quota.is_some()),
            ("networks", networks.is_some()),
            ("rotation", rotation.is_some()),
            ("idle_after", idle_after.is_some()),
        ];
        all.into_iter().filter(|(_, changed)| *changed).map(|(field, _)| field).collect()
    }

    /// Compares two states of a key. Disabling, revoking and changes of secrets have events of their own.
    pub(crate) fn between(before: &Record, after: &Record) -> Self {
        let time = |at: &Option<i64>| at.map(crate::base::time::from_ms);
        let metadata =
            before.metadata.keys().chain(after.metadata.keys().filter(|name| !before.metadata.contains_key(*name)));
        let was_enabled = before.disabled && !after.disabled;
        let idle = |record: &Record| {
            let since = record.idle.map(|idle| idle.since).filter(|_| !was_enabled);
            (record.idle.map(|idle| idle.after_ms), since)
        };
        let is_other = |name: &&String| before.metadata.get(*name) != after.metadata.get(*name);
        Self {
            name: before.name != after.name,
            metadata: metadata.filter(is_other).cloned().collect(),
            permissions: FromTo::between(&before.permissions, &after.permissions, Clone::clone),
            labels: FromTo::between(&before.labels, &after.labels, Clone::clone),
            roles: FromTo::between(&before.roles, &after.roles, Clone::clone),
            not_before: FromTo::between(&before.not_before, &after.not_before, time),
            expires_at: FromTo::between(&before.expires_at, &after.expires_at, time),
            limit: FromTo::between(&before.limit, &after.limit, |limit| limit.as_ref().map(Limit::stored)),
            quota: FromTo::between(&before.quota, &after.quota, |quota| quota.as_ref().map(Quota::stored)),
            networks: FromTo::between(&before.networks, &after.networks, Clone::clone),
            rotation: FromTo::between(&before.policy, &after.policy, |policy| policy.map(RotationPolicy::of)),
            // That a key was enabled says already that the time began anew.
            idle_after: FromTo::between(&idle(before), &idle(after), |(span, _)| span.map(idle::span)),
        }
    }
}

/// Spans as milliseconds.
mod idle_spans {
    use chrono::TimeDelta;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::FromTo;
    use crate::key::builder_json::SpanMs;

    type Spans = Option<FromTo<Option<TimeDelta>>>;

    pub(super) fn serialize<S: Serializer>(spans: &Spans, serializer: S) -> Result<S::Ok, S::Error> {
        spans.as_ref().map(|changed| changed.map(|span| span.map(SpanMs))).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Spans, D::Error> {
        let read = Option::<FromTo<Option<SpanMs>>>::deserialize(from)?;
        Ok(read.map(|changed| changed.map(|span| span.map(|SpanMs(span)| span))))
    }
}

const NAME: Tag = ignorable(32);
const METADATA: Tag = ignorable(33);
const PERMISSIONS: Tag = critical(34);
const NOT_BEFORE: Tag = critical(35);
const EXPIRES_AT: Tag = critical(36);
const LIMIT: Tag = critical(37);
const NETWORKS: Tag = critical(38);
const ROTATION: Tag = ignorable(39);
const LABELS: Tag = critical(41);
const IDLE: Tag = critical(43);
const ROLES: Tag = critical(44);
const QUOTA: Tag = critical(45);

/// Each field has a tag of its own, whatever the tag of the whole.
impl Field for Changes {
    fn put(&self, _: Tag, tail: &mut TailWriter) -> Result<(), CodecError> {
        let time = |at: &Option<DateTime<Utc>>| at.map(|at| at.timestamp_millis());
        self.name.put(NAME, tail)?;
        self.metadata.put(METADATA, tail)?;
        pair(PERMISSIONS, self.permissions.as_ref(), tail)?;
        pair(LABELS, self.labels.as_ref(), tail)?;
        pair(ROLES, self.roles.as_ref(), tail)?;
        pair(NOT_BEFORE, self.not_before.as_ref().map(|changed| changed.map(time)).as_ref(), tail)?;
        pair(EXPIRES_AT, self.expires_at.as_ref().map(|changed| changed.map(time)).as_ref(), tail)?;
        let limit = |limit: &Option<Limit>| limit.map(Limit::to_stored);
        pair(LIMIT, self.limit.as_ref().map(|changed| changed.map(limit)).as_ref(), tail)?;
        pair(NETWORKS, self.networks.as_ref(), tail)?;
        let policy = |policy: &Option<RotationPolicy>| policy.map(StoredPolicy::from);
        pair(ROTATION, self.rotation.as_ref().map(|changed| changed.map(policy)).as_ref(), tail)?;
        let span = |span: &Option<TimeDelta>| span.map(|span| span.num_milliseconds());
        pair(IDLE, self.idle_after.as_ref().map(|changed| changed.map(span)).as_ref(), tail)?;
        let quota = |quota: &Option<Quota>| quota.map(Quota::to_stored);
        pair(QUOTA, self.quota.as_ref().map(|changed| changed.map(quota)).as_ref(), tail)
    }

    fn take(_: Tag, tail: &mut TailReader<'_>) -> Result<Self, CodecError> {
        let time = |at: Option<i64>| at.map(|at| DateTime::from_timestamp_millis(at).ok_or(())).transpose();
        let limit = |stored: Option<StoredLimit>| {
            let limit = |stored| Some(Limit::stored(&stored)).filter(|limit| limit.to_stored() == stored).ok_or(());
            stored.map(limit).transpose()
        };
        let quota = |stored: Option<StoredQuota>| {
            let quota = |stored| Some(Quota::stored(&stored)).filter(|quota| quota.to_stored() == stored).ok_or(());
            stored.map(quota).transpose()
        };
        let policy = |stored: Option<StoredPolicy>| {
            let policy =
                |stored| Some(RotationPolicy::of(stored)).filter(|of| StoredPolicy::from(*of) == stored).ok_or(());
            stored.map(policy).transpose()
        };
        let span = |ms: Option<i64>| ms.map(|ms| TimeDelta::try_milliseconds(ms).ok_or(())).transpose();
        Ok(Self {
            name: Field::take(NAME, tail)?,
            metadata: Field::take(METADATA, tail)?,
            permissions: both(PERMISSIONS, tail, |Texts(list)| Ok(list))?,
            labels: both(LABELS, tail, |Entries(entries)| Ok(entries))?,
            roles: both(ROLES, tail, |Texts(list)| Ok(list))?,
            not_before: both(NOT_BEFORE, tail, time)?,
            expires_at: both(EXPIRES_AT, tail, time)?,
            limit: both(LIMIT, tail, limit)?,
            quota: both(QUOTA, tail, quota)?,
            networks: both(NETWORKS, tail, |Texts(list)| Ok(list))?,
            rotation: both(ROTATION, tail, policy)?,
            idle_after: both(IDLE, tail, span)?,
        })
    }
}

/// A list of texts; the reader does not trust its stored length.
#[derive(Deserialize)]
struct Texts(#[serde(with = "crate::base::codec::entries::list")] Vec<String>);

/// Entries by name, likewise.
#[derive(Deserialize)]
struct Entries(#[serde(with = "crate::base::codec::entries::map")] BTreeMap<String, String>);

fn pair<T: Serialize>(tag: Tag, changed: Option<&FromTo<T>>, tail: &mut TailWriter) -> Result<(), CodecError> {
    changed.map_or(Ok(()), |FromTo { from, to }| tail.put(tag, &(from, to)))
}

fn both<S: DeserializeOwned, T>(
    tag: Tag,
    tail: &mut TailReader<'_>,
    value: impl Fn(S) -> Result<T, ()>,
) -> Result<Option<FromTo<T>>, CodecError> {
    let Some((from, to)) = tail.take::<(S, S)>(tag)? else { return Ok(None) };
    let value = |stored| value(stored).map_err(|()| CodecError::Payload(None));
    Ok(Some(FromTo { from: value(from)?, to: value(to)? }))
}
