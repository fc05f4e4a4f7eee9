//! Fits a table to a terminal: it narrows columns, leaves out those that matter least, or continues rows on further
//! lines.

use super::print::note;
use super::table::{self, Cell, GAP};
use crate::failure::Failure;

/// A width at which texts are still distinguishable; only a narrow terminal gets less.
const COMFORTABLE: usize = 20;
/// The minimum width of a text.
const LEAST: usize = 8;
/// The width of an id that is kept as long as a column can go instead: the time and twelve random bits.
const GOOD_ID: usize = 18;
/// The minimum width of an id: the time in milliseconds.
const LEAST_ID: usize = 13;
/// The spaces before the lines that continue a row.
const INDENT: usize = 2;

/// How a column gets narrower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Narrowing {
    /// It keeps its width.
    Never,
    /// Texts end with `…`.
    Text,
    /// Ids are cut to as many first characters as distinguish those of the table; a command finds a key by them.
    Id,
    /// Its cells take their short form.
    Short,
}

/// The columns that a narrow terminal leaves out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeavingOut {
    /// The titles, in the order in which the columns go. All others stay.
    pub(crate) order: &'static [&'static str],
    /// How many of them, from the first on, go before ids get very short.
    pub(crate) dispensable: usize,
    /// How to see what is left out.
    pub(crate) advice: &'static str,
}

