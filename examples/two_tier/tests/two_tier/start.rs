//! Starts that fail, the help, and the stop.

use std::net::TcpListener;

use tempfile::tempdir;

use crate::demo::{Demo, run};

/// Exit code 1 and one clear message: no panic, nothing on stdout.
fn refusal(output: &std::process::Output) -> String {
    let message = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(message.starts_with("two_tier: ") && !message.contains("panicked"), "{message}");
    message
}

#[test]
fn a_second_process_on_the_same_store_says_so() {
    let dir = tempdir().unwrap();
    let store = dir.path().join("keys.db");
    let _first = Demo::start(&store);
    let message = refusal(&run::<&str>(&store, &[]));
    assert!(message.contains("in use"), "{message}");
    assert!(message.contains("--store"), "{message}");
    assert!(message.contains("keys.db"), "{message}");
}

#[test]
fn a_port_in_use_is_named_and_no_keys_are_made() {
    let dir = tempdir().unwrap();
    let store = dir.path().join("keys.db");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for option in ["--api-port", "--page-port", "--console-port"] {
        let message = refusal(&run(&store, &[option, &port]));
        assert!(message.contains(&port) && message.contains("in use") && message.contains(option), "{message}");
    }
    assert!(!store.exists());
}

#[test]
fn a_store_that_is_a_file_is_refused() {
    let dir = tempdir().unwrap();
    let store = dir.path().join("keys.db");
    std::fs::write(&store, "notes").unwrap();
    let message = refusal(&run::<&str>(&store, &[]));
    assert!(message.contains("keys.db"), "{message}");
    assert_eq!(std::fs::read_to_string(&store).unwrap(), "notes");
}

#[test]
fn help_names_every_option() {
    let dir = tempdir().unwrap();
    let output = run(dir.path(), &["--help"]);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for option in [
        "--api-port",
        "--page-port",
        "--console-port",
        "--store",
        "--new-demo-keys",
        "--admin-socket",
        "[default: 8080]",
        "[default: 8081]",
        "[default: 8082]",
    ] {
        assert!(help.contains(option), "{option} in {help}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_and_sigterm_stop_it_cleanly() {
    use rustix::process::Signal;

    let dir = tempdir().unwrap();
    let store = dir.path().join("keys.db");
    for signal in [Signal::INT, Signal::TERM] {
        // A connection without a request, as browsers keep them, must not delay the stop.
        let demo = Demo::start(&store);
        let _spare = std::net::TcpStream::connect(demo.api.strip_prefix("http://").unwrap()).unwrap();
        let (status, printed) = demo.stop(signal);
        assert_eq!(status.code(), Some(0), "{signal:?}");
        assert_eq!(printed, ["Stopped."], "{signal:?}");
    }
}
