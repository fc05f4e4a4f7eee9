use std::sync::atomic::{AtomicBool, Ordering};

use apikey_core::cluster::{LedgerError, LedgerResult, Tally};

use super::Nodes;
use super::fixture::{Chain, Pairs, soon};

/// One writer need not know what there was. A repeat changes nothing, and no tally is touched that is not named.
pub fn tally_sets_whatever_it_was(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    chain.tally(&[(b"one", b"1"), (b"two", b"")]);
    chain.tally(&[(b"one", b"11"), (b"three", b"3")]);
    chain.tally(&[(b"one", b"11"), (b"three", b"3")]);
    chain.tally(&[]);
    let all: [(&[u8], &[u8]); 3] = [(b"one", b"11"), (b"three", b"3"), (b"two", b"")];
    assert_eq!(chain.other(nodes).tallies(&[b""]), pairs(&all));
}

/// A name begins as its bytes say, whatever they are.
pub fn tallies_begin_as_asked_for(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let long = [u8::MAX; Tally::MAX_NAME];
    let names: [&[u8]; 9] = [b"", b"\0", b"\0\0", b"a", b"a\xff", b"a\xff\xff", b"b", b"\xff", &long];
    let all: Vec<(&[u8], &[u8])> = names.iter().map(|name| (*name, &name[..name.len() / 2])).collect();
    chain.tally(&all);
    for begin in names {
        let begins_so: Vec<_> = all.iter().copied().filter(|(name, _)| name.starts_with(begin)).collect();
        assert_eq!(chain.tallies(&[begin]), pairs(&begins_so), "{begin:?}");
    }
    assert_eq!(chain.tallies(&[]), []);
    assert_eq!(chain.tallies(&[b"c", b"ab"]), []);
    assert_eq!(chain.tallies(&[b"b", b"\0\0", b"c"]), pairs(&[(b"\0\0", b"\0"), (b"b", b"")]));
    assert_eq!(chain.tallies(&[b"a\xff", b"a", b"a\xff\xff"]), chain.tallies(&[b"a"]), "each once");
}

/// A call sets all of its tallies at one moment, and one that reads them reads them as they are at one moment.
pub fn tallies_are_of_one_moment(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let other = chain.other(nodes);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..40_u8 {
                chain.tally(&[(b"a/1", &[number]), (b"b/1", &[number]), (b"b/2", &[number])]);
            }
            is_over.store(true, Ordering::SeqCst);
        });
        while !is_over.load(Ordering::SeqCst) {
            let values: Vec<_> = other.tallies(&[b"a", b"b"]).into_iter().map(|(_, value)| value).collect();
            assert!(values.is_empty() || values == vec![values[0].clone(); 3], "{values:?}");
        }
    });
    assert_eq!(other.tallies(&[b"a"]), pairs(&[(b"a/1", &[39])]));
}

/// As many tallies as a call may have, and as many bytes.
pub fn tally_takes_a_full_call(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let names: Vec<_> = (0..Tally::MAX).map(|number| [&[7; 56][..], &number.to_be_bytes()].concat()).collect();
    let value = vec![5; Tally::MAX_BYTES / Tally::MAX - Tally::MAX_NAME];
    let full: Vec<(&[u8], &[u8])> = names.iter().map(|name| (name.as_slice(), value.as_slice())).collect();
    chain.tally(&full);
    chain.tally(&full);
    assert_eq!(chain.tallies(&[&[7]]), pairs(&full));
    let begins: Vec<_> = names.iter().map(Vec::as_slice).collect();
    assert_eq!(chain.tallies(&begins).len(), Tally::MAX);
}

