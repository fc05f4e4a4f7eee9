//! Schemas of the responses, for OpenAPI documents that utoipa generates.

use std::borrow::Cow;

use apikey_core::{CapViolation, FieldError, RevealedKey};
use utoipa::openapi::schema::{Schema, Type};
use utoipa::openapi::{ArrayBuilder, KnownFormat, ObjectBuilder, Ref, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use super::problem::Problem;
use super::secret_response::SecretResponse;

/// `ApiKeyProblem`, the name under which `openapi::describe` adds the schema of refusals.
impl ToSchema for Problem {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("ApiKeyProblem")
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((FieldError::name().into_owned(), FieldError::schema()));
        schemas.push((CapViolation::name().into_owned(), CapViolation::schema()));
        CapViolation::schemas(schemas);
    }
}

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        let of = |kind: Type, description: &str| ObjectBuilder::new().schema_type(kind).description(Some(description));
        let errors = ArrayBuilder::new()
            .description(Some("With `invalid_field`: the fields that are not allowed."))
            .items(Ref::from_schema_name(FieldError::name()));
        of(Type::Object, "An error (RFC 9457).")
            .property("type", of(Type::String, "The kind of the error, as a URI: `urn:apikey:problem:not_found`."))
            .property("title", of(Type::String, "The same for every error of this kind."))
            .property("status", of(Type::Integer, "The HTTP status."))
            .property("detail", of(Type::String, "What is wrong, for people."))
            .property("code", of(Type::String, "What is wrong, for programs: `not_found`."))
            .property("required", of(Type::String, "With 403: the permission that the key lacks."))
            .property(
                "resets_at",
                of(Type::String, "With `quota_exceeded`: the time at which the key has all uses of its quota again.")
                    .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))),
            )
            .property("violation", Ref::from_schema_name(CapViolation::name()))
            .property(
                "in_force",
                of(Type::Boolean, "With 503, true: the change is in force, and a restart may undo it."),
            )
            .property("errors", errors)
            .required("type")
            .required("title")
            .required("status")
            .required("detail")
            .required("code")
            .into()
    }
}

/// The schema of a [`RevealedKey`].
impl ToSchema for SecretResponse {
    fn name() -> Cow<'static, str> {
        RevealedKey::name()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        RevealedKey::schemas(schemas);
    }
}

impl PartialSchema for SecretResponse {
    fn schema() -> RefOr<Schema> {
        RevealedKey::schema()
    }
}
