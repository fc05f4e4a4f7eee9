//! A state that is larger than one answer.

use std::collections::BTreeSet;

use apikey_core::cluster::{Image, Ledger, Piece, Position, Step};
use apikey_engine::conformance::soon;
use apikey_etcd::Etcd;

use super::{at, one};

/// Enough for every shard.
const IMAGES: u32 = 6_000;

fn fill(ledger: &Etcd, from: Position, value: &[u8]) -> Position {
    let mut position = from;
    let names: Vec<_> = (0..IMAGES).map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    for names in names.chunks(Step::MAX_IMAGES) {
        let images: Vec<_> = names.iter().map(|name| Image { kind: 1, name, value: Some(value) }).collect();
        let to = at(position.number + 1);
        let step = Step { generation: 1, from: position, to, head: value, images: &images };
        assert!(ledger.advance(&step, None, soon()).unwrap());
        position = to;
    }
    position
}

/// What a load passes after the last `At`, and how many of these there were.
fn load(ledger: &Etcd, mut at_first: impl FnMut()) -> (usize, Position, BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>) {
    let (mut begins, mut place) = (0, Position::default());
    let (mut names, mut values) = (BTreeSet::new(), BTreeSet::new());
    let mut take = |piece: Piece<'_>| {
        match piece {
            Piece::At(position, _) => {
                (begins, place) = (begins + 1, position);
                names.clear();
                values.clear();
            }
            Piece::Image(image) => {
                if begins == 1 && names.is_empty() {
                    at_first();
                }
                assert!(names.insert(image.name.to_vec()), "an image comes once");
                values.insert(image.value.unwrap().to_vec());
            }
        }
        Ok(())
    };
    ledger.load(1, soon(), &mut take).unwrap();
    (begins, place, names, values)
}

#[test]
fn a_load_that_loses_its_moment_begins_again() {
    let members = one(&[]);
    let ledger = Etcd::new(members.endpoints());
    assert!(ledger.begin(1, &Position::default(), soon()).unwrap());
    let before = fill(&ledger, Position::default(), b"before");
    let (begins, place, names, values) = load(&ledger, || {});
    assert_eq!((begins, place, names.len()), (1, before, IMAGES as usize));
    assert_eq!(values, BTreeSet::from([b"before".to_vec()]));
    // What a compaction takes away while the load is on its way.
    let mut after = before;
    let (begins, place, names, values) = load(&ledger, || {
        after = fill(&ledger, before, b"after");
        let status = members.control(&["endpoint", "status", "-w", "fields"]);
        let revision = status.lines().find_map(|line| line.strip_prefix("\"Revision\" : ")).unwrap();
        members.control(&["compact", revision]);
    });
    assert_eq!((begins, place, names.len()), (2, after, IMAGES as usize));
    assert_eq!(values, BTreeSet::from([b"after".to_vec()]));
}
