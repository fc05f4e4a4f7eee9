//! Staging changes of roles, tenants and owners, and what keys have of them.

use crate::access::named::Kind;
use crate::base::invalid_field::InvalidField;
use crate::commit::applier::{NamedChange, Pending};
use crate::commit::change_notice::ChangeNotice;
use crate::commit::engine::Engine;
use crate::commit::records::Records;
use crate::commit::role_use::keys_with;
use crate::commit::stage::{Staged, event_of};
use crate::commit::writer::Writer;
use crate::key::change::{Action, Change};
use crate::key::error::{Conflict, StoreError};
use crate::key::event::stored::Head;
use crate::key::named::NamedRecord;
use crate::key::named::change::{NamedAction, apply};
use crate::key::reach::Reach;
use crate::key::record::Record;
use crate::key::role::change::RoleAction;
use crate::storage::batch::Write;

impl Engine {
    /// Applies a change of a role, a tenant or an owner to its current state, and writes nothing. Returns the head after it, too;
    /// `None` if the change has no effect.
    pub(super) fn stage_named(
        &self,
        change: &Change,
        action: &NamedAction,
        reach: Option<&Reach>,
        records: &Records<'_>,
        mut head: Head,
        writer: &Writer,
    ) -> Result<Option<(Staged, ChangeNotice, Head)>, StoreError> {
        let (current, frame) = records.named(change.id)?.unzip();
        if current.as_ref().is_some_and(|held| held.name() != action.name()) {
            let allowed = "another name: one of this store has the same 96 bits of a digest";
            return Err(StoreError::invalid(action.field(), &action.name(), allowed));
        }
        reach.map_or(Ok(()), |reach| reach.named(current.as_ref(), action))?;
        let keys = || match action {
            NamedAction::Role(RoleAction::Delete { name, counted }) => keys_with(name, counted, records, writer),
            _ => Ok(0),
        };
        let Some((after, event)) = apply(current.as_ref(), action, change.at, keys, || Ok(records.roles()?.len()))?
        else {
            return Ok(None);
        };
        let (event, frame_of_event) = event_of(change, event, &mut head, writer)?;
        let new = after.as_ref().map(NamedRecord::encode).transpose()?;
        head.replace_record(frame.as_ref(), new.as_ref());
        let named = NamedChange::of(change.id, current.as_ref(), after.as_ref()).map_err(std::io::Error::from)?;
        let write = Write {
            subject: event.subject,
            tenant: None,
            owner: String::new(),
            is_new: current.is_none(),
            record: new.map(Into::into),
            imported_in: Vec::new(),
            imported_out: Vec::new(),
            event: (event.number, frame_of_event.into()),
            outcome: None,
        };
        let notice = ChangeNotice::new(&event, None, None);
        let pending = Pending { id: change.id, named: Some(named), ..Pending::default() };
        Ok(Some((Staged { pending, write, is_of_rotator: false }, notice, head)))
    }

    /// Checks that the store has every role that a change gives a key.
    pub(super) fn check_roles(
        &self,
        before: Option<&Record>,
        after: Option<&Record>,
        records: &Records<'_>,
    ) -> Result<(), StoreError> {
        let held = before.map(|record| record.roles.as_slice()).unwrap_or_default();
        let given = after.map(|record| record.roles.as_slice()).unwrap_or_default();
        for (at, name) in given.iter().enumerate().filter(|(_, name)| !held.contains(name)) {
            if records.named(Kind::Role.id(name))?.is_none() {
                return Err(InvalidField::new("roles", name, "roles of this store").at(at).into());
            }
        }
        Ok(())
    }

    /// Checks that a change of a key gives nothing to one of a tenant that has ended, and creates none there.
    pub(super) fn check_tenant(
        &self,
        change: &Change,
        record: Option<&Record>,
        records: &Records<'_>,
    ) -> Result<(), StoreError> {
        let created = match &change.action {
            // An imported key may be revoked already.
            Action::Create(record) if record.revoked.is_none() => Some(&**record),
            _ => None,
        };
        let Some(tenant) = record.or(created).and_then(|record| record.tenant.as_deref()) else { return Ok(()) };
        let has_ended = !only_takes(&change.action) && records.tenant(tenant)?.is_some_and(|held| held.ended.is_some());
        if has_ended { Err(StoreError::Conflict(Conflict::TenantEnded)) } else { Ok(()) }
    }
}

/// Whether a change of a key cannot give anything to it or its holder.
fn only_takes(action: &Action) -> bool {
    match action {
        Action::Revoke { .. } | Action::Purge | Action::EraseEnded | Action::FirstUse { .. } => true,
        #[cfg(feature = "cluster")]
        Action::Reapply(_) | Action::InUse { .. } => true,
        _ => false,
    }
}
