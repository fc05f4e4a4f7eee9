//! Taking what a request costs from the quotas of its key, and giving it back.

use crate::access::attempt::{Caller, Charge, QUOTAS, QuotaNumbers, Taken};
use crate::access::auth_error::AuthError;
use crate::access::limit::{RateLimitFields, joined};
use crate::access::quota::MAX_COST;
use crate::access::verified_key::VerifiedKey;
use crate::base::time::from_ms;
use crate::http::refusal::Refusal;
use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;

impl KeyStore {
    /// Makes a request of a verified key cost more: takes from each of the key's quotas what this cost has above that which a
    /// guard has taken already, and notes it in the charge. A request without a note was verified for 1 use. A key without a
    /// quota pays nothing.
    ///
    /// The guards of this crate call it for a handler with a cost; call it in a handler whose cost depends on the request.
    ///
    /// ```
    /// use apikey::{Attempt, Charge, KeyStore, NewKey, Quota};
    ///
    /// let store = KeyStore::temporary()?;
    /// let created = store.create(NewKey::for_owner("alice").quota(Quota::per_day(10)))?;
    /// let charge = Charge::default();
    /// let key = store.check(&Attempt::new(created.key.expose_secret()).charge(&charge))?;
    /// store.charge_more(&key, &charge, 8)?;
    /// assert_eq!(store.quota_status(&key).map(|status| status.used()), Some(8));
    /// assert!(store.charge_more(&key, &charge, 11).is_err());
    /// assert_eq!(store.quota_status(&key).map(|status| status.used()), Some(0)); // a refused request uses nothing
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`AuthError::QuotaExceeded`] or [`AuthError::NoUsesLeft`] if this is more than is left of one of the quotas, of the first
    /// of these in the order key, owner, tenant; the store gives back what the charge says, unless its period is over. The caller
    /// reports the refusal by [`note_refusal`](Self::note_refusal).
    pub fn charge_more(&self, key: &VerifiedKey, charge: &Charge, cost: u32) -> Result<(), AuthError> {
        let quotas = if self.has_verified(key) { self.inner().engine.index.quotas_of(key) } else { None };
        quotas.map_or(Ok(()), |quotas| self.inner().charge(quotas, cost.clamp(1, MAX_COST), Some(charge), 1))
    }

    /// Gives back what a request of a verified key took from its quotas, since the service refuses it, unless the period of a
    /// quota is over.
    pub fn give_back(&self, key: &VerifiedKey, charge: &Charge) {
        let Some(mut noted) = charge.taken().filter(|_| self.has_verified(key)) else { return };
        let index = &self.inner().engine.index;
        let Some(quotas) = index.quotas_of(key) else { return };
        for (taken, number) in noted.iter_mut().zip(quotas) {
            if taken.back != 0 && taken.quota == number {
                index.give_back(*taken);
                *taken = taken.given_back();
            }
        }
        charge.set(noted);
    }

    /// Returns the header fields `RateLimit-Policy` and `RateLimit` for a verified key: those of its
    /// [rate limit](Self::limit_status), then those of its [quota](Self::quota_status), as one list each. `None` if it has
    /// neither.
    #[must_use]
    pub fn limit_fields(&self, key: &VerifiedKey) -> Option<[(&'static str, String); 2]> {
        let quota = self.quota_status(key).map(|quota| quota.fields(from_ms(self.inner().engine.time.now_ms())));
        joined(self.limit_status(key).map(|limit| limit.fields()), quota)
    }

    /// Returns the response for a request with this token that the store has refused with this error: that of
    /// [`refuse`](Self::refuse). If the key has both a rate limit and a quota, and the error is that one of them is used up, the
    /// fields `RateLimit-Policy` and `RateLimit` name both, as [`limit_fields`](Self::limit_fields) does. The guards of this crate
    /// answer so.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey, Quota};
    /// use chrono::TimeDelta;
    ///
    /// let store = KeyStore::temporary()?;
    /// let new = NewKey::for_owner("alice").quota(Quota::per_day(1000)).limit(1, TimeDelta::days(1));
    /// let created = store.create(new)?;
    /// let token = created.key.expose_secret();
    /// store.verify(token)?;
    /// let refusal = store.refuse_token(&store.verify(token).unwrap_err(), token);
    /// assert_eq!(refusal.header("RateLimit-Policy"), Some(r#""key";q=1;w=86400, "quota";q=1000;w=86400"#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn refuse_token(&self, error: &AuthError, token: &str) -> Refusal {
        self.header_config().refuse_beside(error, self.inner().other_fields(error, token))
    }
}

