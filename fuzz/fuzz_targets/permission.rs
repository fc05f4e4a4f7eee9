//! Permissions, grants and requirements, against a second matcher. An input is lines: two sets of grants (words) and
//! permissions (words), then a requirement.
#![no_main]

use std::sync::LazyLock;

use apikey_core::fuzzing::{compare, covers, grants_give};
use apikey_core::{
    AuthError, KeyStore, MAX_PERMISSION_BYTES, NewKey, Requirement, VerifiedKey, check_grant, check_permission,
};
use libfuzzer_sys::fuzz_target;

/// A key of a real store, so that its grants pass through all of the code.
static KEY: LazyLock<(KeyStore, VerifiedKey)> = LazyLock::new(|| {
    let store = KeyStore::temporary().expect("a temporary store");
    let new = NewKey::for_owner("alice").permissions(GRANTS);
    let created = store.create(new).expect("a key");
    let verified = store.verify(created.key.expose_secret()).expect("its own key");
    (store, verified)
});
const GRANTS: [&str; 4] = ["a:*", "*:b", "c:*:d", "e"];

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut words = || lines.next().unwrap_or_default().split(' ').take(6).collect::<Vec<_>>();
    let (one, other, asked) = (words(), words(), words());
    for word in one.iter().chain(&other).chain(&asked) {
        grammar(word);
    }
    grammar(text);
    let one = grants(&one);
    let other = grants(&other);
    let asked: Vec<&str> = asked.into_iter().filter(|word| is_grammatical(word, false)).collect();
    for permission in &asked {
        let given = gives(&one, permission);
        assert_eq!(grants_give(&one, permission), (given, given), "{one:?} {permission}");
        let fixed = gives(&GRANTS.map(str::to_owned), permission);
        assert_eq!(KEY.1.allows(permission), fixed, "{permission}");
        let asked = Requirement::permission(permission).expect("a permission");
        assert_eq!((asked.to_string().as_str(), asked.permissions()), (*permission, vec![*permission]));
        assert_eq!(KEY.1.require(&asked).is_ok(), fixed);
    }
    sets(&one, &other, &asked);
    if let Some((requirement, tree)) = lines.next().and_then(|line| Tree::read(&mut line.as_bytes(), 0)) {
        check_requirement(&requirement, &tree);
    }
});

/// The grammar as it is written down: at most 64 bytes and 8 segments of `[a-z0-9][a-z0-9_.-]*`, the last no dot; `*`
/// for a whole segment of a grant.
fn is_grammatical(text: &str, wildcards: bool) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let segment = |segment: &str| {
        (wildcards && segment == "*")
            || (segment.starts_with(plain)
                && !segment.ends_with('.')
                && segment.chars().all(|c| plain(c) || matches!(c, '_' | '.' | '-')))
    };
    text.len() <= MAX_PERMISSION_BYTES && text.split(':').count() <= 8 && text.split(':').all(segment)
}

fn grammar(text: &str) {
    assert_eq!(check_permission(text).is_ok(), is_grammatical(text, false), "{text:?}");
    assert_eq!(check_grant(text).is_ok(), is_grammatical(text, true), "{text:?}");
    match Requirement::permission(text) {
        Ok(requirement) => assert_eq!(requirement.to_string(), text),
        Err(error) => {
            assert_eq!(Err(error.fault()), check_permission(text));
            // The error is short, however long the text is.
            assert!(error.text().chars().count() <= 65 && error.to_string().len() < 2048);
        }
    }
}

fn grants(words: &[&str]) -> Vec<String> {
    words.iter().filter(|word| is_grammatical(word, true)).map(|word| (*word).to_owned()).collect()
}

/// The definition: a `*` is one segment, at the end one or more.
fn matches(grant: &[&str], permission: &[&str]) -> bool {
    match (grant, permission) {
        ([], []) => true,
        (["*"], [_, ..]) => true,
        ([first, grant @ ..], [asked, permission @ ..]) => {
            (*first == "*" || first == asked) && matches(grant, permission)
        }
        _ => false,
    }
}

