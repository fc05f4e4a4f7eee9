//! Random texts that are no keys, such as those of a page's sessions, and their digests.
//!
//! It is public for the other crates of this project only, and not part of the interface.

use std::io;

use constant_time_eq::constant_time_eq_32;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Returns so many random bytes as hexadecimal digits, from the operating system's generator.
///
/// # Errors
/// The generator fails.
pub fn generate<const BYTES: usize>() -> io::Result<Zeroizing<String>> {
    let mut random = Zeroizing::new([0u8; BYTES]);
    getrandom::fill(random.as_mut_slice()).map_err(io::Error::other)?;
    // A string that grows leaves copies of the secret in memory.
    let mut text = Zeroizing::new(String::with_capacity(2 * BYTES));
    for byte in random.iter() {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    Ok(text)
}

/// The SHA-256 digest of a text. Unlike a password, a random text of 128 bits needs no slow one.
#[must_use]
pub fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Whether two digests are equal, in a time that does not depend on them.
#[must_use]
pub fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    constant_time_eq_32(one, other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_of_their_length_and_differ() {
        let texts: std::collections::HashSet<String> =
            (0..1000).map(|_| generate::<16>().unwrap().as_str().to_owned()).collect();
        assert_eq!(texts.len(), 1000);
        assert!(texts.iter().all(|text| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())));
        // printf abc | sha256sum
        let first = [0xba, 0x78, 0x16, 0xbf];
        assert_eq!(digest("abc").first_chunk(), Some(&first));
        assert!(is_same(&digest("abc"), &digest("abc")) && !is_same(&digest("abc"), &digest("abcd")));
    }
}
