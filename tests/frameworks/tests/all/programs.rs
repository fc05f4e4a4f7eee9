//! The examples as programs, as a reader starts them.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::examples::{ALL, free_port};
use crate::wire::{Call, is_up};

/// A program that is stopped when it is dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where Cargo puts the examples, beside the tests. It builds them before `cargo test` runs all tests of the package; if
/// one test was chosen they may be missing, or old.
fn path_of(example: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let path = profile.join("examples").join(format!("{example}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "build the examples first: cargo build -p apikey-frameworks --examples");
    path
}

#[test]
fn every_example_runs_and_prints_requests_that_work() {
    for example in ALL {
        let port = free_port();
        let mut command = Command::new(path_of(example.name));
        // What it logs is not looked at.
        let command = command.arg(port.to_string()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut program = Program(command.spawn().unwrap());
        // Kept to the end: a program that prints into a closed pipe fails.
        let mut lines = BufReader::new(program.0.stdout.take().unwrap()).lines();
        let printed: Vec<String> = lines.by_ref().take(2).map(Result::unwrap).collect();
        while !is_up(port) {
            assert!(program.0.try_wait().unwrap().is_none(), "{} has ended", example.name);
            std::thread::yield_now();
        }
        for line in printed {
            // curl -i -H 'X-API-Key: ak_...' http://127.0.0.1:1234/orders
            let key = line.split('\'').nth(1).unwrap().strip_prefix("X-API-Key: ").unwrap();
            assert!(line.ends_with(&format!("http://127.0.0.1:{port}/orders")), "{line}");
            assert_eq!(Call::get("/orders").key(key).send(port).status, 200, "{}", example.name);
        }
        assert_eq!(Call::get("/orders").send(port).status, 401, "{}", example.name);
        assert_eq!(Call::get("/health").send(port).status, 200, "{}", example.name);
        drop(lines);
    }
}
