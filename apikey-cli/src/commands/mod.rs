//! What each command does: one file for each thing that a user does.

pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod check;
mod completions;
pub(crate) mod create;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod jsonl;
pub(crate) mod key_args;
pub(crate) mod key_list;
pub(crate) mod keys;
pub(crate) mod maintenance;
mod new_secret;
pub(crate) mod rotate;

use clap::CommandFactory;

use crate::args::{Cli, Command};
use crate::context::Context;
use crate::failure::Failure;
use maintenance::ClockAction;

pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    let context = &Context { store: cli.store, json: cli.json };
    match cli.command {
        Command::Init(init) => init::init(context, init),
        Command::Create(create) => create::create(context, create),
        Command::List(list) => keys::list(context, list),
        Command::Show(key) => keys::show(context, &key.id),
        Command::Rotate(rotate) => rotate::rotate(context, &rotate),
        Command::Revoke(revoke) => keys::revoke(context, revoke),
        Command::Check(check) => check::check(context, &check),
        Command::RunDue(run) => rotate::run_due(context, run),
        Command::Update(update) => keys::update(context, update),
        Command::Enable(keys) => keys::disable(context, &keys, false),
        Command::Disable(keys) => keys::disable(context, &keys, true),
        Command::Import(import) => import::import(context, &import),
        Command::Export(export) => jsonl::export(context, &export),
        Command::ImportLines(import) => jsonl::import(context, &import),
        Command::Backup(backup) => backup::backup(context, &backup),
        Command::Restore(restore) => backup::restore(context, &restore),
        Command::Salvage(salvage) => backup::salvage(context, &salvage),
        Command::Doctor => maintenance::doctor(context),
        Command::Events(events) => maintenance::events(context, events),
        Command::Purge(before) => maintenance::purge(context, before.before),
        Command::PurgeEvents(before) => maintenance::purge_events(context, before.before),
        Command::Clock { action: ClockAction::Accept } => maintenance::accept_clock(context),
        Command::Bench(bench) => bench::bench(context, &bench),
        Command::Completions { shell } => completions::completions(Cli::command(), shell),
        Command::Man { dir } => completions::man(Cli::command(), dir.as_deref()),
    }
}
