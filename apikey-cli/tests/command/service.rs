//! The same commands on a store that a running service has open.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use apikey_core::admin::PROTOCOL;
use apikey_core::{EventFilter, KeyFilter, KeyStore, NewKey};
use apikey_testkit::{Process, wait_until};
use serde_json::Value;

use super::{Done, Place};

impl Place {
    /// A store that this process has open, as a service does.
    fn with_service() -> (Self, KeyStore) {
        let place = Self::new();
        let store = KeyStore::builder().admin_socket(true).open(place.path("keys.db")).unwrap();
        (place, store)
    }
}

#[test]
fn a_service_without_a_socket_may_be_starting() {
    let place = Place::new();
    let _service = KeyStore::open(place.path("keys.db")).unwrap();
    let refused = place.run(&["list"]).with(5).says("It offers no admin socket");
    refused.says("If it is starting, it offers one when it has opened the store").says("--wait 30s waits");
}

/// As in the moment after a service has begun to listen.
#[test]
fn a_socket_that_the_lock_file_does_not_name_yet_is_found() {
    let (place, service) = Place::with_service();
    service.create(NewKey::for_owner("alice")).unwrap();
    fs::write(place.path("keys.db/lock"), format!("pid {}\nprogram service\n", std::process::id())).unwrap();
    place.run(&["list"]).ok().shows("alice").says("asking it at");
}

pub(super) fn stable(text: &str) -> String {
    // Ids, secrets and times differ from one store to another.
    let word = |word: &str| {
        let moving = word.contains("T0") || word.contains("T1") || word.contains("T2") || word.len() >= 36;
        if moving || word.starts_with("ak_") || word.contains('…') { "…".to_owned() } else { word.to_owned() }
    };
    let text: Vec<String> = text.split_whitespace().map(word).collect();
    // On a busy machine a moment may take long. The larger numbers first: "12 seconds ago" ends with "2 seconds ago".
    let mut ago: Vec<String> = (2..60).rev().map(|seconds| format!("{seconds} seconds ago")).collect();
    ago.extend(["1 second ago", "1 minute ago", "now"].map(str::to_owned));
    ago.iter().fold(text.join(" "), |text, ago| text.replace(ago, "a moment ago"))
}

#[test]
fn an_update_without_an_option_is_refused_through_a_service() {
    let (place, store) = Place::with_service();
    let id = store.create(NewKey::for_owner("alice")).unwrap().info.id().to_string();
    place.run(&["update", &id]).with(2).says("name at least one change");
}

