//! Histories of nodes that are processes: what three of them answer while nodes, servers and the network between them fail.
//!
//! `APIKEY_CLUSTER_RUNS=500 cargo test -p apikey-cluster-tests --test cluster -- processes::postgres --nocapture` is the long
//! form, and `processes::etcd` that of the other engine: so many runs with a fault inside a barrier, and counts at the end. It
//! prints its seed; `APIKEY_SEED=<number>` has the same faults again, and `APIKEY_CLUSTER_HISTORY=<number>` one history of
//! them. `APIKEY_CLUSTER_BESIDE=<number>` is how many histories there are at a time: they wait more than they work.
//!
//! A history is *regular*: a verification gives an answer that is right before or after each change that is under way
//! meanwhile, and one that is right after each that has been acknowledged. 503 is always right.

mod check;
mod child;
mod faults;
mod fixture;
mod messages;
mod model;
mod network;
mod node;
mod replicas;
mod servers;
mod tally;
mod work;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use apikey_cluster_tests::proxy::Traffic;
use apikey_testkit::power::Style;
use apikey_testkit::random::{Random, seed};

use self::child::ran_as_node;
use self::faults::{Fault, NodeFault, ServerFault, between};
use self::fixture::Fixture;
use self::messages::Engine;
use self::replicas::Replica;
use self::servers::Former;
use self::tally::Tally;
use self::work::work;

const NODES: usize = 3;
const WORKERS: usize = 2;
/// How many changes are acknowledged after the faults of a run, if it does not take too long.
const CHANGES_AFTERWARDS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(30);
/// After so many runs everything begins anew.
const RUNS_OF_A_FIXTURE: usize = 12;

/// Up to where everything has been checked.
#[derive(Default)]
struct Checked {
    time: u64,
    event: u64,
}

mod postgres {
    use super::*;

    #[test]
    fn no_process_accepts_what_another_has_taken_away() {
        let fast = Duration::from_millis(700);
        let short = [
            vec![
                Fault::of_servers("promoted", ServerFault::Promote(Former::RunsOn)),
                Fault::of_node("network lost", 1, NodeFault::Network(Traffic::HeldToNode, fast)),
            ],
            vec![Fault::of_node("power lost", 0, NodeFault::PowerLoss { style: Style::Dropped, down: fast })],
            vec![Fault::of_node("paused", 2, NodeFault::PauseBeyondBound)],
        ];
        histories(Engine::Postgres, "processes::postgres::no_process_accepts_what_another_has_taken_away", &short);
    }
}

mod etcd {
    use super::*;

    #[test]
    fn no_process_accepts_what_another_has_taken_away() {
        let fast = Duration::from_millis(700);
        let short = [
            vec![
                Fault::of_servers("leader killed", ServerFault::KillLeader { down: fast }),
                Fault::of_node("network lost", 1, NodeFault::Network(Traffic::HeldToNode, fast)),
            ],
            vec![Fault::of_servers("set back", ServerFault::SetBack { meanwhile: fast })],
            vec![Fault::of_node("paused", 2, NodeFault::PauseBeyondBound)],
        ];
        histories(Engine::Etcd, "processes::etcd::no_process_accepts_what_another_has_taken_away", &short);
    }
}

fn histories(engine: Engine, test: &str, short: &[Vec<Fault>]) {
    if ran_as_node() {
        return;
    }
    let begun = Instant::now();
    let tally = match std::env::var("APIKEY_CLUSTER_RUNS") {
        Err(_) => {
            let mut tally = Tally::default();
            run_fixture(engine, test, NODES, short, &mut Random::new(seed()), &mut tally);
            tally
        }
        Ok(text) => long_form(engine, test, text.parse().unwrap()),
    };
    println!("processes: {engine:?}: {tally}; {:.0?}", begun.elapsed());
    let counts = &tally.counts;
    assert!(counts.violations.is_empty(), "{:#?}", counts.violations);
    assert!(
        counts.accepted > 0 && counts.refused > 0 && counts.acknowledged > 0 && tally.idle < tally.runs,
        "nothing happened"
    );
}

