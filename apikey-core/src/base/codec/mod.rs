//! Frames: how everything is stored. A frame is a magic byte, a kind, a format, a payload, and a CRC-32 over all of it;
//! `docs/reference/format.md` has the layouts.
//!
//! Decoding never panics and never takes more memory than four times [`MAX_FRAME`], whatever the bytes, and it returns
//! only what was encoded. The fuzz target `record` tests both.

pub(crate) mod entries;
pub(crate) mod error;
pub(crate) mod frame;
#[cfg(test)]
pub(crate) mod golden;
pub(crate) mod payload;
pub(crate) mod tail;

pub(crate) use error::{CodecError, FORMAT, MAX_ENTRIES, MAX_FRAME, Newer};
pub(crate) use frame::{Frame, carve, decode, encode, may_begin, plain_frame};
