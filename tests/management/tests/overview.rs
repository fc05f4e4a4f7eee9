//! The keys by state, and those that need somebody.

use apikey::management::Management;
use apikey::{KeyStore, KeyUpdate, ManualClock, NewKey, Overlap};
use apikey_testkit::{Call, wait_until};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use crate::fixture::Api;

fn overview(api: &Api, key: &apikey::CreatedKey) -> Value {
    let answer = api.ask(key, Call::get("/overview"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

#[test]
fn keys_are_counted_as_the_lists_select_them() {
    let clock = ManualClock::new(Utc::now());
    let api = Api::of(KeyStore::builder().clock(clock.clone()).temporary().unwrap());
    let new = || NewKey::for_owner("bob");
    let store = &api.store;
    let make = |new: NewKey| store.create(new).unwrap();
    make(new()); // nobody uses it for 91 days
    let used = make(new());
    let expired = make(new().expires_in(TimeDelta::days(1)));
    let disabled = make(new());
    store.update(disabled.info.id(), KeyUpdate::new().disabled(true)).unwrap();
    store.revoke(make(new()).info.id(), "left").unwrap();
    clock.advance(TimeDelta::days(91));
    store.verify(used.key.expose_secret()).unwrap();
    make(new().expires_in(TimeDelta::days(29)));
    make(new().expires_in(TimeDelta::days(31)));
    make(new().not_before(Utc::now() + TimeDelta::days(400)));
    store.rotate(used.info.id(), Overlap::UntilFirstUse).unwrap();
    let ended = make(new());
    store.rotate(ended.info.id(), Overlap::None).unwrap();
    let admin = api.key("root", &["*"]);
    let found = overview(&api, &admin);
    let states = json!({
        "active": 6, "disabled": 1, "expired": 1, "idle": 0, "inactive": 1, "no_secret": 0, "revoked": 1,
    });
    assert_eq!(found["states"], states);
    assert_eq!(found["expiring"], 1);
    assert_eq!(found["idle"], 1);
    assert_eq!(found["old_secrets"], 1);
    assert!(found["disk_bytes"].as_u64().unwrap() >= found["log_bytes"].as_u64().unwrap());
    // The same numbers of keys are behind the links.
    let list =
        |query: &str| api.ask(&admin, Call::get(format!("/keys?{query}"))).json()["keys"].as_array().unwrap().len();
    let time = |days: i64| (store.now() + TimeDelta::days(days)).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    assert_eq!(list(&format!("state=active&expiring_before={}", time(30))), 1);
    assert_eq!(list(&format!("state=active&idle_since={}", time(-90))), 1);
    assert_eq!(list("state=expired"), 1);
    assert!(store.get(expired.info.id()).unwrap().is_some());
}

#[test]
fn a_caller_counts_what_it_may_read() {
    let api = Api::new();
    let of_acme = |grants: &[&str]| {
        api.store.tenant("acme").unwrap().create(NewKey::for_owner("alice").permissions(grants)).unwrap()
    };
    let tenants = of_acme(&["keys:read", "keys:any_owner"]);
    of_acme(&[]);
    let own = api.key("bob", &["keys:read"]);
    api.key("carol", &[]);
    for (caller, active) in [(&own, 1), (&tenants, 2)] {
        let found = overview(&api, caller);
        assert_eq!((&found["states"]["active"], &found["disk_bytes"]), (&json!(active), &Value::Null));
    }
    assert_eq!(overview(&api, &api.key("root", &["*"]))["states"]["active"], 5);
}

#[test]
fn a_large_store_is_counted_by_a_thread_of_its_own() {
    let store = KeyStore::temporary().unwrap();
    for _ in 0..2 {
        store.create_many((0..6_000).map(|n| NewKey::for_owner(format!("o{}", n % 3)))).unwrap();
    }
    let api = Api::of(store);
    let admin = api.key("root", &["*"]);
    let reader = api.key("o1", &["keys:read", "keys:any_owner"]);
    let first = overview(&api, &admin);
    assert!(first["disk_bytes"].is_u64());
    wait_until("the count", || overview(&api, &admin)["states"]["active"] == 12_002);
    // A new key is counted the next time.
    api.key("o1", &[]);
    assert_eq!(overview(&api, &admin)["states"]["active"], 12_002);
    assert_eq!(overview(&api, &reader)["states"], Value::Null, "it reads many, and not all");
    let own = api.key("o2", &["keys:read"]);
    assert_eq!(overview(&api, &own)["states"]["active"], 4_001);
    // The thread keeps no store open that nobody has any more.
    let directory = tempfile::tempdir().unwrap();
    let store = KeyStore::open(directory.path().join("keys.db")).unwrap();
    for _ in 0..2 {
        store.create_many((0..6_000).map(|_| NewKey::for_owner("alice"))).unwrap();
    }
    let api = Api { management: Management::new(store.clone()), store };
    let admin = api.key("root", &["*"]);
    overview(&api, &admin);
    drop(api);
    wait_until("the end of the store", || KeyStore::open(directory.path().join("keys.db")).is_ok());
}
