//! Whether a clock that can be set runs evenly.

use std::time::{Duration, Instant};

/// How long a clock must have run evenly before the store trusts it.
const PROBATION: Duration = Duration::from_secs(5 * 60);
/// How far the clock may stray between two readings: more than a slewed clock strays, and less than a step that
/// matters.
const STRAY_MS: i64 = 2_000;

/// Compares a clock with the machine's monotonic clock, which nobody can set.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The last reading of the clock, and its time on the monotonic one.
    reading: i64,
    read_at: Instant,
    even_since: Instant,
}

impl Pace {
    /// Begins with the first reading.
    pub(crate) fn new(reading: i64, at: Instant) -> Self {
        Self { reading, read_at: at, even_since: at }
    }

    /// Takes the next reading, and returns whether the clock has run evenly for [`PROBATION`]. If somebody has set the
    /// clock, the period begins anew.
    pub(crate) fn observe(&mut self, reading: i64, at: Instant) -> bool {
        let passed = at.saturating_duration_since(self.read_at);
        let due = self.reading.saturating_add(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX));
        if reading.saturating_sub(due).saturating_abs() > STRAY_MS {
            self.even_since = at;
        }
        (self.reading, self.read_at) = (reading, at);
        at.saturating_duration_since(self.even_since) >= PROBATION
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_secs(30);
    const DAY_MS: i64 = 86_400_000;

    /// Reads, at each tick, a clock that strays this far from the true time, and returns at which ticks it was trusted.
    fn believed(strays: &[i64]) -> Vec<bool> {
        let begin = Instant::now();
        let mut pace = Pace::new(0, begin);
        let ticks = (1..).zip(strays);
        ticks.map(|(tick, stray)| pace.observe(i64::from(tick) * 30_000 + stray, begin + TICK * tick)).collect()
    }

    #[test]
    fn a_clock_is_believed_when_it_has_run_evenly_for_five_minutes() {
        let mut expected = [true; 20];
        expected[..9].fill(false);
        assert_eq!(believed(&[0; 20]), expected);
        // A slewed clock strays by less in a tick, whatever the sum.
        let slewed: Vec<i64> = (0..20).map(|tick| tick * 15).collect();
        assert_eq!(believed(&slewed), expected);
    }

    #[test]
    fn a_clock_that_was_set_is_believed_when_it_stays_so() {
        for step in [DAY_MS, -DAY_MS, 3_000] {
            let mut strays = [0; 40];
            strays[15..].fill(step);
            let mut expected = [true; 40];
            expected[..9].fill(false);
            expected[15..25].fill(false);
            assert_eq!(believed(&strays), expected, "{step}");
        }
    }

    #[test]
    fn a_jump_there_and_back_is_never_believed() {
        let mut strays = [0; 30];
        strays[15] = DAY_MS * 3650;
        let at_the_jump = believed(&strays)[15..26].to_vec();
        assert_eq!(at_the_jump, [false; 11]);
    }

    #[test]
    fn a_clock_that_stands_or_goes_beyond_all_bounds_is_not_believed() {
        let begin = Instant::now();
        let mut pace = Pace::new(i64::MAX, begin);
        for (tick, reading) in (1..).zip([i64::MIN, i64::MAX, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) {
            assert!(!pace.observe(reading, begin + TICK * tick));
        }
    }
}
