//! The same commands on a service that has the API for managing keys at a URL.

use std::future::Future;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use apikey::management::{Management, handle};
use apikey_core::{KeyStore, NewKey};
use http::Request;

use super::service::stable;
use super::{Done, Place};

/// A service with the API, and the file with a key that may do everything there.
struct Api {
    store: KeyStore,
    place: Place,
    url: String,
}

impl Api {
    fn start() -> Self {
        let (place, admin) = Place::with_store();
        std::fs::write(place.path("admin.key"), format!("{admin}\n")).unwrap();
        let store = KeyStore::builder().count_use(true).open(place.path("keys.db")).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}/admin/v1/", listener.local_addr().unwrap());
        let api = Management::new(store.clone());
        thread::spawn(move || listener.incoming().for_each(|stream| serve(&api, stream.unwrap())));
        Self { store, place, url }
    }

    fn fed(&self, input: &str, arguments: &[&str]) -> Done {
        self.place.fed(input, &[&["--url", &self.url, "--key-file", "admin.key"], arguments].concat())
    }

    fn run(&self, arguments: &[&str]) -> Done {
        self.fed("", arguments)
    }
}

/// Answers the request of a connection.
fn serve(api: &Management, stream: TcpStream) {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines[0].split(' ');
    let mut request = Request::builder().method(words.next().unwrap());
    request = request.uri(words.next().unwrap().strip_prefix("/admin/v1").unwrap());
    for line in &lines[1..] {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let length = request.headers_ref().unwrap().get("content-length");
    let mut body = vec![0; length.map_or(0, |length| length.to_str().unwrap().parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    let response = wait(handle(api, request.body(body).unwrap()));
    let mut answer = format!("HTTP/1.1 {}\r\nConnection: close\r\n", response.status());
    for (name, value) in response.headers() {
        answer += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    let body = response.body();
    let length =
        if answer.contains("content-length") { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    reader.get_mut().write_all(format!("{answer}{length}\r\n{body}").as_bytes()).unwrap();
}

/// Waits for a future on this thread.
fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn every_command_answers_the_same_over_http() {
    let ((offline, _), online) = (Place::with_store(), Api::start());
    let both = |input: &str, arguments: &[&str]| {
        let (here, there) = (offline.fed(input, arguments), online.fed(input, arguments));
        assert_eq!((here.code, stable(&here.out)), (there.code, stable(&there.out)), "{arguments:?}: {there:?}");
        (here, there)
    };
    both("", &["create", "alice", "--name", "ci", "--permission", "orders:*", "--expires-in", "90d"]);
    both("", &["create", "alice", "--permission", "Orders"]);
    both("", &["list", "--owner", "alice"]);
    both("", &["role", "list"]);
    both("", &["role", "put", "reader", "--permission", "stock:read", "--description", "reads stock"]);
    both("", &["role", "put", "reader", "--permission", "stock:read", "--description", "reads stock"]);
    both("", &["role", "list"]);
    both("", &["create", "bob", "--role", "reader", "--tenant", "acme", "--metadata", "team=blue"]);
    both("", &["list", "--any-tenant", "--metadata", "team=blue"]);
    both("", &["tenant", "list"]);
    both("", &["tenant", "put", "acme", "--disabled"]);
    both("", &["tenant", "put", "acme"]);
    both("", &["tenant", "list"]);
    let created = |place: &dyn Fn(&[&str]) -> Done| {
        let made: serde_json::Value =
            serde_json::from_str(&place(&["--json", "create", "carol", "--permission", "a:b"]).ok().out).unwrap();
        (made["key"]["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
    };
    let (here, there) = (created(&|arguments| offline.run(arguments)), created(&|arguments| online.run(arguments)));
    let each = |arguments: &[&str]| {
        let named = |id: &str, place: &dyn Fn(&[&str]) -> Done| {
            let arguments: Vec<&str> = arguments.iter().map(|word| if *word == "ID" { id } else { word }).collect();
            place(&arguments)
        };
        let (here, there) =
            (named(&here.0, &|arguments| offline.run(arguments)), named(&there.0, &|arguments| online.run(arguments)));
        assert_eq!((here.code, stable(&here.out)), (there.code, stable(&there.out)), "{arguments:?}: {there:?}");
        there.ok();
    };
    each(&["show", "ID"]);
    each(&["update", "ID", "--name", "robot", "--permission", "a:b,c:d"]);
    each(&["update", "ID", "--name", "robot"]);
    each(&["disable", "ID"]);
    each(&["enable", "ID"]);
    let check = |tokens: (&str, &str), options: &[&str]| {
        let arguments = [&["check"], options].concat();
        let (here, there) = (offline.fed(tokens.0, &arguments), online.fed(tokens.1, &arguments));
        assert_eq!(here.code, there.code, "{here:?} and {there:?}");
        (here, there)
    };
    let secrets = (here.1.as_str(), there.1.as_str());
    check(secrets, &["--permission", "a:b"]).1.ok().hides(&there.1);
    check(secrets, &["--permission", "x:y"]).1.with(1).shows("insufficient_permission").hides(&there.1);
    check(("nonsense", "nonsense"), &[]).1.with(1);
    each(&["rotate", "ID", "--overlap", "1h"]);
    check(secrets, &[]).1.ok();
    each(&["revoke", "ID", "--reason", "left"]);
    each(&["revoke", "ID", "--reason", "left"]);
    check(secrets, &[]).1.with(1).shows("revoked");
    // The key of the command did it.
    let events = online.run(&["events", "--key", &there.0, "--kind", "revoked"]).ok();
    events.shows("reason=left").shows("key:");
    both("", &["revoke", "--owner", "alice", "--yes", "--reason", "left"]);
    both("", &["list", "--state", "revoked"]);
    both("", &["role", "delete", "reader", "--yes"]);
    both("", &["tenant", "end", "acme", "--yes", "--reason", "left"]);
    both("", &["show", "00000000-0000-4000-8000-000000000000"]);
    online.run(&["usage"]).ok();
    online.run(&["usage", "--most-used", "5"]).ok();
}

#[test]
fn a_key_for_this_machine_goes_through_no_proxy() {
    let online = Api::start();
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    proxy.set_nonblocking(true).unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let mut command = online.place.command(&["--url", &online.url, "--key-file", "admin.key", "list"]);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env(name, &address);
    }
    // Whoever waits for a proxy that never answers is ended by this.
    let accepted = thread::scope(|scope| {
        let done = scope.spawn(|| online.place.done(&mut command, ""));
        loop {
            if let Ok((stream, _)) = proxy.accept() {
                drop(stream);
                break (true, done.join().unwrap());
            }
            if done.is_finished() {
                break (false, done.join().unwrap());
            }
            thread::yield_now();
        }
    });
    assert!(!accepted.0, "it went to the proxy");
    accepted.1.ok();
}

#[test]
fn pages_follow_one_another_over_http() {
    let online = Api::start();
    let keys = (0..2_100).map(|n| NewKey::for_owner(format!("owner-{n}")).permissions(["orders:read"]));
    online.store.create_many(keys).unwrap();
    let listed = online.run(&["--json", "list"]);
    let document: serde_json::Value = serde_json::from_str(&listed.ok().out).unwrap();
    assert_eq!(document["keys"].as_array().unwrap().len(), 2_101);
}

#[test]
fn what_the_api_does_not_have_has_an_exit_code_of_its_own() {
    let online = Api::start();
    for arguments in [
        &["backup", "copy.db"] as &[_],
        &["doctor"],
        &["export"],
        &["list", "--never-used"],
        &["purge", "--before", "1d", "--yes"],
    ] {
        let done = online.run(arguments);
        assert_eq!(done.code, 8, "{arguments:?}: {done:?}");
        done.says("over HTTP");
    }
}

#[test]
fn what_stops_the_command_before_the_api_has_its_exit_code() {
    let online = Api::start();
    let key_file = online.place.path("admin.key");
    let token = std::fs::read_to_string(&key_file).unwrap();
    online
        .place
        .run(&["--url", "http://keys.example/admin", "--key-file", "admin.key", "list"])
        .with(2)
        .says("in clear");
    online.place.run(&["--url", &online.url, "list"]).with(2).says("--key-file");
    online.place.run(&["--url", "http://127.0.0.1:1/", "--key-file", "admin.key", "list"]).with(7).hides(token.trim());
    let elsewhere = online.url.replace("/admin/v1/", "/admin/v1/none");
    online.place.run(&["--url", &elsewhere, "--key-file", "admin.key", "list"]).with(3);
    std::fs::write(&key_file, "").unwrap();
    online.run(&["list"]).with(2).says("no file with one key");
    std::fs::write(&key_file, token.replace(|letter: char| letter.is_ascii_digit(), "x")).unwrap();
    online.run(&["list"]).with(7).hides(token.trim());
    online.place.run(&["--url", &online.url, "--key-file", "nowhere", "list"]).with(7);
}
