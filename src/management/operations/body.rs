//! Bodies that are the store's own types with something besides.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A `T` that is an object, and not a list of its fields, which derived code reads, too.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }

        from.deserialize_map(Fields(PhantomData))
    }
}

/// The object of a `T`, in which one more field names the tenant.
pub(super) struct Create<T> {
    pub(super) tenant: Option<String>,
    pub(super) key: T,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Create<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct All<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for All<T> {
            type Value = Create<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Create<T>, A::Error> {
                let mut tenant = None;
                let key = T::deserialize(MapAccessDeserializer::new(Fields { fields, tenant: &mut tenant }))?;
                Ok(Create { tenant: tenant.flatten(), key })
            }
        }

        from.deserialize_map(All(PhantomData))
    }
}

/// The fields of an object but for `tenant`, which it keeps.
struct Fields<'t, A> {
    fields: A,
    tenant: &'t mut Option<Option<String>>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(name) = self.fields.next_key::<String>()? {
            if name != "tenant" {
                let name: StringDeserializer<A::Error> = name.into_deserializer();
                return seed.deserialize(name).map(Some);
            }
            if self.tenant.is_some() {
                return Err(A::Error::duplicate_field("tenant"));
            }
            *self.tenant = Some(self.fields.next_value()?);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.fields.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use apikey_core::NewKey;

    use super::*;
    use crate::answer::from_json;

    #[test]
    fn the_tenant_is_a_field_as_the_others_are() {
        let read = |body: &str| from_json::<Create<NewKey>>(body).map(|create| create.tenant);
        assert_eq!(read(r#"{"owner":"alice"}"#).unwrap(), None);
        assert_eq!(read(r#"{"tenant":null,"owner":"alice"}"#).unwrap(), None);
        assert_eq!(read(r#"{"owner":"alice","tenant":"acme","name":"ci"}"#).unwrap().as_deref(), Some("acme"));
        for (body, pointer, code) in [
            (r#"{"tenant":7,"owner":"a"}"#, "#/tenant", "wrong_type"),
            (r#"{"tenant":"a","owner":"a","tenant":"b"}"#, "#/tenant", "repeated_field"),
            (r#"{"tenant":"a"}"#, "#/owner", "missing_field"),
            (r#"{"owner":"a","colour":1,"tenant":"a"}"#, "#/colour", "unknown_field"),
            (r#"{"owner":"a","permissions":["a",7],"tenant":"a"}"#, "#/permissions/1", "wrong_type"),
            ("[]", "#", "wrong_type"),
        ] {
            let problem = read(body).unwrap_err();
            let error = problem.errors().first().unwrap();
            assert_eq!((error.pointer.as_str(), error.code), (pointer, code), "{body}: {problem}");
        }
    }
}
