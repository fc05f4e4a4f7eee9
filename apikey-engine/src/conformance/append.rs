use apikey_core::cluster::{Appended, CellKind, Fence, LedgerError, Piece, Position};

use super::Nodes;
use super::fixture::{Chain, at, op, soon};

/// A second `begin` changes nothing, whatever head it brings.
pub fn begin_makes_one_log(nodes: Nodes<'_>) {
    let chain = Chain::begin_at(nodes, 1, &at(1, 7));
    let sight = chain.sight();
    assert_eq!((sight.head, sight.state, sight.floor), (Some(at(1, 7)), Some(at(1, 7)), 7));
    assert!(!chain.ledger.begin(1, &at(2, 9), soon()).unwrap());
    assert!(!nodes().begin(1, &at(1, 7), soon()).unwrap());
    assert_eq!(chain.sight(), sight);
}

/// Logs of two generations share nothing, not even operations.
pub fn generations_have_logs_of_their_own(nodes: Nodes<'_>) {
    let one = Chain::begin(nodes);
    let two = Chain::begin_at(nodes, 2, &at(1, 5));
    let shared = op();
    assert_eq!(one.append(shared, Position::default(), at(1, 1), b"one").unwrap(), Appended::Here);
    assert_eq!(two.append(shared, at(1, 5), at(1, 6), b"two").unwrap(), Appended::Here);
    assert_eq!((one.sight().head, two.sight().head), (Some(at(1, 1)), Some(at(1, 6))));
    assert_eq!((one.follow(0)[0].bytes.as_slice(), two.follow(5)[0].bytes.as_slice()), (&b"one"[..], &b"two"[..]));
    assert_eq!((one.follow(0).len(), two.follow(5).len()), (1, 1));
}

/// A caller that names a generation without a log has the wrong ledger.
pub fn a_generation_without_a_log_is_foreign(nodes: Nodes<'_>) {
    let chain = Chain { ledger: nodes(), generation: 3 };
    let foreign = |error| matches!(error, LedgerError::Foreign { .. });
    assert!(chain.append(op(), Position::default(), at(1, 1), b"").is_err_and(foreign));
    assert!(chain.read(0, 1).is_err_and(foreign));
    assert!(chain.advance(Position::default(), at(1, 1), &[], None).is_err_and(foreign));
    assert!(chain.ledger.trim(3, 0, soon()).is_err_and(foreign));
    let mut take = |_: Piece<'_>| panic!("there is no state");
    assert!(chain.ledger.load(3, soon(), &mut take).is_err_and(foreign));
    assert_eq!(chain.sight().head, None);
}

/// The head is that of the last entry, for every node.
pub fn append_moves_the_head(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    assert_eq!(chain.sight().head, Some(Position::default()));
    assert_eq!(chain.append(op(), Position::default(), at(1, 3), b"abc").unwrap(), Appended::Here);
    assert_eq!(chain.append(op(), at(1, 3), at(1, 4), b"d").unwrap(), Appended::Here);
    let sight = chain.other(nodes).sight();
    assert_eq!((sight.head, sight.state, sight.floor), (Some(at(1, 4)), Some(Position::default()), 0));
}

/// An entry after a number that is not the head's, below or above it, stays out.
pub fn append_after_another_number_is_lost(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let head = chain.fill(0, &[3, 4]);
    for base in [Position::default(), at(1, 3), at(1, 5)] {
        let last = at(1, base.number + 1);
        assert_eq!(chain.append(op(), base, last, b"late").unwrap(), Appended::Lost { head });
    }
    assert_eq!((chain.sight().head, chain.follow(0).len()), (Some(head), 2));
}

/// The number of the head is not enough.
pub fn append_after_another_digest_is_lost(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let head = chain.fill(0, &[3]);
    assert_eq!(chain.append(op(), at(2, 3), at(2, 4), b"forked").unwrap(), Appended::Lost { head });
    assert_eq!((chain.sight().head, chain.follow(0).len()), (Some(head), 1));
}

