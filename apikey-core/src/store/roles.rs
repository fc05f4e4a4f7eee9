//! The roles of a store.

use crate::access::verified_key::VerifiedKey;
use crate::commit::records::Records;
use crate::key::bounds;
use crate::key::change::{Action, Change};
use crate::key::error::StoreError;
use crate::key::named::NamedRecord;
use crate::key::named::change::NamedAction;
use crate::key::role;
use crate::key::role::change::{Counted, RoleAction};
use crate::key::role::record::RoleRecord;
use crate::key::role::role::Role;
use crate::key::role::role_info::RoleInfo;

use crate::store::key_store::KeyStore;

impl KeyStore {
    /// Puts a role: creates it, or replaces what it grants and its description. This is one change and one event, however
    /// many keys have the role, and holds for the next verification of each: what it takes away before the store writes
    /// anything, what it gives once it is on disk. Returns whether anything changed.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey, Role};
    ///
    /// let store = KeyStore::temporary()?;
    /// store.put_role(Role::new("reader").permissions(["orders:read"]))?;
    /// let created = store.create(NewKey::for_owner("alice").roles(["reader"]))?;
    /// let token = created.key.expose_secret();
    /// assert!(store.verify(token)?.allows("orders:read"));
    ///
    /// store.put_role(Role::new("reader").permissions(["stock:read"]))?;
    /// let key = store.verify(token)?;
    /// assert!(key.allows("stock:read") && !key.allows("orders:read"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a name that is none, a description out of bounds, or a 257th role;
    /// [`StoreError::Permission`] or [`StoreError::UnknownGrant`] for a grant; [`StoreError::NotDurable`] if the store could
    /// not write the change: what it takes away is in force, until a restart; [`StoreError::Io`], [`StoreError::Closed`].
    pub fn put_role(&self, role: Role) -> Result<bool, StoreError> {
        self.put_role_as(&role, None)
    }

    /// Puts a role on behalf of `actor`, which must still be valid: it must cover what the role granted before and what it
    /// grants after. Grants that manage keys take `keys:delegate`, as for [`NewKey::within`](crate::NewKey::within). An actor
    /// with an end, an idle time, networks or a rate limit that bind what it gives makes no role grant more that is there.
    ///
    /// # Errors
    /// Those of [`put_role`](Self::put_role), and [`StoreError::Exceeds`].
    pub fn put_role_within(&self, role: Role, actor: &VerifiedKey) -> Result<bool, StoreError> {
        self.put_role_as(&role, Some(actor))
    }

    fn put_role_as(&self, role: &Role, actor: Option<&VerifiedKey>) -> Result<bool, StoreError> {
        let record = role.record(self.inner().engine.time.now_ms())?;
        let scope = self.scope(actor);
        let id = record.id();
        self.change_role(|records| {
            let held = match records.named(id) {
                // What it takes away is in force even if the records cannot be read. It may keep any grant then.
                Err(StoreError::Io { .. }) if actor.is_none() => Some(NamedRecord::Role(record.clone())),
                held => held?.map(|(held, _)| held),
            };
            if let Some(reach) = self.inner().engine.reach(&scope, records)? {
                // The cap comes before the catalogue, of which a capped caller learns nothing beyond its cap.
                reach.named(held.as_ref(), &NamedAction::Role(RoleAction::Put(Box::new(record.clone()))))?;
            }
            let held = held.and_then(NamedRecord::role);
            role.check_unchanged(held.as_ref())?;
            let held = held.map(|held| held.permissions).unwrap_or_default();
            self.inner().check_catalog(role.given_permissions(), &held)?;
            let now = self.inner().engine.time.now_ms();
            let record = RoleRecord { changed_at: now, ..record.clone() };
            let action = Action::Named(NamedAction::Role(RoleAction::Put(Box::new(record))));
            Ok(Change { scope: scope.clone(), ..self.inner().engine.change_of(id, action) })
        })
    }

    /// Returns all roles, sorted by name.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Closed`].
    pub fn roles(&self) -> Result<Vec<RoleInfo>, StoreError> {
        let disk = self.inner().engine.log.open()?;
        let mut roles: Vec<RoleInfo> = disk.roles()?.into_iter().map(RoleInfo::of).collect();
        roles.sort_unstable_by(|one, other| one.name().cmp(other.name()));
        Ok(roles)
    }

    /// Returns a role; `None` if the store has none of this name.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Closed`].
    pub fn role(&self, name: &str) -> Result<Option<RoleInfo>, StoreError> {
        let disk = self.inner().engine.log.open()?;
        Ok(disk.role(name)?.map(RoleInfo::of))
    }

    /// Deletes a role that no key has. Returns whether there was one. It reads every key, while other changes go on.
    ///
    /// # Errors
    /// [`Conflict::RoleInUse`](crate::Conflict::RoleInUse); [`StoreError::Invalid`] for a name that is none;
    /// [`StoreError::NotDurable`], [`StoreError::Io`], [`StoreError::Closed`].
    pub fn delete_role(&self, name: &str) -> Result<bool, StoreError> {
        self.delete_role_as(name, None)
    }

    /// Deletes a role on behalf of `actor`, which must cover what the role grants.
    ///
    /// # Errors
    /// Those of [`delete_role`](Self::delete_role), and [`StoreError::Exceeds`].
    pub fn delete_role_within(&self, name: &str, actor: &VerifiedKey) -> Result<bool, StoreError> {
        self.delete_role_as(name, Some(actor))
    }

    fn delete_role_as(&self, name: &str, actor: Option<&VerifiedKey>) -> Result<bool, StoreError> {
        bounds::role_name(name)?;
        let scope = self.scope(actor);
        let engine = &self.inner().engine;
        let delete = |counted| NamedAction::Role(RoleAction::Delete { name: name.to_owned(), counted });
        {
            // A caller that may not delete it shall not make the store read every key.
            let log = engine.log.open()?;
            let records = Records::of(&log);
            if let Some(reach) = engine.reach(&scope, &records)? {
                let held = records.named(role::id(name))?.map(|(held, _)| held);
                reach.named(held.as_ref(), &delete(Counted::default()))?;
            }
        }
        let counted = engine.count_role(name)?;
        self.change_role(|_| {
            let action = Action::Named(delete(counted));
            Ok(Change { scope: scope.clone(), ..engine.change_of(role::id(name), action) })
        })
    }

    fn change_role(
        &self,
        mut decide: impl FnMut(&Records<'_>) -> Result<Change, StoreError>,
    ) -> Result<bool, StoreError> {
        let outcomes = self.change(|_, records| Ok(vec![decide(records)?]))?;
        Ok(outcomes.iter().any(|outcome| outcome.changed))
    }
}
