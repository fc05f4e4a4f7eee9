//! The suite finds a ledger that breaks a promise: each fault with a promise that it breaks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use apikey_core::cluster::{
    Appended, Cell, CellKind, CellName, Entry, Fence, Ledger, LedgerError, LedgerResult, Logged, Look, MemoryLedger,
    Piece, Position, Reserved, Sight, Standing, Step, Swap, Tally, Woken,
};

use super::Nodes;

/// What a ledger does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    BeginsTwice,
    HasEveryGeneration,
    AppendsByNumberAlone,
    AppendsAgain,
    ForgetsOps,
    IgnoresFences,
    CutsEntries,
    ReadsWithoutEnd,
    ReadsBelowTheFloor,
    TrimsBeforeTheState,
    AdvancesFromAnywhere,
    LoadsNoPlace,
    DropsErrors,
    SwapsBlindly,
    MixesKinds,
    NotesNewCellsAlone,
    LooksWithoutAPresence,
    RenewsNothing,
    TimesOutAtOnce,
    StaysOpen,
    TalliesNewNamesAlone,
    TalliesOneByOne,
    ReadsEveryTally,
    ForgetsTheEnd,
    MixesGenerations,
    ReservesAtAnyRate,
    ReservesAllOrNone,
    KeepsWhatIsHeld,
}

impl Fault {
    /// Each, with the name of a promise that it breaks.
    const ALL: [(Self, &str); 28] = [
        (Self::BeginsTwice, "begin_makes_one_log"),
        (Self::HasEveryGeneration, "a_generation_without_a_log_is_foreign"),
        (Self::AppendsByNumberAlone, "append_after_another_digest_is_lost"),
        (Self::AppendsAgain, "append_again_is_here"),
        (Self::ForgetsOps, "append_again_after_others_is_here"),
        (Self::IgnoresFences, "append_needs_its_fence"),
        (Self::CutsEntries, "read_may_begin_inside_an_entry"),
        (Self::ReadsWithoutEnd, "read_keeps_to_its_bytes"),
        (Self::ReadsBelowTheFloor, "read_below_the_floor_is_an_error"),
        (Self::TrimsBeforeTheState, "trim_never_passes_the_state"),
        (Self::AdvancesFromAnywhere, "advance_from_elsewhere_changes_nothing"),
        (Self::LoadsNoPlace, "a_state_begins_at_the_head"),
        (Self::DropsErrors, "load_ends_with_the_error_of_its_caller"),
        (Self::SwapsBlindly, "swap_replaces_what_it_expects"),
        (Self::MixesKinds, "cells_are_of_the_kinds_asked_for"),
        (Self::NotesNewCellsAlone, "note_sets_whatever_it_was"),
        (Self::LooksWithoutAPresence, "look_after_a_mark_is_not_listed"),
        (Self::RenewsNothing, "look_renews_the_presence"),
        (Self::TimesOutAtOnce, "wait_ends_in_time"),
        (Self::StaysOpen, "close_ends_waits"),
        (Self::TalliesNewNamesAlone, "tally_sets_whatever_it_was"),
        (Self::TalliesOneByOne, "tally_refuses_what_is_too_much"),
        (Self::ReadsEveryTally, "tallies_begin_as_asked_for"),
        (Self::ForgetsTheEnd, "forget_tallies_deletes_from_one_name_to_another"),
        (Self::MixesGenerations, "generations_have_sums_of_their_own"),
        (Self::ReservesAtAnyRate, "reserve_creates_replaces_and_deletes"),
        (Self::ReservesAllOrNone, "a_lost_swap_changes_nothing_for_the_others"),
        (Self::KeepsWhatIsHeld, "reserve_answers_what_is_held"),
    ];
}

/// A ledger in memory with a fault.
struct Faulty {
    ledger: MemoryLedger,
    fault: Option<Fault>,
}

impl Faulty {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}

impl Ledger for Faulty {
    fn name(&self) -> String {
        format!("memory with {:?}", self.fault)
    }

    fn sight(&self, generation: u64, by: Instant) -> LedgerResult<Sight> {
        self.ledger.sight(generation, by)
    }

