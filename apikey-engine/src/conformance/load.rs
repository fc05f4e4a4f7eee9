use std::sync::atomic::{AtomicBool, Ordering};

use apikey_core::cluster::{CellKind, Fence, Image, LedgerError, Piece, Position, Step};

use super::Nodes;
use super::fixture::{Chain, at, image, soon};

/// It is empty, and says where it stands.
pub fn a_state_begins_at_the_head(nodes: Nodes<'_>) {
    let chain = Chain::begin_at(nodes, 1, &at(1, 5));
    assert_eq!(chain.load(), (at(1, 5), vec![], vec![]));
}

/// A step changes what it names, and leaves the rest.
pub fn advance_writes_replaces_and_deletes(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    chain.fill(0, &[1, 2]);
    let one = [image(b"a", Some(b"1")), image(b"b", Some(b"1")), image(b"c", Some(b"")), image(b"none", None)];
    assert!(chain.advance(Position::default(), at(1, 1), &one, None).unwrap());
    let other_kind = Image { kind: 2, name: b"a", value: Some(b"2") };
    let two = [image(b"a", None), image(b"b", Some(b"2")), image(b"d", Some(b"2")), other_kind];
    assert!(chain.advance(at(1, 1), at(1, 2), &two, None).unwrap());
    let stored = |kind, name: &[u8], value: &[u8]| (kind, name.to_vec(), value.to_vec());
    let images = vec![stored(1, b"b", b"2"), stored(1, b"c", b""), stored(1, b"d", b"2"), stored(2, b"a", b"2")];
    assert_eq!(chain.other(nodes).load(), (at(1, 2), 2_u64.to_be_bytes().to_vec(), images));
    assert_eq!(chain.sight().state, Some(at(1, 2)));
}

/// The state moves by compare-and-swap of number and digest.
pub fn advance_from_elsewhere_changes_nothing(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    chain.fill(0, &[1, 2]);
    assert!(chain.advance(Position::default(), at(1, 1), &[image(b"a", Some(b"1"))], None).unwrap());
    let before = chain.load();
    for from in [Position::default(), at(2, 1), at(1, 2)] {
        let images = [image(b"a", None), image(b"b", Some(b"2"))];
        assert!(!chain.advance(from, at(1, 2), &images, None).unwrap(), "from {from:?}");
    }
    assert_eq!(chain.load(), before);
}

/// Where a state is loaded in steps, they all end where it stands.
pub fn advance_in_place_loads_images(nodes: Nodes<'_>) {
    let chain = Chain::begin_at(nodes, 1, &at(1, 9));
    for name in [b"a", b"b", b"c"] {
        assert!(chain.advance(at(1, 9), at(1, 9), &[image(name, Some(name))], None).unwrap());
    }
    let (position, head, images) = chain.load();
    assert_eq!((position, head, images.len()), (at(1, 9), 9_u64.to_be_bytes().to_vec(), 3));
}

/// A step is taken only while its hold has the value that the janitor knows.
pub fn advance_needs_its_fence(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    chain.fill(0, &[1, 2]);
    let cell = chain.cell(CellKind::Hold, "janitor");
    let fence = Fence { cell: cell.clone(), value: b"mine".to_vec() };
    let images = [image(b"a", Some(b"1"))];
    assert!(!chain.advance(Position::default(), at(1, 1), &images, Some(&fence)).unwrap());
    assert!(chain.swap(&cell, None, Some(b"mine")));
    assert!(chain.advance(Position::default(), at(1, 1), &images, Some(&fence)).unwrap());
    assert!(chain.swap(&cell, Some(b"mine"), Some(b"theirs")));
    assert!(!chain.advance(at(1, 1), at(1, 2), &[image(b"a", None)], Some(&fence)).unwrap());
    assert_eq!((chain.load().0, chain.load().2.len()), (at(1, 1), 1));
}

/// As many images as a step may have, of names as long as they may be.
pub fn advance_takes_a_full_step(nodes: Nodes<'_>) {
    let chain = Chain::begin_at(nodes, 1, &at(1, 9));
    let names: Vec<_> = (0_u8..).take(Step::MAX_IMAGES).map(|number| [number; 32]).collect();
    let full: Vec<_> = names.iter().map(|name| image(name, Some(&[5; 500]))).collect();
    assert!(chain.advance(at(1, 9), at(1, 9), &full, None).unwrap());
    assert_eq!(chain.load().2.len(), Step::MAX_IMAGES);
    let none: Vec<_> = names.iter().map(|name| image(name, None)).collect();
    assert!(chain.advance(at(1, 9), at(1, 9), &none, None).unwrap());
    assert_eq!(chain.load().2, []);
}

/// As many bytes as a step may have.
pub fn advance_takes_a_large_step(nodes: Nodes<'_>) {
    let chain = Chain::begin_at(nodes, 1, &at(1, 9));
    let names: Vec<_> = (0_u8..31).map(|number| [number; 16]).collect();
    let value = vec![5; Step::MAX_BYTES / names.len() - 16];
    let large: Vec<_> = names.iter().map(|name| image(name, Some(&value))).collect();
    assert!(chain.advance(at(1, 9), at(1, 9), &large, None).unwrap());
    assert!(chain.load().2.iter().all(|image| image.2 == value));
}

/// While steps are taken, each of which writes its number into every image, a load never sees two numbers.
pub fn load_is_of_one_moment(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let names: Vec<_> = (0..60_u8).map(|number| [number]).collect();
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut from = Position::default();
            for number in 1..=1_000 {
                let (to, value) = (at(1, number), number.to_be_bytes());
                // Odd steps delete one image, which even ones bring back.
                let images: Vec<_> = names
                    .iter()
                    .map(|name| image(name, (name != &[30] || number % 2 == 0).then_some(&value[..])))
                    .collect();
                assert!(chain.advance(from, to, &images, None).unwrap());
                from = to;
                if end.load(Ordering::Relaxed) {
                    break;
                }
            }
            from
        });
        let other = chain.other(nodes);
        for _ in 0..20 {
            let (position, head, images) = other.load();
            if position.number > 0 {
                assert_eq!(head, position.number.to_be_bytes());
                assert_eq!(images.len(), if position.number % 2 == 0 { 60 } else { 59 });
                assert!(images.iter().all(|image| image.2 == head), "at {position:?}");
            }
        }
        end.store(true, Ordering::Relaxed);
        let last = writer.join().unwrap();
        assert_eq!(chain.sight().state, Some(last));
    });
}

/// The caller ends a load, which leaves the ledger usable.
pub fn load_ends_with_the_error_of_its_caller(nodes: Nodes<'_>) {
    let chain = Chain::begin_at(nodes, 1, &at(1, 9));
    let names: Vec<_> = (0..50_u8).map(|number| [number]).collect();
    let images: Vec<_> = names.iter().map(|name| image(name, Some(b"value"))).collect();
    assert!(chain.advance(at(1, 9), at(1, 9), &images, None).unwrap());
    let enough = LedgerError::Damaged { what: "a test has enough".to_owned() };
    for end in [1, 2, 30] {
        let mut pieces = 0;
        let mut take = |_: Piece<'_>| {
            pieces += 1;
            if pieces == end { Err(enough.clone()) } else { Ok(()) }
        };
        assert_eq!(chain.ledger.load(1, soon(), &mut take), Err(enough.clone()));
        assert_eq!(pieces, end);
    }
    assert_eq!(chain.load().2.len(), 50);
}
