use apikey_core::cluster::{LedgerError, Position};

use super::Nodes;
use super::fixture::{Chain, at, op, soon};

/// Entries come in the order of the log, each with what was appended.
pub fn read_is_in_order(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let ops: Vec<_> = (0..40).map(|_| op()).collect();
    let mut base = Position::default();
    for (number, &op) in (1..).zip(&ops) {
        let last = at(1, number * 3);
        chain.append(op, base, last, &number.to_be_bytes()).unwrap();
        base = last;
    }
    let log = chain.other(nodes).follow(0);
    assert_eq!(log.len(), ops.len());
    for ((number, entry), op) in (1_u64..).zip(&log).zip(&ops) {
        assert_eq!((entry.first, entry.last, entry.op), (number * 3 - 2, at(1, number * 3), *op));
        assert_eq!(entry.bytes, number.to_be_bytes());
    }
}

/// The first entry is the one that has the event after `after`.
pub fn read_may_begin_inside_an_entry(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    chain.fill(0, &[3, 10, 11]);
    let firsts = |after| chain.read(after, 1 << 20).unwrap().iter().map(|entry| entry.first).collect::<Vec<_>>();
    assert_eq!(firsts(0), [1, 4, 11]);
    assert_eq!(firsts(2), [1, 4, 11]);
    assert_eq!(firsts(3), [4, 11]);
    assert_eq!(firsts(9), [4, 11]);
    assert_eq!(firsts(10), [11]);
}

/// At least one entry comes, and no second one beyond the bytes asked for.
pub fn read_keeps_to_its_bytes(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let mut base = Position::default();
    for number in 1..=5 {
        chain.append(op(), base, at(1, number), &[7; 100]).unwrap();
        base = at(1, number);
    }
    for (max_bytes, entries) in [(0, 1), (99, 1), (100, 1), (199, 1), (200, 2), (350, 3), (10_000, 5)] {
        assert_eq!(chain.read(0, max_bytes).unwrap().len(), entries, "{max_bytes} bytes");
    }
}

/// Nothing follows the head, and nothing follows what is beyond it.
pub fn read_at_the_head_is_empty(nodes: Nodes<'_>) {
    let chain = Chain::begin_at(nodes, 1, &at(1, 5));
    assert_eq!(chain.read(5, 1 << 20).unwrap(), []);
    chain.fill(5, &[8]);
    assert_eq!(chain.read(8, 1 << 20).unwrap(), []);
    assert_eq!(chain.read(100, 1 << 20).unwrap(), []);
}

/// The error says where the log begins.
pub fn read_below_the_floor_is_an_error(nodes: Nodes<'_>) {
    let chain = Chain::begin_at(nodes, 1, &at(1, 5));
    assert_eq!(chain.read(4, 1), Err(LedgerError::BelowFloor { floor: 5 }));
    let head = chain.fill(5, &[7, 9, 12]);
    assert!(chain.advance(at(1, 5), at(1, 9), &[], None).unwrap());
    chain.ledger.trim(1, 9, soon()).unwrap();
    for after in [0, 5, 8] {
        assert_eq!(chain.read(after, 1), Err(LedgerError::BelowFloor { floor: 9 }), "after {after}");
    }
    assert_eq!(chain.read(9, 1).unwrap()[0].last, head);
}

/// What the state does not have yet is only in the log.
pub fn trim_never_passes_the_state(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    chain.fill(0, &[2, 4, 6]);
    chain.ledger.trim(1, 6, soon()).unwrap();
    assert!(chain.advance(Position::default(), at(1, 4), &[], None).unwrap());
    for through in [5, 6, u64::from(u32::MAX)] {
        chain.ledger.trim(1, through, soon()).unwrap();
    }
    assert_eq!((chain.sight().floor, chain.follow(0).len()), (0, 3));
    chain.ledger.trim(1, 4, soon()).unwrap();
    assert_eq!((chain.sight().floor, chain.follow(4).len()), (4, 1));
}

/// An entry goes as a whole or stays.
pub fn trim_ends_at_an_entry(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    chain.fill(0, &[2, 8, 9]);
    assert!(chain.advance(Position::default(), at(1, 9), &[], None).unwrap());
    chain.ledger.trim(1, 7, soon()).unwrap();
    assert_eq!(chain.sight().floor, 2);
    assert_eq!(chain.read(2, 1 << 20).unwrap().len(), 2);
    assert_eq!(chain.read(7, 1 << 20).unwrap()[0].first, 3);
    // Nothing more to delete, and nothing goes back.
    chain.ledger.trim(1, 1, soon()).unwrap();
    chain.ledger.trim(1, 7, soon()).unwrap();
    assert_eq!(chain.sight().floor, 2);
}

/// A log without entries goes on at its head.
pub fn trim_leaves_head_and_state(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let head = chain.fill(0, &[2, 5]);
    assert!(chain.advance(Position::default(), head, &[], None).unwrap());
    chain.ledger.trim(1, 5, soon()).unwrap();
    let sight = chain.sight();
    assert_eq!((sight.head, sight.state, sight.floor), (Some(head), Some(head), 5));
    assert_eq!(chain.read(5, 1).unwrap(), []);
    chain.fill(5, &[6]);
    assert_eq!(chain.read(5, 1).unwrap()[0].first, 6);
}
