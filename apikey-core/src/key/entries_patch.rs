//! A change of the metadata, or of the labels, of a key.

use std::collections::BTreeMap;

use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::json::Entries;

/// Entries to set or remove. As JSON it is a member of a merge patch (RFC 7396): an object whose `null`s remove
/// entries, or `null` to remove all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EntriesPatch {
    /// Whether it removes all entries that the key has.
    clears: bool,
    /// `None` removes an entry.
    entries: BTreeMap<String, Option<String>>,
}

impl EntriesPatch {
    pub(crate) fn set(&mut self, name: String, value: String) {
        self.entries.insert(name, Some(value));
    }

    pub(crate) fn remove(&mut self, name: String) {
        self.entries.insert(name, None);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self { clears: true, entries: BTreeMap::new() };
    }

    /// Whether it changes nothing.
    pub(crate) fn is_keep(&self) -> bool {
        !self.clears && self.entries.is_empty()
    }

    /// Whether it names an entry, to set or to remove it.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The entries that it sets.
    pub(crate) fn values(&self) -> BTreeMap<String, String> {
        self.entries.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect()
    }

    /// Whether it leaves this entry of a key as it is.
    pub(crate) fn leaves(&self, name: &str, value: &str) -> bool {
        match self.entries.get(name) {
            Some(set) => set.as_deref() == Some(value),
            None => !self.clears,
        }
    }

    pub(crate) fn apply(&self, entries: &mut BTreeMap<String, String>) {
        if self.clears {
            entries.clear();
        }
        for (name, value) in &self.entries {
            match value {
                Some(value) => entries.insert(name.clone(), value.clone()),
                None => entries.remove(name),
            };
        }
    }
}

impl Serialize for EntriesPatch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.clears, self.entries.is_empty()) {
            (true, true) => serializer.serialize_none(),
            (false, _) => self.entries.serialize(serializer),
            (true, false) => Err(S::Error::custom("a merge patch cannot replace all entries by others")),
        }
    }
}

impl<'de> Deserialize<'de> for EntriesPatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Option::<Entries<Option<String>>>::deserialize(deserializer)?;
        Ok(Self { clears: entries.is_none(), entries: entries.unwrap_or_default().0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(patch: &str) -> String {
        let mut metadata = BTreeMap::from([("a", "1"), ("b", "2")].map(|(name, value)| (name.into(), value.into())));
        let patch: EntriesPatch = serde_json::from_str(patch).unwrap();
        patch.apply(&mut metadata);
        serde_json::to_string(&metadata).unwrap()
    }

    #[test]
    fn it_is_a_merge_patch() {
        for (patch, after) in [
            ("{}", r#"{"a":"1","b":"2"}"#),
            (r#"{"a":null}"#, r#"{"b":"2"}"#),
            (r#"{"a":"3","c":"4","d":null}"#, r#"{"a":"3","b":"2","c":"4"}"#),
            ("null", "{}"),
        ] {
            assert_eq!(applied(patch), after);
            let read: EntriesPatch = serde_json::from_str(patch).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), patch);
            assert_eq!(read.is_keep(), patch == "{}");
        }
    }

    #[test]
    fn it_leaves_what_it_does_not_change() {
        for (patch, left) in [
            ("{}", [true, true]),
            (r#"{"a":null}"#, [false, true]),
            (r#"{"a":"1","b":"3","c":"4"}"#, [true, false]),
            ("null", [false, false]),
        ] {
            let patch: EntriesPatch = serde_json::from_str(patch).unwrap();
            assert_eq!([patch.leaves("a", "1"), patch.leaves("b", "2")], left);
        }
    }

    #[test]
    fn entries_in_place_of_all_others_are_no_merge_patch() {
        let mut patch = EntriesPatch::default();
        patch.set("x".into(), "0".into());
        patch.clear();
        patch.set("c".into(), "3".into());
        let mut metadata = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        patch.apply(&mut metadata);
        assert_eq!(metadata, BTreeMap::from([("c".to_owned(), "3".to_owned())]));
        assert!(serde_json::to_string(&patch).is_err());
    }
}
