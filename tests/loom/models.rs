//! The lines, the table and the side table of apikey-core's index, from their own source, with Loom's atomics in place of
//! the standard library's. Loom runs each model under every order of steps and every value that a load may return by
//! the rules of the C11 memory model, with at most two preemptions (`LOOM_MAX_PREEMPTIONS=3` for more, and minutes).
//!
//! `cargo test -p apikey-loom-test` runs them all; a name as argument runs one.

#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    dead_code,
    unused_imports,
    reason = "nobody else uses this"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a model that fails shall stop")]

mod atomic;
#[path = "../../apikey-core/src/access/control_word.rs"]
mod control_word;
#[path = "../../apikey-core/src/index/home.rs"]
mod home;
#[path = "../../apikey-core/src/index/line.rs"]
mod line;
#[path = "../../apikey-core/src/index/side_table.rs"]
mod side_table;
#[path = "../../apikey-core/src/index/table.rs"]
mod table;

/// The parts of the crate that those files use.
mod hints {
    pub(crate) fn large_pages<T>(_: &mut [T]) {}
    pub(crate) fn prefetch<T>(_: &T) {}
}
mod index {
    pub(crate) use super::{atomic, hints, home, line, side_table, table};
}
mod access {
    pub(crate) use super::control_word;
    pub(crate) mod network {
        pub(crate) const ANYWHERE: u32 = 0;
    }
}
mod token {
    pub(crate) mod api_key {
        pub(crate) const ID_CHARS: usize = 22;
    }
    pub(crate) mod digest {
        pub(crate) type Digest = [u8; 32];
        pub(crate) type DigestPrefix = [u8; 16];
    }
}

use std::time::Instant;

use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;

use control_word::{REVOKED, SIDE_ENTRY};
use line::{Entry, LineState, Usage};
use side_table::{FreeList, SideEntry, SideTable};
use table::Table;

/// The lines of a table; one of them stays empty.
const LINES: usize = 4;

/// An entry whose home slot is `slot`. The number is the identity's, too.
fn entry(number: u8, slot: u32) -> Entry {
    let state = LineState { control: 0, identity: number.into(), grants: number.into(), version: 1, side: 0 };
    Entry { digest: [number; 32], state, usage: Usage::new(home(slot), 0) }
}

fn home(slot: u32) -> u32 {
    slot << 29
}

fn table(entries: &[Entry]) -> Arc<Table> {
    let table = Table::with_lines(LINES);
    entries.iter().for_each(|entry| table.insert(entry));
    Arc::new(table)
}

fn find(table: &Table, number: u8, slot: u32) -> Option<LineState> {
    table.find(home(slot), &[number; 32]).map(|live| live.state)
}

/// Runs `read` on this thread while another one runs `write`.
fn beside(table: &Arc<Table>, write: impl FnOnce(&Table) + Send + 'static, read: impl FnOnce(&Table)) {
    let writer = {
        let table = table.clone();
        thread::spawn(move || {
            atomic::this_is_the_writer();
            write(&table);
        })
    };
    read(table);
    writer.join().unwrap();
}

fn remove(table: &Table, number: u8, slot: u32) {
    let slot = table.slot_of(home(slot), &[number; 32]).unwrap();
    table.remove(slot);
}

/// Another key is removed, so this one moves back, past a reader.
fn a_key_is_found_while_one_before_it_is_removed() {
    let table = table(&[entry(1, 0), entry(2, 0)]);
    beside(&table, |table| remove(table, 1, 0), |table| assert_eq!(find(table, 2, 0).unwrap().identity, 2));
}

/// Another key that belongs before it is inserted, so this one moves on.
fn a_key_is_found_while_one_before_it_is_inserted() {
    let table = table(&[entry(2, 1)]);
    let write = |table: &Table| {
        table.insert(&entry(1, 0));
        table.insert(&entry(3, 0));
    };
    beside(&table, write, |table| assert_eq!(find(table, 2, 1).unwrap().identity, 2));
}

/// A key is removed and another inserted in its place: a reader that looks for the first finds it or nothing.
fn no_reader_finds_the_key_that_replaces_another() {
    let table = table(&[entry(1, 0)]);
    let write = |table: &Table| {
        remove(table, 1, 0);
        table.insert(&entry(2, 0));
    };
    let read = |table: &Table| {
        assert!(find(table, 1, 0).is_none_or(|found| (found.identity, found.grants) == (1, 1)));
    };
    beside(&table, write, read);
    assert_eq!(find(&table, 2, 0).unwrap().identity, 2);
}

