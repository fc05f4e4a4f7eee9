//! A backup as a file: a header, items in a fixed order, a trailer, and the SHA-256 of all of it.
//!
//! | part | bytes |
//! |---|---|
//! | header | `apikey backup`, a zero byte, format version |
//! | item | tag, length (4, little-endian), content |
//! | end | SHA-256 of everything before |
//!
//! Items, in this order: `M` the store's settings; `R` records as a scan found them (subject, frame), by subject; `A`
//! the after-images of those that changed during the scan (the same, or no frame for a record that was deleted); `E`
//! events by number; `U` times of use; `T` the trailer. Frames are those of the store.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::access::named::Kind;
use crate::base::codec;
use crate::base::codec::payload::{Reader as Payload, Writer};
use crate::base::codec::{CodecError, FORMAT, MAX_FRAME, Newer, plain_frame};
use crate::base::time::LAST_MS;
use crate::commit::images::Images;
use crate::copies::backup_report::BackupError;
use crate::key::event::stored;
use crate::key::event::stored::{Checkpoint, Head};
use crate::key::named::NamedRecord;
use crate::key::record::{Record, record_hash};
use crate::key::subject::Subject;
use crate::token::digest::Digest;

const MAGIC: &[u8; 14] = b"apikey backup\0";
/// The first bytes of backups before 0.1.0.
const OLD_MAGIC: &[u8; 14] = b"apikey backup\n";
/// The first bytes of every backup.
pub(super) const MAGICS: [&[u8; 14]; 2] = [MAGIC, OLD_MAGIC];
/// The tags of items, in order.
const TAGS: [u8; 6] = *b"MRAEUT";
/// A kind, a length and an id of 16 bytes; later kinds have longer ids.
const MAX_SUBJECT: usize = 128;
const USE_BYTES: usize = 20;
const MAX_ITEM: usize = MAX_FRAME + MAX_SUBJECT;
/// The highest number of a change that a backup may have, so that there is always a next one. No store comes near it.
const MAX_NUMBER: u64 = u64::MAX / 2;

/// The counts of a backup, and the state of the store at its change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trailer {
    /// The store's head at the backup's last change.
    pub(crate) head: Head,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) written_at: i64,
    pub(crate) scanned: u64,
    pub(crate) amendments: u64,
    pub(crate) events: u64,
}

plain_frame!(Trailer, b'T', "the trailer");

pub(crate) struct ArchiveWriter {
    out: BufWriter<File>,
    hasher: Sha256,
    bytes: u64,
}

impl ArchiveWriter {
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let mut writer = Self { out: BufWriter::with_capacity(1 << 20, file), hasher: Sha256::new(), bytes: 0 };
        writer.put(MAGIC)?;
        writer.put(&[FORMAT])?;
        Ok(writer)
    }

    pub(crate) fn meta(&mut self, frame: &[u8]) -> io::Result<()> {
        self.item(b'M', &[frame])
    }

    pub(crate) fn record(&mut self, id: u128, frame: &[u8]) -> io::Result<()> {
        self.item(b'R', &[&subject(id)?, frame])
    }

    pub(crate) fn amendment(&mut self, id: u128, frame: Option<&[u8]>) -> io::Result<()> {
        self.item(b'A', &[&subject(id)?, frame.unwrap_or_default()])
    }

    pub(crate) fn event(&mut self, frame: &[u8]) -> io::Result<()> {
        self.item(b'E', &[frame])
    }

    pub(crate) fn used(&mut self, secret: &[u8], second: &[u8]) -> io::Result<()> {
        self.item(b'U', &[secret, second])
    }

    /// Ends the file. Returns the file, its length in bytes, and its digest.
    pub(crate) fn finish(mut self, trailer: &Trailer) -> io::Result<(File, u64, Digest)> {
        let frame = codec::encode(trailer).map_err(io::Error::other)?;
        self.item(b'T', &[&frame])?;
        let digest: Digest = self.hasher.finalize().into();
        self.out.write_all(&digest)?;
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((file, self.bytes + digest.len() as u64, digest))
    }

    fn item(&mut self, tag: u8, parts: &[&[u8]]) -> io::Result<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let short = u32::try_from(length).ok().filter(|_| length <= MAX_ITEM);
        let short = short.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an item is too long"))?;
        self.put(&[tag])?;
        self.put(&short.to_le_bytes())?;
        parts.iter().try_for_each(|part| self.put(part))
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

