//! The verification of tokens. It reads memory only.

use crate::access::attempt::{Attempt, Caller};
use crate::access::auth_error::AuthError;
use crate::access::limit::LimitStatus;
use crate::access::peer::Peer;
use crate::access::quota::status::QuotaStatus;
use crate::access::requirement::Requirement;
use crate::access::verified_key::{IdForm, VerifiedKey};
use crate::index::refused::refusals::RefusedKey;
use crate::index::verify::Match;
use crate::token::api_key;
use crate::token::key_id::KeyId;

use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;

impl KeyStore {
    /// Verifies a token, and returns its key. The call does not trim the token, never blocks, and writes only the time
    /// of use (and the count for the key's rate limit), in memory. It refuses a key that names networks, since it has
    /// no address: use [`check`](Self::check).
    ///
    /// # Errors
    /// [`AuthError::Invalid`] for a token that is malformed, unknown or ended; [`AuthError::Rotated`] for the newest ended one
    /// of a good key, for [some time](crate::KeyStoreBuilder::keep_ended_secrets). If the token has the key's secret: the
    /// key's state ([`Revoked`](AuthError::Revoked), [`Disabled`](AuthError::Disabled),
    /// [`Expired`](AuthError::Expired), [`Idle`](AuthError::Idle), [`NotYetValid`](AuthError::NotYetValid)),
    /// [`AuthError::AddressNotAllowed`] and [`AuthError::RateLimited`]. [`AuthError::Unavailable`] after [`close`](Self::close).
    pub fn verify(&self, token: &str) -> Result<VerifiedKey, AuthError> {
        self.inner().verify(token, None, &Caller::UNKNOWN)
    }

    /// Verifies a token, and checks that its key meets a requirement.
    ///
    /// # Errors
    /// Those of [`verify`](Self::verify), and [`AuthError::InsufficientPermission`].
    pub fn authorize(&self, token: &str, requirement: &Requirement) -> Result<VerifiedKey, AuthError> {
        self.inner().verify(token, Some(requirement), &Caller::UNKNOWN)
    }

    /// Verifies the token of an attempt, and checks that its key is valid from the attempt's address and meets its
    /// requirement.
    ///
    /// # Errors
    /// Those of [`authorize`](Self::authorize), and [`AuthError::RateLimited`] by
    /// [`failed_attempts`](crate::KeyStoreBuilder::failed_attempts).
    pub fn check(&self, attempt: &Attempt<'_>) -> Result<VerifiedKey, AuthError> {
        let inner = self.inner();
        inner.within_budget(
            attempt,
            |error| inner.refused(attempt.token, error, &attempt.caller.peer),
            || inner.verify(attempt.token, attempt.requirement, &attempt.caller),
        )
    }

    /// Checks that a key that was verified earlier is still valid, with the same secret. Use it in work that continues
    /// long after the request began, such as a WebSocket, a stream or a job. The call does not count against the key's
    /// rate limit, nor as a use, and does not check networks, since it has no address.
    ///
    /// # Errors
    /// Those of [`verify`](Self::verify). A key that another store has verified is [`AuthError::Invalid`].
    pub fn recheck(&self, key: &VerifiedKey) -> Result<(), AuthError> {
        self.inner().engine.recheck(key)
    }

    /// Checks that a key that was verified earlier is still valid, with the same secret, from this peer, and returns it with what
    /// it may do now. Use it in a session that begins with a key and outlives the request. The call does not count against the
    /// key's rate limit, nor as a use.
    ///
    /// ```
    /// use apikey::{KeyStore, KeyUpdate, NewKey, Peer};
    ///
    /// let store = KeyStore::temporary()?;
    /// let created = store.create(NewKey::for_owner("alice").permissions(["orders:read"]))?;
    /// let key = store.verify(created.key.expose_secret())?;
    /// store.update(key.id(), KeyUpdate::new().add_permissions(["orders:write"]))?;
    /// assert!(store.refresh(&key, Peer::Unknown)?.allows("orders:write"));
    /// store.revoke(key.id(), "left")?;
    /// assert!(store.refresh(&key, Peer::Unknown).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`recheck`](Self::recheck), and [`AuthError::AddressNotAllowed`].
    pub fn refresh(&self, key: &VerifiedKey, peer: impl Into<Peer>) -> Result<VerifiedKey, AuthError> {
        self.inner().engine.refresh(key, peer.into())
    }

    /// Runs a check of a secret that is no key, such as a code that signs somebody in, and charges the
    /// [`failed_attempts`](crate::KeyStoreBuilder::failed_attempts) of the peer as a key would: `None` is a failure.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] for a failure; [`AuthError::RateLimited`], without running the check, if too many attempts of the
    /// peer have failed.
    #[doc(hidden)]
    pub fn attempt_with<T>(&self, peer: impl Into<Peer>, check: impl FnOnce() -> Option<T>) -> Result<T, AuthError> {
        let attempt = Attempt::new("").peer(peer);
        self.inner().within_budget(&attempt, |error| error, || check().ok_or(AuthError::Invalid))
    }

