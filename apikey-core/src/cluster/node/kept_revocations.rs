//! What is in force on this node alone, also after a restart: revocations that the ledger did not take, and what it lost.
//! The node makes them again until the log has them.

use crate::access::named::Kind;
use crate::base::lock::lock;
use crate::cluster::format::here_only::{KeptHereOnly, KeptRestriction, KeptRevocation};
use crate::cluster::node::here_only::{HereOnly, Kept};
use crate::cluster::node::shared::Node;
use crate::commit::cluster::propagation::Terms;
use crate::commit::engine::{Engine, Order};
use crate::commit::records::Records;
use crate::commit::writer::Writer;
use crate::key::change::{Action, Change};
use crate::key::error::StoreError;
use crate::key::event::actor::Origin;
use crate::key::named::NamedRecord;
use crate::key::named::change::NamedAction;
use crate::key::owner::change::OwnerAction;
use crate::key::owner::record::OwnerRecord;
use crate::key::role::change::RoleAction;
use crate::key::role::record::RoleRecord;
use crate::key::tenant::change::TenantAction;
use crate::key::tenant::record::TenantRecord;

/// The most keys that one change takes something from again.
const AT_ONCE: usize = 500;

impl Node {
    /// Keeps revocations in the replica, which are in force already.
    pub(super) fn keep_revoked(
        &self,
        engine: &Engine,
        revocations: &[(u128, KeptRevocation)],
    ) -> Result<(), StoreError> {
        if !self.settings.safeguards.keeps_revocations {
            return Ok(());
        }
        let frame = |kept: &KeptRevocation| KeptHereOnly::Revocation(kept.clone()).encode();
        let kept = revocations.iter().map(|(id, kept)| Ok((*id, frame(kept)?)));
        let kept = kept.collect::<Result<Vec<_>, StoreError>>()?;
        Ok(engine.log.open()?.keep_here(kept)?)
    }

    /// Puts what the replica has kept in force, before the gate opens for the first time.
    pub(crate) fn restore_kept(&self, engine: &Engine) -> Result<(), StoreError> {
        if !self.settings.safeguards.restores_revocations_first {
            return Ok(());
        }
        let kept: Vec<(u128, Kept)> = {
            let log = engine.log.open()?;
            let kept = log.kept_here()?.into_iter();
            let kept = kept.map(|(id, frame)| Ok((id, KeptHereOnly::decode(&frame)?.into())));
            kept.collect::<Result<_, StoreError>>()?
        };
        self.take_here(engine, &kept, |here, kept| here.keep(kept.clone()))
    }

    /// Makes again what is in force on this node alone: revocations that the ledger did not take, and what it lost.
    pub(crate) fn make_again(&self, engine: &Engine, order: &dyn Order) -> Result<(), StoreError> {
        if !self.settings.safeguards.makes_revocations_again {
            return Ok(());
        }
        let (mut revoked, mut restricted, mut ended, mut named) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (id, here) in &self.state().here {
            if !here.ended().is_empty() {
                ended.push(*id);
            }
            match here.kept() {
                Some(Kept::Revocation(kept)) => revoked.push((*id, kept.clone())),
                Some(Kept::Restriction(kept)) => restricted.push((*id, kept.clone())),
                Some(Kept::Named(kept)) => named.push((*id, kept.clone())),
                None => {}
            }
        }
        self.forget_ended(engine, &ended)?;
        let mut done = Vec::new();
        let made = self.revoke_again(engine, order, revoked, &mut done);
        let made = made.and_then(|()| self.restrict_again(engine, order, &restricted, &mut done));
        let made = made.and_then(|()| narrow_again(engine, order, named, &mut done));
        // Also what was made before an error.
        self.forget_written(engine, &done)?;
        made
    }

