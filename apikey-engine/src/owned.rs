//! What a call borrows from its caller, as its own: it goes on in the thread of the connections, also when the caller has given
//! up.

use std::fmt;

use apikey_core::cluster::{CellName, Entry, Fence, LedgerError, LedgerResult, Position, Standing, Step};

/// An entry to append.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnedEntry {
    /// The generation of the log.
    pub generation: u64,
    /// The operation.
    pub op: [u8; 16],
    /// The head that the entry follows.
    pub base: Position,
    /// The head after it.
    pub last: Position,
    /// What the engine keeps, and does not read.
    pub bytes: Vec<u8>,
    /// What the append depends on besides the head.
    pub fence: Option<Fence>,
}

impl OwnedEntry {
    /// Copies an entry.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] if the entry does not end after its base.
    pub fn new(entry: &Entry<'_>, fence: Option<&Fence>) -> LedgerResult<Self> {
        let Entry { generation, op, base, last, bytes } = *entry;
        if last.number <= base.number {
            let what = format!("an entry after event {} cannot end at event {}", base.number, last.number);
            return Err(LedgerError::refused(what));
        }
        Ok(Self { generation, op, base, last, bytes: bytes.to_vec(), fence: fence.cloned() })
    }

    /// Returns the number of its first event.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.base.number.saturating_add(1)
    }
}

impl fmt::Debug for OwnedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnedEntry({:?}..{:?}, {} bytes)", self.base, self.last, self.bytes.len())
    }
}

/// A step of the state.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnedStep {
    /// The generation of the log.
    pub generation: u64,
    /// Where the state stands before.
    pub from: Position,
    /// Where it stands after.
    pub to: Position,
    /// The head of a replica at `to`, encoded.
    pub head: Vec<u8>,
    /// Each of another name.
    pub images: Vec<OwnedImage>,
    /// What the step depends on besides the place of the state.
    pub fence: Option<Fence>,
}

/// A value of the state, under its name.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnedImage {
    /// What kind of value it is; the kind is part of the name.
    pub kind: u8,
    /// The name.
    pub name: Vec<u8>,
    /// The value; `None` deletes it.
    pub value: Option<Vec<u8>>,
}

impl OwnedStep {
    /// Copies a step.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] if it has more images than [`Step::MAX_IMAGES`].
    pub fn new(step: &Step<'_>, fence: Option<&Fence>) -> LedgerResult<Self> {
        let Step { generation, from, to, head, images } = *step;
        if images.len() > Step::MAX_IMAGES {
            let what = format!("a step has {} images, and at most {} are allowed", images.len(), Step::MAX_IMAGES);
            return Err(LedgerError::refused(what));
        }
        let images = images.iter().map(|image| OwnedImage {
            kind: image.kind,
            name: image.name.to_vec(),
            value: image.value.map(<[u8]>::to_vec),
        });
        Ok(Self { generation, from, to, head: head.to_vec(), images: images.collect(), fence: fence.cloned() })
    }
}

impl fmt::Debug for OwnedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnedStep({:?}..{:?}, {} images)", self.from, self.to, self.images.len())
    }
}

impl fmt::Debug for OwnedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnedImage({}, {} bytes)", self.kind, self.value.as_ref().map_or(0, Vec::len))
    }
}

/// A presence that a look renews.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedStanding {
    /// The cell of the presence.
    pub cell: CellName,
    /// What the cell holds, as far as the node knows.
    pub held: Vec<u8>,
    /// What the cell holds from now on.
    pub next: Vec<u8>,
}

impl OwnedStanding {
    /// Copies a standing.
    #[must_use]
    pub fn new(standing: &Standing<'_>) -> Self {
        Self { cell: standing.cell.clone(), held: standing.held.to_vec(), next: standing.next.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use apikey_core::cluster::Image;

    use super::*;

    fn at(number: u64) -> Position {
        Position { number, digest: [7; 32] }
    }

    #[test]
    fn an_entry_ends_after_its_base() {
        let entry = |base, last| Entry { generation: 1, op: [9; 16], base: at(base), last: at(last), bytes: b"secret" };
        let owned = OwnedEntry::new(&entry(3, 5), None).unwrap();
        assert_eq!((owned.first(), owned.last.number), (4, 5));
        assert!(!format!("{owned:?}").contains("secret"));
        for last in [2, 3] {
            let error = OwnedEntry::new(&entry(3, last), None).unwrap_err().to_string();
            assert_eq!(error, format!("an entry after event 3 cannot end at event {last}"));
        }
    }

    #[test]
    fn a_step_has_so_many_images_and_no_more() {
        let image = Image { kind: 1, name: b"name", value: Some(b"secret") };
        let images = vec![image; Step::MAX_IMAGES + 1];
        let step = |images| Step { generation: 1, from: at(1), to: at(2), head: b"", images };
        let owned = OwnedStep::new(&step(&images[1..]), None).unwrap();
        assert_eq!(owned.images.len(), Step::MAX_IMAGES);
        assert!(!format!("{owned:?} {:?}", owned.images).contains("secret"));
        let error = OwnedStep::new(&step(&images), None).unwrap_err();
        assert_eq!(error, LedgerError::refused("a step has 121 images, and at most 120 are allowed"));
    }
}
