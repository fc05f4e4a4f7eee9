//! What must be so after each step, and at the end.

use std::collections::BTreeMap;

use crate::KeyStore;
use crate::access::named::Kind;
use crate::base::codec;
use crate::cluster::format::entry::position;
use crate::cluster::ledger::Position;
use crate::cluster::node::change::ClusterOrder;
use crate::cluster::node::here_only::{HereOnly, narrowed};
use crate::cluster::node::shared::Node;
use crate::cluster::simulation::stores::model::Model;
use crate::cluster::simulation::stores::plan::Course;
use crate::key::applied::Applied;
use crate::key::change::apply;
use crate::key::named::NamedRecord;
use crate::key::record::Record;
use crate::storage::database::disk::Disk;
use crate::token::digest::Digest;

impl Model {
    /// Checks a machine after a step of it.
    pub(super) fn check(&self, machine: usize) -> bool {
        if let Some(panic) = self.scheduler.panics().first() {
            self.violated(|| format!("a task panicked: {panic}"));
        }
        if let Some(store) = self.store(machine)
            && let Some(fault) = self.fault_of_machine(machine, &store, false)
        {
            self.violated(|| format!("machine {machine}: {fault}"));
        }
        self.shared().violation.is_none()
    }

    /// Checks everything of a machine.
    pub(super) fn check_whole(&self, machine: usize, store: &KeyStore) -> Option<String> {
        self.shared().machines[machine].compared = None;
        self.fault_of_machine(machine, store, true)
    }

    fn fault_of_machine(&self, machine: usize, store: &KeyStore, is_whole: bool) -> Option<String> {
        let node = ClusterOrder::node_of(&store.inner().engine);
        let head = node.head();
        let (before, compared, everywhere, went_back) = {
            let shared = self.shared();
            let it = &shared.machines[machine];
            (it.head, it.compared, shared.promises.everywhere, shared.promises.times_back > 0)
        };
        // A node whose log has another history now loads that.
        if head.number < before.number && !went_back {
            return Some(format!("its replica was at {before:?}, and is at {head:?}"));
        }
        self.shared().machines[machine].head = head;
        let is_open = store.is_ready();
        if is_open && head.number < everywhere.number {
            return Some(format!("it serves at {head:?}, and {everywhere:?} holds everywhere"));
        }
        let is_lost = self.scheduler.now() > self.shared().unsafe_until && !self.shared().history.has(&head);
        if is_open && is_lost {
            return Some(format!("it serves at {head:?}, which the log does not have"));
        }
        let inner = store.inner();
        let log = inner.engine.log.open().ok()?;
        let applied = position(&inner.engine.writer().head());
        // Where replicas cannot be read, what is applied may wait for that.
        if applied.number > head.number && self.plan.course == Course::Unreadable {
            return None;
        }
        if applied != head {
            return Some(format!("its replica has more than it has settled, which is {head:?}"));
        }
        let is_new = compared != Some(head);
        if is_new && let Some(fault) = self.fault_of_records(&log, &head) {
            return Some(fault);
        }
        self.shared().machines[machine].compared = Some(head);
        if !is_new && !is_whole && !self.scheduler.random(|random| random.chance(0.1)) {
            return None;
        }
        self.fault_of_index(machine, store, &node, &log)
    }

    /// Whether the records are those that the log leads to.
    fn fault_of_records(&self, disk: &Disk, head: &Position) -> Option<String> {
        let expected = self.shared().history.records(head);
        let found: Result<BTreeMap<u128, Vec<u8>>, _> =
            disk.frames().map(|item| item.map(|(id, frame)| (id, frame.to_vec()))).collect();
        match found {
            Err(error) => Some(format!("its records cannot be read: {error}")),
            Ok(found) if found != *expected => {
                Some(format!("it has {} records at {head:?}, and other ones than the log", found.len()))
            }
            Ok(_) => None,
        }
    }

