//! A second reader of backups, written from the table in `docs/operations/backup.md`, and a healer. It gives hostile bytes right
//! checksums, counts and sums, without which the reader would refuse them, so that they reach the code behind.

use std::collections::BTreeMap;

use apikey_core::fuzzing::Stored;
use sha2::{Digest, Sha256};

const MAGIC: &[u8] = b"apikey backup\0\x01";
const DIGEST: usize = 32;
/// A key as an item names it: kind 1, a length of 16, and the id.
const SUBJECT: usize = 18;

/// A tag and its item.
pub type Item = (u8, Vec<u8>);

/// The items up to the trailer, and whether the file is nothing but these, the header and the digest.
pub fn split(file: &[u8]) -> Option<(Vec<Item>, bool)> {
    let mut rest = file.strip_prefix(MAGIC)?;
    let mut items = Vec::new();
    loop {
        let (head, after) = rest.split_first_chunk::<5>()?;
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (content, after) = after.split_at_checked(length)?;
        items.push((head[0], content.to_vec()));
        rest = after;
        if head[0] == b'T' {
            let digest: [u8; DIGEST] = Sha256::digest(&file[..file.len() - rest.len()]).into();
            return Some((items, rest == digest));
        }
    }
}

/// Writes items with the header and the right digest.
pub fn join(items: &[Item]) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    for (tag, content) in items {
        file.push(*tag);
        file.extend((content.len() as u32).to_le_bytes());
        file.extend(content);
    }
    let digest = Sha256::digest(&file);
    file.extend(digest);
    file
}

/// The same file with the right digest.
pub fn heal_digest(file: &[u8]) -> Option<Vec<u8>> {
    Some(join(&split(file)?.0))
}

/// Gives every frame its right checksum, and the file its digest.
pub fn heal_frames(file: &[u8]) -> Option<Vec<u8>> {
    let mut items = split(file)?.0;
    items.iter_mut().for_each(|(tag, content)| {
        let frame = match tag {
            b'R' | b'A' => content.get_mut(SUBJECT..),
            b'U' => None,
            _ => content.get_mut(..),
        };
        frame.map(heal_frame);
    });
    Some(join(&items))
}

/// Also gives the trailer its right counts and sums.
pub fn heal_all(file: &[u8]) -> Option<Vec<u8>> {
    let mut items = split(&heal_frames(file)?)?.0;
    let count = |wanted| items.iter().filter(|(tag, _)| *tag == wanted).count() as u64;
    let (scanned, amended, events) = (count(b'R'), count(b'A'), count(b'E'));
    let records = records(&items)?;
    let sum = records.values().fold(0u128, |sum, frame| sum.wrapping_add(hash(frame)));
    let trailer = Stored::decode(b'T', &items.last()?.1)?;
    let trailer = trailer.trailer_with(records.len() as u64, sum, scanned, amended, events)?;
    items.last_mut()?.1 = trailer.encode()?;
    Some(join(&items))
}

/// The last four bytes of a frame are the CRC-32 of all before.
pub fn heal_frame(frame: &mut [u8]) {
    if let Some((framed, check)) = frame.split_last_chunk_mut::<4>() {
        *check = crc32fast::hash(framed).to_le_bytes();
    }
}

/// The records with the changes during the backup applied; `None` if an item is too short.
pub fn records(items: &[Item]) -> Option<BTreeMap<u128, Vec<u8>>> {
    let mut records = BTreeMap::new();
    for (tag, content) in items.iter().filter(|(tag, _)| matches!(tag, b'R' | b'A')) {
        let ([1, 16, id @ ..], frame) = content.split_first_chunk::<SUBJECT>()? else { return None };
        let id = u128::from_be_bytes(*id);
        if *tag == b'A' && frame.is_empty() {
            records.remove(&id);
        } else {
            records.insert(id, frame.to_vec());
        }
    }
    Some(records)
}

/// What a record adds to the sum of a store.
pub fn hash(frame: &[u8]) -> u128 {
    let digest: [u8; DIGEST] = Sha256::digest(frame).into();
    u128::from_le_bytes(*digest.first_chunk().expect("16 of 32"))
}
