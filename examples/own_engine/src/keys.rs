//! What lies where. Numbers have leading zeros, so that keys are in the order of the numbers.

use std::ops::RangeInclusive;

use apikey_core::cluster::{CellKind, CellName};

/// The keys of one namespace.
#[derive(Clone)]
pub(crate) struct Keys {
    namespace: String,
}

impl Keys {
    pub(crate) fn new(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned() }
    }

    fn of(&self, generation: u64, rest: &str) -> Vec<u8> {
        format!("{}/{generation:016x}/{rest}", self.namespace).into_bytes()
    }

    /// The last event of a log.
    pub(crate) fn head(&self, generation: u64) -> Vec<u8> {
        self.of(generation, "head")
    }

    /// The number of the last event that a log no longer has.
    pub(crate) fn floor(&self, generation: u64) -> Vec<u8> {
        self.of(generation, "floor")
    }

    /// Where the state stands.
    pub(crate) fn state(&self, generation: u64) -> Vec<u8> {
        self.of(generation, "state")
    }

    /// The head of a replica at the state.
    pub(crate) fn state_head(&self, generation: u64) -> Vec<u8> {
        self.of(generation, "state-head")
    }

    /// An entry, under the number of its last event: the entries that end after an event are a range.
    pub(crate) fn entry(&self, generation: u64, last: u64) -> Vec<u8> {
        self.of(generation, &format!("log/{last:016x}"))
    }

    /// Entries that end within these numbers.
    pub(crate) fn entries(&self, generation: u64, last: RangeInclusive<u64>) -> RangeInclusive<Vec<u8>> {
        self.entry(generation, *last.start())..=self.entry(generation, *last.end())
    }

    pub(crate) fn image(&self, generation: u64, kind: u8, name: &[u8]) -> Vec<u8> {
        [self.of(generation, "image/"), vec![kind], name.to_vec()].concat()
    }

    /// The images of a state. A name has at most 32 bytes.
    pub(crate) fn images(&self, generation: u64) -> RangeInclusive<Vec<u8>> {
        self.image(generation, 0, b"")..=self.image(generation, u8::MAX, &[u8::MAX; 33])
    }

    /// The kind and the name in the key of an image.
    pub(crate) fn kind_and_name<'a>(&self, generation: u64, key: &'a [u8]) -> Option<(u8, &'a [u8])> {
        let (kind, name) = key.strip_prefix(self.of(generation, "image/").as_slice())?.split_first()?;
        Some((*kind, name))
    }

    pub(crate) fn tally(&self, generation: u64, name: &[u8]) -> Vec<u8> {
        [self.of(generation, "tally/"), name.to_vec()].concat()
    }

    /// The tallies whose names begin like this. A name has at most 64 bytes.
    pub(crate) fn tallies(&self, generation: u64, begin: &[u8]) -> RangeInclusive<Vec<u8>> {
        self.tally(generation, begin)..=self.tally(generation, &[begin, &[u8::MAX; 65]].concat())
    }

    /// The name in the key of a tally.
    pub(crate) fn tally_name(&self, generation: u64, key: &[u8]) -> Option<Vec<u8>> {
        Some(key.strip_prefix(self.tally(generation, b"").as_slice())?.to_vec())
    }

    pub(crate) fn reservation(&self, generation: u64, name: &[u8]) -> Vec<u8> {
        [self.of(generation, "reservation/"), name.to_vec()].concat()
    }

    pub(crate) fn cell(&self, cell: &CellName) -> Vec<u8> {
        [self.cells_of(cell.generation, cell.kind), cell.name.clone().into_bytes()].concat()
    }

    fn cells_of(&self, generation: u64, kind: CellKind) -> Vec<u8> {
        self.of(generation, &format!("cell/{}/", kind.code()))
    }

    /// The cells of a kind. Their names are lower-case letters and digits.
    pub(crate) fn cells(&self, generation: u64, kind: CellKind) -> RangeInclusive<Vec<u8>> {
        let first = self.cells_of(generation, kind);
        let last = [first.clone(), vec![b'~']].concat();
        first..=last
    }

    /// The name in the key of a cell.
    pub(crate) fn cell_name(&self, generation: u64, kind: CellKind, key: &[u8]) -> Option<CellName> {
        let name = key.strip_prefix(self.cells_of(generation, kind).as_slice())?;
        Some(CellName { generation, kind, name: String::from_utf8(name.to_vec()).ok()? })
    }
}
