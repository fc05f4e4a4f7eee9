//! A store with a catalogue refuses grants that match none of its permissions.

use std::fs;
use std::path::Path;

use apikey::{ExportOptions, ImportOptions, KeyStore, KeyUpdate, LineFault, NewKey, OpenError, Restore, StoreError};
use apikey_testkit::{alice, code, hex};
use sha2::{Digest, Sha256};

apikey::permissions! {
    enum Perm {
        OrdersRead = "orders:read",
        OrdersWrite = "orders:write",
    }
}

fn shop() -> KeyStore {
    KeyStore::builder().catalog(Perm::ALL).temporary().unwrap()
}

fn open(path: &Path, catalog: &[&str]) -> KeyStore {
    KeyStore::builder().catalog(catalog).open(path).unwrap()
}

/// As the command opens a store.
fn as_tool(path: &Path) -> KeyStore {
    KeyStore::builder().keep_catalog().open(path).unwrap()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>, grant: &str, nearest: Option<&str>) {
    let error = result.unwrap_err();
    assert_eq!(error.status(), 422);
    let StoreError::UnknownGrant(unknown) = error else { panic!("{error}") };
    assert_eq!((unknown.grant(), unknown.nearest()), (grant, nearest));
}

#[test]
fn a_typo_is_refused_where_a_key_is_created_or_updated() {
    let store = shop();
    let typo = || alice().permissions(["orders:read", "orders:raed"]);
    refused(store.create(typo()), "orders:raed", Some("orders:read"));
    refused(store.create_many([alice(), typo()]), "orders:raed", Some("orders:read"));
    refused(store.of_owner("alice").create(typo()), "orders:raed", Some("orders:read"));
    refused(store.create(alice().permissions(["order:*"])), "order:*", Some("orders:*"));
    assert_eq!(store.health().last_durable, 0);

    let grants = ["*", "orders:*", "*:write", "keys:*", "keys:any_owner"];
    let id = store.create(alice().permissions(grants)).unwrap().info.id();
    refused(store.update(id, KeyUpdate::new().permissions(["stats"])), "stats", None);
    let add = KeyUpdate::new().add_permissions(["orders:wirte"]);
    refused(store.update(id, add), "orders:wirte", Some("orders:write"));
    store.update(id, KeyUpdate::new().permissions([Perm::OrdersWrite])).unwrap();
    refused(store.update(id, KeyUpdate::new().add_permissions(["stats"])), "stats", None);
    store.update(id, KeyUpdate::new().permissions([""; 0])).unwrap();
    assert_eq!(store.catalog().unwrap(), ["orders:read", "orders:write"]);
    assert_eq!(KeyStore::temporary().unwrap().catalog(), None);
}

#[test]
fn a_key_keeps_what_an_earlier_catalogue_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.db");
    let store = open(&path, &["orders:read", "stock:read"]);
    let id = store.create(alice().permissions(["stock:read"])).unwrap().info.id();
    store.close().unwrap();
    let store = open(&path, &["orders:read"]);
    let update = |update: KeyUpdate| store.update(id, update);
    assert_eq!(update(KeyUpdate::new().add_permissions(["stock:read"])).unwrap().permissions(), ["stock:read"]);
    let both = update(KeyUpdate::new().permissions(["stock:read", "orders:read"])).unwrap();
    assert_eq!(both.permissions(), ["stock:read", "orders:read"]);
    refused(update(KeyUpdate::new().permissions(["stock:read", "stock:raed"])), "stock:raed", None);
    update(KeyUpdate::new().permissions(["orders:read"])).unwrap();
    refused(update(KeyUpdate::new().permissions(["stock:read"])), "stock:read", None);
    refused(update(KeyUpdate::new().add_permissions(["stock:read"])), "stock:read", None);
    refused(store.create(alice().permissions(["stock:read"])), "stock:read", None);
}

#[test]
fn a_capped_caller_does_not_learn_the_catalogue() {
    let store = shop();
    let actor = store.create(alice().permissions(["orders:read"])).unwrap();
    let actor = store.verify(actor.key.expose_secret()).unwrap();
    let other = store.create(alice().permissions(["orders:read"])).unwrap().info.id();
    let strong = store.create(alice().permissions(["orders:write"])).unwrap().info.id();
    let exceeds = |result: Result<(), StoreError>, kind: &str| match result.unwrap_err() {
        StoreError::Exceeds(violation) => assert_eq!(violation.kind(), kind),
        other => panic!("{other}"),
    };
    let typo = ["orders:wirte"];
    exceeds(store.create(alice().permissions(typo).within(&actor)).map(drop), "grant");
    for update in [KeyUpdate::new().permissions(typo), KeyUpdate::new().add_permissions(typo)] {
        exceeds(store.update(other, update.clone().within(&actor)).map(drop), "grant");
        exceeds(store.update(strong, update.within(&actor)).map(drop), "target");
    }
    // What the cap allows is checked against the catalogue all the same.
    let admin = store.create(alice().permissions(["*"])).unwrap();
    let admin = store.verify(admin.key.expose_secret()).unwrap();
    refused(store.create(alice().permissions(typo).within(&admin)), "orders:wirte", Some("orders:write"));
    let update = KeyUpdate::new().permissions(typo).within(&admin);
    refused(store.update(other, update), "orders:wirte", Some("orders:write"));
}

