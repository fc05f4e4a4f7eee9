//! What is in force on this node of a cluster alone, by key: the replica has it until the log of the cluster does.
//!
//! It is a file beside the database, since a replica is expendable and this is not: it stays when the replica is rebuilt,
//! and damage of the database does not concern it. It is small, and each change writes it anew.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::base::codec::{self, plain_frame};
use crate::base::files::{own_file, parent, replace};
use crate::base::lock::lock;
use crate::storage::database::disk::Disk;
use crate::storage::file_names::ONLY_HERE;

/// What one key has lost on this node alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptHere {
    pub(crate) key: u128,
    /// What it has lost, as the cluster's formats have it.
    pub(crate) what: ByteBuf,
}

plain_frame!(KeptHere, b'X', "what is in force on this node alone");

/// By key.
pub(crate) type AllKeptHere = BTreeMap<u128, Vec<u8>>;

impl Disk {
    /// Remembers what is in force on this node alone, durably.
    pub(crate) fn keep_here(&self, kept: impl IntoIterator<Item = (u128, Vec<u8>)>) -> io::Result<()> {
        self.change_here(|all| all.extend(kept))
    }

    /// Forgets it, once the log has it. After a crash it may come back, and is made again.
    pub(crate) fn forget_here(&self, keys: &[u128]) -> io::Result<()> {
        self.change_here(|all| all.retain(|key, _| !keys.contains(key)))
    }

    /// Reads what is in force on this node alone, as far as it can be read; what cannot is an error in the log.
    pub(crate) fn kept_here(&self) -> io::Result<AllKeptHere> {
        let _one = lock(&self.keeping_here);
        self.read_here()
    }

    fn change_here(&self, change: impl FnOnce(&mut AllKeptHere)) -> io::Result<()> {
        let _one = lock(&self.keeping_here);
        let before = self.read_here()?;
        let mut after = before.clone();
        change(&mut after);
        if after == before {
            return Ok(());
        }
        if after.is_empty() {
            return fs::remove_file(self.here_path());
        }
        let mut bytes = Vec::new();
        for (key, what) in after {
            bytes.extend(codec::encode(&KeptHere { key, what: what.into() }).map_err(io::Error::other)?);
        }
        replace(&self.here_path(), &bytes)
    }

    fn read_here(&self) -> io::Result<AllKeptHere> {
        let path = self.here_path();
        let mut bytes = Vec::new();
        match own_file(OpenOptions::new().read(true), &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(AllKeptHere::new()),
            file => file?.read_to_end(&mut bytes)?,
        };
        let (kept, damaged) = parse(&bytes);
        if damaged > 0 {
            tracing::error!(
                name: "apikey.cluster",
                target: "apikey",
                path = %path.display(),
                bytes = damaged,
                "a part of what is in force on this node alone cannot be read: revocations that the cluster did not take \
                 may be missing; make them again"
            );
        }
        Ok(kept)
    }

    fn here_path(&self) -> PathBuf {
        parent(&self.directory).join(ONLY_HERE)
    }
}

/// Reads every whole frame, and counts the other bytes.
fn parse(bytes: &[u8]) -> (AllKeptHere, usize) {
    let (mut kept, mut damaged, mut rest) = (AllKeptHere::new(), 0, bytes);
    while !rest.is_empty() {
        let read = match codec::carve::<KeptHere>(rest) {
            Some((KeptHere { key, what }, frame)) => {
                kept.insert(key, what.into_vec());
                frame.len()
            }
            None => {
                damaged += 1;
                1
            }
        };
        rest = rest.get(read..).unwrap_or_default();
    }
    (kept, damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::golden;
    use crate::storage::local::Local;

    #[test]
    fn what_is_kept_comes_back_until_it_is_forgotten() {
        let (local, path) = Local::temporary().unwrap();
        let disk = &local.disk;
        assert!(disk.kept_here().unwrap().is_empty());
        disk.keep_here([(2, vec![7]), (1, vec![8; 300])]).unwrap();
        disk.keep_here([(2, vec![9])]).unwrap();
        assert_eq!(disk.kept_here().unwrap(), AllKeptHere::from([(1, vec![8; 300]), (2, vec![9])]));
        disk.forget_here(&[1, 5]).unwrap();
        assert_eq!(disk.kept_here().unwrap(), AllKeptHere::from([(2, vec![9])]));
        disk.forget_here(&[2]).unwrap();
        assert!(!path.join(ONLY_HERE).exists());
    }

    #[test]
    fn damage_costs_what_is_damaged_and_no_more() {
        let frame = |key, what: &[u8]| codec::encode(&KeptHere { key, what: what.to_vec().into() }).unwrap();
        golden::check("kept-here.bin", &frame(300, b"revoked"));
        let all = [frame(1, b"one"), frame(2, b"two"), frame(3, b"three")];
        let bytes = all.concat();
        let (kept, damaged) = parse(&bytes);
        assert_eq!((kept.len(), damaged), (3, 0));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let (left, damaged) = parse(&bad);
            assert_eq!(left.len(), 2, "{at}");
            assert!(damaged > 0 && left.iter().all(|(key, what)| kept.get(key) == Some(what)), "{at}");
            let (cut, _) = parse(&bytes[..at]);
            assert!(cut.iter().all(|(key, what)| kept.get(key) == Some(what)), "{at}");
        }
    }
}
