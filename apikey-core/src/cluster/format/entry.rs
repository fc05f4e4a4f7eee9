//! An entry of the cluster's log: the changes of one call, as the ledger keeps them.
//!
//! It is a header, one frame for each change, each after its length in four bytes, and a code of 32 bytes over all of it:
//! an HMAC under the newest pepper, or a SHA-256 if there is no pepper. The header names the generation and the head that
//! the entry follows, so nobody without the pepper can make an entry, or put one in another place.

use serde::{Deserialize, Serialize};

use crate::base::codec::payload::{Reader, Writer};
use crate::base::codec::tail::{TailReader, TailWriter, Unknown};
use crate::base::codec::{self, CodecError, Frame, plain_frame};
use crate::cluster::ledger::Position;
use crate::key::event::stored::Head;
use crate::storage::batch::Write;
use crate::token::digest::{Digest, Digester};

/// The most bytes of an entry.
pub(crate) const MAX_ENTRY: usize = 64 << 20;
/// What the code covers first, so that no other message under a pepper can be taken for an entry.
const DOMAIN: &[u8] = b"apikey: an entry of a cluster's log";
/// The last entry of a log whose keys were replaced by others.
pub(crate) const LOG_END: &[u8] = b"apikey: the end of this log";
const LENGTH: usize = 4;
const CODE: usize = size_of::<Digest>();

/// An entry, decoded.
pub(crate) struct LogEntry {
    pub(crate) generation: u64,
    pub(crate) op: u128,
    pub(crate) base: Position,
    /// The head after it.
    pub(crate) head: Head,
    pub(crate) writes: Vec<Write>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    generation: u64,
    op: u128,
    base: u64,
    base_digest: Digest,
    changes: u32,
    head: Head,
    /// The pepper of the code, 0 for none.
    pepper: u32,
}

plain_frame!(Header, b'L', "the header of an entry of the log");

/// One change.
struct LoggedWrite(Write);

impl Frame for LoggedWrite {
    const KIND: u8 = b'W';

    fn put(&self, payload: &mut Writer) -> Result<(), CodecError> {
        self.0.put(payload)?;
        TailWriter::new(&Unknown::default()).end(payload)
    }

    fn take(payload: &mut Reader<'_>) -> Result<Self, CodecError> {
        let write = Write::take(payload)?;
        // No node writes an entry again that it has read.
        let _ = TailReader::new(payload)?.end("a change of an entry")?;
        Ok(Self(write))
    }
}

/// Why an entry cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EntryError {
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("it has {0} bytes, and may have {MAX_ENTRY}")]
    TooLong(usize),
    #[error("it is cut off, or longer than it says")]
    Length,
    #[error("pepper {0} is missing: give every node the same peppers")]
    Pepper(u32),
    #[error("it has no pepper, and this node has one: whoever wrote it does not know the pepper")]
    Unpeppered,
    #[error(
        "its code does not match: it was changed, or whoever wrote it has other bytes under the number of its pepper"
    )]
    Code,
}

impl LogEntry {
    /// The head after it.
    pub(crate) fn last(&self) -> Position {
        position(&self.head)
    }

    pub(crate) fn encode(&self, digester: &Digester) -> Result<Vec<u8>, EntryError> {
        let header = Header {
            generation: self.generation,
            op: self.op,
            base: self.base.number,
            base_digest: self.base.digest,
            changes: u32::try_from(self.writes.len()).map_err(|_| EntryError::Length)?,
            head: self.head,
            pepper: digester.pepper(),
        };
        let mut bytes = Vec::new();
        put(&mut bytes, &codec::encode(&header)?)?;
        for write in &self.writes {
            put(&mut bytes, &codec::encode(&LoggedWrite(write.clone()))?)?;
        }
        bytes.extend(code(digester, &bytes));
        if bytes.len() > MAX_ENTRY { Err(EntryError::TooLong(bytes.len())) } else { Ok(bytes) }
    }

    /// Decodes an entry, and checks its code. `digesters` has the one without a pepper first.
    pub(crate) fn decode(bytes: &[u8], digesters: &[Digester]) -> Result<Self, EntryError> {
        if bytes.len() > MAX_ENTRY {
            return Err(EntryError::TooLong(bytes.len()));
        }
        let (covered, given) = bytes.split_last_chunk::<CODE>().ok_or(EntryError::Length)?;
        let mut rest = covered;
        let header: Header = codec::decode(take(&mut rest)?)?;
        if header.pepper == 0 && digesters.iter().any(|digester| digester.pepper() > 0) {
            return Err(EntryError::Unpeppered);
        }
        let digester = digesters.iter().find(|digester| digester.pepper() == header.pepper);
        let digester = digester.ok_or(EntryError::Pepper(header.pepper))?;
        if !constant_time_eq::constant_time_eq_32(&code(digester, covered), given) {
            return Err(EntryError::Code);
        }
        let mut writes = Vec::new();
        for _ in 0..header.changes {
            writes.push(codec::decode::<LoggedWrite>(take(&mut rest)?)?.0);
        }
        if !rest.is_empty() {
            return Err(EntryError::Length);
        }
        let Header { generation, op, base, base_digest, head, .. } = header;
        Ok(Self { generation, op, base: Position { number: base, digest: base_digest }, head, writes })
    }
}

