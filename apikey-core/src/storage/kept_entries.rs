//! The last entries of the cluster's log that a replica has applied, as the log had them: if the engine loses them, the
//! node can publish them again, byte for byte.
//!
//! They lie in two files. A node appends to the one, and when that is full it takes the place of the other. A node never
//! syncs them: what a power cut takes, the node reads from the log again when it is opened.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::codec::{self, plain_frame};
use crate::base::files::{make_private, own_file};
use crate::storage::file_names::{ENTRIES, OLDER_ENTRIES};
use crate::token::digest::Digest;

/// The most bytes of a file, unless one entry alone has more: together some hundred thousand changes.
const MAX_BYTES: u64 = 32 << 20;
/// The bytes of the length of an entry's head.
const LENGTH: usize = 2;

/// A place in the log: the number of an event, and its digest.
pub(crate) type Place = (u64, Digest);

/// An entry as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptEntry {
    /// What it follows.
    pub(crate) base: Place,
    /// Its last event.
    pub(crate) last: Place,
    pub(crate) op: [u8; 16],
    pub(crate) bytes: Vec<u8>,
}

/// What precedes the bytes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct EntryHead {
    base: Place,
    last: Place,
    op: [u8; 16],
    /// How many bytes follow.
    bytes: u32,
}

plain_frame!(EntryHead, b'Q', "the head of an entry that a replica keeps");

/// The entries that a replica keeps.
pub(crate) struct KeptEntries {
    directory: PathBuf,
    /// The end of the last entry; `None` if there is none.
    last: Option<Place>,
    /// The newer file, where the next entry goes; `None` before the first one.
    file: Option<File>,
    bytes: u64,
    max: u64,
}

