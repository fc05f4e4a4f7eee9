//! etcd at its quota: it takes no writes, and nodes serve on.

use apikey_core::cluster::{
    Appended, CellKind, CellName, Entry, Ledger, LedgerError, Look, Position, Reserved, Standing, Swap, Tally,
};
use apikey_engine::conformance::{Chain, op, soon};
use apikey_etcd::Etcd;

use super::{at, node, one, refused};

const QUOTA: u64 = 8 << 20;

#[test]
fn what_is_refused_for_want_of_space_was_not_done() {
    let members = one(&[&format!("--quota-backend-bytes={QUOTA}")]);
    let ledger = Etcd::new(members.endpoints()).namespace("test").quota(QUOTA);
    assert!(ledger.begin(1, &Position::default(), soon()).unwrap());
    let presence = CellName { generation: 1, kind: CellKind::Presence, name: "n1".to_owned() };
    assert!(ledger.swap(&presence, None, Some(b"beat 1"), soon()).unwrap());
    let reserve = |name: &[u8], old, new| Ok(ledger.reserve(1, &[Swap { name, old, new }], soon())?.remove(0));
    assert_eq!(reserve(b"a", None, Some(&b"1"[..])), Ok(Reserved::Done));
    let space = ledger.sight(1, soon()).unwrap().space.unwrap();
    assert!(space.quota == QUOTA && space.used < QUOTA / 2, "{space:?}");
    let full = fill(&ledger);
    assert!(full.contains("NOSPACE") && full.contains("alarm disarm"), "{full}");

    let hold = CellName { generation: 1, kind: CellKind::Hold, name: "janitor".to_owned() };
    assert!(refused(ledger.swap(&hold, None, Some(b"mine"), soon())).contains("NOSPACE"));
    assert!(refused(ledger.note(&hold, b"mine", soon())).contains("NOSPACE"));
    assert_eq!(ledger.cells(1, &[CellKind::Hold], soon()).unwrap(), []);
    let tally = Tally { name: b"n1".to_vec(), value: b"1".to_vec() };
    assert!(refused(ledger.tally(1, std::slice::from_ref(&tally), soon())).contains("NOSPACE"));
    assert_eq!(ledger.tallies(1, &[b""], soon()).unwrap(), []);
    assert!(refused(reserve(b"b", None, Some(b"1"))).contains("NOSPACE"));
    assert!(refused(reserve(b"a", Some(b"1"), Some(b"2"))).contains("NOSPACE"));
    // Who only asks is answered.
    assert_eq!(reserve(b"b", None, None), Ok(Reserved::Done));
    assert_eq!(reserve(b"a", Some(b"1"), Some(b"1")), Ok(Reserved::Done));
    assert_eq!(reserve(b"a", Some(b"2"), Some(b"2")), Ok(Reserved::Lost { held: Some(b"1".to_vec()) }));
    assert!(refused(ledger.begin(2, &Position::default(), soon())).contains("NOSPACE"));
    assert_eq!(ledger.sight(2, soon()).unwrap().head, None);

    // It reads, and so does a look, which leaves the presence as it was.
    let sight = ledger.sight(1, soon()).unwrap();
    let look = |held: &[u8], next: &[u8]| ledger.look(1, &Standing { cell: &presence, held, next }, soon()).unwrap();
    let Look::NotRenewed(seen) = look(b"beat 1", b"beat 2") else { panic!("a look that only reads") };
    assert_eq!((seen.head, seen.state), (sight.head, sight.state));
    assert!(matches!(look(b"beat 1", b"beat 3"), Look::NotRenewed(_)));
    assert_eq!(look(b"beat 2", b"beat 3"), Look::NotListed);
    // From 3.5 on, what takes a presence off the list needs no space.
    match ledger.swap(&presence, Some(b"beat 1"), None, soon()) {
        Ok(true) => assert_eq!(look(b"beat 1", b"beat 3"), Look::NotListed),
        Err(LedgerError::Refused { .. }) => assert!(matches!(look(b"beat 1", b"beat 3"), Look::NotRenewed(_))),
        other => panic!("{other:?}"),
    }

    assert!(ledger.sight(1, soon()).unwrap().space.unwrap().used > QUOTA / 2);
    // As the text says.
    let head = sight.head.unwrap();
    // The bytes of the entries, which is more than a trim does.
    members.control(&["del", "--prefix", "/test/1/c/"]);
    let revision = members.control(&["endpoint", "status", "-w", "fields"]);
    let revision = revision.lines().find_map(|line| line.strip_prefix("\"Revision\" : ")).unwrap();
    members.control(&["compact", revision]);
    members.control(&["defrag"]);
    members.control(&["alarm", "disarm"]);
    assert!(ledger.swap(&hold, None, Some(b"mine"), soon()).unwrap());
    assert_eq!(reserve(b"a", Some(b"1"), Some(b"2")), Ok(Reserved::Done));
    ledger.tally(1, &[tally], soon()).unwrap();
    assert_eq!(ledger.sight(1, soon()).unwrap().head, Some(head));
}

/// Appends until etcd is full, and returns what it says. Every entry that was answered as in is in, and the one that was
/// refused is not.
fn fill(ledger: &Etcd) -> String {
    let mut base = Position::default();
    loop {
        let last = at(base.number + 1);
        let entry = Entry { generation: 1, op: op(), base, last, bytes: &[5; 200_000] };
        match ledger.append(&entry, None, soon()) {
            Ok(Appended::Here) => base = last,
            Err(LedgerError::Refused { what }) => {
                assert_eq!(ledger.sight(1, soon()).unwrap().head, Some(base));
                return what;
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Appends of several nodes at the moment at which etcd becomes full: etcd answers some of them that there is no space, and
/// has done them. No verdict is wrong.
#[test]
fn no_verdict_is_wrong_while_it_becomes_full() {
    for _ in 0..3 {
        let members = one(&[&format!("--quota-backend-bytes={QUOTA}")]);
        let chains: Vec<_> = (1..=8_u64).map(|generation| Chain { ledger: node(&members), generation }).collect();
        for chain in &chains {
            assert!(chain.ledger.begin(chain.generation, &Position::default(), soon()).unwrap());
        }
        let ends: Vec<Position> = std::thread::scope(|scope| {
            let fillers: Vec<_> = chains.iter().map(|chain| scope.spawn(|| fill_chain(chain))).collect();
            fillers.into_iter().map(|filler| filler.join().unwrap()).collect()
        });
        for (chain, end) in chains.iter().zip(ends) {
            assert_eq!(chain.sight().head, Some(end), "generation {}", chain.generation);
        }
    }
}

fn fill_chain(chain: &Chain) -> Position {
    let mut base = Position::default();
    loop {
        let last = at(base.number + 1);
        match chain.append(op(), base, last, &[5; 15_000]) {
            Ok(Appended::Here) => base = last,
            Err(LedgerError::Refused { .. }) => return base,
            other => panic!("{other:?}"),
        }
    }
}
