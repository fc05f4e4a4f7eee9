//! A database that may be damaged, read as far as possible. It is a copy, since opening a database writes to it.

use std::io;
use std::path::Path;

use sled::{IVec, Tree};

use crate::base::panics::catch_panic;
use crate::key::error::StoreError;
use crate::storage::database::disk::{Bytes, Disk};
use crate::storage::database::durable::RecoverError;
use crate::storage::database::fault::io_error;
use crate::storage::database::flush::Flusher;
use crate::storage::database::{event_batch, overflow};
use crate::storage::wal::Wal;

/// The copy of a damaged database, and what is wrong with it.
#[derive(Default)]
pub(crate) struct DamagedDatabase {
    database: Option<sled::Db>,
    flusher: Option<Flusher>,
    pub(crate) faults: Vec<String>,
}

impl DamagedDatabase {
    /// Opens the copy, and replays its write-ahead log. Damage that makes everything unreadable is a fault like others.
    pub(crate) fn open(copy: &Path) -> Self {
        let mut damaged = Self::default();
        match catch_panic(|| sled::Config::new().path(copy).open()) {
            Ok(Ok(database)) => match Flusher::new(database.clone()) {
                Ok(flusher) => {
                    (damaged.database, damaged.flusher) = (Some(database.clone()), Some(flusher));
                    damaged.replay(database, copy);
                }
                Err(error) => damaged.faults.push(format!("its database is not read: {error}")),
            },
            Ok(Err(error)) => damaged.faults.push(format!("its database does not open: {}", io_error(error))),
            Err(panic) => damaged.faults.push(format!("its database panics when it is opened: {panic}")),
        }
        damaged
    }

    /// Replays its write-ahead log into the copy.
    fn replay(&mut self, database: sled::Db, copy: &Path) {
        let replayed = catch_panic(|| {
            let disk = Disk::new(database, copy, false)?;
            disk.replay(&Wal::bytes(copy).map_err(StoreError::from)?)
        });
        match replayed {
            Ok(Ok(_)) => {}
            Ok(Err(RecoverError::Wal(fault))) => self.faults.push(fault.to_string()),
            Ok(Err(error)) => self.faults.push(format!("its write-ahead log cannot be replayed: {error}")),
            Err(panic) => self.faults.push(format!("its database panics when it replays the write-ahead log: {panic}")),
        }
    }

    /// Reads values of the table with the head and the settings.
    pub(crate) fn meta(&mut self, names: [&str; 3]) -> [Option<Bytes>; 3] {
        let Some(tree) = self.tree("meta") else { return [None, None, None] };
        names.map(|name| match catch_panic(|| tree.get(name)) {
            Ok(Ok(frame)) => frame,
            _ => None,
        })
    }

    /// Reads every record's id and frame, which may not decode. Returns whether it read all of them.
    pub(crate) fn records<E>(&mut self, mut each: impl FnMut(u128, &Bytes) -> Result<(), E>) -> Result<bool, E> {
        let others = self.tree("overflow");
        let part = |key| chunk(others.as_ref(), key);
        self.scan("keys", |key, first| {
            let Ok(key) = <[u8; 16]>::try_from(key.as_ref()) else { return Ok(()) };
            // Pass a record that lacks a chunk as it is: it does not decode.
            let joined = overflow::join(key, first, part).ok().flatten().map(IVec::from);
            each(u128::from_be_bytes(key), joined.as_ref().unwrap_or(first))
        })
    }

    /// Reads every event's number and frame, which may not decode.
    pub(crate) fn events<E>(&mut self, mut each: impl FnMut(u64, &Bytes) -> Result<(), E>) -> Result<(), E> {
        let others = self.tree("overflow");
        let part = |key| chunk(others.as_ref(), key);
        self.scan("events", |key, value| {
            let Some(first) = <[u8; 8]>::try_from(key.as_ref()).ok().map(u64::from_be_bytes) else { return Ok(()) };
            let joined = overflow::join(overflow::id_of_batch(first), value, part).ok().flatten().map(IVec::from);
            let value = joined.as_ref().unwrap_or(value);
            // If a batch cannot be read, pass it as its first event; the others then count as missing.
            let events = event_batch::unpack(key, value).unwrap_or_else(|_| vec![(first, value.clone())]);
            events.iter().try_for_each(|(number, frame)| each(*number, frame))
        })?;
        Ok(())
    }

    /// Reads every time of use.
    pub(crate) fn uses<E>(&mut self, mut each: impl FnMut(&Bytes, &Bytes) -> Result<(), E>) -> Result<(), E> {
        self.scan("uses", |secret, second| match (secret.len(), second.len()) {
            (16, 4) => each(secret, second),
            _ => Ok(()),
        })?;
        Ok(())
    }

    fn tree(&mut self, name: &str) -> Option<Tree> {
        let database = self.database.as_ref()?;
        match catch_panic(|| database.open_tree(name)) {
            Ok(Ok(tree)) => return Some(tree),
            Ok(Err(error)) => self.faults.push(format!("its table {name:?} does not open: {}", io_error(error))),
            Err(panic) => self.faults.push(format!("its table {name:?} panics when it is opened: {panic}")),
        }
        None
    }

    /// Reads from the beginning as far as possible, and if that is not the end, from the end back. Returns whether it
    /// read everything.
    fn scan<E>(&mut self, name: &str, mut each: impl FnMut(&IVec, &IVec) -> Result<(), E>) -> Result<bool, E> {
        let Some(tree) = self.tree(name) else { return Ok(false) };
        let mut last: Option<IVec> = None;
        let mut forward = tree.iter();
        let fault = loop {
            match catch_panic(|| forward.next()) {
                Ok(None) => return Ok(true),
                Ok(Some(Ok((key, value)))) if last.as_ref().is_none_or(|last| *last < key) => {
                    each(&key, &value)?;
                    last = Some(key);
                }
                Ok(Some(Ok(_))) => break "it goes in circles".to_owned(),
                Ok(Some(Err(error))) => break io_error(error).to_string(),
                Err(panic) => break panic,
            }
        };
        self.faults.push(format!("its table {name:?} cannot be read to the end: {fault}"));
        let mut first: Option<IVec> = None;
        let mut backward = tree.iter();
        while let Ok(Some(Ok((key, value)))) = catch_panic(|| backward.next_back()) {
            if last.as_ref().is_some_and(|last| key <= *last) || first.as_ref().is_some_and(|first| key >= *first) {
                break;
            }
            each(&key, &value)?;
            first = Some(key);
        }
        Ok(false)
    }
}

fn chunk(others: Option<&Tree>, key: [u8; 17]) -> io::Result<Option<IVec>> {
    match catch_panic(|| others.map(|others| others.get(key))) {
        Ok(Some(Ok(chunk))) => Ok(chunk),
        _ => Err(io::Error::other("an overflow chunk cannot be read")),
    }
}

impl Drop for DamagedDatabase {
    fn drop(&mut self) {
        let (database, flusher) = (self.database.take(), self.flusher.take());
        // sled flushes when it is dropped, and could then wait for ever if the disk fails, but not after a failed
        // flush. This is a copy, so a failed flush loses nothing.
        let flushed = flusher.as_ref().map_or(Ok(()), Flusher::flush);
        if let (Err(error), _) | (Ok(()), Err(error)) =
            (flushed, catch_panic(|| drop((database, flusher))).map_err(std::io::Error::other))
        {
            tracing::debug!(%error, "the copy of the old database was not written to its end");
        }
    }
}
