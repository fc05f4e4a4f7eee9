//! A ledger behind a network that loses, holds up and repeats, and an engine that refuses, is full, and goes back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::base::lock::lock;
use crate::base::runtime::Simulated;
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::ledger::{
    Appended, Cell, CellKind, CellName, Entry, Fence, Image, Ledger, LedgerResult, Logged, Look, Piece, Position,
    Reserved, Sight, Space, Standing, Step, Swap, Tally, Woken,
};
use crate::cluster::simulation::random::Random;
use crate::cluster::simulation::stores::history::calls_of;
use crate::cluster::simulation::stores::model::Model;
use crate::cluster::simulation::stores::scheduler::Seat;

/// The handle of a process.
pub(super) struct SimulatedLedger {
    pub(super) model: Arc<Model>,
    pub(super) seat: Seat,
    pub(super) closed: AtomicBool,
}

/// What becomes of a call.
struct Fate {
    refused: bool,
    there: Option<Duration>,
    back: Option<Duration>,
}

impl SimulatedLedger {
    fn machine(&self) -> usize {
        self.seat.process.machine
    }

    fn fate(&self) -> Fate {
        let (machine, faults) = (self.machine(), self.model.faults());
        self.model.scheduler.random(|random| {
            let way = |random: &mut Random| {
                let lost = random.chance(faults.loss);
                let span = if random.chance(faults.held_up) {
                    let longest = if random.chance(0.7) { 1.0 } else { 20.0 };
                    random.between(0.0, longest)
                } else {
                    random.between(0.3, 1.0) * faults.way[machine]
                };
                (!lost).then(|| Duration::from_secs_f64(span))
            };
            let (there, back) = (way(random), way(random));
            Fate { refused: random.chance(faults.refusals), there, back }
        })
    }

    /// Sends a call to the engine, and waits for its answer until `by`.
    fn call<A: Send + 'static>(
        &self,
        by: Instant,
        act: impl FnOnce(&Model) -> LedgerResult<A> + Send + 'static,
    ) -> LedgerResult<A> {
        let (model, machine) = (&self.model, self.machine());
        if model.scheduler.is_killed(self.seat.process) {
            self.seat.sleep(Duration::from_millis(1));
            return Err(LedgerError::refused("the process was killed"));
        }
        let fate = self.fate();
        if fate.refused || (model.is_isolated(machine) && model.scheduler.random(|random| random.chance(0.5))) {
            self.seat.sleep(fate.there.unwrap_or(Duration::from_millis(1)).min(Duration::from_secs(1)));
            model.count("calls: refused");
            return Err(LedgerError::refused("the engine cannot be reached"));
        }
        let answer: Arc<Mutex<Option<LedgerResult<A>>>> = Arc::default();
        if let Some(there) = fate.there {
            let (model, answer, task) = (model.clone(), answer.clone(), model.scheduler.running());
            model.scheduler.clone().after(there, move || {
                if model.is_isolated(machine) {
                    return;
                }
                let done = act(&model);
                let Some(back) = fate.back else { return };
                let scheduler = model.scheduler.clone();
                scheduler.clone().after(back, move || {
                    if !model.is_isolated(machine) {
                        *lock(&answer) = Some(done);
                        task.into_iter().for_each(|task| scheduler.nudge(task));
                    }
                });
            });
        }
        self.seat.wait(Some(by), &|| lock(&answer).is_some());
        let answer = lock(&answer).take();
        if answer.is_none() {
            model.count("calls: without an answer");
        }
        answer.unwrap_or_else(|| Err(LedgerError::unknown("no answer in time")))
    }

    /// A call that makes the engine hold more.
    fn grow<A: Send + 'static>(
        &self,
        by: Instant,
        act: impl FnOnce(&Model) -> LedgerResult<A> + Send + 'static,
    ) -> LedgerResult<A> {
        self.call(by, move |model| {
            if model.is_full() {
                model.count("calls: engine full");
                return Err(LedgerError::refused("the engine is full"));
            }
            act(model)
        })
    }
}

/// An entry, for the network.
struct OwnedEntry {
    generation: u64,
    op: [u8; 16],
    base: Position,
    last: Position,
    bytes: Vec<u8>,
}

impl OwnedEntry {
    fn of(entry: &Entry<'_>) -> Self {
        let Entry { generation, op, base, last, bytes } = *entry;
        Self { generation, op, base, last, bytes: bytes.to_vec() }
    }

    fn borrowed(&self) -> Entry<'_> {
        let Self { generation, op, base, last, bytes } = self;
        Entry { generation: *generation, op: *op, base: *base, last: *last, bytes }
    }
}

/// A swap, for the network.
struct OwnedSwap {
    name: Vec<u8>,
    old: Option<Vec<u8>>,
    new: Option<Vec<u8>>,
}

