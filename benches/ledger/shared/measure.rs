//! CPU time, which the load of the machine changes little, and percentiles.

use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The CPU time so far of these processes, in all threads that they have now.
pub(crate) fn of_processes(processes: &[u32]) -> Duration {
    processes.iter().map(|process| of_threads(&Path::new("/proc").join(process.to_string()).join("task"))).sum()
}

fn of_threads(threads: &Path) -> Duration {
    // One that has ended meanwhile has none.
    let Ok(threads) = std::fs::read_dir(threads) else { return Duration::ZERO };
    let nanos = threads.filter_map(|thread| {
        let stat = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// The CPU time so far of this process.
#[must_use]
pub fn of_this_process() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The median and the 99th percentile.
#[must_use]
pub fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}
