//! With every safeguard no run violates a promise; without any one of them some run does.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::base::lock::lock;
use crate::cluster::protocol::safeguards::Safeguards;
use crate::cluster::simulation::stores::plan::{Counts, Course, Plan};
use crate::cluster::simulation::stores::run;
use crate::cluster::simulation::{cases, replayed};

/// The runs of the short form.
const SEEDS: u64 = 12;
/// Within so many runs it shows that a safeguard is off.
const TRIED: u64 = 100;

/// Runs these seeds, and returns the first violation, and what was counted.
fn run_all(plan: Plan, seeds: std::ops::Range<u64>) -> (Option<(u64, String)>, Counts) {
    let (next, found) = (AtomicU64::new(seeds.start), Mutex::new((None::<(u64, String)>, Counts::default())));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || lock(&found).0.is_some() {
                        return;
                    }
                    let run = run(seed, plan);
                    let mut found = lock(&found);
                    found.1.add_all(&run.counts);
                    if let Some(violation) = run.violation
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
        let run = run(case, plan);
        println!("case {case}: {:?} {:#?}", run.violation, run.counts);
        assert_eq!(run.violation, None);
    }
    let (violation, counts) = run_all(plan, 0..seeds);
    assert_eq!(violation, None, "{counts:#?}");
    println!("{seeds} cases of stores, {:?}, in {:.1?}, violations 0: {counts:#?}", plan.course, begun.elapsed());
    assert_eq!(counts.of("tasks that did not end"), 0);
    counts
}

#[test]
fn no_run_with_faults_violates_a_promise() {
    let counts = holds(Plan::ALL);
    for name in
        ["answers: ok", "answers: only here", "kills", "restarts", "loads of the state", "verifications: accepted"]
    {
        assert!(counts.of(name) > 0, "{name}: {counts:#?}");
    }
}

#[test]
fn no_run_without_faults_violates_a_promise() {
    holds(Plan { course: Course::Smooth, ..Plan::ALL });
}

#[test]
fn a_revocation_does_not_starve() {
    let counts = holds(Plan { course: Course::Storm, ..Plan::ALL });
    assert!(counts.of("revocations") > 0, "{counts:#?}");
}

#[test]
fn it_holds_while_every_machine_rotates() {
    let counts = holds(Plan { course: Course::Rotators, ..Plan::ALL });
    assert!(counts.of("promotions") > 0, "{counts:#?}");
}

#[test]
fn it_holds_while_machines_are_without_the_engine() {
    let counts = holds(Plan { course: Course::Away, ..Plan::ALL });
    assert!(counts.of("answers: only here") > 0, "{counts:#?}");
}

#[test]
fn it_holds_when_the_engine_goes_back() {
    let counts = holds(Plan { course: Course::GoesBack, ..Plan::ALL });
    assert!(counts.of("returns of the engine") > 0, "{counts:#?}");
}

#[test]
fn it_holds_while_roles_are_edited() {
    let counts = holds(Plan { course: Course::Roles, ..Plan::ALL });
    for name in ["widenings of a role", "narrowings of a role", "restarts", "verifications: accepted"] {
        assert!(counts.of(name) > 0, "{name}: {counts:#?}");
    }
}

#[test]
fn it_holds_while_roles_are_edited_and_the_engine_goes_back() {
    let counts = holds(Plan { course: Course::RolesGoBack, ..Plan::ALL });
    assert!(counts.of("returns of the engine") > 0 && counts.of("narrowings of a role") > 0, "{counts:#?}");
}

#[test]
fn it_holds_while_replicas_cannot_be_read() {
    let counts = holds(Plan { course: Course::Unreadable, ..Plan::ALL });
    assert!(counts.of("reads of a replica that failed") > 0, "{counts:#?}");
}

#[test]
fn every_use_is_counted_once() {
    let counts = holds(Plan { course: Course::Counts, ..Plan::ALL });
    for name in ["calls with counts", "kills", "directories replaced", "runs whose counts are whole"] {
        assert!(counts.of(name) > 0, "{name}: {counts:#?}");
    }
}

