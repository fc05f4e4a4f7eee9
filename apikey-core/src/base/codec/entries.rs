//! Lists and maps in a frame, for `#[serde(with = "..")]`: the bytes are the same as serde's own, but the reader does
//! not trust a length in a frame. serde reserves up to 1 MiB for a list that claims to be long, and empty texts, of a
//! byte each in a frame, take 24 bytes each in memory.

use serde::ser::Error as _;
use serde::{Serialize, Serializer};

use crate::base::codec::error::MAX_ENTRIES;

fn written<T: Serialize, S: Serializer>(length: usize, entries: &T, serializer: S) -> Result<S::Ok, S::Error> {
    // Write nothing that could not be read again.
    if length > MAX_ENTRIES { Err(S::Error::custom("too many entries")) } else { entries.serialize(serializer) }
}

pub(crate) mod list {
    use std::fmt;
    use std::marker::PhantomData;

    use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
    use serde::{Serialize, Serializer};

    use super::{MAX_ENTRIES, written};

    pub(crate) fn serialize<T: Serialize, S: Serializer>(list: &Vec<T>, serializer: S) -> Result<S::Ok, S::Error> {
        written(list.len(), list, serializer)
    }

    pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(List(PhantomData))
    }

    struct List<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MAX_ENTRIES} entries")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(entry) = entries.next_element()? {
                if list.len() == MAX_ENTRIES {
                    return Err(A::Error::custom("too many entries"));
                }
                list.push(entry);
            }
            Ok(list)
        }
    }
}

pub(crate) mod map {
    use std::collections::BTreeMap;
    use std::fmt;
    use std::marker::PhantomData;

    use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
    use serde::{Serialize, Serializer};

    use super::{MAX_ENTRIES, written};

    pub(crate) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        written(map.len(), map, serializer)
    }

    pub(crate) fn deserialize<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<K, V>, D::Error> {
        deserializer.deserialize_map(Map(PhantomData))
    }

    struct Map<K, V>(PhantomData<(K, V)>);

    impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Map<K, V> {
        type Value = BTreeMap<K, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MAX_ENTRIES} entries")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<BTreeMap<K, V>, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = entries.next_entry()? {
                if map.len() == MAX_ENTRIES {
                    return Err(A::Error::custom("too many entries"));
                }
                if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
                    return Err(A::Error::custom("entries out of order"));
                }
                map.insert(key, value);
            }
            Ok(map)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::base::codec::{decode, encode, plain_frame};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Bounded {
        #[serde(with = "super::list")]
        list: Vec<String>,
        #[serde(with = "super::map")]
        map: BTreeMap<u32, String>,
    }

    plain_frame!(Bounded, b'B', "a sample");

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Unbounded {
        list: Vec<String>,
        map: BTreeMap<u32, String>,
    }

    plain_frame!(Unbounded, b'B', "a sample");

    fn of(list: usize, map: u32) -> (Bounded, Unbounded) {
        let texts = || vec![String::new(); list];
        let entries = || (0..map).map(|key| (key, String::new())).collect();
        (Bounded { list: texts(), map: entries() }, Unbounded { list: texts(), map: entries() })
    }

    #[test]
    fn the_bytes_are_those_of_serde() {
        for (list, map) in [(0, 0), (3, 2), (512, 512)] {
            let (bounded, unbounded) = of(list, map);
            let frame = encode(&bounded).unwrap();
            assert_eq!(frame, encode(&unbounded).unwrap());
            assert_eq!(decode::<Bounded>(&frame).unwrap(), bounded);
        }
    }

    #[test]
    fn one_entry_too_many_is_neither_written_nor_read() {
        assert_eq!(MAX_ENTRIES, 512);
        for (list, map) in [(513, 0), (0, 513)] {
            let (bounded, unbounded) = of(list, map);
            assert!(encode(&bounded).is_err());
            assert!(decode::<Bounded>(&encode(&unbounded).unwrap()).is_err());
        }
    }

    #[test]
    fn no_memory_is_reserved_for_what_a_list_says_of_itself() {
        /// A list that claims to be long, and is not.
        struct Boast(u8);

        impl<'de> serde::de::SeqAccess<'de> for Boast {
            type Error = serde::de::value::Error;

            fn next_element_seed<T: serde::de::DeserializeSeed<'de>>(
                &mut self,
                seed: T,
            ) -> Result<Option<T::Value>, Self::Error> {
                self.0 = self.0.saturating_sub(1);
                let entry = serde::de::value::StrDeserializer::new("text");
                if self.0 > 0 { seed.deserialize(entry).map(Some) } else { Ok(None) }
            }

            fn size_hint(&self) -> Option<usize> {
                Some(usize::MAX)
            }
        }
        let list: Vec<String> = list::deserialize(serde::de::value::SeqAccessDeserializer::new(Boast(3))).unwrap();
        assert_eq!(list.len(), 2);
        assert!(list.capacity() < 10, "{}", list.capacity());
    }
}
