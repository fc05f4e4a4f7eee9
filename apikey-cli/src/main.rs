//! The command `apikey`: operators manage the keys of a store with it, also while a service has the store open. `apikey
//! --help` is the reference, docs/operations/command.md the guide.

mod args;
mod commands;
mod context;
mod examples;
mod failure;
mod identity;
mod output;
mod owner;
mod store;
mod time;

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use commands::maintenance::ClockAction;
use commands::{
    backup, bench, check, cluster, completions, console, create, events, import, init, jsonl, keys, list, maintenance,
    purge, quota, refusals, role, rotate, tenant, usage,
};
use context::Context;
use failure::{Code, Failure, readable};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let mut cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return wrong_arguments(error, &arguments),
    };
    let json = cli.json;
    if cli.quiet {
        output::be_quiet();
    }
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
        Command::List(list) => list::list(context, list),
        Command::Show(key) => keys::show(context, &key.id),
        Command::Quota(of) => quota::quota(context, of),
        Command::Rotate(rotate) => rotate::rotate(context, &rotate),
        Command::Revoke(revoke) => keys::revoke(context, revoke),
        Command::Check(check) => check::check(context, &check),
        Command::RunDue(run) => rotate::run_due(context, run),
        Command::Update(update) => keys::update(context, update),
        Command::Enable(keys) => keys::disable(context, &keys, false),
        Command::Disable(keys) => keys::disable(context, &keys, true),
        Command::Role { action } => role::role(context, action),
        Command::Tenant { action } => tenant::tenant(context, action),
        Command::Owner { action } => commands::owner::owner(context, action),
        Command::Import(import) => import::import(context, &import),
        Command::Export(export) => jsonl::export(context, &export),
        Command::ImportLines(import) => jsonl::import(context, &import),
        Command::Backup(backup) => backup::backup(context, &backup),
        Command::Restore(restore) => backup::restore(context, &restore),
        Command::Salvage(salvage) => backup::salvage(context, &salvage),
        Command::Doctor => maintenance::doctor(context),
        Command::Events(events) => events::show::events(context, &events),
        Command::Refusals(refusals) => refusals::refusals(context, &refusals),
        Command::Usage(usage) => usage::usage(context, &usage),
        Command::Purge(purge) => purge::purge(context, &purge),
        Command::PurgeEvents(purge) => purge::purge_events(context, &purge),
        Command::Clock { action: ClockAction::Accept } => maintenance::accept_clock(context),
        Command::Console(args) => console::console(context, &args),
        Command::Cluster { action } => cluster::cluster(context, action),
        Command::Bench(bench) => bench::bench(context, &bench),
        Command::Completions { shell } => completions::completions(Cli::command(), shell),
        Command::Man { dir } => completions::man(Cli::command(), dir.as_deref()),
    }
}

fn report(failure: &Failure, json: bool) {
    if failure.text.is_empty() {
        return;
    }
    let text =
        format!("{}{}", readable(&identity::named(&failure.text)), identity::hint(&failure.text).unwrap_or_default());
    if json {
        print_error(failure.code, &text);
    } else {
        output::error(&format!("apikey: {text}"));
    }
}

/// Prints an error for programs.
fn print_error(code: Code, text: &str) {
    let error = serde_json::json!({ "error": code.name(), "exit": code as u8, "text": text });
    output::error(&error.to_string());
}

/// Prints clap's error, which repeats what clap does not understand. Hides arguments that could be a key.
fn wrong_arguments(mut error: clap::Error, arguments: &[std::ffi::OsString]) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let failed = error.print().is_err_and(|error| error.kind() != std::io::ErrorKind::BrokenPipe);
        return ExitCode::from(if failed { Code::Refused as u8 } else { 0 });
    }
    if let Some(advice) = advice(&error, arguments) {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![advice.into()]));
    }
    // What a program reads has no colours.
    let json = arguments.iter().any(|argument| argument == "--json");
    let mut text = if json { error.render().to_string() } else { error.render().ansi().to_string() };
    text = readable(&text);
    for argument in arguments.iter().skip(1) {
        let argument = argument.to_string_lossy();
        if may_be_secret(&argument) {
            text = text.replace(&*argument, "[hidden]");
        }
    }
    if json {
        print_error(Code::Usage, text.trim_end());
    } else {
        output::error(text.trim_end());
    }
    ExitCode::from(Code::Usage as u8)
}

/// What to do about a word that the command takes no more of.
fn advice(error: &clap::Error, arguments: &[std::ffi::OsString]) -> Option<&'static str> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else { return None };
    if error.kind() != ErrorKind::UnknownArgument || word.starts_with('-') {
        return None;
    }
    let command =
        arguments.iter().skip(1).find_map(|argument| Cli::command().find_subcommand(argument).map(|_| argument))?;
    match command.to_str()? {
        "import" | "import-lines" => Some("the lines come from standard input: `< FILE`"),
        "enable" | "disable" | "revoke" => {
            Some("several keys are a list: `--from FILE`, or `--from -` and one id a line")
        }
        "create" | "update" => Some(
            "commas separate several values of an option, as in `orders:read,stock:read`; a text with spaces needs quotes",
        ),
        _ => None,
    }
}

fn may_be_secret(argument: &str) -> bool {
    argument.len() >= 16 && !argument.starts_with('-') && !argument.contains(['/', ':', ' '])
}