    /// Forgets what was made again, where the records have it. The engine may have lost it once more since.
    pub(crate) fn forget_written(&self, engine: &Engine, keys: &[u128]) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        // No record changes in between, and a recovery keeps what is lost before or after this.
        let _applying = lock(&self.applying);
        let state = self.state();
        if state.recovery.is_some() {
            // The replica may be loaded anew, without it.
            return Ok(());
        }
        let here = state.here.clone();
        drop(state);
        let log = engine.log.open()?;
        let mut written = Vec::new();
        for id in keys {
            if Kind::of(*id).is_some() {
                let held = log.named(*id)?.map(|(held, _)| held);
                let has = match (here.get(id).and_then(HereOnly::kept), held) {
                    (Some(Kept::Named(kept)), Some(held)) => held.met(kept) == held,
                    // A role that is not there grants nothing, and an owner may have lost nothing.
                    (Some(Kept::Named(kept)), None) => match kept {
                        NamedRecord::Role(_) => true,
                        NamedRecord::Tenant(_) => false,
                        NamedRecord::Owner(owner) => owner.quota.is_none(),
                    },
                    _ => false,
                };
                written.extend(has.then_some((*id, ())));
                continue;
            }
            let record = log.record(*id)?.map(|(record, _)| record);
            let has = match (here.get(id).and_then(HereOnly::kept), record) {
                (None | Some(Kept::Named(_)), _) => false,
                // A purge may have deleted the key meanwhile.
                (_, None) => true,
                (Some(Kept::Revocation(_)), Some(record)) => record.revoked.is_some(),
                (Some(Kept::Restriction(kept)), Some(record)) => {
                    let mut left = record.clone();
                    kept.restrict(&mut left, engine.time.now_ms());
                    left == record
                }
            };
            if has {
                written.push((*id, ()));
            }
        }
        let ids: Vec<u128> = written.iter().map(|(id, ())| *id).collect();
        log.forget_here(&ids)?;
        self.put_here(&written, |here, ()| here.forget_kept());
        let here = self.state().here.clone();
        self.settle_in(engine, &ids, &log, &here, &[])
    }

    /// Forgets of these keys the secrets that have ended here, once their records no longer have them.
    fn forget_ended(&self, engine: &Engine, keys: &[u128]) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        // No record changes in between.
        let _applying = lock(&self.applying);
        let log = engine.log.open()?;
        for id in keys {
            let record = log.record(*id)?.map(|(record, _)| record);
            self.put_here(&[(*id, ())], |here, ()| here.forget_ended(record.as_ref()));
        }
        Ok(())
    }

    fn revoke_again(
        &self,
        engine: &Engine,
        order: &dyn Order,
        revoked: Vec<(u128, KeptRevocation)>,
        done: &mut Vec<u128>,
    ) -> Result<(), StoreError> {
        for (id, kept) in revoked {
            let mut decide = |_: &mut Writer, _: &Records<'_>| {
                let origin = Origin { actor: kept.actor.as_deref().map(Into::into), peer: None };
                let action = Action::Revoke { reason: kept.reason.clone() };
                Ok(vec![Change { origin, ..engine.change_of(id, action) }])
            };
            match order.change(engine, Terms::HERE, &mut decide) {
                // A purge may have deleted the key meanwhile.
                Ok(_) | Err(StoreError::NotFound(_)) => done.push(id),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn restrict_again(
        &self,
        engine: &Engine,
        order: &dyn Order,
        restricted: &[(u128, KeptRestriction)],
        done: &mut Vec<u128>,
    ) -> Result<(), StoreError> {
        for some in restricted.chunks(AT_ONCE) {
            let mut decide = |_: &mut Writer, records: &Records<'_>| {
                let mut changes = Vec::new();
                for (id, kept) in some {
                    // A key that the engine lost, too, stays lost.
                    let Some((mut record, _)) = records.record(*id)? else { continue };
                    kept.restrict(&mut record, engine.time.now_ms());
                    changes.push(engine.change_of(*id, Action::Reapply(Box::new(record))));
                }
                Ok(changes)
            };
            order.change(engine, Terms::HERE, &mut decide)?;
            done.extend(some.iter().map(|(id, _)| *id));
        }
        Ok(())
    }
}

/// Takes from roles, tenants and owners again what the engine lost.
fn narrow_again(
    engine: &Engine,
    order: &dyn Order,
    named: Vec<(u128, NamedRecord)>,
    done: &mut Vec<u128>,
) -> Result<(), StoreError> {
    for (id, kept) in named {
        // A tenant may have ended, too, which is a change of its own.
        for ends in [false, true] {
            let mut decide = |_: &mut Writer, records: &Records<'_>| {
                let held = records.named(id)?.map(|(held, _)| held);
                let change = narrowing_change(held.as_ref(), &kept, ends, engine.time.now_ms());
                Ok(change.map(|action| engine.change_of(id, Action::Named(action))).into_iter().collect())
            };
            order.change(engine, Terms::HERE, &mut decide)?;
        }
        done.push(id);
    }
    Ok(())
}

/// The change that takes from a role, a tenant or an owner what it has beyond what is kept: the end of a tenant, or everything else.
fn narrowing_change(held: Option<&NamedRecord>, kept: &NamedRecord, ends: bool, at: i64) -> Option<NamedAction> {
    let put = |tenant: TenantRecord| {
        // Its end is a change of its own.
        NamedAction::Tenant(TenantAction::Put(Box::new(TenantRecord { ended: None, ..tenant })))
    };
    let put_owner = |owner: OwnerRecord| NamedAction::Owner(OwnerAction::Put(Box::new(owner)));
    match (held, kept) {
        // A role that the engine lost, too, stays lost.
        (None, NamedRecord::Role(_)) => None,
        (_, NamedRecord::Tenant(kept)) if ends => {
            let reason = kept.ended.as_ref()?.reason.clone();
            Some(NamedAction::Tenant(TenantAction::End { name: kept.name.clone(), reason }))
        }
        (Some(NamedRecord::Tenant(held)), _) if held.ended.is_some() => None,
        (None, NamedRecord::Tenant(kept)) => Some(put(kept.clone())),
        (None, NamedRecord::Owner(kept)) if !ends => kept.quota.is_some().then(|| put_owner(kept.clone())),
        (Some(held), kept) if !ends => match held.met(kept) {
            met if met == *held => None,
            NamedRecord::Role(met) => {
                Some(NamedAction::Role(RoleAction::Put(Box::new(RoleRecord { changed_at: at, ..met }))))
            }
            NamedRecord::Tenant(met) => Some(put(met)),
            NamedRecord::Owner(met) => Some(put_owner(met)),
        },
        _ => None,
    }
}