/// Prints a table, no wider than the terminal if standard output is one. A note names the columns that it leaves out;
/// where it may leave out none, rows continue on further lines.
pub(crate) fn print(
    columns: &[(&'static str, Narrowing)],
    rows: Vec<Vec<Cell>>,
    leaving_out: Option<&LeavingOut>,
) -> Result<(), Failure> {
    let (text, left_out) = fitted(columns, rows, terminal(), leaving_out);
    super::text(&text)?;
    if let Some(leaving_out) = leaving_out.filter(|_| !left_out.is_empty()) {
        let advice = leaving_out.advice;
        note(&format!("left out, since the terminal is too narrow: {}; {advice}", left_out.join(", ")));
    }
    Ok(())
}

/// The columns of the terminal, if standard output is one.
pub(super) fn terminal() -> Option<usize> {
    terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// The table within a width, and the titles of the columns that are left out.
fn fitted(
    columns: &[(&'static str, Narrowing)],
    mut rows: Vec<Vec<Cell>>,
    width: Option<usize>,
    leaving_out: Option<&LeavingOut>,
) -> (String, Vec<&'static str>) {
    rows.insert(0, columns.iter().map(|(title, _)| table::title(title)).collect());
    let Some(width) = width else { return (table::aligned(&rows), Vec::new()) };
    let mut columns = columns.to_vec();
    let mut left_out = Vec::new();
    let order = leaving_out.map_or(&[][..], |leaving_out| leaving_out.order);
    let dispensable = leaving_out.map_or(0, |leaving_out| leaving_out.dispensable);
    let mut id_width = GOOD_ID;
    let widths = loop {
        let widths = narrowed(&columns, &rows, width, id_width);
        if total(&widths) <= width {
            break widths;
        }
        let next = next_to_go(&columns, &rows, order, if id_width == GOOD_ID { dispensable } else { order.len() });
        match next {
            Some(at) => {
                left_out.push(columns.remove(at).0);
                rows.iter_mut().for_each(|row| drop(row.remove(at)));
            }
            None if id_width == GOOD_ID => id_width = LEAST_ID,
            None => break widths,
        }
    };
    for row in &mut rows {
        for ((cell, width), (_, narrowing)) in row.iter_mut().zip(&widths).zip(&columns) {
            match narrowing {
                Narrowing::Never => {}
                Narrowing::Text => cell.shorten(*width),
                Narrowing::Id => cell.truncate(*width),
                Narrowing::Short => cell.take_short_form(*width),
            }
        }
    }
    let text = if total(&widths) > width { continued(&columns, &rows, &widths, width) } else { table::aligned(&rows) };
    (text, left_out)
}

/// The column that goes next: one without any value, else the first of the order, of which only so many may go.
fn next_to_go(
    columns: &[(&'static str, Narrowing)],
    rows: &[Vec<Cell>],
    order: &[&str],
    may_go: usize,
) -> Option<usize> {
    let place = |title: &&&str| columns.iter().position(|(other, _)| *other == **title);
    let is_empty = |at: &usize| rows.iter().skip(1).all(|row| row.get(*at).is_none_or(|cell| cell.text() == "-"));
    let mut present = order.iter().filter_map(|title| place(&title));
    present.find(is_empty).or_else(|| order.iter().take(may_go).find_map(|title| place(&title)))
}

/// Rows that continue on further, indented lines.
fn continued(columns: &[(&'static str, Narrowing)], rows: &[Vec<Cell>], widths: &[usize], width: usize) -> String {
    let mut groups: Vec<usize> = Vec::new();
    let mut used = 0;
    for (at, column) in widths.iter().enumerate() {
        if at > 0 && used + GAP + column <= width {
            used += GAP + column;
        } else {
            groups.push(at);
            used = column + if at == 0 { 0 } else { INDENT };
        }
    }
    let mut lines = vec![String::new(); rows.len()];
    for (number, from) in groups.iter().enumerate() {
        let indent = if number == 0 { 0 } else { INDENT };
        let to = groups.get(number + 1).copied().unwrap_or(widths.len());
        let part = |row: &Vec<Cell>| {
            let mut part = row.get(*from..to).unwrap_or_default().to_vec();
            // An id that is cut further names no key.
            let others = part.iter_mut().zip(columns.iter().skip(*from)).filter(|(_, (_, how))| *how != Narrowing::Id);
            others.for_each(|(cell, _)| cell.shorten(width.saturating_sub(indent)));
            part
        };
        let part: Vec<_> = rows.iter().map(part).collect();
        for (line, text) in lines.iter_mut().zip(table::aligned(&part).split('\n')) {
            if number > 0 {
                line.push('\n');
            }
            line.push_str(&" ".repeat(indent));
            line.push_str(text);
        }
    }
    lines.join("\n")
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// The widths of columns, made smaller step by step until they fit or cannot get smaller.
fn narrowed(columns: &[(&'static str, Narrowing)], rows: &[Vec<Cell>], width: usize, id: usize) -> Vec<usize> {
    let widest =
        |at: usize, of: fn(&Cell) -> usize| rows.iter().filter_map(|row| row.get(at)).map(of).max().unwrap_or(0);
    let mut widths: Vec<usize> = (0..columns.len()).map(|at| widest(at, Cell::width)).collect();
    shrink(columns, &mut widths, width, COMFORTABLE);
    for (at, (_, narrowing)) in columns.iter().enumerate() {
        if total(&widths) > width
            && let Some(held) = widths.get_mut(at)
        {
            *held = match narrowing {
                Narrowing::Id => distinct(rows, at).max(id).min(*held),
                Narrowing::Short => widest(at, Cell::short_width),
                Narrowing::Never | Narrowing::Text => *held,
            };
        }
    }
    shrink(columns, &mut widths, width, LEAST);
    widths
}

/// Takes one character at a time from the widest column of texts, down to a width and that of its title.
fn shrink(columns: &[(&'static str, Narrowing)], widths: &mut [usize], width: usize, least: usize) {
    let may = |at: usize, held: usize| {
        columns.get(at).is_some_and(|(title, how)| *how == Narrowing::Text && held > least.max(title.len()))
    };
    while total(widths) > width {
        let widest = widths.iter().enumerate().filter(|(at, held)| may(*at, **held)).max_by_key(|(_, held)| **held);
        let Some((at, _)) = widest else { return };
        if let Some(held) = widths.get_mut(at) {
            *held -= 1;
        }
    }
}

/// The number of characters that distinguish the ids of a column.
fn distinct(rows: &[Vec<Cell>], column: usize) -> usize {
    let mut ids: Vec<&str> = rows.iter().skip(1).filter_map(|row| row.get(column)).map(Cell::text).collect();
    ids.sort_unstable();
    ids.dedup();
    let common = |(one, other): (&&str, &&str)| one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count() + 1;
    ids.iter().zip(ids.iter().skip(1)).map(common).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr;

    const COLUMNS: [(&str, Narrowing); 4] = [
        ("ID", Narrowing::Id),
        ("OWNER", Narrowing::Text),
        ("STATE", Narrowing::Never),
        ("PERMISSIONS", Narrowing::Text),
    ];

    const LEAVING_OUT: LeavingOut =
        LeavingOut { order: &["PERMISSIONS", "STATE", "OWNER"], dispensable: 1, advice: "--columns chooses" };

    fn rows() -> Vec<Vec<Cell>> {
        let row = |id: &str, owner: &str| {
            vec![id.into(), owner.into(), "active".into(), "orders:read orders:write customers:read stock:*".into()]
        };
        vec![
            row("01931a4e-7c3b-7def-8123-456789abcdef", "alice"),
            row("01931a4e-7c3b-7def-8123-4567ffffcdef", &"漢".repeat(40)),
        ]
    }

    fn at(width: usize) -> (Vec<String>, Vec<&'static str>) {
        let (text, dropped) = fitted(&COLUMNS, rows(), Some(width), Some(&LEAVING_OUT));
        (anstream::adapter::strip_str(&text).to_string().lines().map(str::to_owned).collect(), dropped)
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 29..220 {
            let (lines, _) = at(width);
            assert!(lines.iter().all(|line| line.width() <= width), "{width}: {lines:?}");
        }
        // No two ids look the same.
        let (lines, dropped) = at(10);
        assert_eq!(lines, ["ID", "01931a4e-7c3b-7def-8123-45678", "01931a4e-7c3b-7def-8123-4567f"]);
        assert_eq!(dropped, ["PERMISSIONS", "STATE", "OWNER"]);
    }

    #[test]
    fn a_wide_terminal_or_none_gets_everything() {
        let (lines, dropped) = at(400);
        assert!(lines[1].contains("456789abcdef") && lines[1].ends_with("stock:*") && dropped.is_empty());
        let (text, _) = fitted(&COLUMNS, rows(), None, Some(&LEAVING_OUT));
        assert_eq!(anstream::adapter::strip_str(&text).to_string(), lines.join("\n"));
        let (lines, _) = at(80);
        assert!(lines[1].starts_with("01931a4e-7c3b-7def-8123-45678  alice"), "{lines:?}");
        assert!(lines[2].contains('…'), "{lines:?}");
    }

    #[test]
    fn chosen_columns_are_never_left_out() {
        for width in 31..120 {
            let (text, left_out) = fitted(&COLUMNS, rows(), Some(width), None);
            assert_eq!(left_out, [""; 0]);
            let text = anstream::adapter::strip_str(&text).to_string();
            assert!(text.lines().all(|line| line.width() <= width), "{width}: {text}");
            assert!(text.contains("alice") && text.contains("active") && text.contains("orders:"), "{width}: {text}");
        }
    }

    #[test]
    fn a_column_without_values_goes_first() {
        let columns = [("ID", Narrowing::Never), ("NAME", Narrowing::Text), ("OWNER", Narrowing::Text)];
        let order = LeavingOut { order: &["OWNER", "NAME"], dispensable: 2, advice: "" };
        let rows = vec![vec!["1234567890".into(), "-".into(), "alice".into()]];
        let (text, left_out) = fitted(&columns, rows, Some(20), Some(&order));
        assert_eq!(anstream::adapter::strip_str(&text).to_string(), "ID          OWNER\n1234567890  alice");
        assert_eq!(left_out, ["NAME"]);
    }

    #[test]
    fn times_are_short_before_a_column_goes() {
        let columns = [("TIME", Narrowing::Short), ("ID", Narrowing::Id)];
        let time = || Cell::from("2027-01-31 (in 2 days)").or_short("2027-01-31");
        let rows = vec![vec![time(), "01931a4e-7c3b-7def-8123-456789abcdef".into()]];
        let (text, _) = fitted(&columns, rows.clone(), Some(60), None);
        assert!(text.contains("(in 2 days)  01931a4e-7c3b-7def-8123-456789abcdef"), "{text}");
        let (text, _) = fitted(&columns, rows, Some(30), None);
        assert!(text.ends_with("2027-01-31  01931a4e-7c3b-7def"), "{text}");
    }
}
