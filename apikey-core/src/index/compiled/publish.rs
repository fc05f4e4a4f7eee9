//! What roles grant, and what tenants leave, for every key that has them.

use crate::access::named::{NamedAllowance, NamedId};
use crate::base::interner::Full;
use crate::index::Index;
use crate::index::compiled::NamedState;
use crate::index::writer_state::WriterState;

impl Index {
    /// Takes at once what a change of a role or a tenant takes away, and gives nothing. `after` is what the change leaves.
    /// Returns whether it has taken anything.
    pub(crate) fn restrict_named(&self, name: NamedId, after: NamedAllowance) -> Result<bool, Full> {
        let (mut writer, _) = self.write();
        let held = writer.named.allowance(name)?;
        let left = held.meet(after)?;
        self.put_named(&mut writer, name, left)?;
        Ok(held.loses(left))
    }

    /// Makes visible what a durable change of a role or a tenant leaves.
    pub(crate) fn publish_named(&self, name: NamedId, allowance: NamedAllowance) -> Result<(), Full> {
        self.put_named(&mut self.write().0, name, allowance)
    }

    fn put_named(&self, writer: &mut WriterState, name: NamedId, allowance: NamedAllowance) -> Result<(), Full> {
        let WriterState { limiters, named, .. } = writer;
        if allowance.limit.is_some() || named.limiters.contains_key(&name) {
            // A tenant keeps its limiter. Without a limit that lets everything through.
            let number = self.limiters.set(limiters, name, allowance.limit);
            NamedState::note_limiter(named, name, number);
        }
        self.compiled.put(named, name, allowance)
    }

    /// Compiles a set that a line is about to name.
    pub(in crate::index) fn compile(&self, writer: &mut WriterState, set: u32) {
        if let Err(full) = self.compiled.add(&mut writer.named, set) {
            // The set gives nothing.
            tracing::error!(%full, "the grants of a key with roles, or of a tenant, cannot be compiled");
        }
    }
}

impl NamedState {
    fn note_limiter(&mut self, name: NamedId, number: u32) {
        if number != 0 {
            self.limiters.insert(name, number);
        }
    }
}