impl KeptEntries {
    /// Opens what a store's directory has. What cannot be read at its end is cut off.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let mut kept = Self { directory: directory.to_owned(), last: None, file: None, bytes: 0, max: MAX_BYTES };
        for name in [OLDER_ENTRIES, ENTRIES] {
            let (last, bytes) = scan(&directory.join(name), kept.last, |_, _| Ok(()))?;
            (kept.last, kept.bytes) = (last, bytes);
        }
        Ok(kept)
    }

    /// The end of the last entry.
    pub(crate) fn last(&self) -> Option<Place> {
        self.last
    }

    /// Appends an entry. If it does not follow the last one, those before it are of no use, and go.
    pub(crate) fn append(&mut self, base: Place, last: Place, op: [u8; 16], bytes: &[u8]) -> io::Result<()> {
        if self.last != Some(base) {
            self.clear()?;
        }
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let head = codec::encode(&EntryHead { base, last, op, bytes: length }).map_err(io::Error::other)?;
        let mut record = u16::try_from(head.len()).map_err(io::Error::other)?.to_le_bytes().to_vec();
        record.extend(head);
        record.extend_from_slice(bytes);
        if self.bytes > 0 && self.bytes + record.len() as u64 > self.max {
            self.file = None;
            fs::rename(self.directory.join(ENTRIES), self.directory.join(OLDER_ENTRIES))?;
            self.bytes = 0;
        }
        // Until it is written as a whole.
        self.last = None;
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let path = self.directory.join(ENTRIES);
                let mut file = own_file(OpenOptions::new().create(true).truncate(false).write(true), &path)?;
                make_private(&file, 0o600)?;
                file.set_len(self.bytes)?;
                file.seek(SeekFrom::End(0))?;
                none.insert(file)
            }
        };
        file.write_all(&record)?;
        self.bytes += record.len() as u64;
        self.last = Some(last);
        Ok(())
    }

    /// Reads the entries that follow this place, up to the last one; `None` if they are not kept from there on.
    pub(crate) fn after(&self, place: Place) -> io::Result<Option<Vec<KeptEntry>>> {
        let mut entries: Option<Vec<KeptEntry>> = None;
        let mut last = None;
        for name in [OLDER_ENTRIES, ENTRIES] {
            (last, _) = scan(&self.directory.join(name), last, |head, file| {
                let is_first = entries.is_none() && head.base == place;
                let Some(entries) = (if is_first { Some(entries.insert(Vec::new())) } else { entries.as_mut() }) else {
                    return Ok(());
                };
                let mut bytes = Vec::new();
                file.take(u64::from(head.bytes)).read_to_end(&mut bytes)?;
                entries.push(KeptEntry { base: head.base, last: head.last, op: head.op, bytes });
                Ok(())
            })?;
        }
        Ok(entries.filter(|_| last == self.last))
    }

    fn clear(&mut self) -> io::Result<()> {
        (self.file, self.bytes, self.last) = (None, 0, None);
        for name in [OLDER_ENTRIES, ENTRIES] {
            match fs::remove_file(self.directory.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Passes each entry of a file to `each`, at whose end `each` may leave the file anywhere, and returns the end of the last
/// one and the bytes of all. Entries that do not follow each other end it, and so does what is not whole.
fn scan(
    path: &Path,
    before: Option<Place>,
    mut each: impl FnMut(&EntryHead, &mut BufReader<File>) -> io::Result<()>,
) -> io::Result<(Option<Place>, u64)> {
    let file = match own_file(OpenOptions::new().read(true), path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((before, 0)),
        file => file?,
    };
    let length = file.metadata()?.len();
    let mut file = BufReader::new(file);
    let (mut last, mut at) = (before, 0);
    while let Some(head) = read_head(&mut file)? {
        let begins = file.stream_position()?;
        let ends = begins + u64::from(head.bytes);
        if ends > length || last.is_some_and(|last| last != head.base) {
            break;
        }
        each(&head, &mut file)?;
        let position = file.stream_position()?;
        if let Ok(forward) = i64::try_from(ends.saturating_sub(position)) {
            file.seek_relative(forward)?;
        }
        (last, at) = (Some(head.last), ends);
    }
    Ok((last, at))
}

/// Reads the head of the next entry; `None` at the end, and where there is none.
fn read_head(file: &mut BufReader<File>) -> io::Result<Option<EntryHead>> {
    let mut exact = |bytes: &mut [u8]| match file.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    };
    let mut length = [0; LENGTH];
    if !exact(&mut length)? {
        return Ok(None);
    }
    let mut frame = vec![0; usize::from(u16::from_le_bytes(length))];
    Ok(if exact(&mut frame)? { codec::decode(&frame).ok() } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::golden;

    fn place(number: u64) -> Place {
        (number, [u8::try_from(number % 251).unwrap(); 32])
    }

    fn entry(base: u64, last: u64) -> KeptEntry {
        let bytes = vec![7; usize::try_from(last % 50).unwrap()];
        KeptEntry { base: place(base), last: place(last), op: [1; 16], bytes }
    }

    fn append(kept: &mut KeptEntries, base: u64, last: u64) {
        let KeptEntry { base, last, op, bytes } = entry(base, last);
        kept.append(base, last, op, &bytes).unwrap();
    }

    fn numbers(kept: &KeptEntries, after: u64) -> Option<Vec<u64>> {
        let entries = kept.after(place(after)).unwrap()?;
        assert!(entries.iter().all(|kept| *kept == entry(kept.base.0, kept.last.0)));
        Some(entries.iter().map(|entry| entry.last.0).collect())
    }

    #[test]
    fn they_come_back_from_where_they_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let open = || KeptEntries { max: 600, ..KeptEntries::open(directory.path()).unwrap() };
        let head = EntryHead { base: place(7), last: place(9), op: [3; 16], bytes: 300 };
        golden::check("kept-entry-head.bin", &codec::encode(&head).unwrap());
        let mut kept = open();
        assert_eq!((kept.last(), numbers(&kept, 0)), (None, None));
        append(&mut kept, 5, 7);
        append(&mut kept, 7, 8);
        assert_eq!((numbers(&kept, 5), numbers(&kept, 7)), (Some(vec![7, 8]), Some(vec![8])));
        assert_eq!((numbers(&kept, 6), numbers(&kept, 8)), (None, None));
        // Another process goes on, and the oldest go in time.
        let mut kept = open();
        assert_eq!(kept.last(), Some(place(8)));
        for number in 8..60 {
            append(&mut kept, number, number + 1);
        }
        assert_eq!(numbers(&kept, 5), None);
        assert_eq!(numbers(&kept, 55), Some((56..=60).collect()));
        let kept_from = (0..60).find(|number| numbers(&kept, *number).is_some()).unwrap();
        assert!((40..58).contains(&kept_from), "{kept_from}");
        // What does not follow begins anew.
        append(&mut kept, 100, 110);
        assert_eq!((numbers(&kept, 59), numbers(&kept, 100)), (None, Some(vec![110])));
        assert_eq!(open().last(), Some(place(110)));
    }

    #[test]
    fn what_is_cut_off_or_damaged_ends_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(ENTRIES);
        let mut kept = KeptEntries::open(directory.path()).unwrap();
        for number in 1..5 {
            append(&mut kept, number, number + 1);
        }
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            fs::write(&path, &whole[..at]).unwrap();
            let mut cut = KeptEntries::open(directory.path()).unwrap();
            let last = cut.last().map_or(1, |last| last.0);
            assert!(last < 5, "{at}");
            // It goes on after the last whole one.
            append(&mut cut, last, last + 1);
            assert_eq!(numbers(&cut, last), Some(vec![last + 1]), "{at}");
            let mut bad = whole.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            let damaged = KeptEntries::open(directory.path()).unwrap();
            assert!(damaged.last().is_none_or(|last| (2..=5).contains(&last.0)), "{at}");
        }
    }
}
