//! A ledger in memory, for tests: nodes of one process share it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::base::lock::lock;
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::ledger::{
    Appended, Cell, CellKind, CellName, Entry, Fence, Identity, Image, Ledger, LedgerResult, Logged, Look, Piece,
    Position, Reserved, Sight, Standing, Step, Swap, Tally, Woken,
};

/// A ledger in memory, for tests. What it holds ends with the last handle.
///
/// A node closes the handle that it has; [`another`](Self::another) is one for the next node.
pub struct MemoryLedger {
    engine: Arc<Engine>,
    /// Whether this handle is closed.
    closed: Mutex<bool>,
}

#[derive(Default)]
struct Engine {
    held: Mutex<Contents>,
    moved: Condvar,
}

#[derive(Default, Clone)]
struct Contents {
    cells: BTreeMap<CellName, Vec<u8>>,
    generations: BTreeMap<u64, Generation>,
    /// By generation and name.
    tallies: BTreeMap<(u64, Vec<u8>), Vec<u8>>,
    reservations: BTreeMap<(u64, Vec<u8>), Vec<u8>>,
}

#[derive(Clone)]
struct Generation {
    head: Position,
    /// By the number of the last event.
    log: BTreeMap<u64, (Position, Logged)>,
    floor: u64,
    state: Position,
    /// The head of a replica at the state.
    state_head: Vec<u8>,
    images: BTreeMap<(u8, Vec<u8>), Vec<u8>>,
}

impl MemoryLedger {
    /// Creates an engine that holds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { engine: Arc::default(), closed: Mutex::default() }
    }

    /// Returns another handle of the same engine.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { engine: self.engine.clone(), closed: Mutex::default() }
    }

    /// What it holds, for [`go_back`](Self::go_back).
    #[cfg(test)]
    pub(crate) fn backup(&self) -> MemoryBackup {
        MemoryBackup(self.contents().clone())
    }

    /// Restores what it held, as if an engine came back from a backup.
    #[cfg(test)]
    pub(crate) fn go_back(&self, backup: &MemoryBackup) {
        backup.0.clone_into(&mut *self.contents());
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        lock(&self.engine.held)
    }
}

/// What a ledger in memory held.
#[cfg(test)]
pub(crate) struct MemoryBackup(Contents);

impl Default for MemoryLedger {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLedger").finish_non_exhaustive()
    }
}

impl Contents {
    fn generation(&mut self, number: u64) -> LedgerResult<&mut Generation> {
        self.generations
            .get_mut(&number)
            .ok_or_else(|| LedgerError::Foreign { what: format!("it has no generation {number}") })
    }

    fn holds(&self, fence: Option<&Fence>) -> bool {
        fence.is_none_or(|fence| self.cells.get(&fence.cell) == Some(&fence.value))
    }

    fn sight(&self, number: u64) -> Sight {
        let generation = self.generations.get(&number);
        let waiting = CellName { generation: number, kind: CellKind::Waiting, name: String::new() };
        Sight {
            meta: self.cells.get(&CellName::meta()).cloned(),
            head: generation.map(|generation| generation.head),
            state: generation.map(|generation| generation.state),
            floor: generation.map_or(0, |generation| generation.floor),
            waiting: self.cells.get(&waiting).cloned(),
            space: None,
            identity: Identity { system: "memory".into(), timeline: 0 },
        }
    }
}

impl Ledger for MemoryLedger {
    fn name(&self) -> String {
        "memory".into()
    }

    fn sight(&self, generation: u64, _: Instant) -> LedgerResult<Sight> {
        Ok(self.contents().sight(generation))
    }

    fn look(&self, generation: u64, standing: &Standing<'_>, _: Instant) -> LedgerResult<Look> {
        let mut held = self.contents();
        match held.cells.get_mut(standing.cell) {
            Some(value) if value == standing.held => standing.next.clone_into(value),
            _ => return Ok(Look::NotListed),
        }
        Ok(Look::Standing(Box::new(held.sight(generation))))
    }