/// What is too much is refused with what is allowed, and nothing of it is done.
pub fn tally_refuses_what_is_too_much(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let names: Vec<_> = (0..=Tally::MAX).map(usize::to_be_bytes).collect();
    let many: Vec<(&[u8], &[u8])> = names.iter().map(|name| (name.as_slice(), &b""[..])).collect();
    let (large, long) = (vec![0; Tally::MAX_BYTES], [0; Tally::MAX_NAME + 1]);
    let (twice, too_large, too_long) = ([(&b"a"[..], &b"1"[..]), (b"a", b"2")], [(&b"a"[..], &large[..])], &long[..]);
    refused(&chain.try_tally(&many), "a call has 121 tallies, and at most 120 are allowed");
    refused(&chain.try_tally(&too_large), "a call has tallies of 1048577 bytes, and at most 1048576 are allowed");
    refused(&chain.try_tally(&[(too_long, b"")]), "a name among tallies has 65 bytes, and at most 64 are allowed");
    refused(&chain.try_tally(&twice), "among tallies the name 61 is there twice, and once is allowed");
    assert_eq!(chain.tallies(&[b""]), []);
    let begins: Vec<_> = names.iter().map(|name| &name[..]).collect();
    let asked = chain.ledger.tallies(1, &begins, soon());
    refused(&asked, "a call has 121 begins of names of tallies, and at most 120 are allowed");
    let asked = chain.ledger.tallies(1, &[too_long], soon());
    refused(&asked, "a name among begins of names of tallies has 65 bytes, and at most 64 are allowed");
}

/// Tallies are deleted from one name on, and before another, however many there are.
pub fn forget_tallies_deletes_from_one_name_to_another(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let names: Vec<_> = (0..2500_u16).map(|number| [&b"n"[..], &number.to_be_bytes()].concat()).collect();
    for names in names.chunks(Tally::MAX) {
        chain.tally(&names.iter().map(|name| (name.as_slice(), &b"1"[..])).collect::<Vec<_>>());
    }
    assert_eq!(chain.tallies(&[b"n"]).len(), 2500);
    let forget = |from: &[u8], to: &[u8]| chain.ledger.forget_tallies(1, from, to, soon()).unwrap();
    let other = chain.other(nodes);
    forget(&names[40], &names[20]);
    forget(&names[40], &names[40]);
    assert_eq!(other.tallies(&[b""]).len(), 2500, "there is none from one name to the same");
    forget(&names[10], &names[2490]);
    let left: Vec<_> = names[..10].iter().chain(&names[2490..]).map(|name| (name.clone(), b"1".to_vec())).collect();
    assert_eq!(other.tallies(&[b"n"]), left);
    forget(&names[10], &names[2490]);
    forget(b"", b"n\0\x05");
    forget(b"n\x09\xbf", b"o");
    assert_eq!(other.tallies(&[b""]), left[5..15]);
}

/// A generation has tallies and reservations of its own, and a tally is no reservation.
pub fn generations_have_sums_of_their_own(nodes: Nodes<'_>) {
    let (one, two) = (Chain::begin(nodes), Chain { ledger: nodes(), generation: 2 });
    one.tally(&[(b"name", b"1")]);
    assert_eq!(two.tallies(&[b""]), []);
    two.tally(&[(b"name", b"2")]);
    two.ledger.forget_tallies(1, b"", b"z", soon()).unwrap();
    assert_eq!((one.tallies(&[b"n"]), two.tallies(&[b"n"])), (vec![], pairs(&[(b"name", b"2")])));
    for chain in [&one, &two] {
        assert!(chain.reserve(b"name", None, Some(b"reserved")));
    }
    assert!(two.reserve(b"name", Some(b"reserved"), None));
    assert!(one.reserve(b"name", Some(b"reserved"), Some(b"reserved")));
    assert_eq!(two.tallies(&[b"n"]), pairs(&[(b"name", b"2")]));
}

pub(super) fn refused<T: std::fmt::Debug>(answer: &LedgerResult<T>, what: &str) {
    assert!(matches!(answer, Err(LedgerError::Refused { what: text }) if text == what), "{answer:?}");
}

fn pairs(tallies: &[(&[u8], &[u8])]) -> Pairs {
    tallies.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}
