use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use apikey_core::cluster::{
    Appended, Cell, CellKind, CellName, Entry, Fence, Image, Ledger, LedgerResult, Logged, Look, Piece, Position,
    Reserved, Sight, Standing, Step, Swap, Tally,
};

use super::Nodes;

/// A time that no call of these tests reaches, on a slow machine either.
#[must_use]
pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// An operation that nobody else has.
#[must_use]
pub fn op() -> [u8; 16] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut op = [0; 16];
    op[..4].copy_from_slice(&std::process::id().to_be_bytes());
    op[8..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    op
}

/// An event of a history, by its number; histories differ in every digest.
#[must_use]
pub fn at(history: u8, number: u64) -> Position {
    let mut digest = [history; 32];
    digest[..8].copy_from_slice(&number.to_be_bytes());
    Position { number, digest }
}

/// A ledger with the log of one generation, and short calls on it.
#[derive(Clone)]
pub struct Chain {
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// The generation of the log.
    pub generation: u64,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chain({}, generation {})", self.ledger.name(), self.generation)
    }
}

impl Chain {
    /// The log of generation 1, which begins at nothing.
    #[must_use]
    pub fn begin(nodes: Nodes<'_>) -> Self {
        Self::begin_at(nodes, 1, &Position::default())
    }

    /// A log that begins at a head.
    #[must_use]
    pub fn begin_at(nodes: Nodes<'_>, generation: u64, head: &Position) -> Self {
        let chain = Self { ledger: nodes(), generation };
        assert!(chain.ledger.begin(generation, head, soon()).unwrap());
        chain
    }

    /// The same log from another node.
    #[must_use]
    pub fn other(&self, nodes: Nodes<'_>) -> Self {
        Self { ledger: nodes(), generation: self.generation }
    }

    /// Appends events up to `last`.
    ///
    /// # Errors
    /// That of the ledger.
    pub fn append(&self, op: [u8; 16], base: Position, last: Position, bytes: &[u8]) -> LedgerResult<Appended> {
        self.append_fenced(op, base, last, bytes, None)
    }

    pub(super) fn append_fenced(
        &self,
        op: [u8; 16],
        base: Position,
        last: Position,
        bytes: &[u8],
        fence: Option<&Fence>,
    ) -> LedgerResult<Appended> {
        self.ledger.append(&Entry { generation: self.generation, op, base, last, bytes }, fence, soon())
    }

    /// Appends entries of the history 1 that end at these numbers, each with its number as bytes.
    pub fn fill(&self, from: u64, ends: &[u64]) -> Position {
        let mut base = if from == 0 { Position::default() } else { at(1, from) };
        for &end in ends {
            let last = at(1, end);
            assert_eq!(self.append(op(), base, last, &end.to_be_bytes()).unwrap(), Appended::Here);
            base = last;
        }
        base
    }

    /// What the ledger holds.
    #[must_use]
    pub fn sight(&self) -> Sight {
        self.ledger.sight(self.generation, soon()).unwrap()
    }

    /// Reads entries after an event.
    ///
    /// # Errors
    /// That of the ledger.
    pub fn read(&self, after: u64, max_bytes: usize) -> LedgerResult<Vec<Logged>> {
        self.ledger.read(self.generation, after, max_bytes, soon())
    }

    /// Every entry after an event, by as many reads as it takes.
    #[must_use]
    pub fn follow(&self, mut after: u64) -> Vec<Logged> {
        let mut all = Vec::new();
        loop {
            let more = self.read(after, 1 << 20).unwrap();
            let Some(last) = more.last() else { return all };
            after = last.last.number;
            all.extend(more);
        }
    }

    pub(super) fn advance(
        &self,
        from: Position,
        to: Position,
        images: &[Image<'_>],
        fence: Option<&Fence>,
    ) -> LedgerResult<bool> {
        let head = to.number.to_be_bytes();
        self.ledger.advance(&Step { generation: self.generation, from, to, head: &head, images }, fence, soon())
    }

    /// Where the state stands, its head, and its images in the order of their names.
    pub(super) fn load(&self) -> (Position, Vec<u8>, Vec<StoredImage>) {
        let (mut place, mut images) = (None, Vec::new());
        let mut take = |piece: Piece<'_>| {
            match piece {
                Piece::At(position, head) => {
                    assert!(place.is_none() && images.is_empty(), "the place comes first, and once");
                    place = Some((position, head.to_vec()));
                }
                Piece::Image(image) => images.push((image.kind, image.name.to_vec(), image.value.unwrap().to_vec())),
            }
            Ok(())
        };
        self.ledger.load(self.generation, soon(), &mut take).unwrap();
        let (position, head) = place.expect("the place of the state");
        images.sort();
        (position, head, images)
    }

    pub(super) fn cell(&self, kind: CellKind, name: &str) -> CellName {
        CellName { generation: self.generation, kind, name: name.to_owned() }
    }

    pub(super) fn swap(&self, cell: &CellName, old: Option<&[u8]>, new: Option<&[u8]>) -> bool {
        self.ledger.swap(cell, old, new, soon()).unwrap()
    }

    /// The cells of one kind, in the order of their names.
    pub(super) fn cells(&self, kind: CellKind) -> Vec<(String, Vec<u8>)> {
        let cells = self.ledger.cells(self.generation, &[kind], soon()).unwrap();
        let mut cells: Vec<_> = cells
            .into_iter()
            .map(|Cell { cell, value }| {
                assert_eq!((cell.generation, cell.kind), (self.generation, kind));
                (cell.name, value)
            })
            .collect();
        cells.sort();
        cells
    }

    pub(super) fn look(&self, cell: &CellName, held: &[u8], next: &[u8]) -> Look {
        self.ledger.look(self.generation, &Standing { cell, held, next }, soon()).unwrap()
    }
}

impl Chain {
    pub(super) fn try_tally(&self, tallies: &[(&[u8], &[u8])]) -> LedgerResult<()> {
        let tally = |(name, value): &(&[u8], &[u8])| Tally { name: name.to_vec(), value: value.to_vec() };
        let tallies: Vec<_> = tallies.iter().map(tally).collect();
        self.ledger.tally(self.generation, &tallies, soon())
    }

    pub(super) fn tally(&self, tallies: &[(&[u8], &[u8])]) {
        self.try_tally(tallies).unwrap();
    }

    /// The tallies whose names begin like this, in the order of their names.
    pub(super) fn tallies(&self, begins: &[&[u8]]) -> Pairs {
        let tallies = self.ledger.tallies(self.generation, begins, soon()).unwrap();
        let mut tallies: Pairs = tallies.into_iter().map(|Tally { name, value }| (name, value)).collect();
        tallies.sort();
        tallies
    }

    pub(super) fn reserve_all(&self, swaps: &[Swap<'_>]) -> Vec<Reserved> {
        self.ledger.reserve(self.generation, swaps, soon()).unwrap()
    }

    pub(super) fn reserve(&self, name: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) -> bool {
        self.reserve_all(&[Swap { name, old, new }]) == [Reserved::Done]
    }
}

/// Names and values.
pub(super) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Kind, name and value.
pub(super) type StoredImage = (u8, Vec<u8>, Vec<u8>);

pub(super) fn image<'a>(name: &'a [u8], value: Option<&'a [u8]>) -> Image<'a> {
    Image { kind: 1, name, value }
}
