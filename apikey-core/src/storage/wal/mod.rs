//! The write-ahead log: a file beside the database, to which changes are appended and synced before they are
//! acknowledged.
//!
//! A change takes one write and one `fdatasync` here, while the database would wait for the disk twice more. The
//! database follows a moment later, and once it is synced the write-ahead log begins anew. After a crash the store
//! replays the changes that the database lacks.
//!
//! The file has two segments of zeros, written and synced beforehand, so that a write changes neither its length nor
//! its blocks on the disk. The store writes to one segment while the database gets the changes of the other. The
//! changes of one write are a group, which begins at a sector, so that the store never rewrites a sector with
//! acknowledged changes.

pub(crate) mod read;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::base::codec;
use crate::base::codec::payload::{Reader, Writer};
use crate::base::codec::tail::{TailReader, TailWriter, Unknown};
use crate::base::codec::{CodecError, Frame};
use crate::base::lock::lock;
use crate::token::digest::Digest;

use crate::base::files::{make_private, own_file};
use crate::base::files::{sync_directory, write_at};
use crate::storage::batch::{Batch, Write};

pub(crate) use crate::storage::wal::read::{WalError, beyond};

/// The name of its file, in the database's directory, so that replacing one replaces the other.
pub(crate) const NAME: &str = "wal";
/// The bytes of a segment, with room for some two thousand changes.
const SEGMENT: usize = 1 << 20;
/// The most bytes to read of the file: one more than it has.
const MAX_BYTES: u64 = 2 * SEGMENT as u64 + 1;
/// A disk writes a sector as a whole, or not at all.
const SECTOR: usize = 512;
/// The size of the writes of zeros. Linux caches one large write in one piece, and each later write and sync would go
/// through all of it.
const PAGE: usize = 4096;
/// The bytes of an entry's length, which precedes its frame. An entry ends at a multiple of this.
const LENGTH: usize = 4;

/// One change. The order of fields is the stored format; a tail follows them, which is empty so far.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(fuzzing, derive(Debug))]
pub(crate) struct Entry<'a> {
    /// The number of the group's first change: all earlier changes were durable when the group was written.
    group: u64,
    write: Cow<'a, Write>,
    /// Present in the last change of a call; without it the call does not count.
    end: Option<End>,
}

impl Frame for Entry<'_> {
    const KIND: u8 = b'J';

    fn put(&self, payload: &mut Writer) -> Result<(), CodecError> {
        payload.put(&self.group)?;
        self.write.put(payload)?;
        payload.put(&self.end)?;
        TailWriter::new(&Unknown::default()).end(payload)
    }

    fn take(payload: &mut Reader<'_>) -> Result<Self, CodecError> {
        let group = payload.take()?;
        let write = Cow::Owned(Write::take(payload)?);
        let end = payload.take()?;
        // The store never writes an entry again that it has read.
        let _ = TailReader::new(payload)?.end("an entry of the write-ahead log")?;
        Ok(Self { group, write, end })
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(fuzzing, derive(Debug))]
struct End {
    /// The head after the call, in its stored form.
    head: ByteBuf,
    /// The secrets whose times of use are deleted. They are not part of the change, so some may be missing.
    #[serde(with = "crate::base::codec::entries::list")]
    ended: Vec<Digest>,
}

pub(crate) struct Wal {
    waiting: Mutex<Unflushed>,
    segments: Mutex<Segments>,
    /// Whether the inactive segment has changes that the database may lack. Only the holder of the segments changes it.
    is_other_held: AtomicBool,
}

/// The changes that were accepted and are not in the file.
#[derive(Default)]
pub(crate) struct Unflushed {
    bytes: Vec<u8>,
    /// The number of the first change.
    group: Option<u64>,
    /// Whether a change does not fit into a frame, so that the database has to make it durable.
    broken: bool,
}

struct Segments {
    file: File,
    /// The segment for the next write, and the offset there.
    active: usize,
    at: usize,
}

