//! The ledger: what a cluster asks of the engine that orders its changes.
//!
//! An engine holds a log, a state, and some cells. The log is a dense sequence of entries, which only ever grows at its
//! head, by compare-and-swap. The state is the image of all keys after some event of the log, for nodes that begin
//! without a replica. A cell is a named value that is changed by compare-and-swap: the settings of the cluster, the
//! presence of a node, its acknowledgement, a hold. Beside these lie what nodes have counted, a tally for each writer, and
//! what they have reserved of quotas. An engine never decodes what it holds.

mod cell;
pub(crate) mod error;
pub(crate) mod memory;
mod reservation;
mod tally;

use std::fmt;
use std::time::Instant;

pub use cell::{Cell, CellKind, CellName};
pub use error::LedgerResult;
pub use reservation::{Reserved, Swap};
pub use tally::Tally;

#[cfg(doc)]
use crate::cluster::ledger::error::LedgerError;

/// An engine that holds the log of a cluster.
///
/// Every call blocks, and ends by the time `by`: what has no answer then is [`LedgerError::Unknown`] if it may have
/// been done, and [`LedgerError::Refused`] if it was certainly not done. Calls come from several threads at once. The
/// crate `apikey-engine` has the conformance suite that every implementation passes, and what engines have in common.
///
/// *Linearizable* means: the answer reflects everything that the ledger had confirmed to any client before the call began; also
/// while the engine changes its leader or primary.
pub trait Ledger: Send + Sync + 'static {
    /// Returns the name of the engine, for errors and health: `postgres db.internal:5432/keys, namespace acme`. It has
    /// no password.
    fn name(&self) -> String;

    /// Returns what the ledger holds now. Linearizable.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn sight(&self, generation: u64, by: Instant) -> LedgerResult<Sight>;

    /// Renews a presence, and returns what the ledger holds now; [`Look::NotListed`], and no change, if the cell of the
    /// presence does not hold `standing.held`. Linearizable, and in one moment: the sight is of a time at which the
    /// presence stood. An engine that is full and takes no writes only reads, as [`Look::NotRenewed`] says.
    ///
    /// # Errors
    /// See [`LedgerError`]. After `Unknown` the cell holds `standing.held` or `standing.next`.
    fn look(&self, generation: u64, standing: &Standing<'_>, by: Instant) -> LedgerResult<Look>;

    /// Creates the log of a generation, which begins after `head`, with a state that is empty and stands at `head`.
    /// Returns `false`, and changes nothing, if the generation has a log.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn begin(&self, generation: u64, head: &Position, by: Instant) -> LedgerResult<bool>;

    /// Appends an entry if the log's head is `entry.base` and the fence holds: atomically, and durable when it returns.
    ///
    /// It is idempotent by `entry.op`: if the log has an entry after `entry.base` with this op, the answer is
    /// [`Appended::Here`].
    ///
    /// # Errors
    /// See [`LedgerError`]. After `Unknown` the entry may appear in the log until an entry after the same base does.
    fn append(&self, entry: &Entry<'_>, fence: Option<&Fence>, by: Instant) -> LedgerResult<Appended>;

    /// Reads entries that follow the event `after`, in order and without gaps: at least one if there is one, and then
    /// up to `max_bytes`. The first may begin before `after + 1`, if it ends after it. Every entry that it returns was
    /// acknowledged, and stays in the log whatever becomes of the engine's leader or primary; but an answer without entries may
    /// be out of date. A node reads at each append of any other, so this should cost little.
    ///
    /// # Errors
    /// [`LedgerError::BelowFloor`] if the log no longer has the entry of `after + 1`. See [`LedgerError`].
    fn read(&self, generation: u64, after: u64, max_bytes: usize, by: Instant) -> LedgerResult<Vec<Logged>>;

    /// Passes the whole state to `take`: first [`Piece::At`], then every image, as they were at one moment. An engine that
    /// loses the moment on the way passes [`Piece::At`] again: what came before it counts no more. After an error the
    /// caller begins again from nothing.
    ///
    /// # Errors
    /// The error of `take`. See [`LedgerError`].
    fn load(
        &self,
        generation: u64,
        by: Instant,
        take: &mut dyn FnMut(Piece<'_>) -> LedgerResult<()>,
    ) -> LedgerResult<()>;

    /// Moves the state from `step.from` to `step.to`, with its images, atomically. Returns `false`, and changes nothing,
    /// if the state does not stand at `step.from`, or the fence does not hold. `step.to` may be `step.from`: then only images
    /// change.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn advance(&self, step: &Step<'_>, fence: Option<&Fence>, by: Instant) -> LedgerResult<bool>;

    /// Deletes the entries that end at or before the event `through`, if the state stands there or beyond.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn trim(&self, generation: u64, through: u64, by: Instant) -> LedgerResult<()>;

    /// Waits until the log has an event after `after`. It may return early, and it may miss one: it only saves time.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn wait(&self, generation: u64, after: u64, by: Instant) -> LedgerResult<Woken>;

    /// Returns every cell of these kinds. Linearizable.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn cells(&self, generation: u64, kinds: &[CellKind], by: Instant) -> LedgerResult<Vec<Cell>>;

    /// Returns every cell of these kinds, as they were at some moment, which may be long ago. A caller that waits for an
    /// acknowledgement asks this again and again, so it should cost little.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn glance(&self, generation: u64, kinds: &[CellKind], by: Instant) -> LedgerResult<Vec<Cell>> {
        self.cells(generation, kinds, by)
    }

    /// Replaces the value of a cell if it is `old`; `None` is a cell that is not there. Returns whether it did. Durable
    /// when it returns.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn swap(&self, cell: &CellName, old: Option<&[u8]>, new: Option<&[u8]>, by: Instant) -> LedgerResult<bool>;

    /// Sets the value of a cell that has one writer, whatever it was. A failure of the engine may undo it.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn note(&self, cell: &CellName, value: &[u8], by: Instant) -> LedgerResult<()>;

    /// Sets tallies, whatever they were; all of them, or none. Each has one writer, which knows what it has counted, so a
    /// repeat is harmless, and a failure of the engine may undo it. It should cost little: every node calls it every half
    /// minute, with up to [`Tally::MAX`] at a time.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] for what [`Tally::check`] does not allow. See [`LedgerError`]. After `Unknown` it may have been
    /// done.
    fn tally(&self, generation: u64, tallies: &[Tally], by: Instant) -> LedgerResult<()>;

    /// Returns every tally whose name begins with one of these, each once, in any order, as they were at some moment.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] for what [`Tally::check_begins`] does not allow. See [`LedgerError`].
    fn tallies(&self, generation: u64, begins: &[&[u8]], by: Instant) -> LedgerResult<Vec<Tally>>;

    /// Deletes the tallies from one name on, and before another; a failure may leave some of them. There may be hundreds of
    /// thousands, and other calls go on meanwhile.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn forget_tallies(&self, generation: u64, from: &[u8], to: &[u8], by: Instant) -> LedgerResult<()>;

    /// Replaces the values of reservations that are what each swap expects. Each swap is one of its own: that one is lost
    /// changes nothing for the others. Linearizable, and durable when it returns. The answers are in the order of the
    /// swaps, and one that is lost has what the reservation holds, so that the caller can decide anew without another call.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] for what [`Swap::check`] does not allow: then, and after every other `Refused`, none was done.
    /// See [`LedgerError`]. After `Unknown` any of them may have been done, or may still be, each as long as the reservation
    /// holds what it expects.
    fn reserve(&self, generation: u64, swaps: &[Swap<'_>], by: Instant) -> LedgerResult<Vec<Reserved>>;

    /// Ends every [`wait`](Self::wait), now and from now on. Other calls go on: a node that closes still takes itself off
    /// the list.
    fn close(&self);
}

/// A place in a log: an event, by its number and its digest.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// The number of the event; 0 before the first.
    pub number: u64,
    /// Its digest, which depends on all events before it.
    pub digest: [u8; 32],
}

impl Position {
    /// The same as a pair.
    pub(crate) fn place(self) -> (u64, [u8; 32]) {
        (self.number, self.digest)
    }
}

impl From<(u64, [u8; 32])> for Position {
    fn from((number, digest): (u64, [u8; 32])) -> Self {
        Self { number, digest }
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, two, three, four, ..] = self.digest;
        write!(f, "{}:{:08x}", self.number, u32::from_be_bytes([one, two, three, four]))
    }
}

/// What a ledger holds at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// The settings of the cluster; `None` if there is no cluster in this namespace.
    pub meta: Option<Vec<u8>>,
    /// The head of the generation's log; `None` if the generation has none.
    pub head: Option<Position>,
    /// Where its state stands.
    pub state: Option<Position>,
    /// The log has every event after this number.
    pub floor: u64,
    /// The cell [`CellKind::Waiting`], by which a writer that lost twice asks others to pause.
    pub waiting: Option<Vec<u8>>,
    /// How full the engine is, where it tells.
    pub space: Option<Space>,
    /// Which engine this is.
    pub identity: Identity,
}

