//! Keeping the ended secrets of keys, and finding one by its token.

use crate::access::verified_key::VerifiedKey;
use crate::index::Index;
use crate::index::locate::{secret_home, verified_home};
use crate::index::refused::refusals::RefusedKey;
use crate::index::rotated::Ended;
use crate::key::effective_key::EffectiveKey;
use crate::key::record::StoredEnded;
use crate::token::api_key::Tail;
use crate::token::digest::{Digest, DigestPrefix, digest_prefix};

impl Index {
    /// Sets the ended secrets of a key, as a change leaves it.
    pub(in crate::index) fn set_rotated(&self, key: &EffectiveKey) {
        let Some(newest) = key.secrets.last() else { return self.remove_rotated(key.id) };
        let of = |&StoredEnded { digest, pepper, imported, until, .. }: &StoredEnded| {
            // Its key may be the only one that ever had a secret of this form.
            if imported.is_some() {
                self.make_readable(pepper, imported);
            }
            Ended { digest, until }
        };
        let ended: Vec<Ended> = key.ended.iter().map(of).collect();
        self.rotated.set(key.id, &ended, (secret_home(key.id, newest), digest_prefix(&newest.digest)));
    }

    /// Removes the ended secrets of a key that was deleted.
    pub(in crate::index) fn remove_rotated(&self, id: u128) {
        self.rotated.set(id, &[], (0, DigestPrefix::default()));
    }

    /// Sets the secret that the first use of its successor has just ended, if it is one of the store's own. The change that
    /// records the use says the same later.
    pub(in crate::index) fn note_rotated(&self, key: &VerifiedKey, home: u32, digest: Digest, until: i64) {
        if home == verified_home(key) {
            self.rotated.set(key.id().as_u128(), &[Ended { digest, until }], (home, key.digest));
        }
    }

    /// The key of this token of the store's own form, if the token is the key's newest ended secret, and the key is good.
    #[cold]
    pub(crate) fn rotated_own(&self, token: &Tail, now: impl FnOnce() -> i64) -> Option<RefusedKey> {
        if self.rotated.is_empty() {
            return None;
        }
        let now = now();
        self.digesters.iter().find_map(|slot| self.rotated(&slot.digester.presented(token), now))
    }

    /// The same for a token in another form.
    #[cold]
    pub(crate) fn rotated_imported(&self, token: &[u8], now: impl FnOnce() -> i64) -> Option<RefusedKey> {
        if self.rotated.is_empty() || !self.may_be_imported(token) {
            return None;
        }
        let now = now();
        self.imported_digests(token).find_map(|digest| self.rotated(&digest, now))
    }

    fn rotated(&self, digest: &Digest, now: i64) -> Option<RefusedKey> {
        let (id, home, newest) = self.rotated.get(digest, now)?;
        let identity = self.good_identity(home, &newest, now)?;
        Some(RefusedKey { id, identity })
    }
}
