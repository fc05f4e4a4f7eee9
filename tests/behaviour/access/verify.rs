//! Which keys verify, and the order of the reasons for which others are refused.

use std::net::IpAddr;
use std::time::Duration;

use apikey::{Attempt, AuthError, CreatedKey, KeyInfo, KeyState, KeyStore, KeyUpdate, NewKey, Overlap, Requirement};
use apikey_testkit::{alice, clocked, code, hours, info, ms, refusal, start, with_wrong_secret};
use chrono::TimeDelta;

fn parts(error: &AuthError) -> (&'static str, u16, String) {
    (error.code(), error.status(), error.to_string())
}

#[test]
fn a_good_key_says_who_calls() {
    let (store, _) = clocked();
    let created = store.create(alice().name("ci").permissions(["orders:read"]).metadata("team", "blue")).unwrap();
    let verified = store.verify(created.key.expose_secret()).unwrap();
    assert_eq!(verified.id(), created.info.id());
    assert_eq!(verified.owner(), "alice");
    assert_eq!(verified.secret_version(), 1);
    assert!(verified.allows("orders:read"));
    assert!(!verified.superseded());
    assert_eq!(verified.superseded_until(), None);
}

#[test]
fn each_case_has_its_code_status_and_text() {
    let write = Requirement::permission("orders:write").unwrap();
    let either = Requirement::any(["a", "b"]).unwrap();
    let table: [(AuthError, &str, u16, &str); 11] = [
        (AuthError::Missing, "missing_api_key", 401, "API key missing"),
        (AuthError::Invalid, "invalid_api_key", 401, "Invalid API key"),
        (AuthError::Revoked, "revoked_api_key", 401, "API key revoked"),
        (AuthError::Disabled, "disabled_api_key", 401, "API key disabled"),
        (AuthError::Expired, "expired_api_key", 401, "API key expired"),
        (AuthError::NotYetValid, "inactive_api_key", 401, "API key not yet valid"),
        (AuthError::AddressNotAllowed, "address_not_allowed", 403, "API key not allowed from this address"),
        (
            AuthError::RateLimited { retry_after: Duration::from_secs(1), limit: None },
            "rate_limited",
            429,
            "Too many requests",
        ),
        (
            AuthError::InsufficientPermission { required: write },
            "insufficient_permission",
            403,
            "API key lacks permission orders:write",
        ),
        (
            AuthError::InsufficientPermission { required: either },
            "insufficient_permission",
            403,
            "API key lacks permission any(a, b)",
        ),
        (AuthError::Unavailable, "unavailable", 503, "API keys cannot be checked"),
    ];
    for (error, code, status, text) in table {
        assert_eq!(parts(&error), (code, status, text.to_owned()));
    }
}

#[test]
fn the_store_refuses_each_case_so() {
    let (store, clock) = clocked();
    let make = |key: NewKey| store.create(key).unwrap();
    let revoked = make(alice());
    store.revoke(revoked.info.id(), "leaked").unwrap();
    let disabled = make(alice());
    store.update(disabled.info.id(), KeyUpdate::new().disabled(true)).unwrap();
    let expired = make(alice().expires_in(hours(1)));
    let idle = make(alice().idle_after(hours(1)));
    clock.advance(hours(1));
    let inactive = make(alice().not_before(start() + hours(2)));
    let good = make(alice());
    let of = |key: &CreatedKey| parts(&refusal(&store, key.key.expose_secret()));
    assert_eq!(of(&revoked), ("revoked_api_key", 401, "API key revoked".into()));
    assert_eq!(of(&disabled), ("disabled_api_key", 401, "API key disabled".into()));
    assert_eq!(of(&expired), ("expired_api_key", 401, "API key expired".into()));
    assert_eq!(of(&idle), ("idle_api_key", 401, "API key not used for too long".into()));
    assert_eq!(of(&inactive), ("inactive_api_key", 401, "API key not yet valid".into()));
    let wrong = with_wrong_secret(good.key.expose_secret());
    for unknown in ["", "ak_", "nonsense", &wrong] {
        assert_eq!(parts(&refusal(&store, unknown)), ("invalid_api_key", 401, "Invalid API key".into()));
    }
    let need = Requirement::permission("orders:write").unwrap();
    let error = store.authorize(good.key.expose_secret(), &need).unwrap_err();
    assert_eq!(parts(&error), ("insufficient_permission", 403, "API key lacks permission orders:write".into()));
    store.close().unwrap();
    assert_eq!(of(&good), ("unavailable", 503, "API keys cannot be checked".into()));
    assert_eq!(parts(&refusal(&store, "")), ("unavailable", 503, "API keys cannot be checked".into()));
}

