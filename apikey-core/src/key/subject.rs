//! The subject of an event, a change or an item of a backup.

use crate::access::named::{Kind, NamedId};
use crate::base::codec::payload::{Reader, Writer};
use crate::base::codec::{CodecError, Newer};
use crate::token::key_id::KeyId;

/// A kind and an id.
///
/// | kind | id |
/// |---|---|
/// | 1 key | its 16 bytes |
/// | 2 role, 3 tenant, 5 owner | the 16 bytes of its [id](Kind::id), which follows from its name |
/// | 4 store | none |
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Subject {
    Key(u128),
    /// A role, a tenant or an owner, as its id says.
    Named(NamedId),
    Store,
}

const KEY: u8 = 1;
const ROLE: u8 = 2;
const TENANT: u8 = 3;
const STORE: u8 = 4;
const OWNER: u8 = 5;

impl Subject {
    /// The key's id, if it is one.
    pub(crate) fn key(self) -> Option<u128> {
        match self {
            Self::Key(id) => Some(id),
            Self::Named(_) | Self::Store => None,
        }
    }

    /// The id of its record, if it has one. No two subjects share one.
    pub(crate) fn record(self) -> Option<u128> {
        match self {
            Self::Key(id) | Self::Named(id) => Some(id),
            Self::Store => None,
        }
    }

    /// The subject whose record has this id.
    pub(crate) fn of_record(id: u128) -> Self {
        if Kind::of(id).is_some() { Self::Named(id) } else { Self::Key(id) }
    }

    pub(crate) fn key_id(self) -> Option<KeyId> {
        self.key().map(KeyId::from_u128)
    }

    fn kind(self) -> u8 {
        match self {
            Self::Key(id) | Self::Named(id) => match Kind::of(id) {
                None => KEY,
                Some(Kind::Role) => ROLE,
                Some(Kind::Tenant) => TENANT,
                Some(Kind::Owner) => OWNER,
            },
            Self::Store => STORE,
        }
    }

    pub(crate) fn put(self, payload: &mut Writer) -> Result<(), CodecError> {
        payload.put(&self.kind())?;
        match self.record() {
            Some(id) => payload.bytes(&id.to_be_bytes()),
            None => payload.bytes(&[]),
        }
    }

    pub(crate) fn take(payload: &mut Reader<'_>) -> Result<Self, CodecError> {
        let kind = payload.byte()?;
        let id = payload.bytes()?;
        let number = || Ok(u128::from_be_bytes(id.try_into().map_err(|_| CodecError::Payload(None))?));
        match kind {
            // Each kind has a range of ids of its own.
            KEY | ROLE | TENANT | OWNER => {
                let subject = Self::of_record(number()?);
                if subject.kind() == kind { Ok(subject) } else { Err(CodecError::Payload(None)) }
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
        let kinds = [Kind::Role, Kind::Tenant, Kind::Owner];
        let [role, tenant, owner] = kinds.map(|kind| Subject::Named(kind.id("reader")));
        assert_eq!(bytes(role)[..6], [2, 16, 0xff, 0xfe, 0, 2]);
        assert_eq!(bytes(tenant)[..6], [3, 16, 0xff, 0xfe, 0, 3]);
        assert_eq!(bytes(owner)[..6], [5, 16, 0xff, 0xfe, 0, 4]);
        for subject in [Subject::Key(0), Subject::Key(u128::MAX), role, tenant, owner, Subject::Store] {
            assert_eq!(read(&bytes(subject)).unwrap(), subject);
        }
    }

    #[test]
    fn a_kind_that_is_not_known_is_newer() {
        for kind in [6, 7, 255] {
            let error = read(&[kind, 6, b'r', b'e', b'a', b'd', b'e', b'r']).unwrap_err();
            assert!(matches!(error, CodecError::Newer(Newer::Subject(found)) if found == kind), "{error}");
        }
        let of_key = [&[2, 16][..], &7u128.to_be_bytes()].concat();
        let of_role = [&[3, 16][..], &Kind::Role.id("reader").to_be_bytes()].concat();
        for damaged in [&[][..], &[1], &[1, 15], &[1, 0], &[2, 16], &of_key, &of_role, &[4, 1, 0], &[0, 0], &[4]] {
            assert!(matches!(read(damaged), Err(CodecError::Payload(_))), "{damaged:?}");
        }
    }
}
