//! The service, as systemd and container engines start and stop it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on may stop")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use apikey_cluster_tests::postgres::{Server, ServerConfig};

/// `openssl rand -hex 32`
const KEY: &str = "4f0c9a6d1b2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e";

struct Service {
    child: Child,
    address: String,
}

impl Service {
    fn start(directory: &Path) -> Self {
        Self::start_with(command(directory))
    }

    fn start_with(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening at ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Self { child, address }
    }

    /// The status of a request, and its body.
    fn get(&self, path: &str, key: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: shop\r\nX-API-Key: {key}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    fn terminate(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    command
        .env_clear()
        .env("STATE_DIRECTORY", directory.join("state"))
        .env("CREDENTIALS_DIRECTORY", directory.join("credentials"))
        .env("LISTEN", "127.0.0.1:0");
    command
}

/// Credentials as the examples make them: a pepper, and one key by its digest.
fn credentials(directory: &Path) {
    let credentials = directory.join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::create_dir(directory.join("state")).unwrap();
    std::fs::write(credentials.join("pepper"), [7; 32]).unwrap();
    // printf %s "$KEY" | sha256sum
    let line = "operator orders:*,keys:* sha256:cd6e4130c83cd14e1fb80e66b08c8d4b0c765959033965be90131ab5c5a0f8ca\n";
    std::fs::write(credentials.join("keys"), line).unwrap();
}

#[test]
fn it_says_that_it_is_ready_serves_and_ends_at_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    credentials(directory.path());
    let socket = directory.path().join("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    systemd.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut child = command(directory.path()).env("NOTIFY_SOCKET", &socket).stdout(Stdio::null()).spawn().unwrap();
    let mut word = [0; 64];
    let length = systemd.recv(&mut word).unwrap();
    assert_eq!(&word[..length], b"READY=1");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());

    let service = Service::start(directory.path());
    assert_eq!(service.get("/healthz", "").0, 200);
    assert_eq!(service.get("/readyz", "").0, 200);
    assert_eq!(service.get("/orders", "not a key").0, 401);
    assert_eq!(service.get("/orders", KEY), (200, "orders of operator\n".to_owned()));
    service.terminate();
}

/// The log has the key that each request came with, changes, and refusals with the caller's address behind a proxy.
#[test]
fn it_logs_requests_changes_and_refusals() {
    let directory = tempfile::tempdir().unwrap();
    credentials(directory.path());
    let log = directory.path().join("log");
    let mut command = command(directory.path());
    command.env("TRUSTED_PROXIES", "10.0.0.0/8, 127.0.0.1").stderr(std::fs::File::create(&log).unwrap());
    let service = Service::start_with(command);
    assert_eq!(service.get("/healthz", "").0, 200);
    assert_eq!(service.get("/orders", KEY).0, 200);
    assert_eq!(service.get("/orders", "not a key\r\nX-Forwarded-For: 192.0.2.7").0, 401);
    service.terminate();
    let log = std::fs::read_to_string(log).unwrap();
    let has = |parts: &[&str]| log.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(has(&["INFO", "API key changed: imported", "owner=\"operator\""]), "{log}");
    assert!(has(&["answered", "path=\"/orders\"", "apikey.id=", "apikey.owner=\"operator\"", "status=200"]), "{log}");
    assert!(has(&["API key refused", "invalid_api_key", "peer=192.0.2.7"]), "{log}");
    assert!(!log.contains("/healthz") && !log.contains(KEY), "{log}");
}

/// A new process starts before the old one has ended: it waits for the lock, and is ready when it has it.
#[test]
fn the_next_process_waits_for_the_one_before() {
    let directory = tempfile::tempdir().unwrap();
    credentials(directory.path());
    let old = Service::start(directory.path());
    let mut next = command(directory.path()).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(next.try_wait().unwrap().is_none(), "it gave up");
    old.terminate();
    let mut line = String::new();
    BufReader::new(next.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("listening at "), "{line:?}");
    Service { child: next, address: String::new() }.terminate();
}

/// Two nodes of a cluster, one of them without a disk of its own: the same key at both, and each leaves when it ends.
#[test]
fn nodes_of_a_cluster_serve_the_same_keys_and_leave_at_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    credentials(directory.path());
    let (primary, standby) = Server::start_with_standby(ServerConfig::default());
    let password = directory.path().join("db-password");
    std::fs::write(&password, "unused\n").unwrap();
    let node = |with_disk: bool| {
        let mut command = command(directory.path());
        command
            .env("APIKEY_POSTGRES", primary.connection())
            .env("APIKEY_NAMESPACE", "shop")
            .env("APIKEY_PASSWORD_FILE", &password);
        if !with_disk {
            command.env("STATE_DIRECTORY", "");
        }
        command
    };
    let (one, two) = (Service::start_with(node(true)), Service::start_with(node(false)));
    for service in [&one, &two] {
        assert_eq!(service.get("/readyz", "").0, 200);
        assert_eq!(service.get("/orders", KEY), (200, "orders of operator\n".to_owned()));
    }
    let listed = "SELECT count(*) FROM apikey_cell WHERE namespace = 'shop' AND kind = 2";
    assert_eq!(primary.sql(listed), "2");
    two.terminate();
    assert_eq!(primary.sql(listed), "1");
    one.terminate();
    assert_eq!(primary.sql(listed), "0");
    drop(standby);
}

#[test]
fn what_is_missing_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let run = |command: &mut Command| {
        let done = command.output().unwrap();
        assert!(!done.status.success());
        String::from_utf8(done.stderr).unwrap()
    };
    assert!(run(command(directory.path()).env_remove("STATE_DIRECTORY")).contains("STATE_DIRECTORY"));
    assert!(run(&mut command(directory.path())).contains("credentials/pepper"));
    assert!(run(command(directory.path()).env("RUST_LOG", "apikey=loud")).contains("RUST_LOG"));
    credentials(directory.path());
    let error = run(command(directory.path()).env("TRUSTED_PROXIES", "10.0.0.0/99"));
    assert!(error.contains("10.0.0.0/99"), "{error}");
}