/// Of everything that is wrong with a key, the refusal names the first; a missing permission comes last.
#[test]
fn the_refusal_names_the_first_reason_in_the_order() {
    let reasons = [
        ("revoked_api_key", KeyState::Revoked),
        ("disabled_api_key", KeyState::Disabled),
        ("expired_api_key", KeyState::Expired),
        ("inactive_api_key", KeyState::NotYetValid),
        ("insufficient_permission", KeyState::Active),
    ];
    let need = Requirement::permission("orders:read").unwrap();
    for wrong in 0..32u32 {
        let has = |reason: usize| wrong & (1 << reason) != 0;
        let (store, clock) = clocked();
        let mut key = alice();
        // A key is both only where its end lies before its start; then it is expired.
        if has(3) {
            key = key.not_before(start() + hours(10));
        }
        if has(2) {
            key = key.expires_at(start() + hours(if has(3) { 20 } else { 5 }));
        }
        if !has(4) {
            key = key.permissions(["orders:*"]);
        }
        let created = store.create(key).unwrap();
        let (id, token) = (created.info.id(), created.key.expose_secret());
        if has(1) {
            store.update(id, KeyUpdate::new().disabled(true)).unwrap();
        }
        if has(0) {
            store.revoke(id, "leaked").unwrap();
        }
        match (has(2), has(3)) {
            (true, true) => continue, // no clock shows such a time
            (true, false) => clock.set(start() + hours(5)),
            (false, _) => {}
        }
        let first = (0..5).find(|reason| has(*reason));
        let expected = first.map_or("ok", |reason| reasons[reason].0);
        let found = store.authorize(token, &need).map_or_else(|error| error.code(), |_| "ok");
        assert_eq!(found, expected, "{wrong:05b}");
        let state = first.map_or(KeyState::Active, |reason| reasons[reason].1);
        assert_eq!(info(&store, &created).state(start() + hours(if has(2) { 5 } else { 0 })), state, "{wrong:05b}");
        // A caller without the secret learns nothing of the key's state.
        let guess = with_wrong_secret(token);
        assert_eq!(store.authorize(&guess, &need).unwrap_err().code(), "invalid_api_key", "{wrong:05b}");
    }
}

#[test]
fn a_key_is_good_from_its_start_to_the_millisecond_before_its_end() {
    let (store, clock) = clocked();
    let (begin, end) = (start() + ms(5_000), start() + ms(5_003));
    let created = store.create(alice().not_before(begin).expires_at(end)).unwrap();
    let token = created.key.expose_secret();
    for (time, expected, state) in [
        (start(), "inactive_api_key", KeyState::NotYetValid),
        (begin - ms(1), "inactive_api_key", KeyState::NotYetValid),
        (begin, "ok", KeyState::Active),
        (begin + ms(1), "ok", KeyState::Active),
        (end - ms(1), "ok", KeyState::Active),
        (end, "expired_api_key", KeyState::Expired),
        (end + ms(1), "expired_api_key", KeyState::Expired),
        (end + TimeDelta::days(3000), "expired_api_key", KeyState::Expired),
        (end - ms(1), "ok", KeyState::Active), // the clock was set back
        (begin - ms(1), "inactive_api_key", KeyState::NotYetValid),
    ] {
        clock.set(time);
        assert_eq!(code(&store, token), expected, "{time}");
        assert_eq!(created.info.state(time), state, "{time}");
    }
}

