//! Refusals, counted in memory, for each key and code.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::auth_error::AuthError;
use crate::intern::OWNERS;
use crate::key_id::KeyId;

/// Keys that are counted one by one; above that they are counted together.
const MOST_KEYS: usize = 100_000;
const INVALID: &str = "invalid_api_key";

/// How often requests were refused since the store was opened, by the code of the refusal ([`AuthError::code`]).
///
/// A refusal is counted under a key only if its secret was presented: who guesses is counted under
/// [`unknown`](Self::unknown). At most 100,000 keys are counted one by one, those that were refused first; a key that is
/// purged takes its counts with it. Nothing of it is written to the disk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Refusals {
    /// Refusals of tokens that are no key's: malformed, unknown, a wrong or ended secret, none at all.
    pub unknown: BTreeMap<&'static str, u64>,
    /// Refusals of each key.
    pub keys: BTreeMap<KeyId, BTreeMap<&'static str, u64>>,
    /// Refusals of keys beyond the 100,000.
    pub other_keys: BTreeMap<&'static str, u64>,
}

impl Refusals {
    /// All refusals with this code.
    #[must_use]
    pub fn with_code(&self, code: &str) -> u64 {
        self.all().filter(|(known, _)| *known == code).map(|(_, count)| count).sum()
    }

    /// All refusals.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.all().map(|(_, count)| count).sum()
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let groups = [&self.unknown, &self.other_keys].into_iter().chain(self.keys.values());
        groups.flatten().map(|(code, count)| (*code, *count))
    }
}

/// The counts of a store. What is most often refused, and by anybody, takes no lock; and it has its cache lines to itself,
/// so that a flood of refusals is not felt by good keys.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct RefusalCounts {
    invalid: AtomicU64,
    invalid_told: AtomicU64,
    others: Mutex<Others>,
}

#[derive(Default)]
struct Others {
    unknown: Codes,
    keys: HashMap<u128, OfKey>,
    beyond: Codes,
}

#[derive(Default)]
struct OfKey {
    owner: u32,
    codes: Codes,
}

/// A key has few codes.
#[derive(Default)]
struct Codes(Vec<Count>);

struct Count {
    code: &'static str,
    count: u64,
    told: u64,
}

/// Whose secret was presented.
#[derive(Clone, Copy)]
pub(crate) struct RefusedKey {
    pub(crate) id: u128,
    /// Number in [`OWNERS`].
    pub(crate) owner: u32,
}

impl RefusalCounts {
    /// Counts a refusal. The first of each key and code is logged at once.
    #[inline]
    pub(crate) fn count(&self, key: Option<RefusedKey>, error: &AuthError) {
        if key.is_some() || !matches!(error, AuthError::Invalid) {
            self.count_other(key, error.code());
        } else if self.invalid.fetch_add(1, Ordering::Relaxed) == 0 {
            self.tell_first_invalid();
        }
    }

    #[cold]
    fn tell_first_invalid(&self) {
        self.invalid_told.fetch_add(1, Ordering::Relaxed);
        tell(None, INVALID, 1);
    }

    #[inline(never)]
    fn count_other(&self, key: Option<RefusedKey>, code: &'static str) {
        let mut others = self.others();
        let full = others.keys.len() >= MOST_KEYS;
        let codes = match key {
            None => &mut others.unknown,
            Some(key) if full && !others.keys.contains_key(&key.id) => &mut others.beyond,
            Some(key) => {
                let of_key = others.keys.entry(key.id).or_default();
                of_key.owner = key.owner;
                &mut of_key.codes
            }
        };
        let first = codes.count(code);
        drop(others);
        if first {
            tell(key, code, 1);
        }
    }

    /// A key is gone.
    pub(crate) fn forget(&self, key: u128) {
        self.others().keys.remove(&key);
    }

    /// Logs what was counted and not logged: one event for each key and code.
    pub(crate) fn tell_rest(&self) {
        self.take_rest().into_iter().for_each(|(key, code, count)| tell(key, code, count));
    }

