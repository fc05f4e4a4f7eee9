//! Idempotent requests: the outcome of each, so that a repeat creates nothing more.
//!
//! The store returns a secret once and does not keep it, so it cannot answer a repeat with the same one. A repeat means
//! that the first answer was lost. Then nobody has used the secret, and the store replaces it.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::access::owner::Owners;
use crate::base::codec::plain_frame;
use crate::key::bounds;
use crate::key::builder_json::SpanMs;
use crate::key::error::StoreError;
use crate::key::new_key::{Expires, NewKey};
use crate::key::rotation::overlap::Overlap;
use crate::token::digest::Digest;
use crate::token::key_id::KeyId;

/// How long the store keeps the outcome of a request.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// The time of an outcome that the store keeps for ever.
pub(crate) const NEVER_EXPIRES: i64 = i64::MAX;

/// The outcome of a request, stored under [`IdempotentRequest::name`]. The order of fields is the stored format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequestOutcome {
    /// Milliseconds since 1970 UTC; a repeat does not move it.
    pub(crate) at: i64,
    /// The digest of the whole request.
    pub(crate) request: Digest,
    pub(crate) key: u128,
    /// The number of the secret that the request returned.
    pub(crate) version: u32,
}

plain_frame!(RequestOutcome, b'I', "the outcome of a request");

impl RequestOutcome {
    /// Whether the outcome still counts.
    pub(crate) fn holds(&self, now: i64) -> bool {
        if self.at == NEVER_EXPIRES {
            return true;
        }
        self.is_within(now, KEPT_MS)
    }

    /// Whether a replica keeps the outcome, so that its node still knows of it when it becomes the janitor.
    #[cfg(feature = "cluster")]
    pub(crate) fn is_kept_by_replica(&self, now: i64) -> bool {
        self.at == NEVER_EXPIRES || self.is_within(now, 2 * KEPT_MS)
    }

    fn is_within(&self, now: i64, span: i64) -> bool {
        // An outcome from a time when the clock was far ahead must not count for ever.
        (now.saturating_sub(span).saturating_add(1)..=now.saturating_add(span)).contains(&self.at)
    }
}

/// A request with an idempotency key, in a form that does not reveal the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdempotentRequest {
    pub(crate) name: Digest,
    pub(crate) request: Digest,
    /// When the request first arrived, once that is known.
    pub(crate) at: i64,
}

impl IdempotentRequest {
    /// Describes the creation of a key.
    pub(crate) fn create(idempotency_key: &str, new: &NewKey, permissions: &[String]) -> Result<Self, StoreError> {
        if new.imported.is_some() {
            return Err(StoreError::invalid(
                "idempotency_key",
                idempotency_key,
                "keys that are not imported: a second import is a conflict by itself",
            ));
        }
        let mut hasher = RequestHasher::new("create");
        hasher.text(&new.owner).optional(new.name.as_deref());
        let mut permissions: Vec<&String> = permissions.iter().collect();
        permissions.sort_unstable();
        hasher.number(permissions.len() as i128);
        for permission in permissions {
            hasher.text(permission);
        }
        hasher.number(new.roles.len() as i128);
        let mut roles: Vec<&String> = new.roles.iter().collect();
        roles.sort_unstable();
        for role in roles {
            hasher.text(role);
        }
        hasher.number(new.metadata.len() as i128);
        for (name, value) in &new.metadata {
            hasher.text(name).text(value);
        }
        hasher.number(new.labels.len() as i128);
        for (name, value) in &new.labels {
            hasher.text(name).text(value);
        }
        hasher.optional(new.prefix.as_deref());
        hasher.optional(new.not_before.map(|start| start.timestamp_millis().to_string()).as_deref());
        match new.expires {
            Expires::Never => hasher.text("never"),
            Expires::In(span) => hasher.text("in").number(span.num_milliseconds().into()),
            Expires::At(end) => hasher.text("at").number(end.timestamp_millis().into()),
        };
        hasher.optional(new.within.as_ref().map(|actor| actor.id().to_string()).as_deref());
        let limit = new.limit.map(|limit| format!("{} per {}", limit.count, limit.per.num_milliseconds()));
        hasher.optional(limit.as_deref());
        let networks = new.networks.as_ref().map(|networks| {
            let mut networks: Vec<&str> = networks.iter().map(String::as_str).collect();
            networks.sort_unstable();
            networks.join(" ")
        });
        hasher.optional(networks.as_deref());
        hasher.optional(new.rotation.changed().map(|policy| format!("{policy:?}")).as_deref());
        let idle_after = new.idle_after.changed().map(|after| after.map(|SpanMs(span)| span.num_milliseconds()));
        hasher.optional(idle_after.map(|after| format!("{after:?}")).as_deref());
        Self::new(idempotency_key, hasher)
    }

    /// Describes the rotation of a key. The same rotation by another acting key is another request: a superseded
    /// secret, which may not rotate its key again, may repeat its own rotation, and no other.
    pub(crate) fn rotate(
        idempotency_key: &str,
        key: u128,
        overlap: Overlap,
        within: Option<KeyId>,
    ) -> Result<Self, StoreError> {
        let mut hasher = RequestHasher::new("rotate");
        hasher.text(&key.to_string());
        match overlap {
            Overlap::None => hasher.text("none"),
            Overlap::For(span) => hasher.text("for").number(span.num_milliseconds().into()),
            Overlap::UntilFirstUse => hasher.text("first use"),
        };
        if let Some(actor) = within {
            hasher.text("within").text(&actor.to_string());
        }
        Self::new(idempotency_key, hasher)
    }