#[test]
fn an_import_refuses_the_line_and_takes_the_others() {
    let source = KeyStore::temporary().unwrap();
    source.create(alice().permissions(["orders:read"])).unwrap();
    source.create(alice().permissions(["stock:read"])).unwrap();
    let mut lines = Vec::new();
    source.export(&mut lines, &ExportOptions::default().digests(true)).unwrap();
    let report = shop().import(lines.as_slice(), &ImportOptions::default()).unwrap();
    assert_eq!(report.imported, 1);
    let [refused] = report.refused.as_slice() else { panic!("{report:?}") };
    assert!(matches!(&refused.fault, LineFault::Key(StoreError::UnknownGrant(_))), "{refused:?}");
    assert_eq!(refused.line, 2);
}

#[test]
fn a_first_key_and_a_new_fixed_key_are_refused_at_open() {
    let directory = tempfile::tempdir().unwrap();
    let builder = || KeyStore::builder().catalog(Perm::ALL);
    let first = NewKey::for_owner("admin").permissions(["order:*"]);
    let Err(OpenError::Config(text)) = builder().first_key(first, directory.path().join("key")).temporary() else {
        panic!("a typo in the first key opens")
    };
    assert!(text.starts_with("first key: invalid permission \"order:*\""), "{text}");
    assert!(!directory.path().join("key").exists());

    let file = directory.path().join("keys.txt");
    let line =
        |grants: &str| format!("preview {grants} sha256:{}\n", hex(Sha256::digest("preview-key-7f3a9c1e5b2d4860")));
    fs::write(&file, line("orders:raed")).unwrap();
    let Err(OpenError::Config(text)) = builder().fixed_keys_from_file(&file).temporary() else {
        panic!("a typo in a fixed key opens")
    };
    assert!(text.contains("line 1: invalid permission \"orders:raed\"") && text.contains("orders:read"), "{text}");

    // A fixed key that is there already must not keep a later version of the service from opening its store.
    fs::write(&file, line("orders:read")).unwrap();
    let path = directory.path().join("keys.db");
    builder().fixed_keys_from_file(&file).open(&path).unwrap().close().unwrap();
    let later = KeyStore::builder().catalog(["stock:read"]).fixed_keys_from_file(&file).open(&path).unwrap();
    assert_eq!(code(&later, "preview-key-7f3a9c1e5b2d4860"), "ok");
}

#[test]
fn a_catalogue_that_is_none_does_not_open() {
    let fault = |builder: apikey::KeyStoreBuilder| match builder.temporary() {
        Err(OpenError::Config(text)) => text,
        other => panic!("{other:?}"),
    };
    let wildcard = fault(KeyStore::builder().catalog(["orders:*"]));
    assert!(wildcard.starts_with("catalog: invalid permission \"orders:*\""), "{wildcard}");
    assert!(fault(KeyStore::builder().catalog([""; 0])).starts_with("catalog: it names no permission"));
    let many = (0..513).map(|number| format!("p{number}"));
    assert_eq!(fault(KeyStore::builder().catalog(many)), "catalog: it has 513 permissions, at most 512 are allowed");
    let store = KeyStore::builder().catalog(["a"]).catalog(["b"]).temporary().unwrap();
    assert_eq!(store.catalog().unwrap(), ["a", "b"], "a second call adds");
}

/// Two versions of a service open the store in turn, and an operator's tool in between.
#[test]
fn each_version_of_a_service_has_its_own_catalogue() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.db");
    let grants = |grant: &str| alice().permissions([grant]);

    let one = open(&path, &["orders:read"]);
    let created = one.create(grants("orders:read")).unwrap();
    let (id, token) = (created.info.id(), created.key.expose_secret());
    one.close().unwrap();
    let tool = as_tool(&path);
    refused(tool.create(grants("orders:raed")), "orders:raed", Some("orders:read"));
    tool.close().unwrap();

    let two = open(&path, &["orders:list"]);
    assert!(two.verify(token).unwrap().allows("orders:read"), "a key that is there keeps its grants");
    two.update(id, KeyUpdate::new().name("old")).unwrap();
    refused(two.create(grants("orders:read")), "orders:read", None);
    two.create(grants("orders:list")).unwrap();
    let backup = directory.path().join("keys.backup");
    two.backup(&backup).unwrap();
    two.close().unwrap();

    let one = open(&path, &["orders:read"]);
    one.create(grants("orders:read")).unwrap();
    one.close().unwrap();
    assert_eq!(as_tool(&path).catalog().unwrap(), ["orders:read"], "of whoever opened it last");

    // A program without a catalogue accepts every grant, and so does the tool after it.
    KeyStore::open(&path).unwrap().create(grants("stock:read")).unwrap();
    assert_eq!(as_tool(&path).catalog(), None);
    as_tool(&path).create(grants("anything:at:all")).unwrap();

    let restored = directory.path().join("restored.db");
    KeyStore::restore(&Restore::new(&backup, &restored)).unwrap();
    assert_eq!(as_tool(&restored).catalog().unwrap(), ["orders:list"], "a backup has it");
}
