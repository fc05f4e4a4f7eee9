use std::collections::BTreeSet;

use apikey_core::cluster::{Appended, CellKind, Fence, Position};

use super::Nodes;
use super::fixture::{Chain, at, op};

/// Each of 16 threads appends after the head that it knows until it is in: every entry is in the log once, and the chain
/// has no gap.
pub fn sixteen_writers_lose_nothing(nodes: Nodes<'_>) {
    const EACH: usize = 6;
    let chain = Chain::begin(nodes);
    let here: Vec<_> = std::thread::scope(|scope| {
        let others = [chain.clone(), chain.other(nodes), chain.other(nodes), chain.other(nodes)];
        let writers: Vec<_> = (0..16_u8)
            .map(|writer| {
                let chain = others[usize::from(writer) % others.len()].clone();
                scope.spawn(move || {
                    let (mut base, mut ops) = (Position::default(), Vec::new());
                    while ops.len() < EACH {
                        let op = op();
                        let last = at(writer, base.number + 1 + u64::from(writer % 3));
                        match chain.append(op, base, last, &[writer]).unwrap() {
                            Appended::Here => {
                                ops.push((op, writer));
                                base = last;
                            }
                            Appended::Lost { head } => base = head,
                        }
                    }
                    ops
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let log = chain.follow(0);
    let mut next = 1;
    for entry in &log {
        assert_eq!(entry.first, next);
        next = entry.last.number + 1;
    }
    assert_eq!(chain.sight().head, log.last().map(|entry| entry.last));
    let logged: BTreeSet<_> = log.iter().map(|entry| (entry.op, entry.bytes[0])).collect();
    assert_eq!(log.len(), 16 * EACH);
    assert_eq!(logged, here.into_iter().collect());
}

/// A repeat that overtakes the first try changes nothing, and every one is answered that it is in.
pub fn one_op_from_many_threads_is_one_entry(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let mut base = Position::default();
    for number in 1..=10 {
        let (op, last) = (op(), at(1, number));
        std::thread::scope(|scope| {
            let tries: Vec<_> = [chain.clone(), chain.clone(), chain.other(nodes), chain.other(nodes)]
                .into_iter()
                .map(|chain| scope.spawn(move || chain.append(op, base, last, b"same").unwrap()))
                .collect();
            for answer in tries {
                assert_eq!(answer.join().unwrap(), Appended::Here);
            }
        });
        base = last;
    }
    assert_eq!(chain.follow(0).len(), 10);
}

/// Of those that take a hold at once one gets it.
pub fn one_writer_wins_a_cell(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let cell = chain.cell(CellKind::Hold, "janitor");
    let mut held: Option<Vec<u8>> = None;
    for round in 0..10_u8 {
        let nodes = [chain.clone(), chain.clone(), chain.other(nodes), chain.other(nodes)];
        let won: Vec<_> = std::thread::scope(|scope| {
            let tries: Vec<_> = (0_u8..)
                .zip(nodes)
                .map(|(node, chain)| {
                    let (cell, held) = (&cell, &held);
                    let new = vec![round, node];
                    scope.spawn(move || chain.swap(cell, held.as_deref(), Some(&new)).then_some(new))
                })
                .collect();
            tries.into_iter().filter_map(|won| won.join().unwrap()).collect()
        });
        assert_eq!(won.len(), 1, "round {round}");
        held = won.into_iter().next();
        assert_eq!(chain.cells(CellKind::Hold)[0].1, held.clone().unwrap());
    }
}

/// While one node appends and advances under a hold, another takes it. As soon as that is answered, nothing more is done
/// under the value before.
pub fn a_hold_that_changes_ends_what_is_done_under_it(nodes: Nodes<'_>) {
    for round in 1..=20_u64 {
        let chain = Chain::begin_at(nodes, round, &Position::default());
        let (other, node) = (chain.other(nodes), chain.other(nodes));
        let cell = chain.cell(CellKind::Hold, "janitor");
        assert!(chain.swap(&cell, None, Some(b"mine")));
        let fence = Fence { cell: cell.clone(), value: b"mine".to_vec() };
        let number = |position: Option<Position>| position.map(|position| position.number);
        let after = std::thread::scope(|scope| {
            let appends = scope.spawn(|| {
                let mut base = Position::default();
                let mut here = 0_u64;
                loop {
                    let last = at(1, base.number + 1);
                    match chain.append_fenced(op(), base, last, b"", Some(&fence)).unwrap() {
                        Appended::Here => (base, here) = (last, here + 1),
                        Appended::Lost { .. } => return here,
                    }
                }
            });
            let advances = scope.spawn(|| {
                let mut from = Position::default();
                loop {
                    let to = at(1, from.number + 1);
                    if !node.advance(from, to, &[], Some(&fence)).unwrap() {
                        return from.number;
                    }
                    from = to;
                }
            });
            while number(other.sight().head) < Some(3) || number(other.sight().state) < Some(3) {}
            assert!(other.swap(&cell, Some(b"mine"), Some(b"theirs")));
            let after = other.sight();
            assert_eq!(Some(appends.join().unwrap()), number(after.head), "round {round}");
            assert_eq!(Some(advances.join().unwrap()), number(after.state), "round {round}");
            after
        });
        assert_eq!(other.sight(), after);
    }
}
