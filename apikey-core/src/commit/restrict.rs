//! Restricting keys without their records: a revocation takes effect even if the disk cannot be read.

use crate::access::grants;
use crate::access::idle::StoredIdle;
use crate::access::limit::Limit;
use crate::access::named::Kind;
use crate::access::network;
use crate::base::interner::GRANTS;
use crate::commit::engine::{Engine, io_or_not_durable};
use crate::index::restriction::{Restriction, RolesLeft, Target};
use crate::key::change::{Action, Change, Fields};
use crate::key::error::StoreError;
use crate::key::rotation::overlap::Overlap;

impl Engine {
    /// Takes from the index what the changes take away, although their records cannot be read. Returns the error for
    /// the caller.
    pub(crate) fn restrict_without_records(&self, changes: &[Change], error: StoreError) -> StoreError {
        // Only the records, which could not be read, say what an acting key covers.
        let changes = changes.iter().filter(|change| change.scope.actor.is_none());
        let error = self.restrict_named_unread(changes.clone(), error);
        let restrictions = changes.filter_map(|change| {
            let target = Target::Key { id: change.id, seen: &change.scope.seen };
            Some((target, restriction_of(&change.action, change.at)?))
        });
        self.restrict_unread(restrictions.collect(), error)
    }

    /// The same for changes of roles and tenants.
    fn restrict_named_unread<'c>(&self, changes: impl Iterator<Item = &'c Change>, error: StoreError) -> StoreError {
        let StoreError::Io { source } = error else { return error };
        let restrict = |change: &Change| {
            let Action::Named(action) = &change.action else { return 0 };
            let left = action.leaves().transpose().and_then(|left| {
                let restricted = |left| self.index.restrict_named(change.id, left).map(usize::from);
                left.map_or(Ok(0), restricted)
            });
            left.unwrap_or_else(|full| {
                tracing::error!(%full, "the rights of a role or a tenant could not be restricted");
                0
            })
        };
        let taken = self.group.fail_if_restricted(&source, || changes.map(restrict).sum());
        if taken > 0 { io_or_not_durable(true, source) } else { StoreError::Io { source } }
    }

    /// Applies these restrictions if the records could not be read, and returns the error for the caller.
    pub(crate) fn restrict_unread(
        &self,
        restrictions: Vec<(Target<'_>, Restriction)>,
        error: StoreError,
    ) -> StoreError {
        let StoreError::Io { source } = error else { return error };
        let restrict = |(target, restriction): &(Target<'_>, Restriction)| {
            self.index.restrict_without_record(target, restriction).unwrap_or_else(|full| {
                tracing::error!(%full, "the rights of a key could not be restricted");
                0
            })
        };
        // The index and the records no longer agree.
        let taken = self.group.fail_if_restricted(&source, || restrictions.iter().map(restrict).sum());
        if taken > 0 { io_or_not_durable(true, source) } else { StoreError::Io { source } }
    }
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
