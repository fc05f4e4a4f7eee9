//! The atomics of lines, table and side table: a file of its own so that tests/loom can put Loom's in its place.

pub(super) use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
