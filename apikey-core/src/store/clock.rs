//! A store whose time is ahead of its clock: telling so, and putting it back.

use crate::change::{Action, Change};
use crate::clock::AcceptedClock;
use crate::error::StoreError;
use crate::time::from_ms;

use super::writer::{Stage, refused};
use super::{Inner, KeyStore};

impl KeyStore {
    /// Puts the store's time back to that of its clock. `None` if it is not ahead: then nothing changes.
    ///
    /// A store's time never goes behind its newest event, so that a clock that is set back makes no key good again.
    /// An event that was written while the clock was wrong, years ahead, would end every key that has an end.
    /// [`health`](Self::health) tells of that, and so does the log when the store is opened. First see to it that the clock is
    /// right; then this call says that the event was wrong, by an event of its own. A key whose end lies between the two
    /// times is good again, unless it was revoked or deleted.
    ///
    /// ```
    /// use apikey_core::{KeyStore, ManualClock, NewKey};
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
    /// [`StoreError::Io`] if the disk refuses: the store's time stays as it was. [`StoreError::Closed`].
    pub fn accept_clock(&self) -> Result<Option<AcceptedClock>, StoreError> {
        self.inner().accept_clock(self.actor()?.map(str::to_owned))
    }
}

impl Inner {
    fn accept_clock(&self, actor: Option<String>) -> Result<Option<AcceptedClock>, StoreError> {
        let disk = self.disk()?;
        let disk = disk.as_ref().ok_or(StoreError::Closed)?;
        // Held until it is on disk: what is decided before then would be written at the time that is being given up.
        let mut writer = self.writer();
        self.write_first_uses(&mut writer, disk);
        let (from, to) = (self.time.floor(), self.time.raw_ms());
        if from <= to {
            return Ok(None);
        }
        let action = Action::AcceptClock { from, to };
        let change = Change { at: to, actor, ..self.change_of(0, action) };
        let Stage { staged, happened, head, .. } = self.stage(&mut writer, disk, &[change])?;
        self.commit.announce(staged.iter().map(|one| one.pending.clone()));
        self.write(&mut writer, disk, staged, head)?;
        let durable = self.commit.wait(self.commit.written(), &self.index, |head| self.log(disk, head));
        durable.map_err(|source| refused(false, source))?;
        self.time.accept(to);
        drop(writer);
        self.tell(&happened);
        Ok(Some(AcceptedClock { from: from_ms(from), to: from_ms(to) }))
    }

    /// Warns of a lead when it begins; `told` says whether of this one was warned already.
    pub(super) fn tell_lead(&self, told: &mut bool) {
        let lead = self.time.lead();
        if let Some(lead) = lead.filter(|_| !*told) {
            tracing::warn!(name: "apikey.clock", target: "apikey", newest = %lead.newest, clock = %lead.clock, "{lead}");
        }
        *told = lead.is_some();
    }
}