#[test]
fn every_command_answers_the_same_through_a_service() {
    let (offline, (online, service)) = (Place::new(), Place::with_service());
    let both = |input: &str, arguments: &[&str]| {
        let (here, there) = (offline.fed(input, arguments), online.fed(input, arguments));
        assert_eq!((here.code, stable(&here.out)), (there.code, stable(&there.out)), "{arguments:?}: {there:?}");
        let holder = format!("is in use by process {}", std::process::id());
        let (note, rest) = there.err.split_once('\n').unwrap_or_default();
        assert!(note.contains(&holder) && note.ends_with("keys.db/admin.sock"), "{there:?}");
        assert_eq!(stable(&here.err), stable(rest), "{arguments:?}");
        (here, there)
    };
    both("", &["init", "--out", "admin.key"]);
    both("", &["init"]);
    both("", &["create", "alice", "--name", "ci", "--permission", "orders:*", "--expires-in", "90d"]);
    both("", &["create", "alice", "--permission", "Orders"]);
    both("", &["list"]);
    both("", &["role", "list"]);
    both("", &["role", "put", "reader", "--permission", "stock:read", "--description", "reads stock"]);
    both("", &["role", "put", "Reader", "--no-permissions"]);
    both("", &["create", "frank", "--role", "reader,writer"]);
    both("", &["create", "frank", "--role", "reader"]);
    both("", &["role", "delete", "reader"]);
    both("", &["role", "delete", "writer"]);
    both("", &["role", "show", "reader"]);
    both("", &["role", "list"]);
    both("", &["list", "--role", "reader"]);
    both("", &["tenant", "list"]);
    both("", &["create", "admin", "--tenant", "acme", "--permission", "orders:*"]);
    both("", &["create", "admin", "--tenant", "Acme"]);
    both("", &["list", "--tenant", "acme"]);
    both("", &["list", "--owner", "admin", "--any-tenant"]);
    both("", &["tenant", "put", "acme", "--permission", "orders:read", "--limit", "100/1m"]);
    both("", &["tenant", "show", "acme"]);
    both("", &["tenant", "list"]);
    both("", &["revoke", "--tenant", "acme", "--owner", "admin", "--yes"]);
    both("", &["tenant", "end", "acme", "--reason", "left", "--yes"]);
    both("", &["tenant", "end", "acme", "--reason", "left", "--yes"]);
    both("", &["create", "admin", "--tenant", "acme"]);
    both("", &["tenant", "show", "nobody"]);
    both("", &["events", "--tenant", "acme"]);
    both("", &["list", "--permission", "stock:read"]);
    both("", &["list", "--owner", "alice", "--state", "active", "--limit", "1"]);
    both("", &["show", "01931a4e-7c3b-7def-8123-456789abcdef"]);
    both("ak_no", &["check"]);
    both("ak_no", &["check", "--peer", "10.0.0.1"]);
    both("01931a4e-7c3b-7def-8123-456789abcdef\nno id\n", &["enable", "--from", "-"]);
    both("01931a4e-7c3b-7def-8123-456789abcdef\n", &["revoke", "--from", "-", "--count", "1"]);
    both("legacy-7f3a9c1e5b2d4860\tbob\nshort\tcarol\n", &["import", "--dry-run"]);
    both("legacy-7f3a9c1e5b2d4860\tbob\nshort\tcarol\n", &["import"]);
    both("legacy-7f3a9c1e5b2d4860", &["check"]);
    both("", &["export", "--out", "keys.jsonl"]);
    both("", &["revoke", "--owner", "alice", "--reason", "left", "--yes"]);
    both("", &["events"]);
    both("", &["backup", "keys.backup"]);
    both("", &["purge", "--before", "0s", "--yes"]);
    both("", &["purge-events", "--before", "0s", "--yes"]);
    both("", &["quota", "01931a4e-7c3b-7def-8123-456789abcdef"]);
    both("", &["usage", "--owner", "alice"]);
    both("", &["usage", "--step", "day", "--since", "400d"]);
    both("", &["usage", "--step", "minute", "--since", "2020-01-01"]);
    both("", &["usage", "--most-used", "5"]);
    both("", &["usage", "01931a4e-7c3b-7def-8123-456789abcdef"]);
    both("", &["doctor"]);
    both("{\n\n{}\n", &["import-lines"]);
    assert!(service.health().last_durable > 0);

    // The service sees the command's changes, and the command the service's.
    let (id, secret) = online.key(&["dave"]);
    assert_eq!(service.verify(&secret).unwrap().owner(), "dave");
    let next = online.json(&["rotate", &id, "--overlap", "first-use"])["secret"].as_str().unwrap().to_owned();
    for key in [&next, &secret] {
        online.check(key).ok();
    }
    assert!(service.verify(&secret).unwrap().superseded(), "a check is no use");
    online.run(&["update", &id, "--metadata", "team=blue", "--no-name"]).ok();
    online.run(&["disable", &id]).ok();
    assert_eq!(service.verify(&next).unwrap_err().code(), "disabled_api_key");
    online.run(&["enable", &id]).ok();
    online.run(&["revoke", &id]).ok();
    online.check(&next).with(1).shows("revoked_api_key").shows(&format!("it is {id} (dave): revoked"));
    let (bound, secret) = online.key(&["gina", "--network", "10.0.0.0/8"]);
    let away = online.fed(&secret, &["check", "--peer", "192.0.2.1"]).with(1);
    away.shows("address_not_allowed").shows(&format!("it is {bound} (gina): active, networks 10.0.0.0/8"));
    let list = [id.as_str(), &bound].join("\n");
    online.fed(list, &["revoke", "--from", "-", "--yes"]).ok().shows("revoked: 1 key; revoked before: 1; refused: 0");
    assert_eq!(service.verify(&secret).unwrap_err().code(), "revoked_api_key");
    let listed: Value = online.json(&["list", "--owner", "dave"]);
    assert_eq!(listed["keys"][0]["metadata"]["team"], "blue");
    service.close().unwrap();
}

#[test]
fn events_name_the_user() {
    let (place, service) = Place::with_service();
    service.create(NewKey::for_owner("alice")).unwrap();
    place.run(&["create", "bob"]).ok();
    drop(service);
    place.run(&["create", "carol"]).ok();
    let user = format!("uid:{}", rustix::process::geteuid().as_raw());
    let events = place.json(&["events", "--oldest-first"]);
    let actors: Vec<&Value> = events["events"].as_array().unwrap().iter().map(|event| &event["actor"]).collect();
    assert_eq!(actors, [&Value::Null, &user.as_str().into(), &user.as_str().into()]);
    place.run(&["events"]).ok().shows(&user);
}