impl Wal {
    /// Opens the write-ahead log of a database, or creates one. It begins anew here, so [read](beyond) its changes
    /// before.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(NAME);
        let is_new = !path.try_exists()?;
        let mut file = own_file(OpenOptions::new().create(true).truncate(false).read(true).write(true), &path)?;
        make_private(&file, 0o600)?;
        let mut held = Vec::new();
        (&file).take(MAX_BYTES).read_to_end(&mut held)?;
        if held.len() != 2 * SEGMENT || held.iter().any(|byte| *byte != 0) {
            file.set_len(2 * SEGMENT as u64)?;
            file.seek(SeekFrom::Start(0))?;
            for _ in 0..2 * SEGMENT / PAGE {
                file.write_all(&[0; PAGE])?;
            }
            file.sync_all()?;
        }
        if is_new {
            sync_directory(directory)?;
        }
        let segments = Mutex::new(Segments { file, active: 0, at: 0 });
        Ok(Self { waiting: Mutex::default(), segments, is_other_held: AtomicBool::new(false) })
    }

    /// Makes it empty, durably. The database has every change of it, and none waits.
    #[cfg(feature = "cluster")]
    pub(crate) fn empty(&self) -> io::Result<()> {
        let mut segments = self.segments();
        for page in 0..2 * SEGMENT / PAGE {
            write_at(&segments.file, &[0; PAGE], (page * PAGE) as u64)?;
        }
        segments.file.sync_data()?;
        (segments.active, segments.at) = (0, 0);
        self.is_other_held.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Reads the write-ahead log of a database; empty if there is none.
    pub(crate) fn bytes(directory: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match own_file(OpenOptions::new().read(true), &directory.join(NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            file => drop(file?.take(MAX_BYTES).read_to_end(&mut bytes)?),
        }
        Ok(bytes)
    }

    /// Locks the changes that wait for the next [`write`](Self::write).
    pub(crate) fn waiting(&self) -> MutexGuard<'_, Unflushed> {
        lock(&self.waiting)
    }

    /// Makes the waiting changes durable. Returns `false` if there is no room, so that the database has to.
    pub(crate) fn write(&self) -> io::Result<bool> {
        let mut segments = self.segments();
        let Unflushed { mut bytes, broken, .. } = std::mem::take(&mut *self.waiting());
        if bytes.is_empty() && !broken {
            return Ok(true);
        }
        bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
        if broken || bytes.len() > SEGMENT {
            return Ok(false);
        }
        if segments.at + bytes.len() > SEGMENT && !self.rotate_if_free(&mut segments) {
            return Ok(false);
        }
        segments.append(&bytes)?;
        Ok(true)
    }

    /// Switches to the other segment, if that is free. Returns whether the inactive segment has changes; once the
    /// database has everything that was accepted, [`release`](Self::release) it.
    pub(crate) fn rotate(&self) -> bool {
        let mut segments = self.segments();
        if segments.at > 0 {
            self.rotate_if_free(&mut segments);
        }
        self.needs_checkpoint()
    }

    /// Switches to the other segment, if that is free.
    fn rotate_if_free(&self, segments: &mut Segments) -> bool {
        let is_free = !self.is_other_held.swap(true, Ordering::Relaxed);
        if is_free {
            (segments.active, segments.at) = (1 - segments.active, 0);
        }
        is_free
    }

    /// Releases the inactive segment, for new changes.
    pub(crate) fn release(&self) {
        let _segments = self.segments();
        self.is_other_held.store(false, Ordering::Relaxed);
    }

    /// Whether the database should soon get the changes of the log, since one segment is full.
    pub(crate) fn needs_checkpoint(&self) -> bool {
        self.is_other_held.load(Ordering::Relaxed)
    }

    fn segments(&self) -> MutexGuard<'_, Segments> {
        lock(&self.segments)
    }
}

impl Segments {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        write_at(&self.file, bytes, (self.active * SEGMENT + self.at) as u64)?;
        self.file.sync_data()?;
        self.at += bytes.len();
        Ok(())
    }
}

impl Unflushed {
    /// Adds the changes of a call.
    pub(crate) fn push(&mut self, batch: &Batch) {
        let Some((first, last)) = batch.writes.first().zip(batch.writes.len().checked_sub(1)) else { return };
        let group = *self.group.get_or_insert(first.event.0);
        for (at, write) in batch.writes.iter().enumerate() {
            let ended = || batch.ended.iter().take(codec::MAX_ENTRIES).copied().collect();
            let end = (at == last).then(|| End { head: batch.head.clone().into(), ended: ended() });
            let entry = Entry { group, write: Cow::Borrowed(write), end };
            self.broken |= self.add(&entry).is_err();
        }
    }

    fn add(&mut self, entry: &Entry<'_>) -> Result<(), CodecError> {
        let frame = codec::encode(entry)?;
        let length = u32::try_from(frame.len()).map_err(|_| CodecError::TooLong(frame.len()))?;
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(frame);
        self.bytes.resize(self.bytes.len().next_multiple_of(LENGTH), 0);
        Ok(())
    }
}
