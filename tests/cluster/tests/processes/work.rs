//! Changes of keys through the nodes, without an end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use super::fixture::{Fixture, Key, OnlyHere};
use apikey_testkit::random::Random;

use super::messages::{Act, Outcome, SPAN, now};
use super::model::{Change, Effect, Verdict};

/// How many keys that are good a worker has.
const KEYS: usize = 4;
const PAUSE: Duration = Duration::from_millis(15);

/// Changes the keys whose number has this remainder, of which there are so many.
pub(super) fn work(fixture: &Fixture, (worker, workers): (usize, usize), random: &mut Random, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        sleep(PAUSE);
        let able: Vec<_> =
            fixture.nodes.iter().filter(|node| node.is_open() && !node.is_away.load(Ordering::Relaxed)).collect();
        if able.is_empty() {
            continue;
        }
        let node = able[random.below(able.len())].index;
        let all = fixture.keys.read().unwrap().len();
        let mine: Vec<usize> = (0..all)
            .filter(|number| number % workers == worker)
            .filter(|number| !fixture.key(*number).lock().unwrap().is_done)
            .collect();
        let good = mine.iter().filter(|number| !fixture.key(**number).lock().unwrap().is_ending).count();
        if good < KEYS && (mine.is_empty() || random.percent(40)) {
            let number = fixture.add();
            // Whoever has the remainder changes it later.
            make(fixture, number, Effect::Create, node);
            continue;
        }
        let number = mine[random.below(mine.len())];
        let key = fixture.key(number);
        let (effect, last) = {
            let key = key.lock().unwrap();
            (next(&key, random), key.history.changes.last().and_then(|change| change.end).unwrap_or(0))
        };
        // No answer may hide between two changes.
        if let Some(left) = (last + SPAN * 2).checked_sub(now()) {
            sleep(Duration::from_nanos(left));
        }
        make(fixture, number, effect, node);
    }
}

fn next(key: &Key, random: &mut Random) -> Effect {
    // What was not acknowledged is made again.
    if key.is_ending {
        return Effect::Revoke;
    }
    let states = key.history.states();
    let state = states.last().and_then(|states| states.last()).copied().unwrap_or_default();
    match random.below(100) {
        0..30 => Effect::Revoke,
        30..55 => Effect::Disable(!state.disabled),
        55..80 => Effect::Permit(!state.write),
        _ => Effect::Rotate(key.tokens.len()),
    }
}

/// Makes a change through a node, and notes what became of it.
fn make(fixture: &Fixture, number: usize, effect: Effect, node: usize) {
    let key = fixture.key(number);
    let act = {
        let mut key = key.lock().unwrap();
        key.history.changes.push(Change { effect, node, begin: now(), end: None, verdict: Verdict::Perhaps });
        let id = key.id.clone().unwrap_or_default();
        match effect {
            Effect::Create => Act::Create,
            Effect::Revoke => {
                key.is_ending = true;
                Act::Revoke { id }
            }
            Effect::Disable(on) => Act::Disable { id, on },
            Effect::Permit(write) => Act::Permit { id, write },
            Effect::Rotate(_) => Act::Rotate { id },
        }
    };
    let run = fixture.nodes[node].run();
    let taking = usize::from(effect.takes());
    fixture.taking.fetch_add(taking, Ordering::SeqCst);
    let done = fixture.nodes[node].act(act);
    fixture.taking.fetch_sub(taking, Ordering::SeqCst);
    let mut key = key.lock().unwrap();
    let key = &mut *key;
    let token = match done.as_ref().map(|done| &done.outcome) {
        Some(Outcome::Created { token, .. } | Outcome::Rotated { token }) => Some(token.clone()),
        _ => None,
    };
    if matches!(effect, Effect::Create | Effect::Rotate(_)) {
        key.tokens.push(token);
    }
    let change = key.history.changes.last_mut().unwrap();
    let Some(done) = done else { return };
    change.begin = done.begin;
    match done.outcome {
        Outcome::Created { id, everywhere, .. } => {
            (change.end, change.verdict) = (Some(done.end), Verdict::Yes { everywhere });
            key.id = Some(id);
            key.is_done = false;
        }
        Outcome::Rotated { .. } => (change.end, change.verdict) = (Some(done.end), Verdict::Yes { everywhere: true }),
        Outcome::Changed { everywhere } => {
            (change.end, change.verdict) = (Some(done.end), Verdict::Yes { everywhere });
            key.is_done |= effect == Effect::Revoke;
        }
        Outcome::OnlyHere { kept } => {
            // Without a disk of its own a node keeps nothing when it ends.
            let is_kept = kept && fixture.nodes[node].replica().is_some();
            key.only_here.push(OnlyHere { node, run: (!is_kept).then_some(run), since: done.end });
        }
        Outcome::Failed(_) => {}
        other => panic!("{other:?}"),
    }
    if matches!(effect, Effect::Create | Effect::Rotate(_)) {
        fixture.watch(number, key, key.tokens.len() - 1);
    }
}
