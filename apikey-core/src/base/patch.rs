//! A field of a change that keeps its value, loses it, or gets another.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a change does to an optional field. As JSON it is a member of a merge patch (RFC 7396): absent to keep the
/// value, `null` to clear it, otherwise the new value. A field of this type needs
/// `#[serde(default, skip_serializing_if = "Patch::is_keep")]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Patch<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}

impl<T> Patch<T> {
    pub(crate) fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    pub(crate) fn as_ref(&self) -> Patch<&T> {
        match self {
            Self::Keep => Patch::Keep,
            Self::Clear => Patch::Clear,
            Self::Set(value) => Patch::Set(value),
        }
    }

    /// The new value, if there is one.
    pub(crate) fn value(&self) -> Option<&T> {
        match self {
            Self::Keep | Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }

    /// Checks or converts the new value.
    pub(crate) fn try_map<U, E>(self, convert: impl FnOnce(T) -> Result<U, E>) -> Result<Patch<U>, E> {
        Ok(match self {
            Self::Keep => Patch::Keep,
            Self::Clear => Patch::Clear,
            Self::Set(value) => Patch::Set(convert(value)?),
        })
    }

    /// The field after the change.
    pub(crate) fn apply(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Keep => before,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }

    /// The field's new content, if it does not keep its value.
    pub(crate) fn changed(self) -> Option<Option<T>> {
        match self {
            Self::Keep => None,
            Self::Clear => Some(None),
            Self::Set(value) => Some(Some(value)),
        }
    }
}

/// `None` clears the field.
impl<T> From<Option<T>> for Patch<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Clear, Self::Set)
    }
}

impl<T: Serialize> Serialize for Patch<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Keep | Self::Clear => serializer.serialize_none(),
            Self::Set(value) => value.serialize(serializer),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Change {
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        name: Patch<String>,
    }

    #[test]
    fn keep_clear_and_set_are_three_things_in_json() {
        for (json, name) in [
            ("{}", Patch::Keep),
            (r#"{"name":null}"#, Patch::Clear),
            (r#"{"name":"ci"}"#, Patch::Set("ci".to_owned())),
            (r#"{"name":""}"#, Patch::Set(String::new())),
        ] {
            let change = Change { name };
            assert_eq!(serde_json::to_string(&change).unwrap(), json);
            assert_eq!(serde_json::from_str::<Change>(json).unwrap(), change);
        }
    }

    #[test]
    fn a_patch_applies_to_a_field_with_and_without_a_value() {
        for before in [None, Some(1)] {
            assert_eq!(Patch::Keep.apply(before), before);
            assert_eq!(Patch::Clear.apply(before), None);
            assert_eq!(Patch::Set(2).apply(before), Some(2));
        }
    }

    #[test]
    fn a_value_that_does_not_convert_is_an_error_and_nothing_else_is() {
        let half = |value: u32| if value.is_multiple_of(2) { Ok(value / 2) } else { Err("odd") };
        for (patch, halved) in [
            (Patch::Keep, Ok(Patch::Keep)),
            (Patch::Clear, Ok(Patch::Clear)),
            (Patch::Set(6), Ok(Patch::Set(3))),
            (Patch::Set(7), Err("odd")),
        ] {
            assert_eq!(patch.try_map(half), halved);
        }
    }
}