#[test]
fn many_keys_pass_through_the_socket_in_batches() {
    let (place, service) = Place::with_service();
    let long = "x".repeat(500);
    let many = (0..600).map(|_| (0..8).fold(NewKey::for_owner("alice"), |new, at| new.metadata(at.to_string(), &long)));
    service.create_many(many).unwrap();
    // Each is more than 4 KB: no page of 600 fits into one message.
    assert_eq!(place.json(&["list"])["keys"].as_array().unwrap().len(), 600);
    place.run(&["export", "--digests", "--out", "keys.jsonl"]).ok().says("exported 600 keys");
    let whole = fs::read(place.path("keys.jsonl")).unwrap();
    let copy = Place::new();
    let other = KeyStore::builder().admin_socket(true).open(copy.path("keys.db")).unwrap();
    let bad = [&whole[..], b"{\n\xff\xfe\n", "y".repeat(200_000).as_bytes(), b"\n\n\"\n"].concat();
    let done = copy.fed(&bad, &["import-lines"]).with(1).shows("imported: 600 keys; refused: 4 lines");
    let done = done
        .says("line 601: it is not a key, a role, a tenant or an owner as JSON: look at column 1")
        .says("line 602: it is not a key");
    done.says("line 603: it has more than 131072 bytes").says("line 605: it is not a key");
    assert_eq!(place.json(&["list"]), copy.json(&["list"]));
    let lines: String = (0..5000).map(|at| format!("legacy-7f3a9c1e5b2d4860-{at:05}\t{}\n", "o".repeat(100))).collect();
    copy.fed(&lines, &["import", "--dry-run"]).ok().shows("would be imported: 5000 keys");
    copy.fed(format!("{lines}{lines}"), &["import", "--dry-run"]).with(1).shows("5000 keys; refused: 5000 lines");
    copy.fed(&lines, &["import"]).ok().shows("imported: 5000 keys");
    assert_eq!(other.list(&KeyFilter::owner("o".repeat(100)).limit(1000)).unwrap().keys.len(), 1000);
    let events = copy.json(&["events", "--all"]);
    assert_eq!(events["events"].as_array().unwrap().len(), 5600);
}

#[test]
fn commands_that_a_service_cannot_serve_say_so() {
    let (place, _service) = Place::with_service();
    place.run(&["backup", "keys.backup"]).ok();
    let over = place.run(&["restore", "keys.backup", "--into", "new.db", "--over", "keys.db"]).with(5);
    over.says("is in use by process").says("stop it first");
    assert!(!place.path("new.db/sled").exists());
    place.run(&["salvage", "--into", "new.db"]).with(5).says("stop it first");
    let refused = place.run(&["--json", "show", "01931a4e-7c3b-7def-8123-456789abcdef"]).with(3);
    assert_eq!(serde_json::from_str::<Value>(&refused.err).unwrap()["error"], "not_found", "one document");
}

#[test]
fn the_socket_exists_while_the_store_is_open_and_is_private() {
    let place = Place::new();
    let open = || KeyStore::builder().admin_socket(true).open(place.path("keys.db"));
    let socket = place.path("keys.db/admin.sock");
    let store = open().unwrap();
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(place.path("keys.db")).unwrap().permissions().mode() & 0o777, 0o700);
    // Dropping a clone closes nothing.
    drop(store.clone());
    place.run(&["list"]).ok().says("asking it at");
    store.close().unwrap();
    assert!(!socket.exists());
    place.run(&["list"]).ok();

    // A killed process leaves its socket behind.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    drop(open().unwrap());
    fs::write(&socket, "no socket").unwrap();
    let refused = open().unwrap_err().to_string();
    assert!(refused.contains("is not a socket"), "{refused}");
    assert_eq!(fs::read_to_string(&socket).unwrap(), "no socket");
    fs::remove_file(&socket).unwrap();
    drop(open().unwrap());
}

#[test]
fn the_socket_may_be_elsewhere() {
    let place = Place::new();
    let at = place.path("elsewhere.sock");
    let open = |store: &str| KeyStore::builder().admin_socket_at(&at).open(place.path(store));
    let store = open("keys.db").unwrap();
    place.run(&["list"]).ok().says("elsewhere.sock");
    assert!(open("other.db").unwrap_err().to_string().contains("another process listens at"));
    place.run(&["list"]).ok().says("elsewhere.sock");
    drop(store);
    assert!(!at.exists());
    let long = place.path(&"x".repeat(100));
    let error = KeyStore::builder().admin_socket_at(&long).open(place.path("keys.db")).unwrap_err().to_string();
    assert!(error.contains("at most 107") && error.contains("admin_socket_at"), "{error}");
    let deep = place.path(&format!("{}/keys.db", "d".repeat(100)));
    assert!(KeyStore::builder().admin_socket(true).open(&deep).is_err() && !deep.exists());
    assert!(KeyStore::builder().admin_socket(true).temporary().unwrap_err().to_string().contains("temporary"));
}

