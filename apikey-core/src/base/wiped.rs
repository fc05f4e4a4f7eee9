//! Memory for secrets. Dropping it wipes it, and it never moves before: a buffer that grows would leave copies behind.
//!
//! It is public for the other crates of this project only, and not part of the interface.

use std::io::{self, ErrorKind, Read, Write};

use serde::Serialize;
use zeroize::Zeroizing;

/// Reads to the end, but at most `max` bytes.
///
/// # Errors
/// The reader's error.
pub fn read(mut from: impl Read, max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; max]);
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        match from.read(room) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Serialises a document as JSON, and leaves room for a line end.
///
/// # Errors
/// The document cannot be JSON.
pub fn json(document: &impl Serialize) -> serde_json::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(json_length(document)? + 1));
    serde_json::to_writer(&mut *bytes, document)?;
    // The bytes are UTF-8, which this checks once more to avoid unsafe code.
    let text = String::from_utf8(std::mem::take(&mut *bytes)).map_err(serde::ser::Error::custom)?;
    Ok(Zeroizing::new(text))
}

/// Returns the length of a document as JSON, in bytes.
///
/// # Errors
/// The document cannot be JSON.
pub(crate) fn json_length(document: &impl Serialize) -> serde_json::Result<usize> {
    struct Counter(usize);
    impl Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, document)?;
    Ok(counter.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a byte at a time, as a pipe may.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = into.len().min(1);
            self.0.read(into.get_mut(..count).unwrap_or_default())
        }
    }

    #[test]
    fn bytes_never_move() {
        for (given, held) in
            [(&b""[..], &b""[..]), (b"secret", b"secret"), (b"01234567", b"01234567"), (b"012345678", b"01234567")]
        {
            let bytes = read(Slow(given), 8).unwrap();
            assert_eq!((bytes.as_slice(), bytes.capacity()), (held, 8));
        }
    }

    #[test]
    fn json_never_moves() {
        for document in [vec![], vec!["secret"; 1], vec!["a \"quoted\" one"; 1000]] {
            let mut text = json(&document).unwrap();
            assert_eq!(*text, serde_json::to_string(&document).unwrap());
            let (at, length) = (text.as_ptr(), text.len());
            text.push('\n');
            assert_eq!((text.as_ptr(), text.capacity()), (at, length + 1), "it moved, and left a copy");
        }
    }
}
