//! Loom's atomics, except for loads by the only writer.
//!
//! Loom remembers one last access of each atomic. A writer that loads a value and then stores it hides the load of a
//! reader before it, and Loom never tries the order in which the reader comes later. So a load by the writer, beside
//! which nobody stores, is no step here. (Without this, Loom tries one order only of four of the models.)

#![allow(unsafe_code, reason = "Loom's load that is no step; it checks that nobody stores meanwhile")]

use std::cell::Cell;

pub(super) use loom::sync::atomic::{Ordering, fence};

loom::thread_local! {
    static WRITER: Cell<bool> = Cell::new(false);
}

pub(super) fn this_is_the_writer() {
    WRITER.with(|writer| writer.set(true));
}

macro_rules! atomics {
    ($($name:ident: $number:ty),*) => {$(
        #[derive(Debug, Default)]
        pub(super) struct $name(loom::sync::atomic::$name);

        impl $name {
            pub(super) fn new(value: $number) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }

            #[track_caller]
            pub(super) fn load(&self, ordering: Ordering) -> $number {
                if WRITER.with(Cell::get) {
                    // SAFETY: Loom fails the model if another thread stores at the same time.
                    return unsafe { self.0.unsync_load() };
                }
                self.0.load(ordering)
            }

            #[track_caller]
            pub(super) fn store(&self, value: $number, ordering: Ordering) {
                self.0.store(value, ordering);
            }

            #[track_caller]
            pub(super) fn fetch_add(&self, value: $number, ordering: Ordering) -> $number {
                self.0.fetch_add(value, ordering)
            }

            #[track_caller]
            pub(super) fn fetch_and(&self, value: $number, ordering: Ordering) -> $number {
                self.0.fetch_and(value, ordering)
            }

            #[track_caller]
            pub(super) fn compare_exchange(
                &self,
                held: $number,
                new: $number,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$number, $number> {
                self.0.compare_exchange(held, new, success, failure)
            }
        }
    )*};
}

atomics!(AtomicU64: u64, AtomicU32: u32, AtomicI64: i64, AtomicUsize: usize);
