//! What a scope allows, by the records at the time when a change is decided.

use crate::access::auth_error::AuthError;
use crate::access::stores;
use crate::key::change::Change;
use crate::key::error::StoreError;
use crate::key::error::cap_violation::CapViolation;
use crate::key::reach::{ActingKey, Reach};
use crate::key::role::role_grants::RoleGrants;
use crate::key::scope::Scope;

use crate::commit::engine::Engine;
use crate::commit::records::Records;

impl Engine {
    /// Returns the reach of a scope now; `None` if it bounds nothing. The caller is the one writer, so the answer holds
    /// until the change is written.
    pub(crate) fn reach(&self, scope: &Scope, records: &Records<'_>) -> Result<Option<Reach>, StoreError> {
        if !scope.is_bounded() {
            return Ok(None);
        }
        // Only what has bounds has grants to compare with.
        let compares = scope.actor.is_some() || scope.bounds.is_some();
        let roles = if compares { RoleGrants::new(records.roles()?) } else { RoleGrants::default() };
        let actor = scope.actor.as_ref().map(|actor| {
            let refused = |error| StoreError::Exceeds(CapViolation::Actor(error));
            self.recheck(actor).map_err(refused)?;
            let (record, _) = records.record(actor.id().as_u128())?.ok_or_else(|| refused(AuthError::Invalid))?;
            let default = stores::default_prefix(self.index.store()).unwrap_or_default();
            let tenant = record.tenant.as_deref().map(|tenant| records.tenant(tenant)).transpose()?.flatten();
            let owner = records.owner(record.owner())?;
            let secret = actor.secret_version();
            Ok::<_, StoreError>(ActingKey::new(record, secret, default, &roles, tenant.as_ref(), owner.as_ref()))
        });
        let actor = actor.transpose()?;
        Ok(Some(Reach::new(scope.seen.clone(), scope.bounds.clone(), actor, roles)))
    }

    /// Returns the reach of one of many changes, most of which have the same scope.
    pub(crate) fn reach_of<'r>(
        &self,
        change: &Change,
        records: &Records<'_>,
        last: &'r mut Option<(Scope, Option<Reach>)>,
    ) -> Result<Option<&'r Reach>, StoreError> {
        if !last.as_ref().is_some_and(|(scope, _)| scope.is_as(&change.scope)) {
            *last = Some((change.scope.clone(), self.reach(&change.scope, records)?));
        }
        Ok(last.as_ref().and_then(|(_, reach)| reach.as_ref()))
    }
}
