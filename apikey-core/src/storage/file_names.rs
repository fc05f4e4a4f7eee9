//! The names of the files in a store's directory.

/// The lock file, which names the process that has the store open.
pub(crate) const LOCK: &str = "lock";
/// The commit mark.
pub(crate) const MARK: &str = "mark";
/// The directory of the database.
pub(crate) const DATABASE: &str = "sled";
/// The cluster of a replica, for when its database cannot be read.
pub(crate) const REPLICA: &str = "replica";
/// What is in force on this node of a cluster alone.
pub(crate) const ONLY_HERE: &str = "only-here";
/// The directory of what a rebuilt replica had before.
pub(crate) const DAMAGED: &str = "damaged";
/// The last entries of the cluster's log that a replica has applied, and those before them.
pub(crate) const ENTRIES: &str = "entries";
pub(crate) const OLDER_ENTRIES: &str = "entries-older";

/// Every name that a store gives to something in its directory.
pub(crate) const ALL: [&str; 8] = [LOCK, MARK, DATABASE, REPLICA, ONLY_HERE, DAMAGED, ENTRIES, OLDER_ENTRIES];
