//! Runs the commands of docs/guides/managing-over-http.md exactly as printed, and compares their output with the page.

use std::process::Command;

use apikey::KeyStore;
use apikey::management::Management;

use crate::fixture::Api;
use crate::wire::serve;

const GUIDE: &str = include_str!("../../../docs/guides/managing-over-http.md");

/// The blocks of commands, each with the output block that follows it.
fn steps() -> Vec<(String, String)> {
    let blocks: Vec<&str> = GUIDE.split("```").collect();
    let mut steps: Vec<(String, String)> = Vec::new();
    for block in blocks {
        if let Some(commands) = block.strip_prefix("sh\n") {
            steps.push((commands.to_owned(), String::new()));
        } else if let Some(output) = block.strip_prefix("text\n") {
            output.clone_into(&mut steps.last_mut().unwrap().1);
        }
    }
    steps
}

/// Whether a line is as the page says, where `…` stands for anything. Members of an object may be in any order: they are in that of
/// their names, unless some crate of the program has turned on `preserve_order` of serde_json, as one of this workspace does.
fn matches(line: &str, expected: &str) -> bool {
    if expected.starts_with(['{', '"']) {
        return expected.split(['…', ',', '{', '}', '[', ']']).all(|member| line.contains(member));
    }
    let parts: Vec<String> = expected.split('…').map(regex::escape).collect();
    regex::Regex::new(&format!("^{}$", parts.join(".*"))).unwrap().is_match(line)
}

apikey::permissions! {
    enum Perm {
        /// Read orders.
        OrdersRead = "orders:read",
        /// Place and change orders.
        OrdersWrite = "orders:write",
    }
}

#[test]
fn every_command_of_the_guide_prints_what_it_says() {
    let store = KeyStore::builder().count_use(true).temporary().unwrap();
    let api = Api { management: Management::new(store.clone()).offer(Perm::ALL), store };
    let admin = api.key("root", &["*"]);
    let (_runtime, port) = serve(&api);
    let steps = steps();
    assert!(steps.len() >= 12 && steps.iter().all(|(_, output)| !output.is_empty()));
    let separator = "@@ the next block @@";
    let script: String = steps.iter().map(|(commands, _)| format!("{commands}printf '\\n{separator}\\n'\n")).collect();
    let done = Command::new("bash")
        .args(["-euc", &format!("exec 2>&1\n{script}")])
        .env("API", format!("http://127.0.0.1:{port}/admin/v1"))
        .env("ADMIN", admin.key.expose_secret())
        .output()
        .unwrap();
    let printed = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{printed}");
    let mut wrong = Vec::new();
    for ((commands, expected), printed) in steps.iter().zip(printed.split(&format!("{separator}\n"))) {
        let lines: Vec<&str> = printed.trim_end().lines().collect();
        let expected: Vec<&str> = expected.lines().collect();
        let same = lines.len() == expected.len() && lines.iter().zip(&expected).all(|(line, one)| matches(line, one));
        if !same {
            wrong.push(format!("commands:\n{commands}\nprinted:\n{printed}\nexpected:\n{}\n", expected.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_guide_names_every_operation() {
    let document = Api::new().management.document();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(
                GUIDE.contains(&format!("`{id}`")) || GUIDE.contains(&format!("**{id}**")),
                "{id}: {method} {path}"
            );
        }
    }
}
