//! Events as they lie in the database, read without the code that wrote them.

/// The frames in one value: several in a block, or the value itself. `None` for a block that is not whole.
pub(crate) fn frames(value: &[u8]) -> Option<Vec<&[u8]>> {
    if value.first() != Some(&b'B') {
        return Some(vec![value]);
    }
    let (framed, check) = value.split_last_chunk()?;
    if crc32fast::hash(framed).to_le_bytes() != *check {
        return None;
    }
    let mut rest = framed.strip_prefix(b"B\x01")?;
    let count = length(&mut rest)?;
    let mut frames = Vec::new();
    for _ in 0..count {
        let length = length(&mut rest)?;
        let (frame, behind) = rest.split_at_checked(length)?;
        frames.push(frame);
        rest = behind;
    }
    (rest.is_empty() && count > 1).then_some(frames)
}

/// A length as bincode 2 writes it, if it is below 65,536.
fn length(rest: &mut &[u8]) -> Option<usize> {
    let (first, behind) = rest.split_first()?;
    let (length, behind) = match first {
        251 => {
            let (wide, behind) = behind.split_first_chunk()?;
            (u16::from_le_bytes(*wide).into(), behind)
        }
        small @ ..251 => (usize::from(*small), behind),
        _ => return None,
    };
    *rest = behind;
    Some(length)
}

/// The events of a closed store, by number.
pub(crate) fn events(database: &sled::Db) -> Vec<(u64, Vec<u8>)> {
    let mut events = Vec::new();
    for item in &database.open_tree("events").unwrap() {
        let (key, value) = item.unwrap();
        let first = u64::from_be_bytes((*key).try_into().unwrap());
        events.extend((first..).zip(frames(&value).unwrap()).map(|(number, frame)| (number, frame.to_vec())));
    }
    events
}

/// Puts every event of a closed store under its own number, as a store may have them, too.
pub(crate) fn set_apart(database: &sled::Db) {
    let tree = database.open_tree("events").unwrap();
    for (number, frame) in events(database) {
        tree.insert(number.to_be_bytes(), frame).unwrap();
    }
}
