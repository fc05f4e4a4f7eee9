//! The little of Markdown that the tables need.

/// A row of a table, with the headings that it is under.
pub(crate) struct Row<'a> {
    pub(crate) line: usize,
    /// The text of the last heading before it.
    pub(crate) heading: &'a str,
    /// The first row of its table.
    pub(crate) columns: Vec<&'a str>,
    pub(crate) cells: Vec<&'a str>,
}

/// The rows of all tables, without their first rows.
pub(crate) fn rows(text: &str) -> Vec<Row<'_>> {
    let (mut rows, mut heading, mut columns, mut is_code) = (Vec::new(), "", None, false);
    for (index, line) in text.lines().enumerate() {
        is_code ^= line.trim_start().starts_with("```");
        if is_code || !line.starts_with('|') {
            columns = None;
            if !is_code && line.starts_with('#') {
                heading = line.trim_start_matches('#').trim();
            }
            continue;
        }
        let cells: Vec<_> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        match &columns {
            None => columns = Some(cells),
            Some(_) if cells.iter().all(|cell| cell.bytes().all(|byte| b"-: ".contains(&byte))) => {}
            Some(columns) => rows.push(Row { line: index + 1, heading, columns: columns.clone(), cells }),
        }
    }
    rows
}

/// What stands between backquotes.
pub(crate) fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