    fn look(&self, generation: u64, standing: &Standing<'_>, by: Instant) -> LedgerResult<Look> {
        let standing = match self.fault {
            Some(Fault::RenewsNothing) => &Standing { next: standing.held, ..*standing },
            _ => standing,
        };
        match self.ledger.look(generation, standing, by)? {
            Look::NotListed if self.has(Fault::LooksWithoutAPresence) => {
                Ok(Look::Standing(Box::new(self.ledger.sight(generation, by)?)))
            }
            look => Ok(look),
        }
    }

    fn begin(&self, generation: u64, head: &Position, by: Instant) -> LedgerResult<bool> {
        Ok(self.ledger.begin(generation, head, by)? || self.has(Fault::BeginsTwice))
    }

    fn append(&self, entry: &Entry<'_>, fence: Option<&Fence>, by: Instant) -> LedgerResult<Appended> {
        if self.has(Fault::HasEveryGeneration) {
            self.ledger.begin(entry.generation, &entry.base, by)?;
        }
        let head = self.ledger.sight(entry.generation, by)?.head;
        let fence = fence.filter(|_| !self.has(Fault::IgnoresFences));
        let mut entry = *entry;
        match (self.fault, head) {
            (Some(Fault::AppendsByNumberAlone), Some(head)) if head.number == entry.base.number => entry.base = head,
            (Some(Fault::AppendsAgain), Some(head)) if head == entry.last => {
                entry.op = super::op();
                (entry.base, entry.last.number) = (head, head.number + 1);
            }
            (Some(Fault::ForgetsOps), Some(head)) if head.number > entry.last.number => {
                return Ok(Appended::Lost { head });
            }
            _ => {}
        }
        self.ledger.append(&entry, fence, by)
    }

    fn read(&self, generation: u64, after: u64, max_bytes: usize, by: Instant) -> LedgerResult<Vec<Logged>> {
        let max_bytes = if self.has(Fault::ReadsWithoutEnd) { usize::MAX } else { max_bytes };
        match self.ledger.read(generation, after, max_bytes, by) {
            Ok(mut entries) if self.has(Fault::CutsEntries) => {
                entries.retain(|entry| entry.first > after);
                Ok(entries)
            }
            Err(LedgerError::BelowFloor { floor }) if self.has(Fault::ReadsBelowTheFloor) => {
                self.ledger.read(generation, floor, max_bytes, by)
            }
            read => read,
        }
    }

