//! What keys cost on this machine and this disk, in a store of its own that is gone afterwards.

use std::path::Path;
use std::time::{Duration, Instant};

use apikey_core::{CreatedKey, KeyStore, NewKey};
use serde_json::json;

use super::Context;
use crate::args::Bench;
use crate::failure::{Code, Failure};
use crate::out;
use crate::progress::Progress;

/// Verifications between two looks at the clock.
const ROUND: usize = 1000;

pub(super) fn bench(context: &Context, bench: &Bench) -> Result<(), Failure> {
    let path = context.opening.path()?;
    // Beside the store, so that it is the same disk.
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = tempfile::Builder::new().prefix(".apikey-bench-").tempdir_in(beside);
    let directory = directory.map_err(|error| Failure::file(beside, &error))?;
    let store = KeyStore::open(directory.path())?;
    let progress = Progress::new("measuring");
    let created = store.create_many((0..bench.keys).map(|_| NewKey::for_owner("bench").permissions(["bench:*"])))?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let one = verifications(&store, &created, 1, bench.time)?;
    let all = if threads > 1 { verifications(&store, &created, threads, bench.time)? } else { one };
    let creations = creations(&store, bench.time)?;
    let (p50, p99) = (percentile(&creations, 50), percentile(&creations, 99));
    store.close()?;
    drop(progress);
    directory.close().map_err(|error| Failure::file(beside, &error))?;
    if context.json {
        return out::json(&json!({
            "keys": created.len(),
            "verifications_per_second": one.round(),
            "threads": threads,
            "verifications_per_second_on_all_threads": all.round(),
            "creations": creations.len(),
            "create_p50_seconds": p50.as_secs_f64(),
            "create_p99_seconds": p99.as_secs_f64(),
        }));
    }
    if cfg!(debug_assertions) {
        out::note("built without optimisation: a release build is many times faster");
    }
    let milliseconds = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1000.0);
    let rows = [
        ("keys", created.len().to_string()),
        ("verifications", format!("{one:.0} a second on one thread, {all:.0} on {threads}")),
        ("creations", format!("{}, one after the other, each on disk when it returns", creations.len())),
        ("create, p50", milliseconds(p50)),
        ("create, p99", milliseconds(p99)),
    ];
    out::text(&out::aligned(&rows.map(|(label, value)| vec![out::title(label), value.into()])))
}

/// How many a second, all threads together.
fn verifications(store: &KeyStore, keys: &[CreatedKey], threads: usize, time: Duration) -> Result<f64, Failure> {
    let run = |from: usize| {
        let begun = Instant::now();
        let (mut done, mut at) = (0u32, from);
        // A busy machine may let a thread begin late: each has its time, and one round at least.
        while done == 0 || begun.elapsed() < time {
            for _ in 0..ROUND {
                // In no order that the memory could guess: a prime step.
                at = (at + 7919) % keys.len();
                store.verify(keys.get(at)?.key.expose_secret()).ok()?;
                done = done.saturating_add(1);
            }
        }
        Some(f64::from(done) / begun.elapsed().as_secs_f64())
    };
    let rates: Option<Vec<f64>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        running.into_iter().map(|thread| thread.join().ok().flatten()).collect()
    });
    let rates = rates.ok_or_else(|| Failure::new(Code::Refused, "a key that was just made does not verify"))?;
    Ok(rates.iter().sum())
}

/// How long each took, in order of length.
fn creations(store: &KeyStore, time: Duration) -> Result<Vec<Duration>, Failure> {
    let end = Instant::now() + time;
    let mut took = Vec::new();
    while took.is_empty() || Instant::now() < end {
        let begun = Instant::now();
        store.create(NewKey::for_owner("bench"))?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    Ok(took)
}

/// The time within which so many of a hundred were done.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_by_nearest_rank() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!((percentile(&times, 50), percentile(&times, 99)), (times[99], times[197]));
        assert_eq!(percentile(&times[..1], 99), times[0]);
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