    fn begin(&self, generation: u64, head: &Position, _: Instant) -> LedgerResult<bool> {
        let mut held = self.contents();
        if held.generations.contains_key(&generation) {
            return Ok(false);
        }
        let begun = Generation {
            head: *head,
            log: BTreeMap::new(),
            floor: head.number,
            state: *head,
            state_head: Vec::new(),
            images: BTreeMap::new(),
        };
        held.generations.insert(generation, begun);
        Ok(true)
    }

    fn append(&self, entry: &Entry<'_>, fence: Option<&Fence>, _: Instant) -> LedgerResult<Appended> {
        let mut held = self.contents();
        let fenced = !held.holds(fence);
        let generation = held.generation(entry.generation)?;
        let next = generation.log.range(entry.base.number.saturating_add(1)..).next();
        if next.is_some_and(|(_, (base, logged))| *base == entry.base && logged.op == entry.op) {
            return Ok(Appended::Here);
        }
        if fenced || generation.head != entry.base {
            return Ok(Appended::Lost { head: generation.head });
        }
        let logged =
            Logged { first: entry.base.number + 1, last: entry.last, op: entry.op, bytes: entry.bytes.to_vec() };
        generation.log.insert(entry.last.number, (entry.base, logged));
        generation.head = entry.last;
        drop(held);
        self.engine.moved.notify_all();
        Ok(Appended::Here)
    }

    fn read(&self, generation: u64, after: u64, max_bytes: usize, _: Instant) -> LedgerResult<Vec<Logged>> {
        let mut held = self.contents();
        let generation = held.generation(generation)?;
        if after < generation.floor {
            return Err(LedgerError::BelowFloor { floor: generation.floor });
        }
        let mut bytes = 0;
        let mut entries = Vec::new();
        for (_, entry) in generation.log.range(after.saturating_add(1)..).map(|(last, (_, entry))| (last, entry)) {
            bytes += entry.bytes.len();
            if !entries.is_empty() && bytes > max_bytes {
                break;
            }
            entries.push(entry.clone());
        }
        Ok(entries)
    }

