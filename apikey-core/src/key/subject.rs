//! The subject of an event, a change or an item of a backup.

use crate::access::grant_set::RoleId;
use crate::base::codec::payload::{Reader, Writer};
use crate::base::codec::{CodecError, Newer};
use crate::key::role;
use crate::token::key_id::KeyId;

/// A kind and an id.
///
/// | kind | id |
/// |---|---|
/// | 1 key | its 16 bytes |
/// | 2 role | the 16 bytes of its [id](crate::key::role::id), which follows from its name |
/// | 3 tenant | kept for it; no version has written one |
/// | 4 store | none |
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Subject {
    Key(u128),
    Role(RoleId),
    Store,
}

const KEY: u8 = 1;
const ROLE: u8 = 2;
const STORE: u8 = 4;

impl Subject {
    /// The key's id, if it is one.
    pub(crate) fn key(self) -> Option<u128> {
        match self {
            Self::Key(id) => Some(id),
            Self::Role(_) | Self::Store => None,
        }
    }

    /// The id of its record, if it has one. No key and role share one.
    pub(crate) fn record(self) -> Option<u128> {
        match self {
            Self::Key(id) | Self::Role(id) => Some(id),
            Self::Store => None,
        }
    }

    /// The subject whose record has this id.
    pub(crate) fn of_record(id: u128) -> Self {
        if role::IDS.contains(&id) { Self::Role(id) } else { Self::Key(id) }
    }

    pub(crate) fn key_id(self) -> Option<KeyId> {
        self.key().map(KeyId::from_u128)
    }

    pub(crate) fn put(self, payload: &mut Writer) -> Result<(), CodecError> {
        match self {
            Self::Key(id) | Self::Role(id) => {
                payload.put(if matches!(self, Self::Role(_)) { &ROLE } else { &KEY })?;
                payload.bytes(&id.to_be_bytes())
            }
            Self::Store => {
                payload.put(&STORE)?;
                payload.bytes(&[])
            }
        }
    }

    pub(crate) fn take(payload: &mut Reader<'_>) -> Result<Self, CodecError> {
        let kind = payload.byte()?;
        let id = payload.bytes()?;
        let number = || Ok(u128::from_be_bytes(id.try_into().map_err(|_| CodecError::Payload(None))?));
        match kind {
            // The ids of roles have a range of their own.
            KEY | ROLE => {
                let subject = Self::of_record(number()?);
                let is_of_kind = (kind == ROLE) == matches!(subject, Self::Role(_));
                if is_of_kind { Ok(subject) } else { Err(CodecError::Payload(None)) }
            }
            STORE if id.is_empty() => Ok(Self::Store),
            0 | STORE => Err(CodecError::Payload(None)),
            newer => Err(CodecError::Newer(Newer::Subject(newer))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(subject: Subject) -> Vec<u8> {
        let mut payload = Writer::after(Vec::new());
        subject.put(&mut payload).unwrap();
        payload.into_bytes()
    }

    fn read(bytes: &[u8]) -> Result<Subject, CodecError> {
        let mut payload = Reader::new(bytes);
        let subject = Subject::take(&mut payload)?;
        payload.end()?;
        Ok(subject)
    }

    #[test]
    fn a_subject_is_a_kind_and_an_id() {
        assert_eq!(bytes(Subject::Key(7)), [&[1, 16][..], &7u128.to_be_bytes()].concat());
        assert_eq!(bytes(Subject::Store), [4, 0]);
        assert_eq!(bytes(Subject::Role(role::id("reader")))[..6], [2, 16, 0xff, 0xfe, 0, 2]);
        for subject in [Subject::Key(0), Subject::Key(u128::MAX), Subject::Role(role::id("reader")), Subject::Store] {
            assert_eq!(read(&bytes(subject)).unwrap(), subject);
        }
    }

    #[test]
    fn a_kind_that_is_not_known_is_newer() {
        for kind in [3, 5, 255] {
            let error = read(&[kind, 6, b'r', b'e', b'a', b'd', b'e', b'r']).unwrap_err();
            assert!(matches!(error, CodecError::Newer(Newer::Subject(found)) if found == kind), "{error}");
        }
        let of_key = [&[2, 16][..], &7u128.to_be_bytes()].concat();
        for damaged in [&[][..], &[1], &[1, 15], &[1, 0], &[2, 16], &of_key, &[4, 1, 0], &[0, 0], &[4]] {
            assert!(matches!(read(damaged), Err(CodecError::Payload(_))), "{damaged:?}");
        }
    }
}
