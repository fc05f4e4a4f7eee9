//! The payload of a frame, between its head and its checksum: values one after the other, as bincode writes them, and a
//! tail.

use serde::{Serialize, de::DeserializeOwned};

use crate::base::codec::error::{CodecError, MAX_FRAME};

/// The largest length that its first byte holds; the first byte of a 16-bit length is one more.
const SHORT: usize = 250;
const LONG: u8 = 251;

fn config() -> impl bincode::config::Config {
    // Without the limit one corrupt length aborts the process.
    bincode::config::standard().with_limit::<MAX_FRAME>()
}

/// Encodes one value.
pub(crate) fn value<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    bincode::serde::encode_to_vec(value, config()).map_err(CodecError::Encode)
}

/// Decodes a value that takes all of these bytes.
pub(crate) fn whole<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let mut payload = Reader::new(bytes);
    let value = payload.take()?;
    payload.end()?;
    Ok(value)
}

/// Writes a payload.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// Continues after these bytes.
    pub(crate) fn after(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn put<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        bincode::serde::encode_into_std_write(value, &mut self.0, config()).map_err(CodecError::Encode)?;
        Ok(())
    }

    /// Writes bytes after their length.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), CodecError> {
        self.length(bytes.len())?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes a length below 65,536, in the same bytes as bincode's.
    pub(crate) fn length(&mut self, length: usize) -> Result<(), CodecError> {
        match u16::try_from(length) {
            Ok(short) if length <= SHORT => self.0.extend(short.to_le_bytes().first()),
            Ok(long) => {
                self.0.push(LONG);
                self.0.extend(long.to_le_bytes());
            }
            Err(_) => return Err(CodecError::TooLong(length)),
        }
        Ok(())
    }
}

/// Reads a payload.
pub(crate) struct Reader<'p> {
    rest: &'p [u8],
}

impl<'p> Reader<'p> {
    pub(crate) fn new(payload: &'p [u8]) -> Self {
        Self { rest: payload }
    }

    pub(crate) fn take<T: DeserializeOwned>(&mut self) -> Result<T, CodecError> {
        let (value, read) =
            bincode::serde::decode_from_slice(self.rest, config()).map_err(|error| CodecError::Payload(Some(error)))?;
        self.skip(read)?;
        Ok(value)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, CodecError> {
        let byte = *self.rest.first().ok_or(CodecError::Payload(None))?;
        self.skip(1)?;
        Ok(byte)
    }

    /// Reads bytes after their length.
    pub(crate) fn bytes(&mut self) -> Result<&'p [u8], CodecError> {
        let length = self.length()?;
        self.skip(length)
    }

    /// Reads a length, which must have the shortest form.
    pub(crate) fn length(&mut self) -> Result<usize, CodecError> {
        let first = self.byte()?;
        if first < LONG {
            return Ok(first.into());
        }
        let long = self.skip(2)?.first_chunk().map_or(0, |long| usize::from(u16::from_le_bytes(*long)));
        if first == LONG && long > SHORT { Ok(long) } else { Err(CodecError::Payload(None)) }
    }

    fn skip(&mut self, length: usize) -> Result<&'p [u8], CodecError> {
        let (skipped, rest) = self.rest.split_at_checked(length).ok_or(CodecError::Payload(None))?;
        self.rest = rest;
        Ok(skipped)
    }

    /// The number of bytes that are left.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn end(self) -> Result<(), CodecError> {
        if self.is_empty() { Ok(()) } else { Err(CodecError::Payload(None)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_bincode_and_have_one_form() {
        for length in [0, 1, 250, 251, 252, 255, 256, 65_535] {
            let mut writer = Writer::after(Vec::new());
            writer.length(length).unwrap();
            let bytes = writer.into_bytes();
            assert_eq!(bytes, value(&length).unwrap(), "{length}");
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.length().unwrap(), length);
            assert!(reader.is_empty());
        }
        assert!(Writer::after(Vec::new()).length(65_536).is_err());
        for bad in [&[][..], &[251], &[251, 7], &[251, 250, 0], &[252, 0, 1, 0, 0], &[255, 0, 1]] {
            assert!(Reader::new(bad).length().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bytes_end_where_their_length_says() {
        assert_eq!(Reader::new(&[2, 7, 8, 9]).bytes().unwrap(), [7, 8]);
        assert!(Reader::new(&[2, 7]).bytes().is_err());
        assert!(whole::<u32>(&[7]).is_ok_and(|value| value == 7));
        assert!(whole::<u32>(&[7, 0]).is_err());
    }
}