/// Encodes the subject of a record.
fn subject(id: u128) -> io::Result<Vec<u8>> {
    let mut subject = Writer::after(Vec::new());
    Subject::of_record(id).put(&mut subject).map_err(io::Error::other)?;
    Ok(subject.into_bytes())
}

/// A backup that was checked, and is whole.
pub(crate) struct Archive<'a> {
    path: &'a Path,
    pub(crate) trailer: Trailer,
    pub(crate) bytes: u64,
    pub(crate) digest: Digest,
    /// The store's settings, as a frame; empty if the store has none yet.
    pub(crate) meta: Vec<u8>,
    amendments: Images,
}

/// An item to load into a new store.
pub(crate) enum Item {
    Meta(Vec<u8>),
    Record(Box<Record>, Vec<u8>),
    Named(NamedRecord, Vec<u8>),
    Event(u64, Vec<u8>),
    Used([u8; 16], u32),
}

impl<'a> Archive<'a> {
    /// Reads the whole file and checks it: digest, order, counts, every record and event, and their sum.
    pub(crate) fn check(path: &'a Path) -> Result<Self, BackupError> {
        let mut reader = Reader::open(path)?;
        let mut amendments = Images::new();
        let (mut scanned, mut amended, mut events) = (0, 0, 0);
        let trailer = loop {
            let (tag, content) = reader.item()?;
            match tag {
                b'R' => scanned += 1,
                b'A' => {
                    let (id, frame) = with_id(path, &content)?;
                    amendments.insert(id, (!frame.is_empty()).then(|| frame.to_vec()));
                    amended += 1;
                }
                b'E' => events += 1,
                b'T' => {
                    let trailer = codec::decode::<Trailer>(&content);
                    break trailer.map_err(|error| BackupError::codec(path, "its trailer", &error))?;
                }
                _ => {}
            }
        };
        let (bytes, digest) = reader.end()?;
        if trailer.head.number > MAX_NUMBER || trailer.checkpoint.number > trailer.head.number {
            return Err(BackupError::damaged(path, "its changes have numbers that no store has"));
        }
        // After the highest id the store could generate no other.
        if trailer.head.last_id >> 80 > LAST_MS.unsigned_abs().into() {
            return Err(BackupError::damaged(path, "its last id is one that no store gives"));
        }
        if (scanned, amended, events) != (trailer.scanned, trailer.amendments, trailer.events) {
            return Err(BackupError::damaged(path, "it does not hold as much as it says"));
        }
        let mut archive = Self { path, trailer, bytes, digest, meta: Vec::new(), amendments };
        archive.meta = archive.check_items()?;
        Ok(archive)
    }

    /// Checks the items; returns the store's settings.
    fn check_items(&self) -> Result<Vec<u8>, BackupError> {
        let head = &self.trailer.head;
        let (mut records, mut sum, mut last_id) = (0u64, 0u128, 0);
        let mut number = self.trailer.checkpoint.number;
        let mut meta = None;
        self.read(|item| {
            match item {
                Item::Meta(frame) => {
                    if meta.replace(frame).is_some() {
                        return Err(BackupError::damaged(self.path, "it has its settings twice"));
                    }
                }
                Item::Record(record, frame) => {
                    records += 1;
                    sum = sum.wrapping_add(record_hash(&frame));
                    last_id = last_id.max(record.id);
                }
                Item::Named(_, frame) => {
                    records += 1;
                    sum = sum.wrapping_add(record_hash(&frame));
                }
                Item::Event(next, _) if next <= number || next > head.number => {
                    return Err(BackupError::damaged(self.path, format!("event {next} is out of its place")));
                }
                Item::Event(next, _) => number = next,
                Item::Used(..) => {}
            }
            Ok(())
        })?;
        if (records, sum) != (head.records, head.sum) || last_id > head.last_id {
            return Err(BackupError::damaged(self.path, "its records are not those of its last change"));
        }
        meta.ok_or_else(|| BackupError::damaged(self.path, "its settings are missing"))
    }

