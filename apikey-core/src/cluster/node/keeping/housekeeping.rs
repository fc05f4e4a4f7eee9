//! What can wait: removing nodes that are gone, moving the state along the log, and trimming the log. One node, the
//! janitor, does the last two, and a fence keeps a former one from doing them, too.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::base::codec;
use crate::base::signal::Wake;
use crate::cluster::format::entry::{LogEntry, position};
use crate::cluster::format::image::{ImageKind, NamedImage, seal, unseal};
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::ledger::{Cell, CellKind, Fence, Image, Logged, Piece, Position, Step};
use crate::cluster::node::admission::skew_ms;
use crate::cluster::node::shared::{FollowError, Node, PATIENCE};
use crate::cluster::protocol::intervals;
use crate::cluster::protocol::log_tally::LogTally;
use crate::cluster::protocol::removal::marked;
use crate::commit::cluster::propagation::{Hold, Terms};
use crate::commit::engine::Engine;
use crate::key::error::StoreError;
use crate::key::event::stored::{Event, Head};
use crate::token::digest::Digester;

/// The bytes of the log that a step reads.
const READ: usize = 1 << 20;
/// How often a node makes known which keys with an idle end are in use, and how many of them an entry has at most.
const IN_USE_EACH: Duration = Duration::from_secs(5);
const MAX_IN_USE: usize = 256;
/// The number of records in the head of a state between the changes of an entry.
pub(crate) const NOT_COUNTED: u64 = u64::MAX;
/// The most reads of the log for each look at its age, when a node has just become the janitor.
const MAX_READS: usize = 4;

impl Node {
    /// Keeps house until the node closes. `last` is what can wait the longest, and takes little time.
    pub(crate) fn keep_until_closed(&self, engine: &Engine, last: impl Fn()) {
        let (short, long) = (intervals::JANITOR, intervals::keeping(self.settings.bound));
        // How often it has kept house since it listed the nodes last.
        let mut unlisted = 0;
        let mut in_use_due = self.runtime.now();
        loop {
            // The janitor moves the state often; the others only look for its end, and for nodes that are gone.
            let is_janitor = self.state().holds.contains_key(&Hold::Janitor);
            let interval = if is_janitor { short } else { long };
            if self.runtime.wait(&self.keeping, Some(self.runtime.now() + interval)) == Wake::Closed {
                return;
            }
            // First uses are in force here, and end old secrets elsewhere only once they are in the log.
            if let Err(error) = self.write_first_uses(engine, self.runtime.now() + PATIENCE) {
                tracing::debug!(%error, "first uses of rotated keys are in force, and not written");
            }
            if in_use_due <= self.runtime.now() {
                in_use_due = self.runtime.now() + IN_USE_EACH;
                if let Err(error) = self.write_in_use(engine, self.runtime.now() + PATIENCE) {
                    tracing::debug!(%error, "other nodes do not know yet which keys with an idle end are in use");
                }
            }
            // No call may come that would find it out.
            if self.state().unresolved.is_some()
                && let Err(error) = self.change_nothing(engine, self.runtime.now() + PATIENCE)
            {
                tracing::debug!(%error, "whether an entry of this node is in the log is unknown");
            }
            unlisted += 1;
            if is_janitor || unlisted >= intervals::lists_each(self.settings.bound, self.count_listed()) {
                unlisted = 0;
                if let Err(error) = self.keep(engine) {
                    tracing::debug!(%error, "the work of the cluster's janitor failed");
                }
            }
            if let Some(order) = engine.order()
                && let Err(error) = self.make_again(engine, order)
            {
                tracing::debug!(%error, "revocations are in force on this node alone");
            }
            last();
        }
    }

    /// Makes known which keys with an idle end are in use here: other nodes do not see these uses. A use is a change only
    /// once it is a quarter of the idle time after the last one that is known, so no other node may end the key before.
    pub(crate) fn write_in_use(&self, engine: &Engine, by: Instant) -> Result<(), StoreError> {
        for changes in engine.in_use_changes().chunks(MAX_IN_USE) {
            self.change_by(engine, Terms::HERE, &mut |_, _| Ok(changes.to_vec()), by, &mut None)?;
        }
        Ok(())
    }

    /// How many nodes there were when this one listed them last.
    fn count_listed(&self) -> usize {
        self.state().cells.iter().filter(|cell| cell.cell.kind == CellKind::Presence).count()
    }

