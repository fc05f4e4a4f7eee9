//! Prints everything that does not fit the layout and the glossary, whatever the tests still exempt.

use std::process::ExitCode;

use apikey_architecture::{Files, book, built, contributing, layout, lines, links, pages, words};

const USAGE: &str = "\
Usage: cargo run -p apikey-architecture [-- layout | words | pages | links | book | built | contributing | lines] [PATH/]...

Prints what does not fit docs/internals/layout.md, docs/internals/glossary.md, the paths in them and the links, summary and
blocks of code of the book, below each PATH/ or everywhere.
`lines` prints how many files and lines each room has. REPOSITORY=DIR reads another checkout.
`REPOSITORY=target/book .. built` reads a book that mdBook has built, and prints its links that lead nowhere.";

fn main() -> ExitCode {
    let mut arguments: Vec<_> = std::env::args().skip(1).collect();
    let what = arguments.first().filter(|first| !first.contains('/')).cloned();
    arguments.drain(..usize::from(what.is_some()));
    let files = match std::env::var_os("REPOSITORY")
        .map_or_else(Files::of_this_repository, |root| Files::read(root.as_ref()))
    {
        Ok(files) => files,
        Err(error) => {
            eprintln!("the repository cannot be read: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut findings = match what.as_deref() {
        None => [layout, words, pages, links, book, contributing].map(|check| check(&files)).concat(),
        Some("layout") => layout(&files),
        Some("words") => words(&files),
        Some("pages") => pages(&files),
        Some("links") => links(&files),
        Some("book") => book(&files),
        Some("built") => built(&files),
        Some("contributing") => contributing(&files),
        Some("lines") => {
            print!("{}", lines(&files));
            return ExitCode::SUCCESS;
        }
        Some("-h" | "--help") => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some(other) => {
            eprintln!("{other}: not known\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    findings.retain(|finding| arguments.is_empty() || arguments.iter().any(|path| finding.path.starts_with(path)));
    for finding in &findings {
        println!("{finding}");
    }
    eprintln!("{} findings", findings.len());
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
