//! The keys that opening a store creates: its first key, and the fixed keys that a deployment supplies.

pub(crate) mod fixed_keys;

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::base::wiped;
use crate::commit::records::Records;
use crate::key::bounds::MAX_BATCH;
use crate::key::error::{Conflict, StoreError};
use crate::key::idempotency::{IdempotentRequest, NEVER_EXPIRES};
use crate::key::lifetime::FIXED;
use crate::key::new_key::NewKey;
use crate::storage::open_error::OpenError;
use crate::store::bootstrap::fixed_keys::{FixedKey, FixedKeys};
use crate::token::api_key::ApiKey;
use crate::token::digest::{Digest, hex};

use crate::base::files::{parent, sync_directory};
use crate::store::key_store::KeyStore;

/// The extension of a file with a token whose key may not be on disk yet.
const PENDING: &str = "pending";
/// The most bytes that the store reads of such a file: more than a token has.
const MAX: usize = 8192;

/// The first key of a store, and the file for its token.
#[derive(Clone)]
pub(crate) struct FirstKey {
    pub(crate) key: NewKey,
    pub(crate) path: PathBuf,
}

impl KeyStore {
    /// Creates the first key and the fixed keys that the builder names.
    pub(crate) fn bootstrap(&self, first: Option<FirstKey>, fixed: &[FixedKeys]) -> Result<(), OpenError> {
        if let Some(first) = first {
            self.make_first(&first)?;
        }
        fixed.iter().try_for_each(|source| self.make_fixed(source))
    }

    /// Writes the token into a pending file before the key is on disk, and gives the file its name after that. So after
    /// a crash at any moment the next open completes the work, and a token in the named file is always valid.
    fn make_first(&self, first: &FirstKey) -> Result<(), OpenError> {
        let FirstKey { key, path } = first;
        let io = |source| OpenError::io(path, source);
        let pending = pending(path);
        let left = fs::symlink_metadata(&pending).is_ok_and(|found| found.is_file());
        if self.inner().engine.group.durable_head().number > 0 {
            // A crash may have happened after the key was created and before its file had its name.
            return if left && self.is_own(&pending) { place(&pending, path).map_err(io) } else { Ok(()) };
        }
        if fs::symlink_metadata(path).is_ok() {
            return Err(OpenError::Config(format!(
                "first key: {} exists already, and this store has never had a key: remove the file, or name another",
                path.display()
            )));
        }
        if left {
            fs::remove_file(&pending).map_err(io)?;
        }
        if key.imported.is_some() {
            return Err(OpenError::Config("first key: it cannot be an imported one".into()));
        }
        let refused = |error: StoreError| match error {
            StoreError::Io { source } => io(source),
            other => OpenError::Config(format!("first key: {other}")),
        };
        let store = self.as_actor("first_key");
        let new = self.inner().validate(key.clone()).map_err(refused)?;
        let mut is_written = false;
        let outcome = store.change(|writer, records| {
            // In a cluster this is decided again when another node was first. Its first key is that of all.
            if std::mem::take(&mut is_written) {
                fs::remove_file(&pending)?;
            }
            if records.head(writer).number > 0 {
                return Ok(Vec::new());
            }
            let (token, change) = self.inner().assign(&new, writer, records)?;
            write_private(&pending, &token)?;
            is_written = true;
            Ok(vec![change])
        });
        if outcome.map_err(refused)?.is_empty() {
            return Ok(());
        }
        place(&pending, path).map_err(io)
    }

    /// Whether the file holds a token of this store.
    fn is_own(&self, file: &Path) -> bool {
        let Ok(token) = File::open(file).and_then(|file| wiped::read(file, MAX)) else { return false };
        std::str::from_utf8(&token).is_ok_and(|token| self.inner().owns(token.trim_end()))
    }

    fn make_fixed(&self, source: &FixedKeys) -> Result<(), OpenError> {
        let config =
            |line: usize, fault: &dyn std::fmt::Display| OpenError::Config(format!("{source}, line {line}: {fault}"));
        let text = source.read().map_err(OpenError::Config)?;
        let keys = FixedKey::all(&text).map_err(|(line, fault)| config(line, &fault))?;
        if keys.len() > MAX_BATCH {
            return Err(OpenError::Config(format!("{source}: {} keys, at most {MAX_BATCH} are taken", keys.len())));
        }
        let mut validated = Vec::new();
        let mut names = HashSet::new();
        for key in keys {
            let (line, name) = (key.line, name_of(&key.digest));
            if !names.insert(name) {
                return Err(config(line, &"an earlier line has the same key"));
            }
            let new = self.inner().validate_form(key.into_new()).map_err(|error| config(line, &error))?;
            validated.push((line, name, new.fixed(tag(&name))));
        }
        let mut at_fault = 0;
        let store = self.as_actor("fixed_keys");
        let outcome = store.change_many(validated.len(), |writer, records| {
            let mut absent = Vec::new();
            for one in &validated {
                if records.request_outcome(&one.1)?.is_none() {
                    absent.push(one);
                }
            }
            let there = if absent.is_empty() { HashSet::new() } else { fixed_tags(records)? };
            let mut changes = Vec::new();
            for (line, name, new) in absent {
                at_fault = *line;
                if there.contains(&tag(name)) {
                    continue;
                }
                match self.inner().assign(new, writer, records) {
                    Ok((_, mut change)) => {
                        self.inner().check_catalog(&new.permissions, &[])?;
                        change.idempotency = Some(IdempotentRequest { name: *name, request: *name, at: NEVER_EXPIRES });
                        changes.push(change);
                    }
                    // Somebody has imported the key already.
                    Err(StoreError::Conflict(Conflict::DigestHeld(_))) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(changes)
        });
        match outcome {
            Ok(_) => Ok(()),
            Err(StoreError::Io { source: error }) => Err(OpenError::Config(format!("{source}: {error}"))),
            Err(error) => Err(config(at_fault, &error)),
        }
    }
}

/// The name under which the store remembers a fixed key; it does not reveal the digest.
fn name_of(digest: &Digest) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update("fixed key");
    hasher.update(digest);
    hasher.finalize().into()
}

fn tag(name: &Digest) -> String {
    let (half, _) = name.split_at(8);
    hex(half)
}

/// Returns the fixed keys that the store has, including those that were rotated since.
fn fixed_tags(records: &Records<'_>) -> Result<HashSet<String>, StoreError> {
    let mut tags = HashSet::new();
    records.each(|mut record| tags.extend(record.metadata.remove(FIXED)))?;
    Ok(tags)
}

fn pending(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(PENDING);
    name.into()
}

/// Writes a file that only this user can read, and syncs it and its name to the disk. It follows no link.
fn write_private(path: &Path, token: &ApiKey) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    private(&mut options);
    let mut file: File = options.open(path)?;
    file.write_all(token.expose_secret().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    sync_directory(parent(path))
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn private(_: &mut OpenOptions) {}

/// Gives the file its name, unless a file of that name exists: making a hard link then fails, while a rename would
/// replace the file.
fn place(pending: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(pending, path) {
        // A crash happened before the other name was removed.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && same(pending, path) => {}
        other => other?,
    }
    fs::remove_file(pending)?;
    sync_directory(parent(path))
}

fn same(one: &Path, other: &Path) -> bool {
    let is_file = fs::symlink_metadata(other).is_ok_and(|found| found.is_file());
    let read = |path: &Path| File::open(path).and_then(|file| wiped::read(file, MAX));
    is_file && read(one).is_ok_and(|token| read(other).is_ok_and(|found| token == found))
}
