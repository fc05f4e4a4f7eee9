//! The note of a replica: a file that says which cluster the directory is a replica of.
//!
//! The settings in the database say the same. A replica whose database is damaged is rebuilt from its cluster, and a store
//! of its own never is: so what the directory is must be known without the database.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::codec::{self, CodecError, plain_frame};
use crate::base::files::{own_file, replace};
use crate::storage::file_names::REPLICA;

/// Far more than a note has.
const MAX_BYTES: u64 = 4096;

/// Which cluster a directory is a replica of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplicaNote {
    /// The cluster's random name.
    pub(crate) cluster: u128,
    /// The generation of its log.
    pub(crate) generation: u64,
    /// The highest number of the engine's history that the replica has seen.
    pub(crate) timeline: u64,
}

plain_frame!(ReplicaNote, b'G', "the note of a replica");

impl ReplicaNote {
    /// Reads the note of a directory; `None` if it has none.
    pub(crate) fn read(directory: &Path) -> io::Result<Option<Result<Self, CodecError>>> {
        let file = match own_file(OpenOptions::new().read(true), &directory.join(REPLICA)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut frame = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut frame)?;
        Ok(Some(codec::decode(&frame)))
    }

    /// Writes it, durably.
    pub(crate) fn write(&self, directory: &Path) -> io::Result<()> {
        replace(&directory.join(REPLICA), &codec::encode(self).map_err(io::Error::other)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::golden;

    #[test]
    fn a_note_comes_back_and_a_damaged_one_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert!(ReplicaNote::read(directory.path()).unwrap().is_none());
        let note = ReplicaNote { cluster: 7 << 100, generation: 3, timeline: 2 };
        golden::check("replica-note.bin", &codec::encode(&note).unwrap());
        note.write(directory.path()).unwrap();
        assert_eq!(ReplicaNote::read(directory.path()).unwrap().unwrap().unwrap(), note);
        std::fs::write(directory.path().join(REPLICA), b"replica").unwrap();
        assert!(ReplicaNote::read(directory.path()).unwrap().unwrap().is_err());
    }
}
