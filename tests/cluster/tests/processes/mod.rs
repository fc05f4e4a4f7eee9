//! Histories of nodes that are processes: what three of them answer while nodes, servers and the network between them fail.
//!
//! `APIKEY_CLUSTER_FAULTS=100 cargo test -p apikey-cluster-tests --test cluster -- processes --nocapture` is the long form: so
//! many faults or more, and counts at the end. It prints its seed; `APIKEY_SEED=<number>` has the same faults again.
//!
//! A history is *regular*: a verification gives an answer that is right before or after each change that is under way
//! meanwhile, and one that is right after each that has been acknowledged. 503 is always right.

mod check;
mod child;
mod faults;
mod fixture;
mod messages;
mod model;
mod node;
mod replicas;
mod servers;
mod work;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use apikey_cluster_tests::proxy::Traffic;
use apikey_testkit::power::Style;
use apikey_testkit::random::{Random, seed};

use self::check::Counts;
use self::child::ran_as_node;
use self::faults::{Fault, NodeFault, ServerFault, between};
use self::fixture::Fixture;
use self::replicas::Replica;
use self::servers::Former;
use self::work::work;

const TEST: &str = "processes::no_process_accepts_what_another_has_taken_away";
const WORKERS: usize = 2;
/// How many changes are acknowledged after the faults of a run, if it does not take too long.
const CHANGES_AFTERWARDS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(30);
/// After so many runs everything begins anew.
const RUNS_OF_A_FIXTURE: usize = 12;

#[derive(Default)]
struct Tally {
    counts: Counts,
    faults: BTreeMap<&'static str, usize>,
    runs: usize,
    /// Runs without a change that waited for the other nodes while something was wrong: they prove nothing.
    idle: usize,
    replicas: usize,
}

/// Up to where everything has been checked.
#[derive(Default)]
struct Checked {
    time: u64,
    event: u64,
}

#[test]
fn no_process_accepts_what_another_has_taken_away() {
    if ran_as_node() {
        return;
    }
    let begun = Instant::now();
    let mut tally = Tally::default();
    match std::env::var("APIKEY_CLUSTER_FAULTS") {
        Err(_) => {
            let fast = Duration::from_millis(700);
            let plan = [
                vec![
                    Fault::Servers(ServerFault::Promote(Former::RunsOn)),
                    Fault::Node(1, NodeFault::Network(Traffic::HeldToNode, fast)),
                ],
                vec![Fault::Node(0, NodeFault::PowerLoss { style: Style::Dropped, down: fast })],
                vec![Fault::Node(2, NodeFault::PauseBeyondBound)],
            ];
            run_fixture(&plan, &mut Random::new(seed()), true, &mut tally);
        }
        Ok(text) => {
            let (faults, seed) = (text.parse::<usize>().unwrap(), seed());
            println!("processes: {faults} faults, APIKEY_SEED={seed}");
            let mut random = Random::new(seed);
            let mut plan = Vec::new();
            while plan.iter().map(Vec::len).sum::<usize>() < faults {
                plan.push(Fault::some(&mut random, 3));
            }
            for plan in plan.chunks(RUNS_OF_A_FIXTURE) {
                let all_on_disk = random.percent(50);
                run_fixture(plan, &mut random, all_on_disk, &mut tally);
                println!("processes: {} runs in {:.0?}: {:?}", tally.runs, begun.elapsed(), tally.counts);
            }
        }
    }
    let Tally { counts, faults, runs, idle, replicas } = tally;
    println!(
        "processes: {runs} runs, {idle} of them without a fault inside a barrier; {} faults {faults:?}; verifications: {} accepted, {} \
         refused, {} unavailable; changes: {} acknowledged, {} failed; {} late accepts, {} wrong refusals, {} lost changes, {} \
         other differences; {replicas} replicas compared by their bytes; {:.0?}",
        faults.values().sum::<usize>(),
        counts.accepted,
        counts.refused,
        counts.unavailable,
        counts.acknowledged,
        counts.failed,
        counts.late,
        counts.wrongly_refused,
        counts.lost,
        counts.broken,
        begun.elapsed(),
    );
    assert!(counts.violations.is_empty(), "{:#?}", counts.violations);
    assert!(counts.accepted > 0 && counts.refused > 0 && counts.acknowledged > 0 && idle < runs, "nothing happened");
}

/// Stops the workers when a run ends, also by a panic.
struct StopsAtItsEnd<'s>(&'s AtomicBool);

impl Drop for StopsAtItsEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a cluster through faults, one group after the other.
fn run_fixture(plan: &[Vec<Fault>], random: &mut Random, all_on_disk: bool, tally: &mut Tally) {
    let fixture = Fixture::start(TEST, all_on_disk);
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
        println!("processes: run {}: {faults:?}: {:.1?}", tally.runs, begun.elapsed());
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
    for fault in faults {
        *tally.faults.entry(fault.kind()).or_default() += 1;
    }
    if !fixture.had_barrier_in(&spans) {
        tally.idle += 1;
    }
    fixture.recover()?;
    // What they verify now has all that was acknowledged.
    thread::sleep(Duration::from_millis(100));
    let now = messages::now();
    tally.counts.check_answers(fixture, checked.time);
    let dumps = fixture.dumps()?;
    tally.counts.check_dumps(fixture, &dumps, checked.event);
    *checked = Checked { time: now, event: dumps[0].applied };
    Ok(())
}
