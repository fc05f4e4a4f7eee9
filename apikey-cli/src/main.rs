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
