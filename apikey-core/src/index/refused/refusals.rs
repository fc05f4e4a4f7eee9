//! Counts of refusals, in memory, for each key and code.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use serde::Serialize;

use crate::access::auth_error::AuthError;
use crate::access::identity::owner_of;
use crate::access::owner::OwnerRef;
use crate::access::peer::Peer;
use crate::access::refusal_count::RefusalCount;
use crate::base::lock::lock;
use crate::base::time::from_ms;
use crate::token::key_id::KeyId;

/// The most keys with a count each; the others share one.
const MAX_KEYS: usize = 100_000;
const INVALID: &str = "invalid_api_key";
/// Only callers with the key's secret get this code.
const WRONG_NETWORK: &str = "address_not_allowed";

/// How often a store has refused requests since it was opened, by the code of the refusal ([`AuthError::code`]).
///
/// The store counts a refusal under a key only if the caller presented the key's secret, and guesses under
/// [`unknown`](Self::unknown). The first 100,000 refused keys have counts of their own; purging a key removes its
/// counts. The store writes none of this to the disk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Refusals {
    /// Refusals of requests without the secret of a key: no token, or one that is malformed, unknown, wrong or ended.
    pub unknown: BTreeMap<&'static str, u64>,
    /// Refusals of each key.
    pub keys: BTreeMap<KeyId, BTreeMap<&'static str, u64>>,
    /// Refusals of keys beyond the 100,000.
    pub other_keys: BTreeMap<&'static str, u64>,
}

impl Refusals {
    /// Returns the number of all refusals with this code.
    #[must_use]
    pub fn with_code(&self, code: &str) -> u64 {
        self.all().filter(|(known, _)| *known == code).map(|(_, count)| count).sum()
    }

    /// Returns the number of all refusals.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.all().map(|(_, count)| count).sum()
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let groups = [&self.unknown, &self.other_keys].into_iter().chain(self.keys.values());
        groups.flatten().map(|(code, count)| (*code, *count))
    }
}

/// The counts of a store. The most frequent refusal, which any caller can cause, takes no lock, and has cache lines of
/// its own, so that a flood of refusals does not slow down valid keys.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct RefusalCounts {
    invalid: AtomicU64,
    invalid_logged: AtomicU64,
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
    identity: u32,
    codes: Codes,
}

/// The counts of one key by code; a key has few codes.
#[derive(Default)]
struct Codes(Vec<Count>);

struct Count {
    code: &'static str,
    count: u64,
    logged: u64,
    /// The time and the peer of the last refusal.
    at: i64,
    peer: Peer,
}

/// The key whose secret a caller presented.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RefusedKey {
    pub(crate) id: u128,
    /// The number of its identity, of which logs have the owner only.
    pub(crate) identity: u32,
}

impl RefusalCounts {
    /// Counts a refusal, and logs the first of each key and code at once.
    #[inline]
    pub(crate) fn count(&self, key: Option<RefusedKey>, error: &AuthError, peer: Peer, now: impl FnOnce() -> i64) {
        if key.is_some() || !matches!(error, AuthError::Invalid) {
            self.count_other(key, error.code(), peer, now());
        } else if self.invalid.fetch_add(1, Ordering::Relaxed) == 0 {
            self.log_first_invalid(peer);
        }
    }

    #[cold]
    fn log_first_invalid(&self, peer: Peer) {
        self.invalid_logged.fetch_add(1, Ordering::Relaxed);
        Sample { key: None, code: INVALID, count: 1, peer: Some(peer) }.log();
    }

    #[inline(never)]
    fn count_other(&self, key: Option<RefusedKey>, code: &'static str, peer: Peer, now: i64) {
        let mut others = self.others();
        let full = others.keys.len() >= MAX_KEYS;
        let codes = match key {
            None => &mut others.unknown,
            Some(key) if full && !others.keys.contains_key(&key.id) => &mut others.beyond,
            Some(key) => {
                let of_key = others.keys.entry(key.id).or_default();
                of_key.identity = key.identity;
                &mut of_key.codes
            }
        };
        let first = codes.count(code, peer, now);
        drop(others);
        if first {
            Sample { key, code, count: 1, peer: Some(peer) }.log();
        }
    }

