//! Whether an answer that changes nothing is true in the whole cluster.

use crate::cluster::ledger::Position;

/// What a call has seen of the log's head since it began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Confirmation {
    /// The number of the head at the first sight.
    seen: Option<u64>,
}

impl Confirmation {
    /// Whether an answer by the records at `at` is true: the replica had everything that was in the log at some time
    /// after the call began.
    pub(crate) fn confirms(&self, at: &Position) -> bool {
        self.seen.is_some_and(|seen| seen <= at.number)
    }

    /// Takes in a head that the log had after the call began.
    pub(crate) fn note(&mut self, head: &Position) {
        self.seen.get_or_insert(head.number);
    }

    /// Takes in a sight of the log's head. The call asked for it after it had begun, and after the replica had applied
    /// `at`. Returns `false` if the log has another history than the replica, or an earlier one: the engine went back in
    /// time.
    pub(crate) fn saw(&mut self, head: &Position, at: &Position) -> bool {
        if head.number < at.number || (head.number == at.number && head != at) {
            return false;
        }
        self.seen.get_or_insert(head.number);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_must_rest_on_what_the_log_had_after_the_call_began() {
        let at = |number, digest| Position { number, digest: [digest; 32] };
        let mut confirmation = Confirmation::default();
        assert!(!confirmation.confirms(&at(9, 1)), "nothing is seen yet");
        assert!(confirmation.saw(&at(7, 1), &at(5, 1)));
        assert!(!confirmation.confirms(&at(5, 1)));
        assert!(confirmation.saw(&at(9, 1), &at(6, 1)), "a later sight asks for no more");
        for (number, expected) in [(6, false), (7, true), (8, true)] {
            assert_eq!(confirmation.confirms(&at(number, 1)), expected, "{number}");
        }
        assert!(!confirmation.saw(&at(4, 1), &at(5, 1)), "the log ends before the replica");
        assert!(!confirmation.saw(&at(5, 2), &at(5, 1)), "it has another event of the number");
    }
}
