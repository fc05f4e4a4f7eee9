//! What sets of grants give that depend on roles and tenants, as these are now. Many keys share a set, and an edit of a role
//! or a tenant changes the sets with it, not the keys.

mod publish;

use std::collections::{BTreeSet, HashMap};

use crate::index::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::access::grant_set;
use crate::access::named::{NamedAllowance, NamedId};
use crate::base::interner::Full;

/// The number of a set that is not compiled: it gives nothing.
pub(super) const NOTHING: u32 = u32::MAX;
/// The number of a set whose tenant has ended: every key with it is revoked.
pub(super) const ENDED: u32 = u32::MAX - 1;

/// What each set gives, by the set's place. Readers read it without a lock. Only the writer changes it.
#[derive(Default)]
pub(super) struct CompiledSets(boxcar::Vec<CompiledSet>);

/// What a set gives.
struct CompiledSet {
    /// The number in [`GRANTS`](crate::base::interner::GRANTS) of its grants; or [`NOTHING`], or [`ENDED`].
    grants: AtomicU32,
    /// What the keys of its tenant share, packed.
    of_tenant: AtomicU64,
}

/// The numbers of the limiter and of the quota that the keys of a tenant share; 0 for none. It is one word, as a verification
/// passes it on.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OfTenant(u64);

impl OfTenant {
    pub(super) const NOTHING: Self = Self(0);

    pub(super) fn new(limiter: u32, quota: u32) -> Self {
        Self(u64::from(quota) << 32 | u64::from(limiter))
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "it is the low half")]
    pub(super) fn limiter(self) -> u32 {
        self.0 as u32
    }

    #[inline]
    pub(super) fn quota(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// A set as a reader finds it.
#[derive(Clone, Copy)]
pub(super) struct Given {
    pub(super) grants: u32,
    pub(super) of_tenant: OfTenant,
}

impl Given {
    /// A set that no tenant bounds.
    #[inline]
    fn of_text(grants: u32) -> Self {
        Self { grants, of_tenant: OfTenant::NOTHING }
    }
}

/// What roles grant and tenants and owners leave, as far as it is visible, and the sets that depend on them. Only the writer reads it.
#[derive(Default)]
pub(super) struct NamedState {
    /// That of every name that has a record, or had one.
    allowances: HashMap<NamedId, NamedAllowance>,
    /// The sets with each name, whether it has a record or not.
    sets: HashMap<NamedId, BTreeSet<u32>>,
    /// What the keys of tenants share that have, or had, a limit or a quota.
    shared: HashMap<NamedId, OfTenant>,
}

impl CompiledSets {
    /// What a set gives now.
    #[inline]
    pub(super) fn get(&self, set: u32) -> Given {
        if grant_set::is_expression(set) { self.compiled(set) } else { Given::of_text(set) }
    }

    #[inline]
    fn compiled(&self, set: u32) -> Given {
        match self.0.get(grant_set::place(set)) {
            None => Given::of_text(NOTHING),
            Some(CompiledSet { grants, of_tenant }) => {
                Given { grants: grants.load(Ordering::Acquire), of_tenant: OfTenant(of_tenant.load(Ordering::Relaxed)) }
            }
        }
    }

    /// Compiles a set that a line is about to name.
    pub(super) fn add(&self, state: &mut NamedState, set: u32) -> Result<(), Full> {
        if !grant_set::is_expression(set) || self.compiled(set).grants != NOTHING {
            return Ok(());
        }
        let given = state.compile(set)?;
        let place = grant_set::place(set);
        while self.0.count() <= place {
            self.0.push(CompiledSet { grants: AtomicU32::new(NOTHING), of_tenant: AtomicU64::new(0) });
        }
        for name in grant_set::names(set) {
            state.sets.entry(name).or_default().insert(set);
        }
        self.set(set, given);
        Ok(())
    }

    /// Sets what a role grants, or a tenant leaves. It is in effect for every key with the name when this returns.
    pub(super) fn put(&self, state: &mut NamedState, name: NamedId, allowance: NamedAllowance) -> Result<(), Full> {
        state.allowances.insert(name, allowance);
        let mut outcome = Ok(());
        for set in state.sets.get(&name).into_iter().flatten() {
            // A set that cannot be compiled gives nothing.
            let given = state.compile(*set).unwrap_or_else(|full| {
                outcome = Err(full);
                Given::of_text(NOTHING)
            });
            self.set(*set, given);
        }
        outcome
    }

    fn set(&self, set: u32, given: Given) {
        if let Some(place) = self.0.get(grant_set::place(set)) {
            place.of_tenant.store(given.of_tenant.0, Ordering::Relaxed);
            place.grants.store(given.grants, Ordering::Release);
        }
    }
}

impl NamedState {
    /// What a role grants, or a tenant leaves, now.
    pub(super) fn allowance(&self, name: NamedId) -> Result<NamedAllowance, Full> {
        self.allowances.get(&name).copied().map_or_else(|| NamedAllowance::without_record(name), Ok)
    }

    fn compile(&self, set: u32) -> Result<Given, Full> {
        let tenant = grant_set::tenant(set);
        let of_tenant = tenant.and_then(|tenant| self.shared.get(&tenant)).copied().unwrap_or_default();
        if tenant.map(|tenant| self.allowance(tenant)).transpose()?.is_some_and(|allowance| allowance.ended) {
            return Ok(Given { grants: ENDED, of_tenant });
        }
        let grants = grant_set::compile(set, &|name| self.allowance(name).map(|allowances| allowances.grants))?;
        Ok(Given { grants, of_tenant })
    }
}