    /// Drops the counts of a key that was deleted.
    pub(crate) fn forget(&self, key: u128) {
        self.others().keys.remove(&key);
    }

    /// Logs the counts since the last log: one event for each key and code.
    pub(crate) fn log_rest(&self) {
        self.take_rest().iter().for_each(Sample::log);
    }

    fn take_rest(&self) -> Vec<Sample> {
        let mut rest = Vec::new();
        let count = self.invalid.load(Ordering::Relaxed);
        let logged = self.invalid_logged.swap(count, Ordering::Relaxed);
        if count > logged {
            // Keeping their peers would take a lock for each guess.
            rest.push(Sample { key: None, code: INVALID, count: count - logged, peer: None });
        }
        let mut others = self.others();
        let Others { unknown, keys, beyond } = &mut *others;
        unknown.take_rest(None, &mut rest);
        beyond.take_rest(None, &mut rest);
        for (id, of_key) in keys {
            of_key.codes.take_rest(Some(RefusedKey { id: *id, identity: of_key.identity }), &mut rest);
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

    /// Returns every count with its last time and peer, the highest first.
    pub(crate) fn counts(&self) -> Vec<RefusalCount> {
        let mut all = Vec::new();
        let invalid = self.invalid.load(Ordering::Relaxed);
        if invalid > 0 {
            let (code, count) = (INVALID.to_owned(), invalid);
            all.push(RefusalCount {
                key: None,
                owner: None,
                tenant: None,
                code,
                count,
                last_at: None,
                last_peer: None,
            });
        }
        let others = self.others();
        let mut add = |key: Option<(u128, u32)>, codes: &Codes| {
            all.extend(codes.0.iter().map(|held| RefusalCount {
                key: key.map(|(id, _)| KeyId::from_u128(id)),
                owner: key.map(|(_, identity)| owner_of(identity).name.to_owned()),
                tenant: key.and_then(|(_, identity)| owner_of(identity).tenant).map(str::to_owned),
                code: held.code.to_owned(),
                count: held.count,
                last_at: Some(from_ms(held.at)),
                last_peer: held.peer.address(),
            }));
        };
        add(None, &others.unknown);
        add(None, &others.beyond);
        for (id, of_key) in &others.keys {
            add(Some((*id, of_key.identity)), &of_key.codes);
        }
        drop(others);
        all.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.key.cmp(&other.key)));
        all
    }

    pub(crate) fn of(&self, key: KeyId) -> BTreeMap<&'static str, u64> {
        self.others().keys.get(&key.as_u128()).map(|of_key| of_key.codes.by_code()).unwrap_or_default()
    }

    /// Returns how many requests without the secret of a key were refused since the store was opened, by code.
    pub(crate) fn unknown(&self) -> Vec<(&'static str, u64)> {
        let invalid = (INVALID, self.invalid.load(Ordering::Relaxed));
        let others: Vec<_> = self.others().unknown.by_code().into_iter().collect();
        others.into_iter().chain([invalid]).collect()
    }

    fn others(&self) -> MutexGuard<'_, Others> {
        lock(&self.others)
    }
}

impl Codes {
    /// Counts a refusal, and returns whether it is the first with this code.
    fn count(&mut self, code: &'static str, peer: Peer, now: i64) -> bool {
        if let Some(held) = self.0.iter_mut().find(|held| held.code == code) {
            held.count = held.count.saturating_add(1);
            (held.at, held.peer) = (now, peer);
            return false;
        }
        self.0.push(Count { code, count: 1, logged: 1, at: now, peer });
        true
    }

    fn take_rest(&mut self, key: Option<RefusedKey>, rest: &mut Vec<Sample>) {
        for held in self.0.iter_mut().filter(|held| held.count > held.logged) {
            rest.push(Sample { key, code: held.code, count: held.count - held.logged, peer: Some(held.peer) });
            held.logged = held.count;
        }
    }

    fn by_code(&self) -> BTreeMap<&'static str, u64> {
        self.0.iter().map(|held| (held.code, held.count)).collect()
    }
}

