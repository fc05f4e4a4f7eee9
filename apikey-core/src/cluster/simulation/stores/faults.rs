//! What goes wrong in a run.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::ledger::{CellKind, Ledger};
use crate::cluster::protocol::removal::marked;
use crate::cluster::simulation::stores::machine::Command;
use crate::cluster::simulation::stores::model::Model;
use crate::cluster::simulation::stores::verify::{verify_everywhere, verify_some};
use crate::cluster::simulation::stores::{BOUND, GENERATION};

/// How often some keys are verified somewhere, in seconds.
const BETWEEN_VERIFICATIONS: f64 = 0.15;

pub(super) fn schedule(model: &Arc<Model>) {
    let faults = model.faults();
    repeat(model, faults.between_isolations, isolate);
    repeat(model, faults.between_pauses, pause);
    repeat(model, faults.between_restarts, restart);
    repeat(model, faults.between_restarts, back_up_machine);
    repeat(model, faults.between_marks, mark_one);
    repeat(model, faults.between_jumps, jump);
    repeat(model, faults.between_trims, trim);
    repeat(model, faults.between_full, fill_up);
    repeat(model, faults.between_returns, go_back);
    repeat(model, faults.between_returns / 2.0, |model| model.back_up());
    if faults.former > 0.0 {
        repeat(model, 10.0, |model| model.promote());
    }
    repeat(model, BETWEEN_VERIFICATIONS, |model| verify_some(model, some_machine(model)));
}

/// Does something now and then, once in `mean` seconds on average, until the run is calm.
fn repeat(model: &Arc<Model>, mean: f64, act: fn(&Arc<Model>)) {
    if !mean.is_finite() {
        return;
    }
    let span = model.scheduler.random(|random| random.span(mean));
    let repeated = model.clone();
    model.scheduler.after(Duration::from_secs_f64(span), move || {
        if !repeated.is_calm() {
            act(&repeated);
            repeat(&repeated, mean, act);
        }
    });
}

fn some_machine(model: &Model) -> usize {
    let machines = model.shared().machines.len();
    model.scheduler.random(|random| random.below(machines))
}

fn span(model: &Model, mean: f64) -> Duration {
    Duration::from_secs_f64(model.scheduler.random(|random| random.span(mean)))
}

fn isolate(model: &Arc<Model>) {
    let (machine, span) = (some_machine(model), span(model, 6.0));
    let until = model.scheduler.now() + span;
    model.shared().machines[machine].isolated_until = until;
    model.count("isolations");
    model.say(|| format!("machine {machine} is isolated for {span:?}"));
}

/// Stops a whole machine for a while. The first that it does then is to verify.
fn pause(model: &Arc<Model>) {
    let machine = some_machine(model);
    let is_short = model.scheduler.random(|random| random.chance(0.5));
    let span = span(model, if is_short { 0.5 } else { 6.0 });
    model.scheduler.pause(machine, span);
    model.count("pauses");
    model.say(|| format!("machine {machine} is paused for {span:?}"));
    let paused = model.clone();
    model.scheduler.after(span, move || verify_everywhere(&paused));
}

fn restart(model: &Arc<Model>) {
    let machine = some_machine(model);
    let kills = model.faults().kills;
    let is_killed = model.scheduler.random(|random| random.chance(kills));
    model.command(machine, if is_killed { Command::Crash } else { Command::Restart });
}

fn back_up_machine(model: &Arc<Model>) {
    model.back_up_machine(some_machine(model));
}

/// Marks a presence, for no good reason.
fn mark_one(model: &Arc<Model>) {
    let Ok(cells) = model.engine.cells(GENERATION, &[CellKind::Presence], Model::by()) else { return };
    if cells.is_empty() {
        return;
    }
    let cell = &cells[model.scheduler.random(|random| random.below(cells.len()))];
    if let Ok(Some(value)) = marked(&cell.value)
        && model.engine.swap(&cell.cell, Some(&cell.value), Some(&value), Model::by()) == Ok(true)
    {
        model.count("wrong marks");
    }
}

/// Sets the wall clock of a machine.
fn jump(model: &Arc<Model>) {
    let machine = some_machine(model);
    let ahead = model.scheduler.random(|random| random.below(800_000));
    let ahead = i64::try_from(ahead).unwrap() - 400_000;
    model.scheduler.clocks(machine, |clocks| clocks.ahead_ms = ahead);
    model.count("jumps of a wall clock");
}

/// Trims the log up to its state.
fn trim(model: &Arc<Model>) {
    let Ok(sight) = model.engine.sight(GENERATION, Model::by()) else { return };
    let Some(state) = sight.state.filter(|state| state.number > sight.floor) else { return };
    if model.engine.trim(GENERATION, state.number, Model::by()).is_ok() {
        model.count("trims");
        model.say(|| format!("the log is trimmed through {}", state.number));
    }
}

fn fill_up(model: &Arc<Model>) {
    let span = span(model, 8.0);
    model.fill_up(span);
    model.count("times full");
}

fn go_back(model: &Arc<Model>) {
    if model.go_back(BOUND + BOUND / 20) {
        model.count("returns of the engine");
        model.say(|| "the engine goes back".to_owned());
    }
}
