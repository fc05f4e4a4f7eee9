//! Operators see refusals by key and code, and one line of log for each change.
//!
//! A binary of its own, so that its subscriber is there before anything is logged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock};

use apikey::{
    Attempt, AuthError, ImportScheme, Imported, KeyStore, KeyUpdate, Overlap, Peer, Refusals, Rejection, Requirement,
    require_api_key,
};
use apikey_testkit::{Line, Log, alice, clocked, code, hours, start, with_wrong_secret};
use tracing::Level;

fn counts(all: &[(&'static str, u64)]) -> BTreeMap<&'static str, u64> {
    all.iter().copied().collect()
}

#[test]
fn keys_whose_grants_match_nothing_are_logged_when_a_store_is_opened() {
    let log = Log::global();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.db");
    let store = KeyStore::open(&path).unwrap();
    for grants in [&["stock:read", "orders:read"][..], &["stock:read", "bills:*"], &["orders:*"], &[]] {
        store.create(alice().permissions(grants)).unwrap();
    }
    let ended = store.create(alice().permissions(["gone:read"])).unwrap();
    store.revoke(ended.info.id(), "").unwrap();
    store.close().unwrap();
    let opened = |catalog: &[&str]| {
        let mut lines = log.during(|| KeyStore::builder().catalog(catalog).open(&path).unwrap().close().unwrap());
        lines.retain(|line| line.name == "apikey.catalog");
        lines
    };
    let [warning] = &opened(&["orders:read"])[..] else { panic!("one line is due") };
    assert_eq!((warning.level, warning.fields["keys"].as_str()), (Level::WARN, "2"));
    assert_eq!(warning.fields["grants"], "bills:* stock:read");
    assert_eq!(opened(&["orders:read", "stock:read", "bills:read"]), []);
}

#[test]
fn an_address_that_is_needed_and_unknown_is_logged_once() {
    let log = Log::global();
    let count = |lines: &[Line]| lines.iter().filter(|line| line.name == "apikey.no_address").count();
    let (store, _) = clocked();
    let plain = store.create(alice()).unwrap();
    let limited = store.create(alice().limit(1, hours(1))).unwrap();
    let bound = store.create(alice().networks(["10.0.0.0/8"])).unwrap();
    let lines = log.during(|| {
        for token in [plain.key.expose_secret(), limited.key.expose_secret(), limited.key.expose_secret(), "none"] {
            let _ = store.check(&Attempt::new(token));
        }
        let elsewhere = Attempt::new(bound.key.expose_secret()).peer(IpAddr::from([192, 0, 2, 1]));
        assert_eq!(store.check(&elsewhere).unwrap_err(), AuthError::AddressNotAllowed);
    });
    assert_eq!(count(&lines), 0, "{lines:?}");
    let lines = log.during(|| {
        for _ in 0..3 {
            let refused = store.check(&Attempt::new(bound.key.expose_secret())).unwrap_err();
            assert_eq!(refused, AuthError::AddressNotAllowed);
        }
    });
    assert_eq!(count(&lines), 1, "{lines:?}");
    let warning = lines.iter().find(|line| line.name == "apikey.no_address").unwrap();
    assert!(warning.fields["message"].contains("into_make_service_with_connect_info"), "{warning:?}");
    // A proxy that does not say for whom it forwards gets a warning of its own.
    let lines = log.during(|| {
        for _ in 0..3 {
            let behind = Attempt::new(bound.key.expose_secret()).peer(Peer::Behind(IpAddr::from([10, 0, 0, 1])));
            assert_eq!(store.check(&behind).unwrap_err(), AuthError::AddressNotAllowed, "not as the proxy");
        }
    });
    assert_eq!(count(&lines), 1, "{lines:?}");
    let warning = lines.iter().find(|line| line.name == "apikey.no_address").unwrap();
    assert_eq!(warning.fields["proxy"], "10.0.0.1");
    assert!(warning.fields["message"].contains("forwarded_header"), "{warning:?}");

    let budgeted = KeyStore::builder().failed_attempts(1, hours(1)).temporary().unwrap();
    let with = log.during(|| drop(budgeted.check(&Attempt::new("none").peer(IpAddr::from([192, 0, 2, 1])))));
    let without = log.during(|| {
        for _ in 0..3 {
            drop(budgeted.check(&Attempt::new("none")));
        }
    });
    assert_eq!((count(&with), count(&without)), (0, 1));
}

#[test]
fn refusals_are_counted_by_key_and_code() {
    Log::global();
    let (store, clock) = clocked();
    let [revoked, disabled, expired, early, lacking, rotated] = [
        alice(),
        alice(),
        alice().expires_in(hours(1)),
        alice().not_before(start() + hours(48)),
        alice().permissions(["orders:read"]),
        alice(),
    ]
    .map(|new| store.create(new).unwrap());
    let new = store.rotate(rotated.info.id(), Overlap::For(hours(1))).unwrap();
    store.revoke(revoked.info.id(), "").unwrap();
    store.update(disabled.info.id(), KeyUpdate::new().disabled(true)).unwrap();
    clock.advance(hours(2));
    let write = Requirement::permission("orders:write").unwrap();
    for _ in 0..3 {
        for created in [&revoked, &disabled, &expired, &early, &rotated] {
            store.verify(created.key.expose_secret()).unwrap_err();
        }
        store.authorize(lacking.key.expose_secret(), &write).unwrap_err();
    }
    // None of these is a refusal of a key.
    store.verify(new.key.expose_secret()).unwrap();
    store.verify("ak_nothing").unwrap_err();
    store.verify(&with_wrong_secret(new.key.expose_secret())).unwrap_err();

    let refusals = store.refusals();
    let expected = [
        (&revoked, "revoked_api_key"),
        (&disabled, "disabled_api_key"),
        (&expired, "expired_api_key"),
        (&early, "inactive_api_key"),
        (&lacking, "insufficient_permission"),
        (&rotated, "rotated_api_key"),
    ];
    for (created, code) in expected {
        assert_eq!(store.refusals_of(created.info.id()), counts(&[(code, 3)]));
        assert_eq!(refusals.keys[&created.info.id()], counts(&[(code, 3)]));
    }
    assert_eq!(refusals.unknown["invalid_api_key"], 2);
    assert_eq!((refusals.total(), refusals.with_code("revoked_api_key")), (20, 3));
    let json = serde_json::to_value(&refusals).unwrap();
    assert_eq!(json["keys"][revoked.info.id().to_string()]["revoked_api_key"], 3);

    // A purge removes the key's counts too.
    store.purge(start() + hours(3)).unwrap();
    assert_eq!(store.refusals_of(revoked.info.id()), counts(&[]));
    assert!(!store.refusals().keys.contains_key(&revoked.info.id()));
    assert_eq!(store.refusals().with_code("disabled_api_key"), 3);
}

#[test]
fn imported_keys_and_closed_stores_are_counted_too() {
    Log::global();
    let (store, _) = clocked();
    let raw = "legacy-7f3a9c1e5b2d4860";
    let created = store.create(alice().imported(Imported::raw(raw), ImportScheme::Whole)).unwrap();
    store.verify("legacy-0000000000000000").unwrap_err();
    store.revoke(created.info.id(), "").unwrap();
    store.verify(raw).unwrap_err();
    assert_eq!(store.refusals_of(created.info.id()), counts(&[("revoked_api_key", 1)]));
    assert_eq!(store.refusals().unknown, counts(&[("invalid_api_key", 1)]));
    store.close().unwrap();
    store.verify(raw).unwrap_err();
    assert_eq!(store.refusals().unknown, counts(&[("invalid_api_key", 1), ("unavailable", 1)]));
    assert_eq!(KeyStore::temporary().unwrap().refusals(), Refusals::default());
}

#[test]
fn what_a_guard_refuses_by_itself_is_counted_too() {
    Log::global();
    #[require_api_key(perm = "orders:read", request = token, store = store)]
    fn read(token: Option<&str>, store: &KeyStore) -> Result<(), Rejection> {
        Ok(())
    }

    #[require_api_key(optional, request = token, store = store)]
    fn greet(token: Option<&str>, store: &KeyStore) -> Result<(), Rejection> {
        Ok(())
    }

    let (store, _) = clocked();
    let other = KeyStore::temporary().unwrap();
    let created = store.create(alice()).unwrap();
    greet(None, &store).unwrap();
    assert_eq!(store.refusals(), Refusals::default());
    assert_eq!(read(None, &store).unwrap_err().error(), &AuthError::Missing);
    read(Some(created.key.expose_secret()), &store).unwrap_err();
    assert_eq!(store.refusals().unknown, counts(&[("missing_api_key", 1)]));
    assert_eq!(store.refusals_of(created.info.id()), counts(&[("insufficient_permission", 1)]));
    // The service may report a refusal itself; a store does not count keys of another store.
    let verified = store.verify(created.key.expose_secret()).unwrap();
    let error = verified.require(&Requirement::permission("orders:read").unwrap()).unwrap_err();
    store.note_refusal(&error, Some(&verified), Peer::Unknown);
    other.note_refusal(&error, Some(&verified), Peer::Unknown);
    assert_eq!(store.refusals_of(created.info.id()), counts(&[("insufficient_permission", 2)]));
    assert_eq!(other.refusals().unknown, counts(&[("insufficient_permission", 1)]));
    assert!(other.refusals().keys.is_empty());
}

#[test]
fn refusals_are_logged_in_samples() {
    let log = Log::global();
    let (store, _) = clocked();
    let created = store.create(alice()).unwrap();
    let (id, token) = (created.info.id(), created.key.expose_secret());
    store.revoke(id, "").unwrap();
    let id = id.to_string();
    let lines = log.during(|| {
        (0..100).for_each(|_| assert_eq!(code(&store, token), "revoked_api_key"));
        (0..50).for_each(|_| assert_eq!(code(&store, "no key"), "invalid_api_key"));
    });
    // The first of each is logged at once. The maintenance thread logs the rest.
    let refused = |code, more: &[(&str, &str)]| {
        let fields = [("code", code), ("count", "1"), ("peer", "unknown"), ("message", "API key refused")];
        Line::new(Level::INFO, "apikey.refused", &[&fields, more].concat())
    };
    let of_key = refused("revoked_api_key", &[("key", &id), ("owner", "alice")]);
    assert_eq!(lines, [of_key, refused("invalid_api_key", &[])]);
    let all = format!("{lines:?}");
    assert!(!all.contains(token) && !all.contains("no key"));
}

/// Names and labels may be personal. They are beside the owner in memory, which is logged.
#[test]
fn no_name_and_no_label_is_logged_or_told_to_the_hook() {
    let log = Log::global();
    let owners: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = owners.clone();
    let hook = move |refused: &apikey::RefusedAttempt<'_>| {
        told.lock().unwrap().extend(refused.owner().map(str::to_owned));
    };
    let store = KeyStore::builder().on_refusal(hook).temporary().unwrap();
    let lines = log.during(|| {
        let new = alice().name("hidden name").label("hidden", "value").networks(["10.0.0.0/8"]);
        let created = store.create(new).unwrap();
        let (id, token) = (created.info.id(), created.key.expose_secret());
        let elsewhere = Attempt::new(token).peer(IpAddr::from([192, 0, 2, 1]));
        assert_eq!(store.check(&elsewhere).unwrap_err(), AuthError::AddressNotAllowed);
        store.update(id, KeyUpdate::new().label("hidden", "other").name("hidden")).unwrap();
        let _ = store.rotate(id, Overlap::None).unwrap();
        store.revoke(id, "").unwrap();
    });
    assert!(lines.len() >= 6, "{lines:?}");
    for line in &lines {
        assert_eq!(line.fields.get("owner").map_or("alice", String::as_str), "alice", "{line:?}");
        assert!(!format!("{line:?}").contains("hidden"), "{line:?}");
    }
    assert_eq!(*owners.lock().unwrap(), ["alice"]);
    let counted = format!("{:?}", store.refusals());
    assert!(!counted.contains("hidden"), "{counted}");
}

#[test]
fn a_store_that_is_ahead_of_its_clock_says_so_when_it_is_opened() {
    let log = Log::global();
    let directory = tempfile::tempdir().unwrap();
    let open = |at| KeyStore::builder().clock(move || at).open(directory.path()).unwrap();
    let count = |lines: &[Line]| lines.iter().filter(|line| line.name == "apikey.clock").count();
    let lines = log.during(|| drop(open(start() + hours(1)).create(alice()).unwrap()));
    assert_eq!(count(&lines), 0, "{lines:?}");
    let lines = log.during(|| {
        let store = open(start());
        assert!(store.as_actor("operator").accept_clock().unwrap().is_some());
    });
    let [warning, accepted] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(
        (warning.name.as_str(), warning.fields["store_time"].as_str()),
        ("apikey.clock", "2031-05-04 13:00:00 UTC")
    );
    assert!(warning.fields["message"].contains("apikey clock accept"), "{warning:?}");
    let message = "API key changed: clock_accepted";
    let fields = [("kind", "clock_accepted"), ("number", "2"), ("actor", "operator"), ("message", message)];
    assert_eq!(*accepted, Line::new(Level::INFO, "apikey.changed", &fields), "of no key");
    let lines = log.during(|| drop(open(start())));
    assert_eq!(count(&lines), 0, "{lines:?}");
}

#[test]
fn every_change_is_logged_when_it_is_on_disk() {
    let log = Log::global();
    let (store, clock) = clocked();
    let bot = store.as_actor("deploy-bot");
    let mut id = String::new();
    let mut token = String::new();
    let lines = log.during(|| {
        let created = bot.create(alice()).unwrap();
        id = created.info.id().to_string();
        bot.update(created.info.id(), KeyUpdate::new().name("ci")).unwrap();
        // An update that changes nothing logs nothing.
        bot.update(created.info.id(), KeyUpdate::new().name("ci")).unwrap();
        let new = store.rotate(created.info.id(), Overlap::None).unwrap();
        token = new.key.expose_secret().to_owned();
        bot.revoke(created.info.id(), "left").unwrap();
        clock.advance(hours(2));
        bot.purge(start() + hours(1)).unwrap();
        // Refused changes are not changes.
        bot.revoke(created.info.id(), "left").unwrap_err();
    });
    let change = |kind: &str, number: &str, actor: Option<&str>| {
        let message = format!("API key changed: {kind}");
        let mut fields =
            vec![("kind", kind), ("number", number), ("key", &id), ("owner", "alice"), ("message", &message)];
        fields.extend(actor.map(|actor| ("actor", actor)));
        Line::new(Level::INFO, "apikey.changed", &fields)
    };
    let bot = Some("deploy-bot");
    let expected = [
        change("created", "1", bot),
        change("updated", "2", bot),
        change("rotated", "3", None),
        change("revoked", "4", bot),
        change("purged", "5", bot),
    ];
    assert_eq!(lines, expected);
    assert!(!format!("{lines:?}").contains(&token));
}

#[test]
fn a_right_secret_from_a_wrong_network_gets_a_warning_of_its_own() {
    let log = Log::global();
    let (store, _) = clocked();
    let bound = store.create(alice().networks(["10.0.0.0/8"])).unwrap();
    let (id, token) = (bound.info.id().to_string(), bound.key.expose_secret());
    let from = |peer: Peer| store.check(&Attempt::new(token).peer(peer)).unwrap_err();
    let known = |host: u8| Peer::Known(IpAddr::from([192, 0, 2, host]));
    let warnings = |lines: Vec<Line>| {
        let mut lines: Vec<_> = lines.into_iter().filter(|line| line.name == "apikey.wrong_network").collect();
        lines.iter_mut().for_each(|line| drop(line.fields.remove("message")));
        lines
    };
    let lines =
        warnings(log.during(|| (1..=3).for_each(|host| assert_eq!(from(known(host)), AuthError::AddressNotAllowed))));
    let first = [("count", "1"), ("key", &*id), ("owner", "alice"), ("peer", "192.0.2.1")];
    assert_eq!(lines, [Line::new(Level::WARN, "apikey.wrong_network", &first)]);
    // The rest is logged in samples, with the last address: here at the close, from any thread.
    store.close().unwrap();
    let rest: Vec<_> = warnings(log.lines()).into_iter().filter(|line| line.fields["key"] == id).collect();
    let count: u64 = rest.iter().map(|line| line.fields["count"].parse::<u64>().unwrap()).sum();
    assert_eq!((count, &*rest.last().unwrap().fields["peer"]), (2, "192.0.2.3"), "{rest:?}");
}

#[test]
fn the_warning_names_no_address_where_the_address_is_unknown() {
    let log = Log::global();
    let proxy = IpAddr::from([10, 0, 0, 1]);
    let elsewhere = (Peer::Known([192, 0, 2, 1].into()), "from an address that it is not bound to");
    for (peer, text) in
        [elsewhere, (Peer::Behind(proxy), "from an unknown address"), (Peer::Unknown, "from an unknown address")]
    {
        let store = KeyStore::temporary().unwrap();
        let bound = store.create(alice().networks(["10.0.0.0/8"])).unwrap();
        let lines = log.during(|| {
            store.check(&Attempt::new(bound.key.expose_secret()).peer(peer)).unwrap_err();
        });
        let warning = lines.iter().find(|line| line.name == "apikey.wrong_network").unwrap();
        assert!(warning.fields["message"].contains(text), "{peer}: {warning:?}");
        assert_eq!(warning.fields["peer"], peer.to_string());
    }
}

#[test]
fn a_hook_gets_each_refusal_and_a_panic_in_it_does_no_harm() {
    let log = Log::global();
    let refusals = Arc::new(Mutex::new(Vec::new()));
    let (kept, again) = (refusals.clone(), Arc::new(OnceLock::<KeyStore>::new()));
    let inner = again.clone();
    let store = KeyStore::builder()
        .failed_attempts(1, hours(1))
        .on_refusal(move |refused| {
            kept.lock().unwrap().push((refused.error().code(), refused.peer(), refused.key()));
            // A refusal within the hook does not call the hook again.
            inner.get().unwrap().verify("another guess").unwrap_err();
            panic!("as a hook may");
        })
        .temporary()
        .unwrap();
    let id = again.set(store.clone()).map(|()| store.create(alice().networks(["10.0.0.0/8"])).unwrap()).unwrap();
    let peer = Peer::Known(IpAddr::from([192, 0, 2, 7]));
    let check = |token: &str| store.check(&Attempt::new(token).peer(peer)).unwrap_err().code();
    let lines = log.during(|| {
        assert_eq!(check(id.key.expose_secret()), "address_not_allowed");
        assert_eq!(check("a guess"), "invalid_api_key");
        assert_eq!(check("a guess"), "rate_limited");
        assert_eq!(code(&store, "a guess"), "invalid_api_key");
    });
    let expected = [
        ("address_not_allowed", peer, Some(id.info.id())),
        ("invalid_api_key", peer, None),
        ("rate_limited", peer, None),
        ("invalid_api_key", Peer::Unknown, None),
    ];
    assert_eq!(*refusals.lock().unwrap(), expected);
    let panics: Vec<_> = lines.iter().filter(|line| line.name == "apikey.on_refusal").collect();
    assert_eq!(panics.len(), 1, "logged once: {lines:?}");
    assert!(panics[0].fields["panic"].contains("as a hook may"), "{panics:?}");
    assert_eq!(store.refusals().with_code("invalid_api_key"), 6, "and all are counted");
    // The hook has a handle of the store, which would keep it open.
    store.close().unwrap();
}
