//! docs/operations.md: its commands, run exactly as printed, print what it says.

use std::process::Command;

use super::Place;

const GUIDE: &str = include_str!("../../../docs/operations.md");

/// The blocks of commands, each with the output that follows it.
fn steps() -> Vec<(String, String)> {
    let mut steps: Vec<(String, String)> = Vec::new();
    let mut kind = None;
    for line in GUIDE.lines() {
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

#[test]
fn walk_through_the_guide() {
    let place = Place::new();
    let steps = steps();
    assert!(steps.len() > 8 && steps.iter().all(|(_, output)| !output.is_empty()));
    let mark = "@@ the next block @@";
    let script: String = steps.iter().map(|(commands, _)| format!("{commands}echo '{mark}'\n")).collect();
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_apikey")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let done = Command::new("bash")
        // Not pipefail: `head` may close its pipe before all is written.
        .args(["-euc", &format!("exec 2>&1\n{script}")])
        .current_dir(place.path(""))
        .env("PATH", path)
        .env_remove("APIKEY_STORE")
        .env_remove("APIKEY_PREFIX")
        .output()
        .unwrap();
    let printed = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{printed}");
    for ((commands, told), printed) in steps.iter().zip(printed.split(&format!("{mark}\n"))) {
        let same = printed.lines().count() == told.lines().count()
            && printed.lines().zip(told.lines()).all(|(line, told)| fits(line, told));
        assert!(same, "commands:\n{commands}\nprinted:\n{printed}\ntold:\n{told}");
    }
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
