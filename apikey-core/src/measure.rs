//! The index without a store, for benches that need more keys than a disk can write in a short time. It is not part of
//! the public interface: the feature `measure` is for this repository's own benches.

use crate::access::grant_set;
use crate::access::named::{Kind, NamedAllowance};
use crate::access::network::ANYWHERE;
use crate::access::requirement::Requirement;
use crate::access::verified_key::{IdForm, VerifiedKey};
use crate::base::interner::{GRANTS, IDENTITIES};
use crate::base::store_time::StoreTime;
use crate::base::time::TimeSource;
use crate::index::Index;
use crate::key::allowance::Allowance;
use crate::key::effective_key::{EffectiveKey, EffectiveSecret};
use crate::key::record::SecretEnd;
use crate::token::api_key;
use crate::token::api_key::{ApiKey, Prefixes, Secret};
use crate::token::digest::Digester;
use crate::token::id_generator::IdSource;
use crate::token::key_id::KeyId;

/// Keys in memory only.
#[allow(missing_debug_implementations, reason = "for benches")]
pub struct Keys {
    index: Index,
    prefixes: Prefixes,
    ids: IdSource,
    time: StoreTime,
}

/// A handle that removes a key again.
#[allow(missing_debug_implementations, reason = "for benches")]
pub struct Handle(EffectiveKey);

impl Keys {
    /// Reserves room for `keys`, as opening a store with as many does.
    #[must_use]
    pub fn with_room(keys: usize) -> Self {
        Self::new(keys, true)
    }

    /// The same, without recording times of use.
    #[must_use]
    pub fn untracked(keys: usize) -> Self {
        Self::new(keys, false)
    }

    fn new(keys: usize, track_use: bool) -> Self {
        Self {
            index: Index::new(0, keys, vec![Digester::plain()], track_use),
            prefixes: Prefixes::new("ak".into(), []),
            ids: IdSource::after(None),
            time: StoreTime::new(TimeSource::default(), i64::MIN),
        }
    }

    /// Adds a key; `None` if the operating system has no random numbers.
    pub fn add(&mut self, owner: &str, permission: &str) -> Option<(ApiKey, Handle)> {
        self.add_with_set(owner, GRANTS.number(permission).ok()?)
    }

    /// Adds a key that has a role and no grants of its own.
    pub fn add_with_role(&mut self, owner: &str, role: &str) -> Option<(ApiKey, Handle)> {
        self.add_with_set(owner, grant_set::union(&[], [Kind::Role.id(role)]).ok()?)
    }

    /// Puts a role, as a store makes a change of one visible: first what it takes away, then what it gives.
    pub fn put_role(&self, role: &str, permission: &str) -> Option<()> {
        let allowance =
            NamedAllowance { grants: GRANTS.number(permission).ok()?, ended: false, limit: None, quota: None };
        self.index.restrict_named(Kind::Role.id(role), allowance).ok()?;
        self.index.publish_named(Kind::Role.id(role), allowance).ok()
    }

    fn add_with_set(&mut self, owner: &str, grants: u32) -> Option<(ApiKey, Handle)> {
        let id: KeyId = self.ids.next(self.time.raw_ms()).ok()?;
        let body = Secret::generate().ok()?.body(id);
        let identity = IDENTITIES.number(owner).ok()?;
        let secret = EffectiveSecret {
            digest: Digester::plain().own(&body),
            pepper: 0,
            imported: None,
            identity,
            version: 1,
            end: SecretEnd::Never,
            latest: None,
            unused: false,
            ends: None,
        };
        let rights = EffectiveKey {
            id: id.as_u128(),
            allowance: Allowance {
                identity,
                grants,
                revoked: false,
                disabled: false,
                expires_at: None,
                not_before: None,
                limit: None,
                quota: None,
                networks: ANYWHERE,
                idle: None,
            },
            secrets: vec![secret],
            ended: Vec::new(),
        };
        self.index.publish(None, Some(&rights));
        Some((api_key::format("ak", &body), Handle(rights)))
    }

    /// Removes a key.
    pub fn remove(&self, handle: &Handle) {
        self.index.publish(Some(&handle.0), None);
    }

    /// Works as `KeyStore::authorize`.
    #[must_use]
    pub fn authorize(&self, token: &str, requirement: &Requirement) -> Option<VerifiedKey> {
        let tail = self.prefixes.parse(token.as_bytes())?;
        let matched = self.index.find_own(tail)?;
        self.index.check_use(&matched, self.time.moment(), None).ok()?;
        let id = || IdForm::Written(*api_key::id_chars(api_key::body(tail)));
        requirement.met_by(matched.grants()).then(|| self.index.verified_key(&matched, id()))
    }
}
