//! Does memory grow when keys come and go?
//!
//! `cargo bench -p apikey-bench --bench churn` creates and removes ten million keys in the index over a live set of ten
//! thousand, then two hundred thousand in a store (created, revoked, purged), and prints the live bytes meanwhile. It
//! takes about a minute.

#![allow(unsafe_code, reason = "an allocator that counts")]
#![allow(clippy::unwrap_used, reason = "a bench that fails shall stop")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicIsize, Ordering};

use apikey::{KeyStore, NewKey};
use apikey_bench::PERMISSION;
use apikey_core::measure::Keys;
use chrono::{TimeDelta, Utc};

struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LIVE_KEYS: usize = 10_000;
const MILLION: usize = 1_000_000;

fn report(what: &str, keys: usize, base: isize) {
    println!("{what}: {keys:>10} keys gone by, {:>8.2} MB", (LIVE.load(Ordering::Relaxed) - base) as f64 / 1e6);
}

fn index(what: &str, total: usize, owner: impl Fn(usize) -> String) {
    let base = LIVE.load(Ordering::Relaxed);
    let mut keys = Keys::with_room(0);
    let mut live = VecDeque::new();
    for at in 0..total {
        live.push_back(keys.add(&owner(at), PERMISSION).unwrap().1);
        if live.len() > LIVE_KEYS {
            keys.remove(&live.pop_front().unwrap());
        }
        if at + 1 == 100_000 || (at + 1) % (total / 4) == 0 {
            report(what, at + 1, base);
        }
    }
}

fn store() {
    const BATCH: usize = 1_000;
    let base = LIVE.load(Ordering::Relaxed);
    let store = KeyStore::temporary().unwrap();
    let mut live = VecDeque::new();
    for batch in 0..200 {
        let new = (0..BATCH).map(|at| NewKey::for_owner(format!("owner {at}")).permissions([PERMISSION]));
        live.push_back(store.create_many(new).unwrap().iter().map(|created| created.info.id()).collect::<Vec<_>>());
        if live.len() > LIVE_KEYS / BATCH {
            for id in live.pop_front().unwrap() {
                store.revoke(id, "gone").unwrap();
            }
            store.purge(Utc::now() + TimeDelta::days(1)).unwrap();
            store.purge_events(Utc::now() + TimeDelta::days(1)).unwrap();
        }
        if (batch + 1) % 25 == 0 {
            report("store, sled's cache and log included", (batch + 1) * BATCH, base);
        }
    }
}

fn main() {
    index("index, ten thousand owners", 10 * MILLION, |at| format!("owner {}", at % LIVE_KEYS));
    index("index, a new owner for each key", MILLION, |at| format!("owner-{at:010}"));
    store();
}
