use apikey_core::cluster::{CellKind, CellName};

use super::Nodes;
use super::fixture::{Chain, soon};

/// A cell is created once.
pub fn swap_creates_what_is_not_there(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let cell = chain.cell(CellKind::Presence, "n1");
    assert!(chain.swap(&cell, None, Some(b"one")));
    assert!(!chain.swap(&cell, None, Some(b"two")));
    assert_eq!(chain.other(nodes).cells(CellKind::Presence), [("n1".to_owned(), b"one".to_vec())]);
}

/// A cell is replaced by who knows its value.
pub fn swap_replaces_what_it_expects(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let cell = chain.cell(CellKind::Presence, "n1");
    assert!(!chain.swap(&cell, Some(b"one"), Some(b"two")), "it is not there");
    assert!(chain.swap(&cell, None, Some(b"")));
    assert!(!chain.swap(&cell, Some(b"one"), Some(b"two")));
    assert!(chain.swap(&cell, Some(b""), Some(b"two")), "an empty value is one");
    assert!(chain.swap(&cell, Some(b"two"), Some(b"two")), "by the same");
    assert_eq!(chain.cells(CellKind::Presence), [("n1".to_owned(), b"two".to_vec())]);
}

/// A cell is deleted by who knows its value, and can be created again.
pub fn swap_deletes_what_it_expects(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let cell = chain.cell(CellKind::Hold, "janitor");
    assert!(!chain.swap(&cell, Some(b"one"), None), "it is not there");
    assert!(chain.swap(&cell, None, Some(b"one")));
    assert!(!chain.swap(&cell, Some(b"two"), None));
    assert!(chain.swap(&cell, Some(b"one"), None));
    assert_eq!(chain.cells(CellKind::Hold), []);
    assert!(chain.swap(&cell, None, Some(b"one")));
}

/// From nothing to nothing is no change, and an answer all the same.
pub fn swap_of_nothing_says_whether_it_is_there(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let cell = chain.cell(CellKind::Hold, "janitor");
    assert!(chain.swap(&cell, None, None));
    assert!(chain.swap(&cell, None, Some(b"one")));
    assert!(!chain.swap(&cell, None, None));
}

/// A cell is one by its generation, kind and name together.
pub fn cells_are_apart(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let mut cells = vec![CellName::meta()];
    for generation in [1, 2] {
        for kind in [CellKind::Presence, CellKind::Acknowledgement, CellKind::Hold] {
            cells.extend(["", "a", "b"].map(|name| CellName { generation, kind, name: name.to_owned() }));
        }
        cells.push(CellName { generation, kind: CellKind::Waiting, name: String::new() });
    }
    for (number, cell) in (0_u8..).zip(&cells) {
        assert!(chain.swap(cell, None, Some(&[number])), "{cell:?}");
    }
    for (number, cell) in (0_u8..).zip(&cells) {
        let found = chain.ledger.cells(cell.generation, &[cell.kind], soon()).unwrap();
        let found: Vec<_> = found.iter().filter(|found| found.cell == *cell).collect();
        assert_eq!(found.len(), 1, "{cell:?}");
        assert_eq!(found[0].value, [number], "{cell:?}");
    }
}

/// Several kinds come in one answer, and no other.
pub fn cells_are_of_the_kinds_asked_for(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    for kind in [CellKind::Presence, CellKind::Acknowledgement, CellKind::Hold, CellKind::Waiting] {
        assert!(chain.swap(&chain.cell(kind, ""), None, Some(b"value")));
    }
    let kinds = |asked: &[CellKind]| {
        let cells = chain.ledger.cells(1, asked, soon()).unwrap();
        let mut kinds: Vec<_> = cells.iter().map(|cell| cell.cell.kind).collect();
        kinds.sort_unstable();
        kinds
    };
    assert_eq!(kinds(&[]), []);
    let pair = [CellKind::Presence, CellKind::Acknowledgement];
    assert_eq!(kinds(&pair), pair);
    assert_eq!(kinds(&CellKind::ALL), [&pair[..], &[CellKind::Hold, CellKind::Waiting]].concat());
}

/// Its one writer need not know what there was.
pub fn note_sets_whatever_it_was(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let cell = chain.cell(CellKind::Acknowledgement, "n1");
    for value in [&b"one"[..], b"", b"three"] {
        chain.ledger.note(&cell, value, soon()).unwrap();
        assert_eq!(chain.other(nodes).cells(CellKind::Acknowledgement), [("n1".to_owned(), value.to_vec())]);
    }
    assert!(chain.swap(&cell, Some(b"three"), None));
    chain.ledger.note(&cell, b"four", soon()).unwrap();
    assert!(!chain.swap(&cell, None, Some(b"five")));
}
