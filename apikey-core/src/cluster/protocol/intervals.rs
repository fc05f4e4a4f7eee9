//! How often a node calls the ledger when nothing happens, and while a change waits for the other nodes. The simulation of
//! many nodes takes the same.

use std::time::Duration;

/// The longest interval of what a node does to stay fresh.
const LONGEST: Duration = Duration::from_secs(5);
/// How often the janitor works.
pub(crate) const JANITOR: Duration = Duration::from_secs(1);
/// The shortest and the longest pause between two questions of a barrier.
const PAUSES: (Duration, Duration) = (Duration::from_micros(500), Duration::from_millis(100));
/// A pause is this part of the wait so far: a barrier learns of its end late by no more than that.
const PART: u32 = 8;

/// A node of so many lists them no more often than so long for each, so that all lists together have rows as there are nodes,
/// and not as their square.
const LIST_EACH: Duration = Duration::from_millis(20);

/// From one look to the next, and the longest wait for an entry of the log without a read.
pub(crate) fn looks(bound: Duration) -> Duration {
    (bound / 10).min(LONGEST)
}

/// How often a node does what can wait.
pub(crate) fn keeping(bound: Duration) -> Duration {
    (bound / 10).clamp(JANITOR, LONGEST)
}

/// Each time or each second, third, .. time it lists the nodes, of which there are so many. The janitor does so each time.
pub(crate) fn lists_each(bound: Duration, nodes: usize) -> u32 {
    let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
    let span = LIST_EACH.saturating_mul(nodes).as_nanos();
    u32::try_from(span.div_ceil(keeping(bound).as_nanos())).unwrap_or(u32::MAX).max(1)
}

/// The pause of a barrier that has waited for so long.
pub(crate) fn pause(waited: Duration) -> Duration {
    (waited / PART).clamp(PAUSES.0, PAUSES.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_nodes_list_each_other_less_often() {
        let each = |seconds, nodes| lists_each(Duration::from_secs(seconds), nodes);
        assert_eq!([1, 3, 100, 150, 151, 1000].map(|nodes| each(30, nodes)), [1, 1, 1, 1, 2, 7]);
        assert_eq!([0, 50, 51, 1000].map(|nodes| each(5, nodes)), [1, 1, 2, 20]);
    }

    #[test]
    fn pauses_grow_with_the_wait_between_two_bounds() {
        let pauses = [0, 4, 80, 800, 60_000].map(|waited| pause(Duration::from_millis(waited)).as_micros());
        assert_eq!(pauses, [500, 500, 10_000, 100_000, 100_000]);
    }
}
