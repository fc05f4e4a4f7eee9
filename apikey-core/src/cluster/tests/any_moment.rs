//! An engine that goes back to any moment, while its nodes are as far as they happen to be.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::faulty::Faulty;
use super::went_back::{agree, refused};
use super::{eventually, node};
use crate::cluster::{Cluster, MemoryLedger};
use crate::{CreatedKey, KeyStore, KeyUpdate, NewKey, Overlap, Propagation};

const NODES: usize = 3;

/// What a node does to the key of this number.
#[derive(Debug, Clone, Copy)]
enum Step {
    Create,
    Revoke(usize),
    Disable(usize),
    Rotate(usize),
    Rename(usize),
    /// The node hears nothing of the log from now on, but for its own changes.
    Isolate,
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let key = 0..12usize;
    let step = prop_oneof![
        4 => Just(Step::Create),
        3 => key.clone().prop_map(Step::Revoke),
        2 => key.clone().prop_map(Step::Disable),
        2 => key.clone().prop_map(Step::Rotate),
        2 => key.prop_map(Step::Rename),
        1 => Just(Step::Isolate),
    ];
    (0..NODES, step)
}

/// A key, and what it lost by a change that returned `Ok`.
struct Known {
    key: CreatedKey,
    is_taken: bool,
}

struct Run {
    ledger: MemoryLedger,
    engines: Vec<Faulty>,
    nodes: Vec<KeyStore>,
    known: Vec<Known>,
}

impl Run {
    fn new() -> Self {
        let ledger = MemoryLedger::new();
        let engines: Vec<_> = (0..NODES).map(|_| Faulty::new(&ledger)).collect();
        let nodes = engines.iter().enumerate().map(|(at, engine)| {
            let cluster = Cluster::new(engine.clone()).name(format!("node{at}")).max_staleness(Duration::from_secs(5));
            KeyStore::builder().cluster(cluster.write_timeout(Duration::from_secs(1))).temporary().unwrap()
        });
        let nodes = nodes.collect();
        Self { ledger, engines, nodes, known: Vec::new() }
    }

    /// Makes a change on a node, which may fail.
    fn step(&mut self, at: usize, step: Step) {
        let store = self.nodes[at].propagating(Propagation::Here);
        let known = self.known.len();
        let of = |key: usize| (known > 0).then(|| key % known);
        match step {
            Step::Create => {
                if let Ok(key) = store.create(NewKey::for_owner("alice")) {
                    self.known.push(Known { key, is_taken: false });
                }
            }
            Step::Revoke(key) | Step::Disable(key) | Step::Rotate(key) | Step::Rename(key) => {
                let Some(key) = of(key) else { return };
                let known = &mut self.known[key];
                let id = known.key.info.id();
                known.is_taken |= match step {
                    Step::Revoke(_) => store.revoke(id, "leaked").is_ok(),
                    Step::Disable(_) => store.update(id, KeyUpdate::new().disabled(true)).is_ok(),
                    Step::Rotate(_) => store.rotate(id, Overlap::None).is_ok(),
                    _ => {
                        let _ = store.update(id, KeyUpdate::new().name("ci"));
                        false
                    }
                };
            }
            // One node stays, so that changes go on.
            Step::Isolate if at > 0 => self.engines[at].refuse(true),
            Step::Isolate => {}
        }
    }

    /// Whether each key was taken when the engine had this.
    fn taken(&self) -> BTreeMap<usize, bool> {
        self.known.iter().enumerate().map(|(at, known)| (at, known.is_taken)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    /// Whatever a change took from a key and returned `Ok`, no node accepts again, in whichever moment the engine was set
    /// back, and whether or not somebody used what it had then.
    #[test]
    fn nothing_that_was_taken_is_accepted_again(
        before in prop::collection::vec(step(), 1..12),
        after in prop::collection::vec(step(), 1..24),
        forks in any::<bool>(),
    ) {
        let mut run = Run::new();
        before.into_iter().for_each(|(at, step)| run.step(at, step));
        let backup = run.ledger.backup();
        after.into_iter().for_each(|(at, step)| run.step(at, step));
        let taken = run.taken();
        if forks {
            // Nobody brings anything back before somebody has used what the engine has now.
            run.engines.iter().for_each(|engine| engine.refuse(true));
        }
        run.ledger.go_back(&backup);
        let stranger = forks.then(|| node(&run.ledger, "stranger"));
        if let Some(stranger) = &stranger {
            stranger.create_many((0..3).map(|_| NewKey::for_owner("bob"))).unwrap();
        }
        run.engines.iter().for_each(|engine| engine.refuse(false));
        let nodes: Vec<&KeyStore> = run.nodes.iter().chain(&stranger).collect();
        eventually("every node looked", || nodes.iter().all(|store| {
            let health = store.health().cluster.unwrap();
            health.stopped.is_none() && health.recovering.is_none() && health.engine_error.is_none()
        }));
        agree(&nodes);
        for store in nodes {
            for (at, is_taken) in &taken {
                prop_assert!(!is_taken || refused(store, &run.known[*at].key).is_some(), "key {}", at);
            }
        }
    }
}
