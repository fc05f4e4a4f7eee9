//! What a call borrows from its caller, as its own: it goes on in the thread of the connections, also when the caller has given
//! up.

use std::fmt;

use apikey_core::cluster::{CellName, Entry, Fence, LedgerError, LedgerResult, Position, Standing, Step, Swap, Tally};

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

/// A compare-and-swap of a reservation.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnedSwap {
    /// The name of the reservation.
    pub name: Vec<u8>,
    /// What it holds before; `None` is one that is not there.
    pub old: Option<Vec<u8>>,
    /// What it holds after; `None` deletes it.
    pub new: Option<Vec<u8>>,
}

impl OwnedSwap {
    /// Copies the swaps of a call.
    ///
    /// # Errors
    /// Those of [`Swap::check`].
    pub fn all(swaps: &[Swap<'_>]) -> LedgerResult<Vec<Self>> {
        Swap::check(swaps)?;
        let owned = |Swap { name, old, new }: &Swap<'_>| Self {
            name: name.to_vec(),
            old: old.map(<[u8]>::to_vec),
            new: new.map(<[u8]>::to_vec),
        };
        Ok(swaps.iter().map(owned).collect())
    }

    /// Whether it changes nothing, and only asks.
    #[must_use]
    pub fn is_question(&self) -> bool {
        self.old == self.new
    }
}

impl fmt::Debug for OwnedSwap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, old, new } = self;
        Swap { name, old: old.as_deref(), new: new.as_deref() }.fmt(f)
    }
}

/// Copies the begins of the names of tallies that a call asks for, without those that begin with another one: so no tally
/// is found twice.
///
/// # Errors
/// Those of [`Tally::check_begins`].
pub fn owned_begins(begins: &[&[u8]]) -> LedgerResult<Vec<Vec<u8>>> {
    Tally::check_begins(begins)?;
    let mut begins = begins.to_vec();
    // One that begins with another one comes right after it, or after others that do.
    begins.sort_unstable();
    begins.dedup_by(|begin, before| begin.starts_with(before));
    Ok(begins.into_iter().map(<[u8]>::to_vec).collect())
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

    #[test]
    fn swaps_are_as_many_as_are_allowed_each_of_another_name() {
        let swap = |name| Swap { name, old: Some(b"secret"), new: None };
        let owned = OwnedSwap::all(&[swap(b"one"), swap(b"two")]).unwrap();
        assert!(!owned[0].is_question());
        assert_eq!(format!("{owned:?}"), "[Swap(6f6e65: 6 to none bytes), Swap(74776f: 6 to none bytes)]");
        let error = OwnedSwap::all(&[swap(b"one"), swap(b"one")]).unwrap_err().to_string();
        assert_eq!(error, "among reservations the name 6f6e65 is there twice, and once is allowed");
        let names: Vec<[u8; 1]> = (0..=Swap::MAX).map(|name| [name.to_le_bytes()[0]]).collect();
        let many: Vec<_> = names.iter().map(|name| swap(name)).collect();
        let error = OwnedSwap::all(&many).unwrap_err().to_string();
        assert_eq!(error, "a call has 121 reservations, and at most 120 are allowed");
    }

    #[test]
    fn no_begin_begins_with_another() {
        let begins: [&[u8]; 6] = [b"b", b"abc", b"ab", b"abe", b"a\xff", b"bc"];
        assert_eq!(owned_begins(&begins).unwrap(), [&b"ab"[..], b"a\xff", b"b"]);
        assert_eq!(owned_begins(&[b"a", b""]).unwrap(), [b""]);
    }
}
