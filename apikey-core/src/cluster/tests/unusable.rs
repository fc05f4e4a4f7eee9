//! Entries of the log that a node cannot apply.

use std::time::{Duration, Instant};

use super::{cluster, eventually, node};
use crate::base::codec;
use crate::cluster::{Entry, Ledger, MemoryLedger, Position};
use crate::storage::batch::Batch;
use crate::{AuthError, KeyStore, KeyUpdate, NewKey};

fn head(store: &KeyStore) -> crate::key::event::stored::Head {
    store.inner().engine.writer().head()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

#[test]
fn a_node_whose_replica_does_not_fit_the_log_loads_it_anew() {
    let ledger = MemoryLedger::new();
    let directory = tempfile::tempdir().unwrap();
    let open = || KeyStore::builder().cluster(cluster(&ledger, "disk")).open(directory.path().join("replica.db"));
    let (one, disk) = (node(&ledger, "one"), open().unwrap());
    let keys: Vec<_> = (0..600).map(|_| NewKey::for_owner("alice").permissions(["orders:read"])).collect();
    let keys = one.create_many(keys).unwrap();
    let revoked = one.create(NewKey::for_owner("bob")).unwrap();
    one.revoke(revoked.info.id(), "leaked").unwrap();
    // The request has an outcome, which the state has, too.
    let request = || NewKey::for_owner("carol").idempotency_key("5d1a7c0b");
    let lost = one.create(request()).unwrap();
    assert!(disk.verify(lost.key.expose_secret()).is_ok() || disk.verify(lost.key.expose_secret()).is_err());
    eventually("the state has them", || {
        let status = cluster(&ledger, "tool").status().unwrap().unwrap();
        status.state == status.head && head(&disk) == head(&one)
    });
    // Somebody, or a fault of the disk, gives a key to another owner, deletes one, and revives one.
    let own = keys[7].info.id().as_u128();
    {
        let inner = disk.inner();
        let log = inner.engine.log.open().unwrap();
        log.flush_memtable().unwrap();
        let write = |id, change: &dyn Fn(&mut crate::key::record::Record)| {
            let (before, _) = log.record(id).unwrap().unwrap();
            let mut after = before.clone();
            change(&mut after);
            crate::commit::stage::write(
                crate::key::subject::Subject::Key(id),
                Some(&before),
                Some(&after),
                (0, Vec::new()),
            )
            .unwrap()
        };
        let writes = vec![
            write(own, &|record| record.permissions = vec!["*".into()]),
            write(revoked.info.id().as_u128(), &|record| record.revoked = None),
        ];
        let head = codec::encode(&inner.engine.writer().head()).unwrap();
        log.write(&Batch { writes, head, ended: Vec::new() }).unwrap();
    }
    one.update(keys[7].info.id(), KeyUpdate::new().permissions(["orders:write"])).unwrap();
    eventually("it loaded its replica anew", || disk.health().cluster.unwrap().recovered.is_some() && disk.is_ready());
    let what = disk.health().cluster.unwrap().recovered.unwrap();
    assert!(what.contains("do not lead to the head") && what.contains("operation"), "{what}");
    eventually("it follows", || head(&disk) == head(&one));
    for store in [&disk, &one] {
        let answer = store.verify(keys[7].key.expose_secret()).unwrap();
        assert!(answer.permissions().eq(["orders:write"]), "{:?}", answer.permissions().collect::<Vec<_>>());
        assert_eq!(store.verify(revoked.key.expose_secret()).unwrap_err(), AuthError::Revoked);
        assert!(keys.iter().all(|key| store.verify(key.key.expose_secret()).is_ok()));
        assert!(store.verify_events().unwrap().is_whole());
    }
    // It makes changes, and a repeated request finds what it made.
    disk.revoke(keys[8].info.id(), "left").unwrap();
    assert_eq!(one.verify(keys[8].key.expose_secret()).unwrap_err(), AuthError::Revoked);
    assert_eq!(
        disk.create(request()).err().map(|error| error.to_string()),
        one.create(request()).err().map(|error| error.to_string())
    );
    let last = head(&disk);
    disk.close().unwrap();
    let disk = open().unwrap();
    assert_eq!((head(&disk), disk.health().cluster.unwrap().recovered), (last, None), "its disk has it");
    assert!(disk.verify_events().unwrap().is_whole());
}

#[test]
fn an_entry_that_no_replica_can_apply_is_named_and_no_key_is_served() {
    let ledger = MemoryLedger::new();
    let nodes = ["one", "two"].map(|name| node(&ledger, name));
    let created = nodes[0].create(NewKey::for_owner("alice")).unwrap();
    let base = ledger.sight(1, soon()).unwrap().head.unwrap();
    let last = Position { number: base.number + 1, digest: [7; 32] };
    let entry = Entry { generation: 1, op: [0xab; 16], base, last, bytes: b"no entry" };
    ledger.append(&entry, None, soon()).unwrap();
    for store in &nodes {
        eventually("it stopped", || store.health().cluster.unwrap().stopped.is_some());
        let health = store.health().cluster.unwrap();
        let why = health.stopped.unwrap();
        let op = "ab".repeat(16);
        assert!(
            why.contains(&format!("the entry 2 to 2 of the log (operation {op})")) && why.contains("loaded anew"),
            "{why}"
        );
        assert_eq!(health.recovering, None);
        assert_eq!(store.verify(created.key.expose_secret()).unwrap_err(), AuthError::Unavailable);
    }
    let error = KeyStore::builder().cluster(cluster(&ledger, "new")).temporary().err().unwrap().to_string();
    assert!(error.contains("the entry 2 to 2"), "{error}");
}
