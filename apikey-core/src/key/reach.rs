//! What a scope allows, held against the records as they are when a change is decided.

use std::sync::Arc;

use crate::access::grants;
use crate::access::limit::{Limit, StoredLimit};
use crate::access::network;
use crate::base::time::from_ms;
use crate::key::change::{Action, Change};
use crate::key::error::{CapViolation, Conflict, StoreError};
use crate::key::record::{Record, SecretEnd};
use crate::token::key_id::KeyId;

/// Lets an acting key create keys of other owners than its own, and change theirs.
const ANY_OWNER: &str = "keys:any_owner";
/// Lets an acting key give others a later end than its own.
const OUTLIVE: &str = "keys:outlive";
/// Lets an acting key give others networks that it is not good from.
const ANYWHERE: &str = "keys:anywhere";
/// Lifts every bound but that of the grants; also the only one that lifts that of the rate limit.
const EVERYTHING: &str = "*";

/// What a scope allows, read under the writer's lock from the records as they are when a change is decided.
pub(crate) struct Reach {
    owner: Option<Arc<str>>,
    actor: Option<ActingKey>,
}

/// An acting key as it is now.
pub(crate) struct ActingKey {
    record: Record,
    /// The number of the secret that it acts with.
    secret: u32,
}

impl Reach {
    pub(crate) fn new(owner: Option<Arc<str>>, actor: Option<ActingKey>) -> Self {
        Self { owner, actor }
    }

    /// Whether a key of this owner may be changed or created at all.
    pub(crate) fn owner(&self, owner: &str) -> Result<(), StoreError> {
        if self.owner.as_deref().is_some_and(|only| only != owner) {
            return Err(StoreError::invalid("owner", owner, "the owner that this OwnerStore is of"));
        }
        self.actor.as_ref().map_or(Ok(()), |actor| actor.owner(owner))
    }

    /// Whether a key of this owner with these grants may be created or left.
    pub(crate) fn grants(&self, owner: &str, grants: &[String]) -> Result<(), StoreError> {
        self.owner(owner)?;
        self.actor.as_ref().map_or(Ok(()), |actor| actor.grants(grants))
    }

    /// Whether an existing key may be touched, before anything about it is said.
    pub(crate) fn target(&self, id: u128, record: Option<&Record>) -> Result<(), StoreError> {
        let is_there = |record: &&Record| self.owner.as_deref().is_none_or(|only| record.owner == only);
        let id = KeyId::from_u128(id);
        let record = record.filter(is_there).ok_or(StoreError::NotFound(id))?;
        match &self.actor {
            Some(actor) if !actor.covers(record) => Err(StoreError::Exceeds(CapViolation::Target(id))),
            _ => Ok(()),
        }
    }

    /// Whether a change may touch the key that it is of, if that is there already.
    pub(crate) fn before(&self, change: &Change, record: Option<&Record>) -> Result<(), StoreError> {
        match change.action {
            Action::Create(_) => Ok(()),
            _ => self.target(change.id, record),
        }
    }

    /// Whether a change may leave its key so; `None`: deleted.
    pub(crate) fn after(
        &self,
        change: &Change,
        before: Option<&Record>,
        after: Option<&Record>,
    ) -> Result<(), StoreError> {
        let Some(after) = after else { return Ok(()) };
        let given = match (&change.action, &self.actor) {
            (Action::Create(_), _) => None,
            (Action::Update(_), _) => before,
            (Action::Rotate { .. } | Action::Replace { .. }, Some(actor)) if actor.is(after) => {
                return actor.may_succeed(before);
            }
            // A repeat puts one secret of the holder's own in the place of another.
            (Action::Repeat { .. }, Some(actor)) if actor.is(after) => return Ok(()),
            // Whoever asked gets a secret of this key: all that the key has is handed out.
            (Action::Rotate { .. } | Action::Replace { .. } | Action::Repeat { .. }, _) => None,
            _ => return Ok(()),
        };
        self.grants(&after.owner, &after.permissions)?;
        self.actor.as_ref().map_or(Ok(()), |actor| actor.bounds(given, after))
    }

    /// The end of a new key that names none.
    pub(crate) fn default_end(&self) -> Option<i64> {
        self.actor.as_ref().and_then(ActingKey::end)
    }

    /// The networks of a new key that names none.
    pub(crate) fn default_networks(&self) -> Vec<String> {
        self.actor.as_ref().map(|actor| actor.networks().to_vec()).unwrap_or_default()
    }

    /// The rate limit of a new key that names none.
    pub(crate) fn default_limit(&self) -> Option<StoredLimit> {
        self.actor.as_ref().and_then(|actor| actor.limit().cloned())
    }
}

