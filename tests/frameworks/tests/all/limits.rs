//! The caller's address and the key's limit, with the same answers in every framework.

use std::net::IpAddr;
use std::sync::mpsc::sync_channel;

use apikey::{ForwardedHeader, KeyStore, ManualClock, NewKey, Peer, RefusedAttempt};
use apikey_testkit::{Answer, Call};
use chrono::{DateTime, TimeDelta};

use crate::examples::ALL;

/// Paths guarded by the attribute, by the layer around the handler, and by both.
const PATHS: [&str; 3] = ["/orders", "/admin/stats", "/admin/audit"];

fn key(store: &KeyStore, shape: impl Fn(NewKey) -> NewKey) -> String {
    let created = store.create(shape(NewKey::for_owner("alice").permissions(["*"]))).unwrap();
    created.key.expose_secret().to_owned()
}

fn check_is_refused(who: &str, answer: &Answer) {
    assert_eq!(answer.status, 403, "{who}: {answer:?}");
    assert_eq!(answer.json()["code"], "address_not_allowed", "{who}");
}

#[test]
fn the_sockets_peer_reaches_the_check() {
    let store = KeyStore::temporary().unwrap();
    let near = key(&store, |new| new.networks(["127.0.0.0/8", "::1"]));
    let far = key(&store, |new| new.networks(["10.0.0.0/8"]));
    for example in ALL {
        let port = example.start(&store);
        for path in PATHS {
            let who = format!("{} {path}", example.name);
            let answer = Call::get(path).key(&near).send(port);
            assert_eq!(answer.status, 200, "{who}: {answer:?}");
            check_is_refused(&who, &Call::get(path).key(&far).send(port));
            // No proxy is trusted.
            for name in ["x-forwarded-for", "forwarded", "x-real-ip"] {
                let value = if name == "forwarded" { "for=10.0.0.1" } else { "10.0.0.1" };
                check_is_refused(&who, &Call::get(path).key(&far).header(name, value).send(port));
            }
        }
    }
}

#[test]
fn the_header_of_a_trusted_proxy_counts() {
    let store = KeyStore::builder().trusted_proxies(["127.0.0.1"]).temporary().unwrap();
    let near = key(&store, |new| new.networks(["127.0.0.0/8"]));
    let far = key(&store, |new| new.networks(["10.0.0.0/8"]));
    for example in ALL {
        let port = example.start(&store);
        for path in PATHS {
            let who = format!("{} {path}", example.name);
            let send = |key: &str, lines: &[&str]| {
                let call = Call::get(path).key(key);
                lines.iter().fold(call, |call, line| call.header("x-forwarded-for", line)).send(port)
            };
            for lines in
                [&["10.0.0.7"][..], &["8.8.8.8, 10.0.0.7"], &["nonsense", "10.0.0.7"], &["10.0.0.7:80, 127.0.0.1"]]
            {
                assert_eq!(send(&far, lines).status, 200, "{who} {lines:?}");
                check_is_refused(&who, &send(&near, lines));
            }
            for lines in [&["10.0.0.7", "8.8.8.8"][..], &["unknown"], &["10.0.0.7, _hidden"]] {
                check_is_refused(&who, &send(&far, lines));
            }
        }
    }
}

/// Without a readable header the caller is unknown, and not the proxy. Rocket drops a header that is not UTF-8, so there
/// it is missing.
#[test]
fn a_missing_or_unusable_header_does_not_make_the_caller_the_proxy() {
    let store = KeyStore::builder().trusted_proxies(["127.0.0.1"]).temporary().unwrap();
    let near = key(&store, |new| new.networks(["127.0.0.0/8"]));
    let far = key(&store, |new| new.networks(["10.0.0.0/8"]));
    let free = key(&store, |new| new);
    for example in ALL {
        let port = example.start(&store);
        for path in PATHS {
            let send = |key: &str, lines: &[&[u8]]| {
                let call = Call::get(path).key(key);
                lines.iter().fold(call, |call, line| call.header("x-forwarded-for", line)).send(port)
            };
            let unusable: [&[&[u8]]; 7] =
                [&[], &[b""], &[b" , "], &[b"\xff"], &[b"127.0.0.1, \xff"], &[b"127.0.0.1"], &[b"unknown"]];
            for lines in unusable {
                let who = format!("{} {path} {lines:?}", example.name);
                check_is_refused(&who, &send(&near, lines));
                check_is_refused(&who, &send(&far, lines));
                assert_eq!(send(&free, lines).status, 200, "{who}");
            }
            // The guard ignores what the caller sent before the proxy's entry.
            let behind: [&[&[u8]]; 3] =
                [&[b"\xff, 10.0.0.7"], &[b"\xff", b"10.0.0.7"], &[b"\xff,, 10.0.0.7, 127.0.0.1"]];
            for lines in behind {
                let who = format!("{} {path} {lines:?}", example.name);
                if example.name == "rocket" && lines.len() == 1 {
                    check_is_refused(&who, &send(&far, lines));
                } else {
                    assert_eq!(send(&far, lines).status, 200, "{who}");
                }
                check_is_refused(&who, &send(&near, lines));
            }
        }
    }
}

