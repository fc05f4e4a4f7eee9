//! What a store is bound to: its prefixes and its peppers.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::codec::{self, plain_frame};
use crate::key::error::StoreError;
use crate::storage::database::disk::Disk;
use crate::storage::open_error::{OpenError, read_error};
use crate::token::digest::Digest;

/// What a store is bound to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// Every prefix it ever had; the last is the current one.
    #[serde(with = "codec::entries::list")]
    pub(crate) prefixes: Vec<String>,
    /// A check value for the number of each pepper it ever had.
    #[serde(with = "codec::entries::map")]
    pub(crate) peppers: BTreeMap<u32, Digest>,
}

plain_frame!(Meta, b'M', "the settings");

/// What a store is bound to; `None` if its database does not say.
pub(crate) fn read_meta(disk: &Disk, path: &Path) -> Result<Option<Meta>, OpenError> {
    let frame = disk.meta().map_err(|error| read_error(path, "its settings", error))?;
    let meta = frame.map(|frame| codec::decode::<Meta>(&frame).map_err(StoreError::from)).transpose();
    meta.map_err(|error| read_error(path, "its settings", error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::payload::Writer;
    use crate::base::codec::tail::{Tag, TailWriter, critical, ignorable};
    use crate::base::codec::{CodecError, Frame, Newer};

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

        fn take(_: &mut codec::payload::Reader<'_>) -> Result<Self, CodecError> {
            Err(CodecError::Payload(None))
        }
    }

    /// So that a later version can say that a store has what this one does not understand.
    #[test]
    fn a_critical_field_makes_a_store_one_of_a_newer_version() {
        let later = |tag| codec::decode::<Meta>(&codec::encode(&Later(tag)).unwrap());
        assert_eq!(later(ignorable(1)).unwrap(), Meta::default());
        let newer = Newer::Field { of: "the settings", tag: critical(1) };
        assert!(matches!(later(critical(1)), Err(CodecError::Newer(found)) if found == newer));
    }
}
