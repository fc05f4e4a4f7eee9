//! Entries that no request can hold: their chunks come before them, and go with them.

use apikey_cluster_tests::etcd::Members;
use apikey_core::cluster::{Appended, Position};
use apikey_engine::conformance::{Chain, op, soon};

use super::{at, chain, one, refused};

fn bytes(size: usize, seed: usize) -> Vec<u8> {
    (0..size).map(|at| (at.wrapping_mul(at + seed) >> 3).to_le_bytes()[0]).collect()
}

/// How many keys begin like this.
fn count(members: &Members, prefix: &str) -> usize {
    let keys = members.control(&["get", "--prefix", prefix, "--keys-only"]);
    keys.lines().filter(|line| !line.is_empty()).count()
}

#[test]
fn an_entry_of_many_requests_is_one_entry() {
    let members = one(&[]);
    let chain = chain(&members);
    let sizes = [(16 << 10) + 1, (1 << 20) + 1, 5_000_000, 3 << 20, 7];
    let mut base = Position::default();
    for (number, size) in (1..).zip(sizes) {
        let op = op();
        assert_eq!(chain.append(op, base, at(number), &bytes(size, 1)).unwrap(), Appended::Here);
        assert_eq!(chain.append(op, base, at(number), &bytes(size, 1)).unwrap(), Appended::Here, "again");
        base = at(number);
    }
    let log = chain.follow(0);
    assert_eq!(log.iter().map(|entry| entry.bytes.len()).collect::<Vec<_>>(), sizes);
    assert!(log.iter().zip(sizes).all(|(entry, size)| entry.bytes == bytes(size, 1)));
    assert_eq!((count(&members, "/test/1/u/"), count(&members, "/test/1/c/")), (0, 1 + 2 + 5 + 3));
    // The chunks go with their entries.
    assert!(chain.ledger.advance(&step(at(3)), None, soon()).unwrap());
    chain.ledger.trim(1, 3, soon()).unwrap();
    assert_eq!((count(&members, "/test/1/l/"), count(&members, "/test/1/c/")), (2, 3));
    assert_eq!(chain.follow(3).len(), 2);
}

fn step(to: Position) -> apikey_core::cluster::Step<'static> {
    apikey_core::cluster::Step { generation: 1, from: Position::default(), to, head: b"", images: &[] }
}

/// Of several large entries after one head one is in, and nothing is left of the others.
#[test]
fn the_chunks_of_a_lost_entry_are_swept() {
    let members = one(&[]);
    let chain = chain(&members);
    let won: Vec<bool> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..4)
            .map(|seed| {
                let chain = Chain { ledger: super::node(&members), ..chain.clone() };
                scope.spawn(move || {
                    let answer = chain.append(op(), Position::default(), at(1), &bytes(2_500_000, seed)).unwrap();
                    answer == Appended::Here
                })
            })
            .collect();
        tries.into_iter().map(|won| won.join().unwrap()).collect()
    });
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let log = chain.follow(0);
    let seed = won.iter().position(|won| *won).unwrap();
    assert!(log.len() == 1 && log[0].bytes == bytes(2_500_000, seed));
    // What was written beside the last sweep goes with the next.
    chain.ledger.trim(1, 0, soon()).unwrap();
    assert_eq!((count(&members, "/test/1/u/"), count(&members, "/test/1/c/")), (0, 3));
}

/// Chunks that a writer left which ended: they stay as long as their entry could still be appended.
#[test]
fn chunks_of_a_writer_that_ended_go_once_nothing_can_refer_to_them() {
    let members = one(&[]);
    let chain = chain(&members);
    let head = members.write("head", "");
    // The base of an abandoned entry, as it lies in the manifest, is the head of the log as it is now.
    let name = "5e".repeat(16);
    let script = format!(
        "etcdctl --endpoints {0} get --print-value-only /test/1/head | head -c -1 > {1} && \
         etcdctl --endpoints {0} put /test/1/u/{name} < {1} && etcdctl --endpoints {0} put /test/1/c/{name}/00000 chunk",
        members.endpoint(0),
        head.display()
    );
    let status = std::process::Command::new("bash").args(["-ec", &script]).env("ETCDCTL_API", "3").output().unwrap();
    assert!(status.status.success(), "{status:?}");
    let left = || (count(&members, "/test/1/u/"), count(&members, "/test/1/c/"));
    chain.ledger.trim(1, 0, soon()).unwrap();
    assert_eq!(left(), (1, 1), "its writer may be at it");
    chain.fill(0, &[1]);
    chain.ledger.trim(1, 0, soon()).unwrap();
    assert_eq!(left(), (0, 0));
}

#[test]
fn a_request_that_members_find_too_large_is_refused() {
    let members = one(&["--max-request-bytes=100000"]);
    let chain = chain(&members);
    for size in [200_000, 900_000, 3_000_000] {
        let error = refused(chain.append(op(), Position::default(), at(1), &bytes(size, 1)));
        assert!(error.contains("large"), "{error}");
    }
    assert_eq!(chain.sight().head, Some(Position::default()));
    assert_eq!(chain.append(op(), Position::default(), at(1), b"small").unwrap(), Appended::Here);
}
