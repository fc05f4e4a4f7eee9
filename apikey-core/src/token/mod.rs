//! Tokens, their digests, and the ids of keys.

pub(crate) mod api_key;
pub(crate) mod digest;
pub(crate) mod id_generator;
pub(crate) mod imported;
pub(crate) mod key_id;
#[doc(hidden)]
pub mod random_text;
