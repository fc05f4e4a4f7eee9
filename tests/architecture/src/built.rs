use std::collections::{HashMap, HashSet};

use crate::{Files, Finding};

/// Links of a built book to files and anchors that it does not have.
///
/// [`links`](crate::links) reads the pages as they are written. This reads what mdBook has made of them, so that the two
/// cannot disagree about a heading's anchor.
#[must_use]
pub fn check(book: &Files) -> Vec<Finding> {
    let pages: HashMap<_, HashSet<_>> = book
        .iter()
        .filter(|(path, _)| path.ends_with(".html"))
        .map(|(path, html)| (path, values(html, "id").map(|(_, id)| id).collect()))
        .collect();
    let mut findings = Vec::new();
    if pages.is_empty() {
        findings.push(Finding::new("index.html", 0, "is not there"));
    }
    for (path, html) in book.iter().filter(|(path, _)| pages.contains_key(path)) {
        for (line, target) in values(html, "href").chain(values(html, "src")) {
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
            if file.contains(':') {
                continue;
            }
            let file = if file.is_empty() { Some(path.to_owned()) } else { crate::links::join(path, file) };
            let found = file.as_ref().filter(|file| book.has(file));
            let has_anchor =
                |anchor| found.and_then(|file| pages.get(file.as_str())).is_some_and(|ids| ids.contains(anchor));
            if found.is_none() || anchor.is_some_and(|anchor| !has_anchor(anchor)) {
                findings.push(Finding::new(path, line, format!("leads nowhere: {target}")));
            }
        }
    }
    findings.sort();
    findings
}

/// The values of an attribute, each with its line.
fn values<'a>(html: &'a str, attribute: &str) -> impl Iterator<Item = (usize, &'a str)> {
    let start = format!(" {attribute}=\"");
    html.lines().enumerate().flat_map(move |(index, line)| {
        let values: Vec<_> = line.split(&start).skip(1).filter_map(|rest| rest.split('"').next()).collect();
        values.into_iter().map(move |value| (index + 1, value))
    })
}
