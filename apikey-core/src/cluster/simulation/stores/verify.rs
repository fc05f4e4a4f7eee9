//! The verifications of a simulation: none may succeed by what a call has taken away.

use crate::cluster::simulation::stores::model::{Model, Shared};
use crate::cluster::simulation::stores::promises::{Here, KnownCall};
use crate::cluster::simulation::stores::scheduler::Process;
use crate::{AuthError, KeyStore, VerifiedKey};

/// Verifies every secret on every machine.
pub(super) fn verify_everywhere(model: &Model) {
    let machines = model.shared().machines.len();
    for machine in 0..machines {
        verify_on(model, machine);
    }
}

/// Verifies every secret on a machine.
pub(super) fn verify_on(model: &Model, machine: usize) {
    let Some(store) = model.store(machine) else { return };
    let keys = model.shared().promises.keys.len();
    for key in 0..keys {
        verify_key(model, &store, machine, key);
    }
}

/// Verifies the secrets of a few keys on a machine.
pub(super) fn verify_some(model: &Model, machine: usize) {
    let Some(store) = model.store(machine) else { return };
    let keys = model.shared().promises.keys.len();
    for _ in 0..keys.min(3) {
        let key = model.scheduler.random(|random| random.below(keys));
        verify_key(model, &store, machine, key);
    }
}

fn verify_key(model: &Model, store: &KeyStore, machine: usize, key: usize) {
    let tokens = model.shared().promises.keys[key].tokens.len();
    // The newest ones first: what these end must be refused at once.
    for token in (0..tokens).rev().take(4) {
        verify(model, store, machine, key, token);
    }
}

fn verify(model: &Model, store: &KeyStore, machine: usize, key: usize, token: usize) {
    let text = model.shared().promises.keys[key].tokens[token].text.clone();
    let verified = store.verify(&text);
    let mut shared = model.shared();
    shared.counts.count(match &verified {
        Ok(_) => "verifications: accepted",
        Err(AuthError::Unavailable) => "verifications: unavailable",
        Err(_) => "verifications: refused",
    });
    let Ok(verified) = verified else { return };
    let life = shared.machines[machine].life;
    let fault = shared.fault_of(machine, life, key, token, &verified);
    let version = shared.promises.keys[key].tokens[token].version;
    if shared.promises.keys[key].tokens[token].ends_by_use {
        shared.promises.keys[key].end_here(machine, Here::Life(life), version);
    }
    drop(shared);
    model.say(|| format!("machine {machine} accepts secret {version} of key {key}"));
    if let Some(fault) = fault {
        model.violated(|| format!("machine {machine} accepts secret {version} of key {key}: {fault}"));
    }
}

impl Shared {
    /// What an accepted secret violates.
    fn fault_of(&self, machine: usize, life: u64, key: usize, token: usize, verified: &VerifiedKey) -> Option<String> {
        let key_of = &self.promises.keys[key];
        let token = &key_of.tokens[token];
        let by = |call: Option<u64>, what: &str| call.map(|call| format!("call {call} {what}"));
        let here = token.ended_here.get(&machine).filter(|here| match here {
            Here::Life(held) => *held == life,
            Here::Directory => true,
        });
        let lacks = verified.allows("orders:write").then_some(key_of.narrowed).flatten();
        let role = key_of.role.as_ref().and_then(|name| self.promises.roles.get(name));
        let role_lacks = verified.allows("stock:write").then(|| role?.narrowed).flatten();
        // A node that sees another entry in the place of its own knows by itself that it has lost the race.
        let may_have_lost = |call: &KnownCall| call.entry.is_none() && self.history.head().number > call.base;
        let is_its = |call: &&KnownCall| {
            call.takes_at_once == Some(key) && call.sent == Some(Process { machine, life }) && !may_have_lost(call)
        };
        by(key_of.revoked, "revoked it everywhere")
            .or_else(|| by(token.ended, "ended the secret everywhere"))
            .or_else(|| by(key_of.disabled, "disabled it everywhere"))
            .or_else(|| by(lacks, "took a permission from it everywhere"))
            .or_else(|| by(role_lacks, "took a permission from its role everywhere"))
            .or_else(|| here.map(|here| format!("it has ended on this machine: {here:?}")))
            .or_else(|| {
                let sent = self.promises.calls.values().find(is_its);
                sent.map(|_| "its revocation was sent from this machine".to_owned())
            })
    }
}