    /// Reads every item as it was at the backup's last change: after-images replace the records of the scan.
    pub(crate) fn read(&self, mut each: impl FnMut(Item) -> Result<(), BackupError>) -> Result<(), BackupError> {
        let mut reader = Reader::open(self.path)?;
        let damaged = |what: String| BackupError::damaged(self.path, what);
        let record = |id: u128, frame: &[u8]| -> Result<Item, BackupError> {
            if let Some(kind) = Kind::of(id) {
                let named = NamedRecord::decode(kind, frame);
                let named = named.map_err(|error| BackupError::codec(self.path, "a role, tenant or owner", &error))?;
                if named.id() != id {
                    return Err(damaged(format!("the record of {:?}", named.name())));
                }
                return Ok(Item::Named(named, frame.to_vec()));
            }
            let what = || format!("the record of key {}", crate::KeyId::from_u128(id));
            let record = codec::decode::<Record>(frame);
            let record = record.map_err(|error| BackupError::codec(self.path, &what(), &error))?;
            if record.id != id {
                return Err(damaged(what()));
            }
            Ok(Item::Record(Box::new(record), frame.to_vec()))
        };
        let mut last = None;
        let mut amended = false;
        loop {
            let (tag, content) = reader.item()?;
            if matches!(tag, b'E' | b'U' | b'T') && !amended {
                amended = true;
                for (id, frame) in self.amendments.iter().filter_map(|(id, frame)| Some((id, frame.as_ref()?))) {
                    each(record(*id, frame)?)?;
                }
            }
            match tag {
                b'M' => each(Item::Meta(content))?,
                b'R' => {
                    let (id, frame) = with_id(self.path, &content)?;
                    if last.replace(id).is_some_and(|last| last >= id) {
                        return Err(damaged("its records are out of order".into()));
                    }
                    if !self.amendments.contains_key(&id) {
                        each(record(id, frame)?)?;
                    }
                }
                b'E' => {
                    let event = codec::decode::<stored::Event>(&content);
                    let event = event.map_err(|error| BackupError::codec(self.path, "one of its events", &error))?;
                    each(Item::Event(event.number, content))?;
                }
                b'U' => {
                    let used: [u8; USE_BYTES] =
                        content.try_into().map_err(|_| damaged("one of its times of use".into()))?;
                    let (secret, second) = used.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
                    let second = second.try_into().map_or(0, u32::from_le_bytes);
                    each(Item::Used(*secret, second))?;
                }
                b'T' => return Ok(()),
                _ => {}
            }
        }
    }
}

/// Splits an item into its key and its frame.
fn with_id<'c>(path: &Path, content: &'c [u8]) -> Result<(u128, &'c [u8]), BackupError> {
    let mut item = Payload::new(content);
    let found = Subject::take(&mut item).and_then(|subject| subject.record().ok_or(CodecError::Payload(None)));
    let id = found.map_err(|error| BackupError::codec(path, "one of its items", &error))?;
    Ok((id, content.get(content.len() - item.left()..).unwrap_or_default()))
}

/// Reads one item at a time, and never takes more memory than the longest item, whatever lengths the file has.
struct Reader<'a> {
    path: &'a Path,
    input: BufReader<File>,
    hasher: Sha256,
    bytes: u64,
    /// The position of the last tag in their order.
    rank: usize,
    /// A capital letter that this version does not know.
    newer: Option<u8>,
}

