//! Runs the program of the quick start in an empty directory, and calls it as the page does.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const PAGE: &str = include_str!("../../../docs/start/quick-start.md");
const README: &str = include_str!("../../../README.md");

/// Ends the program when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What Cargo builds beside the tests.
fn program() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    Some(test.parent()?.parent()?.join("examples").join(format!("quick_start{}", std::env::consts::EXE_SUFFIX)))
}

#[test]
fn the_readme_has_the_program_of_the_page() {
    let (_, rest) = PAGE.split_once("```rust,no_run\n").unwrap();
    let (program, _) = rest.split_once("```\n").unwrap();
    assert!(README.contains(program));
}

#[tokio::test]
async fn the_program_answers_as_the_page_says() {
    let place = tempfile::tempdir().unwrap();
    let mut child = Command::new(program().unwrap())
        .env("NO_COLOR", "1")
        // Without it the level depends on a feature of tracing-subscriber that other packages of the same build enable.
        .env("RUST_LOG", "info")
        .current_dir(&place)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let _running = Running(child);

    let log = output.next().unwrap().unwrap();
    assert!(log.contains("API key changed: created") && log.contains("actor=first_key number=1"), "{log}");
    let listening = output.next().unwrap().unwrap();
    let base =
        listening.strip_prefix("listening on ").unwrap().strip_suffix("; the first key is in admin.key").unwrap();

    let refused = reqwest::get(format!("{base}/orders")).await.unwrap();
    assert_eq!(refused.status(), 401);
    for header in ["content-type", "www-authenticate", "cache-control", "vary", "content-length"] {
        let line = format!("{header}: {}\n", refused.headers()[header].to_str().unwrap());
        assert!(PAGE.contains(&line), "{line}");
    }
    let body = refused.text().await.unwrap();
    assert!(PAGE.contains(&body), "{body}");

    let token = fs::read_to_string(place.path().join("admin.key")).unwrap();
    let orders = reqwest::Client::new().get(format!("{base}/orders")).header("X-API-Key", token.trim_end()).send();
    assert_eq!(orders.await.unwrap().text().await.unwrap(), "orders of admin\n");
    assert_eq!(reqwest::get(format!("{base}/health")).await.unwrap().text().await.unwrap(), "ok\n");
}
