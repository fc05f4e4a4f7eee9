//! What is in force on this node alone.

use std::collections::BTreeMap;

use crate::access::named::{NamedAllowance, NamedId};
use crate::base::interner::Full;
use crate::cluster::format::here_only::{KeptHereOnly, KeptRestriction, KeptRevocation};
use crate::commit::engine::Engine;
use crate::key::effective_key::EffectiveKey;
use crate::key::error::StoreError;
use crate::key::named::NamedRecord;
use crate::key::record::Record;
use crate::token::digest::Digest;

/// What was taken from keys, roles, tenants and owners here, by their ids, and is not in the log.
pub(crate) type AllHereOnly = BTreeMap<u128, HereOnly>;

/// What was taken from a key here, and is not in the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HereOnly {
    /// By changes whose entry is on its way: until the log has decided on it.
    sent: Taken,
    /// Whatever becomes of the change that took it.
    kept: Option<Kept>,
    /// The secrets that a replacement has ended here which the log may not get: until the node closes. It makes no other
    /// one by itself, as nobody would have the new secret.
    ended: Vec<Digest>,
}

/// What a change takes from a key before the log has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) is_revoked: bool,
    /// These of its secrets have ended.
    pub(crate) ended: Vec<Digest>,
}

/// What the node takes again, also after a restart, until the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    Revocation(KeptRevocation),
    /// The key has lost what the engine lost.
    Restriction(KeptRestriction),
    /// The role, the tenant or the owner has lost what the engine lost, and leaves no more than this.
    Named(NamedRecord),
}

impl From<KeptHereOnly> for Kept {
    fn from(kept: KeptHereOnly) -> Self {
        match kept {
            KeptHereOnly::Revocation(kept) => Self::Revocation(kept),
            KeptHereOnly::Restriction(kept) => Self::Restriction(kept),
            KeptHereOnly::Named(kept) => Self::Named(kept),
        }
    }
}

impl HereOnly {
    pub(crate) fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    /// The secrets that have ended here until the node closes.
    pub(crate) fn ended(&self) -> &[Digest] {
        &self.ended
    }

    /// Adds what a change takes whose entry is on its way.
    pub(crate) fn take(&mut self, taken: &Taken) {
        self.sent.is_revoked |= taken.is_revoked;
        extend(&mut self.sent.ended, &taken.ended);
    }

    /// Whether a change has taken something whose entry is on its way.
    pub(crate) fn is_sent(&self) -> bool {
        self.sent != Taken::default()
    }

    /// Forgets what changes took whose entry the log has decided on.
    pub(crate) fn forget_sent(&mut self) {
        self.sent = Taken::default();
    }

    /// Keeps this. A revocation takes everything.
    pub(crate) fn keep(&mut self, kept: Kept) {
        if !matches!((&self.kept, &kept), (Some(Kept::Revocation(_)), Kept::Restriction(_))) {
            self.kept = Some(kept);
        }
    }

    /// Takes out what was kept.
    pub(crate) fn forget_kept(&mut self) {
        self.kept = None;
    }

    /// Ends secrets until the node closes.
    pub(crate) fn end(&mut self, secrets: &[Digest]) {
        extend(&mut self.ended, secrets);
    }

    /// Takes out the ended secrets that the key does not have any more.
    pub(crate) fn forget_ended(&mut self, record: Option<&Record>) {
        let has = |digest: &Digest| record.is_some_and(|record| record.secrets.iter().any(|one| one.digest == *digest));
        self.ended.retain(has);
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes it from what a key of this record may do.
    pub(crate) fn narrow(&self, engine: &Engine, record: &Record, rights: &mut EffectiveKey) -> Result<(), StoreError> {
        if let Some(Kept::Restriction(kept)) = &self.kept {
            let mut left = record.clone();
            kept.restrict(&mut left, engine.time.now_ms());
            let unused = std::mem::take(&mut rights.secrets);
            *rights = engine.effective(&left)?;
            for secret in &mut rights.secrets {
                secret.unused |= unused.iter().any(|one| one.digest == secret.digest && one.unused);
            }
        }
        rights.allowance.revoked |= self.sent.is_revoked || matches!(self.kept, Some(Kept::Revocation(_)));
        let has_ended = |digest: &Digest| self.ended.contains(digest) || self.sent.ended.contains(digest);
        rights.secrets.retain(|secret| !has_ended(&secret.digest));
        Ok(())
    }
}

/// What a role grants, or a tenant or an owner leaves, by a record of it, less what was taken from it here.
pub(crate) fn narrowed(
    here: Option<&HereOnly>,
    id: NamedId,
    record: Option<&NamedRecord>,
) -> Result<NamedAllowance, Full> {
    let allowance = record.map_or_else(|| NamedAllowance::without_record(id), NamedRecord::allowance)?;
    match here.and_then(HereOnly::kept) {
        Some(Kept::Named(kept)) => allowance.meet(kept.allowance()?),
        _ => Ok(allowance),
    }
}

fn extend(ended: &mut Vec<Digest>, more: &[Digest]) {
    for digest in more {
        if !ended.contains(digest) {
            ended.push(*digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(reason: &str) -> Kept {
        Kept::Revocation(KeptRevocation { reason: reason.into(), actor: None })
    }

    #[test]
    fn what_was_sent_goes_and_what_is_kept_stays() {
        let mut here = HereOnly::default();
        here.take(&Taken { is_revoked: true, ended: vec![[1; 32]] });
        here.take(&Taken { is_revoked: false, ended: vec![[1; 32], [2; 32]] });
        assert_eq!(here.sent, Taken { is_revoked: true, ended: vec![[1; 32], [2; 32]] });
        here.keep(kept("leaked"));
        here.end(&[[1; 32]]);
        here.forget_sent();
        assert_eq!((here.kept(), here.ended()), (Some(&kept("leaked")), [[1; 32]].as_slice()));
        here.forget_ended(None);
        here.forget_kept();
        assert!(here.is_empty());
    }

    #[test]
    fn a_restriction_does_not_take_the_place_of_a_revocation() {
        let restriction = Kept::Restriction(KeptRestriction { record: None, sets_fields: false });
        let mut here = HereOnly::default();
        here.keep(restriction.clone());
        assert_eq!(here.kept(), Some(&restriction));
        here.keep(kept("leaked"));
        here.keep(restriction);
        assert_eq!(here.kept(), Some(&kept("leaked")));
    }
}
