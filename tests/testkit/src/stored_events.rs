//! Events as they lie in the database, read and written without the code under test.
//!
//! One value holds a batch of one event or more, each a frame.

/// The first byte of every frame.
const MAGIC: u8 = 0xa9;

/// A batch of frames as one value.
pub fn batch<T: AsRef<[u8]>>(frames: &[T]) -> Vec<u8> {
    let mut batch = vec![MAGIC, b'B', 1, u8::try_from(frames.len()).unwrap()];
    for frame in frames {
        let frame = frame.as_ref();
        match u8::try_from(frame.len()) {
            Ok(short) if short < 251 => batch.push(short),
            _ => {
                batch.push(251);
                batch.extend(u16::try_from(frame.len()).unwrap().to_le_bytes());
            }
        }
        batch.extend(frame);
    }
    // The tail, with nothing in it.
    batch.push(0);
    let check = crc32fast::hash(&batch);
    batch.extend(check.to_le_bytes());
    batch
}

/// The frames in one value. `None` for a batch that is damaged.
pub fn frames(value: &[u8]) -> Option<Vec<&[u8]>> {
    let (framed, check) = value.split_last_chunk()?;
    if crc32fast::hash(framed).to_le_bytes() != *check {
        return None;
    }
    let mut rest = framed.strip_prefix(&[MAGIC, b'B', 1])?;
    let count = length(&mut rest)?;
    let mut frames = Vec::new();
    for _ in 0..count {
        let length = length(&mut rest)?;
        let (frame, behind) = rest.split_at_checked(length)?;
        frames.push(frame);
        rest = behind;
    }
    (rest == [0] && count > 0).then_some(frames)
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

/// The events of a closed store: number and frame of each.
pub fn events(database: &sled::Db) -> Vec<(u64, Vec<u8>)> {
    let mut events = Vec::new();
    for item in &database.open_tree("events").unwrap() {
        let (key, value) = item.unwrap();
        let first = u64::from_be_bytes((*key).try_into().unwrap());
        events.extend((first..).zip(frames(&value).unwrap()).map(|(number, frame)| (number, frame.to_vec())));
    }
    events
}

/// Stores every event of a closed store under its own number.
pub fn split_batches(database: &sled::Db) {
    let tree = database.open_tree("events").unwrap();
    for (number, frame) in events(database) {
        tree.insert(number.to_be_bytes(), batch(&[frame])).unwrap();
    }
}