#[test]
fn a_malformed_message_is_answered_and_the_service_goes_on() {
    let (place, service) = Place::with_service();
    let connect = || UnixStream::connect(place.path("keys.db/admin.sock")).unwrap();
    for sent in [&[9, 0, 0, 0, 1, b'1'][..], &[PROTOCOL, 255, 0, 0, 0], &[PROTOCOL, 0, 0, 0, 4, b'n', b'o', b'p', b'e']]
    {
        let mut stream = connect();
        stream.write_all(sent).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let text = String::from_utf8_lossy(&answer);
        assert!(text.contains("fault") && text.contains("protocol"), "{text}");
    }
    // A truncated message.
    connect().write_all(&[PROTOCOL, 0, 0, 0, 9, b'{']).unwrap();
    // More connections than the server accepts: it rejects the rest with an error.
    let mut crowd = Vec::new();
    while crowd.len() < 16 {
        let mut stream = connect();
        let message = br#""health""#;
        // The earlier connections close one by one.
        if stream.write_all(&[&[PROTOCOL, 0, 0, 0, 8], &message[..]].concat()).is_err() {
            continue;
        }
        let mut answer = vec![0; 300];
        let length = stream.read(&mut answer).unwrap_or(0);
        if String::from_utf8_lossy(&answer[..length]).contains("durable") {
            crowd.push(stream);
        }
    }
    let mut one_more = connect();
    let mut answer = Vec::new();
    one_more.read_to_end(&mut answer).unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("16 operators"));
    place.run(&["list"]).with(7).says("16 operators are connected already");
    drop(crowd);
    while place.run(&["list"]).code == 7 {}
    // A silent connection blocks no other.
    let _silent = connect();
    service.close().unwrap();
}

#[test]
fn a_command_waits_for_a_service_that_stops() {
    let place = Place::new();
    let store = KeyStore::open(place.path("keys.db")).unwrap();
    store.create(NewKey::for_owner("alice")).unwrap();
    let mut waiting = place.command(&["--wait", "1m", "list"]);
    let waiting = waiting.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(store);
    let done = waiting.wait_with_output().unwrap();
    assert!(done.status.success() && String::from_utf8_lossy(&done.stdout).contains("alice"));
}

#[test]
fn changes_go_on_while_operators_connect_and_leave() {
    let (place, service) = Place::with_service();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..5 {
                    place.run(&["create", "operator"]).ok();
                }
            });
        }
        for _ in 0..50 {
            service.create(NewKey::for_owner("service")).unwrap();
        }
    });
    let events = service.events(&EventFilter::default().limit(1000)).unwrap().events;
    assert_eq!((events.len(), events.iter().filter(|event| event.actor().is_some()).count()), (65, 15));
    assert!(service.verify_events().unwrap().is_whole());
}

/// As on a full disk: the service writes nothing more, and still answers.
#[test]
fn a_service_with_a_failed_disk_still_answers() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    let (place, admin) = Place::with_store();
    let service = std::path::Path::new(env!("CARGO_BIN_EXE_apikey")).with_file_name("examples").join("service");
    // A write beyond the limit is then an error, and not the end of the process.
    let script = format!("trap '' XFSZ; exec '{}' keys.db", service.display());
    let mut command = std::process::Command::new("sh");
    let service = Process::start(command.args(["-c", &script]).current_dir(place.path("")));
    wait_until("the service listens", || place.has_socket_of(service.id()));
    place.run(&["create", "alice"]).ok();
    let pid = Pid::from_raw(i32::try_from(service.id()).unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current: Some(0), maximum: None }).unwrap();
    place.run(&["create", "bob"]).with(7).says("cannot write or read");
    place.run(&["doctor"]).with(1).shows("fails since");
    place.run(&["list"]).ok().shows("alice").says("the service's disk fails since");
    place.run(&["list", "--owner", "alice"]).ok().shows("alice");
    place.run(&["events"]).ok().shows("created");
    place.fed(&admin, &["check"]).ok().shows("good").says("the service's disk fails since");
    let done = place.json(&["list"]);
    assert_eq!(done["keys"].as_array().unwrap().len(), 2);
}

#[test]
fn a_service_that_does_not_answer_is_named() {
    let (place, _service) = Place::with_service();
    let silent = UnixListener::bind(place.path("silent.sock")).unwrap();
    let mut command = place.command(&["--socket", "silent.sock", "list"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().ends_with("asking it at silent.sock"));
    let late = lines.next().unwrap();
    assert!(late.contains(&format!("in use by process {}", std::process::id())), "{late}");
    assert!(late.contains("has not answered yet") && late.contains("`apikey events` shows"), "{late}");
    drop(silent);
    Done::of(child).with(7);
}
