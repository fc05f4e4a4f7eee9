//! The defaults and bounds for the ends of keys and secrets.

use chrono::TimeDelta;

use crate::access::idle;
use crate::base::time::span_text;
use crate::builder::KeyStoreBuilder;
use crate::key::rotation::policy::RotationPolicy;
use crate::storage::open_error::OpenError;

impl KeyStoreBuilder {
    /// Sets the longest lifetime of a secret, one millisecond or more; by default there is no bound. A key must then
    /// end within this time from the creation of its newest secret, or have a rotation policy whose `every` and overlap
    /// add up to no more than this time: the policy bounds each secret, and rotation never moves the key's own end. The
    /// store rejects a key that exceeds the bound with [`StoreError::TooLong`](crate::StoreError::TooLong) when a call
    /// creates or imports it, and when an update sets its end or its policy. It also rejects a manual rotation of a key
    /// with a policy if the overlap would let the previous secret live longer, or has no end
    /// ([`UntilFirstUse`](crate::Overlap::UntilFirstUse)).
    ///
    /// Verification enforces the bound too: the store refuses an older secret as expired, even if no rotator runs that
    /// would have replaced it, and even if the secret was created before the bound was set.
    /// [`KeyInfo::secret_expires_at`](crate::KeyInfo::secret_expires_at) returns the time at which the bound ends a
    /// secret, and opening the store logs the number of keys that have exceeded it. Rotation gives such a key a valid
    /// secret. [Fixed keys](Self::fixed_keys_from_file) are exempt: they have the metadata entry `fixed`, which callers
    /// cannot set on an imported key.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey};
    /// use chrono::TimeDelta;
    ///
    /// let store = KeyStore::builder().max_lifetime(TimeDelta::days(90)).temporary()?;
    /// assert!(store.create(NewKey::for_owner("alice")).is_err());
    /// assert!(store.create(NewKey::for_owner("alice").expires_in(TimeDelta::days(90))).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_lifetime(mut self, most: TimeDelta) -> Self {
        self.options.max_lifetime = Some(most);
        self
    }

    /// Sets the rotation policy of new keys that name none themselves; by default they have none. Imported lines
    /// ([`import`](crate::KeyStore::import)) keep their own policy, and [fixed keys](Self::fixed_keys_from_file) have none.
    pub fn default_rotation(mut self, policy: RotationPolicy) -> Self {
        self.options.rotation = Some(policy);
        self
    }

    /// Sets the time for which nobody may use a new key ([`NewKey::idle_after`](crate::NewKey::idle_after)), 1 hour to 366
    /// days, for those that name none themselves; by default there is none.
    /// [`NewKey::no_idle_after`](crate::NewKey::no_idle_after) exempts a key. Imported lines
    /// ([`import`](crate::KeyStore::import)) keep their own time, and
    /// [fixed keys](Self::fixed_keys_from_file) have none.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey};
    /// use chrono::TimeDelta;
    ///
    /// let store = KeyStore::builder().default_idle_after(TimeDelta::days(90)).temporary()?;
    /// let created = store.create(NewKey::for_owner("alice"))?;
    /// assert_eq!(created.info.idle_at(), Some(created.info.created_at() + TimeDelta::days(90)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Opening fails with [`OpenError::Config`] for a time out of bounds, and with
    /// [`track_use(false)`](Self::track_use).
    pub fn default_idle_after(mut self, span: TimeDelta) -> Self {
        self.options.idle_after = Some(span);
        self
    }

    /// Sets for how long the store keeps the digest of a secret that has ended by a rotation, up to 366 days; by default 30
    /// days, and zero means not at all. While the key itself is good, the holder of its newest ended secret is refused with
    /// [`AuthError::Rotated`](crate::AuthError::Rotated), and the log, [`refusals`](crate::KeyStore::refusals) and
    /// [`KeyInfo::ended_secret`](crate::KeyInfo::ended_secret) say whose it is. So an operator sees who still uses the old
    /// secret. Without it, or later, the secret is unknown.
    ///
    /// The store keeps none of a rotation that ends every secret at once ([`Overlap::None`](crate::Overlap::None),
    /// [`replace_leaked`](crate::KeyStore::replace_leaked)), and none of an imported secret that is short, or of which it only
    /// got the digest: somebody could guess it.
    ///
    /// ```
    /// use apikey::{AuthError, KeyStore, NewKey, Overlap};
    ///
    /// let store = KeyStore::temporary()?;
    /// let old = store.create(NewKey::for_owner("alice"))?;
    /// let new = store.rotate(old.info.id(), Overlap::UntilFirstUse)?;
    /// store.verify(new.key.expose_secret())?;
    /// assert_eq!(store.verify(old.key.expose_secret()).unwrap_err(), AuthError::Rotated);
    /// assert_eq!(store.refusals_of(old.info.id())["rotated_api_key"], 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn keep_ended_secrets(mut self, span: TimeDelta) -> Self {
        self.options.keep_ended = span;
        self
    }

    /// Checks what these methods have set.
    pub(super) fn check_ends(&self) -> Result<(), OpenError> {
        if let Some(most) = self.options.max_lifetime.filter(|most| most.num_milliseconds() < 1) {
            return Err(OpenError::Config(format!("max_lifetime {}: a millisecond or more", span_text(most))));
        }
        if let Some(policy) = self.options.rotation {
            policy.stored().map_err(|error| OpenError::Config(format!("default_rotation: {error}")))?;
        }
        let kept = self.options.keep_ended;
        if !(TimeDelta::zero()..=TimeDelta::days(366)).contains(&kept) {
            return Err(OpenError::Config(format!("keep_ended_secrets {}: 0 to 366 days", span_text(kept))));
        }
        let Some(span) = self.options.idle_after else { return Ok(()) };
        idle::checked(span).map_err(|error| OpenError::Config(format!("default_idle_after: {error}")))?;
        if !self.options.track_use {
            let fault =
                "default_idle_after: a store that does not track use (track_use) cannot tell which keys are idle";
            return Err(OpenError::Config(fault.into()));
        }
        Ok(())
    }
}