    /// Returns what a verified key has left of its rate limit; `None` if it has no limit. The call does not count as a
    /// request.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey};
    /// use chrono::TimeDelta;
    ///
    /// let store = KeyStore::temporary()?;
    /// let created = store.create(NewKey::for_owner("alice").limit(10, TimeDelta::minutes(1)))?;
    /// let verified = store.verify(created.key.expose_secret())?;
    /// assert_eq!(store.limit_status(&verified).map(|status| status.remaining()), Some(9));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn limit_status(&self, key: &VerifiedKey) -> Option<LimitStatus> {
        let inner = self.inner();
        self.has_verified(key).then(|| inner.engine.index.limit_status(key, || inner.engine.time.raw_ms())).flatten()
    }

    /// Returns what a verified key has left of its quota, or of one that it shares with the other keys of its
    /// [owner](crate::Owner::quota) or its [tenant](crate::Tenant::quota): that of which the fewest uses are left; `None` if it has
    /// none. The call uses nothing.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey, Quota};
    ///
    /// let store = KeyStore::temporary()?;
    /// let created = store.create(NewKey::for_owner("alice").quota(Quota::per_month(10_000)))?;
    /// let verified = store.verify(created.key.expose_secret())?;
    /// assert_eq!(store.quota_status(&verified).map(|status| status.remaining()), Some(9_999));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn quota_status(&self, key: &VerifiedKey) -> Option<QuotaStatus> {
        let inner = self.inner();
        self.has_verified(key).then(|| inner.engine.index.quota_status(key, || inner.engine.time.now_ms())).flatten()
    }

    /// Returns the key whose secret this is, whatever the key's state; `None` for a token that is malformed or unknown,
    /// or whose secret is wrong or has ended. It does not authenticate: use it to find the key of a leaked token, and
    /// [revoke](Self::revoke) it.
    #[must_use]
    pub fn identify(&self, token: &str) -> Option<KeyId> {
        self.inner().identify(token.as_bytes())
    }

    /// Works as [`identify`](Self::identify), for a token that an unauthenticated caller presents: a guess counts
    /// against the [`failed_attempts`](crate::KeyStoreBuilder::failed_attempts) of its address, as in
    /// [`check`](Self::check). It checks neither the attempt's requirement nor the key's networks.
    ///
    /// ```
    /// use std::net::IpAddr;
    /// use apikey::{Attempt, KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let created = store.create(NewKey::for_owner("alice"))?;
    /// let attempt = Attempt::new(created.key.expose_secret()).peer(IpAddr::from([127, 0, 0, 1]));
    /// assert_eq!(store.identify_attempt(&attempt)?, created.info.id());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`AuthError::Invalid`] if `identify` would return `None`; [`AuthError::RateLimited`], for any token, if too many
    /// attempts of the address have failed; [`AuthError::Unavailable`] after [`close`](Self::close).
    pub fn identify_attempt(&self, attempt: &Attempt<'_>) -> Result<KeyId, AuthError> {
        let inner = self.inner();
        inner.within_budget(
            attempt,
            |error| error,
            || {
                inner
                    .identify(attempt.token.as_bytes())
                    .ok_or_else(|| inner.engine.unavailable_if_closed(AuthError::Invalid))
            },
        )
    }

    /// Returns a number that all handles of this store share, and no other store of the process has.
    #[must_use]
    pub fn instance(&self) -> u64 {
        self.inner().store
    }

    /// Returns whether this store, through any of its handles, has verified the key.
    #[must_use]
    pub fn has_verified(&self, key: &VerifiedKey) -> bool {
        self.inner().store == key.store
    }
}

impl Inner {
    /// Runs `answer`, unless too many attempts of this address have failed. If it says that the token is invalid, or an ended
    /// one, that is one more.
    #[inline]
    pub(super) fn within_budget<T>(
        &self,
        attempt: &Attempt<'_>,
        refused: impl Fn(AuthError) -> AuthError,
        answer: impl FnOnce() -> Result<T, AuthError>,
    ) -> Result<T, AuthError> {
        let Some(budget) = &self.failed_attempts else { return answer() };
        let peer = attempt.caller.peer;
        self.no_address.warn(peer);
        if let Err(retry_after) = budget.admit(peer, || self.engine.time.raw_ms()) {
            return Err(refused(AuthError::RateLimited { retry_after, limit: None }));
        }
        let answer = answer();
        if let Err(AuthError::Invalid | AuthError::Rotated) = &answer {
            budget.note(peer, || self.engine.time.raw_ms());
        }
        answer
    }

