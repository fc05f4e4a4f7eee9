//! The baseline: the check that a careful developer would write by hand for just this token and digest, as fast as it
//! gets. It does everything that `KeyStore::authorize` does for a key of the store's own and one permission, and nothing
//! else that a store needs: no writer, no rotation, no imported keys, no time of use, one prefix, 64 permissions.

#![allow(unsafe_code, reason = "a prefetch and an advice, which have no effect that a program can see")]

use constant_time_eq::constant_time_eq_32;

/// The result of a lookup: the owner, and the version of the secret, read from the key's line.
pub struct Caller {
    pub owner: u32,
    pub version: u32,
}

/// One key, one cache line.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Line {
    digest: [u8; 32],
    /// Milliseconds since 1970.
    expires_at: i64,
    /// A bit for each permission.
    permissions: u64,
    owner: u32,
    /// 0 for an empty line.
    version: u32,
    revoked: bool,
    disabled: bool,
}

pub struct Baseline {
    lines: Vec<Line>,
    /// CRC-32 of the prefix, to go on from.
    prefix: crc32fast::Hasher,
}

const PREFIX: &[u8; 3] = b"ak_";
const FIRST: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

impl Baseline {
    /// A table for `keys`, at the same load as the store's table has after an open; in pages of 2 MiB if `large_pages` is set
    /// and Linux provides them.
    fn for_keys(keys: usize, large_pages: bool) -> Self {
        let mut prefix = crc32fast::Hasher::new();
        prefix.update(PREFIX);
        let mut lines: Vec<Line> = Vec::with_capacity(keys / 2 * 3 + 16);
        if large_pages {
            let room = lines.spare_capacity_mut();
            let skipped = room.as_ptr().cast::<u8>().align_offset(2 << 20);
            let length = size_of_val(room).saturating_sub(skipped) >> 21 << 21;
            let begin = room.as_mut_ptr().cast::<u8>().wrapping_add(skipped);
            // SAFETY: the range lies within the vector's own memory, and the advice changes nothing in it.
            let advised = unsafe { rustix::mm::madvise(begin.cast(), length, rustix::mm::Advice::LinuxHugepage) };
            if let Err(error) = advised {
                eprintln!("  no large pages for the check by hand: {error}");
            }
        }
        lines.resize(lines.capacity(), Line::default());
        Self { lines, prefix }
    }

    pub fn with(tokens: impl IntoIterator<Item = impl AsRef<str>>, keys: usize) -> Self {
        Self::filled(Self::for_keys(keys, false), tokens)
    }

    pub fn in_large_pages(tokens: impl IntoIterator<Item = impl AsRef<str>>, keys: usize) -> Self {
        Self::filled(Self::for_keys(keys, true), tokens)
    }

    fn filled(mut table: Self, tokens: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        for (owner, token) in tokens.into_iter().enumerate() {
            table.insert(token.as_ref(), u32::try_from(owner).unwrap());
        }
        table
    }

    fn insert(&mut self, token: &str, owner: u32) {
        let token: &[u8; 63] = token.as_bytes().try_into().unwrap();
        let body: &[u8; 54] = token[PREFIX.len()..][..54].try_into().unwrap();
        let mut at = self.place(body);
        while self.lines[at].version != 0 {
            at = if at + 1 == self.lines.len() { 0 } else { at + 1 };
        }
        self.lines[at] = Line {
            digest: digest(token),
            expires_at: i64::MAX,
            permissions: 1,
            owner,
            version: 1,
            revoked: false,
            disabled: false,
        };
    }

    /// The caller, or the HTTP status of the refusal.
    #[inline]
    pub fn check(&self, token: &str, permission: u32) -> Result<Caller, u16> {
        // Every token has the same length, and its parts are at fixed places.
        let token: &[u8; 63] = token.as_bytes().try_into().map_err(|_| 401u16)?;
        let (prefix, rest) = token.split_first_chunk::<3>().ok_or(401u16)?;
        let (body, check) = rest.split_first_chunk::<54>().ok_or(401u16)?;
        if prefix != PREFIX {
            return Err(401);
        }
        let mut crc = self.prefix.clone();
        crc.update(body);
        if number(check) != Some(u64::from(crc.finalize())) {
            return Err(401);
        }
        let mut at = self.place(body);
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch reads nothing that the program sees, wherever it points; this points into the table.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(&self.lines[at]).cast()) };
        }
        let digest = digest(token);
        let line = loop {
            let line = &self.lines[at];
            if line.version == 0 {
                return Err(401);
            }
            if constant_time_eq_32(&line.digest, &digest) {
                break line;
            }
            at = if at + 1 == self.lines.len() { 0 } else { at + 1 };
        };
        if line.revoked || line.disabled || line.expires_at <= now() {
            return Err(401);
        }
        if line.permissions >> permission & 1 == 0 {
            return Err(403);
        }
        Ok(Caller { owner: line.owner, version: line.version })
    }

    /// Where the search begins: the id's last eight characters, which differ, mixed by one multiplication and reduced without
    /// a division.
    #[inline]
    fn place(&self, body: &[u8; 54]) -> usize {
        let last = u64::from_le_bytes(body[14..22].try_into().unwrap());
        let mixed = u128::from(last ^ 0xbf58_476d_1ce4_e5b9) * 0x9e37_79b9_7f4a_7c15;
        let hash = (mixed >> 64) as u64 ^ mixed as u64;
        ((u128::from(hash) * self.lines.len() as u128) >> 64) as usize
    }
}

/// The digest of a version byte and the part of the token after the underscore, copied in pieces of 16 bytes, as the hash
/// reads them.
#[inline]
fn digest(token: &[u8; 63]) -> [u8; 32] {
    let mut block = [0u8; 64];
    let (pieces, _) = block.as_chunks_mut::<16>();
    for (to, from) in pieces.iter_mut().zip(token[2..].as_chunks::<16>().0) {
        *to = *from;
    }
    for (byte, change) in pieces[0].iter_mut().zip([b'_' ^ 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) {
        *byte ^= change;
    }
    let end = u128::from_be_bytes(*token.last_chunk().unwrap());
    pieces[3] = ((end << 24 >> 72 << 72) | (0x80 << 64) | (55 * 8)).to_be_bytes();
    let mut state = FIRST;
    sha2::block_api::compress256(&mut state, &[block]);
    let mut digest = [0; 32];
    for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

/// The number of six characters in base62.
#[inline]
fn number(text: &[u8]) -> Option<u64> {
    let mut sum = 0;
    let mut foreign = 0;
    for digit in text {
        let value = VALUES[usize::from(*digit)];
        foreign |= value;
        sum = sum * 62 + u64::from(value);
    }
    (foreign < 64).then_some(sum)
}

static VALUES: [u8; 256] = {
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut values = [0x80; 256];
    let mut at = 0;
    while at < 62 {
        values[digits[at] as usize] = at as u8;
        at += 1;
    }
    values
};

#[inline]
fn now() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}
