//! While the standby does not answer, the primary cannot say that anything is done.

use std::time::{Duration, Instant};

use apikey_core::cluster::{
    Appended, CellKind, CellName, Cluster, Entry, Ledger, LedgerResult, Look, Piece, Position, Reserved, Standing,
    Swap, Tally, Woken,
};
use apikey_core::{AuthError, KeyStore, NewKey};
use apikey_engine::conformance::{Chain, op, soon};
use apikey_postgres::Postgres;

use super::{
    WAIT_FOR_STANDBY, at, chain, end_appends, in_ms, make_visible, node, pair, unknown, unknown_in_time, wait_for,
};

fn append(chain: &Chain, op: [u8; 16], number: u64, by: Instant) -> LedgerResult<Appended> {
    let base = if number == 1 { Position::default() } else { at(number - 1) };
    chain.ledger.append(&Entry { generation: 1, op, base, last: at(number), bytes: b"entry" }, None, by)
}

#[test]
fn an_append_is_unknown_and_then_in_once() {
    let (primary, standby) = pair();
    let chain = chain(&primary.connection());
    assert_eq!(append(&chain, op(), 1, soon()).unwrap(), Appended::Here);
    standby.pause();
    let op = op();
    let by = in_ms(500);
    unknown(append(&chain, op, 2, by));
    assert!(Instant::now() >= by);
    // The session on the server goes on waiting: it has not been cancelled.
    assert_eq!(primary.sql(WAIT_FOR_STANDBY), "1");
    assert!(!primary.log().contains("canceling"), "{}", primary.log());
    // A repeat waits behind it, and knows no more.
    let repeat = append(&chain, op, 2, in_ms(500));
    assert!(repeat.is_err(), "{repeat:?}");
    standby.resume();
    assert_eq!(append(&chain, op, 2, soon()).unwrap(), Appended::Here);
    assert_eq!(chain.follow(0).len(), 2);
}

