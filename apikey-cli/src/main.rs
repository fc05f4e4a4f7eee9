//! The command `apikey`: operators manage the keys of a store with it, also while a service has the store open. `apikey
//! --help` is the reference, docs/operations.md the guide.

mod args;
mod commands;
mod context;
mod failure;
mod identity;
mod output;
mod owner;
mod store;
mod time;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use commands::maintenance::ClockAction;
use commands::{backup, bench, check, completions, create, import, init, jsonl, keys, maintenance, rotate};
use context::Context;
use failure::{Code, Failure};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let mut cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return wrong_arguments(&error, &arguments),
    };
    let json = cli.json;
    match owner::become_owner(&mut cli).and_then(|()| run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure, json);
            ExitCode::from(failure.code as u8)
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
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

fn report(failure: &Failure, json: bool) {
    if failure.text.is_empty() {
        return;
    }
    let text = format!("{}{}", identity::named(&failure.text), identity::hint(&failure.text).unwrap_or_default());
    // The store's owner chooses the names of the files in it, and root may read this at a terminal.
    let text = text.replace(|letter: char| letter.is_control() && letter != '\n', "\u{fffd}");
    if json {
        let error = serde_json::json!({ "error": failure.code.name(), "exit": failure.code as u8, "text": text });
        output::note(&error.to_string());
    } else {
        output::note(&format!("apikey: {text}"));
    }
}

/// Prints clap's error, which repeats what clap does not understand. Hides arguments that could be a key.
fn wrong_arguments(error: &clap::Error, arguments: &[std::ffi::OsString]) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let shown = error.print().is_ok();
        return ExitCode::from(if shown { 0 } else { Code::Refused as u8 });
    }
    let mut text = error.render().ansi().to_string();
    for argument in arguments.iter().skip(1) {
        let argument = argument.to_string_lossy();
        if may_be_secret(&argument) {
            text = text.replace(&*argument, "[hidden]");
        }
    }
    output::note(text.trim_end());
    ExitCode::from(Code::Usage as u8)
}

fn may_be_secret(argument: &str) -> bool {
    argument.len() >= 16 && !argument.starts_with('-') && !argument.contains(['/', ':', ' '])
}
