//! The stores of this process, by number.

/// The prefix of new tokens of each. A process that opens a store many times keeps as many.
static STORES: boxcar::Vec<Box<str>> = boxcar::Vec::new();

/// Gives a store a number, which no other store of the process has, and remembers its prefix of new tokens.
pub(crate) fn register(prefix: &str) -> u64 {
    // 0 is for an index without a store.
    STORES.push(prefix.into()) as u64 + 1
}

/// The prefix of new tokens of the store with this number.
pub(crate) fn default_prefix(store: u64) -> Option<&'static str> {
    let place = usize::try_from(store.checked_sub(1)?).ok()?;
    STORES.get(place).map(|prefix| &**prefix)
}
