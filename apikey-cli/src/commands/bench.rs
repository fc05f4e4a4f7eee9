//! Measures verifications and creations on this machine and disk, in a temporary store.

use std::path::Path;
use std::time::{Duration, Instant};

use apikey_core::{CreatedKey, KeyStore, NewKey};
use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output;
use crate::output::progress::Progress;
use crate::output::table;

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// The number of keys in the temporary store
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) keys: u16,
    /// The duration of each of the three measurements
    #[arg(long, value_name = "SPAN", default_value = "2s", value_parser = humantime::parse_duration)]
    pub(crate) time: std::time::Duration,
}

/// Verifications between two readings of the clock.
const ROUND: usize = 1000;

pub(crate) fn bench(context: &Context, bench: &BenchArgs) -> Result<(), Failure> {
    let path = context.store.path()?;
    // Beside the store, so that it is on the same disk.
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
        return output::json(&json!({
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
        output::note("built without optimisation: a release build is many times faster");
    }
    let milliseconds = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1000.0);
    let rows = [
        ("keys", created.len().to_string()),
        ("verifications", format!("{one:.0} a second on one thread, {all:.0} on {threads}")),
        ("creations", format!("{}, one after the other, each on disk when its call returns", creations.len())),
        ("create, p50", milliseconds(p50)),
        ("create, p99", milliseconds(p99)),
    ];
    output::text(&table::aligned(&rows.map(|(label, value)| vec![table::title(label), value.into()])))
}

/// Verifications a second, all threads together.
fn verifications(store: &KeyStore, keys: &[CreatedKey], threads: usize, time: Duration) -> Result<f64, Failure> {
    let run = |from: usize| {
        let begun = Instant::now();
        let (mut done, mut at) = (0u32, from);
        // A busy machine may start a thread late: each runs for the full time, and for one round at least.
        while done == 0 || begun.elapsed() < time {
            for _ in 0..ROUND {
                // A prime step: an order that the CPU's prefetcher cannot predict.
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
    let rates = rates.ok_or_else(|| Failure::new(Code::Refused, "a key that was just created does not verify"))?;
    Ok(rates.iter().sum())
}

/// The duration of each creation, sorted.
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

/// The given percentile, by nearest rank.
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
