//! How much memory a store takes, and how long it takes to open. Each runs in a process of its own, since a process keeps
//! every owner and set of grants that it has seen.

#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::time::Instant;

use apikey::KeyStore;

use crate::dependent_loads::median;
use crate::report::{Report, section};

struct Counting;

static ON: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicIsize = AtomicIsize::new(0);

fn count(bytes: usize, sign: isize) {
    if ON.load(Ordering::Relaxed) {
        LIVE.fetch_add(bytes as isize * sign, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The argument with which this program starts itself.
pub const CHILD: &str = "--child";

/// The child's part: opens `store` or `sled` at the path, and prints seconds and live bytes.
pub fn child(what: &str, path: &str) {
    if what == "store" {
        // The time first, while the allocator does not count.
        let start = Instant::now();
        let store = KeyStore::open(path).unwrap();
        let took = start.elapsed().as_secs_f64();
        println!("{took} 0");
        std::mem::forget(store);
        return;
    }
    ON.store(true, Ordering::Relaxed);
    let start = Instant::now();
    if what == "store-memory" {
        let store = KeyStore::open(path).unwrap();
        println!("{} {}", start.elapsed().as_secs_f64(), LIVE.load(Ordering::Relaxed));
        std::mem::forget(store);
    } else {
        let config = sled::Config::new().path(Path::new(path).join("sled")).cache_capacity(32 * 1024 * 1024);
        let database = config.open().unwrap();
        // Reads what the open of a store reads, with as many threads: sled's memory depends on that.
        let trees = ["keys", "owners", "imported", "uses", "events"].map(|name| database.open_tree(name).unwrap());
        let [keys, owners, imported, uses, events] = &trees;
        let read = |tree: &sled::Tree| tree.iter().for_each(|item| drop(std::hint::black_box(item.unwrap())));
        read(uses);
        std::thread::scope(|scope| {
            scope.spawn(|| read(keys));
            scope.spawn(|| [events, owners, imported].map(read));
        });
        println!("{} {}", start.elapsed().as_secs_f64(), LIVE.load(Ordering::Relaxed));
        std::mem::forget((trees, database));
    }
}

fn call(what: &str, path: &Path) -> (f64, f64) {
    let output = Command::new(std::env::current_exe().unwrap()).args([CHILD, what]).arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Opens the closed store with so many keys at `path`, so many times for the time.
pub fn measure(path: &Path, keys: usize, times: usize, report: &mut Report) {
    section("open, and memory");
    let times: Vec<f64> = (0..times).map(|_| call("store", path).0).collect();
    let sled = call("sled", path);
    let store = call("store-memory", path);
    let figure = format!("{:.2} s (sled opened and scanned: {:.2} s)", median(times), sled.0);
    let millions = keys / 1_000_000;
    report.row(format!("open, {millions} M keys, one event a key, warm"), figure, "<= 2.5 s", "5 s");
    let a_key = (store.1 - sled.1) / keys as f64;
    let figure = format!("{a_key:.0} B ({:.0} MB, less sled's {:.0} MB)", store.1 / 1e6, sled.1 / 1e6);
    report.row(format!("memory a key, {millions} M keys, distinct owners of 16 bytes"), figure, "<= 128 B", "192 B");
}
