//! Taking away without a record: a revocation holds also where the disk cannot be read.

use crate::access::grants;
use crate::access::limit::Limit;
use crate::access::network;
use crate::base::interner::GRANTS;
use crate::commit::engine::{Engine, io_or_not_durable};
use crate::index::restriction::{Restriction, Target};
use crate::key::change::{Action, Change};
use crate::key::error::StoreError;
use crate::key::rotation::overlap::Overlap;

impl Engine {
    /// What the changes take away ends although their records cannot be read; the error to tell.
    pub(crate) fn restrict_without_records(&self, changes: &[Change], error: StoreError) -> StoreError {
        // What an acting key covers only its records say, and they could not be read.
        let changes = changes.iter().filter(|change| change.scope.actor.is_none());
        let restrictions = changes.filter_map(|change| {
            let target = Target::Key { id: change.id, owner: change.scope.owner.as_deref() };
            Some((target, restriction_of(&change.action)?))
        });
        self.restrict_unread(restrictions.collect(), error)
    }

    /// Takes away what can be taken away without the records, if they could not be read; the error to tell.
    pub(crate) fn restrict_unread(
        &self,
        restrictions: Vec<(Target<'_>, Restriction)>,
        error: StoreError,
    ) -> StoreError {
        let StoreError::Io { source } = error else { return error };
        let restrict = |(target, restriction): &(Target<'_>, Restriction)| {
            self.index.restrict_without_record(target, restriction).unwrap_or_else(|full| {
                tracing::error!(%full, "rights of a key are not taken away");
                0
            })
        };
        // What holds in memory and what the records say is not the same any more.
        let taken = self.group.fail_if_restricted(&source, || restrictions.iter().map(restrict).sum());
        if taken > 0 { io_or_not_durable(true, source) } else { StoreError::Io { source } }
    }
}

/// What a change takes away from a key whatever its record says; `None` if nothing.
fn restriction_of(action: &Action) -> Option<Restriction> {
    let restriction = match action {
        Action::Revoke { .. } => Restriction { revoke: true, ..Restriction::default() },
        Action::Rotate { overlap: Overlap::None, .. } | Action::Replace { .. } => {
            Restriction { end_secrets: true, ..Restriction::default() }
        }
        Action::Update(fields) => Restriction {
            disable: fields.disabled == Some(true),
            expires_at: fields.expires_at.value().copied(),
            grants: fields.permissions.as_ref().and_then(|left| GRANTS.number(&grants::join(left)).ok()),
            networks: fields.networks.value().and_then(|left| network::number(left).ok()),
            limit: fields.limit.value().map(Limit::stored),
            ..Restriction::default()
        },
        _ => return None,
    };
    Some(restriction).filter(|restriction| *restriction != Restriction::default())
}
