//! Digests, which a store keeps instead of secrets: SHA-256, or HMAC-SHA-256 under a pepper.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::block_api::compress256;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::token::api_key::{BODY_CHARS, Tail};

/// The digest of a secret.
pub(crate) type Digest = [u8; 32];

/// The first half of a digest: enough to recognize a secret that was verified before.
pub(crate) type DigestPrefix = [u8; 16];

#[inline]
pub(crate) fn digest_prefix(digest: &Digest) -> DigestPrefix {
    digest.first_chunk().copied().unwrap_or_default()
}

/// The first byte of every hashed message, so that a later form cannot be mistaken for this one.
const VERSION: u8 = 1;

/// A key that is kept outside the store (in the environment, a secrets manager) and mixed into every digest: an
/// attacker with only the database cannot test a guess. Imported keys of unknown strength need one; this store's own
/// secrets have 190 random bits, which cannot be guessed.
///
/// A store's builder takes several: the store uses the one with the highest number for new secrets, and the others for
/// the keys that were created with them.
#[derive(Clone)]
pub struct Pepper {
    pub(crate) number: u32,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
}

impl Pepper {
    /// The fewest bytes of a pepper.
    pub const MIN_BYTES: usize = 16;

    /// Creates a pepper. The store keeps its number with every key that is digested under it: a number is 1 or more,
    /// and must never be reused for other bytes. Use 32 random bytes; opening a store with fewer than 16 fails with
    /// [`OpenError::Config`](crate::OpenError::Config).
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

/// Digests secrets without a pepper (number 0) or under one.
#[derive(Clone)]
pub(crate) struct Digester {
    pepper: u32,
    keyed: Option<Keyed>,
}

/// HMAC under a pepper. Dropping it wipes all of it.
#[derive(Clone)]
struct Keyed {
    mac: Hmac<Sha256>,
    /// The state of SHA-256 after the key's block, for the inner and the outer hash. A token is one block, so it needs
    /// no more of HMAC; the general code, which wipes its buffers for each token, takes a quarter longer.
    inner: Zeroizing<State>,
    outer: Zeroizing<State>,
}

impl Keyed {
    fn new(key: &[u8]) -> Option<Self> {
        let mut block = Zeroizing::new([0; BLOCK]);
        // RFC 2104, section 2: a key that is longer than a block is hashed first.
        let hashed =
            Zeroizing::new(if key.len() > BLOCK { Digest::from(Sha256::digest(key)) } else { Digest::default() });
        let short = if key.len() > BLOCK { &hashed[..] } else { key };
        block.iter_mut().zip(short).for_each(|(to, from)| *to = *from);
        let after = |pad: u8| {
            let mut padded = block.clone();
            padded.iter_mut().for_each(|byte| *byte ^= pad);
            let mut state = Zeroizing::new(FIRST);
            compress256(&mut state, std::slice::from_ref(&*padded));
            state
        };
        Some(Self { mac: Hmac::new_from_slice(key).ok()?, inner: after(0x36), outer: after(0x5c) })
    }

    /// Digests a token's block, which is padded for a message that begins with the key's block.
    fn of_block(&self, block: &[u8; BLOCK]) -> Digest {
        let mut outer = [0; BLOCK];
        let (message, padding) = outer.split_at_mut(size_of::<Digest>());
        message.copy_from_slice(&one_block(&self.inner, block));
        padding.copy_from_slice(&PADDING_OF_DIGEST);
        one_block(&self.outer, &outer)
    }
}

impl Digester {
    pub(crate) fn plain() -> Self {
        Self { pepper: 0, keyed: None }
    }

    /// Creates a digester under a pepper, and hashes the key's two blocks once.
    pub(crate) fn peppered(pepper: &Pepper) -> Self {
        // HMAC takes a key of any length, so this cannot fail; it must never fall back to a digester without a key.
        let keyed = Keyed::new(&pepper.bytes);
        debug_assert!(keyed.is_some());
        Self { pepper: pepper.number, keyed }
    }

    /// The number of the pepper, 0 for none.
    pub(crate) fn pepper(&self) -> u32 {
        self.pepper
    }

    /// The digest of one of the store's own secrets. 55 bytes: exactly one block of SHA-256.
    pub(crate) fn own(&self, body: &[u8; BODY_CHARS]) -> Digest {
        let mut message = [VERSION; 1 + BODY_CHARS];
        if let Some((_, rest)) = message.split_first_mut() {
            rest.copy_from_slice(body);
        }
        self.of(&message)
    }