fn gives(grants: &[String], permission: &str) -> bool {
    let permission: Vec<&str> = permission.split(':').collect();
    grants.iter().any(|grant| matches(&grant.split(':').collect::<Vec<_>>(), &permission))
}

/// Asserts the laws of two sets of grants, with the permissions of the input and those that each grant suggests.
fn sets(one: &[String], other: &[String], asked: &[&str]) {
    let (met, lost) = compare(one, other);
    assert!(met.iter().all(|grant| check_grant(grant).is_ok()));
    let suggested: Vec<String> =
        one.iter().chain(other).flat_map(|grant| ["x", "x:y"].map(|wild| grant.replace('*', wild))).collect();
    for permission in asked.iter().copied().chain(suggested.iter().map(String::as_str)) {
        let (by_one, by_other) = (gives(one, permission), gives(other, permission));
        if permission.len() <= MAX_PERMISSION_BYTES {
            assert_eq!(gives(&met, permission), by_one && by_other, "{met:?} {permission}");
        }
        assert!(lost || !by_one || by_other, "{one:?} {other:?} {permission}");
        for (outer, inner) in one.iter().flat_map(|outer| other.iter().map(move |inner| (outer, inner))) {
            let given = |grant: &String| gives(std::slice::from_ref(grant), permission);
            assert!(!covers(outer, inner) || !given(inner) || given(outer), "{outer} {inner} {permission}");
        }
    }
    assert!(one.iter().all(|grant| covers(grant, grant) && covers("*", grant)));
}

/// A requirement, which the target itself reads and checks.
#[derive(Debug)]
enum Tree {
    Permission(String),
    Any(Vec<Tree>),
    All(Vec<Tree>),
}

impl Tree {
    /// `?..;` is any of what is between, `&..;` all, other characters up to a comma are a permission.
    fn read(text: &mut &[u8], depth: usize) -> Option<(Requirement, Self)> {
        let (first, rest) = text.split_first()?;
        if !b"?&".contains(first) {
            let end = text.iter().position(|byte| b",;".contains(byte)).unwrap_or(text.len());
            let (permission, rest) = text.split_at(end);
            *text = rest.strip_prefix(b",").unwrap_or(rest);
            let permission = str::from_utf8(permission).ok()?;
            return Some((Requirement::permission(permission).ok()?, Self::Permission(permission.into())));
        }
        *text = rest;
        let (mut requirements, mut trees) = (Vec::new(), Vec::new());
        while !text.is_empty() && !text.starts_with(b";") && depth < 16 {
            let (requirement, tree) = Self::read(text, depth + 1)?;
            requirements.push(requirement);
            trees.push(tree);
        }
        *text = text.strip_prefix(b";").unwrap_or(text);
        let made = if *first == b'?' { Requirement::any(requirements) } else { Requirement::all(requirements) };
        assert_eq!(made.is_ok(), !trees.is_empty());
        Some((made.ok()?, if *first == b'?' { Self::Any(trees) } else { Self::All(trees) }))
    }

    fn text(&self) -> String {
        let list =
            |name: &str, of: &[Self]| format!("{name}({})", of.iter().map(Self::text).collect::<Vec<_>>().join(", "));
        match self {
            Self::Permission(permission) => permission.clone(),
            Self::Any(of) => list("any", of),
            Self::All(of) => list("all", of),
        }
    }

    fn met(&self, has: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Permission(permission) => has(permission),
            Self::Any(of) => of.iter().any(|one| one.met(has)),
            Self::All(of) => of.iter().all(|one| one.met(has)),
        }
    }
}

fn check_requirement(requirement: &Requirement, tree: &Tree) {
    assert_eq!(requirement.to_string(), tree.text());
    let held = GRANTS.map(str::to_owned);
    let met = tree.met(&|permission| gives(&held, permission));
    match KEY.1.require(requirement) {
        Ok(()) => assert!(met, "{requirement}"),
        Err(AuthError::InsufficientPermission { .. }) => assert!(!met, "{requirement}"),
        Err(other) => panic!("{other:?}"),
    }
}
