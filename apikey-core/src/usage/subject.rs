//! The subjects of usage: keys, owners, tenants, and the store.

use sha2::{Digest as _, Sha256};

use crate::access::owner::OwnerRef;

/// The subject of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct UsageSubject {
    kind: u8,
    id: u128,
}

const STORE: u8 = b's';
const TENANT: u8 = b't';
const OWNER: u8 = b'o';
const KEY: u8 = b'k';

impl UsageSubject {
    /// All keys of the store.
    pub(crate) const STORE: Self = Self { kind: STORE, id: 0 };
    pub(crate) const BYTES: usize = 17;
    /// What comes after the bytes of every key, and before those of every other subject.
    #[cfg(feature = "cluster")]
    pub(crate) const AFTER_KEYS: [u8; 1] = [KEY + 1];

    pub(crate) fn key(id: u128) -> Self {
        Self { kind: KEY, id }
    }

    pub(crate) fn tenant(name: &str) -> Self {
        Self { kind: TENANT, id: digest(&[name]) }
    }

    pub(crate) fn owner(OwnerRef { tenant, name }: OwnerRef<'_>) -> Self {
        // A name of a tenant has a byte at least.
        Self { kind: OWNER, id: digest(&[tenant.unwrap_or_default(), name]) }
    }

    /// The id, if it is a key.
    pub(crate) fn as_key(self) -> Option<u128> {
        (self.kind == KEY).then_some(self.id)
    }

    pub(crate) fn bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [self.kind; Self::BYTES];
        if let Some(id) = bytes.last_chunk_mut() {
            *id = self.id.to_be_bytes();
        }
        bytes
    }

    pub(crate) fn read(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let (&kind, id) = bytes.split_first()?;
        Some(Self { kind, id: u128::from_be_bytes(id.try_into().ok()?) })
    }
}

/// 128 bits of a digest of these texts. No text has a zero byte: neither a tenant's name nor an owner's.
fn digest(texts: &[&str]) -> u128 {
    let mut digest = Sha256::new().chain_update(b"apikey: usage");
    for text in texts {
        digest = digest.chain_update([0]).chain_update(text);
    }
    let digest: [u8; 32] = digest.finalize().into();
    digest.first_chunk().map_or(0, |bytes: &[u8; 16]| u128::from_be_bytes(*bytes))
}
