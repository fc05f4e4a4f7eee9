//! The tail of a frame, or of a secret's slot: the optional fields, and those that later versions add.
//!
//! A field is a tag of one byte, a length, and as many bytes. Tags ascend, each occurs once, and empty fields are left
//! out, so equal values have equal bytes. The lowest bit of a tag makes the field *critical*. A version that does not
//! know a critical field must not use the value; it keeps an unknown field that is not critical when it writes the
//! value again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::base::codec::entries;
use crate::base::codec::error::{CodecError, Newer};
use crate::base::codec::payload::{Reader, Writer, value, whole};

/// A tag in its stored form.
pub(crate) type Tag = u8;

/// The tag of a field that a version may ignore.
pub(crate) const fn ignorable(number: u8) -> Tag {
    number << 1
}

/// The tag of a field that a version must know, such as every field that restricts a key.
pub(crate) const fn critical(number: u8) -> Tag {
    (number << 1) | 1
}

const fn is_critical(tag: Tag) -> bool {
    tag & 1 == 1
}

/// Fields that this version does not know, to be written again as they are.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Unknown(Vec<(Tag, Box<[u8]>)>);

/// Hides the content, which may be personal data.
impl std::fmt::Debug for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(tag, _)| tag)).finish()
    }
}

#[cfg(test)]
impl Unknown {
    /// A field of a later version.
    pub(crate) fn field(tag: Tag, content: &[u8]) -> Self {
        Self(vec![(tag, content.into())])
    }
}

/// A value in a tail.
pub(crate) trait Field: Sized {
    fn put(&self, tag: Tag, tail: &mut TailWriter) -> Result<(), CodecError>;

    /// Reads the value again. A missing field is empty.
    fn take(tag: Tag, tail: &mut TailReader<'_>) -> Result<Self, CodecError>;
}

/// Collects fields, in any order.
pub(crate) struct TailWriter(Vec<(Tag, Vec<u8>)>);

impl TailWriter {
    /// Begins with the fields that this version does not know.
    pub(crate) fn new(unknown: &Unknown) -> Self {
        Self(unknown.0.iter().map(|(tag, content)| (*tag, content.to_vec())).collect())
    }

    pub(crate) fn put<T: Serialize + ?Sized>(&mut self, tag: Tag, content: &T) -> Result<(), CodecError> {
        self.bytes(tag, value(content)?);
        Ok(())
    }

    pub(crate) fn put_some<T: Serialize>(&mut self, tag: Tag, content: Option<&T>) -> Result<(), CodecError> {
        content.map_or(Ok(()), |content| self.put(tag, content))
    }

    pub(crate) fn bytes(&mut self, tag: Tag, content: Vec<u8>) {
        self.0.push((tag, content));
    }

    /// Writes the tail.
    pub(crate) fn end(mut self, payload: &mut Writer) -> Result<(), CodecError> {
        self.0.sort_unstable_by_key(|(tag, _)| *tag);
        let mut tail = Writer::after(Vec::new());
        let mut last = None;
        for (tag, content) in &self.0 {
            if last.replace(*tag) == Some(*tag) {
                return Err(CodecError::Tag(*tag));
            }
            tail.put(tag)?;
            tail.bytes(content)?;
        }
        payload.bytes(&tail.into_bytes())
    }
}

/// Returns the fields of a tail, one by one.
pub(crate) struct TailReader<'p>(Vec<(Tag, &'p [u8])>);

impl<'p> TailReader<'p> {
    pub(crate) fn new(payload: &mut Reader<'p>) -> Result<Self, CodecError> {
        let mut tail = Reader::new(payload.bytes()?);
        let mut fields: Vec<(Tag, &[u8])> = Vec::new();
        while !tail.is_empty() {
            let tag = tail.byte()?;
            if fields.last().is_some_and(|(last, _)| *last >= tag) {
                return Err(CodecError::Tag(tag));
            }
            fields.push((tag, tail.bytes()?));
        }
        Ok(Self(fields))
    }

    pub(crate) fn has(&self, tag: Tag) -> bool {
        self.0.iter().any(|(held, _)| *held == tag)
    }

