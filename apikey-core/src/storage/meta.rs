//! The settings of a store: its prefixes and its peppers, and the catalogue of the program that opened it last.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::codec::payload::{Reader, Writer};
use crate::base::codec::tail::{Tag, TailReader, TailWriter, Unknown, critical, ignorable};
use crate::base::codec::{self, CodecError, Frame};
use crate::key::error::StoreError;
use crate::storage::database::disk::Disk;
use crate::storage::open_error::{OpenError, read_error};
#[cfg(feature = "cluster")]
use crate::storage::replica_note::ReplicaNote;
use crate::token::digest::Digest;

/// The settings of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// Every prefix that the store has had; the last is the current one.
    #[serde(with = "codec::entries::list")]
    pub(crate) prefixes: Vec<String>,
    /// A check value of each pepper that the store has had, by number.
    #[serde(with = "codec::entries::map")]
    pub(crate) peppers: BTreeMap<u32, Digest>,
    /// The permissions of the catalogue, sorted; empty if there is none.
    #[serde(skip)]
    pub(crate) catalog: Vec<String>,
    /// The cluster whose replica this is; `None` for a store of its own.
    #[serde(skip)]
    pub(crate) replica: Option<ReplicaOf>,
}

/// The cluster of a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplicaOf {
    /// The cluster's random name.
    pub(crate) cluster: u128,
    /// The generation of its log.
    pub(crate) generation: u64,
    /// Whether the replica is being loaded: what the database holds then is not whole.
    pub(crate) is_loading: bool,
}

#[cfg(feature = "cluster")]
impl ReplicaOf {
    /// The replica of a directory whose database is empty, or cannot be read.
    pub(crate) fn unloaded(note: ReplicaNote) -> Self {
        Self { cluster: note.cluster, generation: note.generation, is_loading: true }
    }
}

/// The tag is ignorable: a version that does not know the catalogue accepts every grant.
const CATALOG: Tag = ignorable(1);
/// The tag is critical: a version that does not know clusters must not change a replica.
const REPLICA: Tag = critical(2);

/// The content of the field.
#[derive(Serialize, Deserialize)]
struct Permissions(#[serde(with = "codec::entries::list")] Vec<String>);

impl Frame for Meta {
    const KIND: u8 = b'M';

    fn put(&self, payload: &mut Writer) -> Result<(), CodecError> {
        payload.put(self)?;
        let mut tail = TailWriter::new(&Unknown::default());
        if !self.catalog.is_empty() {
            tail.put(CATALOG, &Permissions(self.catalog.clone()))?;
        }
        tail.put_some(REPLICA, self.replica.as_ref())?;
        tail.end(payload)
    }

    fn take(payload: &mut Reader<'_>) -> Result<Self, CodecError> {
        let bound: Self = payload.take()?;
        let mut tail = TailReader::new(payload)?;
        let catalog = tail.take::<Permissions>(CATALOG)?.map(|Permissions(list)| list).unwrap_or_default();
        let replica = tail.take::<ReplicaOf>(REPLICA)?;
        // This drops ignorable fields: the store replaces this frame as a whole.
        tail.end("the settings")?;
        Ok(Self { catalog, replica, ..bound })
    }
}

/// Reads the settings of a store; `None` if its database has none.
pub(crate) fn read_meta(disk: &Disk, path: &Path) -> Result<Option<Meta>, OpenError> {
    let frame = disk.meta().map_err(|error| read_error(path, "its settings", error))?;
    let meta = frame.map(|frame| codec::decode::<Meta>(&frame).map_err(StoreError::from)).transpose();
    meta.map_err(|error| read_error(path, "its settings", error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::{Newer, golden};

    /// Settings that a later version writes: with a field that this one does not know.
    struct Later(Tag);

    impl Frame for Later {
        const KIND: u8 = Meta::KIND;

        fn put(&self, payload: &mut Writer) -> Result<(), CodecError> {
            payload.put(&Meta::default())?;
            let mut tail = TailWriter::new(&Default::default());
            tail.bytes(self.0, b"roles".to_vec());
            tail.end(payload)
        }

        fn take(_: &mut Reader<'_>) -> Result<Self, CodecError> {
            Err(CodecError::Payload(None))
        }
    }

    #[test]
    fn golden_bytes_with_and_without_a_catalogue() {
        let bare = Meta { prefixes: vec!["ak".into()], peppers: [(1, [7; 32])].into(), ..Meta::default() };
        let full = Meta { catalog: vec!["orders:read".into(), "orders:write".into()], ..bare.clone() };
        let replica = Some(ReplicaOf { cluster: 7 << 100, generation: 3, is_loading: false });
        let replica = Meta { replica, ..bare.clone() };
        for (name, meta) in
            [("settings-bare.bin", bare), ("settings-catalog.bin", full), ("settings-replica.bin", replica)]
        {
            let frame = codec::encode(&meta).unwrap();
            golden::check(name, &frame);
            assert_eq!(codec::decode::<Meta>(&frame).unwrap(), meta);
        }
    }

    #[test]
    fn the_largest_catalogue_fits_into_a_frame() {
        use crate::access::catalog::MAX_CATALOG;
        use crate::access::permission::MAX_PERMISSION_BYTES;
        let catalog = (0..MAX_CATALOG).map(|number| format!("{number:0>MAX_PERMISSION_BYTES$}")).collect();
        let meta = Meta { catalog, ..Meta::default() };
        assert_eq!(codec::decode::<Meta>(&codec::encode(&meta).unwrap()).unwrap(), meta);
    }

    /// With this a later version can mark a store that this one does not understand.
    #[test]
    fn a_critical_field_makes_a_store_one_of_a_newer_version() {
        let later = |tag| codec::decode::<Meta>(&codec::encode(&Later(tag)).unwrap());
        assert_eq!(later(ignorable(100)).unwrap(), Meta::default());
        let newer = Newer::Field { of: "the settings", tag: critical(100) };
        assert!(matches!(later(critical(100)), Err(CodecError::Newer(found)) if found == newer));
    }
}