impl Inner {
    /// The fields of the quota of a key that is over its limit, or of the limit of one that is over its quota.
    fn other_fields(&self, error: &AuthError, token: &str) -> Option<RateLimitFields> {
        let index = &self.engine.index;
        match error {
            AuthError::RateLimited { limit: Some(_), .. } if index.has_quotas() => {
                let now = self.engine.time.now_ms();
                let status = index.quota_status_of_match(&self.find(token.as_bytes())?.0, now)?;
                Some(status.fields(from_ms(now)))
            }
            AuthError::QuotaExceeded { .. } => {
                let (matched, _) = self.find(token.as_bytes())?;
                Some(index.limit_status_of_match(&matched, || self.engine.time.raw_ms())?.fields())
            }
            _ => None,
        }
    }

    /// Takes what a request costs from the quotas of a key with this identity: its own, that of its owner, and that of its tenant.
    ///
    /// # Errors
    /// One of them is used up, or more of it must be reserved first.
    #[cold]
    #[inline(never)]
    pub(in crate::store) fn charge_match(
        &self,
        own: u32,
        identity: u32,
        of_tenant: u32,
        caller: &Caller<'_>,
    ) -> Result<(), AuthError> {
        match [own, self.engine.index.quota_of_owner(identity), of_tenant] {
            [0, 0, 0] => Ok(()),
            quotas => self.charge(quotas, caller.cost, caller.charge, 0),
        }
    }

    /// Takes from quotas what the cost of a request has above that which the request has paid, from all or from none. A request
    /// without a note has paid `unnoted`.
    ///
    /// # Errors
    /// One of them is used up, or more of it must be reserved first. What the request took before is given back, unless its
    /// period is over.
    fn charge(&self, quotas: QuotaNumbers, cost: u32, charge: Option<&Charge>, unnoted: u32) -> Result<(), AuthError> {
        let (index, now) = (&self.engine.index, self.engine.time.now_ms());
        let noted = charge.and_then(Charge::taken).unwrap_or_default();
        // The note may be of another key.
        let is_noted = noted.iter().zip(quotas).any(|(noted, number)| noted.quota == number && number != 0);
        let unnoted = if is_noted { 0 } else { unnoted };
        let mut taken = [Taken::default(); QUOTAS];
        for ((taken, number), noted) in taken.iter_mut().zip(quotas).zip(noted) {
            *taken = if noted.quota == number { noted } else { Taken { quota: number, uses: unnoted, ..*taken } };
        }
        let (mut has_taken, was_urgent) = (false, index.is_spent_fast());
        let more = |one: &Taken| Some(cost.saturating_sub(one.uses)).filter(|more| one.quota != 0 && *more != 0);
        let mut refuse = |one: &mut Taken| {
            let refused = more(one).map_or(Ok(()), |more| index.refuse(one.quota, more, Some(*one), now));
            // It has given back what the request took before.
            refused.inspect_err(|_| one.back = 0)
        };
        let mut take = |one: &mut Taken| {
            let Some(more) = more(one) else { return Ok(()) };
            match index.charge(one.quota, more, Some(*one), now).inspect_err(|_| one.back = 0)? {
                // There is no quota any more.
                0 => {}
                period => {
                    *one = one.and(cost, more, period);
                    has_taken = true;
                }
            }
            Ok(())
        };
        // If one of several refuses the request, others never seem to have less left than they have.
        let is_one = quotas.iter().filter(|number| **number != 0).count() == 1;
        let refused = if is_one { Ok(()) } else { taken.iter_mut().try_for_each(&mut refuse) };
        let charged = refused.and_then(|()| taken.iter_mut().try_for_each(&mut take));
        if !was_urgent && index.is_spent_fast() {
            self.engine.wake_quotas();
        }
        if let Err(error) = charged {
            taken.iter().filter(|one| one.back != 0).for_each(|one| index.give_back(*one));
            if let Some(charge) = charge.filter(|_| is_noted) {
                charge.set(taken.map(Taken::given_back));
            }
            return Err(error);
        }
        if let Some(charge) = charge.filter(|_| has_taken) {
            charge.set(taken);
        }
        Ok(())
    }
}
