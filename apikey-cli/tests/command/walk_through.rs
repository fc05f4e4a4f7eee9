//! docs/operations.md: its commands, run exactly as printed, print what it says.

use std::path::Path;
use std::process::Command;

use super::Place;

const GUIDE: &str = include_str!("../../../docs/operations.md");

/// The blocks of commands, each with the output that follows it.
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

/// Whether a line is as the guide says: `…` stands for anything, and columns may be wider.
fn fits(line: &str, told: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (line, told) = (words(line), words(told));
    let mut parts = told.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Runs blocks one after the other in one shell, and holds what each prints against what is told.
fn walk(place: &Place, steps: &[(String, String)], told_besides: impl Fn(&str) -> bool) {
    let mark = "@@ the next block @@";
    let script: String = steps.iter().map(|(commands, _)| format!("{commands}echo '{mark}'\n")).collect();
    let binary = Path::new(env!("CARGO_BIN_EXE_apikey")).parent().unwrap();
    // Examples are built with the tests, beside the binary.
    let path = format!("{0}:{0}/examples:{1}", binary.display(), std::env::var("PATH").unwrap());
    let done = Command::new("bash")
        // Not pipefail: `head` may close its pipe before all is written.
        .args(["-euc", &format!("trap 'kill $(jobs -p) 2> /dev/null || true' EXIT\nexec 2>&1\n{script}")])
        .current_dir(place.path(""))
        .env("PATH", path)
        .env_remove("APIKEY_STORE")
        .env_remove("APIKEY_PREFIX")
        .env_remove("APIKEY_SOCKET")
        .output()
        .unwrap();
    let printed = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{printed}");
    for ((commands, told), printed) in steps.iter().zip(printed.split(&format!("{mark}\n"))) {
        let lines: Vec<&str> = printed.lines().filter(|line| !told_besides(line)).collect();
        let same =
            lines.len() == told.lines().count() && lines.iter().zip(told.lines()).all(|(line, told)| fits(line, told));
        assert!(same, "commands:\n{commands}\nprinted:\n{printed}\ntold:\n{told}");
    }
}

#[test]
fn walk_through_the_guide() {
    let steps = steps(GUIDE);
    assert!(steps.len() > 10 && steps.iter().all(|(_, output)| !output.is_empty()));
    walk(&Place::new(), &steps, |_| false);
}

/// What comes before the service in the guide is the same with a service that runs all the while.
#[test]
#[cfg(target_os = "linux")]
fn walk_through_the_guide_beside_a_service() {
    let (before, _) = GUIDE.split_once("## While a service runs").unwrap();
    let steps = steps(before);
    assert!(steps.len() > 5);
    let place = Place::new();
    let store = apikey_core::KeyStore::builder().admin_socket(true).open(place.path("keys.db")).unwrap();
    let asked = std::cell::Cell::new(0);
    walk(&place, &steps, |line| {
        let besides = line.contains("is in use by process") && line.ends_with("keys.db/admin.sock");
        asked.set(asked.get() + usize::from(besides));
        besides
    });
    assert!(asked.get() > 15 && store.health().last_durable == 13, "{asked:?}");
}

#[test]
fn a_line_fits_or_not() {
    assert!(fits("made 1 (a,  b)", "made … (a, b)"));
    assert!(fits("x", "…") && fits("a b c", "a … c"));
    assert!(!fits("made 1 (a)", "made … (b)"));
    assert!(!fits("good, or not", "good"));
    assert!(!fits("no good", "good"));
}

#[test]
fn the_exit_codes_of_the_help_are_those_of_the_guide() {
    let help = Place::new().run(&["--help"]).ok().out;
    for code in 0..=7 {
        assert!(help.lines().any(|line| line.starts_with(&format!("  {code}  "))), "{help}");
        assert!(GUIDE.lines().any(|line| line.starts_with(&format!("| {code} |"))), "{code}");
    }
    assert!(!GUIDE.contains("\n| 8 |") && !help.contains("\n  8  "));
}
