//! The line of the calls that wait for the next entry of this node.
//!
//! One call at a time has the turn. It adds its changes to the entry, and passes the turn on with the entry to the call
//! behind it; the last one sends the entry for all of them. While an entry is on its way, the next calls gather. So as many
//! calls as wait share an entry, and a call that is alone waits for nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex};
use std::time::Instant;

use crate::base::lock::lock;
use crate::base::runtime::Runtime;
use crate::commit::cluster::propagation::Lane;

/// How many entries may be begun before a call of many keys that waits: others go first, and not for ever.
const MAX_OVERTAKEN: u32 = 8;

/// A line in which the turn is passed on with an entry `E`, and those who ride in an entry get a note `N` about it.
#[derive(Debug)]
pub(crate) struct Line<E, N> {
    state: Mutex<State<E, N>>,
    moved: Condvar,
}

/// In their order: each lane by itself, and in it whoever came first.
type Ticket = (Lane, u64);

#[derive(Debug)]
struct State<E, N> {
    next: u64,
    waiting: BTreeSet<Ticket>,
    holder: Option<Ticket>,
    /// What the holder was given with the turn, and has not taken.
    entry: Option<E>,
    /// Those whose changes are in the entry that the holder has.
    riders: BTreeSet<Ticket>,
    /// What was found out about the entries of those who rode, and they have not read.
    notes: BTreeMap<Ticket, N>,
    /// How many entries were begun before the first call of many keys that waits.
    overtaken: u32,
}

/// The place of a call in the line, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place<'l, E, N> {
    line: &'l Line<E, N>,
    ticket: Ticket,
}

/// Why a wait is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Called<E, N> {
    /// The call has the turn, with the entry of those before it.
    Turn(Option<E>),
    /// What became of the entry that it rode in.
    Note(N),
    /// Its time is over, and it has left the line.
    TimedOut,
}

/// What a call that hands the turn over does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Its changes are in the entry, and it waits for the note.
    Rides,
    /// It waits for the turn again.
    Waits,
    /// It leaves.
    Leaves,
}

impl<E, N> Default for Line<E, N> {
    fn default() -> Self {
        let state = State {
            next: 0,
            waiting: BTreeSet::new(),
            holder: None,
            entry: None,
            riders: BTreeSet::new(),
            notes: BTreeMap::new(),
            overtaken: 0,
        };
        Self { state: Mutex::new(state), moved: Condvar::new() }
    }
}

impl<E, N> Line<E, N> {
    pub(crate) fn enter(&self, lane: Lane) -> Place<'_, E, N> {
        let mut state = lock(&self.state);
        let ticket = (lane, state.next);
        state.next += 1;
        state.waiting.insert(ticket);
        state.call_next();
        Place { line: self, ticket }
    }

    /// How many calls wait for the turn.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.state).waiting.len()
    }
}

impl<E, N: Clone> Line<E, N> {
    /// Waits for the turn without an entry, for work that no change may run beside; `None` if it does not come in time. The
    /// caller has the turn until it drops its place.
    pub(crate) fn take(&self, runtime: &Runtime, by: Instant) -> Option<Place<'_, E, N>> {
        // Nobody passes an entry on to this lane.
        let place = self.enter(Lane::Bulk);
        matches!(place.wait(runtime, by), Called::Turn(None)).then_some(place)
    }
}

