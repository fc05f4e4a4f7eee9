use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What the connections of a node know of its hosts: which one to ask first, and the latest timeline.
///
/// A former primary that runs on takes connections, and says that it can be written to; but nothing there is ever done. So a
/// node goes from host to host until one answers, and from then on passes over those of an earlier timeline.
pub(crate) struct Hosts {
    count: usize,
    first: AtomicUsize,
    timeline: AtomicU64,
}

impl Hosts {
    pub(crate) fn new(count: usize) -> Self {
        Self { count, first: AtomicUsize::new(0), timeline: AtomicU64::new(0) }
    }

    /// The hosts in the order in which to ask them.
    pub(super) fn in_order(&self) -> impl Iterator<Item = usize> + use<> {
        let (count, first) = (self.count, self.first.load(Ordering::Relaxed));
        (0..count).map(move |after| (first + after) % count)
    }

    /// A host has no answer: the next one comes before it.
    pub(super) fn pass_over(&self, host: usize) {
        // Those between the first and this one have refused already.
        self.first.store((host + 1) % self.count, Ordering::Relaxed);
    }

    /// A host has done something that no failover undoes.
    pub(super) fn answered(&self, host: usize, timeline: u64) {
        if self.timeline.fetch_max(timeline, Ordering::Relaxed) <= timeline {
            self.first.store(host, Ordering::Relaxed);
        }
    }

    /// Whether no host has done anything yet, so that the first may be a former primary.
    pub(super) fn are_unknown(&self) -> bool {
        self.count > 1 && self.timeline() == 0
    }

    /// The latest timeline on which anything was done.
    pub(super) fn timeline(&self) -> u64 {
        self.timeline.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_that_answered_comes_first_unless_it_is_a_former_primary() {
        let hosts = Hosts::new(3);
        let order = || hosts.in_order().collect::<Vec<_>>();
        assert_eq!(order(), [0, 1, 2]);
        assert!(hosts.are_unknown());
        hosts.pass_over(0);
        hosts.pass_over(0);
        assert_eq!(order(), [1, 2, 0]);
        // The host before it was a standby.
        hosts.pass_over(2);
        assert_eq!(order(), [0, 1, 2]);
        hosts.pass_over(1);
        assert_eq!(order(), [2, 0, 1]);
        hosts.answered(2, 7);
        assert_eq!((order(), hosts.timeline()), (vec![2, 0, 1], 7));
        hosts.answered(1, 6);
        assert!(!hosts.are_unknown());
        assert_eq!((order(), hosts.timeline()), (vec![2, 0, 1], 7));
        hosts.pass_over(2);
        assert_eq!(order(), [0, 1, 2]);
        let one = Hosts::new(1);
        one.pass_over(0);
        assert!(!one.are_unknown());
        assert_eq!(one.in_order().collect::<Vec<_>>(), [0]);
    }
}
