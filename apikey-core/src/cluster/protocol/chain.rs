//! The heads that a replica has had: whether something else that was in the log is on its chain.

use std::collections::VecDeque;

use crate::cluster::ledger::Position;
use crate::cluster::protocol::membership::Place;
use crate::cluster::protocol::safeguards::Safeguards;

/// The heads that a replica has had lately.
#[derive(Debug)]
pub(crate) struct Chain {
    /// Those at which everything before was settled, the newest last.
    settled: VecDeque<Position>,
    /// Those after them, whose entries the replica has, and may not show yet.
    appended: VecDeque<Position>,
    safeguards: Safeguards,
}

/// Far more than a node applies between a look and its answer.
const KEPT: usize = 65_536;

impl Chain {
    pub(crate) fn new(head: Position, safeguards: Safeguards) -> Self {
        Self { settled: VecDeque::from([head]), appended: VecDeque::new(), safeguards }
    }

    /// The head of what the replica has applied and settled.
    pub(crate) fn head(&self) -> Position {
        self.settled.back().copied().unwrap_or_default()
    }

    /// The replica has the entry up to here.
    pub(crate) fn append(&mut self, head: Position) {
        self.appended.push_back(head);
        if !self.safeguards.counts_what_is_settled {
            self.settle();
        }
    }

    /// Everything that the replica has is settled.
    pub(crate) fn settle(&mut self) {
        for head in std::mem::take(&mut self.appended) {
            if self.head().number < head.number {
                self.settled.push_back(head);
            }
        }
        while self.settled.len() > KEPT {
            self.settled.pop_front();
        }
    }

    /// Where a head of the log lies. The log's head lies at the end of an entry, and so does each head of the replica.
    pub(crate) fn place(&self, position: &Position) -> Place {
        if position.number > self.head().number {
            return Place::Ahead;
        }
        let at = self.settled.partition_point(|head| head.number < position.number);
        match self.settled.get(at) {
            Some(head) if head == position => Place::Applied,
            Some(_) if !self.safeguards.compares_digests => Place::Applied,
            // One that is older than all of these is as good as another history: the log's head was never that old
            // since this node began.
            _ => Place::Elsewhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u64, digest: u8) -> Position {
        Position { number, digest: [digest; 32] }
    }

    #[test]
    fn a_head_is_applied_ahead_or_elsewhere() {
        let mut chain = Chain::new(at(5, 5), Safeguards::ALL);
        for number in [8, 9] {
            chain.append(at(number, 8));
        }
        assert_eq!((chain.head(), chain.place(&at(8, 8))), (at(5, 5), Place::Ahead), "they are not settled");
        chain.settle();
        chain.append(at(7, 1));
        chain.settle();
        assert_eq!(chain.head(), at(9, 8));
        let places = [(5, 5), (8, 8), (9, 8), (10, 0), (9, 9), (7, 7), (4, 4)]
            .map(|(number, digest)| chain.place(&at(number, digest)));
        use Place::{Ahead, Applied, Elsewhere};
        assert_eq!(places, [Applied, Applied, Applied, Ahead, Elsewhere, Elsewhere, Elsewhere]);
    }
}
