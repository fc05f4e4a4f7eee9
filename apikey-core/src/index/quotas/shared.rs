//! The quotas of a node, which it shares with the other nodes of its cluster.

use std::sync::atomic::Ordering;

use crate::access::quota::spent::Spent;
use crate::index::Index;
use crate::index::quotas::{Need, Quotas};

impl Index {
    /// Makes this the index of one node among others, which use all quotas by blocks.
    pub(crate) fn share_quotas(&self) {
        self.quotas.share();
    }

    /// Lets no request of this node have anything any more of any quota, and returns what each has.
    pub(crate) fn end_shared_quotas(&self, now: i64) -> Vec<Need> {
        self.quotas.end_shared(now)
    }

    /// Makes what was urgent until now no longer so: the caller looks at what quotas need.
    pub(crate) fn begin_reserving(&self) {
        self.quotas.begin_reserving();
    }

    /// Whether there is no quota with this id.
    pub(crate) fn lacks_quota(&self, id: u128) -> bool {
        let (writer, _) = self.write();
        self.quotas.quota(&writer.quotas, id).is_none()
    }
}

impl Quotas {
    /// Makes this the index of one node among others, which use all quotas by blocks.
    fn share(&self) {
        self.is_shared.store(true, Ordering::Relaxed);
    }

    /// Makes what was urgent until now no longer so: the caller looks at what quotas need.
    fn begin_reserving(&self) {
        self.is_urgent.store(false, Ordering::Relaxed);
        self.looks.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets no request of this node have anything any more, and returns what each quota has: `here` is what was used.
    fn end_shared(&self, now: i64) -> Vec<Need> {
        let slots = self.slots.iter().filter_map(|(at, slot)| {
            let (key, quota, number) = (slot.id(), slot.quota()?, u32::try_from(at + 1).ok()?);
            let Spent { period, used } = slot.end(quota)?;
            let (period, used) = quota.counted(period, used, now);
            let (reserved, ahead) = (slot.reserved_by(quota, period, now).unwrap_or(0), slot.ahead(period));
            let has_some = reserved > used || ahead.is_some();
            let here = Spent { period, used };
            has_some.then_some(Need {
                key,
                quota,
                here,
                reserved,
                ahead,
                is_ahead_new: false,
                earlier: None,
                words: slot.reserved_words(),
                number,
            })
        });
        slots.collect()
    }
}
