//! Columns of text, with colours.

use anstyle::{AnsiColor, Style};
use apikey_core::KeyState;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::control::{REPLACEMENT, is_unsafe};

/// The spaces between two columns.
pub(super) const GAP: usize = 2;

/// A piece of text and its style.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
    /// What a narrow terminal shows instead.
    short: Option<String>,
}

impl Cell {
    /// The cell with a form for narrow terminals.
    pub(crate) fn or_short(self, short: impl Into<String>) -> Self {
        Self { short: Some(one_line(&short.into())), ..self }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn width(&self) -> usize {
        self.text.width()
    }

    pub(super) fn short_width(&self) -> usize {
        self.short.as_ref().map_or_else(|| self.width(), |short| short.width())
    }

    /// Takes the short form if the text is wider than this.
    pub(super) fn take_short_form(&mut self, width: usize) {
        if self.width() > width
            && let Some(short) = self.short.take()
        {
            self.text = short;
        }
    }

    /// Splits the text into cells no wider than this, between words where it can.
    pub(super) fn wrapped(&self, width: usize) -> Vec<Self> {
        let mut lines = vec![String::new()];
        for word in self.text.split(' ') {
            let line = lines.last_mut().map_or("", |line| line.as_str());
            let gap = usize::from(!line.is_empty());
            if line.width() + gap + word.width() <= width || line.is_empty() && word.is_empty() {
                if let Some(line) = lines.last_mut() {
                    line.push_str(&" ".repeat(gap));
                }
            } else if !line.is_empty() {
                lines.push(String::new());
            }
            for letter in word.chars() {
                if lines.last().is_some_and(|line| line.width() + letter.width().unwrap_or(0) > width) {
                    lines.push(String::new());
                }
                if let Some(line) = lines.last_mut() {
                    line.push(letter);
                }
            }
        }
        lines.into_iter().map(|text| Self { text, style: self.style, short: None }).collect()
    }

    /// Ends the text with `…` if it is wider than this.
    pub(super) fn shorten(&mut self, width: usize) {
        if self.text.width() > width {
            self.truncate(width.saturating_sub(1));
            self.text.push('…');
        }
    }

    /// Cuts the text to a width.
    pub(super) fn truncate(&mut self, width: usize) {
        let mut taken = 0;
        let end = self.text.char_indices().find(|(_, letter)| {
            taken += letter.width().unwrap_or(0);
            taken > width
        });
        if let Some((end, _)) = end {
            self.text.truncate(end);
        }
    }

    fn styled(&self) -> String {
        format!("{}{}{}", self.style.render(), self.text, self.style.render_reset())
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: one_line(&text.into()), style: Style::new(), short: None }
    }
}

/// Returns a text for a part of a line. It replaces characters that would end the line, or do other harm.
pub(crate) fn one_line(text: &str) -> String {
    text.replace(is_unsafe, REPLACEMENT)
}

/// A bold title or label.
pub(crate) fn title(text: &str) -> Cell {
    Cell { text: text.to_owned(), style: Style::new().bold(), short: None }
}

pub(crate) fn state(state: KeyState) -> Cell {
    let colour = match state {
        KeyState::Active => AnsiColor::Green,
        KeyState::Expired | KeyState::Idle | KeyState::Revoked => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    };
    Cell { text: state.name().to_owned(), style: colour.on_default(), short: None }
}

pub(crate) fn good(good: bool, text: &str) -> Cell {
    let colour = if good { AnsiColor::Green } else { AnsiColor::Red };
    Cell { text: text.to_owned(), style: colour.on_default(), short: None }
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
                line.push_str(&" ".repeat(width.saturating_sub(cell.text.width()) + GAP));
            }
        }
        line
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The least room beside a label that is worth a column.
const LEAST_VALUE: usize = 20;

/// Aligns labels and their values within a width: a value goes on in further lines, and below its label where there is
/// no room beside it.
pub(super) fn block(rows: &[Vec<Cell>], width: Option<usize>) -> String {
    let label = rows.iter().filter_map(|row| row.first()).map(Cell::width).max().unwrap_or(0);
    let Some(width) = width else { return aligned(rows) };
    let beside = width.saturating_sub(label + GAP);
    if beside >= LEAST_VALUE {
        let lines = rows.iter().flat_map(|row| {
            let label = row.first().cloned().into_iter().chain(std::iter::repeat(Cell::from("")));
            label
                .zip(row.iter().skip(1).flat_map(move |value| value.wrapped(beside)))
                .map(|(label, line)| vec![label, line])
        });
        return aligned(&lines.collect::<Vec<_>>());
    }
    let mut lines = Vec::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            let indent = if at == 0 { 0 } else { GAP };
            let parts = cell.wrapped(width.saturating_sub(indent).max(1));
            lines.extend(parts.iter().map(|part| format!("{}{}", " ".repeat(indent), part.styled())));
        }
    }
    lines.join("\n")
}

/// `1 key`, `2 keys`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_width_and_not_by_bytes() {
        let rows = [vec!["a".into(), "b".into()], vec!["äöü漢".into(), "c".into()]];
        assert_eq!(anstream::adapter::strip_str(&aligned(&rows)).to_string(), "a      b\näöü漢  c");
    }

    #[test]
    fn a_block_keeps_within_its_width_and_loses_nothing() {
        let value = "orders:read orders:write 01931a4e-7c3b-7def-8123-456789abcdef 漢字漢字漢字";
        let rows = [vec![title("permissions"), value.into()], vec![title("name"), "-".into()]];
        let all: String = value.replace(' ', "");
        for width in 4..100 {
            let text = anstream::adapter::strip_str(&block(&rows, Some(width))).to_string();
            assert!(text.lines().all(|line| line.trim_end().width() <= width), "{width}: {text}");
            assert!(text.replace([' ', '\n'], "").contains(&all), "{width}: {text}");
        }
        let text = anstream::adapter::strip_str(&block(&rows, Some(40))).to_string();
        assert!(text.starts_with("permissions  orders:read orders:write\n             01931a4e"), "{text}");
    }
}