impl ActingKey {
    pub(crate) fn new(record: Record, secret: u32) -> Self {
        Self { record, secret }
    }

    fn may(&self, permission: &str) -> bool {
        grants::give(&self.record.permissions, permission)
    }

    fn is_unbounded(&self) -> bool {
        self.record.permissions.iter().any(|grant| grant == EVERYTHING)
    }

    fn is(&self, record: &Record) -> bool {
        self.record.id == record.id
    }

    /// The end that keys which it makes or changes have at the latest.
    fn end(&self) -> Option<i64> {
        self.record.expires_at.filter(|_| !self.may(OUTLIVE))
    }

    /// The networks that they are good from at most; none at all: anywhere.
    fn networks(&self) -> &[String] {
        if self.may(ANYWHERE) { &[] } else { &self.record.networks }
    }

    fn limit(&self) -> Option<&StoredLimit> {
        self.record.limit.as_ref().filter(|_| !self.is_unbounded())
    }

    fn is_owner(&self, owner: &str) -> bool {
        self.record.owner == owner || self.may(ANY_OWNER)
    }

    fn owner(&self, owner: &str) -> Result<(), StoreError> {
        if self.is_owner(owner) {
            return Ok(());
        }
        let (wanted, actor) = (owner.to_owned(), self.record.owner.clone());
        Err(StoreError::Exceeds(CapViolation::Owner { wanted, actor }))
    }

    fn grants(&self, grants: &[String]) -> Result<(), StoreError> {
        let uncovered = grants::uncovered(&self.record.permissions, grants);
        uncovered.map_or(Ok(()), |grant| Err(StoreError::Exceeds(CapViolation::Grant(grant.clone()))))
    }

    /// Whether it may touch a key: it is its own, or has nothing that it lacks.
    fn covers(&self, target: &Record) -> bool {
        let covers = || grants::uncovered(&self.record.permissions, &target.permissions).is_none();
        self.is(target) || (self.is_owner(&target.owner) && covers())
    }

    /// Whether it may give itself another secret. One that was given an end could outlive it so.
    fn may_succeed(&self, before: Option<&Record>) -> Result<(), StoreError> {
        let mut secrets = before.iter().flat_map(|record| &record.secrets);
        match secrets.find(|secret| secret.version == self.secret).map(|secret| secret.end) {
            Some(SecretEnd::At(end)) => Err(StoreError::Conflict(Conflict::Overlapping { until: Some(from_ms(end)) })),
            _ => Ok(()),
        }
    }

    /// Whether a key may be left with this end, networks and rate limit. One that goes further already, in `given`, may be
    /// left so by a change that gives it nothing: a right more is one more for who holds its secret, with all that it has.
    fn bounds(&self, given: Option<&Record>, after: &Record) -> Result<(), StoreError> {
        if given.is_some_and(|given| !gives(given, after)) {
            return Ok(());
        }
        let refused = |violation| Err(StoreError::Exceeds(violation));
        if let Some(latest) = self.end().filter(|latest| is_later(after.expires_at, Some(*latest))) {
            let wanted = after.expires_at.map(from_ms);
            return refused(CapViolation::End { wanted, latest: from_ms(latest) });
        }
        if let Some(beyond) = network::beyond(&after.networks, self.networks()) {
            return refused(CapViolation::Networks(beyond.to_owned()));
        }
        let wanted = after.limit.as_ref().map(Limit::stored);
        match self.limit().map(Limit::stored) {
            Some(max) if is_faster(wanted, Some(max)) => refused(CapViolation::Limit { wanted, max }),
            _ => Ok(()),
        }
    }
}

/// Whether a change of a key gives it anything that it did not have.
fn gives(before: &Record, after: &Record) -> bool {
    let limit = |record: &Record| record.limit.as_ref().map(Limit::stored);
    (before.disabled && !after.disabled)
        || is_later(after.expires_at, before.expires_at)
        || is_faster(limit(after), limit(before))
        || network::beyond(&after.networks, &before.networks).is_some()
        || grants::uncovered(&before.permissions, &after.permissions).is_some()
}

/// Whether one end comes after the other; `None`: never.
fn is_later(end: Option<i64>, than: Option<i64>) -> bool {
    than.is_some_and(|than| end.is_none_or(|end| end > than))
}

/// Whether one rate limit lets through more than the other; `None`: everything.
fn is_faster(limit: Option<Limit>, than: Option<Limit>) -> bool {
    Limit::meet_of(limit, than) != limit
}
