//! The grants of keys with roles, as the roles grant them now. Many keys share a set, and an edit of a role changes the
//! sets with it, not the keys.

mod publish;

use std::collections::{BTreeSet, HashMap};

use crate::index::atomic::{AtomicU32, Ordering};

use crate::access::grant_set;
use crate::access::grant_set::RoleId;
use crate::base::interner::Full;

/// The number of a set that is not compiled: it gives nothing.
pub(super) const NOTHING: u32 = u32::MAX;

/// The number in [`GRANTS`](crate::base::interner::GRANTS) of what each set gives, by the set's place. Readers read it
/// without a lock. Only the writer changes it.
#[derive(Default)]
pub(super) struct CompiledSets(boxcar::Vec<AtomicU32>);

/// What the roles grant, as far as it is visible, and the sets that depend on them. Only the writer reads it.
#[derive(Default)]
pub(super) struct RoleGrants {
    granted: HashMap<RoleId, u32>,
    /// The sets with each role, also if there is no such role.
    sets: HashMap<RoleId, BTreeSet<u32>>,
}

impl CompiledSets {
    /// What a set gives now, as the number of a text.
    #[inline]
    pub(super) fn get(&self, set: u32) -> u32 {
        if grant_set::is_expression(set) { self.compiled(set) } else { set }
    }

    #[inline]
    fn compiled(&self, set: u32) -> u32 {
        self.0.get(grant_set::place(set)).map_or(NOTHING, |compiled| compiled.load(Ordering::Acquire))
    }

    /// Compiles a set that a line is about to name.
    pub(super) fn add(&self, roles: &mut RoleGrants, set: u32) -> Result<(), Full> {
        if !grant_set::is_expression(set) || self.compiled(set) != NOTHING {
            return Ok(());
        }
        let compiled = roles.compile(set)?;
        let place = grant_set::place(set);
        while self.0.count() <= place {
            self.0.push(AtomicU32::new(NOTHING));
        }
        for role in grant_set::roles(set) {
            roles.sets.entry(role).or_default().insert(set);
        }
        self.set(set, compiled);
        Ok(())
    }

    /// Sets what a role grants; `None` is a role that is not there. It is in effect for every key with the role when this
    /// returns.
    pub(super) fn grant(&self, roles: &mut RoleGrants, role: RoleId, granted: Option<u32>) -> Result<(), Full> {
        match granted {
            Some(granted) => roles.granted.insert(role, granted),
            None => roles.granted.remove(&role),
        };
        for set in roles.sets.get(&role).into_iter().flatten() {
            self.set(*set, roles.compile(*set)?);
        }
        Ok(())
    }

    fn set(&self, set: u32, compiled: u32) {
        if let Some(place) = self.0.get(grant_set::place(set)) {
            place.store(compiled, Ordering::Release);
        }
    }
}

impl RoleGrants {
    /// What a role grants now.
    pub(super) fn granted(&self, role: RoleId) -> Option<u32> {
        self.granted.get(&role).copied()
    }

    fn compile(&self, set: u32) -> Result<u32, Full> {
        grant_set::compile(set, &|role| self.granted(role))
    }
}
