//! The names of the arguments, and a suggestion for an unknown one.

/// The arguments, as errors list them.
pub(super) const LIST: &str = "`perm`, `any(..)`, `all(..)`, `key`, `request`, `store`, `on_reject`, `tenant`, `cost`, `optional`, `catalog` or `crate`";

const NAMES: [&str; 12] =
    ["perm", "any", "all", "key", "request", "store", "on_reject", "tenant", "cost", "optional", "catalog", "crate"];

/// Other names for the same arguments.
const OTHERS: [(&str, &str); 25] = [
    ("permission", "perm"),
    ("permissions", "perm"),
    ("perms", "perm"),
    ("scope", "perm"),
    ("scopes", "perm"),
    ("role", "perm"),
    ("roles", "perm"),
    ("requires", "perm"),
    ("one_of", "any"),
    ("or", "any"),
    ("and", "all"),
    ("bind", "key"),
    ("api_key", "key"),
    ("req", "request"),
    ("headers", "request"),
    ("from", "request"),
    ("keys", "store"),
    ("reject", "on_reject"),
    ("on_error", "on_reject"),
    ("catalogue", "catalog"),
    ("in_tenant", "tenant"),
    ("tenant_id", "tenant"),
    ("uses", "cost"),
    ("quota", "cost"),
    ("weight", "cost"),
];

/// The error for an unknown name.
pub(super) fn unknown(name: &str) -> String {
    match suggestion(name) {
        Some(similar) => format!("there is no argument `{name}` (did you mean `{similar}`?)"),
        None => format!("there is no argument `{name}`: write {LIST}"),
    }
}

fn suggestion(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let other = OTHERS.iter().find(|(other, _)| *other == lower).map(|(_, name)| *name);
    // Short names resemble many words, so they tolerate only one typo.
    let is_near = |argument: &&str| {
        letters(&lower) == letters(argument) || distance(&lower, argument) <= if argument.len() > 4 { 2 } else { 1 }
    };
    other.or_else(|| NAMES.into_iter().find(is_near))
}

fn letters(word: &str) -> Vec<char> {
    let mut letters: Vec<char> = word.chars().collect();
    letters.sort_unstable();
    letters
}

/// The edit distance: how many letters to insert, remove or replace to turn one word into the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().zip(std::iter::once(None).chain(b.chars().map(Some))) {
            let above = *cell;
            if let Some(to) = to {
                left = (diagonal + usize::from(from != to)).min(above + 1).min(left + 1);
            }
            *cell = left;
            diagonal = above;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_get_a_suggestion() {
        for (name, expected) in [
            ("permission", Some("perm")),
            ("perms", Some("perm")),
            ("prem", Some("perm")),
            ("reqeust", Some("request")),
            ("Store", Some("store")),
            ("stor", Some("store")),
            ("onreject", Some("on_reject")),
            ("optinal", Some("optional")),
            ("colour", None),
        ] {
            assert_eq!(suggestion(name), expected, "{name}");
        }
    }

    #[test]
    fn distances() {
        assert_eq!(distance("", ""), 0);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("flaw", "lawn"), 2);
        assert_eq!(distance("store", "store"), 0);
    }
}
