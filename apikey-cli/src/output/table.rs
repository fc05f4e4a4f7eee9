//! Columns of text, with colours.

use anstyle::{AnsiColor, Style};
use apikey_core::KeyState;
use unicode_width::UnicodeWidthStr;

use super::control::REPLACEMENT;

/// A piece of text and its style.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    fn styled(&self) -> String {
        format!("{}{}{}", self.style.render(), self.text, self.style.render_reset())
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        // A cell is part of a line.
        Self { text: text.into().replace(char::is_control, REPLACEMENT), style: Style::new() }
    }
}

/// A bold title or label.
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

/// Aligns rows: each column is as wide as its widest cell, the last one is not padded.
pub(crate) fn aligned(rows: &[Vec<Cell>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.width()).max().unwrap_or(0))
        .collect();
    let line = |row: &Vec<Cell>| {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            line.push_str(&cell.styled());
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
    fn columns_are_aligned_by_width_and_not_by_bytes() {
        let rows = [vec!["a".into(), "b".into()], vec!["äöü漢".into(), "c".into()]];
        assert_eq!(anstream::adapter::strip_str(&aligned(&rows)).to_string(), "a      b\näöü漢  c");
    }
}
