use std::fs;

use apikey_core::sink::DirectorySink;
use apikey_core::{
    AuthError, Conflict, CreatedKey, EventFilter, ExportOptions, ImportScheme, Imported, KeyFilter, KeyId, KeyStore,
    KeyUpdate, NewKey, Overlap, Requirement, RotationPolicy, Rotator, StoreError,
};
use chrono::{TimeDelta, Utc};

use super::fixture::{Nodes, on_each_engine};

/// An answer that changes nothing is given at the head of the log, so after it a node has everything.
fn catch_up(store: &KeyStore) {
    let nobody = "00000000-0000-7000-8000-000000000001".parse::<KeyId>().unwrap();
    assert!(matches!(store.revoke(nobody, "none"), Err(StoreError::NotFound(_))));
}

fn verifies(store: &KeyStore, key: &CreatedKey) -> bool {
    store.verify(key.key.expose_secret()).is_ok()
}

on_each_engine! {
    fn a_change_on_one_node_holds_on_all(nodes) {
        let [one, two, three] = nodes.three();
        let created = one.create(NewKey::for_owner("alice").permissions(["orders:read", "orders:write"])).unwrap();
        let write = Requirement::permission("orders:write").unwrap();
        let token = created.key.expose_secret();
        assert!([&one, &two, &three].iter().all(|store| store.authorize(token, &write).is_ok()));
        two.update(created.info.id(), KeyUpdate::new().permissions(["orders:read"])).unwrap();
        assert!([&one, &two, &three].iter().all(|store| store.authorize(token, &write).is_err()));
        three.update(created.info.id(), KeyUpdate::new().disabled(true)).unwrap();
        assert_eq!(one.verify(token).unwrap_err(), AuthError::Disabled);
        one.update(created.info.id(), KeyUpdate::new().disabled(false)).unwrap();
        assert!(verifies(&two, &created) && verifies(&three, &created));
        assert!(two.revoke(created.info.id(), "left").unwrap());
        assert!(!three.revoke(created.info.id(), "again").unwrap(), "it is revoked already");
        assert_eq!(one.verify(token).unwrap_err(), AuthError::Revoked);
    }

    fn every_secret_of_a_rotation_is_known_everywhere(nodes) {
        let [one, two, three] = nodes.three();
        let first = one.create(NewKey::for_owner("alice")).unwrap();
        let second = two.rotate(first.info.id(), Overlap::For(TimeDelta::hours(1))).unwrap();
        assert!(three.verify(first.key.expose_secret()).unwrap().superseded() && verifies(&three, &second));
        let third = three.rotate(first.info.id(), Overlap::None).unwrap();
        assert!([&one, &two].iter().all(|store| !verifies(store, &first) && !verifies(store, &second)));
        assert!([&one, &two].iter().all(|store| verifies(store, &third)));
    }

    fn a_request_is_repeated_on_another_node(nodes) {
        let [one, two, three] = nodes.three();
        let request = || NewKey::for_owner("alice").name("ci").idempotency_key("5d1a7c0b");
        let lost = one.create(request()).unwrap();
        let repeated = two.create(request()).unwrap();
        assert_eq!(repeated.info.id(), lost.info.id());
        assert!(!verifies(&three, &lost) && verifies(&three, &repeated));
        // Until the first use is in the log, a repeat on another node replaces the secret: it knows of no use.
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let first_uses = EventFilter::default().kind("first_used");
        while one.events(&first_uses).unwrap().events.is_empty() {
            assert!(std::time::Instant::now() < end, "the first use is not in the log");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        match one.create(request()) {
            Err(StoreError::Conflict(Conflict::Repeated { id })) => assert_eq!(id, lost.info.id()),
            other => panic!("{other:?}"),
        }
        assert!(verifies(&three, &repeated));
    }

    fn all_keys_of_an_owner_end_on_all_nodes(nodes) {
        let [one, two, three] = nodes.three();
        let of = |store: &KeyStore, owner: &str| store.create(NewKey::for_owner(owner)).unwrap();
        let keys = [of(&one, "alice"), of(&two, "alice"), of(&three, "alice")];
        let other = of(&one, "bob");
        assert_eq!(two.revoke_owner("alice", "left").unwrap(), 3);
        assert_eq!(two.revoke_owner("carol", "left").unwrap(), 0);
        for store in [&one, &two, &three] {
            assert!(keys.iter().all(|key| !verifies(store, key)) && verifies(store, &other));
            assert_eq!(store.list(&KeyFilter::owner("alice")).unwrap().keys.len(), 3);
        }
    }

    fn ten_thousand_keys_are_one_change(nodes) {
        let [one, two, _three] = nodes.three();
        let keys = (0..10_000).map(|number| NewKey::for_owner(format!("owner{}", number % 100)));
        let created = one.create_many(keys).unwrap();
        catch_up(&two);
        assert!(verifies(&two, &created[0]) && verifies(&two, &created[9_999]));
        assert_eq!(two.list(&KeyFilter::owner("owner7")).unwrap().keys.len(), 100);
        // A node that begins now has them from the log or from the state.
        let late = nodes.open("late");
        assert!(verifies(&late, &created[5_000]));
        let mut lines = Vec::new();
        assert_eq!(late.export(&mut lines, &ExportOptions::default()).unwrap(), 10_000);
    }

    fn an_imported_key_is_held_once(nodes) {
        let [one, two, three] = nodes.three();
        let raw = "sk_legacy_2f7a1c9d0b3e4f5a6b7c8d9e0f1a2b3c";
        let import = || NewKey::for_owner("alice").imported(Imported::raw(raw), ImportScheme::Whole);
        let created = one.create(import()).unwrap();
        match two.create(import()) {
            Err(StoreError::Conflict(Conflict::DigestHeld(holder))) => assert_eq!(holder, Some(created.info.id())),
            other => panic!("{other:?}"),
        }
        assert_eq!(three.verify(raw).unwrap().id(), created.info.id());
        three.revoke(created.info.id(), "leaked").unwrap();
        assert!(two.verify(raw).is_err());
    }

    fn an_acting_key_is_judged_by_the_records_of_all(nodes) {
        let [one, two, _three] = nodes.three();
        let actor = one.create(NewKey::for_owner("alice").permissions(["orders:*"])).unwrap();
        let acting = two.verify(actor.key.expose_secret()).unwrap();
        let child = two.create(NewKey::for_owner("alice").permissions(["orders:read"]).within(&acting)).unwrap();
        assert!(verifies(&one, &child));
        one.update(actor.info.id(), KeyUpdate::new().permissions(["orders:read"])).unwrap();
        let wide = NewKey::for_owner("alice").permissions(["orders:write"]).within(&acting);
        assert!(matches!(two.create(wide), Err(StoreError::Exceeds(_))));
        one.revoke(actor.info.id(), "left").unwrap();
        let any = NewKey::for_owner("alice").permissions(["orders:read"]).within(&acting);
        assert!(matches!(two.create(any), Err(StoreError::Exceeds(_))));
    }

    fn the_first_key_and_the_fixed_keys_are_made_once(nodes) {
        let directory = tempfile::tempdir().unwrap();
        let fixed = directory.path().join("fixed");
        fs::write(&fixed, "gateway orders:read sha256:f4d5332088e579bfad3a9c1a04f97a2de4c4d3f38f129433e7e00d0b873bec69\n").unwrap();
        let open = |name: &str| {
            let first = NewKey::for_owner("admin").permissions(["keys:*"]);
            let builder = nodes.builder(name).first_key(first, directory.path().join(name));
            builder.fixed_keys_from_file(&fixed).temporary().unwrap()
        };
        let stores: Vec<KeyStore> = std::thread::scope(|scope| {
            let opened: Vec<_> = ["one", "two", "three"].map(|name| scope.spawn(move || open(name))).into_iter().collect();
            opened.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let files: Vec<_> = ["one", "two", "three"].into_iter().filter(|name| directory.path().join(name).exists()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        let token = fs::read_to_string(directory.path().join(files[0])).unwrap();
        for store in &stores {
            catch_up(store);
            assert_eq!(store.verify(token.trim_end()).unwrap().owner(), "admin");
            assert_eq!(store.list(&KeyFilter::default()).unwrap().keys.len(), 2);
        }
    }

    fn one_rotator_rotates_and_another_follows_it(nodes) {
        let [one, two, three] = nodes.three();
        let directory = tempfile::tempdir().unwrap();
        let rotator = |store: &KeyStore| Rotator::new(store.clone(), DirectorySink::new(directory.path()));
        let policy = RotationPolicy::every(TimeDelta::days(30));
        let key = three.create(NewKey::for_owner("alice").rotation(policy)).unwrap();
        catch_up(&one);
        catch_up(&two);
        let due = Utc::now() + TimeDelta::days(31);
        let (first, second) = (rotator(&one), rotator(&two));
        assert_eq!(first.run_due(due).unwrap().delivered.len(), 1);
        catch_up(&two);
        assert_eq!(second.run_due(due + TimeDelta::days(31)).unwrap().delivered.len(), 0, "the other one has the hold");
        drop(first);
        one.close().unwrap();
        assert_eq!(second.run_due(due + TimeDelta::days(31)).unwrap().delivered.len(), 1);
        let versions = three.get(key.info.id()).unwrap().unwrap().version();
        assert_eq!(versions, 3);
    }

    fn history_and_copies_are_those_of_any_node(nodes) {
        let [one, two, three] = nodes.three();
        let directory = tempfile::tempdir().unwrap();
        let key = one.as_actor("deploy-bot").create(NewKey::for_owner("alice")).unwrap();
        two.revoke(key.info.id(), "left").unwrap();
        let purged = three.purge(Utc::now() + TimeDelta::hours(1)).unwrap();
        assert_eq!(purged, 1);
        for store in [&one, &two, &three] {
            catch_up(store);
            let report = store.verify_events().unwrap();
            assert!(report.is_whole() && report.events == 3, "{report:?}");
            assert_eq!(store.events(&EventFilter::default().actor("deploy-bot")).unwrap().events.len(), 1);
            assert!(store.get(key.info.id()).unwrap().is_none());
        }
        let left = one.create(NewKey::for_owner("bob")).unwrap();
        let backup = directory.path().join("backup");
        two.backup(&backup).unwrap();
        let own = directory.path().join("own.db");
        KeyStore::restore(&apikey_core::Restore::new(&backup, &own)).unwrap();
        let own = KeyStore::open(&own).unwrap();
        assert!(verifies(&own, &left), "out of a cluster: a backup is restored into a store of its own");
        assert!(own.revoke(left.info.id(), "left").unwrap() && verifies(&three, &left));
    }
}
