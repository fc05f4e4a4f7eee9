use std::time::Duration;

/// The longest pause after the first failure.
const FIRST: Duration = Duration::from_millis(20);

/// Returns a random pause after so many failures before the last one: up to 20 milliseconds, then up to twice the former, and up
/// to `most`. Nodes that all came back at once would keep an engine from getting up.
#[must_use]
pub fn backoff(failures: u32, most: Duration) -> Duration {
    jitter(FIRST.saturating_mul(2_u32.saturating_pow(failures)).min(most))
}

/// Returns a random time up to this one. Where there is no randomness, all of it.
#[must_use]
pub fn jitter(most: Duration) -> Duration {
    let part = getrandom::u32().unwrap_or(u32::MAX);
    most.mul_f64(f64::from(part) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest() {
        for (failures, most) in [(0, 20), (1, 40), (7, 2_560), (8, 5_000), (40, 5_000), (u32::MAX, 5_000)] {
            let pause = backoff(failures, Duration::from_secs(5));
            assert!(pause <= Duration::from_millis(most), "{failures}: {pause:?}");
        }
    }
}
