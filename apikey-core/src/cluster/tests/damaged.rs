//! A replica whose files are damaged: the cluster fills its directory anew, and nothing else is ever taken for one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::faulty::Faulty;
use super::{cluster, eventually, node};
use crate::cluster::{Cluster, LedgerError, MemoryLedger};
use crate::{AuthError, ClusterError, CreatedKey, KeyStore, KeyStoreBuilder, NewKey, OpenError, StoreError};

/// A cluster, and what the directory of one of its nodes had when that was closed.
struct Fixture {
    ledger: MemoryLedger,
    other: KeyStore,
    directory: tempfile::TempDir,
    keys: Vec<CreatedKey>,
}

const GOOD: &str = "good";
/// The directory at an earlier time.
const EARLIER: &str = "earlier";

impl Fixture {
    /// The key 0 is revoked, and 1 on the closed node alone.
    fn new() -> Self {
        let ledger = MemoryLedger::new();
        let directory = tempfile::tempdir().unwrap();
        let other = node(&ledger, "other");
        let mut fixture = Self { ledger, other, directory, keys: Vec::new() };
        let faulty = Faulty::new(&fixture.ledger);
        let open = |fixture: &Self| builder(&faulty).open(fixture.path(GOOD)).unwrap();
        let disk = open(&fixture);
        fixture.keys.extend(disk.create_many((0..40).map(|_| NewKey::for_owner("alice"))).unwrap());
        disk.close().unwrap();
        copy(&fixture.path(GOOD), &fixture.path(EARLIER));
        let faulty = Faulty::new(&fixture.ledger);
        let disk = builder(&faulty).open(fixture.path(GOOD)).unwrap();
        fixture.keys.extend(disk.create_many((0..40).map(|_| NewKey::for_owner("bob"))).unwrap());
        disk.revoke(fixture.keys[0].info.id(), "leaked").unwrap();
        faulty.refuse(true);
        match disk.revoke(fixture.keys[1].info.id(), "leaked") {
            Err(StoreError::Cluster(ClusterError::OnlyHere { is_kept: true, .. })) => {}
            other => panic!("{other:?}"),
        }
        disk.close().unwrap();
        eventually("the state has all keys", || {
            let status = cluster(&fixture.ledger, "tool").status().unwrap().unwrap();
            status.state == status.head
        });
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A copy of the closed node's directory.
    fn copy(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        copy(&self.path(GOOD), &path);
        path
    }

    fn open(&self, path: &Path) -> Result<KeyStore, OpenError> {
        KeyStore::builder().cluster(cluster(&self.ledger, "disk")).open(path)
    }

    /// Checks that a node has everything.
    #[track_caller]
    fn check(&self, store: &KeyStore, case: &str) {
        for (at, key) in self.keys.iter().enumerate() {
            let expected = (at < 2).then_some(AuthError::Revoked);
            assert_eq!(store.verify(key.key.expose_secret()).err(), expected, "{case}: {at}");
        }
        let report = store.verify_events().unwrap();
        assert!(report.is_whole(), "{case}: {report:?}");
    }
}

fn builder(ledger: &Faulty) -> KeyStoreBuilder {
    let cluster = Cluster::new(ledger.clone()).name("disk").max_staleness(Duration::from_secs(5));
    KeyStore::builder().cluster(cluster.write_timeout(Duration::from_secs(1)))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What a directory has.
fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

fn flip(path: &Path, places: impl IntoIterator<Item = usize>) {
    let mut bytes = fs::read(path).unwrap();
    for at in places {
        bytes[at] ^= 0x55;
    }
    fs::write(path, bytes).unwrap();
}

fn truncate(path: &Path, bytes: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

fn used(path: &Path) -> usize {
    fs::read(path).unwrap().iter().rposition(|byte| *byte != 0).unwrap()
}

#[test]
fn whatever_is_damaged_the_node_has_everything_after_an_open() {
    let fixture = Fixture::new();
    let earlier = fixture.path(EARLIER);
    type Damage<'d> = &'d dyn Fn(&Path);
    let cases: [(&str, Damage<'_>); 11] = [
        ("nothing", &|_| {}),
        ("every byte", &|path| {
            let used = used(&path.join("sled/db"));
            flip(&path.join("sled/db"), 0..used);
        }),
        ("some bytes", &|path| {
            let used = used(&path.join("sled/db"));
            flip(&path.join("sled/db"), (0..used).step_by(97));
        }),
        ("the second half", &|path| {
            let used = used(&path.join("sled/db"));
            truncate(&path.join("sled/db"), used as u64 / 2);
        }),
        ("all but some bytes", &|path| truncate(&path.join("sled/db"), 5)),
        ("the file", &|path| fs::remove_file(path.join("sled/db")).unwrap()),
        ("the database", &|path| fs::remove_dir_all(path.join("sled")).unwrap()),
        ("the mark", &|path| fs::remove_file(path.join("mark")).unwrap()),
        ("a byte of the mark", &|path| flip(&path.join("mark"), [9])),
        ("the database and the mark", &|path| {
            fs::remove_dir_all(path.join("sled")).unwrap();
            fs::remove_file(path.join("mark")).unwrap();
        }),
        ("what was acknowledged last", &|path| {
            fs::remove_dir_all(path.join("sled")).unwrap();
            copy(&earlier.join("sled"), &path.join("sled"));
        }),
    ];
    for (case, damage) in cases {
        let path = fixture.copy(case);
        damage(&path);
        let store = fixture.open(&path).unwrap_or_else(|error| panic!("{case}: {error}"));
        fixture.check(&store, case);
        let is_set_aside = path.join("damaged").exists();
        match case {
            "nothing" | "the database and the mark" => assert!(!is_set_aside, "{case}"),
            // The write-ahead log may have all that is lost.
            "some bytes" | "the second half" => {}
            _ => assert!(is_set_aside, "{case}"),
        }
        let late = fixture.other.create(NewKey::for_owner("late")).unwrap();
        assert!(store.verify(late.key.expose_secret()).is_ok(), "{case}: it follows");
        store.close().unwrap();
        let store = fixture.open(&path).unwrap();
        fixture.check(&store, case);
    }
    let one = fixture.path("every byte").join("damaged");
    assert!(one.join("sled/db").exists() && one.join("mark").exists(), "what it was is there to look at");
}

#[test]
fn what_no_cluster_has_is_never_rebuilt() {
    let fixture = Fixture::new();
    // A store of its own, also if it is opened as a node.
    let own = fixture.path("own");
    let store = KeyStore::open(&own).unwrap();
    store.create(NewKey::for_owner("alice")).unwrap();
    store.close().unwrap();
    flip(&own.join("sled/db"), (0..used(&own.join("sled/db"))).step_by(13));
    assert!(matches!(fixture.open(&own), Err(OpenError::Damaged { .. })));
    assert_eq!(names(&own), ["lock", "mark", "sled"]);
    // A replica whose cluster does not answer, or is another one.
    let path = fixture.copy("replica");
    flip(&path.join("sled/db"), 0..used(&path.join("sled/db")));
    let refused = |builder: KeyStoreBuilder, expected: &str| {
        match builder.open(&path) {
            Err(error @ OpenError::DamagedReplica { .. }) => {
                assert!(error.to_string().contains(expected), "{error}");
            }
            other => panic!("{expected}: {:?}", other.err()),
        }
        assert_eq!(names(&path), ["entries", "lock", "mark", "only-here", "replica", "sled"], "{expected}");
    };
    let gone = Faulty::new(&fixture.ledger);
    gone.refuse(true);
    refused(builder(&gone), "a test took the engine away");
    let empty = MemoryLedger::new();
    refused(KeyStore::builder().cluster(cluster(&empty, "disk")), "there is no cluster in this namespace");
    drop(node(&empty, "founder"));
    refused(KeyStore::builder().cluster(cluster(&empty, "disk")), "a replica of another cluster");
    refused(KeyStore::builder().prefix("acme").cluster(cluster(&fixture.ledger, "disk")), "the prefix \"acme\"");
    // Without its cluster a replica is damaged, and even one without a database is no new store.
    assert!(matches!(KeyStore::open(&path), Err(OpenError::Damaged { .. })));
    fs::remove_dir_all(path.join("sled")).unwrap();
    fs::remove_file(path.join("mark")).unwrap();
    assert!(matches!(KeyStore::open(&path), Err(OpenError::Replica { .. })));
    fixture.check(&fixture.open(&path).unwrap(), "with its cluster");
}

#[test]
fn a_replica_that_may_know_more_than_the_log_is_not_rebuilt() {
    let fixture = Fixture::new();
    let backup = fixture.ledger.backup();
    let path = fixture.copy("replica");
    let store = fixture.open(&path).unwrap();
    store.revoke(fixture.keys[5].info.id(), "leaked").unwrap();
    store.close().unwrap();
    fixture.other.close().unwrap();
    fixture.ledger.go_back(&backup);
    flip(&path.join("sled/db"), 0..used(&path.join("sled/db")));
    match fixture.open(&path) {
        Err(OpenError::DamagedReplica { why, .. }) => assert!(why.contains("the engine went back in time"), "{why}"),
        other => panic!("{:?}", other.err()),
    }
    assert!(!path.join("damaged").exists());
}

#[test]
fn a_rebuild_that_was_cut_off_begins_again() {
    let fixture = Fixture::new();
    // As a kill leaves it: after the mark was moved, after the database was, and while the keys are loaded.
    for case in ["the mark", "the database", "a new database", "some keys"] {
        let path = fixture.copy(case);
        flip(&path.join("sled/db"), 0..used(&path.join("sled/db")));
        fs::create_dir(path.join("damaged")).unwrap();
        fs::rename(path.join("mark"), path.join("damaged/mark")).unwrap();
        if case != "the mark" {
            fs::rename(path.join("sled"), path.join("damaged/sled")).unwrap();
        }
        if case == "a new database" {
            fs::create_dir(path.join("creating-some")).unwrap();
            fs::write(path.join("creating-some/db"), b"half").unwrap();
        }
        if case == "some keys" {
            let faulty = Faulty::new(&fixture.ledger);
            let mut images = 0;
            faulty.at_image(move || {
                images += 1;
                if images > 20 { Err(LedgerError::unknown("a test cuts the load off")) } else { Ok(()) }
            });
            let error = builder(&faulty).open(&path).err().unwrap();
            assert!(matches!(error, OpenError::Cluster(_)), "{error}");
        }
        fixture.check(&fixture.open(&path).unwrap(), case);
    }
}

#[test]
fn nobody_else_opens_a_replica_while_it_is_rebuilt() {
    let fixture = Fixture::new();
    let path = fixture.copy("replica");
    flip(&path.join("sled/db"), 0..used(&path.join("sled/db")));
    let faulty = Faulty::new(&fixture.ledger);
    let (ledger, same) = (fixture.ledger.another(), path.clone());
    let (send, receive) = std::sync::mpsc::channel();
    faulty.at_image(move || {
        let second = KeyStore::builder().cluster(cluster(&ledger, "second")).open(&same);
        send.send(second.err()).map_err(|_| LedgerError::refused("nobody listens"))
    });
    let store = builder(&faulty).open(&path).unwrap();
    let seconds: Vec<_> = receive.try_iter().collect();
    assert!(!seconds.is_empty());
    assert!(seconds.iter().all(|error| matches!(error, Some(OpenError::InUse { .. }))), "{seconds:?}");
    fixture.check(&store, "rebuilt");
}
