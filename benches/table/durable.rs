//! What does a durable change cost, against the minimum of a disk, and sixteen at once against one?

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use apikey::{KeyStore, NewKey};

use crate::group::Group;
use crate::report::{Report, section};

const ROUNDS: usize = 15;
const CHANGES: u32 = 50;
const WRITERS: u32 = 16;

/// Measures in another process, as `-- durable` does: at the end of the whole table a create takes several times as long
/// as the bare write beside it, for an unknown reason (docs/reference/performance.md).
pub fn measure_apart(report: &mut Report) {
    section("durable changes, in a process of their own");
    let output = Command::new(std::env::current_exe().unwrap()).arg("durable").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    report.take(&String::from_utf8(output.stdout).unwrap());
}

/// Takes turns in rounds, so that other load of the disk affects all alike; reports medians of the ratios within a round.
pub fn measure(report: &mut Report) {
    section("durable changes");
    let directory = tempfile::tempdir().unwrap();
    let store = KeyStore::open(directory.path().join("keys.db")).unwrap();
    let create = || drop(store.create(NewKey::for_owner("alice").permissions(["orders:read"])).unwrap());
    let mut bare = File::create(directory.path().join("bare")).unwrap();
    bare.write_all(&[0; 1 << 20]).unwrap();
    bare.sync_all().unwrap();
    let mut rounds: Vec<[Duration; 3]> = Vec::new();
    for _ in 0..=ROUNDS {
        let least = of_each(CHANGES, || {
            bare.seek(SeekFrom::Start(0)).unwrap();
            bare.write_all(&[1; 512]).unwrap();
            bare.sync_data().unwrap();
        });
        let one = of_each(CHANGES, create);
        let many = of_many(create);
        rounds.push([least, one, many]);
    }
    // The first creates the files.
    rounds.remove(0);
    // The store has nothing left to write, so that this is alone on the disk.
    drop(store);
    let group = Group::in_directory(directory.path());
    let bare: Vec<[Duration; 2]> = (0..ROUNDS)
        .map(|_| [of_each(CHANGES, || group.change(1)), of_many(|| group.change(WRITERS as usize))])
        .collect();
    let create =
        format!("{:.2}x ({:.0} us against {:.0})", ratio(&rounds, 1, 0), micros(&rounds, 1), micros(&rounds, 0));
    report.row("one durable create, against a bare write and fdatasync", create, "<= 1.1x", "1.3x");
    let many = format!("{:.1}x ({:.0} us a change)", ratio(&rounds, 1, 2), micros(&rounds, 2));
    report.row("16 writers at once against 1, per change", many, ">= 12x", "8x");
    let bare = format!("{:.1}x ({:.0} us a change)", ratio(&bare, 0, 1), micros(&bare, 1));
    report.row("the same, of bytes alone, where each sync is for all sixteen", bare, "-", "-");
}

fn of_each(times: u32, mut work: impl FnMut()) -> Duration {
    let begun = Instant::now();
    (0..times).for_each(|_| work());
    begun.elapsed() / times
}

/// The median over the rounds of the ratios within a round.
fn ratio<const N: usize>(rounds: &[[Duration; N]], over: usize, under: usize) -> f64 {
    median(rounds.iter().map(|round| round[over].as_secs_f64() / round[under].as_secs_f64()).collect())
}

fn micros<const N: usize>(rounds: &[[Duration; N]], at: usize) -> f64 {
    median(rounds.iter().map(|round| round[at].as_secs_f64() * 1e6).collect())
}

/// The time of sixteen writers at once, for each change.
fn of_many(work: impl Fn() + Sync) -> Duration {
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| (0..CHANGES).for_each(|_| work()));
        }
    });
    begun.elapsed() / (CHANGES * WRITERS)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
