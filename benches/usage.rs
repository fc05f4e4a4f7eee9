//! What does it cost to count uses, and are the counts exact?
//!
//! `cargo bench -p apikey-bench --bench usage` verifies in a store that counts beside one that does not, lets two threads
//! use one key, and compares the sum of eight threads with what they did. It takes about a minute.
//! `-- day DIRECTORY` leaves a store in the directory with a day of traffic on 100,000 keys, for `apikey usage`;
//! `-- million DIRECTORY` uses a million keys once an hour for a day, and prints what that takes of memory and disk, and how
//! long the writes take. Both need minutes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a bench that fails shall stop"
)]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use apikey::{KeyStore, ManualClock, NewKey, Requirement, Step, Usage};
use apikey_bench::{PERMISSION, Tokens, fill};
use chrono::{TimeDelta, Utc};

/// Rounds, of which the median counts. In each the two that are compared take turns.
const ROUNDS: usize = 31;
const VERIFICATIONS: usize = 200_000;
const HOURS: i64 = 24;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["day", directory] => day(Path::new(directory)),
        ["million", directory] => million(Path::new(directory)),
        ["rows", directory] => rows(Path::new(directory)),
        [] => {
            costs();
            one_key();
            exact();
        }
        _ => panic!("the arguments are none, `day DIRECTORY`, `million DIRECTORY` or `rows DIRECTORY`"),
    }
}

