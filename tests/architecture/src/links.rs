use std::collections::{HashMap, HashSet};

use crate::markdown::{anchors, links};
use crate::{BOOK, Files, Finding};

/// Pages of rustdoc link items by their path in Rust, and rustdoc checks those.
const RUSTDOC: &str = "src/";
/// Its planted pages name files that are not there.
const PLANTED: &str = "tests/architecture/tests/";

/// Links of pages to files and anchors that are not there, and paths below `docs/` that any text names.
///
/// A page of the book links pages of the book alone, since its built form has no others. Of an external address only the
/// form is checked: this needs no network.
#[must_use]
pub fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    let pages: HashMap<_, HashSet<_>> =
        files.iter().filter(|(path, _)| is_page(path)).map(|(path, text)| (path, anchors(text))).collect();
    for (path, text) in files.iter().filter(|(path, _)| is_page(path)) {
        for link in links(text) {
            if let Err(fault) = resolve(files, &pages, path, &link.target) {
                findings.push(Finding::new(path, link.line, fault));
            }
        }
    }
    for (path, text) in files.iter().filter(|(path, _)| !path.starts_with(PLANTED)) {
        for (index, line) in text.lines().enumerate() {
            for mention in mentions(line) {
                let (page, anchor) = mention.split_once('#').map_or((mention, None), |(page, id)| (page, Some(id)));
                if !files.has(page) {
                    findings.push(Finding::new(path, index + 1, format!("there is no {page}")));
                } else if let Some(anchor) = anchor
                    && pages.get(page).is_some_and(|anchors| !anchors.contains(anchor))
                {
                    findings.push(Finding::new(path, index + 1, format!("{page} has no heading #{anchor}")));
                }
            }
        }
    }
    findings.sort();
    findings.dedup();
    findings
}

fn is_page(path: &str) -> bool {
    path.ends_with(".md") && !path.starts_with(RUSTDOC) && !path.contains("/src/")
}

fn resolve(files: &Files, pages: &HashMap<&str, HashSet<String>>, from: &str, target: &str) -> Result<(), String> {
    if let Some((scheme, rest)) = target.split_once("://") {
        let host = rest.split(['/', '#', '?']).next().unwrap_or_default();
        let is_host =
            host.contains('.') && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte));
        return match scheme {
            "https" if is_host => Ok(()),
            _ => Err(format!("{target}: an external link is https:// and a host")),
        };
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let path = if path.is_empty() {
        from.to_owned()
    } else {
        join(from, path).ok_or(format!("{target} leaves the repository"))?
    };
    if from.starts_with(BOOK) && !path.starts_with(BOOK) {
        return Err(format!("{target}: the built book has no {path}; name it without a link"));
    }
    if !files.has(&path) {
        return Err(format!("{target}: there is no {path}"));
    }
    match anchor {
        Some(anchor) if !pages.get(path.as_str()).is_some_and(|anchors| anchors.contains(anchor)) => {
            Err(format!("{target}: {path} has no heading #{anchor}"))
        }
        _ => Ok(()),
    }
}

/// A path from the folder of another, or none if it leaves the root.
pub(crate) fn join(from: &str, path: &str) -> Option<String> {
    let mut parts: Vec<_> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The pages and pictures of the book that a line names by their path from the root.
fn mentions(line: &str) -> impl Iterator<Item = &str> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_/.#".contains(byte);
    line.match_indices(BOOK).filter_map(move |(start, _)| {
        if line.get(..start)?.bytes().next_back().is_some_and(|before| is_part(&before)) {
            return None;
        }
        let rest = line.get(start..)?;
        let length = rest.bytes().take_while(is_part).count();
        let mention = rest.get(..length)?.trim_end_matches('.');
        let path = mention.split('#').next()?;
        (path.ends_with(".md") || path.ends_with(".svg")).then_some(mention)
    })
}
