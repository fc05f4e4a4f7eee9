//! What roles grant, and what tenants and owners leave, for every key that has them.

use crate::access::named::{NamedAllowance, NamedId};
use crate::base::interner::Full;
use crate::index::Index;
use crate::index::compiled::OfTenant;
use crate::index::writer_state::WriterState;

impl Index {
    /// Takes at once what a change of a role, a tenant or an owner takes away, and gives nothing. `after` is what the change leaves.
    /// Returns whether it has taken anything.
    pub(crate) fn restrict_named(&self, name: NamedId, after: NamedAllowance) -> Result<bool, Full> {
        let (mut writer, _) = self.write();
        let held = writer.named.allowance(name)?;
        let left = held.meet(after)?;
        self.put_named(&mut writer, name, left)?;
        Ok(held.loses(left))
    }

    /// Makes visible what a durable change of a role, a tenant or an owner leaves.
    pub(crate) fn publish_named(&self, name: NamedId, allowance: NamedAllowance) -> Result<(), Full> {
        self.put_named(&mut self.write().0, name, allowance)
    }

    fn put_named(&self, writer: &mut WriterState, name: NamedId, allowance: NamedAllowance) -> Result<(), Full> {
        let held = writer.named.shared.get(&name).copied();
        if allowance.limit.is_some() || allowance.quota.is_some() || held.is_some() {
            // A tenant keeps its limiter and its quota. Without a limit, or a bound, these let everything through.
            let limiter = self.limiters.set(&mut writer.limiters, name, allowance.limit);
            let quota = self.set_shared_quota(writer, name, allowance.quota);
            let held = held.unwrap_or_default();
            let shared = OfTenant::new(limiter.max(held.limiter()), quota.max(held.quota()));
            writer.named.shared.insert(name, shared);
        }
        self.compiled.put(&mut writer.named, name, allowance)
    }

    /// Compiles a set that a line is about to name.
    pub(in crate::index) fn compile(&self, writer: &mut WriterState, set: u32) {
        if let Err(full) = self.compiled.add(&mut writer.named, set) {
            // The set gives nothing.
            tracing::error!(%full, "the grants of a key with roles, or of a tenant, cannot be compiled");
        }
    }
}
