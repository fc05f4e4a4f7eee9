//! The standby becomes the primary.

use apikey_cluster_tests::Host;
use apikey_core::cluster::{Appended, CellKind, Entry, Ledger, LedgerResult, Position, Sight, Woken};
use apikey_engine::conformance::{Chain, op, soon};
use apikey_postgres::Postgres;

use super::{at, chain, in_ms, make_visible, node, pair, unknown};

#[test]
fn a_primary_that_is_cut_off_says_nothing_and_the_new_one_has_all() {
    let (primary, standby) = pair();
    let chain = chain(&primary.connection());
    let before = chain.sight();
    for number in 1..=20 {
        let base = if number == 1 { Position::default() } else { at(number - 1) };
        assert_eq!(chain.append(op(), base, at(number), b"entry").unwrap(), Appended::Here);
    }
    standby.promote();
    // The old one runs on, without a standby. Old connections and new ones get nothing from it that is not on the new one.
    for ledger in [chain.ledger.clone(), node(&primary.connection())] {
        assert!(ledger.sight(1, in_ms(700)).is_err());
        assert!(ledger.cells(1, &[CellKind::Presence], in_ms(700)).is_err());
    }
    assert!(node(&primary.connection()).read(1, 0, 1 << 20, in_ms(700)).is_err());
    assert_eq!(chain.read(0, 1 << 20).unwrap().len(), 20, "this node knows that they were acknowledged");
    // An append that nobody acknowledges, and that the old one shows all the same.
    make_visible(&primary, 21);
    assert_eq!(chain.read(0, 1 << 20).unwrap().last().unwrap().last, at(20));
    unknown(chain.ledger.read(1, 20, 1 << 20, in_ms(700)));
    // The new one has no standby yet.
    let new = Chain { ledger: std::sync::Arc::new(single(&standby.connection())), generation: 1 };
    let sight = new.sight();
    assert_eq!((sight.head, new.follow(0).len()), (Some(at(20)), 20));
    assert_eq!(sight.identity.system, before.identity.system);
    assert_eq!(sight.identity.timeline, before.identity.timeline + 1);
}

#[test]
fn a_node_finds_the_new_primary_among_its_hosts() {
    let (mut primary, standby) = pair();
    let both = format!(
        "host=127.0.0.1,127.0.0.1 port={},{} user=postgres dbname=postgres sslmode=disable",
        primary.port(),
        standby.port()
    );
    let chain = Chain::begin(&|| std::sync::Arc::new(single(&both)));
    assert_eq!(chain.append(op(), Position::default(), at(1), b"").unwrap(), Appended::Here);
    primary.end();
    standby.promote();
    // A connection may be lost before it is known that it is.
    let op = op();
    let end = soon();
    let answer = loop {
        match chain.append(op, at(1), at(2), b"") {
            Err(error) if std::time::Instant::now() > end => panic!("{error}"),
            Err(_) => {}
            Ok(answer) => break answer,
        }
    };
    assert_eq!((answer, chain.sight().head), (Appended::Here, Some(at(2))));
}

/// The former primary runs on, takes connections and says that it can be written to, and nothing there is ever done.
#[test]
fn a_node_passes_over_a_former_primary_among_its_hosts() {
    let (former, primary) = pair();
    let both = format!(
        "host=127.0.0.1,127.0.0.1 port={},{} user=postgres dbname=postgres sslmode=disable",
        former.port(),
        primary.port()
    );
    let (chain, other) = (chain(&both), node(&both));
    assert_eq!(chain.append(op(), Position::default(), at(1), b"entry").unwrap(), Appended::Here);
    // From now on it listens at the former primary.
    assert_eq!(other.wait(1, 0, soon()).unwrap(), Woken::Moved);
    primary.promote();
    let _standby = primary.add_standby(&Host::default());
    primary.wait_for_standbys();
    let entry = Entry { generation: 1, op: op(), base: at(1), last: at(2), bytes: b"entry" };
    assert_eq!(until_answered(|| chain.ledger.append(&entry, None, in_ms(1_000))), Appended::Here);
    let timeline = |sight: Sight| (sight.head, sight.identity.timeline);
    // One that listened at the former primary.
    assert_eq!(timeline(until_answered(|| other.sight(1, in_ms(1_000)))), (Some(at(2)), 2));
    assert_eq!(other.wait(1, 1, soon()).unwrap(), Woken::Moved);
    // A program that begins now: it has one long try, and does not spend it on the former primary.
    assert_eq!(timeline(node(&both).sight(1, soon()).unwrap()), (Some(at(2)), 2));
    // It has been seen, so the former one is not asked any more: every answer comes at the first try.
    former.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'apikey'");
    primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'apikey'");
    chain.ledger.sight(1, soon()).unwrap();
    assert_eq!(former.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"), "0");
}

#[track_caller]
fn until_answered<T>(call: impl Fn() -> LedgerResult<T>) -> T {
    let end = soon();
    loop {
        match call() {
            Err(error) if std::time::Instant::now() > end => panic!("{error}"),
            Err(_) => {}
            Ok(answer) => return answer,
        }
    }
}

fn single(connection: &str) -> Postgres {
    let ledger = Postgres::new(connection).namespace("test").single();
    assert!(ledger.name().ends_with("namespace test"));
    ledger
}
