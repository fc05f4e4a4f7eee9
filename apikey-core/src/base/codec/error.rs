//! The errors of reading and writing frames, and the bounds of a frame.

use std::fmt;

/// The newest format this version writes and reads.
pub(crate) const FORMAT: u8 = 1;
/// The longest frame read or written, in bytes.
pub(crate) const MAX_FRAME: usize = 64 * 1024;
/// The most entries of one list or map in a frame, far above what a key may have.
pub(crate) const MAX_ENTRIES: usize = 512;

#[derive(Debug, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("{0} bytes are no frame")]
    Length(usize),
    #[error("the checksum does not match")]
    Checksum,
    #[error("it does not begin as a frame does")]
    Magic,
    #[error("kind {0} where another is expected")]
    Kind(u8),
    /// An intact frame that a version before 0.1.0 wrote.
    #[error("it was written by a version before 0.1.0")]
    Old,
    #[error("{0}")]
    Newer(Newer),
    #[error("format 0 was never written")]
    FormatZero,
    #[error("the payload does not decode")]
    Payload(#[source] Option<bincode::error::DecodeError>),
    #[error("the field {0} is out of its place")]
    Tag(u8),
    #[error("it does not encode")]
    Encode(#[source] bincode::error::EncodeError),
    #[error("{0} bytes are more than a frame may have ({MAX_FRAME})")]
    TooLong(usize),
}

/// Something that only a newer version can have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Newer {
    Format(u8),
    /// A critical field.
    Field {
        of: &'static str,
        tag: u8,
    },
    /// A kind of subject.
    Subject(u8),
    /// A kind of event.
    Event(u8),
    /// An item of a backup.
    Item(u8),
}

impl fmt::Display for Newer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(found) => write!(f, "format {found}, and this version reads up to {FORMAT}"),
            Self::Field { of, tag } => write!(f, "a field that must be understood ({tag}) in {of}"),
            Self::Subject(kind) => write!(f, "changes of something else than keys (kind {kind})"),
            Self::Item(tag) => write!(f, "an item that this version does not know ({})", char::from(*tag)),
            Self::Event(kind) => write!(f, "an event of a kind that this version does not know ({kind})"),
        }
    }
}
