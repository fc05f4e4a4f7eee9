//! Checks a token for an operator, without using its key.

use std::net::IpAddr;

use crate::access::attempt::Attempt;
use crate::access::auth_error::AuthError;
use crate::access::requirement::Requirement;
use crate::admin::{Mismatch, Verdict};
use crate::base::base62;
use crate::key::error::StoreError;
use crate::key::key_info::{EndedSecret, KeyInfo};
use crate::token::api_key;
use crate::token::key_id::KeyId;

use crate::store::inspect::Inspection;
use crate::store::key_store::KeyStore;

impl KeyStore {
    /// Checks a token as [`check`](Self::check) does, but ends no overlap, leaves no time of use, counts against no limit and
    /// uses no quota. It refuses a key that has none of its quota left. It checks the key's networks only if there is a peer. It names the key even if that is not valid, since
    /// an operator may list all keys.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(super) fn examine(
        &self,
        token: &str,
        requirement: &Requirement,
        peer: Option<IpAddr>,
    ) -> Result<Verdict, StoreError> {
        let attempt = Attempt::new(token).needs(requirement);
        let attempt = peer.map_or(attempt, |peer| attempt.peer(peer));
        let Inspection { answer, key, rotated, quota } = self.inspect_freely(&attempt);
        let Some(verified) = key else {
            return match (answer, rotated) {
                (Err(error @ AuthError::Unavailable), _) => Ok(Verdict::bad(&error)),
                (_, Some(id)) => self.rotated(id),
                (_, None) => self.mismatch(token),
            };
        };
        let (key, secret_version) = (self.get(verified.id())?.map(Box::new), verified.secret_version());
        Ok(match (answer, key) {
            (Ok(()), Some(key)) => Verdict::Good {
                key,
                secret_version,
                superseded: verified.superseded(),
                superseded_until: verified.superseded_until(),
                quota,
            },
            // Somebody has just deleted it.
            (Ok(()), None) => Verdict::bad(&AuthError::Invalid).because(Mismatch::NoSuchKey, None),
            (Err(error @ AuthError::Invalid), key) => Verdict::bad(&error).because(Mismatch::Ended, key),
            (Err(error), key) => Verdict::bad(&error).of(key, secret_version),
        })
    }

    /// Says that a token is the newest ended secret of a key.
    fn rotated(&self, id: KeyId) -> Result<Verdict, StoreError> {
        let key = self.get(id)?.map(Box::new);
        let version = key.as_ref().and_then(|key| key.ended_secret()).map_or(0, EndedSecret::version);
        Ok(Verdict::bad(&AuthError::Rotated).of(key, version))
    }

    /// Says why no secret matches a token.
    fn mismatch(&self, token: &str) -> Result<Verdict, StoreError> {
        let bad = Verdict::bad(&AuthError::Invalid);
        let Some(tail) = self.inner().prefixes.parse(token.as_bytes()) else {
            return Ok(bad.because(Mismatch::Form, None));
        };
        let named = base62::decode_u128(api_key::id_chars(api_key::body(tail))).map(KeyId::from_u128);
        let key: Option<KeyInfo> = named.map(|id| self.get(id)).transpose()?.flatten();
        Ok(match key {
            Some(key) => bad.because(Mismatch::NotItsSecret, Some(Box::new(key))),
            None => bad.because(Mismatch::NoSuchKey, None),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CreatedKey, ImportScheme, Imported, NewKey, Overlap, Quota};

    fn any() -> Requirement {
        Requirement::authenticated()
    }

    fn verdict(store: &KeyStore, token: &str, peer: Option<&str>) -> Verdict {
        store.examine(token, &any(), peer.map(|peer| peer.parse().unwrap())).unwrap()
    }

    /// The code, the mismatch, the key and the secret's version.
    fn bad(verdict: Verdict) -> (String, Option<Mismatch>, Option<KeyId>, Option<u32>) {
        let Verdict::Bad { code, why, key, secret_version, .. } = verdict else { panic!("{verdict:?}") };
        (code, why, key.map(|key| key.id()), secret_version)
    }

    #[test]
    fn it_answers_as_a_use_would_and_leaves_nothing() {
        let store = KeyStore::temporary().unwrap();
        let old = store.create(NewKey::for_owner("alice").permissions(["a:b"])).unwrap();
        let new = store.rotate(old.info.id(), Overlap::UntilFirstUse).unwrap();
        for (created, number) in [(&new, 2), (&old, 1)] {
            let Verdict::Good { key, secret_version, superseded, .. } = verdict(&store, token(created), None) else {
                panic!()
            };
            assert_eq!((key.id(), key.owner(), secret_version), (old.info.id(), "alice", number));
            assert_eq!(superseded, number == 1);
            let lacks = store.examine(token(created), &Requirement::permission("a:c").unwrap(), None).unwrap();
            assert_eq!(bad(lacks), ("insufficient_permission".into(), None, Some(old.info.id()), Some(number)));
        }
        // Only what the key lacks.
        let all = Requirement::all(["a:b", "a:c"]).unwrap();
        let Verdict::Bad { text, .. } = store.examine(token(&old), &all, None).unwrap() else { panic!() };
        assert!(text.contains("a:c") && !text.contains("a:b"), "{text}");
        assert_eq!(store.get(old.info.id()).unwrap().unwrap().last_used_at(), None);
        let foreign = Imported::raw("legacy-7f3a9c1e5b2d4860");
        store.create(NewKey::for_owner("bob").imported(foreign, ImportScheme::Whole)).unwrap();
        assert!(matches!(verdict(&store, "legacy-7f3a9c1e5b2d4860", None), Verdict::Good { .. }));
        store.revoke(old.info.id(), "").unwrap();
        assert_eq!(
            bad(verdict(&store, token(&new), None)),
            ("revoked_api_key".into(), None, Some(old.info.id()), Some(2))
        );
        store.close().unwrap();
        assert_eq!(bad(verdict(&store, token(&new), None)), ("unavailable".into(), None, None, None));
    }

    #[test]
    fn it_uses_no_quota_and_refuses_a_key_that_has_none_left() {
        let store = KeyStore::temporary().unwrap();
        for (quota, code) in [(Quota::per_day(2), "quota_exceeded"), (Quota::total(2), "no_uses_left")] {
            let key = store.create(NewKey::for_owner("alice").quota(quota)).unwrap();
            store.verify(token(&key)).unwrap();
            for _ in 0..3 {
                let Verdict::Good { quota: Some(status), .. } = verdict(&store, token(&key), None) else { panic!() };
                assert_eq!((status.quota(), status.used(), status.remaining()), (quota, 1, 1));
            }
            store.verify(token(&key)).unwrap();
            assert_eq!(bad(verdict(&store, token(&key), None)), (code.into(), None, Some(key.info.id()), Some(1)));
        }
        let free = store.create(NewKey::for_owner("alice")).unwrap();
        assert!(matches!(verdict(&store, token(&free), None), Verdict::Good { quota: None, .. }));
    }

    fn token(created: &CreatedKey) -> &str {
        created.key.expose_secret()
    }

    #[test]
    fn it_says_why_no_secret_matches() {
        let store = KeyStore::temporary().unwrap();
        let key = store.create(NewKey::for_owner("alice")).unwrap();
        let invalid = |why, key| ("invalid_api_key".to_owned(), Some(why), key, None);
        for none in ["", "ak_", "legacy-7f3a9c1e5b2d4861", &token(&key)[..60]] {
            assert_eq!(bad(verdict(&store, none, None)), invalid(Mismatch::Form, None));
        }
        let elsewhere = KeyStore::temporary().unwrap().create(NewKey::for_owner("alice")).unwrap();
        assert_eq!(bad(verdict(&store, token(&elsewhere), None)), invalid(Mismatch::NoSuchKey, None));
        store.rotate(key.info.id(), Overlap::None).unwrap();
        assert_eq!(bad(verdict(&store, token(&key), None)), invalid(Mismatch::NotItsSecret, Some(key.info.id())));
    }

    #[test]
    fn networks_are_checked_only_with_a_peer() {
        let store = KeyStore::temporary().unwrap();
        let key = store.create(NewKey::for_owner("alice").networks(["10.0.0.0/8"])).unwrap();
        for good in [None, Some("10.1.2.3")] {
            assert!(matches!(verdict(&store, token(&key), good), Verdict::Good { .. }), "{good:?}");
        }
        let other = bad(verdict(&store, token(&key), Some("192.0.2.1")));
        assert_eq!(other, ("address_not_allowed".into(), None, Some(key.info.id()), Some(1)));
        let free = store.create(NewKey::for_owner("alice")).unwrap();
        assert!(matches!(verdict(&store, token(&free), Some("::1")), Verdict::Good { .. }));
    }
}