    /// Whether the index has what the records give, less what is in force on this machine alone.
    fn fault_of_index(&self, machine: usize, store: &KeyStore, node: &Node, disk: &Disk) -> Option<String> {
        let engine = &store.inner().engine;
        let waiting = engine.first_uses.waiting();
        let (here, unresolved, unsettled) = {
            let state = node.state();
            let unresolved = state.unresolved.as_ref().map(|entry| entry.keys.clone()).unwrap_or_default();
            (state.here.clone(), unresolved, state.unsettled.clone())
        };
        for item in disk.named_frames() {
            let Ok((id, frame)) = item else { return Some("its roles cannot be read".into()) };
            let is_changing = self.shared().changing.values().any(|(at, changed)| {
                // A change of any key changes no role.
                *at == machine && *changed == Some(id)
            });
            if is_changing || unresolved.contains(&id) || unsettled.contains(&id) {
                continue;
            }
            let record = Kind::of(id).map(|kind| NamedRecord::decode(kind, &frame));
            let Some(Ok(record)) = record else { return Some("it has a role that cannot be read".into()) };
            let expected = narrowed(here.get(&id), id, Some(&record)).ok();
            let found = engine.index.allowance_of(id).ok();
            if found != expected {
                let name = record.name();
                return Some(format!("its index differs from its record of {name}: {found:?}, and not {expected:?}"));
            }
        }
        for item in disk.records(None) {
            let Ok((id, frame)) = item else { return Some("its records cannot be read".into()) };
            let (is_changing, known, is_idempotent) = {
                let shared = self.shared();
                let mut changing = shared.changing.values().filter(|(at, _)| *at == machine);
                let is_changing = changing.any(|(_, key)| key.is_none_or(|key| key == id));
                let known: Vec<Digest> = shared.history.secrets(id).copied().collect();
                let key = shared.promises.keys.iter().find(|key| key.id.as_u128() == id);
                (is_changing, known, key.is_none_or(|key| key.is_idempotent))
            };
            // What a change removes before it is in the log comes back if it does not get there.
            if is_changing || unresolved.contains(&id) || unsettled.contains(&id) {
                continue;
            }
            let mut record: Record = match codec::decode(&frame) {
                Ok(record) => record,
                Err(error) => return Some(error.to_string()),
            };
            for first in waiting.iter().filter(|first| first.id == id) {
                let change = engine.change_of(id, first.action());
                if let Ok(Applied::Changed { after: Some(after), .. }) = apply(Some(&record), &change) {
                    record = *after;
                }
            }
            let mut key = match engine.effective(&record) {
                Ok(key) => key,
                Err(error) => return Some(error.to_string()),
            };
            if let Some(here) = here.get(&id)
                && let Err(error) = here.narrow(engine, &record, &mut key)
            {
                return Some(error.to_string());
            }
            let is_used = |digest: &Digest| record.secrets.iter().any(|secret| secret.digest == *digest && secret.used);
            for digest in &known {
                // The index notes a first use that ends nothing, where what it would end has ended already.
                let may_be_unused = is_idempotent || !is_used(digest);
                if let Some(fault) = engine.index.fault_of(&key, digest, may_be_unused) {
                    return Some(format!("its index differs from its record of key {id:x}: {fault}"));
                }
            }
        }
        None
    }

    /// Checks that nothing is left over after all faults have ended, and that every replica is the same.
    pub(super) fn check_end(&self) -> Option<String> {
        let machines = self.shared().machines.len();
        let log_head = self.shared().history.head();
        for machine in 0..machines {
            let Some(store) = self.store(machine) else { return Some(format!("machine {machine} has no open store")) };
            if let Some(fault) = self.check_whole(machine, &store) {
                return Some(format!("machine {machine} at the end: {fault}"));
            }
            let node = ClusterOrder::node_of(&store.inner().engine);
            let (head, left, is_unresolved) = {
                let state = node.state();
                (state.chain.head(), state.here.clone(), state.unresolved.is_some())
            };
            if !store.is_ready() || head != log_head {
                let fault = node.state().fault.clone();
                return Some(format!(
                    "machine {machine} is at {head:?} at the end, and the log at {log_head:?}: {fault:?}"
                ));
            }
            // A replacement that the log did not get ends the secrets here for good, and says so.
            let is_said = |id: &u128| {
                let shared = self.shared();
                let key = shared.promises.keys.iter().find(|key| key.id.as_u128() == *id);
                key.is_some_and(|key| key.replaced_here.contains(&machine))
            };
            let ends_alone = |here: &HereOnly| {
                let mut ended = HereOnly::default();
                ended.end(here.ended());
                ended == *here
            };
            let unsaid = left.iter().find(|(id, here)| !ends_alone(here) || !is_said(id));
            if let Some((id, here)) = unsaid {
                return Some(format!("key {id:x} is restricted on machine {machine} alone at the end: {here:?}"));
            }
            let first_uses = store.inner().engine.first_uses.waiting();
            if !first_uses.is_empty() {
                return Some(format!("first uses are left on machine {machine} at the end: {first_uses:?}"));
            }
            if !node.state().unsettled.is_empty() {
                return Some(format!("machine {machine} has keys at the end that are not settled"));
            }
            if is_unresolved {
                return Some(format!("machine {machine} does not know at the end whether an entry is in the log"));
            }
        }
        if self.plan.course == Course::Counts
            && let Some(fault) = self.fault_of_counts()
        {
            return Some(fault);
        }
        let shared = self.shared();
        let lacks = |call: &&u64| {
            let entry = shared.promises.calls.get(call).and_then(|call| call.entry);
            entry.is_none_or(|entry| !shared.history.has(&entry))
        };
        let lost = shared.promises.acknowledged.iter().find(lacks);
        lost.map(|call| format!("the log lacks call {call} at the end, which was acknowledged"))
    }
}
