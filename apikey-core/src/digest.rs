//! What is stored instead of a secret: SHA-256, or HMAC-SHA-256 under a pepper.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::block_api::compress256;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::token::BODY_CHARS;

/// 32 bytes that stand for a secret.
pub(crate) type Digest = [u8; 32];

/// The first half of a digest: enough to know a secret again that was verified before.
pub(crate) type Half = [u8; 16];

#[inline]
pub(crate) fn half(digest: &Digest) -> Half {
    digest.first_chunk().copied().unwrap_or_default()
}

/// First byte under every digest, so that a later form cannot be mistaken for this one.
const VERSION: u8 = 1;

/// A key that is kept outside the store (in the environment, a secrets manager) and mixed into every digest: who has
/// only the database cannot test a guess. Needed for imported keys of unknown strength; this store's own secrets have
/// 190 random bits, which nobody guesses.
///
/// Several may be given to a store's builder: the one with the highest number is used for new secrets, the others for
/// the keys that were made with them.
#[derive(Clone)]
pub struct Pepper {
    pub(crate) number: u32,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
}

impl Pepper {
    /// Fewest bytes of a pepper.
    pub const MIN_BYTES: usize = 16;

    /// A pepper and its number, which is stored with every key made under it: 1 or more, never used again for other
    /// bytes. At least 16 bytes are asked, 32 random ones are right; the store's builder refuses less.
    #[must_use]
    pub fn new(number: u32, bytes: impl AsRef<[u8]>) -> Self {
        Self { number, bytes: Zeroizing::new(bytes.as_ref().to_vec()) }
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pepper({}, [REDACTED])", self.number)
    }
}

/// One way to digest: without a pepper (number 0) or with one.
#[derive(Clone)]
pub(crate) struct Digester {
    pepper: u32,
    keyed: Option<Hmac<Sha256>>,
}

impl Digester {
    pub(crate) fn plain() -> Self {
        Self { pepper: 0, keyed: None }
    }

    /// The key's two blocks are hashed here, once.
    pub(crate) fn peppered(pepper: &Pepper) -> Self {
        // HMAC takes a key of any length: this cannot fail, and a digester without a key must not come of it.
        let keyed = Hmac::<Sha256>::new_from_slice(&pepper.bytes).ok();
        debug_assert!(keyed.is_some());
        Self { pepper: pepper.number, keyed }
    }

    /// The number of the pepper, 0 for none.
    pub(crate) fn pepper(&self) -> u32 {
        self.pepper
    }

    /// The digest of one of the store's own secrets. 55 bytes: exactly one block of SHA-256.
    #[inline]
    pub(crate) fn own(&self, body: &[u8; BODY_CHARS]) -> Digest {
        let block = own_block(body);
        match &self.keyed {
            None => one_block(&block),
            Some(_) => self.of(block.split_at(1 + BODY_CHARS).0),
        }
    }

    /// What is stored for a key issued elsewhere, given the digest its issuer stored: itself, under the pepper if
    /// there is one.
    pub(crate) fn imported(&self, digest: &ImportedDigest) -> Digest {
        match (digest, &self.keyed) {
            (ImportedDigest::Sha256(digest), None) => *digest,
            (ImportedDigest::Sha256(digest), Some(_)) => self.of(digest),
            (ImportedDigest::Sha512(digest), _) => self.of(digest.as_slice()),
        }
    }

    /// A value that tells, without revealing the pepper, whether it is the same as before.
    pub(crate) fn check_value(&self) -> Digest {
        self.of(b"apikey: check value of a pepper")
    }

    /// Chains events: a digest without a pepper, a message authentication code with one.
    pub(crate) fn of(&self, message: &[u8]) -> Digest {
        match &self.keyed {
            None => Sha256::digest(message).into(),
            Some(keyed) => keyed.clone().chain_update(message).finalize().into_bytes().into(),
        }
    }
}

/// What is digested, and the padding that SHA-256 asks for: a one bit, zeros, the length in bits.
#[inline]
fn own_block(body: &[u8; BODY_CHARS]) -> [u8; 64] {
    const PADDING: [u8; 9] = [0x80, 0, 0, 0, 0, 0, 0, 1, 0xb8];
    const { assert!((1 + BODY_CHARS) * 8 == 0x1b8 && 1 + BODY_CHARS + PADDING.len() == 64) };
    let mut block = [VERSION; 64];
    let (message, padding) = block.split_at_mut(1 + BODY_CHARS);
    message.split_at_mut(1).1.copy_from_slice(body);
    padding.copy_from_slice(&PADDING);
    block
}

/// SHA-256 of a message that is padded already: a third cheaper than to have the general code pad it.
#[inline]
fn one_block(block: &[u8; 64]) -> Digest {
    /// FIPS 180-4, section 5.3.3.
    const FIRST: [u32; 8] =
        [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
    let mut state = FIRST;
    compress256(&mut state, std::slice::from_ref(block));
    let mut digest = [0; 32];
    for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digest under which a key was stored by its issuer.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum ImportedDigest {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BODY: &[u8; 54] = b"02yDXp0LU9xkmhF27wr7JX0123456789ABCDEFGHIJKLMNOPQRSTUV";

    #[test]
    fn known_answers() {
        // python3: hashlib.sha256(b"\x01" + body), hmac.new(pepper, b"\x01" + body, "sha256")
        let plain = Digester::plain().own(BODY);
        assert_eq!(hex(&plain), "588f5b32075c6dca37edf4febf529aa3d31d207e1a2ee6a67374ef24ae989b65");
        let keyed = Digester::peppered(&Pepper::new(1, b"pepper pepper pepper")).own(BODY);
        assert_eq!(hex(&keyed), "9489606929c3616917efcd86589263fab5e0ee71b3d15dc23e640656aba09ee8");
    }

    #[test]
    fn imported_digests_stay_unless_there_is_a_pepper() {
        let given = ImportedDigest::Sha256([7; 32]);
        assert_eq!(Digester::plain().imported(&given), [7; 32]);
        let keyed = Digester::peppered(&Pepper::new(2, [1; 32]));
        assert_ne!(keyed.imported(&given), [7; 32]);
        assert_ne!(keyed.check_value(), Digester::peppered(&Pepper::new(2, [2; 32])).check_value());
    }

    #[test]
    fn debug_hides_the_pepper() {
        assert_eq!(format!("{:?}", Pepper::new(3, b"hidden")), "Pepper(3, [REDACTED])");
    }

    proptest! {
        #[test]
        fn one_block_is_sha_256(body in proptest::collection::vec(any::<u8>(), BODY_CHARS)) {
            let body: [u8; BODY_CHARS] = body.try_into().unwrap();
            let mut message = vec![VERSION];
            message.extend(body);
            let whole: Digest = Sha256::digest(&message).into();
            prop_assert_eq!(Digester::plain().own(&body), whole);
        }
    }
}
