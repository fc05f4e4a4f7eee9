//! What roles grant, for every key that has them.

use crate::access::grant_set;
use crate::access::grant_set::RoleId;
use crate::base::interner::Full;
use crate::index::Index;
use crate::index::writer_state::WriterState;

impl Index {
    /// Takes from a role at once what a change takes away, and gives it nothing. `granted` is what the change leaves it;
    /// `None` if it deletes the role.
    pub(crate) fn restrict_role(&self, role: RoleId, granted: Option<u32>) -> Result<(), Full> {
        let (mut writer, _) = self.write();
        let left = match (writer.roles.granted(role), granted) {
            (Some(held), Some(left)) => Some(grant_set::meet(held, left)?),
            _ => None,
        };
        self.compiled.grant(&mut writer.roles, role, left)
    }

    /// Makes visible what a durable change of a role leaves.
    pub(crate) fn publish_role(&self, role: RoleId, granted: Option<u32>) -> Result<(), Full> {
        self.compiled.grant(&mut self.write().0.roles, role, granted)
    }

    /// Compiles a set that a line is about to name.
    pub(in crate::index) fn compile(&self, writer: &mut WriterState, set: u32) {
        if let Err(full) = self.compiled.add(&mut writer.roles, set) {
            // The set gives nothing.
            tracing::error!(%full, "the grants of a key with roles cannot be compiled");
        }
    }
}