/// The position of a head.
pub(crate) fn position(head: &Head) -> Position {
    Position { number: head.number, digest: head.digest }
}

fn put(bytes: &mut Vec<u8>, frame: &[u8]) -> Result<(), EntryError> {
    bytes.extend(u32::try_from(frame.len()).map_err(|_| EntryError::Length)?.to_le_bytes());
    bytes.extend_from_slice(frame);
    Ok(())
}

fn take<'b>(rest: &mut &'b [u8]) -> Result<&'b [u8], EntryError> {
    let (length, after) = rest.split_first_chunk::<LENGTH>().ok_or(EntryError::Length)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| EntryError::Length)?;
    let (frame, after) = after.split_at_checked(length).ok_or(EntryError::Length)?;
    *rest = after;
    Ok(frame)
}

pub(crate) fn code(digester: &Digester, covered: &[u8]) -> Digest {
    digester.of(&[DOMAIN, covered].concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Pepper;
    use crate::base::codec::golden;
    use crate::key::subject::Subject;

    fn digesters() -> Vec<Digester> {
        vec![
            Digester::plain(),
            Digester::peppered(&Pepper::new(1, [7; 32])),
            Digester::peppered(&Pepper::new(2, [9; 32])),
        ]
    }

    fn write(number: u64, record: Option<Vec<u8>>) -> Write {
        Write {
            subject: Subject::Key(number.into()),
            tenant: None,
            owner: "alice".into(),
            is_new: true,
            record: record.map(Into::into),
            imported_in: vec![[3; 32]],
            imported_out: Vec::new(),
            event: (number, vec![1, 2, 3].into()),
            outcome: Some(([4; 32], vec![5].into())),
        }
    }

    fn entry() -> LogEntry {
        let head = Head { number: 9, digest: [2; 32], records: 2, sum: 77, last_id: 1 << 99 };
        let writes = vec![write(8, Some(vec![1; 300])), write(9, None)];
        LogEntry { generation: 3, op: 5, base: Position { number: 7, digest: [1; 32] }, head, writes }
    }

    fn fault(bytes: &[u8], digesters: &[Digester]) -> EntryError {
        LogEntry::decode(bytes, digesters).err().unwrap()
    }

    #[test]
    fn golden_bytes_with_and_without_a_pepper() {
        for (name, digester) in
            [("cluster-entry.bin", &digesters()[0]), ("cluster-entry-peppered.bin", &digesters()[2])]
        {
            golden::check(name, &entry().encode(digester).unwrap());
        }
        golden::check("cluster-log-end.bin", LOG_END);
    }

    #[test]
    fn an_entry_comes_back() {
        for digester in &digesters() {
            let bytes = entry().encode(digester).unwrap();
            let known = if digester.pepper() == 0 { vec![Digester::plain()] } else { digesters() };
            let LogEntry { generation, op, base, head, writes } = LogEntry::decode(&bytes, &known).unwrap();
            let expected = entry();
            assert_eq!((generation, op, base, head), (3, 5, expected.base, expected.head));
            assert!(writes == expected.writes);
        }
    }

    #[test]
    fn only_who_knows_the_pepper_makes_an_entry() {
        let all = digesters();
        let plain = entry().encode(&all[0]).unwrap();
        assert!(matches!(fault(&plain, &all), EntryError::Unpeppered));
        let second = entry().encode(&all[2]).unwrap();
        assert!(matches!(fault(&second, &all[..2]), EntryError::Pepper(2)));
        let other = [Digester::plain(), Digester::peppered(&Pepper::new(2, [8; 32]))];
        assert!(matches!(fault(&second, &other), EntryError::Code));
    }

    #[test]
    fn a_changed_byte_is_an_error() {
        let all = digesters();
        let bytes = entry().encode(&all[1]).unwrap();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            fault(&bad, &all);
            fault(&bytes[..at], &all);
        }
        fault(&[&bytes[..], &[0]].concat(), &all);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_entry_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(LogEntry::decode(&bytes, &digesters()).is_err());
        }
    }
}
