//! What callers may make of the keys of one owner.

use chrono::TimeDelta;

use crate::access::permission::covers;
use crate::base::time::LAST_MS;

/// The most keys of an owner whose bounds name no other number.
const MAX_KEYS: usize = 20;

/// What the callers of a service may make of their own keys: the bounds of an [`OwnerStore`](crate::OwnerStore), which the
/// store checks when it decides a change. Use them where a caller has no key that could cap the change, such as a user who is
/// signed in to a page.
///
/// A key that is created through such a handle has permissions that are offered, no roles and no labels, the store's default
/// prefix and rotation policy, and an idle time no longer than the store's default. A change may narrow a key in any way, and give
/// it nothing but offered permissions and an end within the lifetime: it lifts no limit, quota, network, idle time or start that
/// those who run the service have set, and enables no key that is disabled. A key that has more than is offered gets no new
/// secret, since its caller would have all of that.
///
/// ```
/// use apikey::{KeyBounds, KeyStore, NewKey};
/// use chrono::TimeDelta;
///
/// let store = KeyStore::temporary()?;
/// let bounds = KeyBounds::new().offer(["orders:read"]).max_keys(2).max_lifetime(TimeDelta::days(90));
/// let alice = store.of_owner("alice").bounded(bounds);
/// let key = alice.create(NewKey::for_owner("alice").permissions(["orders:read"]))?;
/// assert!(key.info.expires_at().is_some()); // it ends within 90 days
/// let wider = alice.create(NewKey::for_owner("alice").permissions(["orders:write"]));
/// assert_eq!(wider.unwrap_err().status(), 422);
/// alice.create(NewKey::for_owner("alice"))?;
/// let third = alice.create(NewKey::for_owner("alice"));
/// assert_eq!(third.unwrap_err().code(), "too_many_keys");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyBounds {
    offer: Vec<String>,
    max_keys: usize,
    max_lifetime: Option<i64>,
}

impl Default for KeyBounds {
    fn default() -> Self {
        Self::new()
    }
}

impl KeyBounds {
    /// Creates bounds within which an owner may have 20 keys, of any lifetime, without permissions.
    #[must_use]
    pub fn new() -> Self {
        Self { offer: Vec::new(), max_keys: MAX_KEYS, max_lifetime: None }
    }

    /// Sets the permissions that the owner may put on keys. A grant with a wildcard offers all that it gives.
    #[must_use]
    pub fn offer<P: AsRef<str>>(mut self, grants: impl IntoIterator<Item = P>) -> Self {
        self.offer = grants.into_iter().map(|grant| grant.as_ref().to_owned()).collect();
        self
    }

    /// Sets how many keys the owner may have that are neither revoked nor expired. A key that has expired gets a later end only
    /// where there is room for it. Keys that others create for the owner count, too, and are never refused.
    #[must_use]
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// Sets the latest end of the owner's keys, counted from their creation. A new key that names no end gets this one. Less
    /// than a millisecond is one.
    #[must_use]
    pub fn max_lifetime(mut self, span: TimeDelta) -> Self {
        self.max_lifetime = Some(span.num_milliseconds().max(1));
        self
    }

    /// Returns the permissions that the owner may put on keys.
    #[must_use]
    pub fn offered(&self) -> &[String] {
        &self.offer
    }

    /// Returns how many keys the owner may have.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.max_keys
    }

    /// Returns how long a key may live; `None` for any time.
    #[must_use]
    pub fn lifetime(&self) -> Option<TimeDelta> {
        self.max_lifetime.map(|span| TimeDelta::try_milliseconds(span).unwrap_or(TimeDelta::MAX))
    }

    /// The latest end of a key that was created at this time; `None` if it may live as long as any.
    pub(crate) fn latest_end(&self, created_at: i64) -> Option<i64> {
        self.max_lifetime.map(|span| created_at.saturating_add(span)).filter(|end| *end <= LAST_MS)
    }

    pub(crate) fn offers(&self, grant: &str) -> bool {
        self.offer.iter().any(|offered| covers(offered, grant))
    }
}