#[test]
fn nothing_is_answered_that_could_be_undone() {
    let (primary, standby) = pair();
    let chain = chain(&primary.connection());
    append(&chain, op(), 1, soon()).unwrap();
    let cell = CellName { generation: 1, kind: CellKind::Presence, name: "n1".to_owned() };
    assert!(chain.ledger.swap(&cell, None, Some(b"beat 1"), soon()).unwrap());
    let reserve = |ledger: &dyn Ledger, name: &[u8], old: Option<&[u8]>, new: Option<&[u8]>, by| {
        ledger.reserve(1, &[Swap { name, old, new }], by)
    };
    assert_eq!(reserve(&*chain.ledger, b"a", None, Some(b"1"), soon()).unwrap(), [Reserved::Done]);
    standby.pause();
    let standing = Standing { cell: &cell, held: b"beat 1", next: b"beat 2" };
    let node = || node(&primary.connection());
    // Each on a connection of its own, since one that is lost is made anew a little later.
    unknown_in_time(|by| node().look(1, &standing, by));
    unknown_in_time(|by| node().sight(1, by));
    unknown_in_time(|by| node().cells(1, &[CellKind::Hold], by));
    unknown_in_time(|by| node().read(1, 0, 1, by));
    unknown_in_time(|by| node().load(1, by, &mut |_: Piece<'_>| Ok(())));
    unknown_in_time(|by| node().swap(&CellName::meta(), None, Some(b"settings"), by));
    // These would not change anything, and yet they would say how it is.
    unknown_in_time(|by| node().swap(&CellName::meta(), Some(b"other"), Some(b"settings"), by));
    unknown_in_time(|by| append(&Chain { ledger: node(), generation: 1 }, op(), 9, by));
    unknown_in_time(|by| node().begin(1, &Position::default(), by));
    unknown_in_time(|by| reserve(&*node(), b"b", None, Some(b"1"), by));
    unknown_in_time(|by| reserve(&*node(), b"c", None, None, by));
    unknown_in_time(|by| reserve(&*node(), b"a", Some(b"2"), Some(b"3"), by));
    // What may be undone anyway waits for nobody.
    let acknowledgement = CellName { kind: CellKind::Acknowledgement, ..cell.clone() };
    node().note(&acknowledgement, b"1", soon()).unwrap();
    let tally = Tally { name: b"n1".to_vec(), value: b"1".to_vec() };
    node().tally(1, std::slice::from_ref(&tally), soon()).unwrap();
    assert_eq!(node().tallies(1, &[b"n"], soon()).unwrap(), [tally]);
    node().forget_tallies(1, b"", b"o", soon()).unwrap();
    standby.resume();
    let held = Reserved::Lost { held: Some(b"1".to_vec()) };
    assert_eq!(reserve(&*node(), b"a", Some(b"2"), Some(b"3"), soon()).unwrap(), [held]);
    let noted = node().cells(1, &[CellKind::Acknowledgement], soon()).unwrap();
    assert_eq!(noted[0].value, b"1");
    // Renewed or not: it had no answer.
    assert!(matches!(node().look(1, &standing, soon()).unwrap(), Look::NotListed | Look::Standing(_)));
}

/// To a request to cancel PostgreSQL answers success, with a warning.
#[test]
fn a_wait_that_an_operator_cancels_is_unknown() {
    let (primary, standby) = pair();
    let chain = chain(&primary.connection());
    append(&chain, op(), 1, soon()).unwrap();
    standby.pause();
    std::thread::scope(|scope| {
        let written = scope.spawn(|| chain.ledger.swap(&CellName::meta(), None, Some(b"settings"), soon()));
        wait_for(&primary, WAIT_FOR_STANDBY, "1");
        primary.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
        let why = unknown(written.join().unwrap());
        assert!(why.contains("canceling wait for synchronous replication"), "{why}");
        // By now it is there for all to see, on the primary alone: it is answered only when it is on the standby.
        assert_eq!(primary.sql("SELECT count(*) FROM apikey_cell"), "1");
        unknown_in_time(|by| node(&primary.connection()).cells(0, &[CellKind::Meta], by));
    });
    standby.resume();
    assert_eq!(chain.ledger.cells(0, &[CellKind::Meta], soon()).unwrap().len(), 1);
}

#[test]
fn a_wait_whose_session_is_ended_is_unknown() {
    let (primary, standby) = pair();
    let chain = chain(&primary.connection());
    standby.pause();
    std::thread::scope(|scope| {
        let written = scope.spawn(|| chain.ledger.swap(&CellName::meta(), None, Some(b"settings"), soon()));
        wait_for(&primary, WAIT_FOR_STANDBY, "1");
        primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
        unknown(written.join().unwrap());
    });
    standby.resume();
    assert_eq!(chain.ledger.cells(0, &[CellKind::Meta], soon()).unwrap().len(), 1);
}

/// A registration that waits for the standby is in nobody's list yet, and an append that is done meanwhile is seen by the
/// look that follows the registration.
#[test]
fn a_registration_that_is_held_up_misses_no_append() {
    let (primary, standby) = pair();
    let chain = chain(&primary.connection());
    let node = node(&primary.connection());
    for number in 1..=8 {
        let cell = CellName { generation: 1, kind: CellKind::Presence, name: format!("n{number}") };
        standby.pause();
        let (listed, seen) = std::thread::scope(|scope| {
            let writer = || {
                assert_eq!(append(&chain, op(), number, soon()).unwrap(), Appended::Here);
                let cells = chain.ledger.cells(1, &[CellKind::Presence], soon()).unwrap();
                cells.iter().any(|found| found.cell == cell)
            };
            let registers = || {
                assert!(node.swap(&cell, None, Some(b"1"), soon()).unwrap());
                let standing = Standing { cell: &cell, held: b"1", next: b"2" };
                let Look::Standing(sight) = node.look(1, &standing, soon()).unwrap() else { panic!("it is listed") };
                sight.head == Some(at(number))
            };
            // In both orders.
            let (writer, registers) = if number % 2 == 0 {
                let registers = scope.spawn(registers);
                wait_for(&primary, WAIT_FOR_STANDBY, "1");
                (scope.spawn(writer), registers)
            } else {
                let writer = scope.spawn(writer);
                wait_for(&primary, WAIT_FOR_STANDBY, "1");
                (writer, scope.spawn(registers))
            };
            wait_for(&primary, WAIT_FOR_STANDBY, "2");
            standby.resume();
            (writer.join().unwrap(), registers.join().unwrap())
        });
        assert!(listed || seen, "{number}: the writer does not wait for a node that does not know");
    }
}

/// An entry that no standby has may be gone after a failover, so nobody gets to read it, although it is there to see; what
/// came before it can be read on.
#[test]
fn an_entry_that_is_not_acknowledged_is_not_read() {
    let (primary, standby) = pair();
    let chain = chain(&primary.connection());
    let reader = node(&primary.connection());
    assert_eq!(append(&chain, op(), 1, soon()).unwrap(), Appended::Here);
    assert_eq!(reader.read(1, 0, 1 << 20, soon()).unwrap().len(), 1);
    standby.pause();
    make_visible(&primary, 2);
    assert_eq!(reader.read(1, 0, 1 << 20, soon()).unwrap().len(), 1);
    unknown(reader.read(1, 1, 1 << 20, in_ms(600)));
    unknown(node(&primary.connection()).read(1, 0, 1 << 20, in_ms(600)));
    standby.resume();
    assert_eq!(reader.read(1, 1, 1 << 20, soon()).unwrap().len(), 1);
}

/// What a notification names was acknowledged before it was sent, so its readers need no commit.
#[test]
fn a_read_after_a_notification_waits_for_no_standby() {
    let (primary, standby) = pair();
    let chain = chain(&primary.connection());
    let reader = node(&primary.connection());
    assert_eq!(append(&chain, op(), 1, soon()).unwrap(), Appended::Here);
    // From now on it listens.
    assert_eq!(reader.wait(1, 0, soon()).unwrap(), Woken::Moved);
    assert_eq!(reader.read(1, 0, 1 << 20, soon()).unwrap().len(), 1);
    let end = soon();
    while primary.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%''test''%' AND state = 'idle'") != "1" {
        assert!(Instant::now() < end, "it does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    for number in 2..=4 {
        assert_eq!(append(&chain, op(), number, soon()).unwrap(), Appended::Here);
    }
    standby.pause();
    // The notification may still be on its way.
    let mut read = reader.read(1, 1, 1 << 20, in_ms(600));
    while read.as_ref().is_ok_and(|entries| entries.len() < 3) || read.is_err() {
        assert!(Instant::now() < end, "{read:?}");
        read = reader.read(1, 1, 1 << 20, in_ms(600));
    }
    standby.resume();
}

/// A node neither applies nor serves by an entry that could be gone after a failover.
#[test]
fn a_node_does_not_apply_what_is_not_acknowledged() {
    let (primary, standby) = pair();
    let open = |name: &str| {
        let ledger = Postgres::new(primary.connection()).namespace("test");
        let cluster = Cluster::new(ledger).name(name).max_staleness(Duration::from_secs(5));
        KeyStore::builder().cluster(cluster.write_timeout(Duration::from_secs(120))).temporary().unwrap()
    };
    let [one, two] = ["one", "two"].map(open);
    let created = one.create(NewKey::for_owner("alice")).unwrap();
    assert!(two.wait_for_nodes(Duration::from_secs(60)).is_empty());
    let applied = || two.health().cluster.unwrap().applied;
    let before = applied();
    standby.pause();
    std::thread::scope(|scope| {
        let revoked = scope.spawn(|| one.revoke(created.info.id(), "leaked"));
        end_appends(&primary);
        wait_for(&primary, &format!("SELECT count(*) FROM apikey_log WHERE last > {before}"), "1");
        let end = soon();
        // Until it is no longer fresh it serves by what was acknowledged, and then not at all.
        while two.is_ready() {
            assert!(matches!(two.verify(created.key.expose_secret()), Ok(_) | Err(AuthError::Unavailable)));
            assert!(Instant::now() < end, "it is fresh although no look can have been answered");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(two.verify(created.key.expose_secret()).unwrap_err(), AuthError::Unavailable);
        assert_eq!(applied(), before);
        standby.resume();
        assert!(revoked.join().unwrap().unwrap());
    });
    let end = soon();
    while two.verify(created.key.expose_secret()).err() != Some(AuthError::Revoked) {
        assert!(Instant::now() < end, "it does not follow again");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whoever tries again and again leaves a session behind each time, so tries become rare.
#[test]
fn tries_do_not_use_up_the_connections() {
    let (primary, standby) = pair();
    let chain = chain(&primary.connection());
    standby.pause();
    let (op, end) = (op(), in_ms(6_000));
    let mut tries = 0;
    while Instant::now() < end {
        assert!(append(&chain, op, 1, in_ms(50)).is_err());
        tries += 1;
    }
    let left = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'postgres' AND application_name = 'apikey'";
    let left: u32 = primary.sql(left).parse().unwrap();
    assert!(tries >= 50 && left <= 30, "{tries} tries left {left} sessions");
    standby.resume();
    assert_eq!(append(&chain, op, 1, soon()).unwrap(), Appended::Here);
    assert_eq!(chain.follow(0).len(), 1);
}

/// PostgreSQL has one lock for all notifications, which is kept until a commit is on the standby.
#[test]
fn an_append_that_waits_holds_up_no_notification_of_others() {
    let (primary, standby) = pair();
    let chain = chain(&primary.connection());
    standby.pause();
    std::thread::scope(|scope| {
        let appended = scope.spawn(|| append(&chain, op(), 1, soon()));
        wait_for(&primary, WAIT_FOR_STANDBY, "1");
        primary.sql("SET lock_timeout = '10s'; NOTIFY elsewhere");
        assert_eq!(primary.sql(WAIT_FOR_STANDBY), "1");
        standby.resume();
        assert_eq!(appended.join().unwrap().unwrap(), Appended::Here);
    });
}

#[test]
fn a_call_that_waits_for_its_turn_is_refused() {
    let (primary, standby) = pair();
    let chain = chain(&primary.connection());
    standby.pause();
    std::thread::scope(|scope| {
        let appended = scope.spawn(|| append(&chain, op(), 1, soon()));
        wait_for(&primary, WAIT_FOR_STANDBY, "1");
        let second = super::refused(append(&chain, op(), 1, in_ms(200)));
        assert!(second.contains("another call"), "{second}");
        standby.resume();
        assert_eq!(appended.join().unwrap().unwrap(), Appended::Here);
    });
}

/// One server that never fails over has nobody to wait for.
#[test]
fn a_single_server_waits_for_nobody() {
    let (primary, standby) = pair();
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = ''");
    primary.sql("SELECT pg_reload_conf()");
    wait_for(&primary, "SHOW synchronous_standby_names", "");
    standby.pause();
    let ledger = Postgres::new(primary.connection()).namespace("test").single();
    assert!(ledger.begin(1, &Position::default(), soon()).unwrap());
    ledger.sight(1, soon()).unwrap();
    std::thread::sleep(Duration::from_millis(1));
    standby.resume();
}
