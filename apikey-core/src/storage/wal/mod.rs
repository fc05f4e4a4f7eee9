//! The write-ahead log: a file beside the database, to which changes are appended and synced before they are acknowledged.
//!
//! A change costs one write and one `fdatasync` here, where the database would wait for the page cache twice more. The
//! database follows a moment later, and when it has been synced the write-ahead log begins anew; after a crash it replays
//! from there what it lacks.
//!
//! The file has two segments of zeros, made and synced beforehand, so that a write changes neither its length nor where it
//! lies on the disk. One segment is written to while the database takes in what the other holds. What is written at once is
//! a group: it begins at a sector, so that a sector with something acknowledged in it is never written again.

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

/// The name of its file in the database's directory: whoever replaces the one replaces the other.
const NAME: &str = "wal";
/// Bytes of a segment: some two thousand changes.
const SEGMENT: usize = 1 << 20;
/// Nobody reads more of the file than this, one byte more than it has.
const MAX_BYTES: u64 = 2 * SEGMENT as u64 + 1;
/// What a disk writes whole, or not at all.
const SECTOR: usize = 512;
/// Zeros are written in pieces of this size. Linux keeps what is written at once in one piece, and each later write and
/// sync would go through all of it.
const PAGE: usize = 4096;
/// An entry is a length, of so many bytes, and a frame, and ends at a multiple of it.
const LENGTH: usize = 4;

/// One change. The order of fields is the stored format; a tail follows them, in which nothing is yet.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(fuzzing, derive(Debug))]
pub(crate) struct Entry<'a> {
    /// Number of the first change of the group: all before it was durable when the group was written.
    group: u64,
    write: Cow<'a, Write>,
    /// With the last change of a call; without it there is nothing of the call.
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
        // An entry is read once and never written again.
        let _ = TailReader::new(payload)?.end("an entry of the write-ahead log")?;
        Ok(Self { group, write, end })
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(fuzzing, derive(Debug))]
struct End {
    /// The head after the call, as it is stored.
    head: ByteBuf,
    /// Secrets whose times of use go. No part of the change, so there may be fewer than there were.
    #[serde(with = "crate::base::codec::entries::list")]
    ended: Vec<Digest>,
}

pub(crate) struct Wal {
    waiting: Mutex<Unflushed>,
    segments: Mutex<Segments>,
    /// The segment that is not written to holds what the database may lack. Changed by who holds the segments.
    is_other_held: AtomicBool,
}

/// What was accepted and is not in the file.
#[derive(Default)]
pub(crate) struct Unflushed {
    bytes: Vec<u8>,
    /// Number of the first change in it.
    group: Option<u64>,
    /// Something in it does not go into a frame: the database has to make it durable.
    broken: bool,
}

struct Segments {
    file: File,
    /// The segment that is written to, and where.
    active: usize,
    at: usize,
}

impl Wal {
    /// Opens the write-ahead log of a database, or makes one. What it holds is [read](beyond) before; it begins anew here.
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

    /// What the write-ahead log of a database holds; nothing if there is none.
    pub(crate) fn bytes(directory: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match own_file(OpenOptions::new().read(true), &directory.join(NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            file => drop(file?.take(MAX_BYTES).read_to_end(&mut bytes)?),
        }
        Ok(bytes)
    }

    /// Takes the place in which what is accepted waits for the next [`write`](Self::write).
    pub(crate) fn waiting(&self) -> MutexGuard<'_, Unflushed> {
        lock(&self.waiting)
    }

    /// Makes what waits durable; `false` if the database has to, because there is no room.
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

    /// From now on the other segment is written to, if that is free. Whether one is held that is not written to any more:
    /// when the database has all that was accepted, it is [`free`](Self::free).
    pub(crate) fn rotate(&self) -> bool {
        let mut segments = self.segments();
        if segments.at > 0 {
            self.rotate_if_free(&mut segments);
        }
        self.needs_checkpoint()
    }

    /// Writes to the other segment from now on, if that is free.
    fn rotate_if_free(&self, segments: &mut Segments) -> bool {
        let is_free = !self.is_other_held.swap(true, Ordering::Relaxed);
        if is_free {
            (segments.active, segments.at) = (1 - segments.active, 0);
        }
        is_free
    }

    /// The segment that is not written to may be used again.
    pub(crate) fn release(&self) {
        let _segments = self.segments();
        self.is_other_held.store(false, Ordering::Relaxed);
    }

    /// Whether the database should take in what is here soon: one segment is full.
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
