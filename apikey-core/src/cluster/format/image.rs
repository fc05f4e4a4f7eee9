//! The images of the cluster's state: the records of keys and roles, and the outcomes of idempotent requests, each with a code, so
//! that nobody without the pepper can make one.

use crate::cluster::format::entry::EntryError;
use crate::storage::batch::Write;
use crate::token::digest::{Digest, Digester};

/// The kind of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ImageKind {
    /// The record of a key or a role, by the 16 bytes of its id.
    Record,
    /// What an idempotent request made, by the request's name.
    Outcome,
    /// The head of a replica at the state, by the eight bytes of the generation. It is no image of its own: it stands with
    /// the state's position, and says how many records there are, and their sum.
    Head,
}

const DOMAIN: &[u8] = b"apikey: an image of a cluster's state";
const PEPPER: usize = 4;
const CODE: usize = size_of::<Digest>();

impl ImageKind {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Record => 1,
            Self::Outcome => 2,
            Self::Head => 3,
        }
    }

    /// A kind that this version knows. It passes over others, which only a later version reads.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::Record, Self::Outcome].into_iter().find(|kind| kind.code() == code)
    }
}

/// An image with its name, before it is in a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedImage {
    pub(crate) kind: ImageKind,
    pub(crate) name: Vec<u8>,
    /// `None` deletes it.
    pub(crate) value: Option<Vec<u8>>,
}

impl NamedImage {
    /// The images that a change leaves.
    pub(crate) fn of_write(write: &Write, digester: &Digester) -> impl Iterator<Item = Self> + use<> {
        let record = write.subject.record().map(|id| {
            let name = id.to_be_bytes().to_vec();
            let value = write.record.as_ref().map(|frame| seal(ImageKind::Record, &name, frame, digester));
            Self { kind: ImageKind::Record, name, value }
        });
        let outcome = write.outcome.as_ref().map(|(name, frame)| {
            let value = Some(seal(ImageKind::Outcome, name, frame, digester));
            Self { kind: ImageKind::Outcome, name: name.to_vec(), value }
        });
        record.into_iter().chain(outcome)
    }
}

/// Puts a frame behind its code.
pub(crate) fn seal(kind: ImageKind, name: &[u8], frame: &[u8], digester: &Digester) -> Vec<u8> {
    let mut value = digester.pepper().to_le_bytes().to_vec();
    value.extend(code(kind, name, frame, digester));
    value.extend_from_slice(frame);
    value
}

/// Checks the code of an image, and returns its frame.
pub(crate) fn unseal<'v>(
    kind: ImageKind,
    name: &[u8],
    value: &'v [u8],
    digesters: &[Digester],
) -> Result<&'v [u8], EntryError> {
    let (pepper, rest) = value.split_first_chunk::<PEPPER>().ok_or(EntryError::Length)?;
    let (given, frame) = rest.split_first_chunk::<CODE>().ok_or(EntryError::Length)?;
    let pepper = u32::from_le_bytes(*pepper);
    if pepper == 0 && digesters.iter().any(|digester| digester.pepper() > 0) {
        return Err(EntryError::Unpeppered);
    }
    let digester = digesters.iter().find(|digester| digester.pepper() == pepper).ok_or(EntryError::Pepper(pepper))?;
    if constant_time_eq::constant_time_eq_32(&code(kind, name, frame, digester), given) {
        Ok(frame)
    } else {
        Err(EntryError::Code)
    }
}

fn code(kind: ImageKind, name: &[u8], frame: &[u8], digester: &Digester) -> Digest {
    // Each kind has names of one length.
    digester.of(&[DOMAIN, &[kind.code()], name, frame].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pepper;
    use crate::base::codec::golden;

    #[test]
    fn golden_bytes() {
        let pepper = Digester::peppered(&Pepper::new(2, [9; 32]));
        golden::check("cluster-image.bin", &seal(ImageKind::Record, &[1; 16], b"frame", &Digester::plain()));
        golden::check("cluster-image-peppered.bin", &seal(ImageKind::Outcome, &[2; 32], b"frame", &pepper));
        golden::check("cluster-state-head.bin", &seal(ImageKind::Head, &3u64.to_be_bytes(), b"frame", &pepper));
    }

    #[test]
    fn an_image_holds_under_its_name_and_pepper_only() {
        let all = [Digester::plain(), Digester::peppered(&Pepper::new(1, [7; 32]))];
        let value = seal(ImageKind::Record, &[1; 16], b"frame", &all[1]);
        assert_eq!(unseal(ImageKind::Record, &[1; 16], &value, &all).unwrap(), b"frame");
        let fault =
            |kind, name: [u8; 16], value: &[u8], known: &[Digester]| unseal(kind, &name, value, known).unwrap_err();
        assert!(matches!(fault(ImageKind::Record, [2; 16], &value, &all), EntryError::Code));
        assert!(matches!(fault(ImageKind::Outcome, [1; 16], &value, &all), EntryError::Code));
        assert!(matches!(fault(ImageKind::Record, [1; 16], &value, &all[..1]), EntryError::Pepper(1)));
        let plain = seal(ImageKind::Record, &[1; 16], b"frame", &all[0]);
        assert!(matches!(fault(ImageKind::Record, [1; 16], &plain, &all), EntryError::Unpeppered));
        assert_eq!(unseal(ImageKind::Record, &[1; 16], &plain, &all[..1]).unwrap(), b"frame");
        for at in 0..value.len() {
            let mut bad = value.clone();
            bad[at] ^= 1;
            fault(ImageKind::Record, [1; 16], &bad, &all);
        }
    }
}
