//! What handlers read of a verified key without a look-up: its name, the prefix of its secret, and its labels.

use apikey::{
    CapViolation, EventFilter, EventKind, ExportOptions, ImportOptions, ImportScheme, Imported, KeyFilter, KeyStore,
    KeyUpdate, NewKey, OpenError, Overlap, StoreError, VerifiedKey,
};
use apikey_testkit::{TokenParts, alice, all, code, hours, info};

const PREFIXES: [&str; 2] = ["acme_live", "acme_test"];

fn labelled() -> NewKey {
    alice().name("ci").label("plan", "pro").label("region", "eu")
}

fn labels(key: &VerifiedKey) -> Vec<(&str, &str)> {
    key.labels().collect()
}

fn live_and_test() -> KeyStore {
    KeyStore::builder().prefixes(PREFIXES).temporary().unwrap()
}

#[track_caller]
fn violation<T: std::fmt::Debug>(result: Result<T, StoreError>) -> CapViolation {
    match result {
        Err(StoreError::Exceeds(violation)) => violation,
        other => panic!("a cap is violated: {other:?}"),
    }
}

#[test]
fn a_verified_key_has_its_name_its_prefix_and_its_labels() {
    let store = KeyStore::temporary().unwrap();
    let created = store.create(labelled()).unwrap();
    let key = store.verify(created.key.expose_secret()).unwrap();
    assert_eq!((key.owner(), key.name(), key.prefix()), ("alice", Some("ci"), Some("ak")));
    assert_eq!((key.label("plan"), key.label("region"), key.label("ci")), (Some("pro"), Some("eu"), None));
    assert_eq!(labels(&key), [("plan", "pro"), ("region", "eu")]);
    assert_eq!(created.info.labels().len(), 2);
    let plain = store.create(alice()).unwrap();
    let key = store.verify(plain.key.expose_secret()).unwrap();
    assert_eq!((key.owner(), key.name(), key.prefix(), labels(&key)), ("alice", None, Some("ak"), vec![]));
}

/// Names and labels may be personal, and logs of `{key:?}` are common.
#[test]
fn the_debug_form_of_a_verified_key_has_neither_name_nor_labels() {
    let store = KeyStore::temporary().unwrap();
    let created = store.create(labelled()).unwrap();
    let text = format!("{:?}", store.verify(created.key.expose_secret()).unwrap());
    assert!(text.contains("alice"), "{text}");
    for hidden in ["ci", "plan", "pro", "region", "eu"].map(|text| format!("{text:?}")) {
        assert!(!text.contains(&hidden), "{text}");
    }
    assert!(!text.contains(char::is_control), "{text}");
}

#[test]
fn a_change_of_labels_is_in_force_and_in_the_history() {
    let store = KeyStore::temporary().unwrap();
    let created = store.create(labelled()).unwrap();
    let (id, token) = (created.info.id(), created.key.expose_secret());
    let before = store.verify(token).unwrap();
    let update = KeyUpdate::new().label("plan", "free").label("beta", "yes").remove_label("region").name("cd");
    let info = store.update(id, update).unwrap();
    let now = store.verify(token).unwrap();
    assert_eq!((labels(&now), now.name()), (vec![("beta", "yes"), ("plan", "free")], Some("cd")));
    assert_eq!(info.labels().get("plan").map(String::as_str), Some("free"));
    assert_eq!(labels(&before), [("plan", "pro"), ("region", "eu")], "a verified key is a snapshot");
    let events = store.events(&EventFilter::default().key(id)).unwrap().events;
    let [_, changed] = &events[..] else { panic!("{events:?}") };
    let EventKind::Updated { changes } = changed.kind() else { panic!("{changed:?}") };
    assert_eq!(changes.fields(), ["name", "labels"]);
    let labels_changed = changes.labels.as_ref().unwrap();
    assert_eq!(
        serde_json::to_value(labels_changed).unwrap(),
        serde_json::json!({
            "from": { "plan": "pro", "region": "eu" }, "to": { "beta": "yes", "plan": "free" },
        })
    );
    // Removing what a key does not have changes nothing, and neither does setting what it has.
    store.update(id, KeyUpdate::new().remove_label("region").label("plan", "free")).unwrap();
    assert_eq!(store.events(&EventFilter::default().key(id)).unwrap().events.len(), 2);
    store.update(id, KeyUpdate::new().no_labels()).unwrap();
    assert!(labels(&store.verify(token).unwrap()).is_empty());
    assert!(matches!(store.events(&EventFilter::default().key(id)).unwrap().events[0].kind(), EventKind::Created));
}

