//! Members that stop, stand still, or are all gone.

use std::sync::Arc;
use std::sync::atomic::AtomicU16;
use std::time::{Duration, Instant};

use apikey_cluster_tests::etcd::{Members, MembersConfig};
use apikey_cluster_tests::proxy::{Network, Traffic};
use apikey_core::cluster::{Appended, CellKind, LedgerError, Look, Position, Standing, Woken};
use apikey_engine::conformance::{Chain, op, soon};
use apikey_etcd::Etcd;

use super::{at, chain, in_ms, node, one, refused, unknown};

fn three() -> Members {
    Members::start(MembersConfig::default())
}

/// Appends under an op of its own until it is in, as a node does.
fn append(chain: &Chain, number: u64) {
    let (op, base) = (op(), if number == 1 { Position::default() } else { at(number - 1) });
    let end = soon();
    loop {
        match chain.append(op, base, at(number), b"entry") {
            Ok(Appended::Here) => return,
            Err(LedgerError::Unknown { .. } | LedgerError::Refused { .. }) => assert!(Instant::now() < end),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn appends_go_on_while_the_leader_is_killed_and_comes_back() {
    let mut members = three();
    let chain = chain(&members);
    for number in (1..=12).step_by(3) {
        append(&chain, number);
        let leader = members.leader();
        members.end(leader);
        append(&chain, number + 1);
        members.start_again(leader);
        members.wait();
        append(&chain, number + 2);
    }
    let log = chain.follow(0);
    assert_eq!(log.iter().map(|entry| entry.first).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
}

/// A leader that stands still answers nothing, and another one takes its place; when it goes on, it knows of that.
#[test]
fn appends_and_looks_go_on_while_the_leader_stands_still() {
    let members = three();
    let leader = members.leader();
    // The node begins with the leader.
    let mut endpoints = members.endpoints();
    endpoints.rotate_left(leader);
    let chain = Chain::begin(&|| Arc::new(Etcd::new(&endpoints).namespace("test")));
    append(&chain, 1);
    let cell = apikey_core::cluster::CellName { generation: 1, kind: CellKind::Presence, name: "n1".to_owned() };
    assert!(chain.ledger.swap(&cell, None, Some(b"beat 1"), soon()).unwrap());
    members.pause(leader);
    append(&chain, 2);
    let standing = Standing { cell: &cell, held: b"beat 1", next: b"beat 2" };
    let Look::Standing(sight) = chain.ledger.look(1, &standing, soon()).unwrap() else { panic!("it is listed") };
    assert_eq!(sight.head, Some(at(2)));
    members.resume(leader);
    // What the former leader says is not from before.
    let former = Chain { ledger: Arc::new(Etcd::new([&endpoints[0]]).namespace("test")), generation: 1 };
    append(&chain, 3);
    assert_eq!(former.sight().head, Some(at(3)));
    append(&former, 4);
    assert_eq!(chain.follow(0).len(), 4);
}

/// The answer to an append is lost on the way, so it is unknown whether it was done; it was.
#[test]
fn an_append_whose_answer_is_lost_is_unknown_and_then_here() {
    let members = one(&[]);
    let port: u16 = members.endpoint(0).rsplit(':').next().unwrap().parse().unwrap();
    let network = Network::new(&[Arc::new(AtomicU16::new(port))]);
    let endpoint = format!("http://127.0.0.1:{}", network.ports()[0]);
    let chain = Chain::begin(&|| Arc::new(Etcd::new([&endpoint]).namespace("test")));
    let own = node(&members);
    network.set(Traffic::HeldToNode);
    let op = op();
    let entry =
        apikey_core::cluster::Entry { generation: 1, op, base: Position::default(), last: at(1), bytes: b"entry" };
    unknown(chain.ledger.append(&entry, None, in_ms(700)));
    // It has no connection now, so nothing is sent.
    refused(chain.ledger.swap(&chain_cell("n1"), None, Some(b"mine"), in_ms(700)));
    network.set(Traffic::Flows);
    assert_eq!(chain.append(op, Position::default(), at(1), b"entry").unwrap(), Appended::Here);
    assert_eq!(own.sight(1, soon()).unwrap().head, Some(at(1)));
    assert_eq!(own.read(1, 0, 100, soon()).unwrap().len(), 1);
}

fn chain_cell(name: &str) -> apikey_core::cluster::CellName {
    apikey_core::cluster::CellName { generation: 1, kind: CellKind::Presence, name: name.to_owned() }
}

/// Without a majority nothing is done, and nothing is read that could be old.
#[test]
fn one_member_of_three_answers_nothing() {
    let mut members = three();
    let chain = chain(&members);
    append(&chain, 1);
    members.end(0);
    members.end(1);
    let alone = Etcd::new([members.endpoint(2)]).namespace("test");
    let ledger: &dyn apikey_core::cluster::Ledger = &alone;
    unknown(ledger.sight(1, in_ms(2_000)));
    unknown(ledger.read(1, 0, 100, in_ms(2_000)));
    unknown(ledger.swap(&chain_cell("n1"), None, Some(b"mine"), in_ms(2_000)));
    members.start_again(0);
    members.start_again(1);
    members.wait();
    append(&chain, 2);
}

#[test]
fn all_members_gone_is_refused_until_they_are_back() {
    let mut members = three();
    let chain = chain(&members);
    append(&chain, 1);
    for member in 0..3 {
        members.end(member);
    }
    // The connection that is lost may have carried it.
    let first = chain.ledger.sight(1, in_ms(1_000));
    assert!(matches!(first, Err(LedgerError::Unknown { .. } | LedgerError::Refused { .. })), "{first:?}");
    let error = refused(chain.ledger.sight(1, in_ms(2_000)));
    assert!(members.endpoints().iter().all(|endpoint| error.contains(endpoint)), "{error}");
    assert_eq!(chain.ledger.wait(1, 1, in_ms(100)).unwrap(), Woken::TimedOut);
    for member in 0..3 {
        members.start_again(member);
    }
    members.wait();
    append(&chain, 2);
    assert_eq!(chain.follow(0).len(), 2);
}

/// A wait goes on at another member when its own is gone.
#[test]
fn waits_wake_after_their_member_is_gone() {
    let mut members = three();
    let chain = chain(&members);
    let waiter = node(&members);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut after = 0;
            while after < 20 {
                assert_eq!(waiter.wait(1, after, soon()).unwrap(), Woken::Moved, "after {after}");
                after = waiter.sight(1, soon()).unwrap().head.unwrap().number;
            }
        });
        for number in 1..=20 {
            append(&chain, number);
            // The one that both use first.
            if number == 10 {
                std::thread::sleep(Duration::from_millis(50));
                members.end(0);
            }
        }
        waiting.join().unwrap();
    });
}