/// A host may have commas, semicolons and equals signs; a proxy that repeats it puts it into quotes.
#[test]
fn a_host_that_a_proxy_repeats_is_no_address() {
    let builder = KeyStore::builder().trusted_proxies(["127.0.0.1"]).forwarded_header(ForwardedHeader::Forwarded);
    let store = builder.temporary().unwrap();
    let far = key(&store, |new| new.networks(["10.0.0.0/8"]));
    let caller = key(&store, |new| new.networks(["192.0.2.7"]));
    for example in ALL {
        let port = example.start(&store);
        for host in ["a,for=10.0.0.7;x=", "a;for=10.0.0.7;x=", "a,b", r#"\\\",for=10.0.0.7;x="#] {
            let who = format!("{} {host}", example.name);
            let call = Call::get("/orders").header("forwarded", format!("for=192.0.2.7;host=\"{host}\""));
            check_is_refused(&who, &call.clone().key(&far).send(port));
            assert_eq!(call.key(&caller).send(port).status, 200, "{who}");
        }
    }
}

#[test]
fn a_limit_counts_each_request_once_and_the_response_shows_it() {
    let clock = ManualClock::new(DateTime::from_timestamp_millis(1_800_000_000_000).unwrap());
    let store = KeyStore::builder().clock(clock.clone()).temporary().unwrap();
    let free = key(&store, |new| new);
    for example in ALL {
        let port = example.start(&store);
        for path in PATHS {
            let who = format!("{} {path}", example.name);
            let limited = key(&store, |new| new.limit(3, TimeDelta::minutes(1)));
            let send = || Call::get(path).key(&limited).send(port);
            let shown = |answer: &Answer| {
                let value = |name| answer.all(name).join("|");
                (answer.status, value("ratelimit-policy"), value("ratelimit"), value("retry-after"))
            };
            let policy = || "\"key\";q=3;w=60".to_owned();
            for left in ["\"key\";r=2;t=20", "\"key\";r=1;t=20", "\"key\";r=0;t=20"] {
                assert_eq!(shown(&send()), (200, policy(), left.to_owned(), String::new()), "{who}");
            }
            for _ in 0..2 {
                let answer = send();
                assert_eq!(shown(&answer), (429, policy(), "\"key\";r=0;t=20".into(), "20".into()), "{who}");
                assert_eq!(answer.all("content-type"), ["application/problem+json"], "{who}");
                assert_eq!(answer.json()["code"], "rate_limited", "{who}");
                assert_eq!(answer.all("cache-control"), ["no-store"], "{who}");
            }
            clock.advance(TimeDelta::seconds(20));
            assert_eq!(send().status, 200, "{who}");
            assert_eq!(send().status, 429, "{who}");
            let answer = Call::get(path).key(&free).send(port);
            assert_eq!(shown(&answer), (200, String::new(), String::new(), String::new()), "{who}");
        }
    }
}

#[test]
fn an_address_that_guesses_is_refused_before_its_key_is_verified() {
    for example in ALL {
        for path in PATHS {
            let store = KeyStore::builder().failed_attempts(2, TimeDelta::hours(1)).temporary().unwrap();
            let good = key(&store, |new| new);
            let port = example.start(&store);
            let send = |key: &str| Call::get(path).key(key).send(port).status;
            let statuses = [send(&good), send("bad"), send("bad"), send("bad"), send(&good)];
            assert_eq!(statuses, [200, 401, 401, 429, 429], "{} {path}", example.name);
        }
    }
}

/// A request that is refused for a missing permission is a use all the same.
#[test]
fn a_request_that_lacks_a_permission_counts_once_against_the_limit() {
    let store = KeyStore::temporary().unwrap();
    for example in ALL {
        let port = example.start(&store);
        for path in PATHS {
            let weak = NewKey::for_owner("bob").permissions(["none:such"]).limit(3, TimeDelta::hours(1));
            let weak = store.create(weak).unwrap();
            let send = |_| Call::get(path).key(weak.key.expose_secret()).send(port).status;
            assert_eq!([0; 4].map(send), [403, 403, 403, 429], "{} {path}", example.name);
        }
    }
}

