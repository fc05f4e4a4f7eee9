//! The little of Markdown that the tables need.

use std::collections::HashSet;

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

/// A link of a page: `[text](target)`, or a definition `[name]: target`.
pub(crate) struct Link {
    pub(crate) line: usize,
    pub(crate) target: String,
}

/// The links of a page, pictures among them; not those in code.
pub(crate) fn links(text: &str) -> Vec<Link> {
    let plain = without_code(text);
    let mut links = Vec::new();
    let line_of = |at: usize| plain.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    for (at, _) in plain.match_indices("](") {
        let target = plain.get(at + 2..).unwrap_or_default().split([')', ' ', '\n']).next().unwrap_or_default();
        links.push(Link { line: line_of(at), target: target.to_owned() });
    }
    for (index, line) in plain.lines().enumerate() {
        if line.starts_with('[')
            && let Some((_, target)) = line.split_once("]: ")
        {
            links.push(Link { line: index + 1, target: target.trim().to_owned() });
        }
    }
    links
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
pub(crate) fn anchors(text: &str) -> HashSet<String> {
    let mut anchors = HashSet::new();
    let mut fence = Fence::default();
    for line in text.lines() {
        let is_code = fence.holds(line);
        let Some(heading) = line.strip_prefix('#').filter(|_| !is_code) else { continue };
        let heading = heading.trim_start_matches('#').trim();
        let slug: String = link_texts(heading)
            .chars()
            .filter_map(|char| match char {
                ' ' => Some('-'),
                '-' | '_' => Some(char),
                _ => char.is_alphanumeric().then(|| char.to_ascii_lowercase()),
            })
            .collect();
        let mut anchor = slug.clone();
        let mut count = 0;
        while !anchors.insert(anchor.clone()) {
            count += 1;
            anchor = format!("{slug}-{count}");
        }
    }
    anchors
}

/// A block of code, and its label: `rust,no_run`.
pub(crate) struct CodeBlock<'a> {
    pub(crate) line: usize,
    pub(crate) label: &'a str,
}

/// The fenced blocks of a page.
pub(crate) fn blocks(text: &str) -> Vec<CodeBlock<'_>> {
    let mut blocks = Vec::new();
    let mut fence = Fence::default();
    for (index, line) in text.lines().enumerate() {
        let was_open = fence.is_open();
        if fence.holds(line) && !was_open {
            blocks.push(CodeBlock { line: index + 1, label: line.trim_start().trim_start_matches(['`', '~']).trim() });
        }
    }
    blocks
}

/// Where a page is inside of a fenced block.
#[derive(Default)]
struct Fence(Option<String>);

impl Fence {
    fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Whether this line, the next of the page, is code or a fence.
    fn holds(&mut self, line: &str) -> bool {
        let line = line.trim_start();
        let mark: String = line.chars().take_while(|char| matches!(char, '`' | '~')).collect();
        match &self.0 {
            None if mark.len() >= 3 => self.0 = Some(mark),
            None => return false,
            Some(open) if mark.starts_with(open.as_str()) && line.trim_end() == mark => self.0 = None,
            Some(_) => {}
        }
        true
    }
}

/// The page with blanks for its code, line by line where it was.
fn without_code(text: &str) -> String {
    let mut plain = String::new();
    let mut fence = Fence::default();
    let mut paragraph = String::new();
    for line in text.split_inclusive('\n') {
        let is_code = fence.holds(line);
        if is_code || line.trim().is_empty() {
            plain.push_str(&without_spans(&paragraph));
            paragraph.clear();
            plain.push('\n');
        } else {
            paragraph.push_str(line);
        }
    }
    plain + &without_spans(&paragraph)
}

/// Takes out what stands between as many backquotes as before it.
fn without_spans(paragraph: &str) -> String {
    let mut plain = String::new();
    let mut rest = paragraph;
    while let Some(start) = rest.find('`') {
        let (before, from) = rest.split_at(start);
        let ticks = from.bytes().take_while(|byte| *byte == b'`').count();
        let (open, after) = from.split_at(ticks);
        plain.push_str(before);
        let end = after.match_indices(open).map(|(at, _)| at).find(|at| {
            let around = (after.as_bytes().get(at + ticks), at.checked_sub(1).and_then(|at| after.as_bytes().get(at)));
            around.0 != Some(&b'`') && around.1 != Some(&b'`')
        });
        match end.and_then(|end| after.split_at_checked(end)) {
            Some((code, after)) => {
                plain.extend(code.chars().filter(|char| *char == '\n'));
                rest = after.get(ticks..).unwrap_or_default();
            }
            None => rest = after,
        }
    }
    plain.push_str(rest);
    plain
}

/// A heading with the texts of its links, and not their targets.
fn link_texts(heading: &str) -> String {
    let mut text = String::new();
    let mut rest = heading;
    while let Some((before, after)) = rest.split_once("](") {
        text.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    text + rest
}
