//! Checks a token without using its key.

use crate::access::attempt::Attempt;
use crate::access::auth_error::AuthError;
use crate::access::quota::status::QuotaStatus;
use crate::access::verified_key::VerifiedKey;
use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;
use crate::token::key_id::KeyId;

/// What [`KeyStore::inspect`] finds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Inspection {
    /// What a use would be answered: nothing, or the refusal.
    pub answer: Result<(), AuthError>,
    /// The key whose secret the token is, also if the answer refuses it. Disclose it only to who may see the key.
    pub key: Option<VerifiedKey>,
    /// The key of which the token is the newest ended secret.
    pub rotated: Option<KeyId>,
    /// What the key has left of its quota; `None` if it has none.
    pub quota: Option<QuotaStatus>,
}

impl Inspection {
    fn refused(error: AuthError) -> Self {
        Self { answer: Err(error), key: None, rotated: None, quota: None }
    }
}

impl KeyStore {
    /// Checks a token as [`check`](Self::check) does, but ends no overlap, leaves no time of use, counts against no limit and
    /// uses no quota: for a gateway that asks about a key which it does not use. It checks the key's networks only if the
    /// attempt has an address, and refuses a key that has none of its quota left. A guess counts against the
    /// [`failed_attempts`](crate::KeyStoreBuilder::failed_attempts) of that address.
    ///
    /// ```
    /// use apikey::{Attempt, AuthError, KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let created = store.create(NewKey::for_owner("alice"))?;
    /// let found = store.inspect(&Attempt::new(created.key.expose_secret()));
    /// assert!(found.answer.is_ok());
    /// assert_eq!(store.get(created.info.id())?.and_then(|key| key.last_used_at()), None);
    /// assert_eq!(store.inspect(&Attempt::new("a guess")).answer, Err(AuthError::Invalid));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn inspect(&self, attempt: &Attempt<'_>) -> Inspection {
        self.inner().inspect_within_budget(attempt, || self.inner().inspect(attempt))
    }

    /// Works as [`inspect`](Self::inspect) on behalf of `actor`. A key of a tenant that it does not
    /// [reach](VerifiedKey::reaches_tenant) is [`AuthError::Invalid`] without a key, and counts against the address as a guess
    /// does. If the actor has a tenant, nothing counts against an address: what one tenant says about an address refuses
    /// nobody in another.
    ///
    /// ```
    /// use apikey::{Attempt, AuthError, KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let of_acme = store.tenant("acme")?.create(NewKey::for_owner("alice"))?;
    /// let gateway = store.create(NewKey::for_owner("gateway").permissions(["keys:verify"]))?;
    /// let gateway = store.verify(gateway.key.expose_secret())?;
    /// let found = store.inspect_within(&Attempt::new(of_acme.key.expose_secret()), &gateway);
    /// assert_eq!(found.answer, Err(AuthError::Invalid));
    /// assert!(found.key.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn inspect_within(&self, attempt: &Attempt<'_>, actor: &VerifiedKey) -> Inspection {
        let inspect = || {
            let found = self.inner().inspect(attempt);
            let reaches = match (&found.key, found.rotated) {
                (Some(key), _) => actor.reaches_tenant(key.tenant()),
                (None, Some(rotated)) => match self.get(rotated) {
                    Ok(info) => info.is_some_and(|info| actor.reaches_tenant(info.tenant())),
                    Err(_) => return Inspection::refused(AuthError::Unavailable),
                },
                (None, None) => true,
            };
            if reaches { found } else { Inspection::refused(AuthError::Invalid) }
        };
        if actor.tenant().is_some() { inspect() } else { self.inner().inspect_within_budget(attempt, inspect) }
    }

    /// The same, without a budget of failed attempts.
    pub(crate) fn inspect_freely(&self, attempt: &Attempt<'_>) -> Inspection {
        self.inner().inspect(attempt)
    }
}

impl Inner {
    /// Charges a guess to the address that presents it.
    fn inspect_within_budget(&self, attempt: &Attempt<'_>, inspect: impl FnOnce() -> Inspection) -> Inspection {
        if attempt.caller.peer.address().is_none() {
            return inspect();
        }
        let mut found = None;
        let answer = self.within_budget(attempt, |error| error, || found.insert(inspect()).answer.clone());
        found.unwrap_or_else(|| Inspection { answer, ..Inspection::refused(AuthError::Invalid) })
    }

    fn inspect(&self, attempt: &Attempt<'_>) -> Inspection {
        let engine = &self.engine;
        if engine.index.is_closed() || !engine.is_ready() {
            return Inspection::refused(AuthError::Unavailable);
        }
        let rotated = || self.find_rotated(attempt.token).map(|key| KeyId::from_u128(key.id));
        let Some((matched, id)) = self.find(attempt.token.as_bytes()) else {
            let rotated = rotated();
            let error = if rotated.is_some() { AuthError::Rotated } else { AuthError::Invalid };
            return Inspection { rotated, ..Inspection::refused(engine.unavailable_if_closed(error)) };
        };
        let now = engine.time.now_ms();
        let key = engine.index.verified_key(&matched, id);
        let quota = engine.index.quota_status(&key, || now);
        let answer = match engine.index.check_state(&matched, now) {
            Err(error) => Err(error),
            Ok(()) if attempt.caller.peer.address().is_some_and(|peer| !matched.allows_peer(peer)) => {
                Err(AuthError::AddressNotAllowed)
            }
            Ok(()) => match attempt.requirement.filter(|requirement| !requirement.met_by(matched.grants())) {
                Some(requirement) => Err(AuthError::lacking(&requirement.missing(matched.grants()))),
                None => quota
                    .filter(|status| status.remaining() == 0)
                    .map_or(Ok(()), |status| Err(AuthError::used_up(status, now))),
            },
        };
        // Its overlap has just ended, and it is not erased yet.
        let rotated = if answer == Err(AuthError::Invalid) { rotated() } else { None };
        let answer = if rotated.is_some() { Err(AuthError::Rotated) } else { answer };
        Inspection { answer, key: Some(key), rotated, quota }
    }
}
