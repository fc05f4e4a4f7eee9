//! Completions and man pages, made of the command line as it is.

use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;

use crate::args::Cli;
use crate::failure::Failure;

pub(super) fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    // Into memory first: the generator stops the program where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "apikey", &mut script);
    print(&script)
}

pub(super) fn man(directory: Option<&Path>) -> Result<(), Failure> {
    if let Some(directory) = directory {
        return clap_mangen::generate_to(Cli::command(), directory).map_err(|error| Failure::file(directory, &error));
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(Failure::output)?;
    print(&page)
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(Failure::output)
}
