//! Opens the store that its argument names, and prints the result.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else { return ExitCode::from(2) };
    match apikey_core::KeyStore::open(path) {
        Ok(_) => println!("opened"),
        Err(error) => println!("refused: {error}"),
    }
    ExitCode::SUCCESS
}