/// The identity of an engine and its history.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// What distinguishes this engine from every other one, such as PostgreSQL's system identifier.
    pub system: String,
    /// The number of its history, which rises at a promotion, such as PostgreSQL's timeline; 0 where there is none.
    pub timeline: u64,
}

/// How full an engine is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// The bytes that it holds.
    pub used: u64,
    /// The bytes at which it refuses writes.
    pub quota: u64,
}

/// The presence that a look renews.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// The cell of the presence.
    pub cell: &'a CellName,
    /// What the cell holds, as far as the node knows.
    pub held: &'a [u8],
    /// What the cell holds from now on.
    pub next: &'a [u8],
}

/// The answer to a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The presence stands, and this is what the ledger holds.
    Standing(Box<Sight>),
    /// The same, and the cell still holds [`Standing::held`]: the engine takes no writes, as long as it is full.
    ///
    /// Two clones of a running machine may share a presence while that lasts. It is as if the machine were cloned when it
    /// ends: the first of them that renews the presence ends the looks of the other.
    NotRenewed(Box<Sight>),
    /// Somebody has marked or deleted the presence.
    NotListed,
}

/// An entry to append.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    /// The generation of the log.
    pub generation: u64,
    /// The operation, random: a repeat of the append has the same.
    pub op: [u8; 16],
    /// The head that the entry follows.
    pub base: Position,
    /// The head after it.
    pub last: Position,
    /// What the engine keeps, and does not read.
    pub bytes: &'a [u8],
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({:?}..{:?}, {} bytes)", self.base, self.last, self.bytes.len())
    }
}

