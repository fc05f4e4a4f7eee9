//! Schemas of what a caller sends: a new key, a change, a filter.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, RefOr, Required};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use crate::access::limit::Limit;
use crate::access::quota::Quota;
use crate::key::bounds::{
    MAX_GRANTS, MAX_KEY_ROLES, MAX_LABEL_VALUE, MAX_LABELS, MAX_METADATA, MAX_METADATA_VALUE, MAX_NAME, MAX_NETWORKS,
    MAX_TENANT,
};
use crate::key::key_filter::{KeyFilter, MAX_PAGE};
use crate::key::key_info::KeyState;
use crate::key::key_update::KeyUpdate;
use crate::key::new_key::NewKey;
use crate::key::rotation::policy::RotationPolicy;
use crate::key::schema::object::{
    Schemas, add, closed, flag, list, map, milliseconds, number, or_null, schema_of, text, time,
};
use crate::token::api_key::MAX_PREFIX;
use crate::token::key_id::KeyId;

// The store counts bytes, and a schema counts characters: what exceeds a bound here exceeds the store's, too.
fn owner() -> ObjectBuilder {
    text("The user or application that the key belongs to.").min_length(Some(1)).max_length(Some(MAX_NAME))
}

fn name() -> RefOr<Schema> {
    or_null(text("The name of the key.").min_length(Some(1)).max_length(Some(MAX_NAME)))
}

fn grants(description: &str) -> ArrayBuilder {
    list(description, text("A permission (`orders:read`), or a wildcard (`orders:*`)."))
}

fn roles(description: &str) -> ArrayBuilder {
    list(description, text("The name of a role: `reader`.")).max_items(Some(MAX_KEY_ROLES))
}

fn networks(description: &str) -> RefOr<Schema> {
    let network = text("An address, or a network such as `10.0.0.0/8`.");
    or_null(list(description, network).min_items(Some(1)).max_items(Some(MAX_NETWORKS)))
}

fn idle_after() -> RefOr<Schema> {
    let description = "For how long nobody may use the key, in milliseconds: 1 hour to 366 days; `null` for any time.";
    or_null(milliseconds(description, 3_600_000))
}

fn value() -> ObjectBuilder {
    text("The value of an entry.").max_length(Some(MAX_METADATA_VALUE))
}

fn label() -> ObjectBuilder {
    text("The value of a label.").min_length(Some(1)).max_length(Some(MAX_LABEL_VALUE))
}

fn prefix(description: &str) -> ObjectBuilder {
    text(description).min_length(Some(1)).max_length(Some(MAX_PREFIX))
}

impl PartialSchema for NewKey {
    fn schema() -> RefOr<Schema> {
        let metadata = map("The service's own entries.", value()).max_properties(Some(MAX_METADATA));
        let labels = map("What handlers read of the key, by name.", label()).max_properties(Some(MAX_LABELS));
        closed(
            "A key to create.",
            [
                ("owner", owner().into()),
                ("name", name()),
                ("permissions", or_null(grants("The grants.").max_items(Some(MAX_GRANTS)))),
                ("roles", or_null(roles("The names of the roles."))),
                ("metadata", or_null(metadata)),
                ("labels", or_null(labels)),
                ("prefix", or_null(prefix("The prefix of the key's tokens; `null` for the default of the service."))),
                ("not_before", or_null(time("The time from which on the key is valid."))),
                ("expires_at", or_null(time("The time at which the key ends. It excludes `expires_in_ms`."))),
                (
                    "expires_in_ms",
                    or_null(milliseconds("The time from creation to the key's end, in milliseconds.", 1)),
                ),
                ("limit", or_null(schema_of::<Limit>())),
                ("quota", or_null(schema_of::<Quota>())),
                ("networks", networks("The networks from which the key is valid; `null` for anywhere.")),
                ("rotation", or_null(schema_of::<RotationPolicy>())),
                ("idle_after_ms", idle_after()),
            ],
        )
        .required("owner")
        .into()
    }
}

impl ToSchema for NewKey {
    fn schemas(schemas: &mut Schemas) {
        add::<Limit>(schemas);
        add::<Quota>(schemas);
        add::<RotationPolicy>(schemas);
    }
}

