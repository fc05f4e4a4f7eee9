//! The parts that schemas consist of.

use std::iter;

use utoipa::ToSchema;
use utoipa::openapi::schema::{AdditionalProperties, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{ArrayBuilder, KnownFormat, ObjectBuilder, Ref, RefOr, SchemaFormat};

/// Schemas by name.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;

/// A text.
pub(super) fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description))
}

/// A text that is exactly this one.
pub(super) fn constant(text: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(iter::once(text)))
}

/// A time of RFC 3339.
pub(super) fn time(description: &str) -> ObjectBuilder {
    text(description).format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
}

/// A whole number of at least `min`.
pub(super) fn number(description: &str, min: u32) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).description(Some(description)).minimum(Some(min))
}

/// A span in milliseconds.
pub(super) fn milliseconds(description: &str, min: u32) -> ObjectBuilder {
    number(description, min).format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
}

/// True or false.
pub(super) fn flag(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Boolean).description(Some(description))
}

/// A list.
pub(super) fn list(description: &str, item: impl Into<RefOr<Schema>>) -> ArrayBuilder {
    ArrayBuilder::new().description(Some(description)).items(item.into())
}

/// An object with a value of this kind under each name.
pub(super) fn map(description: &str, value: impl Into<RefOr<Schema>>) -> ObjectBuilder {
    let values = AdditionalProperties::RefOr(value.into());
    ObjectBuilder::new().schema_type(Type::Object).description(Some(description)).additional_properties(Some(values))
}

/// An object that always has every one of these members.
pub(super) fn whole<const N: usize>(description: &str, members: [(&str, RefOr<Schema>); N]) -> ObjectBuilder {
    let object = ObjectBuilder::new().schema_type(Type::Object).description(Some(description));
    members.into_iter().fold(object, |object, (name, schema)| object.property(name, schema).required(name))
}

/// An object that may have these members, and no others.
pub(super) fn closed<const N: usize>(description: &str, members: [(&str, RefOr<Schema>); N]) -> ObjectBuilder {
    let object = ObjectBuilder::new().schema_type(Type::Object).description(Some(description));
    let object = object.additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
    members.into_iter().fold(object, |object, (name, schema)| object.property(name, schema))
}

/// The same, or `null`.
pub(super) fn or_null(schema: impl Into<RefOr<Schema>>) -> RefOr<Schema> {
    match schema.into() {
        // An enumeration would exclude `null` all the same.
        RefOr::T(Schema::Object(mut object)) if object.enum_values.is_none() => {
            object.schema_type = with_null(object.schema_type);
            object.into()
        }
        RefOr::T(Schema::Array(mut array)) => {
            array.schema_type = with_null(array.schema_type);
            RefOr::T(Schema::Array(array))
        }
        other => OneOfBuilder::new().item(ObjectBuilder::new().schema_type(Type::Null)).item(other).into(),
    }
}

fn with_null(kind: SchemaType) -> SchemaType {
    match kind {
        SchemaType::Type(kind) => SchemaType::Array(vec![kind, Type::Null]),
        other => other,
    }
}

/// A reference to the schema of a type.
pub(super) fn schema_of<T: ToSchema>() -> RefOr<Schema> {
    Ref::from_schema_name(T::name()).into()
}

/// Adds the schema of a type, and those that it refers to.
pub(super) fn add<T: ToSchema>(schemas: &mut Schemas) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}