    pub(crate) fn bytes(&mut self, tag: Tag) -> Option<&'p [u8]> {
        let place = self.0.iter().position(|(held, _)| *held == tag)?;
        Some(self.0.remove(place).1)
    }

    pub(crate) fn take<T: DeserializeOwned>(&mut self, tag: Tag) -> Result<Option<T>, CodecError> {
        self.bytes(tag).map(whole).transpose()
    }

    /// The same for a required field.
    pub(crate) fn need<T: DeserializeOwned>(&mut self, tag: Tag) -> Result<T, CodecError> {
        self.take(tag)?.ok_or(CodecError::Payload(None))
    }

    /// Returns the fields that the caller has not taken. `of` names the value in errors.
    pub(crate) fn end(self, of: &'static str) -> Result<Unknown, CodecError> {
        if let Some((tag, _)) = self.0.iter().find(|(tag, _)| is_critical(*tag)) {
            return Err(CodecError::Newer(Newer::Field { of, tag: *tag }));
        }
        Ok(Unknown(self.0.into_iter().map(|(tag, content)| (tag, content.into())).collect()))
    }
}

impl Field for u32 {
    fn put(&self, tag: Tag, tail: &mut TailWriter) -> Result<(), CodecError> {
        tail.put(tag, self)
    }

    fn take(tag: Tag, tail: &mut TailReader<'_>) -> Result<Self, CodecError> {
        tail.need(tag)
    }
}

impl Field for u64 {
    fn put(&self, tag: Tag, tail: &mut TailWriter) -> Result<(), CodecError> {
        tail.put(tag, self)
    }

    fn take(tag: Tag, tail: &mut TailReader<'_>) -> Result<Self, CodecError> {
        tail.need(tag)
    }
}

/// Writes the text's bytes, whose number is the length of the field.
impl Field for String {
    fn put(&self, tag: Tag, tail: &mut TailWriter) -> Result<(), CodecError> {
        tail.bytes(tag, self.as_bytes().to_vec());
        Ok(())
    }

    fn take(tag: Tag, tail: &mut TailReader<'_>) -> Result<Self, CodecError> {
        let bytes = tail.bytes(tag).ok_or(CodecError::Payload(None))?;
        Self::from_utf8(bytes.to_vec()).map_err(|_| CodecError::Payload(None))
    }
}

/// A field without content means `true`, and a missing one `false`.
impl Field for bool {
    fn put(&self, tag: Tag, tail: &mut TailWriter) -> Result<(), CodecError> {
        if *self {
            tail.bytes(tag, Vec::new());
        }
        Ok(())
    }

    fn take(tag: Tag, tail: &mut TailReader<'_>) -> Result<Self, CodecError> {
        match tail.bytes(tag) {
            None => Ok(false),
            Some([]) => Ok(true),
            Some(_) => Err(CodecError::Payload(None)),
        }
    }
}

impl<T: Field> Field for Option<T> {
    fn put(&self, tag: Tag, tail: &mut TailWriter) -> Result<(), CodecError> {
        self.as_ref().map_or(Ok(()), |some| some.put(tag, tail))
    }

    fn take(tag: Tag, tail: &mut TailReader<'_>) -> Result<Self, CodecError> {
        if tail.has(tag) { T::take(tag, tail).map(Some) } else { Ok(None) }
    }
}

impl<T: Serialize + DeserializeOwned> Field for Vec<T> {
    fn put(&self, tag: Tag, tail: &mut TailWriter) -> Result<(), CodecError> {
        #[derive(Serialize)]
        #[serde(bound = "T: Serialize")]
        struct List<'a, T>(#[serde(serialize_with = "entries::list::serialize")] &'a Vec<T>);

        if self.is_empty() { Ok(()) } else { tail.put(tag, &List(self)) }
    }

    fn take(tag: Tag, tail: &mut TailReader<'_>) -> Result<Self, CodecError> {
        #[derive(Deserialize)]
        #[serde(bound = "T: DeserializeOwned")]
        struct List<T>(#[serde(with = "entries::list")] Vec<T>);

        match tail.take::<List<T>>(tag)? {
            None => Ok(Self::new()),
            Some(List(list)) if list.is_empty() => Err(CodecError::Payload(None)),
            Some(List(list)) => Ok(list),
        }
    }
}

impl Field for BTreeMap<String, String> {
    fn put(&self, tag: Tag, tail: &mut TailWriter) -> Result<(), CodecError> {
        #[derive(Serialize)]
        struct Map<'a>(#[serde(serialize_with = "entries::map::serialize")] &'a BTreeMap<String, String>);