/// Histories, some at a time, until so many runs had a fault inside a barrier.
fn long_form(engine: Engine, test: &str, wanted: usize) -> Tally {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = seed();
    let (only, beside) = (number("APIKEY_CLUSTER_HISTORY"), number("APIKEY_CLUSTER_BESIDE").unwrap_or(1));
    println!("processes: {engine:?}: {wanted} runs, APIKEY_SEED={seed}");
    let begun = Instant::now();
    let (all, next) = (Mutex::new(Tally::default()), AtomicU64::new(only.unwrap_or(0)));
    let is_over = |tally: &Tally| tally.runs - tally.idle >= wanted || !tally.counts.violations.is_empty();
    let histories = || {
        while !is_over(&all.lock().unwrap()) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let mut random = Random::fork(seed, number);
            // Another history has a node without a disk of its own.
            let on_disk = NODES - random.below(2);
            let plan = (1..=RUNS_OF_A_FIXTURE)
                .map(|run| faults::some(engine, (NODES, on_disk), run == RUNS_OF_A_FIXTURE, &mut random));
            let plan: Vec<_> = plan.collect();
            let mut tally = Tally::default();
            let history = || run_fixture(engine, test, on_disk, &plan, &mut random, &mut tally);
            if catch_unwind(AssertUnwindSafe(history)).is_err() {
                let what = format!("history {number} panics after {} of {plan:?}", tally.runs);
                tally.counts.violate(|counts| &mut counts.broken, what);
            }
            let mut all = all.lock().unwrap();
            all.add(tally);
            println!("processes: {engine:?}: history {number}, after {:.0?}: {all}", begun.elapsed());
            if only.is_some() {
                return;
            }
        }
    };
    thread::scope(|scope| (0..beside).for_each(|_| drop(scope.spawn(histories))));
    let all = all.into_inner().unwrap();
    let never = faults::table(engine).map(|kind| kind.name).filter(|name| !all.faults.contains_key(name));
    println!("processes: {engine:?}: kinds that never happened: {:?}", never.collect::<Vec<_>>());
    all
}

/// Stops the workers when a run ends, also by a panic.
struct StopsAtItsEnd<'s>(&'s AtomicBool);

impl Drop for StopsAtItsEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a cluster through faults, one group after the other.
fn run_fixture(
    engine: Engine,
    test: &str,
    on_disk: usize,
    plan: &[Vec<Fault>],
    random: &mut Random,
    tally: &mut Tally,
) {
    let fixture = Fixture::start(engine, test, on_disk);
    let mut checked = Checked::default();
    if let Err(why) = fixture.recover() {
        panic!("the nodes do not open: {why}");
    }
    for faults in plan {
        tally.runs += 1;
        let begun = Instant::now();
        if let Err(why) = run(&fixture, faults, random, &mut checked, tally) {
            let what = format!("run {}, after {faults:?}: {why}", tally.runs);
            tally.counts.violate(|counts| &mut counts.broken, what);
            return;
        }
        println!("processes: {engine:?}: run {}: {faults:?}: {:.1?}", tally.runs, begun.elapsed());
    }
    fixture.nodes.iter().for_each(node::Node::close);
    let replicas: Vec<_> =
        fixture.nodes.iter().filter_map(node::Node::replica).map(|path| Replica::read(path)).collect();
    assert!(replicas.iter().all(|replica| replica.records() > 0));
    for replica in &replicas[1..] {
        if let Some(difference) = replica.difference(&replicas[0]) {
            tally.counts.violate(|counts| &mut counts.broken, format!("replicas differ: {difference}"));
        }
    }
    tally.replicas += replicas.len();
}

/// Changes keys through all nodes while these faults happen, and checks everything once they are over.
fn run(
    fixture: &Fixture,
    faults: &[Fault],
    random: &mut Random,
    checked: &mut Checked,
    tally: &mut Tally,
) -> Result<(), String> {
    let stop = AtomicBool::new(false);
    let mut randoms = [(); WORKERS].map(|()| Random::new(random.number()));
    let mut waits = Random::new(random.number());
    let spans: Vec<(u64, u64)> = thread::scope(|scope| {
        let _stops = StopsAtItsEnd(&stop);
        for (worker, random) in randoms.iter_mut().enumerate() {
            let stop = &stop;
            scope.spawn(move || work(fixture, (worker, WORKERS), random, stop));
        }
        thread::sleep(between(&mut waits, 300, 900));
        let happening: Vec<_> = faults
            .iter()
            .map(|fault| {
                let happens = scope.spawn(|| fault.happen(fixture));
                thread::sleep(between(&mut waits, 50, 1_500));
                happens
            })
            .collect();
        let spans = happening.into_iter().map(|happens| happens.join().unwrap()).collect();
        let enough = fixture.acknowledged() + CHANGES_AFTERWARDS;
        let end = Instant::now() + PATIENCE;
        while fixture.acknowledged() < enough && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
        spans
    });
    if fixture.had_barrier_in(&spans) {
        for fault in faults {
            *tally.faults.entry(fault.kind).or_default() += 1;
        }
    } else {
        tally.idle += 1;
    }
    fixture.recover()?;
    fixture.are_in_step();
    // What they verify now has all that was acknowledged.
    thread::sleep(Duration::from_millis(100));
    let now = messages::now();
    tally.counts.check_answers(fixture, checked.time);
    let dumps = fixture.dumps()?;
    tally.counts.check_dumps(fixture, &dumps, checked.event);
    *checked = Checked { time: now, event: dumps[0].applied };
    Ok(())
}
