//! What each command does.

mod bench;
mod care;
mod check;
mod copies;
mod due;
mod first;
mod import;
mod keys;
mod lines;
mod listed;
mod manual;
mod secrets;

use std::str::FromStr;

use apikey_core::KeyId;

use crate::args::{Cli, Clock, Command};
use crate::backend::Backend;
use crate::failure::Failure;
use crate::opening::Opening;

/// What every command needs.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) opening: Opening,
    pub(crate) json: bool,
}

impl Context {
    /// Opens the store, or asks the service that has it open; does the work, and closes the store whatever came of it.
    pub(crate) fn with_store<T>(
        &self,
        create: bool,
        work: impl FnOnce(&mut Backend) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut store = self.opening.open(create, !self.json)?;
        let outcome = work(&mut store);
        if outcome.is_ok() && !self.json {
            store.tell_of_disk();
        }
        let closed = store.close();
        let value = outcome?;
        closed?;
        Ok(value)
    }
}

/// An id as it was typed. What is no id is not repeated: it may be a key.
pub(crate) fn id(text: &str) -> Result<KeyId, Failure> {
    KeyId::from_str(text).map_err(|error| Failure::usage(error.to_string()))
}

pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    let context = &Context { opening: cli.opening, json: cli.json };
    match cli.command {
        Command::Init(init) => first::init(context, init),
        Command::Create(create) => secrets::create(context, create),
        Command::List(list) => keys::list(context, list),
        Command::Show(of) => keys::show(context, &of.id),
        Command::Rotate(rotate) => secrets::rotate(context, &rotate),
        Command::Revoke(revoke) => keys::revoke(context, revoke),
        Command::Check(check) => check::check(context, &check),
        Command::RunDue(run) => due::run(context, run),
        Command::Update(update) => keys::update(context, update),
        Command::Enable(of) => keys::disable(context, &of, false),
        Command::Disable(of) => keys::disable(context, &of, true),
        Command::Import(import) => import::import(context, &import),
        Command::Export(export) => lines::export(context, &export),
        Command::ImportLines(import) => lines::import(context, &import),
        Command::Backup(backup) => copies::backup(context, &backup),
        Command::Restore(restore) => copies::restore(context, &restore),
        Command::Salvage(salvage) => copies::salvage(context, &salvage),
        Command::Doctor => care::doctor(context),
        Command::Events(events) => care::events(context, events),
        Command::Purge(before) => care::purge(context, before.before),
        Command::PurgeEvents(before) => care::purge_events(context, before.before),
        Command::Clock { action: Clock::Accept } => care::accept_clock(context),
        Command::Bench(bench) => bench::bench(context, &bench),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { dir } => manual::man(dir.as_deref()),
    }
}
