//! The examples as programs: a reader starts them like this.

use apikey_testkit::{Call, Process, free_port, is_up};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::examples::ALL;

/// Far more than a start needs, so that a busy machine is no failure.
const LIMIT: Duration = Duration::from_secs(60);

/// Where Cargo puts the examples. It builds them before it runs all tests of the package; for a single test they may be
/// missing, or old.
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
        // This test does not read what it logs.
        let mut program = Process::start(command.arg(port.to_string()).stderr(Stdio::null()));
        let printed = [(); 2].map(|()| program.line(LIMIT).expect("two lines"));
        while !is_up(port) {
            assert!(program.ended(Duration::ZERO).is_none(), "{} has ended", example.name);
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
    }
}
