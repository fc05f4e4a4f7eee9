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
    if shell == clap_complete::Shell::Fish {
        script = for_fish(&String::from_utf8_lossy(&script)).into_bytes();
    }
    print(&script)
}

/// Escapes what the generator leaves as it is: the help of a value stands between single quotes inside of double ones, where
/// fish goes on reading `$` and `"`. One of them, and it loads nothing of the script.
fn for_fish(script: &str) -> String {
    let mut mended = String::with_capacity(script.len());
    for line in script.lines() {
        match line.split_once(r"\t'") {
            // The last value of a list ends the outer quotes as well.
            Some((value, help)) => {
                let (help, end) = help.strip_suffix('"').map_or((help, ""), |help| (help, "\""));
                mended.extend([value, r"\t'", &help.replace('$', r"\$").replace('"', "\\\""), end]);
            }
            None => mended.push_str(line),
        }
        mended.push('\n');
    }
    mended
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fish_would_read_inside_of_double_quotes_is_escaped() {
        let script = "if test -z \"$cmd\"\n  -l from -a \"one\\t'`a$$` (or \"b\")'\ntwo\\t'c'\"\n";
        let mended = "if test -z \"$cmd\"\n  -l from -a \"one\\t'`a\\$\\$` (or \\\"b\\\")'\ntwo\\t'c'\"\n";
        assert_eq!(for_fish(script), mended);
    }
}
