//! Values that callers of a service write as JSON. Their errors name no types of this program.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use chrono::{DateTime, FixedOffset, Utc};
use serde::de::{DeserializeSeed, Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// Implements `Deserialize` for a type that is an object, and not a list of its fields, which derived code accepts, too.
/// The derived code is that of the second type, which has `#[serde(remote = "..")]`.
macro_rules! from_object {
    ($type:ty, $derived:ty) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Object;

                impl<'de> serde::de::Visitor<'de> for Object {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, fields: A) -> Result<$type, A::Error> {
                        <$derived>::deserialize(serde::de::value::MapAccessDeserializer::new(fields))
                    }
                }

                from.deserialize_map(Object)
            }
        }
    };
}
pub(crate) use from_object;

/// A whole number that `T` can hold.
struct Whole<T>(T);

impl<'de, T: TryFrom<i64>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Number<T>(PhantomData<T>);

        impl<T: TryFrom<i64>> Visitor<'_> for Number<T> {
            type Value = Whole<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let is_signed = T::try_from(-1).is_ok();
                f.write_str(if is_signed { "a whole number" } else { "a whole number, 0 or more" })
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Whole<T>, E> {
                T::try_from(number).map(Whole).map_err(|_| E::custom(format_args!("{number} is out of bounds")))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Whole<T>, E> {
                let signed = i64::try_from(number);
                signed
                    .map_err(|_| E::custom(format_args!("{number} is out of bounds")))
                    .and_then(|it| self.visit_i64(it))
            }
        }

        from.deserialize_i64(Number(PhantomData))
    }
}

/// Reads a whole number.
pub(crate) fn whole<'de, T: TryFrom<i64>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Whole::deserialize(from).map(|Whole(number)| number)
}

/// Reads an optional whole number: as an `Option`, or as a [`Patch`](crate::base::patch::Patch).
pub(crate) fn maybe_whole<'de, T, P, D>(from: D) -> Result<P, D::Error>
where
    T: TryFrom<i64>,
    P: From<Option<T>>,
    D: Deserializer<'de>,
{
    Ok(Option::<Whole<T>>::deserialize(from)?.map(|Whole(number)| number).into())
}

/// A time of RFC 3339.
struct Time(DateTime<Utc>);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time as in RFC 3339, such as 2030-01-31T12:00:00Z")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Time, E> {
                let time = text.parse::<DateTime<FixedOffset>>();
                time.map(|time| Time(time.to_utc())).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        from.deserialize_str(Text)
    }
}

/// Reads an optional time: as an `Option`, or as a [`Patch`](crate::base::patch::Patch).
pub(crate) fn maybe_time<'de, P: From<Option<DateTime<Utc>>>, D: Deserializer<'de>>(from: D) -> Result<P, D::Error> {
    Ok(Option::<Time>::deserialize(from)?.map(|Time(time)| time).into())
}

/// An object whose names the caller invents, each at most once.
pub(crate) struct Entries<T>(pub(crate) BTreeMap<String, T>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Entries<T>, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(name) = object.next_key::<String>()? {
                    if entries.contains_key(&name) {
                        // The error is that of a value, so that the path to it has the name.
                        object.next_value_seed(Repeated(&name))?;
                    }
                    entries.insert(name, object.next_value()?);
                }
                Ok(Entries(entries))
            }
        }

        from.deserialize_map(Object(PhantomData))
    }
}

/// Fails for the value of a name that the object has already.
struct Repeated<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Repeated<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, _: D) -> Result<(), D::Error> {
        Err(D::Error::custom(format_args!("duplicate field `{}`", self.0)))
    }
}

/// Reads entries.
pub(crate) fn entries<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    Entries::deserialize(from).map(|Entries(entries)| entries)
}

/// Reads entries, `null` as none.
pub(crate) fn maybe_entries<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(Option::<Entries<String>>::deserialize(from)?.unwrap_or_default().0)
}
