//! Schemas of errors.

use std::borrow::Cow;

use utoipa::openapi::schema::{OneOfBuilder, Schema};
use utoipa::openapi::{ObjectBuilder, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::access::limit::Limit;
use crate::access::quota::Quota;
use crate::key::error::cap_violation::CapViolation;
use crate::key::error::field_error::FieldError;
use crate::key::schema::object::{Schemas, add, constant, or_null, schema_of, text, time, whole};
use crate::token::key_id::KeyId;

impl PartialSchema for FieldError {
    fn schema() -> RefOr<Schema> {
        whole(
            "A field that is not allowed.",
            [
                ("pointer", text("The field, as a JSON pointer (RFC 6901): `#/permissions/1`.").into()),
                ("code", text("What is wrong, for programs: `invalid_permission`.").into()),
                ("detail", text("What is wrong, for people.").into()),
            ],
        )
        .into()
    }
}

/// `ApiKeyFieldError`
impl ToSchema for FieldError {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("ApiKeyFieldError")
    }
}

fn violation<const N: usize>(kind: &str, description: &str, members: [(&str, RefOr<Schema>); N]) -> ObjectBuilder {
    whole(description, members).property("kind", constant(kind)).required("kind")
}

impl PartialSchema for CapViolation {
    fn schema() -> RefOr<Schema> {
        let owner = |description: &str| text(description).into();
        OneOfBuilder::new()
            .description(Some("The bound of the acting key that the change would exceed."))
            .item(violation("grant", "A grant.", [("grant", text("The grant that it does not cover.").into())]))
            .item(violation(
                "delegation",
                "A grant that manages keys, handed on without `keys:delegate`.",
                [("grant", text("The grant.").into())],
            ))
            .item(violation("actor", "The acting key is not valid.", [("code", text("`revoked_key`").into())]))
            .item(violation("target", "The key has permissions that it lacks.", [("id", schema_of::<KeyId>())]))
            .item(violation("role", "The role grants what it lacks.", [("role", text("The name of the role.").into())]))
            .item(violation(
                "owner",
                "The key would belong to another owner.",
                [("wanted", owner("The owner of the key.")), ("actor", owner("The owner of the acting key."))],
            ))
            .item(violation(
                "tenant",
                "The key would be of another tenant.",
                [
                    ("wanted", or_null(text("The tenant of the key; `null` for none."))),
                    ("actor", or_null(text("The tenant of the acting key; `null` for none."))),
                ],
            ))
            .item(violation(
                "label",
                "The key would have a label that it does not have, or would lose one.",
                [
                    ("name", text("The name of the label.").into()),
                    ("wanted", or_null(text("The value that the key would have; `null` for none."))),
                    ("held", or_null(text("The value that the acting key has; `null` for none."))),
                ],
            ))
            .item(violation(
                "prefix",
                "The key would have another prefix.",
                [
                    ("wanted", text("The prefix that the key would have.").into()),
                    ("held", text("The prefix of the acting key.").into()),
                ],
            ))
            .item(violation(
                "end",
                "The key would end later.",
                [
                    ("wanted", or_null(time("When the key would end; `null` for never."))),
                    ("latest", time("When the acting key ends.").into()),
                ],
            ))
            .item(violation("networks", "A network.", [("network", text("`10.0.0.0/8` or `anywhere`.").into())]))
            .item(violation(
                "limit",
                "The key would have a higher rate limit.",
                [("wanted", or_null(schema_of::<Limit>())), ("max", schema_of::<Limit>())],
            ))
            .item(violation(
                "quota",
                "The key would have a larger quota.",
                [("wanted", or_null(schema_of::<Quota>())), ("max", schema_of::<Quota>())],
            ))
            .into()
    }
}

impl ToSchema for CapViolation {
    fn schemas(schemas: &mut Schemas) {
        add::<KeyId>(schemas);
        add::<Limit>(schemas);
        add::<Quota>(schemas);
    }
}
