//! Conditions that another thread or process brings about.

use std::thread;
use std::time::{Duration, Instant};

/// Far more than anything needs, so that a busy machine fails no test.
const LIMIT: Duration = Duration::from_secs(60);

/// Waits until a condition holds. Panics with `what` if it does not within a minute.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        thread::sleep(Duration::from_millis(10));
    }
}