impl OwnedSwap {
    fn of(Swap { name, old, new }: &Swap<'_>) -> Self {
        Self { name: name.to_vec(), old: old.map(<[u8]>::to_vec), new: new.map(<[u8]>::to_vec) }
    }

    fn borrowed(&self) -> Swap<'_> {
        Swap { name: &self.name, old: self.old.as_deref(), new: self.new.as_deref() }
    }
}

impl Model {
    fn seen(&self, mut sight: Sight) -> Sight {
        let used = if self.is_full() { 100_000 } else { 10_000 };
        sight.space = Some(Space { used, quota: 100_000 });
        sight
    }

    fn append(&self, entry: &OwnedEntry, fence: Option<&Fence>, by: Instant) -> LedgerResult<Appended> {
        let before = self.engine.sight(entry.generation, by)?.head;
        let appended = self.engine.append(&entry.borrowed(), fence, by)?;
        if matches!(appended, Appended::Lost { .. }) {
            self.sends(None, &calls_of(&entry.bytes), entry.base);
        }
        if before != self.engine.sight(entry.generation, by)?.head {
            self.check_hold(&calls_of(&entry.bytes));
            self.appended(entry.base, entry.last, entry.op, &entry.bytes);
        }
        Ok(appended)
    }
}

impl Ledger for SimulatedLedger {
    fn name(&self) -> String {
        "simulated".into()
    }

    fn sight(&self, generation: u64, by: Instant) -> LedgerResult<Sight> {
        self.call(by, move |model| Ok(model.seen(model.engine.sight(generation, by)?)))
    }

    fn look(&self, generation: u64, standing: &Standing<'_>, by: Instant) -> LedgerResult<Look> {
        let (cell, held, next) = (standing.cell.clone(), standing.held.to_vec(), standing.next.to_vec());
        self.call(by, move |model| {
            if model.is_full() {
                let cells = model.engine.cells(generation, &[CellKind::Presence], by)?;
                let stands = cells.iter().any(|found| found.cell == cell && found.value == held);
                let sight = model.seen(model.engine.sight(generation, by)?);
                return Ok(if stands { Look::NotRenewed(Box::new(sight)) } else { Look::NotListed });
            }
            let standing = Standing { cell: &cell, held: &held, next: &next };
            Ok(match model.engine.look(generation, &standing, by)? {
                Look::Standing(sight) => Look::Standing(Box::new(model.seen(*sight))),
                other => {
                    model.count("looks: not listed");
                    other
                }
            })
        })
    }

    fn begin(&self, generation: u64, head: &Position, by: Instant) -> LedgerResult<bool> {
        let head = *head;
        self.call(by, move |model| model.engine.begin(generation, &head, by))
    }

    fn append(&self, entry: &Entry<'_>, fence: Option<&Fence>, by: Instant) -> LedgerResult<Appended> {
        let (entry, fence) = (OwnedEntry::of(entry), fence.cloned());
        self.model.sends(Some(self.seat.process), &calls_of(&entry.bytes), entry.base);
        self.grow(by, move |model| model.append(&entry, fence.as_ref(), by))
    }

    fn read(&self, generation: u64, after: u64, max_bytes: usize, by: Instant) -> LedgerResult<Vec<Logged>> {
        self.call(by, move |model| model.engine.read(generation, after, max_bytes, by))
    }

