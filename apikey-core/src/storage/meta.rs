//! What a store is bound to: its prefixes and its peppers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::codec::{self, plain_frame};
use crate::token::digest::Digest;

/// What a store is bound to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// Every prefix it ever had; the last is the current one.
    #[serde(with = "codec::entries::list")]
    pub(crate) prefixes: Vec<String>,
    /// A check value for the number of each pepper it ever had.
    #[serde(with = "codec::entries::map")]
    pub(crate) peppers: BTreeMap<u32, Digest>,
}

plain_frame!(Meta, b'M');
