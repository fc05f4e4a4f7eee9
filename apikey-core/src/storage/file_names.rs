//! The names of what is in a store's directory.

/// Who has the store open.
pub(crate) const LOCK: &str = "lock";
/// The commit mark.
pub(crate) const MARK: &str = "mark";
/// The directory of the database.
pub(crate) const DATABASE: &str = "sled";