/// A lookup does not find a key that was removed before it began.
fn a_removed_key_is_not_found() {
    let table = table(&[entry(1, 0), entry(2, 0)]);
    remove(&table, 1, 0);
    beside(&table, |table| table.insert(&entry(3, 0)), |table| assert!(find(table, 1, 0).is_none()));
}

/// Grants and state change together: no reader sees the new grants with the old state.
fn no_mixture_gives_more_than_old_or_new() {
    let table = table(&[entry(1, 0)]);
    let write = |table: &Table| {
        let live = table.find(home(0), &[1; 32]).unwrap();
        live.line.update(LineState { control: REVOKED, grants: 9, ..live.state });
    };
    let read = |table: &Table| {
        let found = find(table, 1, 0).unwrap();
        assert!(found.grants == 1 || found.control & REVOKED != 0, "the new grants, and not revoked");
    };
    beside(&table, write, read);
}

/// Identity and grants change together: no reader sees the labels of one state with the grants of the other.
fn identity_and_grants_are_of_one_state() {
    let table = table(&[entry(1, 0)]);
    let write = |table: &Table| {
        let live = table.find(home(0), &[1; 32]).unwrap();
        live.line.update(LineState { identity: 9, grants: 9, ..live.state });
    };
    let read = |table: &Table| {
        let found = find(table, 1, 0).unwrap();
        assert!(found.identity == found.grants, "{} with {}", found.identity, found.grants);
    };
    beside(&table, write, read);
    assert_eq!(find(&table, 1, 0).unwrap().identity, 9);
}

/// Two changes one after the other, from restricted to free: the second's grants never show with the first's state.
fn two_updates_are_not_mixed() {
    let table = table(&[entry(1, 0)]);
    let write = |table: &Table| {
        let live = table.find(home(0), &[1; 32]).unwrap();
        live.line.update(LineState { control: 0, grants: 2, ..live.state });
        live.line.update(LineState { control: REVOKED, grants: 3, ..live.state });
    };
    let read = |table: &Table| {
        let found = find(table, 1, 0).unwrap();
        assert!(found.grants < 3 || found.control & REVOKED != 0, "{}", found.grants);
    };
    beside(&table, write, read);
}

/// One line gives its side entry back and another takes it: no reader believes the other's times.
fn a_side_entry_is_nobody_elses() {
    let side_table = Arc::new(SideTable::default());
    let mut free_list = FreeList::default();
    let times = |at| SideEntry { not_before: Some(1), secret_end: Some(2), ..SideEntry::none(at) };
    let number = side_table.add(&mut free_list, times(1), None);
    let mut with_side = entry(1, 0);
    with_side.state.control = SIDE_ENTRY;
    with_side.state.side = number;
    let table = table(&[with_side]);
    let written = side_table.clone();
    let write = move |table: &Table| {
        let live = table.find(home(0), &[1; 32]).unwrap();
        live.line.update(LineState { control: 0, ..live.state });
        free_list.give_back(number);
        written.add(&mut free_list, times(2), None);
    };
    let read = |table: &Table| {
        let live = table.find(home(0), &[1; 32]).unwrap();
        if live.state.control & SIDE_ENTRY != 0 {
            let entry = side_table.read(live.state.side).unwrap();
            assert!(entry.id == 1 || !live.line.is_still(live.state.control), "another's side entry");
        }
    };
    beside(&table, write, read);
}

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let models: [(&str, fn()); 8] = [
        ("a_key_is_found_while_one_before_it_is_removed", a_key_is_found_while_one_before_it_is_removed),
        ("a_key_is_found_while_one_before_it_is_inserted", a_key_is_found_while_one_before_it_is_inserted),
        ("no_reader_finds_the_key_that_replaces_another", no_reader_finds_the_key_that_replaces_another),
        ("a_removed_key_is_not_found", a_removed_key_is_not_found),
        ("no_mixture_gives_more_than_old_or_new", no_mixture_gives_more_than_old_or_new),
        ("identity_and_grants_are_of_one_state", identity_and_grants_are_of_one_state),
        ("two_updates_are_not_mixed", two_updates_are_not_mixed),
        ("a_side_entry_is_nobody_elses", a_side_entry_is_nobody_elses),
    ];
    for (name, model) in models {
        if wanted.as_ref().is_some_and(|wanted| !name.contains(wanted)) {
            continue;
        }
        let start = Instant::now();
        let runs = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let counted = runs.clone();
        let mut builder = Builder::new();
        builder.preemption_bound = builder.preemption_bound.or(Some(2));
        builder.max_branches = 100_000;
        builder.check(move || {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            model();
        });
        println!(
            "{name}: {} orders, {:.1} s",
            runs.load(std::sync::atomic::Ordering::Relaxed),
            start.elapsed().as_secs_f64()
        );
    }
}