/// One line of the log: some refusals of one key with one code.
#[derive(Debug)]
struct Sample {
    key: Option<RefusedKey>,
    code: &'static str,
    count: u64,
    /// The peer of the last of them; `None` if the store does not keep it.
    peer: Option<Peer>,
}

impl Sample {
    /// The caller holds no lock: a subscriber may call the store.
    fn log(&self) {
        let Self { code, count, .. } = *self;
        let is_known = self.peer.is_some_and(|peer| peer.address().is_some());
        let peer = self.peer.map(tracing::field::display);
        let Some(RefusedKey { id, identity }) = self.key else {
            tracing::info!(name: "apikey.refused", target: "apikey", code, count, peer, "API key refused");
            return;
        };
        let (key, OwnerRef { tenant, name: owner }) = (KeyId::from_u128(id), owner_of(identity));
        tracing::info!(name: "apikey.refused", target: "apikey", code, count, peer, %key, owner, tenant, "API key refused");
        if code == WRONG_NETWORK {
            // Without an address, a wrongly configured proxy or server is more likely than an attacker.
            let from = if is_known {
                "an address that it is not bound to: if that is none of its owner's, the secret has leaked"
            } else {
                "an unknown address, which cannot be checked against its networks: unless its owner's requests have no \
                 address either (see docs/guides/limits.md), the secret has leaked"
            };
            tracing::warn!(
                name: "apikey.wrong_network", target: "apikey", count, peer, %key, owner, tenant,
                "the right secret of an API key came from {from}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::interner::IDENTITIES;

    fn key(id: u128) -> Option<RefusedKey> {
        Some(RefusedKey { id, identity: IDENTITIES.number("alice").unwrap() })
    }

    #[test]
    fn what_was_not_logged_at_once_is_logged_once() {
        let counts = RefusalCounts::default();
        let rest =
            || counts.take_rest().into_iter().map(|one| (one.key.map(|key| key.id), one.code, one.count, one.peer));
        let rest = || rest().collect::<Vec<_>>();
        let last = |host: u8| Peer::Known([192, 0, 2, host].into());
        for host in 0..100 {
            counts.count(None, &AuthError::Invalid, last(host), || 0);
            counts.count(key(7), &AuthError::Revoked, last(host), || 0);
        }
        counts.count(None, &AuthError::Missing, Peer::Unknown, || 0);
        counts.count(key(7), &AuthError::Disabled, Peer::Unknown, || 0);
        assert_eq!(rest(), [(None, "invalid_api_key", 99, None), (Some(7), "revoked_api_key", 99, Some(last(99)))]);
        assert_eq!(rest(), []);
        counts.count(None, &AuthError::Missing, Peer::Unknown, || 0);
        counts.count(key(7), &AuthError::Revoked, Peer::Unknown, || 0);
        assert_eq!(
            rest(),
            [(None, "missing_api_key", 1, Some(Peer::Unknown)), (Some(7), "revoked_api_key", 1, Some(Peer::Unknown))]
        );
    }

    #[test]
    fn keys_beyond_the_bound_are_counted_together() {
        let counts = RefusalCounts::default();
        for id in 0..MAX_KEYS as u128 + 5 {
            counts.count(key(id), &AuthError::Revoked, Peer::Unknown, || 0);
        }
        counts.count(key(3), &AuthError::Revoked, Peer::Unknown, || 0);
        let refusals = counts.snapshot();
        assert_eq!(refusals.keys.len(), MAX_KEYS);
        assert_eq!(refusals.other_keys, BTreeMap::from([("revoked_api_key", 5)]));
        assert_eq!(refusals.total(), MAX_KEYS as u64 + 6);
        counts.forget(3);
        counts.count(key(1 << 100), &AuthError::Disabled, Peer::Unknown, || 0);
        assert_eq!(counts.of(KeyId::from_u128(1 << 100)), BTreeMap::from([("disabled_api_key", 1)]));
        assert_eq!(counts.of(KeyId::from_u128(3)), BTreeMap::new());
    }
}
