//! What a key may do after the changes that were made to it, as far as anybody knows.

use std::collections::BTreeSet;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct State {
    pub(super) exists: bool,
    pub(super) revoked: bool,
    pub(super) disabled: bool,
    pub(super) write: bool,
    /// Which of its tokens is good.
    pub(super) token: usize,
}

/// A token, by its number, and whether the claim needs to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) token: usize,
    pub(super) write: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    Create,
    Revoke,
    Disable(bool),
    Permit(bool),
    /// The token of this number is the only good one.
    Rotate(usize),
}

impl State {
    pub(super) fn after(self, effect: Effect) -> Self {
        match effect {
            Effect::Create => Self { exists: true, write: true, ..self },
            Effect::Revoke => Self { revoked: true, ..self },
            Effect::Disable(disabled) => Self { disabled, ..self },
            Effect::Permit(write) => Self { write, ..self },
            Effect::Rotate(token) => Self { token, ..self },
        }
    }

    pub(super) fn permits(self, claim: Claim) -> bool {
        self.exists && !self.revoked && !self.disabled && (self.write || !claim.write) && self.token == claim.token
    }
}

impl Effect {
    /// Whether it takes something away, so that it returns once it holds everywhere.
    pub(super) fn takes(self) -> bool {
        matches!(self, Self::Revoke | Self::Disable(true) | Self::Permit(false) | Self::Rotate(_))
    }

    /// The kind of the event that it makes.
    pub(super) fn event(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Revoke => "revoked",
            Self::Disable(true) => "disabled",
            Self::Disable(false) => "enabled",
            Self::Permit(_) => "updated",
            Self::Rotate(_) => "rotated",
        }
    }
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Acknowledged.
    Yes {
        /// Whether it holds everywhere since.
        everywhere: bool,
    },
    /// An error, or no answer: it is in the log, or comes into it later, or never does.
    Perhaps,
}

/// A change of a key. Those of one key follow each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    pub(super) effect: Effect,
    pub(super) node: usize,
    pub(super) begin: u64,
    /// `None` while it is under way, and where there was no answer.
    pub(super) end: Option<u64>,
    pub(super) verdict: Verdict,
}

/// The history of a key.
#[derive(Debug, Clone)]
pub(super) struct History {
    /// What it could be before the first of the changes.
    pub(super) before: BTreeSet<State>,
    pub(super) changes: Vec<Change>,
}

impl Default for History {
    fn default() -> Self {
        Self { before: [State::default()].into(), changes: Vec::new() }
    }
}

/// What a key can be, and the changes without an answer that may still come into the log. Each is an entry for the end that
/// the log had, so none of them comes once another change has made an entry; one that changes nothing makes none.
type Possible = (State, Vec<Effect>);

/// The same, and what it is once one of those has come.
fn now_or_later((state, late): &Possible) -> impl Iterator<Item = Possible> {
    let come = late.iter().map(|effect| (state.after(*effect), Vec::new()));
    std::iter::once((*state, late.clone())).chain(come)
}

impl History {
    /// What the key can be before the first change, and after each.
    pub(super) fn states(&self) -> Vec<BTreeSet<State>> {
        let mut possible: BTreeSet<Possible> = self.before.iter().map(|state| (*state, Vec::new())).collect();
        let mut states = vec![self.before.clone()];
        for change in &self.changes {
            let mut after = BTreeSet::new();
            for (state, mut late) in possible.iter().flat_map(now_or_later) {
                let changed = state.after(change.effect);
                if changed == state {
                    after.insert((state, late));
                    continue;
                }
                after.insert((changed, Vec::new()));
                if change.verdict == Verdict::Perhaps {
                    late.push(change.effect);
                    after.insert((state, late));
                }
            }
            states.push(after.iter().flat_map(now_or_later).map(|(state, _)| state).collect());
            possible = after;
        }
        states
    }

    /// Whether a verification between these times may be accepted, and whether it may be refused. `states` are those of
    /// this history.
    pub(super) fn allowed(&self, states: &[BTreeSet<State>], claim: Claim, (begin, end): (u64, u64)) -> (bool, bool) {
        let holds = |change: &Change| {
            change.verdict == Verdict::Yes { everywhere: true } && change.end.is_some_and(|ended| ended < begin)
        };
        let from = self.changes.iter().rposition(holds).map_or(0, |at| at + 1);
        let to = self.changes.iter().take_while(|change| change.begin < end).count();
        let mut allowed = (false, false);
        for state in states[from..=to.max(from)].iter().flatten() {
            match state.permits(claim) {
                true => allowed.0 = true,
                false => allowed.1 = true,
            }
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIM: Claim = Claim { token: 0, write: true };

    fn history(changes: &[(Effect, u64, Option<u64>, Verdict)]) -> History {
        let mut history = History::default();
        for (effect, begin, end, verdict) in changes {
            history.changes.push(Change { effect: *effect, node: 0, begin: *begin, end: *end, verdict: *verdict });
        }
        history
    }

    #[track_caller]
    fn check(history: &History, at: (u64, u64), expected: (bool, bool)) {
        assert_eq!(history.allowed(&history.states(), CLAIM, at), expected);
    }

    const YES: Verdict = Verdict::Yes { everywhere: true };

    #[test]
    fn either_answer_is_right_while_a_change_is_under_way_and_one_after_it() {
        let history = history(&[(Effect::Create, 10, Some(20), YES), (Effect::Revoke, 30, Some(40), YES)]);
        check(&history, (1, 2), (false, true));
        check(&history, (11, 12), (true, true));
        check(&history, (21, 22), (true, false));
        check(&history, (21, 31), (true, true));
        check(&history, (40, 41), (true, true));
        check(&history, (41, 42), (false, true));
    }

    #[test]
    fn what_may_have_been_done_allows_both_until_something_settles_it() {
        let mut history =
            history(&[(Effect::Create, 10, Some(20), YES), (Effect::Disable(true), 30, None, Verdict::Perhaps)]);
        check(&history, (25, 26), (true, false));
        check(&history, (1000, 1001), (true, true));
        let change = |effect, begin| Change { effect, node: 1, begin, end: Some(begin + 10), verdict: YES };
        history.changes.push(change(Effect::Permit(false), 2000));
        check(&history, (2011, 2012), (false, true));
        history.changes.push(change(Effect::Disable(false), 3000));
        history.changes.push(change(Effect::Permit(true), 4000));
        check(&history, (4011, 4012), (true, false));
    }

    #[test]
    fn what_is_not_everywhere_yet_allows_both() {
        let verdict = Verdict::Yes { everywhere: false };
        let history = history(&[(Effect::Create, 10, Some(20), verdict), (Effect::Rotate(1), 30, Some(40), YES)]);
        check(&history, (21, 22), (true, true));
        check(&history, (41, 42), (false, true));
    }

    /// Another change that was acknowledged, and that made no entry, leaves the end of the log as it was.
    #[test]
    fn what_has_no_answer_may_come_after_a_change_that_changes_nothing() {
        let mut history = history(&[
            (Effect::Create, 10, Some(20), YES),
            (Effect::Disable(true), 30, None, Verdict::Perhaps),
            (Effect::Disable(false), 40, Some(50), YES),
        ]);
        check(&history, (51, 52), (true, true));
        // This makes an entry in any case.
        let change = |effect| Change { effect, node: 1, begin: 60, end: Some(70), verdict: YES };
        history.changes.push(change(Effect::Permit(false)));
        assert_eq!(history.states()[4].len(), 2);
        history.changes.push(change(Effect::Disable(false)));
        assert_eq!(history.states()[5].len(), 1);
    }
}
