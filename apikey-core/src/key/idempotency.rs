//! Requests that a caller may repeat: what each has made, so that a repeat makes nothing more.
//!
//! A secret is told once and is not stored, so no repeat can be answered with the same one. What a repeat means is that
//! the first answer was lost. Then nobody has used the secret, and another one takes its place.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::base::codec::plain_frame;
use crate::key::bounds;
use crate::key::error::StoreError;
use crate::key::new_key::{Expires, NewKey};
use crate::key::rotation::overlap::Overlap;
use crate::token::digest::Digest;
use crate::token::key_id::KeyId;

/// How long a request is remembered.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// The time of what is remembered for ever.
pub(crate) const FOREVER: i64 = i64::MAX;

/// What a request has made, stored under [`Once::name`]. The order of fields is the stored format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Made {
    /// Milliseconds since 1970 UTC; a repeat does not move it.
    pub(crate) at: i64,
    /// Digest of all that was asked.
    pub(crate) request: Digest,
    pub(crate) key: u128,
    /// The number of the secret that was handed out.
    pub(crate) version: u32,
}

plain_frame!(Made, b'I');

impl Made {
    /// Whether it is still remembered.
    pub(crate) fn holds(&self, now: i64) -> bool {
        if self.at == FOREVER {
            return true;
        }
        // A clock that was far ahead must not keep it for ever.
        (now.saturating_sub(KEPT_MS).saturating_add(1)..=now.saturating_add(KEPT_MS)).contains(&self.at)
    }
}

/// A request with an idempotency key, in a form that tells nobody what the key was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Once {
    pub(crate) name: Digest,
    pub(crate) request: Digest,
    /// When it came first, once that is known.
    pub(crate) at: i64,
}

impl Once {
    /// The creation of a key.
    pub(crate) fn create(idempotency_key: &str, new: &NewKey, permissions: &[String]) -> Result<Self, StoreError> {
        if new.imported.is_some() {
            return Err(StoreError::invalid(
                "idempotency_key",
                idempotency_key,
                "keys that are not imported: a second import is a conflict by itself",
            ));
        }
        let mut parts = Parts::new("create");
        parts.text(&new.owner).optional(new.name.as_deref());
        let mut permissions: Vec<&String> = permissions.iter().collect();
        permissions.sort_unstable();
        parts.number(permissions.len() as i128);
        for permission in permissions {
            parts.text(permission);
        }
        parts.number(new.metadata.len() as i128);
        for (name, value) in &new.metadata {
            parts.text(name).text(value);
        }
        parts.optional(new.not_before.map(|start| start.timestamp_millis().to_string()).as_deref());
        match new.expires {
            Expires::Never => parts.text("never"),
            Expires::In(span) => parts.text("in").number(span.num_milliseconds().into()),
            Expires::At(end) => parts.text("at").number(end.timestamp_millis().into()),
        };
        parts.optional(new.within.as_ref().map(|actor| actor.id().to_string()).as_deref());
        let limit = new.limit.map(|limit| format!("{} per {}", limit.count, limit.per.num_milliseconds()));
        parts.optional(limit.as_deref());
        let networks = new.networks.as_ref().map(|networks| {
            let mut networks: Vec<&str> = networks.iter().map(String::as_str).collect();
            networks.sort_unstable();
            networks.join(" ")
        });
        parts.optional(networks.as_deref());
        parts.optional(new.rotation.changed().map(|policy| format!("{policy:?}")).as_deref());
        Self::new(idempotency_key, parts)
    }

    /// The rotation of a key. That of another acting key is another request: a secret that gets no successor may repeat its
    /// own, and nobody else's.
    pub(crate) fn rotate(
        idempotency_key: &str,
        key: u128,
        overlap: Overlap,
        within: Option<KeyId>,
    ) -> Result<Self, StoreError> {
        let mut parts = Parts::new("rotate");
        parts.text(&key.to_string());
        match overlap {
            Overlap::None => parts.text("none"),
            Overlap::For(span) => parts.text("for").number(span.num_milliseconds().into()),
            Overlap::UntilFirstUse => parts.text("first use"),
        };
        if let Some(actor) = within {
            parts.text("within").text(&actor.to_string());
        }
        Self::new(idempotency_key, parts)
    }

    /// The same of a handle that sees one owner's keys: owners share no idempotency keys.
    pub(crate) fn of_owner(self, owner: Option<&str>) -> Self {
        let Some(owner) = owner else { return self };
        let mut parts = Parts::new("owner");
        parts.text(owner);
        parts.0.update(self.name);
        Self { name: parts.0.finalize().into(), ..self }
    }

    fn new(idempotency_key: &str, parts: Parts) -> Result<Self, StoreError> {
        bounds::idempotency_key(idempotency_key)?;
        Ok(Self { name: Sha256::digest(idempotency_key).into(), request: parts.0.finalize().into(), at: 0 })
    }
}

/// The digest of several values, none of which can be taken for part of another.
struct Parts(Sha256);

impl Parts {
    fn new(what: &str) -> Self {
        let mut parts = Self(Sha256::new());
        parts.text(what);
        parts
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
        let made = Made { at: 1_700_000_000_000, request: [7; 32], key: 1 << 100, version: 3 };
        let frame = encode(&made).unwrap();
        golden::check("idempotency.bin", &frame);
        assert_eq!(decode::<Made>(&frame).unwrap(), made);
    }

    #[test]
    fn it_is_remembered_for_a_day() {
        let made = Made { at: 1_700_000_000_000, request: [7; 32], key: 1, version: 1 };
        for (after, holds) in
            [(0, true), (KEPT_MS - 1, true), (KEPT_MS, false), (-KEPT_MS, true), (-KEPT_MS - 1, false)]
        {
            assert_eq!(made.holds(made.at + after), holds, "{after}");
        }
        assert!(!made.holds(i64::MAX) && !made.holds(i64::MIN));
        let kept = Made { at: FOREVER, ..made };
        assert!(kept.holds(i64::MIN) && kept.holds(made.at));
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
        ];
        let once = |new: &NewKey| Once::create("k", new, &new.permissions).unwrap();
        let mut seen: Vec<Digest> = requests.iter().map(|new| once(new).request).collect();
        for overlap in [Overlap::None, Overlap::UntilFirstUse, Overlap::For(chrono::TimeDelta::milliseconds(5))] {
            for within in [None, Some(1), Some(2)].map(|actor| actor.map(KeyId::from_u128)) {
                seen.extend([1, 2].map(|key| Once::rotate("k", key, overlap, within).unwrap().request));
            }
        }
        for (at, one) in seen.iter().enumerate() {
            assert!(!seen[..at].contains(one), "{at}");
        }
        // The same set in another order is the same request.
        let [one, other] = [["a:b", "c:d"], ["c:d", "a:b"]].map(|grants| once(&key().permissions(grants)));
        assert_eq!(one, other);
        let [one, other] = [["::1", "10.0.0.0/8"], ["10.0.0.0/8", "::1"]].map(|nets| once(&key().networks(nets)));
        assert_eq!(one, other);
        assert_ne!(Once::create("other", &key(), &[]).unwrap().name, one.name);
    }
}
