//! axe-core, which finds what keeps people out of a page.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::json;

use crate::page::Page;

const VERSION: &str = "4.14.1";

/// Its script, from npm, in the target directory.
fn script() -> &'static str {
    static SCRIPT: OnceLock<String> = OnceLock::new();
    SCRIPT.get_or_init(|| {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("axe-core-{VERSION}"));
        let file = dir.join("node_modules/axe-core/axe.min.js");
        if !file.exists() {
            install(&dir);
        }
        std::fs::read_to_string(file).unwrap()
    })
}

fn install(dir: &Path) {
    let mut npm = Command::new("npm");
    npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--prefix"]).arg(dir);
    npm.arg(format!("axe-core@{VERSION}")).stdin(Stdio::null());
    let status = npm.status().unwrap_or_else(|error| panic!("npm: {error}; run ./test, which installs it"));
    assert!(status.success(), "npm could not install axe-core: {status}");
}

/// Checks that nobody is kept out of what the page shows now.
pub(crate) async fn lets_everybody_in(page: &Page, what: &str) {
    let run = "const done = arguments[0];
        axe.run(document, { resultTypes: ['violations'] }).then(
            (found) => done(found.violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
                .map(({ id, nodes }) => [id, nodes.map(({ html, any }) => [html, any.map(({ message }) => message)])])),
            (error) => done(String(error)));";
    page.browser.value(&format!("(() => {{ {}; return null; }})()", script())).await;
    let found = page.browser.wait_for(run, Vec::new()).await;
    assert_eq!(found, json!([]), "{what}: {found:#}");
}