#[test]
fn expires_in_counts_from_the_creation() {
    let (store, clock) = clocked();
    clock.advance(ms(123));
    let created = store.create(alice().expires_in(ms(1))).unwrap();
    assert_eq!(created.info.created_at(), start() + ms(123));
    assert_eq!(created.info.expires_at(), Some(start() + ms(124)));
    assert_eq!(code(&store, created.key.expose_secret()), "ok");
    clock.advance(ms(1));
    assert_eq!(code(&store, created.key.expose_secret()), "expired_api_key");
}

#[test]
fn a_key_without_an_end_does_not_end() {
    let (store, clock) = clocked();
    let created = store.create(alice()).unwrap();
    clock.set(start() + TimeDelta::days(365_000));
    assert_eq!(code(&store, created.key.expose_secret()), "ok");
    clock.set(chrono::DateTime::UNIX_EPOCH);
    assert_eq!(code(&store, created.key.expose_secret()), "ok");
}

#[test]
fn check_covers_key_address_and_permission() {
    let (store, _) = clocked();
    let created = store.create(alice().permissions(["orders:read"])).unwrap();
    let token = created.key.expose_secret();
    let (read, write) =
        (Requirement::permission("orders:read").unwrap(), Requirement::permission("orders:write").unwrap());
    let peer: IpAddr = "2001:db8::7".parse().unwrap();
    assert_eq!(store.check(&Attempt::new(token)).unwrap().id(), created.info.id());
    assert_eq!(store.check(&Attempt::new(token).peer(peer).needs(&read)).unwrap().owner(), "alice");
    assert_eq!(store.check(&Attempt::new(token).needs(&write)).unwrap_err().code(), "insufficient_permission");
    assert_eq!(store.check(&Attempt::new("").needs(&read)).unwrap_err().code(), "invalid_api_key");
    store.revoke(created.info.id(), "").unwrap();
    assert_eq!(store.check(&Attempt::new(token).peer(peer).needs(&write)).unwrap_err().code(), "revoked_api_key");
}

#[test]
fn a_verified_key_is_a_snapshot() {
    let (store, _) = clocked();
    let created = store.create(alice().permissions(["orders:read", "users:*"])).unwrap();
    let verified = store.verify(created.key.expose_secret()).unwrap();
    let copy = verified.clone();
    let id = created.info.id();
    store.update(id, KeyUpdate::new().permissions(["admin"]).name("other")).unwrap();
    store.rotate(id, Overlap::None).unwrap();
    store.revoke(id, "leaked").unwrap();
    store.purge(start() + hours(1)).unwrap();
    // Enough others to reuse whatever was freed.
    store.create_many((0..500).map(|n| NewKey::for_owner(format!("owner {n}")).permissions(["other"]))).unwrap();
    store.close().unwrap();
    drop(store);
    for verified in [verified, copy] {
        assert_eq!((verified.id(), verified.owner(), verified.secret_version()), (id, "alice", 1));
        assert!(verified.allows("orders:read") && verified.allows("users:list") && !verified.allows("admin"));
        assert!(!verified.superseded());
    }
}

#[test]
fn recheck_finds_what_became_of_a_key() {
    let (store, clock) = clocked();
    let new = || {
        let created = store.create(alice()).unwrap();
        let verified = store.verify(created.key.expose_secret()).unwrap();
        (created.info.id(), verified)
    };
    let again = |verified| store.recheck(verified).map_or_else(|error| error.code(), |()| "ok");

    let (id, verified) = new();
    assert_eq!(again(&verified), "ok");
    store.update(id, KeyUpdate::new().disabled(true)).unwrap();
    assert_eq!(again(&verified), "disabled_api_key");
    store.update(id, KeyUpdate::new().disabled(false)).unwrap();
    assert_eq!(again(&verified), "ok");
    store.revoke(id, "").unwrap();
    assert_eq!(again(&verified), "revoked_api_key");
    store.purge(start() + ms(1)).unwrap();
    assert_eq!(again(&verified), "invalid_api_key");

    let (id, verified) = new();
    store.update(id, KeyUpdate::new().expires_at(start() + hours(1))).unwrap();
    assert_eq!(again(&verified), "ok");
    clock.advance(hours(1));
    assert_eq!(again(&verified), "expired_api_key");

    let (id, verified) = new();
    store.rotate(id, Overlap::For(hours(1))).unwrap();
    assert_eq!(again(&verified), "ok");
    clock.advance(hours(1));
    assert_eq!(again(&verified), "invalid_api_key");

    let (id, verified) = new();
    store.rotate(id, Overlap::None).unwrap();
    assert_eq!(again(&verified), "invalid_api_key");

    let (_, verified) = new();
    let other = KeyStore::temporary().unwrap();
    assert!(other.recheck(&verified).is_err());
    assert!(store.has_verified(&verified) && !other.has_verified(&verified));
    store.close().unwrap();
    assert_eq!(again(&verified), "unavailable");
}