    fn load(
        &self,
        generation: u64,
        by: Instant,
        take: &mut dyn FnMut(Piece<'_>) -> LedgerResult<()>,
    ) -> LedgerResult<()> {
        type Loaded = (Position, Vec<u8>, Vec<(u8, Vec<u8>, Vec<u8>)>);
        // A caller gives a load of millions of keys minutes. A client notices long before that its connection is gone.
        let by = by.min(self.seat.now() + Duration::from_secs(5));
        let (at, head, images): Loaded = self.call(by, move |model| {
            let mut loaded = Loaded::default();
            model.engine.load(generation, by, &mut |piece| {
                match piece {
                    Piece::At(at, head) => (loaded.0, loaded.1) = (at, head.to_vec()),
                    Piece::Image(image) => {
                        loaded.2.push((image.kind, image.name.to_vec(), image.value.unwrap_or_default().to_vec()));
                    }
                }
                Ok(())
            })?;
            model.count("loads of the state");
            Ok(loaded)
        })?;
        take(Piece::At(at, &head))?;
        for (kind, name, value) in &images {
            take(Piece::Image(Image { kind: *kind, name, value: Some(value) }))?;
        }
        Ok(())
    }

    fn advance(&self, step: &Step<'_>, fence: Option<&Fence>, by: Instant) -> LedgerResult<bool> {
        let Step { generation, from, to, head, images } = *step;
        let (head, fence) = (head.to_vec(), fence.cloned());
        let owned = |image: &Image<'_>| (image.kind, image.name.to_vec(), image.value.map(<[u8]>::to_vec));
        let images: Vec<_> = images.iter().map(owned).collect();
        self.grow(by, move |model| {
            let image = |(kind, name, value): &'_ (u8, Vec<u8>, Option<Vec<u8>>)| (*kind, name.clone(), value.clone());
            let held: Vec<_> = images.iter().map(image).collect();
            let images: Vec<Image<'_>> =
                held.iter().map(|(kind, name, value)| Image { kind: *kind, name, value: value.as_deref() }).collect();
            let moved = model.engine.advance(
                &Step { generation, from, to, head: &head, images: &images },
                fence.as_ref(),
                by,
            )?;
            if moved {
                model.count("steps of the state");
            }
            Ok(moved)
        })
    }

    fn trim(&self, generation: u64, through: u64, by: Instant) -> LedgerResult<()> {
        self.call(by, move |model| model.engine.trim(generation, through, by))
    }

    fn wait(&self, generation: u64, after: u64, by: Instant) -> LedgerResult<Woken> {
        let (model, machine) = (&self.model, self.machine());
        let faults = model.faults();
        let seen = model.wakes(machine);
        if model.scheduler.random(|random| random.chance(faults.false_wakes)) {
            self.seat.sleep(Duration::from_millis(20));
            return Ok(Woken::Moved);
        }
        let is_behind = model.engine.sight(generation, by)?.head.is_some_and(|head| head.number > after);
        if is_behind && faults.lost_wakes < 1.0 && !model.is_isolated(machine) {
            self.seat.sleep(Duration::from_millis(1));
            return Ok(Woken::Moved);
        }
        self.seat.wait(Some(by), &|| self.closed.load(Ordering::SeqCst) || model.wakes(machine) != seen);
        match self.closed.load(Ordering::SeqCst) {
            true => Ok(Woken::Closed),
            false if model.wakes(machine) != seen => Ok(Woken::Moved),
            false => Ok(Woken::TimedOut),
        }
    }

    fn cells(&self, generation: u64, kinds: &[CellKind], by: Instant) -> LedgerResult<Vec<Cell>> {
        let kinds = kinds.to_vec();
        self.call(by, move |model| model.engine.cells(generation, &kinds, by))
    }

    fn glance(&self, generation: u64, kinds: &[CellKind], by: Instant) -> LedgerResult<Vec<Cell>> {
        let kinds = kinds.to_vec();
        self.call(by, move |model| match model.former() {
            Some(former) => former.cells(generation, &kinds, by),
            None => model.engine.cells(generation, &kinds, by),
        })
    }

    fn swap(&self, cell: &CellName, old: Option<&[u8]>, new: Option<&[u8]>, by: Instant) -> LedgerResult<bool> {
        let (cell, old, new) = (cell.clone(), old.map(<[u8]>::to_vec), new.map(<[u8]>::to_vec));
        self.call(by, move |model| model.engine.swap(&cell, old.as_deref(), new.as_deref(), by))
    }

    fn note(&self, cell: &CellName, value: &[u8], by: Instant) -> LedgerResult<()> {
        let (cell, value) = (cell.clone(), value.to_vec());
        self.call(by, move |model| model.engine.note(&cell, &value, by))
    }

    fn tally(&self, generation: u64, tallies: &[Tally], by: Instant) -> LedgerResult<()> {
        let tallies = tallies.to_vec();
        self.grow(by, move |model| {
            model.note_counts(&tallies);
            model.engine.tally(generation, &tallies, by)
        })
    }

    fn tallies(&self, generation: u64, begins: &[&[u8]], by: Instant) -> LedgerResult<Vec<Tally>> {
        let begins: Vec<Vec<u8>> = begins.iter().map(|begin| begin.to_vec()).collect();
        self.call(by, move |model| {
            let begins: Vec<&[u8]> = begins.iter().map(Vec::as_slice).collect();
            model.engine.tallies(generation, &begins, by)
        })
    }

    fn forget_tallies(&self, generation: u64, from: &[u8], to: &[u8], by: Instant) -> LedgerResult<()> {
        let (from, to) = (from.to_vec(), to.to_vec());
        self.call(by, move |model| model.engine.forget_tallies(generation, &from, &to, by))
    }

    fn reserve(&self, generation: u64, swaps: &[Swap<'_>], by: Instant) -> LedgerResult<Vec<Reserved>> {
        let swaps: Vec<_> = swaps.iter().map(OwnedSwap::of).collect();
        self.grow(by, move |model| {
            model.engine.reserve(generation, &swaps.iter().map(OwnedSwap::borrowed).collect::<Vec<_>>(), by)
        })
    }

    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}
