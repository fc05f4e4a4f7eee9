//! The calls of a revocation grow with the nodes, and of nothing with their square but rows; and the table of the documentation.

use std::time::Duration;

use crate::cluster::simulation::sizing::engine::{Call, Costs, SINGLE, STANDBY};
use crate::cluster::simulation::sizing::{Plan, Simulation};

const SIZES: [usize; 6] = [3, 10, 30, 100, 300, 1000];
/// `max_staleness`, in seconds.
const BOUNDS: [u64; 2] = [30, 5];
/// Revocations a second at which an engine is tried.
const RATES: [f64; 9] = [0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0];
/// An engine that works more than this part of the time has no end of what waits for it.
const FULL: f64 = 0.97;
/// So many revocations that wait are the end, too.
const WAITING: u64 = 50;

impl Plan {
    fn new(nodes: usize, seconds: u64, costs: Costs) -> Self {
        let bound = Duration::from_secs(seconds);
        let network = Duration::from_micros(500);
        Self { nodes, bound, costs, cores: 2, network, is_shared: false, has_timers: true }
    }
}

#[test]
fn the_calls_of_a_revocation_grow_as_the_nodes_do() {
    for nodes in [3, 10, 30, 100] {
        let mut simulation = Simulation::new(Plan { has_timers: false, ..Plan::new(nodes, 30, STANDBY) }, 1);
        simulation.run(Duration::from_secs(1));
        for (number, n) in [0, nodes - 1, nodes / 2].into_iter().enumerate() {
            let before = simulation.counts.clone();
            simulation.revoke(n);
            simulation.run(Duration::from_secs(10));
            let counts = &simulation.counts;
            assert_eq!((counts.waits.len(), counts.waited_out, counts.lost), (number + 1, 0, 0));
            assert_eq!(counts.woken - before.woken, nodes as u64);
            let made = |call| counts.of(call) - before.of(call);
            assert_eq!((made(Call::Append), made(Call::Notify)), (1, 1));
            // Each node reads, acknowledges, and waits again: also the one that revokes, whose read finds nothing more.
            assert_eq!([Call::Read, Call::Note, Call::Wait].map(made), [nodes as u64; 3], "{nodes} nodes");
            // Seven glances follow an exact list.
            let (exact, glances) = (made(Call::Cells), made(Call::Glance));
            assert_eq!(exact, 1 + glances / 8 + u64::from(glances % 8 == 7 && exact > 1 + glances / 8));
            let rows = |call| counts.rows_of(call) - before.rows_of(call);
            assert_eq!((rows(Call::Cells), rows(Call::Glance)), (exact * 2 * nodes as u64, glances * nodes as u64));
            assert_eq!((made(Call::Look), made(Call::Sight), made(Call::Advance)), (0, 0, 0));
        }
    }
}

#[test]
fn the_calls_without_changes_grow_as_the_nodes_do() {
    for nodes in [3, 10, 100] {
        for seconds in BOUNDS {
            let mut simulation = Simulation::new(Plan::new(nodes, seconds, STANDBY), 2);
            simulation.run(Duration::from_secs(30));
            let made = |call| simulation.counts.of(call);
            let near = |call, expected: usize| {
                let made = usize::try_from(made(call)).unwrap();
                assert!(
                    made <= expected + nodes && made + nodes + expected / 20 >= expected,
                    "{call:?}: {made}, and not {expected}"
                );
            };
            // A tenth of the bound, or half a second; lists are at least a second apart, and two with a hundred nodes.
            let (looks, lists) = if seconds == 30 { (10, 10) } else { (60, if nodes == 100 { 15 } else { 30 }) };
            near(Call::Look, looks * nodes);
            near(Call::Wait, looks * nodes);
            near(Call::Read, looks * nodes);
            near(Call::Cells, lists * (nodes - 1) + 30);
            near(Call::Sight, 60);
            assert_eq!(made(Call::Append) + made(Call::Note) + made(Call::Glance) + made(Call::Advance), 0);
            assert_eq!((simulation.counts.closed, simulation.counts.unanswered), (0, 0));
        }
    }
}

#[test]
fn a_revocation_returns_on_an_engine_that_has_the_time_for_it() {
    let mut simulation = Simulation::new(Plan::new(30, 5, STANDBY), 3);
    simulation.revoke_for(Duration::from_secs(10), 2.0);
    simulation.run(Duration::from_secs(20));
    let counts = &simulation.counts;
    assert!(counts.begun > 5 && counts.waits.len() as u64 == counts.begun, "{counts:?}");
    assert_eq!((counts.waited_out, counts.failed, counts.closed, counts.unanswered), (0, 0, 0, 0));
    assert_eq!(counts.state, simulation.nodes[0].chain.head().number, "the janitor moves the state");
}