    /// The same for a handle that sees the keys of these owners: owners and tenants share no idempotency keys.
    pub(crate) fn of_owners(self, owners: Option<Owners<'_>>) -> Self {
        let Some(owners) = owners else { return self };
        let mut hasher = RequestHasher::new("owner");
        match owners {
            Owners::One(owner) => hasher.optional(owner.tenant).text(owner.name),
            Owners::AllOf(tenant) => hasher.optional(Some(tenant)),
        };
        hasher.0.update(self.name);
        Self { name: hasher.0.finalize().into(), ..self }
    }

    /// The same for a request that an acting key caps: acting keys share no idempotency keys, so that none learns what
    /// another has requested, or is in its way.
    pub(crate) fn of_actor(self, actor: Option<KeyId>) -> Self {
        let Some(actor) = actor else { return self };
        let mut hasher = RequestHasher::new("actor");
        hasher.text(&actor.to_string());
        hasher.0.update(self.name);
        Self { name: hasher.0.finalize().into(), ..self }
    }

    fn new(idempotency_key: &str, hasher: RequestHasher) -> Result<Self, StoreError> {
        bounds::idempotency_key(idempotency_key)?;
        Ok(Self { name: Sha256::digest(idempotency_key).into(), request: hasher.0.finalize().into(), at: 0 })
    }
}

/// Digests several values, so that no value can be mistaken for part of another.
struct RequestHasher(Sha256);

impl RequestHasher {
    fn new(what: &str) -> Self {
        let mut hasher = Self(Sha256::new());
        hasher.text(what);
        hasher
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.number(text.len() as i128);
        self.0.update(text);
        self
    }

    fn number(&mut self, number: i128) -> &mut Self {
        self.0.update(number.to_be_bytes());
        self
    }

    fn optional(&mut self, text: Option<&str>) -> &mut Self {
        self.number(text.is_some().into());
        match text {
            Some(text) => self.text(text),
            None => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::{decode, encode, golden};

    #[test]
    fn golden_bytes() {
        let outcome = RequestOutcome { at: 1_700_000_000_000, request: [7; 32], key: 1 << 100, version: 3 };
        let frame = encode(&outcome).unwrap();
        golden::check("idempotency.bin", &frame);
        assert_eq!(decode::<RequestOutcome>(&frame).unwrap(), outcome);
    }

    #[test]
    fn it_is_remembered_for_a_day() {
        let outcome = RequestOutcome { at: 1_700_000_000_000, request: [7; 32], key: 1, version: 1 };
        for (after, holds) in
            [(0, true), (KEPT_MS - 1, true), (KEPT_MS, false), (-KEPT_MS, true), (-KEPT_MS - 1, false)]
        {
            assert_eq!(outcome.holds(outcome.at + after), holds, "{after}");
        }
        assert!(!outcome.holds(i64::MAX) && !outcome.holds(i64::MIN));
        let kept = RequestOutcome { at: NEVER_EXPIRES, ..outcome };
        assert!(kept.holds(i64::MIN) && kept.holds(outcome.at));
    }

    #[test]
    fn every_part_of_a_request_counts() {
        let key = || NewKey::for_owner("alice");
        let requests = [
            key(),
            NewKey::for_owner("bob"),
            key().name("ci"),
            key().permissions(["a:b"]),
            key().permissions(["a:b", "c:d"]),
            key().metadata("a", "bc"),
            key().metadata("ab", "c"),
            key().expires_in(chrono::TimeDelta::milliseconds(5)),
            key().expires_at(crate::base::time::from_ms(5)),
            key().not_before(crate::base::time::from_ms(5)),
            key().limit(5, chrono::TimeDelta::milliseconds(5)),
            key().limit(5, chrono::TimeDelta::milliseconds(6)),
            key().networks(["10.0.0.0/8"]),
            key().networks(["10.0.0.0/8", "::1"]),
            key().rotation(crate::RotationPolicy::every(chrono::TimeDelta::days(5))),
            key().no_rotation(),
            key().idle_after(chrono::TimeDelta::hours(5)),
            key().idle_after(chrono::TimeDelta::hours(6)),
            key().no_idle_after(),
        ];
        let request = |new: &NewKey| IdempotentRequest::create("k", new, &new.permissions).unwrap();
        let mut seen: Vec<Digest> = requests.iter().map(|new| request(new).request).collect();
        for overlap in [Overlap::None, Overlap::UntilFirstUse, Overlap::For(chrono::TimeDelta::milliseconds(5))] {
            for within in [None, Some(1), Some(2)].map(|actor| actor.map(KeyId::from_u128)) {
                seen.extend([1, 2].map(|key| IdempotentRequest::rotate("k", key, overlap, within).unwrap().request));
            }
        }
        for (at, one) in seen.iter().enumerate() {
            assert!(!seen[..at].contains(one), "{at}");
        }
        // The same set in another order is the same request.
        let [one, other] = [["a:b", "c:d"], ["c:d", "a:b"]].map(|grants| request(&key().permissions(grants)));
        assert_eq!(one, other);
        let [one, other] = [["::1", "10.0.0.0/8"], ["10.0.0.0/8", "::1"]].map(|nets| request(&key().networks(nets)));
        assert_eq!(one, other);
        assert_ne!(IdempotentRequest::create("other", &key(), &[]).unwrap().name, one.name);
    }
}