/// Not in rocket, where any client can make the header vanish.
#[test]
fn a_proxy_may_be_the_caller_where_the_store_says_so() {
    let builder = KeyStore::builder().trusted_proxies(["127.0.0.1"]).proxies_may_call(true);
    let store = builder.temporary().unwrap();
    let near = key(&store, |new| new.networks(["127.0.0.0/8"]));
    for example in ALL {
        let port = example.start(&store);
        for path in PATHS {
            let call = Call::get(path).key(&near);
            let who = format!("{} {path}", example.name);
            for answer in [call.send(port), call.clone().header("x-forwarded-for", "127.0.0.1").send(port)] {
                if example.name == "rocket" {
                    check_is_refused(&who, &answer);
                } else {
                    assert_eq!(answer.status, 200, "{who}: {answer:?}");
                }
            }
            for line in [&b"\xff"[..], b"127.0.0.1, \xff", b"unknown", b"192.0.2.7", b"\xff, 192.0.2.7"] {
                check_is_refused(&who, &call.clone().header("x-forwarded-for", line).send(port));
            }
        }
    }
}

#[test]
fn a_byte_in_the_header_does_not_switch_the_budget_off() {
    for example in ALL {
        let store = KeyStore::builder()
            .trusted_proxies(["127.0.0.1"])
            .failed_attempts(2, TimeDelta::hours(1))
            .temporary()
            .unwrap();
        let good = key(&store, |new| new);
        let port = example.start(&store);
        let send =
            |key: &str, line: &[u8]| Call::get("/orders").key(key).header("x-forwarded-for", line).send(port).status;
        let guesses = |line: &[u8]| [0; 3].map(|_| send("bad", line));
        // The caller is unknown: the attempt is charged to the proxy, and to no address in the header.
        assert_eq!(guesses(b"\xff"), [401, 401, 429], "{}", example.name);
        for line in [&b""[..], b"unknown", b"127.0.0.1", b"192.0.2.7, \xfe"] {
            assert_eq!(send(&good, line), 429, "{} {line:?}", example.name);
        }
        assert_eq!(send(&good, b"192.0.2.7"), 200, "{}", example.name);
        if example.name == "rocket" {
            continue;
        }
        // The byte is in a part that the guard does not read, so the address counts.
        assert_eq!(guesses(b"\xff, 192.0.2.7"), [401, 401, 429], "{}", example.name);
        assert_eq!(send(&good, b"192.0.2.7"), 429, "{}", example.name);
        assert_eq!(send(&good, b"\xff, 192.0.2.8"), 200, "{}", example.name);
    }
}

#[test]
fn the_hook_gets_the_callers_address() {
    let (send, refusals) = sync_channel(100);
    let tell = move |refused: &RefusedAttempt<'_>| {
        send.try_send((refused.error().code(), refused.peer(), refused.owner())).unwrap();
    };
    let store = KeyStore::builder().trusted_proxies(["127.0.0.1"]).on_refusal(tell).temporary().unwrap();
    let bound = key(&store, |new| new.networks(["10.0.0.0/8"]));
    let weak = store.create(NewKey::for_owner("bob").permissions(["admin"])).unwrap();
    let caller = Peer::Known(IpAddr::from([192, 0, 2, 7]));
    let proxy = Peer::Behind(IpAddr::from([127, 0, 0, 1]));
    for example in ALL {
        let port = example.start(&store);
        let expect = |call: Call, refusal: (&str, Peer, Option<&str>)| {
            let answer = call.send(port);
            assert!([401, 403].contains(&answer.status), "{}: {answer:?}", example.name);
            let all: Vec<_> = refusals.try_iter().collect();
            assert_eq!(all, [refusal], "{}: once", example.name);
        };
        for path in ["/orders", "/admin/stats"] {
            let call = || Call::get(path).header("x-forwarded-for", "192.0.2.7");
            expect(call(), ("missing_api_key", caller, None));
            expect(call().key("bad"), ("invalid_api_key", caller, None));
            expect(call().key("bad").key("worse"), ("invalid_api_key", caller, None));
            expect(call().key(&bound), ("address_not_allowed", caller, Some("alice")));
            expect(Call::get(path).key(&bound), ("address_not_allowed", proxy, Some("alice")));
        }
        // The layer around the handler verifies the key, and the attribute below refuses it.
        let audit = Call::get("/admin/audit").header("x-forwarded-for", "192.0.2.7");
        expect(audit.key(weak.key.expose_secret()), ("insufficient_permission", caller, Some("bob")));
    }
}