    fn load(
        &self,
        generation: u64,
        _: Instant,
        take: &mut dyn FnMut(Piece<'_>) -> LedgerResult<()>,
    ) -> LedgerResult<()> {
        let mut held = self.contents();
        let generation = held.generation(generation)?;
        take(Piece::At(generation.state, &generation.state_head))?;
        for ((kind, name), value) in &generation.images {
            take(Piece::Image(Image { kind: *kind, name, value: Some(value) }))?;
        }
        Ok(())
    }

    fn advance(&self, step: &Step<'_>, fence: Option<&Fence>, _: Instant) -> LedgerResult<bool> {
        let mut held = self.contents();
        let fenced = !held.holds(fence);
        let generation = held.generation(step.generation)?;
        if fenced || generation.state != step.from {
            return Ok(false);
        }
        let bytes = step.images.iter().map(|image| image.name.len() + image.value.map_or(0, <[u8]>::len)).sum();
        if !Step::fits(step.images.len(), bytes) {
            return Err(LedgerError::refused(format!("a step of {} images and {bytes} bytes", step.images.len())));
        }
        generation.state = step.to;
        step.head.clone_into(&mut generation.state_head);
        for image in step.images {
            let name = (image.kind, image.name.to_vec());
            match image.value {
                Some(value) => drop(generation.images.insert(name, value.to_vec())),
                None => drop(generation.images.remove(&name)),
            }
        }
        Ok(true)
    }

    fn trim(&self, generation: u64, through: u64, _: Instant) -> LedgerResult<()> {
        let mut held = self.contents();
        let generation = held.generation(generation)?;
        if generation.state.number < through {
            return Ok(());
        }
        let kept = generation.log.split_off(&through.saturating_add(1));
        if let Some((last, _)) = std::mem::replace(&mut generation.log, kept).last_key_value() {
            generation.floor = generation.floor.max(*last);
        }
        Ok(())
    }

    fn wait(&self, generation: u64, after: u64, by: Instant) -> LedgerResult<Woken> {
        let mut held = self.contents();
        loop {
            if *lock(&self.closed) {
                return Ok(Woken::Closed);
            }
            if held.generations.get(&generation).is_some_and(|generation| generation.head.number > after) {
                return Ok(Woken::Moved);
            }
            let left = by.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Woken::TimedOut);
            }
            held = self.engine.moved.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn cells(&self, generation: u64, kinds: &[CellKind], _: Instant) -> LedgerResult<Vec<Cell>> {
        let is_of_these = |cell: &CellName| kinds.contains(&cell.kind) && cell.generation == generation;
        let held = self.contents();
        let cells = held.cells.iter().filter(|(cell, _)| is_of_these(cell));
        Ok(cells.map(|(cell, value)| Cell { cell: cell.clone(), value: value.clone() }).collect())
    }

    fn swap(&self, cell: &CellName, old: Option<&[u8]>, new: Option<&[u8]>, _: Instant) -> LedgerResult<bool> {
        let mut held = self.contents();
        if held.cells.get(cell).map(Vec::as_slice) != old {
            return Ok(false);
        }
        match new {
            Some(value) => drop(held.cells.insert(cell.clone(), value.to_vec())),
            None => drop(held.cells.remove(cell)),
        }
        Ok(true)
    }

    fn note(&self, cell: &CellName, value: &[u8], _: Instant) -> LedgerResult<()> {
        self.contents().cells.insert(cell.clone(), value.to_vec());
        Ok(())
    }

    fn tally(&self, generation: u64, tallies: &[Tally], _: Instant) -> LedgerResult<()> {
        Tally::check(tallies)?;
        let set = tallies.iter().map(|tally| ((generation, tally.name.clone()), tally.value.clone()));
        self.contents().tallies.extend(set);
        Ok(())
    }

    fn tallies(&self, generation: u64, begins: &[&[u8]], _: Instant) -> LedgerResult<Vec<Tally>> {
        Tally::check_begins(begins)?;
        let held = self.contents();
        let of_generation = held.tallies.range((generation, Vec::new())..=(generation, vec![u8::MAX; Tally::MAX_NAME]));
        let wanted = of_generation.filter(|((_, name), _)| begins.iter().any(|begin| name.starts_with(begin)));
        Ok(wanted.map(|((_, name), value)| Tally { name: name.clone(), value: value.clone() }).collect())
    }

    fn forget_tallies(&self, generation: u64, from: &[u8], to: &[u8], _: Instant) -> LedgerResult<()> {
        self.contents()
            .tallies
            .retain(|(of, name), _| *of != generation || name.as_slice() < from || name.as_slice() >= to);
        Ok(())
    }

    fn reserve(&self, generation: u64, swaps: &[Swap<'_>], _: Instant) -> LedgerResult<Vec<Reserved>> {
        Swap::check(swaps)?;
        let mut held = self.contents();
        let swap = |Swap { name, old, new }: &Swap<'_>| {
            let name = (generation, name.to_vec());
            let now = held.reservations.get(&name);
            if now.map(Vec::as_slice) != *old {
                return Reserved::Lost { held: now.cloned() };
            }
            match new {
                Some(value) => drop(held.reservations.insert(name, value.to_vec())),
                None => drop(held.reservations.remove(&name)),
            }
            Reserved::Done
        };
        Ok(swaps.iter().map(swap).collect())
    }

    fn close(&self) {
        // Under the lock of the engine, so that no wait misses it.
        let held = self.contents();
        *lock(&self.closed) = true;
        drop(held);
        self.engine.moved.notify_all();
    }
}