/// The answer to an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// The entry is in the log.
    Here,
    /// The log's head is another one, or the fence does not hold. The entry is not in the log, and never will be under
    /// this op.
    Lost {
        /// The head of the log.
        head: Position,
    },
}

/// An entry of the log.
#[derive(Clone, PartialEq, Eq)]
pub struct Logged {
    /// The number of its first event.
    pub first: u64,
    /// Its last event.
    pub last: Position,
    /// Its operation.
    pub op: [u8; 16],
    /// What was appended.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Logged({}..={:?}, {} bytes)", self.first, self.last, self.bytes.len())
    }
}

/// What a write depends on besides the head: the cell of a hold has this value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The cell, of the kind [`CellKind::Hold`].
    pub cell: CellName,
    /// The value that it must have.
    pub value: Vec<u8>,
}

/// A part of the state.
#[derive(Debug, Clone, Copy)]
pub enum Piece<'a> {
    /// Where the state stands, and the head of the replica there, in the form of [`Step::head`]; empty for one that no
    /// step has moved. Every piece that came before it counts no more.
    At(Position, &'a [u8]),
    /// An image.
    Image(Image<'a>),
}

/// A value of the state, under its name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Image<'a> {
    /// What kind of value it is; the kind is part of the name.
    pub kind: u8,
    /// The name, of at most 32 bytes.
    pub name: &'a [u8],
    /// The value; `None` in a step deletes it.
    pub value: Option<&'a [u8]>,
}

impl fmt::Debug for Image<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({}, {} bytes)", self.kind, self.value.map_or(0, <[u8]>::len))
    }
}

/// A step of the state along the log.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// The generation of the log.
    pub generation: u64,
    /// Where the state stands before.
    pub from: Position,
    /// Where it stands after. It may be the same, while images are loaded.
    pub to: Position,
    /// The head of a replica at `to`, encoded.
    pub head: &'a [u8],
    /// At most [`Step::MAX_IMAGES`], each of another name, with at most [`Step::MAX_BYTES`] together.
    pub images: &'a [Image<'a>],
}

impl Step<'_> {
    /// The most images of a step.
    pub const MAX_IMAGES: usize = 120;

    /// The most bytes of the names and values of a step, so that it fits one request to an engine.
    pub const MAX_BYTES: usize = 1 << 20;

    /// Whether a step may have so many images, and bytes of names and values.
    pub(crate) fn fits(images: usize, bytes: usize) -> bool {
        images <= Self::MAX_IMAGES && bytes <= Self::MAX_BYTES
    }
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The log may have another event.
    Moved,
    /// The time is up.
    TimedOut,
    /// The ledger is closed.
    Closed,
}
