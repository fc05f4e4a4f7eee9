//! What a key has used of its quota, in its stored form.

use serde::{Deserialize, Serialize};

use crate::access::quota::StoredQuota;
use crate::base::codec::frame::plain_frame;

/// What was used in a period of a quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredSpent {
    /// The quota at that time, of which the periods have numbers.
    pub(crate) quota: StoredQuota,
    /// The number of the period; 0 for what was used under an earlier quota.
    pub(crate) period: u32,
    pub(crate) used: u64,
    /// Until when it counts if the number is 0, in milliseconds since 1970 UTC.
    pub(crate) carried_until: i64,
}

plain_frame!(StoredSpent, b'Q', "what a key has used");