    /// The digest of a token that a caller presents.
    #[inline(always)]
    pub(crate) fn presented(&self, tail: &Tail) -> Digest {
        match &self.keyed {
            None => one_block(&FIRST, &padded::<0>(tail)),
            Some(keyed) => keyed.of_block(&padded::<BLOCK>(tail)),
        }
    }

    /// The stored digest of an imported key, given the one that its issuer stored: the same, under the pepper if there
    /// is one.
    pub(crate) fn imported(&self, digest: &ImportedDigest) -> Digest {
        match (digest, &self.keyed) {
            (ImportedDigest::Sha256(digest), None) => *digest,
            (ImportedDigest::Sha256(digest), Some(_)) => self.of(digest),
            (ImportedDigest::Sha512(digest), _) => self.of(digest.as_slice()),
        }
    }

    /// A value that shows, without revealing the pepper, whether it is the same as before.
    pub(crate) fn check_value(&self) -> Digest {
        self.of(b"apikey: check value of a pepper")
    }

    /// The digest that chains events: a message authentication code if there is a pepper.
    pub(crate) fn of(&self, message: &[u8]) -> Digest {
        match &self.keyed {
            None => Sha256::digest(message).into(),
            Some(keyed) => keyed.mac.clone().chain_update(message).finalize().into_bytes().into(),
        }
    }
}

/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

type State = [u32; 8];

/// FIPS 180-4, section 5.3.3.
const FIRST: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// What follows a digest behind one block: a one bit, zeros and the length in bits.
const PADDING_OF_DIGEST: [u8; 32] = {
    let length = (8 * (BLOCK + size_of::<Digest>()) as u64).to_be_bytes();
    let mut padding = [0; 32];
    padding[0] = 0x80;
    padding[30] = length[6];
    padding[31] = length[7];
    padding
};

/// The block that is hashed, after `BEFORE` earlier bytes: the version, the body, and the padding that SHA-256
/// requires, which is a one bit, zeros and the length in bits.
///
/// The byte before the body becomes the version, and everything else is copied in the pieces in which the hash reads
/// it. Bytes that are copied one by one reach the cache before the hash can read them, which takes ten nanoseconds.
#[inline]
fn padded<const BEFORE: usize>(tail: &Tail) -> [u8; BLOCK] {
    const TO_VERSION: [u8; 16] = {
        let mut change = [0; 16];
        change[0] = b'_' ^ VERSION;
        change
    };
    // After the last seven bytes.
    let padding = const { 0x80 << 64 | (8 * (BEFORE + 1 + BODY_CHARS)) as u128 };
    let mut block = [[0; 16]; 4];
    for (to, from) in block.iter_mut().zip(tail.as_chunks().0) {
        *to = *from;
    }
    let [first, .., last] = &mut block;
    first.iter_mut().zip(TO_VERSION).for_each(|(byte, change)| *byte ^= change);
    // The tail's last sixteen bytes begin three before the last piece.
    let end = u128::from_be_bytes(tail.last_chunk().copied().unwrap_or_default());
    *last = ((end << 24 >> 72 << 72) | padding).to_be_bytes();
    let mut whole = [0; BLOCK];
    for (to, from) in whole.as_chunks_mut().0.iter_mut().zip(block) {
        *to = from;
    }
    whole
}

/// SHA-256 of a message that ends with this padded block. It takes a third less time than the general code, which pads.
#[inline]
fn one_block(before: &State, block: &[u8; BLOCK]) -> Digest {
    let mut state = *before;
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
    use crate::token::api_key;
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

    /// It is a feature of the crate, which somebody might turn off. `Hmac` is made of two of them.
    #[test]
    fn what_is_hashed_is_wiped() {
        fn wiped<T: zeroize::ZeroizeOnDrop>() {}
        wiped::<Sha256>();
        wiped::<Zeroizing<State>>();
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
        fn a_presented_token_has_the_digest_of_its_body(text in "[0-9A-Za-z]{60}", pepper: Vec<u8>, length in 0..200_usize) {
            let tail: Tail = format!("_{text}").into_bytes().try_into().unwrap();
            let body = api_key::body(&tail);
            let message: Vec<u8> = [VERSION].iter().chain(body).copied().collect();
            let whole: Digest = Sha256::digest(&message).into();
            prop_assert_eq!(Digester::plain().own(body), whole);
            // HMAC has three kinds of keys: shorter than a block, as long, and longer.
            let peppers = [pepper, vec![7; length], vec![8; BLOCK], vec![9; BLOCK + 1]];
            let peppered = peppers.map(|pepper| Digester::peppered(&Pepper::new(1, pepper)));
            for digester in peppered.into_iter().chain([Digester::plain()]) {
                prop_assert_eq!(digester.presented(&tail), digester.own(body));
            }
        }
    }
}
