//! With every safeguard no run violates the promise; without any one of them some run does.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::base::lock::lock;
use crate::cluster::protocol::safeguards::Safeguards;
use crate::cluster::simulation::protocol::plan::{Counts, Course, Machine, Plan, Practice};
use crate::cluster::simulation::protocol::run;
use crate::cluster::simulation::{cases, replayed};

/// The runs of the short form.
const SEEDS: u64 = 30;
/// Within so many runs a safeguard that is off is found.
const TRIED: u64 = 600;

const TIGHT: Plan = Plan { course: Course::Tight, ..Plan::ALL };
const RESTLESS: Plan = Plan { course: Course::Restless, ..Plan::ALL };

/// Runs these seeds, and returns the first violation, and what was counted.
fn run_all(plan: Plan, seeds: u64) -> (Option<(u64, String)>, Counts) {
    let (next, found) = (AtomicU64::new(0), Mutex::new((None::<(u64, String)>, Counts::default())));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds || lock(&found).0.is_some() {
                        return;
                    }
                    let (violation, counts) = run(seed, plan);
                    let mut found = lock(&found);
                    found.1.add(&counts);
                    if let Some(violation) = violation
                        && found.0.as_ref().is_none_or(|(first, _)| seed < *first)
                    {
                        found.0 = Some((seed, violation));
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

#[track_caller]
fn holds(plan: Plan) -> Counts {
    let (seeds, begun) = (cases(SEEDS), Instant::now());
    if let Some(case) = replayed() {
        let (violation, counts) = run(case, plan);
        println!("case {case}: {violation:?} {counts:#?}");
        assert_eq!(violation, None);
    }
    let (violation, counts) = run_all(plan, seeds);
    assert_eq!(violation, None);
    println!("{seeds} cases of the protocol in {:.0?}, violations 0: {counts:#?}", begun.elapsed());
    counts
}

/// Some seed is violated by this plan, and is not by the other.
#[track_caller]
fn is_violated(plan: Plan, whole: Plan) {
    let (violation, counts) = run_all(plan, TRIED);
    let Some((seed, what)) = violation else { panic!("nothing is violated: {counts:#?}") };
    assert_eq!(run(seed, whole).0, None, "seed {seed}");
    println!("seed {seed}: {what}");
}

#[track_caller]
fn is_violated_without(whole: Plan, turn_off: fn(&mut Safeguards)) {
    let mut plan = whole;
    turn_off(&mut plan.safeguards);
    is_violated(plan, whole);
}

#[track_caller]
fn is_violated_by(turn_off: fn(&mut Practice)) {
    let mut plan = Plan::ALL;
    turn_off(&mut plan.practice);
    is_violated(plan, Plan::ALL);
}

#[test]
fn no_node_serves_without_what_holds_everywhere() {
    let counts = holds(Plan::ALL);
    for name in [
        "barriers: acknowledged",
        "barriers: waited out",
        "presences removed",
        "former presences deleted",
        "wrong marks",
        "restarts",
        "promotions",
    ] {
        assert!(counts.of(name) > SEEDS, "{name}: {counts:#?}");
    }
    assert!(counts.of("verifications") > 10 * SEEDS, "{counts:#?}");
}

#[test]
fn without_faults_every_barrier_is_short() {
    let counts = holds(Plan { course: Course::Smooth, ..Plan::ALL });
    assert_eq!(counts.of("barriers: waited out"), 0);
    assert!(counts.of("barriers: acknowledged") > 10 * SEEDS, "{counts:#?}");
    assert!(counts.longest_barrier < 10.0, "{counts:#?}");
}

#[test]
fn it_holds_when_the_engine_goes_back_in_time() {
    let counts = holds(Plan { goes_back: true, ..Plan::ALL });
    assert!(counts.of("returns of the engine") > SEEDS, "{counts:#?}");
}

/// A clock that stands still while its machine sleeps, such as the monotonic clock of the standard library.
const SLEEPS: Machine = Machine { counts_pauses: false, ..Machine::GOOD };

#[test]
fn the_wall_clock_shows_that_the_other_clock_stood_still() {
    holds(Plan { machine: SLEEPS, ..Plan::ALL });
}

/// A wall clock that stands still while its machine sleeps, and one that does not.
const FORGETS: Machine = Machine { has_a_wall_clock: false, ..Machine::GOOD };

#[test]
fn the_other_clock_shows_that_the_wall_clock_stood_still() {
    holds(Plan { machine: FORGETS, ..Plan::ALL });
}

#[test]
fn it_holds_at_the_very_end_of_a_bound() {
    let counts = holds(TIGHT);
    assert!(counts.of("barriers: waited out") > SEEDS, "{counts:#?}");
}

#[test]
fn it_holds_while_nodes_come_and_go() {
    let counts = holds(RESTLESS);
    assert!(counts.of("leaves") > 10 * SEEDS, "{counts:#?}");
}

#[test]
fn the_clocks_of_a_machine_must_not_all_stand_still() {
    let machine = Machine { has_a_wall_clock: false, ..SLEEPS };
    is_violated(Plan { machine, ..Plan::ALL }, Plan::ALL);
}

#[test]
fn the_pace_of_a_clock_must_not_be_far_off() {
    is_violated(Plan { machine: Machine { drift: 0.04, ..Machine::GOOD }, ..TIGHT }, TIGHT);
}

#[test]
fn a_look_that_found_the_node_unlisted_must_not_count() {
    is_violated_without(Plan::ALL, |safeguards| safeguards.counts_listed_looks_only = false);
}

#[test]
fn a_registration_must_not_count_as_a_look() {
    is_violated_without(RESTLESS, |safeguards| safeguards.looks_after_registration = false);
}

#[test]
fn marked_nodes_must_be_waited_for() {
    is_violated_without(Plan::ALL, |safeguards| safeguards.waits_for_marked = false);
}

#[test]
fn a_former_presence_must_stay_until_all_that_waits_for_it_is_applied() {
    is_violated_without(Plan::ALL, |safeguards| safeguards.keeps_former_until_replaced = false);
}

#[test]
fn a_marked_presence_must_stay_for_the_bound() {
    is_violated_without(Plan::ALL, |safeguards| safeguards.keeps_marked_for_the_bound = false);
}

#[test]
fn a_look_must_be_dated_from_its_sending() {
    is_violated_without(Plan::ALL, |safeguards| safeguards.dates_looks_from_sending = false);
}

#[test]
fn what_a_look_saw_must_be_applied_before_it_counts() {
    is_violated_without(Plan::ALL, |safeguards| safeguards.applies_before_fresh = false);
}

#[test]
fn only_what_is_settled_must_count() {
    is_violated_without(Plan::ALL, |safeguards| safeguards.counts_what_is_settled = false);
}

#[test]
fn a_barrier_must_last_for_the_bound() {
    is_violated_without(Plan::ALL, |safeguards| safeguards.waits_out_the_bound = false);
}

#[test]
fn clocks_of_different_pace_must_be_allowed_for() {
    is_violated_without(TIGHT, |safeguards| safeguards.allows_for_drift = false);
}

#[test]
fn nodes_must_be_listed_after_the_append() {
    is_violated_without(Plan::ALL, |safeguards| safeguards.lists_after_the_append = false);
}

#[test]
fn a_node_must_be_gone_by_the_exact_list() {
    is_violated_without(Plan::ALL, |safeguards| safeguards.ends_by_the_list = false);
}

#[test]
fn the_gate_must_not_be_a_flag() {
    is_violated_without(Plan { machine: FORGETS, ..Plan::ALL }, |safeguards| safeguards.gate_is_a_deadline = false);
}

#[test]
fn a_node_must_close_before_it_leaves() {
    is_violated_without(RESTLESS, |safeguards| safeguards.closes_before_leaving = false);
}

#[test]
fn the_gate_must_watch_the_wall_clock_where_the_other_clock_may_stand_still() {
    is_violated_without(Plan { machine: SLEEPS, ..Plan::ALL }, |safeguards| {
        safeguards.gate_watches_the_wall_clock = false
    });
}

#[test]
fn digests_must_be_compared_in_case_the_engine_goes_back() {
    is_violated_without(Plan { goes_back: true, ..Plan::ALL }, |safeguards| safeguards.compares_digests = false);
}

#[test]
fn a_look_must_reach_what_was_applied_in_case_the_engine_goes_back() {
    is_violated_without(Plan { goes_back: true, ..Plan::ALL }, |safeguards| {
        safeguards.looks_reach_what_was_applied = false
    });
}

#[test]
fn the_gate_must_be_read_before_the_key() {
    is_violated_by(|practice| practice.reads_the_gate_first = false);
}

#[test]
fn a_barrier_must_begin_after_the_answer() {
    is_violated_by(|practice| practice.begins_the_barrier_after_the_answer = false);
}

#[test]
fn an_answer_that_changes_nothing_must_pass_the_barrier() {
    is_violated_by(|practice| practice.passes_the_barrier_for_no_change = false);
}

#[test]
fn an_answer_that_changes_nothing_must_be_confirmed_by_a_new_sight() {
    is_violated_by(|practice| practice.confirms_with_a_new_sight = false);
}

#[test]
fn an_append_without_an_answer_must_be_repeated_as_it_was() {
    is_violated_by(|practice| practice.repeats_the_same_entry = false);
}
