//! How often a caller may ask about what is no key.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use apikey_core::KeyId;

/// The most failures of one caller in a minute.
const PER_MINUTE: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);
/// The most callers that are remembered.
const MAX_CALLERS: usize = 10_000;

/// The failures of callers in their minutes.
#[derive(Debug, Default)]
pub(super) struct Budget(Mutex<HashMap<KeyId, (Instant, u32)>>);

impl Budget {
    /// Checks that a caller may ask.
    ///
    /// # Errors
    /// The time until it may.
    pub(super) fn admit(&self, caller: KeyId) -> Result<(), Duration> {
        self.admit_at(caller, Instant::now())
    }

    /// Notes a failure of a caller.
    pub(super) fn charge(&self, caller: KeyId) {
        self.charge_at(caller, Instant::now());
    }

    fn admit_at(&self, caller: KeyId, now: Instant) -> Result<(), Duration> {
        let callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((begun, failures)) = callers.get(&caller) else { return Ok(()) };
        let left = MINUTE.saturating_sub(now.saturating_duration_since(*begun));
        if *failures < PER_MINUTE || left.is_zero() { Ok(()) } else { Err(left) }
    }

    fn charge_at(&self, caller: KeyId, now: Instant) {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |begun: Instant| now.saturating_duration_since(begun) >= MINUTE;
        if callers.len() >= MAX_CALLERS && !callers.contains_key(&caller) {
            callers.retain(|_, (begun, _)| !is_over(*begun));
            // Each of them has a valid key with `keys:verify`.
            if callers.len() >= MAX_CALLERS {
                return;
            }
        }
        let entry = callers.entry(caller).or_insert((now, 0));
        if is_over(entry.0) {
            *entry = (now, 0);
        }
        entry.1 = entry.1.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_sixty_failures_a_minute_for_itself() {
        let budget = Budget::default();
        let [one, other]: [KeyId; 2] = ["01931a4e-7c3b-7def-8123-456789abcdef", "01931a4e-7c3b-7def-8123-456789abcdee"]
            .map(|id| id.parse().unwrap());
        let begin = Instant::now();
        for _ in 0..PER_MINUTE {
            assert_eq!(budget.admit_at(one, begin), Ok(()));
            budget.charge_at(one, begin);
        }
        let later = begin + Duration::from_secs(20);
        assert_eq!(budget.admit_at(one, later), Err(Duration::from_secs(40)));
        assert_eq!(budget.admit_at(other, later), Ok(()));
        let next = begin + MINUTE;
        assert_eq!(budget.admit_at(one, next), Ok(()));
        budget.charge_at(one, next);
        assert_eq!(budget.admit_at(one, next), Ok(()));
    }
}
