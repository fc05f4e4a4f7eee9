//! What a terminal, and the reader of a pipe, get to see.

use std::process::{Command, Stdio};

use apikey_core::{KeyStore, NewKey};

use super::{Done, Place};

/// Names that would change what stands around them.
const HOSTILE: [&str; 4] = ["al\u{202e}ice", "bob\u{2066}\u{200b}", "car\u{2028}ol", "ملیکا\u{200f}"];

impl Place {
    /// Runs a line of bash with the command in its path.
    fn bash(&self, line: &str) -> Done {
        let binary = std::path::Path::new(env!("CARGO_BIN_EXE_apikey")).parent().unwrap();
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
        let mut bash = Command::new("bash");
        bash.args(["-c", line]).current_dir(self.path("")).env("PATH", path).env("APIKEY_STORE", "keys.db");
        self.done(&mut bash, "")
    }

    /// Runs a command at a terminal of so many columns; returns the lines that it shows, without colours.
    #[cfg(target_os = "linux")]
    pub(super) fn at_terminal(&self, columns: usize, command: &str) -> Vec<String> {
        let line = format!("script -qec \"stty cols {columns} rows 24; {command}\" /dev/null < /dev/null");
        let shown = self.bash(&line).ok().out;
        let plain = anstream::adapter::strip_str(&shown).to_string();
        plain.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect()
    }
}