#[test]
fn labels_and_prefixes_survive_reopening_a_rotation_and_an_export() {
    let directory = tempfile::tempdir().unwrap();
    let open = || KeyStore::builder().prefixes(PREFIXES).open(directory.path().join("keys.db")).unwrap();
    let store = open();
    let created = store.create(labelled().prefix("acme_test")).unwrap();
    let plain = store.create(alice()).unwrap();
    store.close().unwrap();
    let store = open();
    let read = |store: &KeyStore, token: &str| {
        let key = store.verify(token).unwrap();
        let labels = key.labels().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
        (key.owner().to_owned(), key.name().map(str::to_owned), key.prefix().map(str::to_owned), labels)
    };
    let text = |text: &str| Some(text.to_owned());
    let expected = ("alice".to_owned(), text("ci"), text("acme_test"), "plan=pro region=eu".to_owned());
    let is_plain = ("alice".to_owned(), None, text("acme_live"), String::new());
    assert_eq!(read(&store, created.key.expose_secret()), expected);
    assert_eq!(read(&store, plain.key.expose_secret()), is_plain);
    let rotated = store.rotate(created.info.id(), Overlap::For(hours(1))).unwrap();
    for token in [&created, &rotated].map(|key| key.key.expose_secret()) {
        assert!(token.starts_with("acme_test_"), "{token}");
        assert_eq!(read(&store, token), expected);
    }
    let mut lines = Vec::new();
    store.export(&mut lines, &ExportOptions::default().digests(true)).unwrap();
    let other = live_and_test();
    let report = other.import(lines.as_slice(), &ImportOptions::default()).unwrap();
    assert_eq!((report.imported, report.refused.len()), (2, 0), "{report:?}");
    assert_eq!(read(&other, rotated.key.expose_secret()), expected);
    assert_eq!(read(&other, plain.key.expose_secret()), is_plain);
    assert!(info(&other, &created).keeps_prefix() && !info(&other, &plain).keeps_prefix());
    // Another store would make other tokens of them.
    let report = KeyStore::temporary().unwrap().import(lines.as_slice(), &ImportOptions::default()).unwrap();
    assert_eq!((report.imported, report.refused.len()), (0, 2), "{report:?}");
    assert!(report.refused[0].to_string().contains("prefix"), "{}", report.refused[0]);
}

#[test]
fn a_key_keeps_the_prefix_that_it_was_created_with_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let store = KeyStore::builder().prefixes(["old", "test"]).open(path).unwrap();
    let (plain, test) = (store.create(alice()).unwrap(), store.create(alice().prefix("test")).unwrap());
    assert_eq!((plain.info.prefix(), plain.info.keeps_prefix()), (Some("old"), false));
    assert_eq!((test.info.prefix(), test.info.keeps_prefix()), (Some("test"), true));
    store.close().unwrap();
    let store = KeyStore::builder().prefixes(["new", "old", "test"]).open(path).unwrap();
    let prefix = |token: &str| store.verify(token).unwrap().prefix().map(str::to_owned);
    assert_eq!(prefix(plain.key.expose_secret()).as_deref(), Some("old"));
    let rotated = [&plain, &test].map(|key| store.rotate(key.info.id(), Overlap::For(hours(1))).unwrap());
    assert_eq!(
        rotated.each_ref().map(|key| prefix(key.key.expose_secret())),
        [Some("new".into()), Some("test".into())]
    );
    assert_eq!(prefix(plain.key.expose_secret()).as_deref(), Some("old"), "each secret has its own");
    for (wanted, ids) in [("new", vec![plain.info.id()]), ("test", vec![test.info.id()]), ("old", vec![])] {
        let found = all(&store, &KeyFilter::default().prefix(wanted));
        assert_eq!(found.iter().map(apikey::KeyInfo::id).collect::<Vec<_>>(), ids, "{wanted}");
    }
    let replaced = store.replace_leaked(test.info.id(), "leaked").unwrap();
    assert!(replaced.key.expose_secret().starts_with("test_"));
    store.close().unwrap();
    // Also without a secret of it a key needs its prefix.
    let text = KeyStore::builder().prefixes(["new", "old"]).open(path).unwrap_err().to_string();
    assert!(text.contains("1 of the store's keys was made with \"test\""), "{text}");
}

