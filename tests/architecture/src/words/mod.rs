//! The words: what `docs/internals/glossary.md` says not to write.

mod entry;
mod names;
mod text;

use std::collections::HashMap;

use crate::{Files, Finding, GLOSSARY};

use entry::{Entry, Scope};

/// A word of a file, in small letters.
#[derive(Debug)]
struct Word {
    text: String,
    line: usize,
    /// Nothing but blanks, `_` or the start of a comment is between it and the word before.
    follows: bool,
    /// Of the name of a struct, an enum, a trait or an alias.
    is_type: bool,
}

/// Each place in the repository that uses a word of the table's first column.
#[must_use]
pub fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    let entries = Entry::read_all(files, &mut findings);
    let terms = |scope| Terms::new(&entries, scope);
    let (names, texts, openings) = (terms(Scope::Name), terms(Scope::Text), terms(Scope::Opening));
    for (path, content) in files.iter() {
        let is_row = |line: usize| path == GLOSSARY && entries.iter().any(|entry| entry.line == line);
        let lines = || content.lines().zip(1..).filter(|(_, number)| !is_row(*number));
        let words: Vec<_> = lines().flat_map(|(line, number)| text::words(line, number)).collect();
        let path_words = names::of_path(path);
        texts.find(path, &path_words, &mut findings);
        texts.find(path, &words, &mut findings);
        names.find(path, &path_words, &mut findings);
        if path.ends_with(".rs") {
            names.find(path, &names::defined(content), &mut findings);
            openings.find(path, &text::openings(lines()), &mut findings);
        }
    }
    for entry in entries.iter().filter(|entry| entry.scope == Scope::File) {
        for path in entry.spans.iter().filter(|path| files.has(path)) {
            findings.push(entry.finding(path, 0, "this name"));
        }
    }
    findings.sort();
    findings.dedup();
    findings
}

/// The terms of one scope, by their first word.
struct Terms<'a>(HashMap<&'a str, Vec<(&'a [String], &'a Entry)>>);

impl<'a> Terms<'a> {
    fn new(entries: &'a [Entry], scope: Scope) -> Self {
        let mut terms: HashMap<&str, Vec<(&[String], &Entry)>> = HashMap::new();
        for entry in entries.iter().filter(|entry| entry.scope.is(scope)) {
            for term in &entry.terms {
                if let Some(first) = term.first() {
                    terms.entry(first).or_default().push((term, entry));
                }
            }
        }
        Self(terms)
    }

    fn find(&self, path: &str, words: &[Word], findings: &mut Vec<Finding>) {
        for (place, word) in words.iter().enumerate() {
            for (term, entry) in self.0.get(word.text.as_str()).into_iter().flatten() {
                if is_at(words, place, term)
                    && is_where(words, place, term.len(), entry.scope)
                    && !entry.allows(path)
                    && !is_allowed(words, place, term.len(), entry)
                {
                    findings.push(entry.finding(path, word.line, &format!("`{}`", term.join(" "))));
                }
            }
        }
    }
}

/// Whether these words stand together at this place.
fn is_at(words: &[Word], place: usize, phrase: &[String]) -> bool {
    words.get(place..place + phrase.len()).is_some_and(|found| {
        found
            .iter()
            .zip(phrase)
            .enumerate()
            .all(|(at, (word, wanted))| word.text == *wanted && (at == 0 || word.follows))
    })
}

/// Whether the scope means this place.
fn is_where(words: &[Word], place: usize, length: usize, scope: Scope) -> bool {
    match scope {
        Scope::WholeName => is_whole(words, place, length),
        Scope::Type => words.get(place).is_some_and(|word| word.is_type) && is_whole(words, place, length),
        Scope::Opening => is_opening(words, place),
        Scope::Comment => is_opening(words, place) && is_whole(words, place, length),
        Scope::Text | Scope::Name | Scope::File => true,
    }
}

/// Whether neither the word before nor the one after belongs to these.
fn is_whole(words: &[Word], place: usize, length: usize) -> bool {
    words.get(place).is_some_and(|first| !first.follows) && words.get(place + length).is_none_or(|next| !next.follows)
}

/// Whether a documentation comment begins here.
fn is_opening(words: &[Word], place: usize) -> bool {
    place.checked_sub(1).and_then(|before| words.get(before)).is_some_and(|before| before.text.is_empty())
}

/// Whether the words are part of a phrase that is allowed.
fn is_allowed(words: &[Word], place: usize, length: usize, entry: &Entry) -> bool {
    entry.allowed.iter().any(|phrase| {
        let first = (place + length).saturating_sub(phrase.len());
        (first..=place).any(|start| is_at(words, start, phrase))
    })
}