fn counting() -> KeyStore {
    KeyStore::builder().count_use(true).temporary().unwrap()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Nanoseconds a verification, with and without counting.
fn costs() {
    let requirement = Requirement::permission(PERMISSION).unwrap();
    for keys in [1_000, 100_000] {
        let stores = [KeyStore::temporary().unwrap(), counting()].map(|store| {
            let tokens = Tokens::shuffled(&fill(&store, keys));
            (store, tokens)
        });
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..ROUNDS {
            for ((store, tokens), times) in stores.iter().zip(&mut times) {
                let begun = Instant::now();
                for at in 0..VERIFICATIONS {
                    let token = tokens.get((at + round * VERIFICATIONS) % tokens.len());
                    black_box(store.authorize(token, &requirement)).unwrap();
                }
                times.push(begun.elapsed().as_nanos() as f64 / VERIFICATIONS as f64);
            }
        }
        let [without, with] = times;
        let difference = median(with.iter().zip(&without).map(|(with, without)| with - without).collect());
        println!(
            "verify, {keys} keys: counted {:.1} ns, not counted {:.1} ns, difference {difference:+.1} ns",
            median(with),
            median(without)
        );
    }
}

/// Verifications of one key by two threads, to those of one thread, in a store that counts and one that does not. By CPU
/// time, since another load of the machine would count as a wait.
fn one_key() {
    let mut ratios = [Vec::new(), Vec::new()];
    let stores = [KeyStore::temporary().unwrap(), counting()].map(|store| {
        let token = store.create(NewKey::for_owner("alice")).unwrap().key.expose_secret().to_owned();
        (store, token)
    });
    let rate = |(store, token): &(KeyStore, String), threads: usize| {
        let cpu: Duration = thread::scope(|scope| {
            let threads: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| {
                        let begun = cpu_time();
                        for _ in 0..VERIFICATIONS * 2 {
                            black_box(store.verify(token)).unwrap();
                        }
                        cpu_time() - begun
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        threads as f64 / cpu.as_secs_f64()
    };
    for _ in 0..ROUNDS {
        for (store, ratios) in stores.iter().zip(&mut ratios) {
            ratios.push(2.0 * rate(store, 2) / rate(store, 1));
        }
    }
    let [without, with] = ratios.map(median);
    println!("two threads on one key, to one thread: counted {with:.2}x, not counted {without:.2}x");
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

fn exact() {
    const THREADS: usize = 8;
    const EACH: usize = 10_000_000;
    let directory = tempfile::tempdir().unwrap();
    let open = || KeyStore::builder().count_use(true).open(directory.path()).unwrap();
    let store = open();
    let tokens = Tokens::shuffled(&fill(&store, 1_000));
    let counted = |store: &KeyStore| store.usage(&Usage::of_store()).unwrap().uses();
    let begun = Instant::now();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, tokens) = (&store, &tokens);
            scope.spawn(move || {
                for at in 0..EACH {
                    black_box(store.verify(tokens.get((at * 7 + thread) % tokens.len()))).unwrap();
                }
            });
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    let all = (THREADS * EACH) as u64;
    let before = counted(&store);
    store.close().unwrap();
    let store = open();
    assert_eq!((before, counted(&store)), (all, all));
    println!("{THREADS} threads, {EACH} uses each, in {seconds:.1} s: {all} counted, and as many after a restart");
}

/// A random number below `bound`, from a sequence that is the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A day of traffic on 100,000 keys: most of it by day, a few keys busy, some refused.
fn day(directory: &Path) {
    const KEYS: usize = 100_000;
    let clock = ManualClock::new(Utc::now() - TimeDelta::hours(HOURS - 1));
    let store = KeyStore::builder().clock(clock.clone()).count_use(true).open(directory).unwrap();
    let mut tokens = Vec::new();
    for first in (0..KEYS).step_by(10_000) {
        let new = (first..first + 10_000).map(|at| NewKey::for_owner(format!("customer{:05}", at / 3)));
        tokens.extend(store.create_many(new).unwrap().into_iter().map(|key| key.key.expose_secret().to_owned()));
    }
    let mut random = Random(7);
    let mut all = 0;
    for hour in 0..HOURS {
        let swing = 1.0 - (hour as f64 / HOURS as f64 * std::f64::consts::TAU).cos();
        for _ in 0..20_000 + (swing * 150_000.0) as usize {
            // A tenth of the keys has most of the traffic, and a tenth of these most of that.
            let mut bound = KEYS as u64;
            while bound > 100 && random.below(3) > 0 {
                bound /= 10;
            }
            let token = &tokens[random.below(bound) as usize];
            black_box(store.verify(token)).unwrap();
            all += 1;
            if random.below(500) == 0 {
                black_box(store.verify("ak_guess")).unwrap_err();
            }
        }
        // What threads have counted is collected before the clock moves.
        assert_eq!(store.usage(&Usage::of_store()).unwrap().uses(), all);
        clock.advance(TimeDelta::hours(1));
    }
    store.close().unwrap();
    println!("{all} uses of {KEYS} keys in {}: apikey --store {} usage", directory.display(), directory.display());
}

fn million(directory: &Path) {
    const KEYS: usize = 1_000_000;
    let clock = ManualClock::new(Utc::now() - TimeDelta::hours(HOURS));
    let open = || KeyStore::builder().clock(clock.clone()).count_use(true).open(directory).unwrap();
    let mut store = open();
    let mut tokens = Vec::new();
    for _ in 0..KEYS / 10_000 {
        let keys = store.create_many((0..10_000).map(|at| NewKey::for_owner(format!("owner{at}")))).unwrap();
        tokens.extend(keys.into_iter().map(|key| key.key.expose_secret().to_owned()));
    }
    store.close().unwrap();
    let disk = || fs::metadata(directory.join("sled/db")).unwrap().len() as f64 / f64::from(1 << 20);
    let before = disk();
    for hour in 1..=HOURS {
        store = open();
        let memory = resident();
        let begun = Instant::now();
        for token in &tokens {
            black_box(store.verify(token)).unwrap();
        }
        let (verified, grown) = (begun.elapsed(), resident() - memory);
        store.close().unwrap();
        let written = begun.elapsed() - verified;
        println!(
            "hour {hour}: {KEYS} keys verified in {:.1} s, memory +{grown:.0} MiB, the rest written at close in {:.1} s, disk \
             +{:.0} MiB",
            verified.as_secs_f64(),
            written.as_secs_f64(),
            disk() - before
        );
        clock.advance(TimeDelta::hours(1));
    }
    store = open();
    let uses = |step: Step| {
        let since = Utc::now() - step.kept();
        store.usage(&Usage::of_store().step(step).since(since)).unwrap().uses()
    };
    let all = (KEYS as i64 * HOURS) as u64;
    assert_eq!(uses(Step::Day), all, "exact by the day");
    println!("{all} uses counted by the day, {} by the hour", uses(Step::Hour));
    drop(store);
    rows(directory);
}

/// How many rows the store has, and how much they take by its own reckoning.
fn rows(directory: &Path) {
    let rows = sled::open(directory.join("sled")).unwrap().open_tree("usage").unwrap();
    let bytes: usize = rows.iter().map(|row| row.unwrap()).map(|(name, value)| name.len() + value.len()).sum();
    let reckoned =
        rows.get([0]).unwrap().and_then(|bytes| Some(u64::from_le_bytes(*bytes.first_chunk()?))).unwrap_or(0);
    println!("{} rows, {} MiB of names and values, reckoned {} MiB", rows.len(), bytes >> 20, reckoned >> 20);
}

/// MiB of memory that this process has.
fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