/// The prefix of a token is not under the digest of its secret, and the checksum is no secret.
#[test]
fn a_token_that_is_written_with_another_prefix_gains_nothing() {
    let store = live_and_test();
    for (own, other) in [("acme_test", "acme_live"), ("acme_live", "acme_test")] {
        let created = store.create(alice().prefix(own)).unwrap();
        let parts = TokenParts { prefix: other.to_owned(), ..TokenParts::of(created.key.expose_secret()) };
        assert!(parts.token().starts_with(other));
        assert_eq!(store.verify(&parts.token()).unwrap().prefix(), Some(own));
    }
    let created = store.create(alice()).unwrap();
    let foreign = TokenParts { prefix: "acme_beta".to_owned(), ..TokenParts::of(created.key.expose_secret()) };
    assert_eq!(code(&store, &foreign.token()), "invalid_api_key");
}

#[test]
fn a_secret_from_another_system_has_no_prefix_and_its_successor_has_that_of_the_key() {
    let store = live_and_test();
    let imported = |raw: &str| Imported::raw(raw.to_owned());
    let (old, kept) = ("legacy-7f3a9c1e5b2d4860", "legacy-8f3a9c1e5b2d4860");
    let plain = store.create(labelled().imported(imported(old), ImportScheme::Whole)).unwrap();
    let test = store.create(labelled().prefix("acme_test").imported(imported(kept), ImportScheme::Whole)).unwrap();
    for token in [old, kept] {
        let key = store.verify(token).unwrap();
        assert_eq!((key.owner(), key.prefix(), key.label("plan")), ("alice", None, Some("pro")));
    }
    assert_eq!((plain.info.prefix(), test.info.prefix()), (None, Some("acme_test")));
    for (key, prefix) in [(plain, "acme_live"), (test, "acme_test")] {
        let rotated = store.rotate(key.info.id(), Overlap::For(hours(1))).unwrap();
        assert_eq!(store.verify(rotated.key.expose_secret()).unwrap().prefix(), Some(prefix));
    }
    assert_eq!(store.verify(old).unwrap().prefix(), None);
}

#[test]
fn two_stores_have_their_own_prefixes() {
    let stores = PREFIXES.map(|prefix| KeyStore::builder().prefix(prefix).temporary().unwrap());
    for (store, prefix) in stores.iter().zip(PREFIXES) {
        let created = store.create(alice()).unwrap();
        assert_eq!(store.verify(created.key.expose_secret()).unwrap().prefix(), Some(prefix));
    }
}

