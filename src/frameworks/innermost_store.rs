//! Finds the innermost of two stores, where a framework keeps stores in two slots that do not know of each other.

use std::ptr;

use apikey_core::KeyStore;

/// A slot in which a framework keeps a store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot<'a> {
    store: &'a KeyStore,
    /// The address of the value in the slot, which does not move during the request.
    address: usize,
}

impl<'a> Slot<'a> {
    /// `value` is the store, or the wrapper in which the framework keeps it.
    pub(super) fn new<T>(value: &'a T, store: &'a KeyStore) -> Self {
        Self { store, address: ptr::from_ref(value).addr() }
    }

    /// Identifies the value in the slot. The address alone may be reused by a later value.
    fn identity(self) -> (u64, usize) {
        (self.store.instance(), self.address)
    }
}

/// The content of both slots when one of our layers provided its store: a value that appears later is further in.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlotSnapshot([Option<(u64, usize)>; 2]);

impl SlotSnapshot {
    pub(super) fn new(slots: [Option<Slot<'_>>; 2]) -> Self {
        Self(slots.map(|slot| slot.map(Slot::identity)))
    }
}

/// The error if the two slots have different stores, and no layer of this crate is between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AmbiguousStore;

/// The innermost store. Our layers write the first slot.
pub(super) fn innermost<'a>(
    slots: [Option<Slot<'a>>; 2],
    snapshot: Option<SlotSnapshot>,
) -> Result<Option<&'a KeyStore>, AmbiguousStore> {
    let (first, second) = match slots {
        [Some(first), Some(second)] => (first, second),
        [first, second] => return Ok(first.or(second).map(|slot| slot.store)),
    };
    if first.store.instance() == second.store.instance() {
        return Ok(Some(first.store));
    }
    let SlotSnapshot([first_then, second_then]) = snapshot.ok_or(AmbiguousStore)?;
    match (first_then == Some(first.identity()), second_then == Some(second.identity())) {
        (_, true) => Ok(Some(first.store)),
        (true, false) => Ok(Some(second.store)),
        (false, false) => Err(AmbiguousStore),
    }
}
