//! Staging changes of roles, and what keys have of them.

use crate::base::codec;
use crate::commit::applier::{Pending, RoleChange};
use crate::commit::change_notice::ChangeNotice;
use crate::commit::engine::Engine;
use crate::commit::records::Records;
use crate::commit::stage::{Staged, event_of};
use crate::commit::writer::Writer;
use crate::key::change::Change;
use crate::key::error::StoreError;
use crate::key::event::stored::Head;
use crate::key::reach::Reach;
use crate::key::record::{Record, record_hash};
use crate::key::role;
use crate::key::role::change::{RoleAction, apply};
use crate::key::role::record::RoleRecord;
use crate::storage::batch::Write;

impl Engine {
    /// Applies a change of a role to its current state, and writes nothing. Returns the head after it, too; `None` if the
    /// change has no effect.
    pub(super) fn stage_role(
        &self,
        change: &Change,
        action: &RoleAction,
        reach: Option<&Reach>,
        records: &Records<'_>,
        mut head: Head,
        writer: &Writer,
    ) -> Result<Option<(Staged, ChangeNotice, Head)>, StoreError> {
        let (current, frame) = records.role(change.id)?.unzip();
        if current.as_ref().is_some_and(|held| held.name != action.name()) {
            let allowed = "another name: a role of this store has the same 96 bits of a digest";
            return Err(StoreError::invalid("role", action.name(), allowed));
        }
        reach.map_or(Ok(()), |reach| reach.role(current.as_ref(), action))?;
        let keys = || keys_with(action.name(), records);
        let Some((after, event)) = apply(current.as_ref(), action, keys, || Ok(records.roles()?.len()))? else {
            return Ok(None);
        };
        let (event, frame_of_event) = event_of(change, event, &mut head, writer)?;
        let new = after.as_ref().map(codec::encode).transpose()?;
        if let Some(old) = &frame {
            head.sum = head.sum.wrapping_sub(record_hash(old));
            head.records = head.records.saturating_sub(1);
        }
        if let Some(new) = &new {
            head.sum = head.sum.wrapping_add(record_hash(new));
            head.records += 1;
        }
        let granted = |role: &RoleRecord| role.granted().map_err(std::io::Error::from);
        let before = current.as_ref().map(granted).transpose()?;
        let role = RoleChange { before, after: after.as_ref().map(granted).transpose()? };
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
        let pending = Pending { id: change.id, role: Some(role), ..Pending::default() };
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
            if records.role(role::id(name))?.is_none() {
                let unknown = crate::base::invalid_field::InvalidField::new("roles", name, "roles of this store");
                return Err(unknown.at(at).into());
            }
        }
        Ok(())
    }
}

/// The number of keys that have a role. It reads every key.
fn keys_with(role: &str, records: &Records<'_>) -> Result<u64, StoreError> {
    let mut keys = 0;
    records.each(|record| keys += u64::from(record.roles.iter().any(|name| name == role)))?;
    Ok(keys)
}
