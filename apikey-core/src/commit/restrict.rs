//! Restricting keys without their records: a revocation takes effect even if the disk cannot be read.

use crate::access::grants;
use crate::access::idle::StoredIdle;
use crate::access::limit::Limit;
use crate::access::named::{Kind, NamedId};
use crate::access::network;
use crate::access::quota::Quota;
use crate::base::interner::{Full, GRANTS};
use crate::commit::engine::{Engine, io_or_not_durable};
use crate::index::restriction::{Restriction, RolesLeft, Target};
use crate::key::change::{Action, Change, Fields};
use crate::key::error::StoreError;
use crate::key::named::change::NamedAction;
use crate::key::rotation::overlap::Overlap;

impl Engine {
    /// Takes from the index what the changes take away, although their records cannot be read. Returns the error for
    /// the caller.
    pub(crate) fn restrict_without_records(&self, changes: &[Change], error: StoreError) -> StoreError {
        // Only the records, which could not be read, say what an acting key covers.
        let changes = changes.iter().filter(|change| change.scope.actor.is_none());
        let restrict = |change: &Change| match &change.action {
            Action::Named(action) => self.restrict_named(change.id, action),
            action => restriction_of(action, change.at).map_or(Ok(0), |restriction| {
                let target = Target::Key { id: change.id, seen: &change.scope.seen };
                self.index.restrict_without_record(&target, &restriction)
            }),
        };
        self.restrict_unread(error, || changes.map(restrict).map(or_none).sum())
    }

    /// Takes this from keys whose records cannot be read. Returns the error for the caller.
    pub(crate) fn restrict_keys_unread(
        &self,
        target: &Target<'_>,
        restriction: &Restriction,
        error: StoreError,
    ) -> StoreError {
        self.restrict_unread(error, || or_none(self.index.restrict_without_record(target, restriction)))
    }

    /// Takes what a change of a role, a tenant or an owner takes away, and returns the number of records of which it took anything.
    fn restrict_named(&self, id: NamedId, action: &NamedAction) -> Result<usize, Full> {
        let Some(left) = action.leaves() else { return Ok(0) };
        self.index.restrict_named(id, left?).map(usize::from)
    }

    /// Applies a restriction if the records could not be read: `restrict` returns of how many it took anything.
    fn restrict_unread(&self, error: StoreError, restrict: impl FnOnce() -> usize) -> StoreError {
        let StoreError::Io { source } = error else { return error };
        // The index and the records no longer agree.
        let taken = self.group.fail_if_restricted(&source, restrict);
        if taken > 0 { io_or_not_durable(true, source) } else { StoreError::Io { source } }
    }
}

/// How many were restricted: none if there is no room for their rights, which are then as they were.
fn or_none(restricted: Result<usize, Full>) -> usize {
    restricted.unwrap_or_else(|full| {
        tracing::error!(%full, "rights could not be restricted");
        0
    })
}

/// Returns what a change takes away from a key, whatever its record says; `None` if that is nothing.
fn restriction_of(action: &Action, now: i64) -> Option<Restriction> {
    let restriction = match action {
        Action::Revoke { .. } => Restriction { revoke: true, ..Restriction::default() },
        Action::Rotate { overlap: Overlap::None, .. } | Action::Replace { .. } => {
            Restriction { end_secrets: true, ..Restriction::default() }
        }
        Action::Update(fields) => Restriction {
            disable: fields.disabled == Some(true),
            expires_at: fields.expires_at.value().copied(),
            not_before: fields.not_before.value().copied(),
            grants: fields.permissions.as_ref().and_then(|left| GRANTS.number(&grants::join(left)).ok()),
            roles: roles_of(fields),
            networks: networks_of(fields).and_then(|left| network::number(left).ok()),
            limit: fields.limit.value().map(Limit::stored),
            quota: fields.quota.value().map(Quota::stored),
            idle: fields
                .idle_after
                .value()
                .map(|after| StoredIdle { after_ms: *after, since: now }.end(None, None, false)),
            labels: fields.labels.clone(),
            ..Restriction::default()
        },
        _ => return None,
    };
    Some(restriction).filter(|restriction| *restriction != Restriction::default())
}

/// The roles that may remain, and those that go, if the change says either.
fn roles_of(fields: &Fields) -> RolesLeft {
    let ids = |names: &[String]| names.iter().map(|name| Kind::Role.id(name)).collect();
    RolesLeft { only: fields.roles.as_deref().map(ids), without: ids(&fields.remove_roles) }
}

/// The networks that may remain; an empty list is that of a key that is valid anywhere already, and takes nothing.
fn networks_of(fields: &Fields) -> Option<&Vec<String>> {
    fields.networks.value().filter(|left| !left.is_empty())
}
