//! A ledger that a test takes away.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use crate::base::lock::lock;
use crate::cluster::format::entry::LOG_END;
use crate::cluster::{
    Appended, Cell, CellKind, CellName, Entry, Fence, Ledger, LedgerError, LedgerResult, Logged, Look, MemoryLedger,
    Piece, Position, Reserved, Sight, Space, Standing, Step, Swap, Tally, Woken,
};

/// A ledger in memory that refuses every call, or answers none, while a test wants it.
#[derive(Clone)]
pub(super) struct Faulty {
    inner: Arc<MemoryLedger>,
    refuses: Arc<AtomicBool>,
    /// Appends and tallies are done, and their answers are lost.
    loses_answers: Arc<AtomicBool>,
    /// What a load of the state does at each image.
    at_image: Arc<Mutex<Option<AtImage>>>,
    /// It takes no writes, as an engine that is full.
    is_full: Arc<AtomicBool>,
    /// It does not take the end of a log.
    refuses_ends: Arc<AtomicBool>,
    /// How often it loses the moment of a load, on the way.
    loses_moments: Arc<AtomicU32>,
    barrier: Arc<Barrier>,
    /// How many milliseconds a look at the whole takes.
    slow: Arc<AtomicU32>,
    /// What happens before swaps of reservations.
    at_reserve: Arc<Mutex<Option<AtReserve>>>,
    /// How full it says it is.
    space: Arc<Mutex<Option<Space>>>,
}

