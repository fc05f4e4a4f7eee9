//! What roles grant to the keys that have them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::key::record::Record;
use crate::key::role::record::RoleRecord;

/// What the roles of the store grant, by name.
#[derive(Default)]
pub(crate) struct RoleGrants(BTreeMap<String, Vec<String>>);

impl RoleGrants {
    pub(crate) fn new(roles: Vec<RoleRecord>) -> Self {
        Self(roles.into_iter().map(|role| (role.name, role.permissions)).collect())
    }

    /// The explicit grants of a key, and those of its roles.
    pub(crate) fn all<'g>(&self, explicit: &'g [String], roles: &[String]) -> Cow<'g, [String]> {
        if roles.is_empty() {
            return Cow::Borrowed(explicit);
        }
        let of_roles = roles.iter().filter_map(|name| self.0.get(name)).flatten().cloned();
        Cow::Owned(explicit.iter().cloned().chain(of_roles).collect())
    }

    pub(crate) fn of<'r>(&self, record: &'r Record) -> Cow<'r, [String]> {
        self.all(&record.permissions, &record.roles)
    }
}
