//! Prints completions and man pages, generated from the command line's definition.

use std::io::{self, Write};
use std::path::Path;

use crate::failure::Failure;

pub(crate) fn completions(mut command: clap::Command, shell: clap_complete::Shell) -> Result<(), Failure> {
    // Into memory first: the generator panics if it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "apikey", &mut script);
    if shell == clap_complete::Shell::Fish {
        script = for_fish(&String::from_utf8_lossy(&script)).into_bytes();
    }
    print(&script)
}

/// Escapes what the generator does not: the help of a value stands in single quotes inside double quotes, where fish still
/// expands `$` and ends at `"`. Either of them keeps fish from loading the script.
fn for_fish(script: &str) -> String {
    let mut escaped = String::with_capacity(script.len());
    for line in script.lines() {
        match line.split_once(r"\t'") {
            // The last value of a list also ends the outer quotes.
            Some((value, help)) => {
                let (help, end) = help.strip_suffix('"').map_or((help, ""), |help| (help, "\""));
                escaped.extend([value, r"\t'", &help.replace('$', r"\$").replace('"', "\\\""), end]);
            }
            None => escaped.push_str(line),
        }
        escaped.push('\n');
    }
    escaped
}

pub(crate) fn man(command: clap::Command, directory: Option<&Path>) -> Result<(), Failure> {
    if let Some(directory) = directory {
        return clap_mangen::generate_to(command, directory).map_err(|error| Failure::file(directory, &error));
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).map_err(Failure::output)?;
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
    fn what_fish_expands_inside_double_quotes_is_escaped() {
        let script = "if test -z \"$cmd\"\n  -l from -a \"one\\t'`a$$` (or \"b\")'\ntwo\\t'c'\"\n";
        let escaped = "if test -z \"$cmd\"\n  -l from -a \"one\\t'`a\\$\\$` (or \\\"b\\\")'\ntwo\\t'c'\"\n";
        assert_eq!(for_fish(script), escaped);
    }
}