    pub(crate) fn keep(&self, engine: &Engine) -> Result<(), FollowError> {
        let by = self.runtime.now() + PATIENCE;
        let cells = self.list(engine, by)?;
        self.remove_marked(&cells, by)?;
        if let Some(fence) = self.hold(Hold::Janitor, &cells, by)? {
            let sight = self.state().sight.clone();
            if let Some(sight) = sight {
                self.raise_pepper(engine, &sight, &cells, by)?;
            }
            self.advance(engine, &fence, by)?;
            self.trim(engine, by)?;
            self.forget_outcomes(engine, &fence, by)?;
        }
        Ok(())
    }

    /// Lists the nodes, their acknowledgements and their holds, and keeps the list for health.
    pub(crate) fn list(&self, engine: &Engine, by: Instant) -> Result<Vec<Cell>, LedgerError> {
        let kinds = [CellKind::Presence, CellKind::Acknowledgement, CellKind::Hold];
        let cells = self.noted(self.ledger.cells(self.generation(), &kinds, by))?;
        let mut state = self.state();
        let own = state.membership.incarnation().map(|own| own.presence(self.generation()).name);
        state.skew_ms = skew_ms(&cells, own.as_deref().unwrap_or_default(), engine.time.raw_ms());
        state.cells.clone_from(&cells);
        Ok(cells)
    }

    /// Deletes the presences that have been marked for the bound.
    pub(crate) fn remove_marked(&self, cells: &[Cell], by: Instant) -> Result<(), LedgerError> {
        let settings = &self.settings;
        let now = self.clock.now();
        let unchanged = self.state().unchanged.observe(cells, now, settings.bound);
        for (cell, value) in unchanged {
            // One that does not decode is of a newer version, which marks it itself.
            if let Ok(Some(marked)) = marked(&value) {
                self.ledger.swap(&cell, Some(&value), Some(&marked), by)?;
            }
        }
        let due = self.state().marked.observe(cells, now, settings.bound, settings.safeguards);
        for (cell, value) in due {
            self.ledger.swap(&cell, Some(&value), None, by)?;
        }
        // An acknowledgement without a presence means nothing: a node registers before it acknowledges.
        let listed =
            |name: &str| cells.iter().any(|cell| cell.cell.kind == CellKind::Presence && cell.cell.name == name);
        for cell in cells.iter().filter(|cell| cell.cell.kind == CellKind::Acknowledgement) {
            if !listed(&cell.cell.name) {
                self.ledger.swap(&cell.cell, Some(&cell.value), None, by)?;
            }
        }
        Ok(())
    }

    /// Moves the state to the head of this replica.
    fn advance(&self, engine: &Engine, fence: &Fence, by: Instant) -> Result<(), FollowError> {
        loop {
            let sight = self.ledger.sight(self.generation(), by)?;
            let Some(state) = sight.state else { return Ok(()) };
            if state.number >= self.head().number {
                return Ok(());
            }
            let entries = self.ledger.read(self.generation(), state.number, READ, by)?;
            let mut at = self.state_head(engine, state, by)?;
            for logged in &entries {
                if !self.advance_over(engine, fence, logged, &mut at, by)? {
                    return Ok(());
                }
            }
            if entries.is_empty() || self.runtime.now() >= by {
                return Ok(());
            }
        }
    }

    /// The head of a replica at the state.
    pub(super) fn state_head(&self, engine: &Engine, state: Position, by: Instant) -> Result<Head, FollowError> {
        if let Some(head) = self.state().state_head.filter(|head| position(head) == state) {
            return Ok(head);
        }
        let mut found = None;
        let enough = LedgerError::refused("this is enough");
        let loaded = self.ledger.load(self.generation(), by, &mut |piece| {
            if let Piece::At(position, head) = piece {
                found = Some((position, head.to_vec()));
            }
            Err(enough.clone())
        });
        if let Err(error) = loaded
            && error != enough
        {
            return Err(error.into());
        }
        match found {
            Some((position, head)) if position == state && !head.is_empty() => {
                let digesters = engine.writer().digesters.clone();
                let name = self.generation().to_be_bytes();
                let frame = unseal(ImageKind::Head, &name, &head, &digesters)
                    .map_err(|error| FollowError::Entry(format!("the head of the state cannot be used: {error}")))?;
                Ok(codec::decode(frame).map_err(StoreError::from)?)
            }
            _ => Ok(Head { number: state.number, digest: state.digest, ..Head::default() }),
        }
    }