impl<E, N: Clone> Place<'_, E, N> {
    /// Waits for the turn, or for the note about the entry in which the call rides.
    pub(crate) fn wait(&self, runtime: &Runtime, by: Instant) -> Called<E, N> {
        let is_idle =
            |state: &State<E, N>| state.holder != Some(self.ticket) && !state.notes.contains_key(&self.ticket);
        let mut state = runtime.wait_while(&self.line.state, &self.line.moved, by, is_idle);
        match state.notes.remove(&self.ticket) {
            Some(note) => Called::Note(note),
            None if state.holder == Some(self.ticket) => Called::Turn(state.entry.take()),
            None => {
                // Nobody may pass an entry on to a call that does not take it.
                state.waiting.remove(&self.ticket);
                Called::TimedOut
            }
        }
    }

    /// Passes the turn on with the entry, to a call that may add to it. Returns the entry if there is none.
    pub(crate) fn pass_on(&self, entry: E, next: Next) -> Option<E> {
        let mut state = lock(&self.line.state);
        let Some(behind) = state.waiting.first().copied().filter(|(lane, _)| *lane == Lane::Shared) else {
            return Some(entry);
        };
        state.waiting.remove(&behind);
        state.holder = Some(behind);
        state.entry = Some(entry);
        self.go_on(&mut state, next);
        self.line.moved.notify_all();
        None
    }

    /// Hands the turn over after the end of the entry. Those who rode in it read the note.
    pub(crate) fn end(&self, note: &N, next: Next) {
        let mut state = lock(&self.line.state);
        self.go_on(&mut state, next);
        for rider in std::mem::take(&mut state.riders) {
            state.notes.insert(rider, note.clone());
        }
        self.hand_over(&mut state);
    }

    /// Hands the turn over after an entry that did not come about: those who rode in it read the note, and wait for the
    /// turn again, each in its old place.
    pub(crate) fn again(&self, note: &N, next: Next) {
        let mut state = lock(&self.line.state);
        self.go_on(&mut state, next);
        for rider in std::mem::take(&mut state.riders) {
            state.notes.insert(rider, note.clone());
            state.waiting.insert(rider);
        }
        self.hand_over(&mut state);
    }

    fn go_on(&self, state: &mut State<E, N>, next: Next) {
        match next {
            Next::Rides => drop(state.riders.insert(self.ticket)),
            Next::Waits => drop(state.waiting.insert(self.ticket)),
            Next::Leaves => {}
        }
    }

    fn hand_over(&self, state: &mut State<E, N>) {
        state.holder = None;
        state.call_next();
        self.line.moved.notify_all();
    }
}

impl<E, N> State<E, N> {
    /// Gives the turn to the next call, if nobody has it.
    fn call_next(&mut self) {
        if self.holder.is_some() {
            return;
        }
        let many = self.waiting.range((Lane::Bulk, 0)..).next().copied();
        let next = match (self.waiting.first().copied(), many) {
            (Some(first), Some(many)) if first != many && self.overtaken < MAX_OVERTAKEN => {
                self.overtaken += 1;
                Some(first)
            }
            (first, many) => {
                self.overtaken = 0;
                many.or(first)
            }
        };
        if let Some(next) = next {
            self.waiting.remove(&next);
            self.holder = Some(next);
        }
    }
}

