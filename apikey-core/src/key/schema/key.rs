//! Schemas of keys as a service returns them.

use std::borrow::Cow;

use utoipa::openapi::schema::Schema;
use utoipa::openapi::{ObjectBuilder, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::access::limit::Limit;
use crate::access::quota::Quota;
use crate::key::key_filter::Page;
use crate::key::key_info::{EndedSecret, KeyInfo, KeyState, Revoked};
use crate::key::revealed_key::RevealedKey;
use crate::key::rotation::overlap::OverlapEnd;
use crate::key::rotation::policy::Rotation;
use crate::key::schema::object::{
    Schemas, add, flag, list, map, milliseconds, number, or_null, schema_of, text, time, whole,
};
use crate::token::key_id::KeyId;

fn info(description: &str) -> ObjectBuilder {
    whole(
        description,
        [
            ("id", schema_of::<KeyId>()),
            ("tenant", or_null(text("The tenant of the key."))),
            ("owner", text("The user or application that the key belongs to, one of its tenant.").into()),
            ("name", or_null(text("The name of the key."))),
            (
                "permissions",
                list("The grants: permissions, or wildcards.", text("`orders:read` or `orders:*`.")).into(),
            ),
            ("roles", list("The names of the roles.", text("The name of a role: `reader`.")).into()),
            ("metadata", map("The service's own entries.", text("The value of an entry.")).into()),
            ("labels", map("What handlers read of the key, by name.", text("The value of a label.")).into()),
            ("created_at", time("The time of creation.").into()),
            ("not_before", or_null(time("The time from which on the key is valid."))),
            ("expires_at", or_null(time("The time at which the key ends."))),
            ("secret_expires_at", or_null(time("The end of the newest secret, if it is before the key's."))),
            ("disabled", flag("Whether the key is disabled.").into()),
            ("revoked", or_null(schema_of::<Revoked>())),
            ("last_used_at", or_null(time("The last use, to the second."))),
            ("uses_total", number("How often the key was used; 0 if the store does not count.", 0).into()),
            ("version", number("The number of the newest secret; the first is 1.", 0).into()),
            ("ended_secret", or_null(schema_of::<EndedSecret>())),
            ("has_secret", flag("Whether one of the key's secrets is valid.").into()),
            ("secret_until", or_null(time("When the last secret ends, if it has an end."))),
            ("overlap", or_null(schema_of::<OverlapEnd>())),
            ("rotation", or_null(schema_of::<Rotation>())),
            ("hint", text("The prefix, and the end of the id, to distinguish keys on a screen.").into()),
            ("prefix", or_null(text("The prefix of the key's tokens; `null` for secrets from another system."))),
            ("keeps_prefix", flag("Whether rotations keep the prefix.").into()),
            ("limit", or_null(schema_of::<Limit>())),
            ("quota", or_null(schema_of::<Quota>())),
            (
                "networks",
                list("The networks from which the key is valid; empty for anywhere.", text("`10.0.0.0/8`")).into(),
            ),
            ("idle_after_ms", or_null(milliseconds("For how long nobody may use the key, in milliseconds.", 0))),
            ("idle_at", or_null(time("The time at which the key ends if nobody uses it until then."))),
            ("last_event", number("The number of the event that left the key as it is.", 0).into()),
            ("state", schema_of::<KeyState>()),
        ],
    )
}

impl PartialSchema for KeyInfo {
    fn schema() -> RefOr<Schema> {
        info("A key, without its secret.").into()
    }
}

impl ToSchema for KeyInfo {
    fn schemas(schemas: &mut Schemas) {
        add::<KeyId>(schemas);
        add::<Revoked>(schemas);
        add::<EndedSecret>(schemas);
        add::<OverlapEnd>(schemas);
        add::<Rotation>(schemas);
        add::<Limit>(schemas);
        add::<Quota>(schemas);
        add::<KeyState>(schemas);
    }
}

impl PartialSchema for RevealedKey {
    fn schema() -> RefOr<Schema> {
        let token =
            text("The token, which no other response contains. `null` for a key that was imported by its digest.");
        info("A key that was just created or rotated, with its token.")
            .property("key", or_null(token))
            .required("key")
            .into()
    }
}

impl ToSchema for RevealedKey {
    fn schemas(schemas: &mut Schemas) {
        KeyInfo::schemas(schemas);
    }
}

impl PartialSchema for Page {
    fn schema() -> RefOr<Schema> {
        whole(
            "A page of keys.",
            [
                ("keys", list("The keys, in the order of their creation.", schema_of::<KeyInfo>()).into()),
                ("next", or_null(schema_of::<KeyId>())),
            ],
        )
        .into()
    }
}

/// `KeyPage`
impl ToSchema for Page {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("KeyPage")
    }

    fn schemas(schemas: &mut Schemas) {
        add::<KeyInfo>(schemas);
    }
}
