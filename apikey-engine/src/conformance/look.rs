use apikey_core::cluster::{Appended, CellKind, CellName, Look, Position};

use super::Nodes;
use super::fixture::{Chain, at, op, soon};

/// No log, no settings, and yet an engine.
pub fn sight_of_nothing_is_empty(nodes: Nodes<'_>) {
    let sight = nodes().sight(1, soon()).unwrap();
    assert_eq!((sight.meta, sight.head, sight.state, sight.floor, sight.waiting), (None, None, None, 0, None));
}

/// A look replaces the value of the presence, so that the next one needs the new value.
pub fn look_renews_the_presence(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let cell = chain.cell(CellKind::Presence, "n1");
    assert!(chain.swap(&cell, None, Some(b"beat 1")));
    for (held, next) in [(b"beat 1", b"beat 2"), (b"beat 2", b"beat 3"), (b"beat 3", b"beat 3")] {
        assert_eq!(chain.look(&cell, held, next), Look::Standing(Box::new(chain.sight())));
        assert_eq!(chain.cells(CellKind::Presence), [("n1".to_owned(), next.to_vec())]);
    }
}

/// Two clones of a machine cannot both be the one node.
pub fn look_with_another_value_is_not_listed(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let cell = chain.cell(CellKind::Presence, "n1");
    assert!(chain.swap(&cell, None, Some(b"beat 1")));
    assert_eq!(chain.look(&cell, b"beat 0", b"beat 2"), Look::NotListed);
    assert_eq!(chain.cells(CellKind::Presence), [("n1".to_owned(), b"beat 1".to_vec())]);
}

/// A look never creates a presence.
pub fn look_without_a_presence_is_not_listed(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let cell = chain.cell(CellKind::Presence, "n1");
    assert_eq!(chain.look(&cell, b"", b"beat 1"), Look::NotListed);
    assert!(chain.swap(&cell, None, Some(b"beat 1")));
    assert!(chain.swap(&cell, Some(b"beat 1"), None));
    assert_eq!(chain.look(&cell, b"beat 1", b"beat 2"), Look::NotListed);
    assert_eq!(chain.cells(CellKind::Presence), []);
}

/// A mark of another node ends the looks of this one, until it registers anew.
pub fn look_after_a_mark_is_not_listed(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let other = chain.other(nodes);
    let cell = chain.cell(CellKind::Presence, "n1");
    assert!(chain.swap(&cell, None, Some(b"beat 1")));
    assert!(matches!(chain.look(&cell, b"beat 1", b"beat 2"), Look::Standing(_)));
    assert!(other.swap(&cell, Some(b"beat 2"), Some(b"beat 2, marked")));
    assert_eq!(chain.look(&cell, b"beat 2", b"beat 3"), Look::NotListed);
    assert!(other.swap(&cell, Some(b"beat 2, marked"), None));
    assert!(chain.swap(&cell, None, Some(b"beat 1 again")));
    assert!(matches!(chain.look(&cell, b"beat 1 again", b"beat 2"), Look::Standing(_)));
}

/// Head, state, floor, settings and the cell of a waiting writer, of one generation.
pub fn look_has_all_that_there_is(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    drop(Chain::begin_at(nodes, 2, &at(2, 50)));
    let head = chain.fill(0, &[2, 4, 6]);
    assert!(chain.advance(Position::default(), at(1, 4), &[], None).unwrap());
    chain.ledger.trim(1, 2, soon()).unwrap();
    assert!(chain.swap(&CellName::meta(), None, Some(b"settings")));
    assert!(chain.swap(&chain.cell(CellKind::Waiting, ""), None, Some(b"rtt")));
    let cell = chain.cell(CellKind::Presence, "n1");
    assert!(chain.swap(&cell, None, Some(b"beat 1")));
    let Look::Standing(sight) = chain.look(&cell, b"beat 1", b"beat 2") else { panic!("it stands") };
    assert_eq!(sight.meta.as_deref(), Some(&b"settings"[..]));
    assert_eq!(sight.waiting.as_deref(), Some(&b"rtt"[..]));
    assert_eq!((sight.head, sight.state, sight.floor), (Some(head), Some(at(1, 4)), 2));
    assert_eq!(*sight, chain.other(nodes).sight());
}

/// A writer appends and then lists the presences; a node registers and then looks. One of them sees the other, whatever
/// the order: else a node would serve that a revocation did not wait for.
pub fn a_writer_and_a_node_that_registers_do_not_miss_each_other(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let node = chain.other(nodes);
    for round in 1..=50_u64 {
        let cell = chain.cell(CellKind::Presence, &format!("n{round}"));
        let base = if round == 1 { Position::default() } else { at(1, round - 1) };
        let barrier = std::sync::Barrier::new(2);
        let (listed, seen) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                barrier.wait();
                assert_eq!(chain.append(op(), base, at(1, round), b"revoke").unwrap(), Appended::Here);
                chain.cells(CellKind::Presence).iter().any(|(name, _)| *name == cell.name)
            });
            barrier.wait();
            assert!(node.swap(&cell, None, Some(b"beat 1")));
            let Look::Standing(sight) = node.look(&cell, b"beat 1", b"beat 2") else { panic!("it stands") };
            (writer.join().unwrap(), sight.head == Some(at(1, round)))
        });
        assert!(listed || seen, "round {round}: the writer does not wait for a node that does not know");
    }
}
