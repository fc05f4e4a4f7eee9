//! The parameters of operations.

use crate::management::parameter::{Kind, Parameter};

const fn parameter(name: &'static str, kind: Kind, description: &'static str) -> Parameter {
    Parameter { name, kind, required: false, description }
}

const LIMIT: Parameter = parameter("limit", Kind::Limit, "The most items on the page; 100 if it is missing.");
const CURSOR: Parameter = parameter("cursor", Kind::Cursor, "`next` of the page before, with the same filter.");

const STATES: &[&str] = &["revoked", "disabled", "expired", "idle", "no_secret", "inactive", "active"];
const SORTS: &[&str] = &["created", "expires", "last_used"];
const STEPS: &[&str] = &["minute", "hour", "day"];

pub(super) const KEYS: &[Parameter] = &[
    parameter(
        "owner",
        Kind::Text,
        "The keys of exactly this owner: of the one of no tenant, unless `tenant` says otherwise.",
    ),
    parameter("tenant", Kind::Text, "The keys of this tenant."),
    parameter("state", Kind::OneOf(STATES), "The keys that are in this state now."),
    parameter("permission", Kind::Text, "The keys whose grants, or whose roles, give this permission."),
    parameter("role", Kind::Text, "The keys that have this role."),
    parameter("prefix", Kind::Text, "The keys whose tokens have this prefix."),
    parameter("text", Kind::Text, "The keys with this text in owner, name, hint or metadata, ignoring case."),
    parameter("metadata", Kind::Metadata, "The keys with exactly these entries of metadata: `metadata.team=blue`."),
    parameter("expiring_before", Kind::Time, "The keys that end before this time."),
    parameter("idle_since", Kind::Time, "The keys that nobody has used at this time or later."),
    parameter(
        "sort",
        Kind::OneOf(SORTS),
        "`created` (the oldest first, and the default), `expires` (the soonest first) or `last_used` (the latest first). By \
         the latter two at most 1,000 keys can be sorted: name an owner, or a tenant.",
    ),
    LIMIT,
    CURSOR,
];

pub(super) const ACTIVITY: &[Parameter] =
    &[parameter("activity", Kind::Flag, "Adds `activity`, what changes with each use. The answer has no `ETag` then.")];

pub(super) const EVENTS: &[Parameter] = &[
    parameter("key", Kind::KeyId, "The events of this key."),
    parameter("kind", Kind::Text, "The events of this kind: `revoked`."),
    parameter(
        "actor",
        Kind::Text,
        "The events of changes by this actor: `key:` and an id, `uid:` and a number, or a name.",
    ),
    parameter("since", Kind::Time, "The events at this time or later."),
    parameter("until", Kind::Time, "The events before this time."),
    parameter("after", Kind::Number, "The events with a higher number, the oldest first."),
    LIMIT,
    CURSOR,
];

pub(super) const USAGE: &[Parameter] = &[
    parameter("key", Kind::KeyId, "The uses of this key."),
    parameter("owner", Kind::Text, "The uses of all keys of this owner: of `tenant`, or of the caller's own."),
    parameter("tenant", Kind::Text, "The uses of all keys of this tenant."),
    parameter("since", Kind::Time, "The first time; a day ago if it is missing."),
    parameter("until", Kind::Time, "The time at which the report ends; now if it is missing."),
    parameter("step", Kind::OneOf(STEPS), "The step of the points; an hour if it is missing."),
    parameter("by", Kind::OneOf(&["key"]), "The busiest keys instead of points, of the whole store."),
];

const fn header(name: &'static str, required: bool, description: &'static str) -> Parameter {
    Parameter { name, kind: Kind::Tags, required, description }
}

pub(super) const IDEMPOTENCY_KEY: &[Parameter] = &[parameter(
    "Idempotency-Key",
    Kind::ShortText,
    "A text of 1 to 128 bytes, another for each request. A repeat with the same one does nothing twice: it has the same key, \
     with another secret in place of the one that was lost.",
)];
pub(super) const IF_MATCH_NEEDED: &[Parameter] =
    &[header("If-Match", true, "The `ETag` of the key as it was read, or `*` for whatever it is.")];
pub(super) const IF_MATCH: &[Parameter] = &[header("If-Match", false, "The `ETag` as it was read.")];
pub(super) const IF_NONE_MATCH: &[Parameter] =
    &[header("If-None-Match", false, "An `ETag`: if it is still that, the answer is 304 without a body.")];