        if self.is_empty() { Ok(()) } else { tail.put(tag, &Map(self)) }
    }

    fn take(tag: Tag, tail: &mut TailReader<'_>) -> Result<Self, CodecError> {
        #[derive(Deserialize)]
        struct Map(#[serde(with = "entries::map")] BTreeMap<String, String>);

        match tail.take::<Map>(tag)? {
            None => Ok(Self::new()),
            Some(Map(map)) if map.is_empty() => Err(CodecError::Payload(None)),
            Some(Map(map)) => Ok(map),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: Tag = ignorable(1);
    const LIST: Tag = critical(2);
    const FLAG: Tag = ignorable(3);
    const MAP: Tag = critical(4);
    const NUMBER: Tag = ignorable(5);

    #[derive(Debug, Clone, Default, PartialEq)]
    struct Sample {
        name: Option<String>,
        list: Vec<u32>,
        flag: bool,
        map: BTreeMap<String, String>,
        number: Option<u64>,
        unknown: Unknown,
    }

    fn write(sample: &Sample) -> Result<Vec<u8>, CodecError> {
        let mut tail = TailWriter::new(&sample.unknown);
        // In no order.
        sample.number.put(NUMBER, &mut tail)?;
        sample.name.put(NAME, &mut tail)?;
        sample.map.put(MAP, &mut tail)?;
        sample.list.put(LIST, &mut tail)?;
        sample.flag.put(FLAG, &mut tail)?;
        let mut payload = Writer::after(Vec::new());
        tail.end(&mut payload)?;
        Ok(payload.into_bytes())
    }

    fn read(bytes: &[u8]) -> Result<Sample, CodecError> {
        let mut payload = Reader::new(bytes);
        let mut tail = TailReader::new(&mut payload)?;
        payload.end()?;
        Ok(Sample {
            name: Field::take(NAME, &mut tail)?,
            list: Field::take(LIST, &mut tail)?,
            flag: Field::take(FLAG, &mut tail)?,
            map: Field::take(MAP, &mut tail)?,
            number: Field::take(NUMBER, &mut tail)?,
            unknown: tail.end("sample")?,
        })
    }

    fn full() -> Sample {
        Sample {
            name: Some("ci".into()),
            list: vec![300, 1],
            flag: true,
            map: [("a".into(), "b".into())].into(),
            number: Some(u64::MAX),
            unknown: Unknown::default(),
        }
    }

    #[test]
    fn what_is_empty_takes_one_byte() {
        assert_eq!(write(&Sample::default()).unwrap(), [0]);
        assert_eq!(read(&[0]).unwrap(), Sample::default());
    }

    #[test]
    fn tags_ascend() {
        let bytes = write(&full()).unwrap();
        assert_eq!(bytes[..5], [31, NAME, 2, b'c', b'i']);
        assert_eq!(read(&bytes).unwrap(), full());
    }

    #[test]
    fn an_unknown_field_is_kept_or_refuses_the_value() {
        for tag in [0, ignorable(2), ignorable(127)] {
            let later = Sample { unknown: Unknown::field(tag, b"later"), ..full() };
            let bytes = write(&later).unwrap();
            let read = read(&bytes).unwrap();
            assert_eq!(read, later);
            assert_eq!(write(&read).unwrap(), bytes, "in its place");
        }
        for tag in [1, critical(3), critical(127)] {
            let later = Sample { unknown: Unknown::field(tag, b"later"), ..full() };
            let error = read(&write(&later).unwrap()).unwrap_err();
            assert!(matches!(error, CodecError::Newer(Newer::Field { of: "sample", tag: found }) if found == tag));
        }
        let twice = Sample { unknown: Unknown::field(NAME, b"later"), ..full() };
        assert!(matches!(write(&twice), Err(CodecError::Tag(NAME))));
    }

    #[test]
    fn there_is_one_form_of_each_value() {
        let bad: [&[u8]; 8] = [
            // Out of order, twice, cut off, an empty list, an empty map, a flag with content, a list that ends early,
            // text.
            &[6, NUMBER, 1, 0, NAME, 1, b'a'],
            &[6, NAME, 1, b'a', NAME, 1, b'a'],
            &[2, NAME, 1],
            &[3, LIST, 1, 0],
            &[3, MAP, 1, 0],
            &[3, FLAG, 1, 0],
            &[5, LIST, 3, 1, 7, 7],
            &[3, NAME, 1, 0xff],
        ];
        for bytes in bad {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(sample) = read(&bytes) {
                prop_assert!(write(&sample).unwrap().len() <= bytes.len());
            }
        }
    }
}
