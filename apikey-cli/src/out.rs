//! What goes to standard output: one JSON document for machines, text for people.
//!
//! What a store holds, or a service answers, is the choice of whoever has the service's account, and root may read it at a
//! terminal: no control character of it gets there.

use std::borrow::Cow;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use apikey_core::KeyState;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::failure::Failure;
use crate::owner::{named, named_in_json};

/// One document, in one line.
pub(crate) fn json(document: &impl Serialize) -> Result<(), Failure> {
    let document = serde_json::to_string(document).map_err(io::Error::from).map_err(Failure::output)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", escaped(&named_in_json(&document))).and_then(|()| out.flush()).map_err(Failure::output)
}

/// Text, with its colours on a terminal only (and without them under `NO_COLOR`).
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{}", harmless(&named(text))).and_then(|()| out.flush()).map_err(Failure::output)
}

/// For people, beside what standard output has. That it cannot be written is no reason to fail.
pub(crate) fn note(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{}", harmless(&named(text)));
}

/// Without control characters, but for line ends and colours.
fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(|letter: char| letter.is_control() && letter != '\n') {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let length = colour(rest).unwrap_or(letter.len_utf8());
        let (now, then) = rest.split_at(length);
        let is_refused = length == letter.len_utf8() && letter.is_control() && letter != '\n';
        shown.push_str(if is_refused { REPLACEMENT } else { now });
        rest = then;
    }
    shown.into()
}

/// What stands for a control character.
const REPLACEMENT: &str = "\u{fffd}";

/// The length of the colour that the text begins with.
fn colour(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\u{1b}[")?;
    let end = numbers.find(|letter: char| !letter.is_ascii_digit() && letter != ';')?;
    numbers.get(end..)?.starts_with('m').then_some(end + 3)
}

/// JSON as it came from serde, which leaves those control characters that are two bytes long, and the last of ASCII.
fn escaped(document: &str) -> Cow<'_, str> {
    if !document.contains(char::is_control) {
        return document.into();
    }
    let mut shown = String::with_capacity(document.len());
    for letter in document.chars() {
        match letter.is_control() {
            true => shown.push_str(&format!("\\u{:04x}", u32::from(letter))),
            false => shown.push(letter),
        }
    }
    shown.into()
}

/// A piece of text and how it looks.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    fn shown(&self) -> String {
        format!("{}{}{}", self.style.render(), self.text, self.style.render_reset())
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        // It is in a line with others.
        Self { text: text.into().replace(char::is_control, REPLACEMENT), style: Style::new() }
    }
}

/// Bold, for titles and labels.
pub(crate) fn title(text: &str) -> Cell {
    Cell { text: text.to_owned(), style: Style::new().bold() }
}

pub(crate) fn state(state: KeyState) -> Cell {
    let colour = match state {
        KeyState::Active => AnsiColor::Green,
        KeyState::Expired | KeyState::Revoked => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    };
    Cell { text: state.name().to_owned(), style: colour.on_default() }
}

pub(crate) fn good(good: bool, text: &str) -> Cell {
    let colour = if good { AnsiColor::Green } else { AnsiColor::Red };
    Cell { text: text.to_owned(), style: colour.on_default() }
}

/// Rows with columns as wide as their widest cell; the last column has no end.
pub(crate) fn aligned(rows: &[Vec<Cell>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.width()).max().unwrap_or(0))
        .collect();
    let line = |row: &Vec<Cell>| {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            line.push_str(&cell.shown());
            if at + 1 < row.len() {
                line.push_str(&" ".repeat(width.saturating_sub(cell.text.width()) + 2));
            }
        }
        line
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_gets_to_a_terminal_but_colours() {
        let own = aligned(&[vec![title("owner"), state(KeyState::Active), "b\n\u{1b}[2Jx\u{9b}31m".into()]]);
        assert_eq!(harmless(&own), own);
        assert!(own.ends_with("b\u{fffd}\u{fffd}[2Jx\u{fffd}31m"), "{own:?}");
        assert_eq!(harmless("a\u{1b}[1mb\u{1b}[0m\nü"), "a\u{1b}[1mb\u{1b}[0m\nü");
        assert_eq!(
            harmless("\u{1b}]52;c;\u{7}\u{1b}[\u{1b}[1\u{1b}[3H\r"),
            "\u{fffd}]52;c;\u{fffd}\u{fffd}[\u{fffd}[1\u{fffd}[3H\u{fffd}"
        );
        let document = serde_json::to_string("a\u{1b}\u{7f}\u{9b}ü").unwrap();
        assert_eq!(escaped(&document), "\"a\\u001b\\u007f\\u009bü\"");
        assert_eq!(serde_json::from_str::<String>(&escaped(&document)).unwrap(), "a\u{1b}\u{7f}\u{9b}ü");
    }

    #[test]
    fn columns_are_aligned_by_width_and_not_by_bytes() {
        let rows = [vec!["a".into(), "b".into()], vec!["äöü漢".into(), "c".into()]];
        assert_eq!(anstream::adapter::strip_str(&aligned(&rows)).to_string(), "a      b\näöü漢  c");
    }
}