/// What a person who types sees, and what happens then.
#[test]
#[cfg(target_os = "linux")]
fn a_person_types_keys() {
    let (place, _) = Place::with_store();
    let (id, secret) = place.key(&["alice"]);
    let typed = |keys: &str, command: &str| {
        let mut shell = Command::new("script");
        let binary = env!("CARGO_BIN_EXE_apikey");
        let shell = shell.args(["-qec", &format!("{binary} {command}"), "/dev/null"]);
        place.done(shell.current_dir(place.path("")).env("APIKEY_STORE", "keys.db"), keys)
    };
    let hint = "one a line; ctrl-d on a line of its own ends it";
    typed(&format!("{id}\n\u{4}"), "enable --from -").ok().shows("reading ids of keys").shows(hint);
    // After the list there is an answer to give.
    typed(&format!("{id}\n\u{4}no\n"), "revoke --from -").with(2).shows("revoke 1 key?").shows("no key was revoked");
    place.check(&secret).ok();
    typed(&format!("{id}\n\u{4}1\n"), "revoke --from -").ok().shows("revoked: 1 key");
    // No spinner turns where somebody types, and a store that is not there is named before.
    let imported = typed("legacy-7f3a9c1e5b2d4860\n\u{4}", "import --owner bob").ok().shows(hint);
    assert!(imported.out.contains("imported: 1 key") && !imported.out.contains("lines read"), "{imported:?}");
    let missing = typed("\u{4}", "--store none.db import --owner bob").with(6).shows("there is no key store");
    assert!(!missing.out.contains(hint), "{missing:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_list_fits_the_terminal() {
    use unicode_width::UnicodeWidthStr;

    let place = Place::new();
    place.run(&["init", "--out", "admin.key"]).ok();
    let grants = "orders:read,orders:write,customers:read,customers:write,stock:*,reports:monthly:read";
    let long = "o".repeat(128);
    for owner in ["alice", &long, "漢字".repeat(20).as_str()] {
        place.run(&["create", owner, "--name", &"n".repeat(128), "--permission", grants, "--expires-in", "90d"]).ok();
    }
    for columns in [80, 100, 132, 200] {
        let lines = place.at_terminal(columns, "apikey list");
        let notes = lines.iter().filter(|line| line.starts_with("left out")).count();
        assert!(lines.len() - notes == 5 && notes == usize::from(columns < 100), "{lines:#?}");
        assert!(lines.iter().all(|line| line.width() <= columns), "{columns}: {lines:#?}");
        assert!(lines[0].contains("LAST USED") && lines[0].contains("EXPIRES"), "{lines:#?}");
        // The shown beginning of an id names the key.
        let id = lines[2].split_whitespace().next().unwrap().to_owned();
        place.run(&["show", &id]).ok().shows("alice");
    }
    let narrow = place.at_terminal(20, "apikey list");
    assert!(narrow[0].starts_with("ID") && narrow.iter().any(|line| line.contains("left out")), "{narrow:#?}");
    let narrow = place.at_terminal(40, "apikey list");
    let titles: Vec<&str> = narrow[0].split_whitespace().collect();
    assert!(titles == ["ID", "OWNER", "STATE"] && narrow[2].contains("alice "), "{narrow:#?}");
    let all = "id,owner,name,state,hint,created,expires,permissions,rotation-due,metadata";
    for columns in [40, 80] {
        let chosen = place.at_terminal(columns, &format!("apikey list --columns {all}"));
        assert!(chosen.iter().all(|line| line.width() <= columns), "{columns}: {chosen:#?}");
        let titles = ["ID", "HINT", "EXPIRES", "PERMISSIONS", "ROTATION DUE", "METADATA"];
        assert!(titles.iter().all(|title| chosen.iter().any(|line| line.contains(title))), "{chosen:#?}");
    }
    let chosen = place.at_terminal(80, "apikey list --columns owner,permissions");
    assert!(chosen.iter().all(|line| line.width() <= 80) && chosen[0].starts_with("OWNER"), "{chosen:#?}");
    // A pipe gets everything.
    let piped = place.run(&["list"]).ok().out;
    assert!(piped.contains(&long) && piped.contains("reports:monthly:read"));
}

#[test]
#[cfg(target_os = "linux")]
fn events_and_a_key_fit_the_terminal() {
    use unicode_width::UnicodeWidthStr;

    let (place, _) = Place::with_store();
    let metadata = format!("note={}", "long words ".repeat(20));
    let (id, _) =
        place.key(&["alice", "--permission", "orders:read", "--metadata", &metadata, "--name", &"n".repeat(90)]);
    place.run(&["update", &id, "--permission", "orders:write,stock:*", "--no-name"]).ok();
    let shown = |columns| {
        let mut lines = place.at_terminal(columns, "apikey events");
        lines.retain(|line| !line.starts_with("left out"));
        assert!(lines.len() >= 4 && lines.iter().all(|line| line.width() <= columns), "{columns}: {lines:#?}");
        lines
    };
    let lines = shown(80);
    let titles: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(titles, ["NUMBER", "TIME", "KIND", "KEY", "ACTOR", "WHAT"]);
    let row: Vec<&str> = lines[1].split_whitespace().collect();
    assert!(row[1].starts_with("20") && row[1].ends_with('Z') && row[2] == "updated" && row[3].len() >= 13, "{row:?}");
    place.run(&["show", row[3]]).ok().shows("alice");
    let lines = shown(40);
    let titles: Vec<&str> = lines[0].split_whitespace().collect();
    assert!(titles.len() > 2 && ["NUMBER", "KIND", "KEY"].iter().all(|title| titles.contains(title)), "{lines:#?}");
    for columns in [24, 40, 80] {
        let lines = place.at_terminal(columns, &format!("apikey show {id}"));
        assert!(lines.iter().all(|line| line.trim_end().width() <= columns), "{columns}: {lines:#?}");
        let words = lines.iter().flat_map(|line| line.split_whitespace());
        assert_eq!(words.filter(|word| *word == "words").count(), 20, "{lines:#?}");
    }
}

#[test]
fn columns_are_chosen() {
    let (place, _) = Place::with_store();
    place.key(&["alice", "--metadata", "team=blue", "--metadata", "floor=2", "--limit", "100/1m", "--network", "::1"]);
    let list = place.run(&["list", "--columns", "owner,metadata,limit,networks,last-used,hint,secret-number"]).ok();
    list.shows("OWNER  METADATA").shows("floor=2 team=blue").shows("100 in 1 minute").shows("::1/128").shows("never");
    place.key(&["bob", "--rotate-every", "30d"]);
    let list = place.run(&["list", "--columns", "rotates", "--columns", "rotation-due,created,not-before"]).ok();
    list.shows("every 30 days, overlap 1 day").shows("in 30 days");
    place.run(&["list", "--columns", "colour"]).with(2).says("last-used");
}

#[test]
#[cfg(unix)]
fn a_closed_pipe_is_no_error() {
    let (place, _) = Place::with_store();
    let lines: String = (0..5000).map(|at| format!("legacy-7f3a9c1e5b2d4860-{at:05}\n")).collect();
    place.fed(&lines, &["import", "--owner", "alice"]).ok();
    let shell = |line: &str| place.bash(&format!("set -o pipefail; {line}"));
    for command in ["list", "list --json", "events --all", "show 01", "doctor", "--help", "man", "completions bash"] {
        let command = if command == "show 01" { "list --owner alice" } else { command };
        let done = shell(&format!("apikey {command} | head -1")).ok();
        assert!(!done.err.contains("panicked") && !done.err.contains("pipe"), "{done:?}");
        // Closed before anything is written.
        let done = shell(&format!("(sleep 0.3; apikey {command}) | true")).ok();
        assert!(!done.err.contains("panicked"), "{done:?}");
    }
    // What fails goes on failing.
    shell("(sleep 0.3; echo ak_no | apikey check) | true").with(1);
    // Half an export is none, and a secret that nobody read is lost.
    shell("(sleep 0.3; apikey export) | true").with(7).says("the export is not whole");
    shell("(sleep 0.3; apikey create bob) | true").with(7).says("its secret could not be written");
}

#[test]
fn no_name_forges_a_line_or_reorders_one() {
    let place = Place::new();
    let store = KeyStore::open(place.path("keys.db")).unwrap();
    let mut ids = Vec::new();
    for name in HOSTILE {
        assert!(store.create(NewKey::for_owner(name)).is_err());
        let new = NewKey::for_owner("mallory").name(format!("{name}\u{202d}")).metadata("note", "a\u{2029}revoked");
        ids.push(store.create(new).unwrap().info.id().to_string());
        assert!(store.create(NewKey::for_owner("line\nfeed")).is_err());
    }
    store.revoke(ids[0].parse().unwrap(), "\u{202e}tfel").unwrap();
    store.close().unwrap();
    let id = ids[0].as_str();
    let all: &[&[&str]] = &[
        &["list"],
        &["list", "--json"],
        &["list", "--columns", "name,metadata"],
        &["show", id],
        &["show", id, "--json"],
        &["events"],
        &["events", "--json"],
        &["revoke", id],
        &["revoke", &id[..4]],
        &["purge", "--before", "0s", "--dry-run"],
    ];
    for arguments in all {
        let done = place.run(arguments);
        let is_hostile = |letter: char| matches!(letter, '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        assert!(!done.out.contains(is_hostile) && !done.err.contains(is_hostile), "{arguments:?}: {done:?}");
    }
    // A program gets the names as they are.
    let name = place.json(&["show", id])["name"].as_str().unwrap().to_owned();
    assert_eq!(name, format!("{}\u{202d}", HOSTILE[0]));
    assert_eq!(place.run(&["list"]).ok().out.lines().count(), 5);
}

#[test]
fn quiet_leaves_errors_and_findings() {
    let (place, _) = Place::with_store();
    let made = place.run(&["-q", "create", "alice"]).ok();
    assert_eq!((made.err.as_str(), made.out.lines().count()), ("", 1));
    assert_eq!(place.run(&["list", "--owner", "nobody", "--quiet"]).ok().err, "");
    place.run(&["--quiet", "show", "ffff"]).with(3).says("there is no key");
    place.fed("short\n", &["--quiet", "import", "--owner", "a"]).with(1).says("line 1: the secret is shorter");
}

#[test]
fn no_home_and_no_terminal_are_needed() {
    let place = Place::new();
    let mut command = place.command(&["init"]);
    let command = command.env_clear().env("APIKEY_STORE", "keys.db");
    place.done(command, "").ok();
    let mut command = place.command(&["list"]);
    let child = command.env_clear().env("APIKEY_STORE", "keys.db").env("TERM", "dumb");
    Done::of(child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).ok();
}
