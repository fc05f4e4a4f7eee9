//! Two threads that verify, with a third that revokes and rotates.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use apikey::{KeyStore, NewKey, Overlap, Requirement};
use apikey_bench::{PERMISSION, Tokens};

use crate::dependent_loads::median;
use crate::report::{Report, section};

const ROUNDS: usize = 7;
const TIME: Duration = Duration::from_millis(400);

pub fn measure(report: &mut Report) {
    section("two threads and a writer");
    let store = KeyStore::temporary().unwrap();
    let tokens = apikey_bench::fill(&store, 1_000);
    let (first, second) = tokens.split_at(500);
    let apart = [Tokens::shuffled(first), Tokens::shuffled(second)];
    let one = [Tokens::shuffled(&tokens[..1]), Tokens::shuffled(&tokens[..1])];
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // As many changes as a disk with an fsync for each would accept.
            while !ended.load(Ordering::Relaxed) {
                let created = store.create(NewKey::for_owner("writer").permissions([PERMISSION])).unwrap();
                store.rotate(created.info.id(), Overlap::For(chrono::TimeDelta::hours(1))).unwrap();
                store.revoke(created.info.id(), "bench").unwrap();
                thread::sleep(Duration::from_millis(2));
            }
        });
        let mut ratios = [const { [Vec::new(), Vec::new(), Vec::new()] }; 2];
        for _ in 0..ROUNDS {
            for (tokens, [wall, cpu, cores]) in [&apart, &one].into_iter().zip(&mut ratios) {
                let (alone, both) = (rate(&store, &tokens[..1]), rate(&store, tokens));
                wall.push(both.wall / alone.wall);
                cpu.push(2.0 * both.cpu / alone.cpu);
                cores.push(both.wall / both.cpu);
            }
        }
        ended.store(true, Ordering::Relaxed);
        let [apart, one] = ratios.map(|[wall, cpu, cores]| {
            let [wall, cpu, cores] = [wall, cpu, cores].map(median);
            format!("{cpu:.2}x by CPU time ({wall:.2}x by the wall clock, where the two had {cores:.1} cores)")
        });
        report.row("two threads and a writer, different keys, to one thread", apart, ">= 1.9x", "1.8x");
        report.row("the same, all on one key", one, ">= 1.6x", "1.3x");
    });
}

/// Verifications a second: by the wall clock, and by the CPU time of the threads. On a machine with other load only the
/// second shows whether the threads slow each other down.
struct Rate {
    wall: f64,
    cpu: f64,
}

/// Runs a thread for each set of tokens.
fn rate(store: &KeyStore, tokens: &[Tokens]) -> Rate {
    let read = Requirement::permission(PERMISSION).unwrap();
    let (count, cpu, ended) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let start = Instant::now();
    thread::scope(|scope| {
        for tokens in tokens {
            scope.spawn(|| {
                let (mut at, mut done) = (0, 0);
                while !ended.load(Ordering::Relaxed) {
                    for _ in 0..64 {
                        let key = store.authorize(tokens.get(at), &read).unwrap();
                        at = (at + key.secret_version() as usize) % tokens.len();
                    }
                    done += 64;
                }
                count.fetch_add(done, Ordering::Relaxed);
                cpu.fetch_add(crate::http::cpu_ns() as u64, Ordering::Relaxed);
            });
        }
        thread::sleep(TIME);
        ended.store(true, Ordering::Relaxed);
    });
    let count = count.load(Ordering::Relaxed) as f64;
    Rate { wall: count / start.elapsed().as_secs_f64(), cpu: count / (cpu.load(Ordering::Relaxed) as f64 / 1e9) }
}