    fn take_rest(&self) -> Vec<(Option<RefusedKey>, &'static str, u64)> {
        let mut rest = Vec::new();
        let count = self.invalid.load(Ordering::Relaxed);
        let told = self.invalid_told.swap(count, Ordering::Relaxed);
        if count > told {
            rest.push((None, INVALID, count - told));
        }
        let mut others = self.others();
        let Others { unknown, keys, beyond } = &mut *others;
        unknown.take_rest(|code, count| rest.push((None, code, count)));
        beyond.take_rest(|code, count| rest.push((None, code, count)));
        for (id, of_key) in keys {
            let key = RefusedKey { id: *id, owner: of_key.owner };
            of_key.codes.take_rest(|code, count| rest.push((Some(key), code, count)));
        }
        rest
    }

    pub(crate) fn snapshot(&self) -> Refusals {
        let others = self.others();
        let mut unknown = others.unknown.by_code();
        let invalid = self.invalid.load(Ordering::Relaxed);
        if invalid > 0 {
            unknown.insert(INVALID, invalid);
        }
        let keys = others.keys.iter().map(|(id, of_key)| (KeyId::from_u128(*id), of_key.codes.by_code()));
        Refusals { unknown, keys: keys.collect(), other_keys: others.beyond.by_code() }
    }

    pub(crate) fn of(&self, key: KeyId) -> BTreeMap<&'static str, u64> {
        self.others().keys.get(&key.as_u128()).map(|of_key| of_key.codes.by_code()).unwrap_or_default()
    }

    fn others(&self) -> MutexGuard<'_, Others> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Codes {
    /// Whether it is the first.
    fn count(&mut self, code: &'static str) -> bool {
        if let Some(held) = self.0.iter_mut().find(|held| held.code == code) {
            held.count = held.count.saturating_add(1);
            return false;
        }
        self.0.push(Count { code, count: 1, told: 1 });
        true
    }

    fn take_rest(&mut self, mut each: impl FnMut(&'static str, u64)) {
        for held in self.0.iter_mut().filter(|held| held.count > held.told) {
            each(held.code, held.count - held.told);
            held.told = held.count;
        }
    }

    fn by_code(&self) -> BTreeMap<&'static str, u64> {
        self.0.iter().map(|held| (held.code, held.count)).collect()
    }
}

/// No lock is held: a subscriber may ask the store.
fn tell(key: Option<RefusedKey>, code: &'static str, count: u64) {
    match key {
        None => tracing::info!(name: "apikey.refused", target: "apikey", code, count, "API key refused"),
        Some(RefusedKey { id, owner }) => {
            let (key, owner) = (KeyId::from_u128(id), OWNERS.text(owner));
            tracing::info!(name: "apikey.refused", target: "apikey", code, count, %key, owner, "API key refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u128) -> Option<RefusedKey> {
        Some(RefusedKey { id, owner: OWNERS.number("alice").unwrap() })
    }

    #[test]
    fn what_was_not_logged_at_once_is_logged_once() {
        let counts = RefusalCounts::default();
        let rest = || counts.take_rest().into_iter().map(|(key, code, count)| (key.map(|key| key.id), code, count));
        let rest = || rest().collect::<Vec<_>>();
        for _ in 0..100 {
            counts.count(None, &AuthError::Invalid);
            counts.count(key(7), &AuthError::Revoked);
        }
        counts.count(None, &AuthError::Missing);
        counts.count(key(7), &AuthError::Disabled);
        assert_eq!(rest(), [(None, "invalid_api_key", 99), (Some(7), "revoked_api_key", 99)]);
        assert_eq!(rest(), []);
        counts.count(None, &AuthError::Missing);
        counts.count(key(7), &AuthError::Revoked);
        assert_eq!(rest(), [(None, "missing_api_key", 1), (Some(7), "revoked_api_key", 1)]);
    }

    #[test]
    fn keys_beyond_the_bound_are_counted_together() {
        let counts = RefusalCounts::default();
        for id in 0..MOST_KEYS as u128 + 5 {
            counts.count(key(id), &AuthError::Revoked);
        }
        counts.count(key(3), &AuthError::Revoked);
        let refusals = counts.snapshot();
        assert_eq!(refusals.keys.len(), MOST_KEYS);
        assert_eq!(refusals.other_keys, BTreeMap::from([("revoked_api_key", 5)]));
        assert_eq!(refusals.total(), MOST_KEYS as u64 + 6);
        counts.forget(3);
        counts.count(key(1 << 100), &AuthError::Disabled);
        assert_eq!(counts.of(KeyId::from_u128(1 << 100)), BTreeMap::from([("disabled_api_key", 1)]));
        assert_eq!(counts.of(KeyId::from_u128(3)), BTreeMap::new());
    }
}
