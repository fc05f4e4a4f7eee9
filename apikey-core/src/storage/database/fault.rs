//! Conversion of sled's errors.

use std::io;

/// Converts an error of the database into one of the operating system.
/// [`ErrorKind::InvalidData`](io::ErrorKind::InvalidData) means damage: for intact files sled returns only
/// [`sled::Error::Io`].
pub(crate) fn io_error(error: sled::Error) -> io::Error {
    match error {
        sled::Error::Io(error) => error,
        // sled's text ends with a backtrace that is empty.
        sled::Error::Corruption { at: Some(at), .. } => invalid(match offset(&at) {
            Some(offset) => format!("the database's file is damaged at offset {offset}"),
            None => "the database's file is damaged".into(),
        }),
        sled::Error::Corruption { at: None, .. } => invalid("the database's file is damaged".into()),
        other => invalid(format!("the database's file is damaged: {other}")),
    }
}

/// The first number of sled's text for a place, such as `Some(Inline(783204))`.
fn offset(at: &impl std::fmt::Debug) -> Option<u64> {
    let text = format!("{at:?}");
    text.split(|letter: char| !letter.is_ascii_digit()).find(|part| !part.is_empty())?.parse().ok()
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As sled's own type prints, which no code outside of sled can make.
    #[derive(Debug)]
    #[allow(dead_code, reason = "only its `Debug` is read")]
    enum Place {
        Inline(u64),
        Blob(u64, u64),
    }

    #[test]
    fn a_place_is_its_offset() {
        assert_eq!(offset(&Some(Place::Inline(783_204))), Some(783_204));
        assert_eq!(offset(&Place::Blob(7, 8)), Some(7));
        assert_eq!(offset(&None::<Place>), None);
    }
}