#[test]
fn a_capped_key_has_only_labels_of_its_actor() {
    let store = KeyStore::temporary().unwrap();
    let actor = |new: NewKey| store.verify(store.create(new).unwrap().key.expose_secret()).unwrap();
    let label = |name: &str, wanted: Option<&str>, held: Option<&str>| CapViolation::Label {
        name: name.to_owned(),
        wanted: wanted.map(str::to_owned),
        held: held.map(str::to_owned),
    };
    let manager = actor(labelled().permissions(["keys:*", "orders:*"]));
    let refused = |new: NewKey| violation(store.create(new.within(&manager)));
    assert_eq!(refused(alice().label("plan", "max")), label("plan", Some("max"), Some("pro")));
    assert_eq!(refused(alice().label("beta", "yes")), label("beta", Some("yes"), None));
    let text = StoreError::Exceeds(refused(alice().label("plan", "max"))).to_string();
    assert!(text.contains("plan") && text.contains("max") && text.contains("pro"), "{text}");
    let none = store.create(alice().within(&manager)).unwrap();
    assert!(none.info.labels().is_empty(), "labels are not handed on by themselves");
    let created = store.create(alice().label("plan", "pro").within(&manager)).unwrap();
    let id = created.info.id();

    let changed = |id, update: KeyUpdate| store.update(id, update.within(&manager));
    assert_eq!(violation(changed(id, KeyUpdate::new().label("plan", "max"))), label("plan", Some("max"), Some("pro")));
    assert_eq!(violation(changed(id, KeyUpdate::new().remove_label("plan"))), label("plan", None, Some("pro")));
    assert_eq!(violation(changed(id, KeyUpdate::new().no_labels())), label("plan", None, Some("pro")));
    changed(id, KeyUpdate::new().label("region", "eu")).unwrap();
    // A handler may give more to a key without a label, so nobody takes it off who lacks the label, either.
    let other = store.create(alice().label("plan", "max").permissions(["orders:read"])).unwrap().info.id();
    assert_eq!(violation(changed(other, KeyUpdate::new().no_labels())), label("plan", None, Some("pro")));
    // What goes beyond the actor already stays as it is, and gets nothing.
    changed(other, KeyUpdate::new().disabled(true)).unwrap();
    let given = [KeyUpdate::new().disabled(false), KeyUpdate::new().permissions(["orders:*"])];
    for update in given {
        assert_eq!(violation(changed(other, update)), label("plan", Some("max"), Some("pro")));
    }
    assert_eq!(violation(store.rotate_within(other, Overlap::None, &manager)), label("plan", Some("max"), Some("pro")));
    changed(other, KeyUpdate::new().label("plan", "pro")).unwrap();
    store.rotate_within(other, Overlap::None, &manager).unwrap();
    // Its own key is no exception.
    assert_eq!(
        violation(changed(manager.id(), KeyUpdate::new().label("plan", "max"))),
        label("plan", Some("max"), Some("pro"))
    );
    assert_eq!(violation(changed(manager.id(), KeyUpdate::new().no_labels())), label("plan", None, Some("pro")));

    let root = actor(NewKey::for_owner("root").permissions(["*"]));
    store.create(alice().label("plan", "max").within(&root)).unwrap();
    store.update(id, KeyUpdate::new().no_labels().within(&root)).unwrap();
}

#[test]
fn a_capped_key_has_the_prefix_of_its_actor() {
    let store = live_and_test();
    let actor = |new: NewKey| store.verify(store.create(new).unwrap().key.expose_secret()).unwrap();
    let prefix = |wanted: &str, held: &str| CapViolation::Prefix { wanted: wanted.to_owned(), held: held.to_owned() };
    let test = actor(alice().prefix("acme_test").permissions(["keys:*"]));
    let created = store.create(alice().within(&test)).unwrap();
    assert_eq!((created.info.prefix(), created.info.keeps_prefix()), (Some("acme_test"), true));
    assert_eq!(violation(store.create(alice().prefix("acme_live").within(&test))), prefix("acme_live", "acme_test"));
    let live = actor(alice().permissions(["keys:*"]));
    assert_eq!(store.create(alice().within(&live)).unwrap().info.prefix(), Some("acme_live"));
    store.create(alice().prefix("acme_live").within(&live)).unwrap();
    assert_eq!(violation(store.create(alice().prefix("acme_test").within(&live))), prefix("acme_test", "acme_live"));
    assert_eq!(violation(store.rotate_within(live.id(), Overlap::None, &test)), prefix("acme_live", "acme_test"));
    let plain = store.create(alice().expires_in(hours(2))).unwrap().info.id();
    let longer = KeyUpdate::new().expires_at(None).within(&test);
    assert_eq!(violation(store.update(plain, longer)), prefix("acme_live", "acme_test"));
    store.update(plain, KeyUpdate::new().disabled(true).within(&test)).unwrap();
    let root = actor(alice().permissions(["*"]));
    store.create(alice().prefix("acme_test").within(&root)).unwrap();
}

