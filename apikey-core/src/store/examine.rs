//! Asking what a token is good for, without using it.

use crate::auth_error::AuthError;
use crate::requirement::Requirement;
use crate::verified::VerifiedKey;

use super::KeyStore;

impl KeyStore {
    /// As [`authorize`](Self::authorize), for an operator who only asks: it ends no overlap, leaves no time of use, and
    /// counts against no limit. From where it may be used is not asked either.
    pub(crate) fn examine(&self, token: &str, requirement: &Requirement) -> Result<VerifiedKey, AuthError> {
        let inner = self.inner();
        let (matched, id) = inner.find(token.as_bytes()).ok_or_else(|| inner.told(AuthError::Invalid))?;
        inner.index.state_of(&matched, inner.time.now_ms()).map_err(|error| inner.told(error))?;
        if !requirement.met_by(matched.grants()) {
            return Err(requirement.not_met());
        }
        Ok(inner.index.proof(&matched, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ImportScheme, Imported, NewKey, Overlap};

    #[test]
    fn it_answers_as_a_use_would_and_leaves_nothing() {
        let store = KeyStore::temporary().unwrap();
        let any = Requirement::authenticated();
        let old = store.create(NewKey::for_owner("alice").permissions(["a:b"])).unwrap();
        let new = store.rotate(old.info.id(), Overlap::UntilFirstUse).unwrap();
        for key in [&new, &old] {
            let verified = store.examine(key.key.expose_secret(), &any).unwrap();
            assert_eq!((verified.id(), verified.owner()), (old.info.id(), "alice"));
            assert!(store.examine(key.key.expose_secret(), &Requirement::permission("a:c").unwrap()).is_err());
        }
        assert!(store.examine(old.key.expose_secret(), &any).unwrap().superseded());
        assert_eq!(store.get(old.info.id()).unwrap().unwrap().last_used_at(), None);
        let foreign = Imported::raw("legacy-7f3a9c1e5b2d4860");
        store.create(NewKey::for_owner("bob").imported(foreign, ImportScheme::Whole)).unwrap();
        assert_eq!(store.examine("legacy-7f3a9c1e5b2d4860", &any).unwrap().owner(), "bob");
        for none in ["", "ak_", "legacy-7f3a9c1e5b2d4861"] {
            assert_eq!(store.examine(none, &any).unwrap_err(), AuthError::Invalid);
        }
        store.revoke(old.info.id(), "").unwrap();
        assert_eq!(store.examine(new.key.expose_secret(), &any).unwrap_err(), AuthError::Revoked);
        store.close().unwrap();
        assert_eq!(store.examine(new.key.expose_secret(), &any).unwrap_err(), AuthError::Unavailable);
    }
}
