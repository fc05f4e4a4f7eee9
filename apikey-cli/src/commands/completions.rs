//! Prints completions and man pages, generated from the command line's definition.

use std::path::Path;

use crate::failure::Failure;
use crate::output;

pub(crate) fn completions(mut command: clap::Command, shell: clap_complete::Shell) -> Result<(), Failure> {
    // Into memory first: the generator panics if it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "apikey", &mut script);
    if shell == clap_complete::Shell::Fish {
        script = for_fish(&String::from_utf8_lossy(&script)).into_bytes();
    }
    output::bytes(&script)
}

/// Escapes what the generator does not: the help of a value stands in single quotes inside double quotes, where fish
/// still expands `$` and ends at `"`. Either of them keeps fish from loading the script.
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
        return pages(command, directory).map_err(|error| Failure::file(directory, &error));
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).map_err(Failure::output)?;
    output::bytes(&page)
}

/// Writes a page for each command, with the examples under the title where readers look for them.
fn pages(command: clap::Command, directory: &Path) -> std::io::Result<()> {
    // `help` has nothing to say that the pages do not.
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let without_help = |command: clap::Command| command.disable_help_subcommand(true);
    let mut command =
        names.iter().fold(without_help(command), |command, name| command.mut_subcommand(name, without_help));
    command.build();
    let names = command.get_subcommands().map(|command| format!("apikey-{}.1", command.get_name())).collect::<Vec<_>>();
    clap_mangen::generate_to(command, directory)?;
    for name in names {
        let path = directory.join(name);
        let Ok(page) = std::fs::read_to_string(&path) else { continue };
        std::fs::write(path, page.replace(".SH EXTRA\nExamples:\n", ".SH EXAMPLES\n"))?;
    }
    Ok(())
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
