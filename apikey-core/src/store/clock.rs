//! A store whose time is ahead of its clock: warning of it, and setting it back.

use std::time::Instant;

use crate::base::clock_lead::AcceptedClock;
use crate::base::pace::Pace;
use crate::key::error::StoreError;

use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;

impl KeyStore {
    /// Sets the store's time back to that of its clock. Returns `None`, and changes nothing, if the store's time is not
    /// ahead.
    ///
    /// A store's time is never earlier than its newest event, nor, in this process, than a clock that ran evenly for
    /// five minutes. So setting the clock back makes no expired key valid again. But an event that was written while
    /// the clock was wrong, years ahead, would end every key that has an end. [`health`](Self::health) reports such a
    /// lead, and opening the store logs it. Correct the clock first; this call then sets the store's time to it, and
    /// records that in an event of its own. A key whose end lies between the two times becomes valid again, unless it
    /// was revoked or deleted.
    ///
    /// ```
    /// use apikey::{KeyStore, ManualClock, NewKey};
    /// use chrono::{TimeDelta, Utc};
    ///
    /// let clock = ManualClock::new(Utc::now());
    /// let store = KeyStore::builder().clock(clock.clone()).temporary()?;
    /// let created = store.create(NewKey::for_owner("alice").expires_in(TimeDelta::days(90)))?;
    ///
    /// clock.advance(TimeDelta::days(3650)); // somebody mistyped the year, and something was written
    /// store.create(NewKey::for_owner("bob"))?;
    /// clock.advance(TimeDelta::days(-3650));
    /// assert!(store.verify(created.key.expose_secret()).is_err());
    /// assert!(store.health().ahead.is_some());
    ///
    /// let accepted = store.as_actor("operator").accept_clock()?.expect("the store is ahead");
    /// assert_eq!(accepted.from - accepted.to, TimeDelta::days(3650));
    /// assert!(store.verify(created.key.expose_secret()).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Io`] if the store cannot write the event: its time stays as it was. [`StoreError::Closed`].
    pub fn accept_clock(&self) -> Result<Option<AcceptedClock>, StoreError> {
        self.inner().engine.accept_clock(self.origin()?.clone())
    }
}

impl Inner {
    /// Advances the floor to the time of a clock that has run evenly for some minutes. So a key that has expired since
    /// the last event stays expired, in this process, when the clock is set back.
    pub(crate) fn follow_clock(&self, pace: &mut Pace, at: impl FnOnce() -> Instant) {
        // Wait until an operator's change of the floor is complete.
        let _writer = self.engine.writer();
        let shown = self.engine.time.raw_ms();
        if pace.observe(shown, at()) {
            self.engine.time.raise(shown);
            self.engine.index.trust_clock(self.engine.time.now_ms());
        }
    }

    /// Warns of a lead when it begins. `has_warned` says whether it has warned of this lead already.
    pub(crate) fn warn_of_lead(&self, has_warned: &mut bool) {
        let lead = self.engine.time.lead();
        if let Some(lead) = lead.filter(|_| !*has_warned) {
            tracing::warn!(name: "apikey.clock", target: "apikey", store_time = %lead.store_time, clock = %lead.clock, "{lead}");
        }
        *has_warned = lead.is_some();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{TimeDelta, Utc};

    use super::*;
    use crate::{CreatedKey, ManualClock, NewKey};

    const TICK: Duration = Duration::from_secs(30);

    struct Fixture {
        store: KeyStore,
        clock: ManualClock,
        pace: Pace,
        at: Instant,
        key: CreatedKey,
    }

    impl Fixture {
        /// A key of an hour.
        fn new() -> Self {
            let clock = ManualClock::new(Utc::now());
            let store = KeyStore::builder().clock(clock.clone()).temporary().unwrap();
            let key = store.create(NewKey::for_owner("alice").expires_in(TimeDelta::hours(1))).unwrap();
            let at = Instant::now();
            Self { pace: Pace::new(store.inner().engine.time.raw_ms(), at), store, clock, at, key }
        }

        /// Runs `count` ticks of the maintenance thread, while the clock advances evenly.
        fn ticks(&mut self, count: u32) {
            for _ in 0..count {
                self.at += TICK;
                self.clock.advance(TimeDelta::seconds(30));
                self.store.inner().follow_clock(&mut self.pace, || self.at);
            }
        }

        fn is_good(&self) -> bool {
            self.store.verify(self.key.key.expose_secret()).is_ok()
        }
    }

    #[test]
    fn a_key_that_has_expired_since_the_last_event_stays_so() {
        let mut fixture = Fixture::new();
        fixture.ticks(119);
        assert!(fixture.is_good());
        fixture.ticks(1);
        assert!(!fixture.is_good());
        fixture.clock.advance(TimeDelta::hours(-1));
        assert!(!fixture.is_good());
        assert!(fixture.store.health().ahead.is_some());
        // What is written now holds it over a restart, too.
        assert!(
            fixture.store.create(NewKey::for_owner("bob")).unwrap().info.created_at()
                >= fixture.key.info.expires_at().unwrap()
        );
        assert!(fixture.store.accept_clock().unwrap().is_some());
        assert!(fixture.is_good());
        fixture.ticks(1);
        assert!(fixture.is_good(), "the clock has just been set");
    }

    #[test]
    fn a_jump_there_and_back_expires_nothing() {
        let mut fixture = Fixture::new();
        fixture.ticks(20);
        fixture.clock.advance(TimeDelta::days(3650));
        fixture.ticks(5);
        assert!(!fixture.is_good());
        fixture.clock.advance(TimeDelta::days(-3650));
        assert!(fixture.is_good());
        fixture.ticks(20);
        assert!(fixture.is_good() && fixture.store.health().ahead.is_none());
    }
}
