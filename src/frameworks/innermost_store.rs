//! Which of two stores was named further in, where a framework keeps them in two places that do not know of each other.

use std::ptr;

use apikey_core::KeyStore;

/// A store where a framework keeps it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    store: &'a KeyStore,
    /// The address of what is held there, which does not move while the request lasts.
    at: usize,
}

impl<'a> Place<'a> {
    /// `held` is the store, or what the framework has wrapped it in.
    pub(crate) fn new<T>(held: &'a T, store: &'a KeyStore) -> Self {
        Self { store, at: ptr::from_ref(held).addr() }
    }

    /// What tells that another one was put there. An address alone may be taken again.
    fn what(self) -> (u64, usize) {
        (self.store.instance(), self.at)
    }
}

/// What stood in the two places when one of our layers had named its store: what stands there later, and did not then,
/// was named further in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen([Option<(u64, usize)>; 2]);

impl Seen {
    pub(crate) fn new(places: [Option<Place<'_>>; 2]) -> Self {
        Self(places.map(|place| place.map(|place| place.what())))
    }
}

/// Two stores were named in two forms with no layer of ours between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Undecided;

/// The store that was named further in. The first place is the one that our layers write.
pub(crate) fn further_in<'a>(
    places: [Option<Place<'a>>; 2],
    seen: Option<Seen>,
) -> Result<Option<&'a KeyStore>, Undecided> {
    let (first, second) = match places {
        [Some(first), Some(second)] => (first, second),
        [first, second] => return Ok(first.or(second).map(|place| place.store)),
    };
    if first.store.instance() == second.store.instance() {
        return Ok(Some(first.store));
    }
    let Seen([first_seen, second_seen]) = seen.ok_or(Undecided)?;
    match (first_seen == Some(first.what()), second_seen == Some(second.what())) {
        (_, true) => Ok(Some(first.store)),
        (true, false) => Ok(Some(second.store)),
        (false, false) => Err(Undecided),
    }
}