impl<E, N> Drop for Place<'_, E, N> {
    fn drop(&mut self) {
        let mut state = lock(&self.line.state);
        state.waiting.remove(&self.ticket);
        state.riders.remove(&self.ticket);
        state.notes.remove(&self.ticket);
        if state.holder == Some(self.ticket) {
            // It gave up, and its entry with it: those who rode in that decide again.
            state.entry = None;
            let riders = std::mem::take(&mut state.riders);
            state.waiting.extend(riders);
            state.holder = None;
            state.call_next();
        }
        drop(state);
        self.line.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Numbers = Line<Vec<u32>, &'static str>;

    /// What a call is called for now.
    fn called(place: &Place<'_, Vec<u32>, &'static str>) -> Called<Vec<u32>, &'static str> {
        let state = lock(&place.line.state);
        let is_called = state.holder == Some(place.ticket) || state.notes.contains_key(&place.ticket);
        drop(state);
        if is_called { place.wait(&Runtime::System, Instant::now()) } else { Called::TimedOut }
    }

    #[test]
    fn the_turn_goes_down_the_line_with_the_entry_and_all_read_the_note() {
        let line = Numbers::default();
        let [one, two, three] = [0; 3].map(|_| line.enter(Lane::Shared));
        assert_eq!(called(&one), Called::Turn(None));
        assert_eq!([called(&two), called(&three)], [Called::TimedOut, Called::TimedOut]);
        assert_eq!(one.pass_on(vec![1], Next::Rides), None);
        assert_eq!(called(&two), Called::Turn(Some(vec![1])));
        assert_eq!(two.pass_on(vec![1, 2], Next::Rides), None);
        assert_eq!(called(&three), Called::Turn(Some(vec![1, 2])));
        let late = line.enter(Lane::Bulk);
        assert_eq!(three.pass_on(vec![1, 2, 3], Next::Rides), Some(vec![1, 2, 3]), "one of many keys adds to none");
        three.end(&"here", Next::Rides);
        for place in [one, two, three] {
            assert_eq!(called(&place), Called::Note("here"));
            assert_eq!(called(&place), Called::TimedOut);
        }
        assert_eq!(called(&late), Called::Turn(None));
    }

    #[test]
    fn after_an_entry_that_did_not_come_about_all_have_their_old_places() {
        let line = Numbers::default();
        let [one, two] = [0; 2].map(|_| line.enter(Lane::Shared));
        assert_eq!(called(&one), Called::Turn(None));
        one.pass_on(vec![1], Next::Rides);
        assert_eq!(called(&two), Called::Turn(Some(vec![1])));
        let late = line.enter(Lane::Shared);
        two.again(&"lost", Next::Waits);
        assert_eq!([called(&one), called(&one)], [Called::Note("lost"), Called::Turn(None)]);
        one.end(&"here", Next::Leaves);
        assert_eq!(called(&two), Called::Turn(None));
        two.end(&"here", Next::Leaves);
        assert_eq!(called(&late), Called::Turn(None));
    }

    #[test]
    fn who_leaves_takes_nobody_along() {
        let line = Numbers::default();
        let [one, two, three, four] = [0; 4].map(|_| line.enter(Lane::Shared));
        one.pass_on(vec![1], Next::Rides);
        // Two has the turn and does not know it yet.
        drop(two);
        assert_eq!(called(&one), Called::Turn(None), "its entry is gone, and it has the turn for another");
        one.pass_on(vec![1], Next::Rides);
        drop(one);
        assert_eq!(called(&three), Called::Turn(Some(vec![1])));
        drop(three);
        assert_eq!(called(&four), Called::Turn(None));
        drop(four);
        assert_eq!(called(&line.enter(Lane::Shared)), Called::Turn(None));
        let state = lock(&line.state);
        assert!(state.waiting.is_empty() && state.riders.is_empty() && state.notes.is_empty());
    }

    #[test]
    fn who_is_out_of_time_gets_no_entry() {
        let line = Numbers::default();
        let [one, two] = [0; 2].map(|_| line.enter(Lane::Shared));
        assert_eq!(called(&one), Called::Turn(None));
        assert_eq!(two.wait(&Runtime::System, Instant::now()), Called::TimedOut);
        assert_eq!(one.pass_on(vec![1], Next::Rides), Some(vec![1]), "its changes would be lost with the call");
    }

    #[test]
    fn one_of_many_keys_is_overtaken_and_not_for_ever() {
        let line = Numbers::default();
        let mut holder = line.enter(Lane::Shared);
        let many = line.enter(Lane::Bulk);
        let mut entries = 0;
        while called(&many) == Called::TimedOut {
            let next = line.enter(Lane::Shared);
            assert_eq!(called(&holder), Called::Turn(None));
            holder.end(&"here", Next::Leaves);
            holder = next;
            entries += 1;
        }
        assert_eq!(entries, MAX_OVERTAKEN + 1);
        many.end(&"here", Next::Leaves);
        assert_eq!(called(&holder), Called::Turn(None));
    }
}
