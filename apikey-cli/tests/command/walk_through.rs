//! Runs the commands of docs/operations/command.md and leaked-key.md exactly as printed, and compares their output with the page.

use std::path::Path;
use std::process::Command;

use super::Place;

/// The page for an emergency, in which every command must do what the page says.
const LEAKED_KEY: &str = include_str!("../../../docs/operations/leaked-key.md");
const GUIDE: &str = include_str!("../../../docs/operations/command.md");

/// The blocks of commands, each with the output block that follows it.
fn steps(guide: &str) -> Vec<(String, String)> {
    let mut steps: Vec<(String, String)> = Vec::new();
    let mut kind = None;
    for line in guide.lines() {
        match (kind, line) {
            (None, "```sh") => {
                kind = Some("sh");
                steps.push(Default::default());
            }
            (None, "```text") => kind = Some("text"),
            (None, line) => assert!(!line.starts_with("```"), "a block that is not run: {line}"),
            (Some(_), "```") => kind = None,
            (Some(kind), line) => {
                let (commands, output) = steps.last_mut().unwrap();
                let block = if kind == "sh" { commands } else { output };
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    steps
}

/// Whether a line matches the guide: `…` stands for anything, and columns may be wider.
fn matches(line: &str, expected: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (line, expected) = (words(line), words(expected));
    let mut parts = expected.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Runs the blocks in one shell, and compares the output of each with the guide.
fn walk(place: &Place, steps: &[(String, String)], is_extra: impl Fn(&str) -> bool) {
    let separator = "@@ the next block @@";
    let script: String = steps.iter().map(|(commands, _)| format!("{commands}echo '{separator}'\n")).collect();
    let binary = Path::new(env!("CARGO_BIN_EXE_apikey")).parent().unwrap();
    // Cargo builds examples with the tests, beside the binary.
    let path = format!("{0}:{0}/examples:{1}", binary.display(), std::env::var("PATH").unwrap());
    let done = Command::new("bash")
        // Without pipefail: `head` may close its pipe early.
        .args(["-euc", &format!("trap 'kill $(jobs -p) 2> /dev/null || true' EXIT\nexec 2>&1\n{script}")])
        .current_dir(place.path(""))
        .env("PATH", path)
        .env_remove("APIKEY_STORE")
        .env_remove("APIKEY_PREFIXES")
        .env_remove("APIKEY_SOCKET")
        .output()
        .unwrap();
    let printed = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{printed}");
    for ((commands, expected), printed) in steps.iter().zip(printed.split(&format!("{separator}\n"))) {
        let lines: Vec<&str> = printed.lines().filter(|line| !is_extra(line)).collect();
        let same = lines.len() == expected.lines().count()
            && lines.iter().zip(expected.lines()).all(|(line, expected)| matches(line, expected));
        assert!(same, "commands:\n{commands}\nprinted:\n{printed}\nexpected:\n{expected}");
    }
}

#[test]
fn walk_through_the_guide() {
    let steps = steps(GUIDE);
    assert!(steps.len() > 10 && steps.iter().all(|(_, output)| !output.is_empty()));
    walk(&Place::new(), &steps, |_| false);
}

#[test]
fn walk_through_the_page_of_a_leaked_key() {
    let steps = steps(LEAKED_KEY);
    assert!(steps.len() == 5 && steps.iter().all(|(_, output)| !output.is_empty()));
    walk(&Place::new(), &steps, |_| false);
}

/// Somebody who has the leaked key may also hide what it did behind newer events.
#[test]
#[cfg(target_os = "linux")]
fn the_page_of_a_leaked_key_finds_what_it_did_before_many_other_events() {
    let line = "apikey events --all --actor \"key:$ID\"";
    assert!(LEAKED_KEY.lines().any(|found| found == line), "the page asks in another way");
    let place = Place::new();
    let store = apikey_core::KeyStore::open(place.path("keys.db")).unwrap();
    let admin = apikey_core::NewKey::for_owner("shop").permissions(["keys:*"]);
    let leaked = store.create(admin).unwrap();
    let caller = store.verify(leaked.key.expose_secret()).unwrap();
    let made = store.create(apikey_core::NewKey::for_owner("shop").within(&caller)).unwrap();
    store.create_many((0..150).map(|_| apikey_core::NewKey::for_owner("other"))).unwrap();
    store.close().unwrap();
    drop(store);
    let id = leaked.info.id().to_string();
    let found = place.json(&["events", "--all", "--actor", &format!("key:{id}")]);
    let keys: Vec<_> = found["events"].as_array().unwrap().iter().map(|event| event["key"].clone()).collect();
    assert_eq!(keys, [serde_json::json!(made.info.id().to_string())]);
}

/// The part of the guide before the service prints the same with a service running.
#[test]
#[cfg(target_os = "linux")]
fn walk_through_the_guide_beside_a_service() {
    let (before, _) = GUIDE.split_once("## While a service runs").unwrap();
    let steps = steps(before);
    assert!(steps.len() > 5);
    let place = Place::new();
    let store = apikey_core::KeyStore::builder().admin_socket(true).open(place.path("keys.db")).unwrap();
    let connections = std::cell::Cell::new(0);
    walk(&place, &steps, |line| {
        let is_note = line.contains("is in use by process") && line.ends_with("keys.db/admin.sock");
        connections.set(connections.get() + usize::from(is_note));
        is_note
    });
    assert!(connections.get() > 15 && store.health().last_durable == 13, "{connections:?}");
}

#[test]
fn a_line_matches_or_not() {
    assert!(matches("created 1 (a,  b)", "created … (a, b)"));
    assert!(matches("x", "…") && matches("a b c", "a … c"));
    assert!(!matches("created 1 (a)", "created … (b)"));
    assert!(!matches("good, or not", "good"));
    assert!(!matches("no good", "good"));
}

#[test]
fn the_exit_codes_of_the_help_are_those_of_the_guide() {
    let help = Place::new().run(&["--help"]).ok().out;
    for code in 0..=8 {
        assert!(help.lines().any(|line| line.starts_with(&format!("  {code}  "))), "{help}");
        assert!(GUIDE.lines().any(|line| line.starts_with(&format!("| {code} |"))), "{code}");
    }
    assert!(!GUIDE.contains("\n| 9 |") && !help.contains("\n  9  "));
}