type AtReserve = Box<dyn FnMut(&[Swap<'_>]) + Send>;

/// Where appends wait while a test wants it.
#[derive(Default)]
struct Barrier {
    state: Mutex<Barred>,
    changed: Condvar,
}

#[derive(Default)]
struct Barred {
    holds: bool,
    /// How many appends have come to it.
    came: usize,
    /// How many of those may go on while it holds.
    passes: usize,
}

type AtImage = Box<dyn FnMut() -> LedgerResult<()> + Send>;

impl Faulty {
    pub(super) fn new(ledger: &MemoryLedger) -> Self {
        Self {
            inner: Arc::new(ledger.another()),
            refuses: Arc::default(),
            loses_answers: Arc::default(),
            at_image: Arc::default(),
            is_full: Arc::default(),
            refuses_ends: Arc::default(),
            loses_moments: Arc::default(),
            barrier: Arc::default(),
            slow: Arc::default(),
            at_reserve: Arc::default(),
            space: Arc::default(),
        }
    }

    /// Makes appends wait, or lets them go on.
    pub(super) fn hold_appends(&self, holds: bool) {
        *lock(&self.barrier.state) = Barred { holds, ..Barred::default() };
        self.barrier.changed.notify_all();
    }

    /// Lets one more append go on.
    pub(super) fn pass_one(&self) {
        lock(&self.barrier.state).passes += 1;
        self.barrier.changed.notify_all();
    }

    /// How many appends have come since they wait.
    pub(super) fn came(&self) -> usize {
        lock(&self.barrier.state).came
    }

    fn wait_at_barrier(&self) {
        let mut state = lock(&self.barrier.state);
        state.came += 1;
        let own = state.came;
        while state.holds && state.passes < own {
            state = self.barrier.changed.wait(state).unwrap();
        }
    }

    pub(super) fn slow(&self, ms: u32) {
        self.slow.store(ms, Ordering::SeqCst);
    }

    pub(super) fn at_reserve(&self, work: impl FnMut(&[Swap<'_>]) + Send + 'static) {
        *lock(&self.at_reserve) = Some(Box::new(work));
    }

    pub(super) fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
    }

    pub(super) fn lose_answers(&self, loses: bool) {
        self.loses_answers.store(loses, Ordering::SeqCst);
    }

    pub(super) fn at_image(&self, work: impl FnMut() -> LedgerResult<()> + Send + 'static) {
        *lock(&self.at_image) = Some(Box::new(work));
    }

    pub(super) fn fill(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::SeqCst);
    }

    pub(super) fn refuse_ends(&self, refuses: bool) {
        self.refuses_ends.store(refuses, Ordering::SeqCst);
    }

    pub(super) fn lose_moments(&self, times: u32) {
        self.loses_moments.store(times, Ordering::SeqCst);
    }

    pub(super) fn say_space(&self, used: u64, quota: u64) {
        *lock(&self.space) = Some(Space { used, quota });
    }

    /// What is seen, with the space that it says.
    fn seen(&self, mut sight: Sight) -> Sight {
        sight.space = *lock(&self.space);
        sight
    }

    /// For a call that writes.
    fn with_space(&self) -> LedgerResult<&MemoryLedger> {
        match self.is_full.load(Ordering::SeqCst) {
            true => Err(LedgerError::refused("the engine is full")),
            false => self.up(),
        }
    }

    fn up(&self) -> LedgerResult<&MemoryLedger> {
        match self.refuses.load(Ordering::SeqCst) {
            true => Err(LedgerError::refused("a test took the engine away")),
            false => Ok(&self.inner),
        }
    }
}

impl Ledger for Faulty {
    fn name(&self) -> String {
        "faulty".into()
    }

    fn sight(&self, generation: u64, by: Instant) -> LedgerResult<Sight> {
        std::thread::sleep(std::time::Duration::from_millis(self.slow.load(Ordering::SeqCst).into()));
        Ok(self.seen(self.up()?.sight(generation, by)?))
    }

    fn look(&self, generation: u64, standing: &Standing<'_>, by: Instant) -> LedgerResult<Look> {
        if !self.is_full.load(Ordering::SeqCst) {
            return Ok(match self.up()?.look(generation, standing, by)? {
                Look::Standing(sight) => Look::Standing(Box::new(self.seen(*sight))),
                other => other,
            });
        }
        // Under the value that it has, the presence stays as it is.
        Ok(match self.up()?.look(generation, &Standing { next: standing.held, ..*standing }, by)? {
            Look::Standing(sight) => Look::NotRenewed(sight),
            other => other,
        })
    }

    fn begin(&self, generation: u64, head: &Position, by: Instant) -> LedgerResult<bool> {
        self.up()?.begin(generation, head, by)
    }

    fn append(&self, entry: &Entry<'_>, fence: Option<&Fence>, by: Instant) -> LedgerResult<Appended> {
        self.wait_at_barrier();
        if entry.bytes == LOG_END && self.refuses_ends.load(Ordering::SeqCst) {
            return Err(LedgerError::refused("a test keeps the log open"));
        }
        let appended = self.with_space().and_then(|engine| engine.append(entry, fence, by));
        match self.loses_answers.load(Ordering::SeqCst) {
            true => Err(LedgerError::unknown("a test lost the answer")),
            false => appended,
        }
    }

    fn read(&self, generation: u64, after: u64, max_bytes: usize, by: Instant) -> LedgerResult<Vec<Logged>> {
        self.up()?.read(generation, after, max_bytes, by)
    }

    fn load(
        &self,
        generation: u64,
        by: Instant,
        take: &mut dyn FnMut(Piece<'_>) -> LedgerResult<()>,
    ) -> LedgerResult<()> {
        let ledger = self.up()?;
        let take = &mut |piece: Piece<'_>| {
            if let (Piece::Image(_), Some(work)) = (piece, &mut *lock(&self.at_image)) {
                work()?;
            }
            take(piece)
        };
        let again = |left: u32| left.checked_sub(1);
        while self.loses_moments.fetch_update(Ordering::SeqCst, Ordering::SeqCst, again).is_ok() {
            let lost = LedgerError::refused("the moment is lost");
            let mut pieces = 0;
            let first = ledger.load(generation, by, &mut |piece| {
                pieces += 1;
                if pieces > 20 { Err(lost.clone()) } else { take(piece) }
            });
            if first != Err(lost) {
                return first;
            }
        }
        ledger.load(generation, by, take)
    }

    fn advance(&self, step: &Step<'_>, fence: Option<&Fence>, by: Instant) -> LedgerResult<bool> {
        self.with_space()?.advance(step, fence, by)
    }

    fn trim(&self, generation: u64, through: u64, by: Instant) -> LedgerResult<()> {
        self.up()?.trim(generation, through, by)
    }

    fn wait(&self, generation: u64, after: u64, by: Instant) -> LedgerResult<Woken> {
        self.inner.wait(generation, after, by)
    }

    fn cells(&self, generation: u64, kinds: &[CellKind], by: Instant) -> LedgerResult<Vec<Cell>> {
        self.up()?.cells(generation, kinds, by)
    }

    fn swap(&self, cell: &CellName, old: Option<&[u8]>, new: Option<&[u8]>, by: Instant) -> LedgerResult<bool> {
        if new.is_some() { self.with_space()? } else { self.up()? }.swap(cell, old, new, by)
    }

    fn note(&self, cell: &CellName, value: &[u8], by: Instant) -> LedgerResult<()> {
        self.with_space()?.note(cell, value, by)
    }

    fn tally(&self, generation: u64, tallies: &[Tally], by: Instant) -> LedgerResult<()> {
        let done = self.with_space().and_then(|engine| engine.tally(generation, tallies, by));
        match self.loses_answers.load(Ordering::SeqCst) {
            true => Err(LedgerError::unknown("a test lost the answer")),
            false => done,
        }
    }

    fn tallies(&self, generation: u64, begins: &[&[u8]], by: Instant) -> LedgerResult<Vec<Tally>> {
        self.up()?.tallies(generation, begins, by)
    }

    fn forget_tallies(&self, generation: u64, from: &[u8], to: &[u8], by: Instant) -> LedgerResult<()> {
        self.up()?.forget_tallies(generation, from, to, by)
    }

    fn reserve(&self, generation: u64, swaps: &[Swap<'_>], by: Instant) -> LedgerResult<Vec<Reserved>> {
        if let Some(work) = &mut *lock(&self.at_reserve) {
            work(swaps);
        }
        self.with_space()?.reserve(generation, swaps, by)
    }

    fn close(&self) {
        self.inner.close();
    }
}