/// Some run violates a promise without the safeguard, and does not with it. Runs begin with the seed `from`, not far from
/// one that does.
#[track_caller]
fn is_violated_without(course: Course, from: u64, turn_off: fn(&mut Safeguards)) {
    let whole = Plan { course, ..Plan::ALL };
    let mut plan = whole;
    turn_off(&mut plan.safeguards);
    let begun = Instant::now();
    let (violation, counts) = run_all(plan, from..from + TRIED);
    let Some((seed, what)) = violation else { panic!("nothing is violated: {counts:#?}") };
    assert_eq!(run(seed, whole).violation, None, "seed {seed}");
    println!("seed {seed} in {:.1?}: {what}", begun.elapsed());
}

#[test]
fn keys_must_be_settled_after_a_lost_race() {
    is_violated_without(Course::Rough, 2, |safeguards| safeguards.settles_after_a_lost_race = false);
}

#[test]
fn keys_must_be_settled_after_each_entry() {
    is_violated_without(Course::Rough, 2, |safeguards| safeguards.settles_each_entry = false);
}

#[test]
fn what_could_not_be_settled_must_be_settled_later() {
    is_violated_without(Course::Unreadable, 0, |safeguards| safeguards.settles_what_failed = false);
}

#[test]
fn what_an_engine_that_went_back_has_lost_must_be_given_back() {
    is_violated_without(Course::GoesBack, 100, |safeguards| safeguards.gives_back_what_is_lost = false);
}

#[test]
fn what_could_not_be_taken_must_be_given_back() {
    is_violated_without(Course::Unreadable, 0, |safeguards| safeguards.gives_back_what_it_could_not_take = false);
}

#[test]
fn an_append_without_an_answer_must_be_repeated() {
    is_violated_without(Course::Rough, 2, |safeguards| safeguards.repeats_the_same_operation = false);
}

#[test]
fn an_append_without_an_answer_must_be_resolved_first() {
    is_violated_without(Course::Rough, 2, |safeguards| safeguards.resolves_before_the_next = false);
}

#[test]
fn what_a_holder_writes_must_be_fenced() {
    is_violated_without(Course::Rotators, 300, |safeguards| safeguards.fences_what_a_holder_writes = false);
}

#[test]
fn nodes_must_pause_for_one_that_revokes() {
    is_violated_without(Course::Storm, 14, |safeguards| safeguards.pauses_for_who_waits = false);
}

#[test]
fn an_answer_that_changes_nothing_must_pass_the_barrier() {
    is_violated_without(Course::Rough, 2, |safeguards| safeguards.passes_the_barrier_for_no_change = false);
}

#[test]
fn a_revocation_must_be_kept_over_a_restart() {
    is_violated_without(Course::Away, 190, |safeguards| safeguards.keeps_revocations = false);
}

#[test]
fn kept_revocations_must_be_in_force_first() {
    is_violated_without(Course::Away, 190, |safeguards| safeguards.restores_revocations_first = false);
}

#[test]
fn kept_revocations_must_be_made_again() {
    is_violated_without(Course::Rough, 2, |safeguards| safeguards.makes_revocations_again = false);
}

#[test]
fn waiting_first_uses_must_count() {
    is_violated_without(Course::Rough, 2, |safeguards| safeguards.counts_waiting_first_uses = false);
}

#[test]
fn an_entry_must_not_give_what_is_taken_here() {
    is_violated_without(Course::Rough, 4, |safeguards| safeguards.narrows_while_applying = false);
}

#[test]
fn a_replica_that_went_back_must_count_under_another_number() {
    is_violated_without(Course::Counts, 0, |safeguards| safeguards.renumbers_what_went_back = false);
}

#[test]
fn counts_must_not_be_overtaken() {
    is_violated_without(Course::Counts, 650, |safeguards| safeguards.outwaits_late_counts = false);
}

#[test]
fn a_seed_repeats_a_run() {
    let traces: Vec<_> = (0..3).map(|seed| [run(seed, Plan::ALL).trace, run(seed, Plan::ALL).trace]).collect();
    assert!(traces.iter().all(|[one, other]| one == other), "{traces:?}");
    assert_ne!(traces[0][0], traces[1][0]);
}
