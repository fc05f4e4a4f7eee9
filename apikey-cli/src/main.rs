//! `apikey`: keys of a store, for operators, also while a service has it open. `apikey --help` is the guide, docs/operations.md
//! walks through it.

mod args;
mod backend;
mod commands;
mod delivery;
mod failure;
mod findings;
mod key_view;
mod moment;
mod occupant;
mod opening;
mod out;
mod owner;
mod progress;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::Cli;
use failure::{Code, Failure};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let mut cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return wrong_arguments(&error, &arguments),
    };
    let json = cli.json;
    match owner::become_owner(&mut cli).and_then(|()| commands::run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure, json);
            ExitCode::from(failure.code as u8)
        }
    }
}

fn report(failure: &Failure, json: bool) {
    if failure.text.is_empty() {
        return;
    }
    let text = format!("{}{}", owner::named(&failure.text), owner::hint(&failure.text).unwrap_or_default());
    // Whoever owns the store names the files in it, and root may read this at a terminal.
    let text = text.replace(|letter: char| letter.is_control() && letter != '\n', "\u{fffd}");
    if json {
        let error = serde_json::json!({ "error": failure.code.name(), "exit": failure.code as u8, "text": text });
        out::note(&error.to_string());
    } else {
        out::note(&format!("apikey: {text}"));
    }
}

/// clap repeats what it does not understand. What could be a key somebody typed is left out.
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
    out::note(text.trim_end());
    ExitCode::from(Code::Usage as u8)
}

fn may_be_secret(argument: &str) -> bool {
    argument.len() >= 16 && !argument.starts_with('-') && !argument.contains(['/', ':', ' '])
}