    /// Moves the state over an entry, in steps of as many images as a step may have.
    fn advance_over(
        &self,
        engine: &Engine,
        fence: &Fence,
        logged: &Logged,
        at: &mut Head,
        by: Instant,
    ) -> Result<bool, FollowError> {
        let (digesters, digester) = {
            let writer = engine.writer();
            (writer.digesters.clone(), writer.digester())
        };
        let damaged = |what: String| FollowError::Entry(format!("the entry {} of the log: {what}", logged.first));
        let entry = LogEntry::decode(&logged.bytes, &digesters).map_err(|error| damaged(error.to_string()))?;
        let mut images: BTreeMap<(u8, Vec<u8>), Option<Vec<u8>>> = BTreeMap::new();
        let mut next = *at;
        let mut bytes = 0;
        for write in &entry.writes {
            let event: Event = codec::decode(&write.event.1).map_err(StoreError::from)?;
            if event.number <= at.number {
                continue;
            }
            let of_event: Vec<NamedImage> = NamedImage::of_write(write, &digester).collect();
            let more: usize =
                of_event.iter().map(|image| image.name.len() + image.value.as_ref().map_or(0, Vec::len)).sum();
            if !images.is_empty() && !Step::fits(images.len() + of_event.len(), bytes + more) {
                if !self.step(fence, &digester, at, &next, &images, by)? {
                    return Ok(false);
                }
                *at = next;
                images.clear();
                bytes = 0;
            }
            bytes += more;
            let digest = digesters.iter().find(|digester| digester.pepper() == event.pepper);
            let digest = digest.ok_or_else(|| damaged("it has an event under a pepper that is missing".into()))?;
            next.number = event.number;
            next.digest = digest.of(&write.event.1);
            next.last_id = next.last_id.max(write.subject.key().unwrap_or_default());
            // Between the changes of an entry the number of records is unknown: a node that loads the state counts them.
            next.records = NOT_COUNTED;
            next.sum = 0;
            images.extend(of_event.into_iter().map(|image| ((image.kind.code(), image.name), image.value)));
        }
        next = entry.head;
        if !self.step(fence, &digester, at, &next, &images, by)? {
            return Ok(false);
        }
        *at = next;
        Ok(true)
    }

    pub(super) fn step(
        &self,
        fence: &Fence,
        digester: &Digester,
        from: &Head,
        to: &Head,
        images: &BTreeMap<(u8, Vec<u8>), Option<Vec<u8>>>,
        by: Instant,
    ) -> Result<bool, FollowError> {
        let images: Vec<Image<'_>> =
            images.iter().map(|((kind, name), value)| Image { kind: *kind, name, value: value.as_deref() }).collect();
        let head = codec::encode(to).map_err(StoreError::from)?;
        let head = seal(ImageKind::Head, &self.generation().to_be_bytes(), &head, digester);
        let step = Step {
            generation: self.generation(),
            from: position(from),
            to: position(to),
            head: &head,
            images: &images,
        };
        let moved = self.ledger.advance(&step, Some(fence), by)?;
        if moved {
            self.state().state_head = Some(*to);
        }
        Ok(moved)
    }

    /// Trims the log to what new nodes, and nodes that were away for a while, need.
    fn trim(&self, engine: &Engine, by: Instant) -> Result<(), FollowError> {
        let sight = self.ledger.sight(self.generation(), by)?;
        let tally = self.state().tally.take().filter(|tally| tally.through() >= sight.floor);
        let mut tally = tally.unwrap_or_else(|| LogTally::of(sight.floor));
        // Another node may have been the janitor meanwhile.
        tally.trimmed(sight.floor);
        let counted = self.count(engine, &mut tally, by);
        let state = sight.state.map_or(0, |state| state.number);
        let due = tally.due(engine.time.now_ms()).filter(|due| *due <= state && *due > sight.floor);
        let trimmed = due.map_or(Ok(()), |due| {
            self.ledger.trim(self.generation(), due, by)?;
            tally.trimmed(due);
            Ok(())
        });
        self.state().tally = Some(tally);
        trimmed.and(counted)
    }

    /// Counts entries that the log has got since.
    fn count(&self, engine: &Engine, tally: &mut LogTally, by: Instant) -> Result<(), FollowError> {
        let digesters = engine.writer().digesters.clone();
        for _ in 0..MAX_READS {
            if tally.through() >= self.head().number {
                break;
            }
            for logged in self.ledger.read(self.generation(), tally.through(), READ, by)? {
                let damaged =
                    |what: String| FollowError::Entry(format!("the entry {} of the log: {what}", logged.first));
                let entry = LogEntry::decode(&logged.bytes, &digesters).map_err(|error| damaged(error.to_string()))?;
                let event = entry.writes.last().map(|write| codec::decode::<Event>(&write.event.1)).transpose();
                let at = event.map_err(StoreError::from)?.map_or(i64::MIN, |event| event.at);
                tally.add(logged.last.number, at, logged.bytes.len());
            }
        }
        Ok(())
    }
}
