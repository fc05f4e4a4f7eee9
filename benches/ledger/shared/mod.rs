//! CPU time of a server and of this process, which the load of the machine changes little.

use std::time::Duration;

use apikey_cluster_tests::postgres::{Server, ServerConfig};
use rustix::time::{ClockId, clock_gettime};

/// Room for a hundred nodes.
pub(crate) const MANY: ServerConfig<'_> = ServerConfig {
    settings: "max_connections = 500",
    access: None,
    durable: true,
    apart: false,
    disk_can_fill: false,
    host: None,
};

/// Runs with a server alone, and with one whose every commit waits for a standby.
pub(crate) fn on_both(run: impl Fn(&str, &Server, bool)) {
    let alone = Server::start(MANY);
    run("alone", &alone, true);
    drop(alone);
    let (primary, _standby) = Server::start_with_standby(MANY);
    run("with a standby", &primary, false);
}

/// The CPU time so far of the sessions of a server, and of its processes in the background.
pub(crate) fn of_server(server: &Server) -> Duration {
    let pids = server.sql("SELECT pid FROM pg_stat_activity");
    // The session that lists them is gone.
    let nanos = pids.lines().filter_map(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// The CPU time so far of this process.
pub(crate) fn of_this_process() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

pub(crate) fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}