    fn load(
        &self,
        generation: u64,
        by: Instant,
        take: &mut dyn FnMut(Piece<'_>) -> LedgerResult<()>,
    ) -> LedgerResult<()> {
        self.ledger.load(generation, by, &mut |piece| match piece {
            Piece::At(..) if self.has(Fault::LoadsNoPlace) => Ok(()),
            piece if self.has(Fault::DropsErrors) => take(piece).or(Ok(())),
            piece => take(piece),
        })
    }

    fn advance(&self, step: &Step<'_>, fence: Option<&Fence>, by: Instant) -> LedgerResult<bool> {
        let mut step = *step;
        if let (Some(Fault::AdvancesFromAnywhere), Some(state)) =
            (self.fault, self.ledger.sight(step.generation, by)?.state)
        {
            step.from = state;
        }
        self.ledger.advance(&step, fence, by)
    }

    fn trim(&self, generation: u64, through: u64, by: Instant) -> LedgerResult<()> {
        if let (Some(Fault::TrimsBeforeTheState), sight) = (self.fault, self.ledger.sight(generation, by)?)
            && let (Some(from), Some(to)) = (sight.state, sight.head)
        {
            self.ledger.advance(&Step { generation, from, to, head: b"", images: &[] }, None, by)?;
        }
        self.ledger.trim(generation, through, by)
    }

    fn wait(&self, generation: u64, after: u64, by: Instant) -> LedgerResult<Woken> {
        if self.has(Fault::TimesOutAtOnce) {
            return Ok(Woken::TimedOut);
        }
        match self.ledger.wait(generation, after, by)? {
            Woken::Closed if self.has(Fault::StaysOpen) => Ok(Woken::TimedOut),
            woken => Ok(woken),
        }
    }

    fn cells(&self, generation: u64, kinds: &[CellKind], by: Instant) -> LedgerResult<Vec<Cell>> {
        let kinds = if self.has(Fault::MixesKinds) { &CellKind::ALL } else { kinds };
        self.ledger.cells(generation, kinds, by)
    }

    fn swap(&self, cell: &CellName, old: Option<&[u8]>, new: Option<&[u8]>, by: Instant) -> LedgerResult<bool> {
        if let (Some(Fault::SwapsBlindly), Some(new)) = (self.fault, new) {
            self.ledger.note(cell, new, by)?;
            return Ok(true);
        }
        self.ledger.swap(cell, old, new, by)
    }

    fn note(&self, cell: &CellName, value: &[u8], by: Instant) -> LedgerResult<()> {
        if self.has(Fault::NotesNewCellsAlone) {
            return self.ledger.swap(cell, None, Some(value), by).map(drop);
        }
        self.ledger.note(cell, value, by)
    }

    fn tally(&self, generation: u64, tallies: &[Tally], by: Instant) -> LedgerResult<()> {
        if self.has(Fault::TalliesOneByOne) {
            return tallies.chunks(1).try_for_each(|tally| self.ledger.tally(generation, tally, by));
        }
        let mut tallies = tallies.to_vec();
        if self.has(Fault::TalliesNewNamesAlone) {
            let held = self.ledger.tallies(generation, &[b""], by)?;
            tallies.retain(|tally| held.iter().all(|held| held.name != tally.name));
        }
        self.ledger.tally(generation, &tallies, by)
    }

    fn tallies(&self, generation: u64, begins: &[&[u8]], by: Instant) -> LedgerResult<Vec<Tally>> {
        self.ledger.tallies(generation, if self.has(Fault::ReadsEveryTally) { &[b""] } else { begins }, by)
    }

    fn forget_tallies(&self, generation: u64, from: &[u8], to: &[u8], by: Instant) -> LedgerResult<()> {
        let to = if self.has(Fault::ForgetsTheEnd) { &[to, b"\0"].concat() } else { to };
        self.ledger.forget_tallies(generation, from, to, by)
    }

    fn reserve(&self, generation: u64, swaps: &[Swap<'_>], by: Instant) -> LedgerResult<Vec<Reserved>> {
        let generation = if self.has(Fault::MixesGenerations) { 1 } else { generation };
        let asked: Vec<_> = swaps.iter().map(|swap| Swap { new: swap.old, ..*swap }).collect();
        let mut answers = match self.fault {
            Some(Fault::ReservesAllOrNone) => self.ledger.reserve(generation, &asked, by)?,
            Some(Fault::ReservesAtAnyRate) => {
                let held = self.ledger.reserve(generation, &asked, by)?;
                let any = swaps.iter().zip(&held).map(|(swap, held)| match held {
                    Reserved::Lost { held } => Swap { old: held.as_deref(), ..*swap },
                    Reserved::Done => *swap,
                });
                return self.ledger.reserve(generation, &any.collect::<Vec<_>>(), by);
            }
            _ => self.ledger.reserve(generation, swaps, by)?,
        };
        if self.has(Fault::ReservesAllOrNone) && answers.iter().all(|answer| *answer == Reserved::Done) {
            answers = self.ledger.reserve(generation, swaps, by)?;
        }
        if self.has(Fault::KeepsWhatIsHeld) {
            for answer in answers.iter_mut().filter(|answer| **answer != Reserved::Done) {
                *answer = Reserved::Lost { held: None };
            }
        }
        Ok(answers)
    }

    fn close(&self) {
        self.ledger.close();
    }
}

fn passes(promise: &str, fault: Option<Fault>) -> bool {
    let (_, check) = super::PROMISES.iter().find(|(name, _)| *name == promise).unwrap();
    let engine = MemoryLedger::new();
    let nodes = || -> Arc<dyn Ledger> { Arc::new(Faulty { ledger: engine.another(), fault }) };
    let nodes: Nodes<'_> = &nodes;
    catch_unwind(AssertUnwindSafe(|| check(nodes))).is_ok()
}

#[test]
fn the_suite_finds_each_fault() {
    for (fault, promise) in Fault::ALL {
        assert!(passes(promise, None), "{promise} without a fault");
        assert!(!passes(promise, Some(fault)), "{promise} with {fault:?}");
    }
}
