//! What an import knows of roles, tenants and owners from the lines so far.

use std::collections::HashSet;

use crate::access::identity;
use crate::access::named::Kind;
use crate::access::owner::Owners;
use crate::commit::records::Records;
use crate::copies::key_line::LineOf;
use crate::copies::transfer_report::LineFault;
use crate::key::error::StoreError;
use crate::key::record::Record;

/// The roles, tenants and owners of the lines so far. Keys with one of which the line is refused would have what the store's own
/// grants or leaves, or have no bounds at all, so they are refused as well.
#[derive(Debug, Default)]
pub(crate) struct NamedLines {
    /// Those that the store has now as their line says, or would have.
    taken: HashSet<(Kind, String)>,
    /// Those of which the line is refused.
    refused: HashSet<(Kind, String)>,
    /// Whether there was a line that may have been of any role or tenant.
    any_unread: bool,
}

impl NamedLines {
    /// Takes the keys out of those that wait, if one of them has a role or a tenant, or the line is of an owner: such a line holds
    /// for the keys after it.
    pub(super) fn concerned(waiting: &mut Vec<(u64, Record)>, is_of_owner: bool) -> Vec<(u64, Record)> {
        let is_concerned = |record: &Record| is_of_owner || record.tenant.is_some() || !record.roles.is_empty();
        let is_any = waiting.iter().any(|(_, record)| is_concerned(record));
        if is_any { std::mem::take(waiting) } else { Vec::new() }
    }

    pub(super) fn take(&mut self, kind: Kind, name: String) {
        let named = (kind, name);
        self.refused.remove(&named);
        self.taken.insert(named);
    }

    pub(super) fn refuse(&mut self, line: LineOf) {
        match line {
            LineOf::Key => {}
            LineOf::Named(kind, name) => drop(self.refused.insert((kind, name))),
            LineOf::Unknown => self.any_unread = true,
        }
    }

    /// Checks that a key has roles and a tenant of the store's, and that no line of these, or of its owner, is refused.
    pub(super) fn check(&self, record: &Record, records: &Records<'_>) -> Result<(), LineFault> {
        for name in &record.roles {
            if !self.is_taken(Kind::Role, name)? && records.named(Kind::Role.id(name))?.is_none() {
                let known = "roles of this store, or of lines before this one";
                return Err(StoreError::invalid("roles", name, known).into());
            }
        }
        let owner = (Kind::Owner, identity::owner_text(record.owner()).into_owned());
        if self.refused.contains(&owner) {
            return Err(LineFault::OwnerRefused { tenant: record.tenant.clone(), name: record.owner.clone() });
        }
        let Some(name) = &record.tenant else { return Ok(()) };
        if !self.is_taken(Kind::Tenant, name)?
            && records.tenant(name)?.is_none()
            && records.ids_of(Owners::AllOf(name), None, 1)?.is_empty()
        {
            let known = "tenants of this store, or of lines before this one";
            return Err(StoreError::invalid("tenant", name, known).into());
        }
        Ok(())
    }

    /// Whether a line so far is of this role or tenant.
    fn is_taken(&self, kind: Kind, name: &str) -> Result<bool, LineFault> {
        let named = (kind, name.to_owned());
        if self.refused.contains(&named) {
            return Err(match kind {
                Kind::Role => LineFault::RoleRefused { name: named.1 },
                _ => LineFault::TenantRefused { name: named.1 },
            });
        }
        let is_taken = self.taken.contains(&named);
        if self.any_unread && !is_taken {
            return Err(LineFault::Unread);
        }
        Ok(is_taken)
    }
}