/// What a cluster does at so many revocations a second.
struct Outcome {
    share: f64,
    has_ended: bool,
    simulation: Simulation,
}

fn outcome(plan: Plan, rate: f64, span: Duration) -> Outcome {
    let mut simulation = Simulation::new(plan, 7);
    // Until the threads have begun.
    simulation.run(Duration::from_secs(10));
    simulation.counts = Default::default();
    let worked = simulation.engine.worked;
    if rate > 0.0 {
        simulation.revoke_for(span, rate);
    }
    let begun = simulation.now;
    while simulation.now < begun + span {
        simulation.run(Duration::from_secs(1));
        // Nothing is learnt from a longer line.
        if simulation.counts.begun - simulation.counts.waits.len() as u64 > WAITING {
            break;
        }
    }
    let span = simulation.now - begun;
    let worked = simulation.engine.worked.saturating_sub(worked);
    let share = worked.as_secs_f64() / span.as_secs_f64() / plan.cores as f64;
    if rate > 0.0 {
        let mut counted = simulation.counts.clone();
        simulation.run(Duration::from_secs(5));
        counted.waits = std::mem::take(&mut simulation.counts.waits);
        simulation.counts = counted;
    }
    let counts = &simulation.counts;
    let has_ended = share > FULL
        || (counts.waits.len() as u64) < counts.begun
        || counts.waited_out + counts.failed + counts.closed + counts.unanswered > 0;
    Outcome { share, has_ended, simulation }
}

impl Outcome {
    /// The calls of each kind, less those of another run, by so many.
    fn calls(&self, less: Option<(&Self, f64)>, by: f64) -> String {
        let of = |call| {
            let less = less.map_or(0.0, |(less, times)| less.simulation.counts.of(call) as f64 * times);
            (self.simulation.counts.of(call) as f64 - less) / by
        };
        let calls: Vec<String> = Call::ALL.iter().map(|call| format!("{} {:.2}", call.name(), of(*call))).collect();
        format!("{:.1}: {}", Call::ALL.iter().map(|call| of(*call)).sum::<f64>(), calls.join(", "))
    }

    fn times(&self) -> String {
        let percentile = |percent| self.simulation.counts.percentile(percent).unwrap_or_default();
        let ended = if self.has_ended { ", ENDED" } else { "" };
        let counts = &self.simulation.counts;
        format!(
            "p50 {:.1?}, p99 {:.1?}, busy {:.1} %{ended} ({} begun, {} returned, {} waited out, {} lost, {} failed, {} looks late, {} gates closed)",
            percentile(50),
            percentile(99),
            self.share * 100.0,
            counts.begun,
            counts.waits.len(),
            counts.waited_out,
            counts.lost,
            counts.failed,
            counts.unanswered,
            counts.closed,
        )
    }
}

#[test]
fn the_table() {
    let up_to: Option<usize> = std::env::var("APIKEY_SIMULATED_NODES").ok().map(|nodes| nodes.parse().unwrap());
    let (seconds_each, rates) = if up_to.is_some() { (30, &RATES[..]) } else { (2, &[][..]) };
    let span = Duration::from_secs(seconds_each);
    for costs in [SINGLE, STANDBY] {
        for seconds in BOUNDS {
            for nodes in SIZES.into_iter().filter(|nodes| *nodes <= up_to.unwrap_or(3)) {
                let plan = Plan::new(nodes, seconds, costs);
                let head = format!("{}, {seconds} s, {nodes} nodes", costs.name);
                let idle = outcome(plan, 0.0, span);
                println!(
                    "{head}: busy {:.1} % without changes, calls a second {}",
                    idle.share * 100.0,
                    idle.calls(None, seconds_each as f64)
                );
                if nodes <= 30 && seconds == 30 {
                    let shared = Plan { is_shared: true, network: Duration::ZERO, ..plan };
                    println!(
                        "{head}, on the machine of the engine, 1 a second: {}",
                        outcome(shared, 1.0, 4 * span).times()
                    );
                }
                for (rate, times) in [(1.0, 2), (10.0, 1)] {
                    let busy = outcome(plan, rate, times * span);
                    let begun = busy.simulation.counts.begun as f64;
                    println!("{head}, {rate} a second: {}", busy.times());
                    println!(
                        "    a revocation wakes {:.1}, and makes calls: {}",
                        busy.simulation.counts.woken as f64 / begun,
                        busy.calls(Some((&idle, f64::from(times))), begun)
                    );
                }
                let last = rates.iter().take_while(|rate| !outcome(plan, **rate, span).has_ended).last();
                println!("{head}: the last rate of {rates:?} that it bears: {last:?}");
            }
        }
    }
}
