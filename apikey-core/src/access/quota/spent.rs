//! What was used of a quota, as the index has it, and as the disk or the engine of a cluster does.

use crate::access::quota::{Quota, is_later};

/// Bits of a [`Spent`] below the number of the period: as many as the largest quota has.
const USED_BITS: u32 = 40;
/// What was used in the last period in which anything was: the number of the period, and the uses. The period may be one of an
/// earlier quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Spent {
    pub(crate) period: u32,
    pub(crate) used: u64,
}

/// What was used or reserved in the last period in which anything was, and what is reserved in the one after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Row {
    pub(crate) spent: Spent,
    pub(crate) ahead: Option<Spent>,
}

impl Spent {
    pub(crate) fn packed(self) -> u64 {
        u64::from(self.period) << USED_BITS | self.used.min((1 << USED_BITS) - 1)
    }

    pub(crate) fn unpacked(word: u64) -> Self {
        Self { period: u32::try_from(word >> USED_BITS).unwrap_or(u32::MAX), used: word & ((1 << USED_BITS) - 1) }
    }
}

impl Row {
    /// The same with what an earlier process has reserved in this period, or in the next one.
    pub(crate) fn with(self, earlier: Option<Spent>) -> Self {
        let add = |spent: Spent, more: Spent| Spent { used: spent.used.saturating_add(more.used), ..spent };
        match (earlier, self.ahead) {
            (Some(earlier), _) if earlier.period == self.spent.period => {
                Self { spent: add(self.spent, earlier), ..self }
            }
            (Some(earlier), Some(ahead)) if earlier.period == ahead.period => {
                Self { ahead: Some(add(ahead, earlier)), ..self }
            }
            (Some(earlier), None) => Self { ahead: Some(earlier), ..self },
            _ => self,
        }
    }

    /// The same as it counts at a time: what was reserved ahead counts as used from the beginning of its period on.
    pub(crate) fn at(self, quota: Quota, now: i64) -> Self {
        let (period, used) = quota.counted(self.spent.period, self.spent.used, now);
        match self.ahead {
            Some(ahead) if ahead.period == period => {
                Self { spent: Spent { period, used: used.saturating_add(ahead.used) }, ahead: None }
            }
            ahead => {
                Self { spent: Spent { period, used }, ahead: ahead.filter(|ahead| is_later(ahead.period, period)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_900_000_000_000;
    const DAY: i64 = 86_400_000;

    #[test]
    fn what_is_reserved_ahead_counts_in_its_period_alone() {
        let quota = Quota::per_day(100).strict();
        let [today, tomorrow] = [0, DAY].map(|after| quota.period_at(NOW + after));
        let spent = Spent { period: today, used: 70 };
        let ahead = Some(Spent { period: tomorrow, used: 5 });
        let row = Row { spent, ahead };
        assert_eq!(row.at(quota, NOW), row);
        let then = row.at(quota, NOW + DAY);
        assert_eq!(then, Row { spent: Spent { period: tomorrow, used: 5 }, ahead: None });
        assert_eq!(then.at(quota, NOW + DAY), then);
        assert_eq!(then.at(quota, NOW), then, "the clock was set back");
        assert_eq!(row.at(quota, NOW + 2 * DAY).spent.used, 0);
        let monthly = Quota::per_month(100);
        assert_eq!(
            row.at(monthly, NOW),
            Row { spent: Spent { period: monthly.period_at(NOW), used: 70 }, ahead: None }
        );
    }
}
