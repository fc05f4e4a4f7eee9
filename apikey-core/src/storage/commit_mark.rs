//! The commit mark: one sector outside the database with the number of its last change.
//!
//! If its file is damaged, sled silently falls back to an earlier state. The store writes the mark after it has synced
//! the write-ahead log, so the mark is never ahead of an intact store; a database that is behind it after recovery has
//! lost acknowledged changes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::codec;
use crate::base::codec::{CodecError, plain_frame};
use crate::key::event::stored::Head;

use crate::base::files::{own_file, replace, write_at};
use crate::storage::file_names::MARK;

/// A disk writes a sector as a whole, or not at all.
const SECTOR: usize = 512;

/// The least that the database must contain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommitMark {
    /// The number of the last change.
    pub(crate) number: u64,
    /// The number of records and the sum of their hashes, as in the head.
    pub(crate) records: u64,
    pub(crate) sum: u128,
}

plain_frame!(CommitMark, b'C', "the commit mark");

impl From<Head> for CommitMark {
    fn from(head: Head) -> Self {
        Self { number: head.number, records: head.records, sum: head.sum }
    }
}

impl CommitMark {
    /// Whether the database is at the mark, or beyond it.
    pub(crate) fn is_reached_by(&self, head: &Head) -> bool {
        head.number > self.number || (head.number, head.records, head.sum) == (self.number, self.records, self.sum)
    }

    fn sector(self) -> Result<[u8; SECTOR], CodecError> {
        let frame = codec::encode(&self)?;
        let mut sector = [0; SECTOR];
        let length = u16::try_from(frame.len()).map_err(|_| CodecError::TooLong(frame.len()))?;
        let (head, body) = sector.split_at_mut(2);
        head.copy_from_slice(&length.to_le_bytes());
        body.get_mut(..frame.len()).ok_or(CodecError::TooLong(frame.len()))?.copy_from_slice(&frame);
        Ok(sector)
    }

    pub(crate) fn parse(sector: &[u8]) -> Result<Self, CodecError> {
        let short = CodecError::Length(sector.len());
        let Some((length, body)) = sector.split_first_chunk::<2>() else { return Err(short) };
        codec::decode(body.get(..usize::from(u16::from_le_bytes(*length))).ok_or(short)?)
    }
}

/// The mark's file, held open.
pub(crate) struct MarkFile {
    file: File,
    /// The number in the file, and the synced one.
    written: u64,
    synced: u64,
}

impl MarkFile {
    /// Writes the mark of a new store, and syncs it.
    pub(crate) fn create(directory: &Path, mark: CommitMark) -> io::Result<()> {
        // A truncated mark would count as damage.
        replace(&path(directory), &mark.sector().map_err(io::Error::other)?)
    }

    /// Opens the mark of a store; `None` if there is none.
    pub(crate) fn open(directory: &Path) -> io::Result<Option<(Self, Result<CommitMark, CodecError>)>> {
        let file = match own_file(OpenOptions::new().read(true).write(true), &path(directory)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mark = Self::parse(&file)?;
        let number = mark.as_ref().map_or(0, |mark| mark.number);
        Ok(Some((Self { file, written: number, synced: number }, mark)))
    }

    /// Reads the mark of a store, without keeping its file open.
    pub(crate) fn read(directory: &Path) -> io::Result<Option<Result<CommitMark, CodecError>>> {
        match own_file(OpenOptions::new().read(true), &path(directory)) {
            Ok(file) => Self::parse(&file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(file: &File) -> io::Result<Result<CommitMark, CodecError>> {
        let mut sector = Vec::new();
        file.take(SECTOR as u64 + 1).read_to_end(&mut sector)?;
        Ok(match sector.len() {
            SECTOR => CommitMark::parse(&sector),
            other => Err(CodecError::Length(other)),
        })
    }

    /// Writes a later mark, without waiting for the disk.
    pub(crate) fn write(&mut self, mark: CommitMark) -> io::Result<()> {
        if mark.number <= self.written {
            return Ok(());
        }
        let sector = mark.sector().map_err(io::Error::other)?;
        write_at(&self.file, &sector, 0)?;
        self.written = mark.number;
        Ok(())
    }

    /// Writes the mark of a database whose content was replaced as a whole, which may be an earlier one, and syncs it.
    #[cfg(feature = "cluster")]
    pub(crate) fn reset(&mut self, mark: CommitMark) -> io::Result<()> {
        write_at(&self.file, &mark.sector().map_err(io::Error::other)?, 0)?;
        self.file.sync_data()?;
        (self.written, self.synced) = (mark.number, mark.number);
        Ok(())
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.synced < self.written {
            // The kernel reports a failed sync once, so the next change writes the mark again.
            self.file.sync_data().inspect_err(|_| self.written = self.synced)?;
            self.synced = self.written;
        }
        Ok(())
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.synced < self.written
    }

    /// Returns the number that is synced.
    pub(crate) fn synced(&self) -> u64 {
        self.synced
    }
}

fn path(directory: &Path) -> PathBuf {
    directory.join(MARK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::golden;

    #[test]
    fn a_mark_is_one_sector_and_every_flipped_bit_is_noticed() {
        let mark = CommitMark { number: 7, records: 3, sum: u128::MAX };
        let sector = mark.sector().unwrap();
        assert_eq!(CommitMark::parse(&sector).unwrap(), mark);
        golden::check("commit-mark.bin", &sector);
        let used = 2 + usize::from(u16::from_le_bytes([sector[0], sector[1]]));
        for bit in 0..used * 8 {
            let mut bad = sector;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(CommitMark::parse(&bad).is_err(), "{bit}");
        }
    }

    #[test]
    fn what_a_mark_admits() {
        let mark = CommitMark { number: 7, records: 3, sum: 9 };
        let head = |number, records, sum| Head { number, records, sum, ..Head::default() };
        assert!(mark.is_reached_by(&head(7, 3, 9)));
        assert!(mark.is_reached_by(&head(8, 1, 1)));
        assert!(!mark.is_reached_by(&head(6, 3, 9)));
        assert!(!mark.is_reached_by(&head(7, 2, 9)));
        assert!(!mark.is_reached_by(&head(7, 3, 8)));
    }
}