impl PartialSchema for KeyUpdate {
    fn schema() -> RefOr<Schema> {
        closed(
            "A change of a key, as a merge patch (RFC 7396): a field that is missing stays, `null` clears it, a value \
             replaces it.",
            [
                ("name", name()),
                ("permissions", or_null(grants("The grants that replace all others.").max_items(Some(MAX_GRANTS)))),
                ("add_permissions", grants("Grants to add.").into()),
                ("remove_permissions", grants("Grants to remove.").into()),
                ("roles", or_null(roles("The roles that replace all others."))),
                ("add_roles", roles("Roles to add.").into()),
                ("remove_roles", roles("Roles to remove.").into()),
                ("not_before", or_null(time("The time from which on the key is valid."))),
                ("expires_at", or_null(time("The time at which the key ends."))),
                ("disabled", flag("Whether the key is disabled.").into()),
                ("metadata", or_null(map("Entries to set, or to remove with `null`.", or_null(value())))),
                ("labels", or_null(map("Labels to set, or to remove with `null`.", or_null(label())))),
                ("limit", or_null(schema_of::<Limit>())),
                ("quota", or_null(schema_of::<Quota>())),
                ("networks", networks("The networks from which the key is valid; `null` for anywhere.")),
                ("rotation", or_null(schema_of::<RotationPolicy>())),
                ("idle_after_ms", idle_after()),
            ],
        )
        .into()
    }
}

impl ToSchema for KeyUpdate {
    fn schemas(schemas: &mut Schemas) {
        add::<Limit>(schemas);
        add::<Quota>(schemas);
        add::<RotationPolicy>(schemas);
    }
}

/// What a filter selects by, and may be `null` in JSON. The schemas are whole: utoipa does not collect those that
/// parameters refer to.
fn criteria() -> [(&'static str, RefOr<Schema>); 13] {
    let limit = number("The most keys on the page; 100 if it is missing.", 1).maximum(Some(MAX_PAGE));
    [
        ("owner", text("The keys of exactly this owner: of the one of no tenant, unless `tenant` or `any_tenant` says otherwise.").into()),
        ("tenant", tenant().into()),
        ("state", KeyState::schema()),
        ("permission", text("The keys whose grants, or whose roles, give this permission.").into()),
        ("text", text("The keys with this text in owner, name, hint or metadata, ignoring case.").into()),
        ("prefix", prefix("The keys with this prefix.").into()),
        ("role", text("The keys that have this role.").into()),
        ("expiring_before", time("The keys that end before this time.").into()),
        ("idle_since", time("The keys that nobody has used at this time or later.").into()),
        ("rotation_due_before", time("The keys that are due for a rotation before this time.").into()),
        ("purgeable_before", time("The keys that were revoked, or expired, before this time.").into()),
        ("after", KeyId::schema()),
        ("limit", limit.into()),
    ]
}

fn tenant() -> ObjectBuilder {
    text("The keys of this tenant.").min_length(Some(1)).max_length(Some(MAX_TENANT))
}

/// What a filter may demand besides.
fn flags() -> [(&'static str, RefOr<Schema>); 3] {
    [
        ("no_tenant", flag("If true, the keys of no tenant.").into()),
        ("any_tenant", flag("If true, the keys of every tenant and of none, also those of an owner.").into()),
        ("never_used", flag("If true, the keys that were never used.").into()),
    ]
}

impl PartialSchema for KeyFilter {
    fn schema() -> RefOr<Schema> {
        let metadata = map("The keys with exactly these entries.", text("The value of an entry."));
        let object = closed("The keys to list: those that meet every field.", [("metadata", metadata.into())]);
        let object = flags().into_iter().fold(object, |object, (name, schema)| object.property(name, schema));
        criteria().into_iter().fold(object, |object, (name, schema)| object.property(name, or_null(schema))).into()
    }
}

impl ToSchema for KeyFilter {}

/// The parameters of a query string, which cannot express `metadata`.
impl IntoParams for KeyFilter {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let parameter = |(name, schema): (&str, RefOr<Schema>)| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .schema(Some(schema))
                .build()
        };
        criteria().into_iter().chain(flags()).map(parameter).collect()
    }
}