    #[inline]
    pub(crate) fn verify(
        &self,
        token: &str,
        requirement: Option<&Requirement>,
        caller: &Caller<'_>,
    ) -> Result<VerifiedKey, AuthError> {
        // Before the key is read: whatever happens to this thread later, the verification has begun while the store was
        // fresh.
        if !self.engine.is_ready() {
            return Err(self.refused("", AuthError::Unavailable, &caller.peer));
        }
        let Some(tail) = self.prefixes.parse(token.as_bytes()) else {
            if self.engine.index.may_be_imported(token.as_bytes()) {
                return self.verify_imported(token, requirement, caller);
            }
            return Err(self.unknown(&caller.peer));
        };
        let Some(matched) = self.engine.index.find_own(tail) else {
            return Err(self.unmatched(self.engine.index.rotated_own(tail, || self.engine.time.now_ms()), &caller.peer));
        };
        let id = || IdForm::Written(*api_key::id_chars(api_key::body(tail)));
        self.conclude(token, &matched, requirement, caller, id)
    }

    fn verify_imported(
        &self,
        token: &str,
        requirement: Option<&Requirement>,
        caller: &Caller<'_>,
    ) -> Result<VerifiedKey, AuthError> {
        let Some((matched, id)) = self.engine.index.find_imported(token.as_bytes()) else {
            let rotated = self.engine.index.rotated_imported(token.as_bytes(), || self.engine.time.now_ms());
            return Err(self.unmatched(rotated, &caller.peer));
        };
        self.conclude(token, &matched, requirement, caller, || IdForm::known(id))
    }

    /// Completes a verification after a secret has matched. It creates the verified key last, in its final place:
    /// copying it takes longer than finding the key.
    #[inline]
    fn conclude(
        &self,
        token: &str,
        matched: &Match<'_>,
        requirement: Option<&Requirement>,
        caller: &Caller<'_>,
        id: impl Fn() -> IdForm,
    ) -> Result<VerifiedKey, AuthError> {
        let quota = match self.engine.index.check_use(matched, self.engine.time.moment(), caller.peer.by_reference()) {
            Ok(quota) => quota,
            Err(error) => return Err(self.refuse_matched(token, error, &caller.peer)),
        };
        if matched.is_first_use() && !self.first_use(&self.engine.index.verified_key(matched, id())) {
            return Err(self.refused(token, AuthError::Invalid, &caller.peer));
        }
        if let Some(requirement) = requirement
            && !requirement.met_by(matched.grants())
        {
            return Err(self.refused(token, AuthError::lacking(requirement), &caller.peer));
        }
        // By value: a match whose address is taken is built in memory.
        let of_tenant = matched.quota_of_tenant();
        if (quota | of_tenant != 0 || self.engine.index.has_owner_quotas())
            && let Err(error) = self.charge_match(quota, matched.identity(), of_tenant, caller)
        {
            return Err(self.refused(token, error, &caller.peer));
        }
        self.engine.meter.verified();
        if let Some(counts) = &self.engine.counts {
            counts.count(matched.home(), &id(), matched.identity(), || self.engine.time.now_ms());
        }
        Ok(self.engine.index.verified_key(matched, id()))
    }

    /// Counts the refusal of a token whose secret the index has.
    #[cold]
    fn refuse_matched(&self, token: &str, error: AuthError, peer: &Peer) -> AuthError {
        match error {
            AuthError::AddressNotAllowed => self.no_address.warn(*peer),
            // Its overlap has just ended, and it is not erased yet.
            AuthError::Invalid => {
                let rotated = self.find_rotated(token);
                if rotated.is_some() {
                    return self.unmatched(rotated, peer);
                }
            }
            _ => {}
        }
        self.refused(token, error, peer)
    }

    fn identify(&self, token: &[u8]) -> Option<KeyId> {
        let (matched, id) = self.find(token)?;
        let ended = self.engine.index.check_state(&matched, self.engine.time.now_ms()) == Err(AuthError::Invalid);
        (!ended).then(|| id.key_id())
    }

    /// The good key of which this is the newest ended secret.
    pub(crate) fn find_rotated(&self, token: &str) -> Option<RefusedKey> {
        let (index, now) = (&self.engine.index, || self.engine.time.now_ms());
        match self.prefixes.parse(token.as_bytes()) {
            Some(tail) => index.rotated_own(tail, now),
            None => index.rotated_imported(token.as_bytes(), now),
        }
    }

    /// Finds the key with this secret, even if the secret has ended and is not erased yet.
    #[cold]
    #[inline(never)]
    pub(crate) fn find(&self, token: &[u8]) -> Option<(Match<'_>, IdForm)> {
        match self.prefixes.parse(token) {
            Some(tail) => {
                let id = IdForm::Written(*api_key::id_chars(api_key::body(tail)));
                self.engine.index.find_own(tail).map(|matched| (matched, id))
            }
            None if self.engine.index.may_be_imported(token) => {
                self.engine.index.find_imported(token).map(|(matched, id)| (matched, IdForm::known(id)))
            }
            None => None,
        }
    }

    /// Records the first use of a successor: it takes effect at once, and is on disk within a second. Returns `false`
    /// if the secret has ended meanwhile.
    #[cold]
    fn first_use(&self, key: &VerifiedKey) -> bool {
        // Another thread was first, or a rotation has just replaced the secret, which nobody had used.
        self.engine.first_use(key) || self.engine.recheck(key).is_ok()
    }
}