#[test]
fn what_is_out_of_bounds_is_named() {
    let store = live_and_test();
    let id = store.create(labelled()).unwrap().info.id();
    let is_invalid = |error: StoreError, wanted: &str| {
        assert!(matches!(&error, StoreError::Invalid { field, .. } if *field == wanted), "{wanted}: {error:?}");
        assert_eq!(error.status(), 422);
    };
    for name in ["", "Plan", "plan pro", "plän", "a=b", &"a".repeat(33)] {
        is_invalid(store.create(alice().label(name, "x")).unwrap_err(), "label name");
        is_invalid(store.update(id, KeyUpdate::new().label(name, "x")).unwrap_err(), "label name");
    }
    for value in ["", "a\nb", "\u{2}", "\u{7f}", &"a".repeat(65)] {
        is_invalid(store.create(alice().label("plan", value)).unwrap_err(), "label value");
        is_invalid(store.update(id, KeyUpdate::new().label("plan", value)).unwrap_err(), "label value");
    }
    let most = format!("{}{}", "a".repeat(28), "0_.-");
    store.create(alice().label(&most, "é".repeat(32)).label("b", "x").label("c", "x").label("d", "x")).unwrap();
    let five = ["a", "b", "c", "d", "e"].into_iter().fold(alice(), |key, name| key.label(name, "x"));
    is_invalid(store.create(five).unwrap_err(), "labels");
    let two = || KeyUpdate::new().label("c", "x").label("d", "x");
    is_invalid(store.update(id, two().label("e", "x")).unwrap_err(), "labels");
    store.update(id, two().label("e", "x").remove_label("plan")).unwrap();
    for prefix in ["acme", "ak", "", "ACME_LIVE"] {
        is_invalid(store.create(alice().prefix(prefix)).unwrap_err(), "prefix");
    }
    is_invalid(store.list(&KeyFilter::default().prefix("acme-live")).unwrap_err(), "prefix");
    assert_eq!(all(&store, &KeyFilter::default().prefix("acme")), []);
    for prefixes in [&["ak", "ak"][..], &["ak", "b", "b"], &["ak", "B"], &[]] {
        let error = KeyStore::builder().prefixes(prefixes.iter().copied()).temporary().unwrap_err();
        assert!(matches!(&error, OpenError::Config(text) if text.starts_with("prefix \"")), "{error}");
    }
}

#[test]
fn as_json_labels_are_an_object() {
    let store = live_and_test();
    let new: NewKey =
        serde_json::from_str(r#"{"owner":"alice","labels":{"plan":"pro"},"prefix":"acme_test"}"#).unwrap();
    assert_eq!(
        serde_json::to_string(&new).unwrap(),
        r#"{"owner":"alice","labels":{"plan":"pro"},"prefix":"acme_test"}"#
    );
    let created = store.create(new).unwrap();
    let json = serde_json::to_value(&created.info).unwrap();
    assert_eq!(
        (&json["labels"]["plan"], &json["prefix"], &json["keeps_prefix"]),
        (&"pro".into(), &"acme_test".into(), &true.into())
    );
    let update: KeyUpdate = serde_json::from_str(r#"{"labels":{"plan":null,"beta":"yes"}}"#).unwrap();
    let info = store.update(created.info.id(), update).unwrap();
    assert_eq!(serde_json::to_string(info.labels()).unwrap(), r#"{"beta":"yes"}"#);
    let none: KeyUpdate = serde_json::from_str(r#"{"labels":null}"#).unwrap();
    assert!(store.update(created.info.id(), none).unwrap().labels().is_empty());
    let twice = r#"{"owner":"alice","labels":{"plan":"pro","plan":"max"}}"#;
    assert!(serde_json::from_str::<NewKey>(twice).unwrap_err().to_string().contains("duplicate field `plan`"));
    let filter: KeyFilter = serde_json::from_str(r#"{"prefix":"acme_test"}"#).unwrap();
    assert_eq!(all(&store, &filter).len(), 1);
}

/// Requests with one idempotency key that differ in what a key would be are different requests.
#[test]
fn a_repeat_has_the_labels_and_the_prefix_of_the_first_request() {
    let store = live_and_test();
    let request = |plan: &str, prefix: &str| alice().label("plan", plan).prefix(prefix).idempotency_key("4711");
    let first = store.create(request("pro", "acme_test")).unwrap();
    for (plan, prefix) in [("max", "acme_test"), ("pro", "acme_live")] {
        assert!(store.create(request(plan, prefix)).is_err());
    }
    let again = store.create(request("pro", "acme_test")).unwrap();
    assert_eq!(again.info.id(), first.info.id());
    assert!(again.key.expose_secret().starts_with("acme_test_"));
}
