use proc_macro2::{TokenStream, TokenTree};

use super::table::Table;
use crate::{Files, Finding};

/// The one room that knows the database.
const STORAGE: &str = "storage/";
const DATABASE: &str = "sled";

/// The database, named in code outside of its room. Comments may name it.
pub(super) fn check(files: &Files, table: &Table, findings: &mut Vec<Finding>) {
    for (path, text) in files.rust_below(&table.folder) {
        if table.room(path).is_some_and(|room| room.name() == STORAGE) {
            continue;
        }
        // What does not parse is found elsewhere.
        let mut lines = Vec::new();
        find(text.parse().unwrap_or_default(), &mut lines);
        if let Some(line) = lines.first() {
            let more = if lines.len() > 1 { format!(", {} times", lines.len()) } else { String::new() };
            findings.push(Finding::new(path, *line, format!("only {STORAGE} of apikey-core names {DATABASE}{more}")));
        }
    }
}

fn find(tokens: TokenStream, lines: &mut Vec<usize>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => find(group.stream(), lines),
            TokenTree::Ident(name) if name == DATABASE => lines.push(name.span().start().line),
            _ => {}
        }
    }
}