impl<'a> Reader<'a> {
    fn open(path: &'a Path) -> Result<Self, BackupError> {
        let file = File::open(path).map_err(BackupError::io(path))?;
        let input = BufReader::with_capacity(1 << 20, file);
        let mut reader = Self { path, input, hasher: Sha256::new(), bytes: 0, rank: 0, newer: None };
        match &reader.take()? {
            MAGIC => {}
            OLD_MAGIC => return Err(BackupError::OldFormat { path: path.to_owned() }),
            _ => return Err(BackupError::damaged(path, "it does not begin as a backup does")),
        }
        match reader.take::<1>()? {
            [0] => Err(BackupError::codec(path, "its header", &CodecError::FormatZero)),
            [found] if found > FORMAT => {
                Err(BackupError::codec(path, "its header", &CodecError::Newer(Newer::Format(found))))
            }
            _ => Ok(reader),
        }
    }

    /// The next item that this version knows. It passes over others: a later version writes a small letter if it may,
    /// and a capital if it must not; [the end](Self::end) reports a capital, once it has checked the digest.
    fn item(&mut self) -> Result<(u8, Vec<u8>), BackupError> {
        loop {
            let [tag, length @ ..] = self.take::<5>()?;
            let known = TAGS.iter().position(|known| *known == tag);
            let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
            let fits = known.map_or(tag.is_ascii_alphabetic(), |rank| rank >= self.rank);
            if !fits || length > MAX_ITEM {
                return Err(BackupError::damaged(self.path, format!("byte {} begins no item", self.bytes)));
            }
            let mut content = vec![0; length];
            self.fill(&mut content)?;
            match known {
                Some(rank) => {
                    self.rank = rank;
                    return Ok((tag, content));
                }
                None if tag.is_ascii_uppercase() => self.newer = Some(tag),
                None => {}
            }
        }
    }

    /// Checks the digest, and that nothing follows it.
    fn end(mut self) -> Result<(u64, Digest), BackupError> {
        let computed: Digest = self.hasher.clone().finalize().into();
        let stored = self.take::<32>()?;
        let mut more = [0];
        if self.input.read(&mut more).map_err(BackupError::io(self.path))? > 0 {
            return Err(BackupError::damaged(self.path, "it goes on after its end"));
        }
        match self.newer {
            _ if computed != stored => Err(BackupError::damaged(self.path, "its digest does not match")),
            Some(tag) => Err(BackupError::codec(self.path, "an item", &CodecError::Newer(Newer::Item(tag)))),
            None => Ok((self.bytes, stored)),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], BackupError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        self.input.read_exact(bytes).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => BackupError::damaged(self.path, "it is cut short"),
            _ => BackupError::io(self.path)(source),
        })?;
        self.hasher.update(&*bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::meta::Meta;

    /// A backup of an empty store, with an item of a later version in it.
    fn with(tag: u8) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut archive = ArchiveWriter::new(file.reopen().unwrap()).unwrap();
        archive.meta(&codec::encode(&Meta::default()).unwrap()).unwrap();
        archive.item(tag, &[b"used so far"]).unwrap();
        let (head, checkpoint) = (Head::default(), Checkpoint::default());
        archive.finish(&Trailer { head, checkpoint, written_at: 0, scanned: 0, amendments: 0, events: 0 }).unwrap();
        file
    }

    #[test]
    fn a_small_letter_is_passed_over_and_a_capital_is_of_a_newer_version() {
        assert!(Archive::check(with(b'q').path()).is_ok());
        let newer = with(b'Q');
        let error = Archive::check(newer.path()).err().unwrap();
        assert!(matches!(error, BackupError::NewerFormat { .. }), "{error}");
        assert!(matches!(Archive::check(with(b'1').path()).err().unwrap(), BackupError::Damaged { .. }));
        // Damage comes first: only a whole file can be of a newer version.
        let mut bytes = std::fs::read(newer.path()).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(newer.path(), bytes).unwrap();
        assert!(matches!(Archive::check(newer.path()).err().unwrap(), BackupError::Damaged { .. }));
    }
}