#[test]
fn the_time_of_use_is_that_of_the_last_success() {
    let (store, clock) = clocked();
    let created = store.create(alice()).unwrap();
    let token = created.key.expose_secret();
    let used = || -> KeyInfo { info(&store, &created) };
    assert_eq!(used().last_used_at(), None);
    clock.advance(ms(7_900));
    assert_eq!(code(&store, &with_wrong_secret(token)), "invalid_api_key");
    assert_eq!(used().last_used_at(), None);
    store.verify(token).unwrap();
    assert_eq!(used().last_used_at(), Some(start() + TimeDelta::seconds(7)));
    clock.advance(TimeDelta::seconds(60));
    store.update(created.info.id(), KeyUpdate::new().disabled(true)).unwrap();
    assert_eq!(code(&store, token), "disabled_api_key");
    assert_eq!(used().last_used_at(), Some(start() + TimeDelta::seconds(7)));
    store.update(created.info.id(), KeyUpdate::new().disabled(false)).unwrap();
    store.verify(token).unwrap();
    assert_eq!(used().last_used_at(), Some(start() + TimeDelta::seconds(67)));
}

#[test]
fn without_tracking_no_time_of_use_is_kept_and_a_first_use_counts_all_the_same() {
    let store = KeyStore::builder().track_use(false).temporary().unwrap();
    let first = store.create(alice()).unwrap();
    assert_eq!(code(&store, first.key.expose_secret()), "ok");
    let second = store.rotate(first.info.id(), Overlap::UntilFirstUse).unwrap();
    assert_eq!(code(&store, second.key.expose_secret()), "ok");
    assert_eq!(code(&store, first.key.expose_secret()), "rotated_api_key");
    assert_eq!(info(&store, &first).last_used_at(), None);
    assert_eq!(info(&store, &first).overlap(), None);
}

#[test]
fn a_clock_may_be_a_closure() {
    let store = KeyStore::builder().clock(start).temporary().unwrap();
    let created = store.create(alice().expires_in(ms(1))).unwrap();
    assert_eq!(created.info.created_at(), start());
    assert_eq!(code(&store, created.key.expose_secret()), "ok");
}

#[test]
fn a_closed_store_answers_nothing_and_does_not_panic() {
    let (store, _) = clocked();
    let other = store.clone();
    let created = store.create(alice()).unwrap();
    let id = created.info.id();
    let verified = store.verify(created.key.expose_secret()).unwrap();
    store.close().unwrap();
    store.close().unwrap();
    assert_eq!(code(&other, created.key.expose_secret()), "unavailable");
    let closed = |error: apikey::StoreError| assert!(matches!(error, apikey::StoreError::Closed), "{error:?}");
    closed(other.create(alice()).unwrap_err());
    closed(other.create_many([alice(), alice()]).unwrap_err());
    closed(other.get(id).unwrap_err());
    closed(other.list(&apikey::KeyFilter::default()).unwrap_err());
    closed(other.update(id, KeyUpdate::new().name("x")).unwrap_err());
    closed(other.rotate(id, Overlap::None).unwrap_err());
    closed(other.rotate_within(id, Overlap::None, &verified).unwrap_err());
    closed(other.revoke(id, "").unwrap_err());
    closed(other.revoke_owner("alice", "").unwrap_err());
    closed(other.purge(start()).unwrap_err());
    other.close().unwrap();
}