/// A repeat of an append is answered as the first was, and adds nothing.
pub fn append_again_is_here(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let op = op();
    for node in [&chain, &chain, &chain.other(nodes)] {
        assert_eq!(node.append(op, Position::default(), at(1, 2), b"once").unwrap(), Appended::Here);
    }
    assert_eq!((chain.sight().head, chain.follow(0).len()), (Some(at(1, 2)), 1));
}

/// The same, when others have appended since.
pub fn append_again_after_others_is_here(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let op = op();
    assert_eq!(chain.append(op, Position::default(), at(1, 2), b"once").unwrap(), Appended::Here);
    chain.fill(2, &[3, 4, 9]);
    assert_eq!(chain.append(op, Position::default(), at(1, 2), b"once").unwrap(), Appended::Here);
    assert_eq!((chain.sight().head, chain.follow(0).len()), (Some(at(1, 9)), 4));
}

/// Two operations after one head: one is in, and stays the only one.
pub fn another_op_in_its_place_is_lost(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let (first, second) = (op(), op());
    assert_eq!(chain.append(first, Position::default(), at(1, 1), b"first").unwrap(), Appended::Here);
    for _ in 0..2 {
        let answer = chain.append(second, Position::default(), at(2, 1), b"second").unwrap();
        assert_eq!(answer, Appended::Lost { head: at(1, 1) });
    }
    let log = chain.follow(0);
    assert_eq!((log.len(), log[0].op), (1, first));
    assert_eq!(log[0].bytes, b"first");
}

/// From nothing to a mebibyte, byte for byte.
pub fn append_is_of_any_size(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let mut base = Position::default();
    let sizes = [0, 1, 100, 8_192, 1 << 20];
    let bytes = |size: usize| (0..size).map(|at| (at.wrapping_mul(at) >> 3).to_le_bytes()[0]).collect::<Vec<_>>();
    for (number, size) in (1..).zip(sizes) {
        assert_eq!(chain.append(op(), base, at(1, number), &bytes(size)).unwrap(), Appended::Here);
        base = at(1, number);
    }
    let log = chain.follow(0);
    assert_eq!(log.iter().map(|entry| entry.bytes.len()).collect::<Vec<_>>(), sizes);
    assert!(log.iter().zip(sizes).all(|(entry, size)| entry.bytes == bytes(size)));
}

/// An entry is in only while its hold has the value that the writer knows.
pub fn append_needs_its_fence(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let cell = chain.cell(CellKind::Hold, "janitor");
    let fence = Fence { cell: cell.clone(), value: b"mine".to_vec() };
    let append = |op, base, last| chain.append_fenced(op, base, last, b"", Some(&fence)).unwrap();
    let none = Position::default();
    assert_eq!(append(op(), none, at(1, 1)), Appended::Lost { head: none });
    assert!(chain.swap(&cell, None, Some(b"theirs")));
    assert_eq!(append(op(), none, at(1, 1)), Appended::Lost { head: none });
    assert!(chain.swap(&cell, Some(b"theirs"), Some(b"mine")));
    let held = op();
    assert_eq!(append(held, none, at(1, 1)), Appended::Here);
    // What is in stays in, and a repeat says so, whoever has the hold now.
    assert!(chain.swap(&cell, Some(b"mine"), None));
    assert_eq!(append(held, none, at(1, 1)), Appended::Here);
    assert_eq!(append(op(), at(1, 1), at(1, 2)), Appended::Lost { head: at(1, 1) });
    assert_eq!((chain.sight().head, chain.follow(0).len()), (Some(at(1, 1)), 1));
}

/// A fence is about one cell of one generation, and about nobody else's entries.
pub fn append_is_lost_without_its_fence(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let mut cell = chain.cell(CellKind::Hold, "rotator");
    assert!(chain.swap(&cell, None, Some(b"mine")));
    cell.generation += 1;
    let fence = Fence { cell, value: b"mine".to_vec() };
    let none = Position::default();
    let lost = chain.append_fenced(op(), none, at(1, 1), b"", Some(&fence)).unwrap();
    assert_eq!(lost, Appended::Lost { head: none });
    assert_eq!(chain.append(op(), none, at(1, 1), b"").unwrap(), Appended::Here);
}
