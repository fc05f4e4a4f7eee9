use std::time::{Duration, Instant};

use apikey_core::cluster::{LedgerError, Reserved, Swap};

use super::Nodes;
use super::fixture::{Chain, soon};
use super::tallies::refused;

/// A reservation is created, replaced and deleted by a caller that knows what it holds.
pub fn reserve_creates_replaces_and_deletes(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    assert!(chain.reserve(b"", None, Some(b"one")));
    assert!(chain.reserve(b"", Some(b"one"), Some(b"")));
    assert!(chain.other(nodes).reserve(b"", Some(b""), Some(b"three")), "an empty value is one");
    assert!(chain.reserve(b"", Some(b"three"), None));
    assert!(!chain.reserve(b"", Some(b"three"), None));
    assert!(chain.reserve(b"", None, Some(b"four")));
}

/// A swap that is lost is answered with what the reservation holds.
pub fn reserve_answers_what_is_held(nodes: Nodes<'_>) {
    let (chain, lost) = (Chain::begin(nodes), |held: Option<&[u8]>| Reserved::Lost { held: held.map(<[u8]>::to_vec) });
    let reserve = |old, new| chain.reserve_all(&[Swap { name: b"a", old, new }])[0].clone();
    for new in [None, Some(&b"two"[..])] {
        assert_eq!(reserve(Some(b"one"), new), lost(None));
    }
    assert_eq!(reserve(None, Some(b"one")), Reserved::Done);
    for (old, new) in [(None, Some(&b"two"[..])), (Some(&b"on"[..]), Some(b"two")), (Some(b"two"), None)] {
        assert_eq!(reserve(old, new), lost(Some(b"one")), "{old:?} {new:?}");
    }
    assert_eq!(reserve(Some(b"one"), Some(b"two")), Reserved::Done);
    assert_eq!(reserve(Some(b"one"), Some(b"two")), lost(Some(b"two")), "a repeat is none");
}

/// A swap to what is there is no change, and says whether it is.
pub fn reserve_of_the_same_says_whether_it_is_so(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    assert!(chain.reserve(b"a", None, None));
    assert!(chain.reserve(b"a", None, Some(b"one")));
    let questions = [(None, None), (Some(&b"one"[..]), Some(&b"one"[..])), (Some(b"two"), Some(b"two"))];
    let answers = questions.map(|(old, new)| chain.reserve_all(&[Swap { name: b"a", old, new }])[0].clone());
    let lost = Reserved::Lost { held: Some(b"one".to_vec()) };
    assert_eq!(answers, [lost.clone(), Reserved::Done, lost]);
    assert_eq!(chain.reserve_all(&[]), []);
}

/// The swaps of one call have nothing to do with each other, and their answers are in their order.
pub fn a_lost_swap_changes_nothing_for_the_others(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    for name in [b"c", b"e", b"g"] {
        assert!(chain.reserve(name, None, Some(b"old")));
    }
    let swap = |name, old, new| Swap { name, old, new };
    let answers = chain.reserve_all(&[
        swap(b"g", Some(b"old"), None),
        swap(b"f", Some(b"old"), Some(b"new")),
        swap(b"c", Some(b"wrong"), Some(b"new")),
        swap(b"a", None, Some(b"new")),
        swap(b"e", Some(b"old"), Some(b"new")),
        swap(b"d", None, None),
    ]);
    let lost = |held: Option<&[u8]>| Reserved::Lost { held: held.map(<[u8]>::to_vec) };
    let done = || Reserved::Done;
    assert_eq!(answers, [done(), lost(None), lost(Some(b"old")), done(), done(), done()]);
    for (name, held) in
        [(b"a", Some(&b"new"[..])), (b"c", Some(b"old")), (b"e", Some(b"new")), (b"f", None), (b"g", None)]
    {
        assert!(chain.other(nodes).reserve(name, held, held), "{name:?}");
    }
}

/// As many swaps as a call may have, and as many bytes.
pub fn reserve_takes_a_full_call(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let names: Vec<_> = (0..Swap::MAX).map(|number| [&[7; 24][..], &number.to_be_bytes()].concat()).collect();
    let (old, new) = (vec![5; 3000], vec![6; Swap::MAX_BYTES / Swap::MAX - 3000 - Swap::MAX_NAME]);
    let full = |old: Option<&[u8]>, new: Option<&[u8]>| {
        let swaps: Vec<_> = names.iter().map(|name| Swap { name, old, new }).collect();
        assert!(chain.reserve_all(&swaps).iter().all(|answer| *answer == Reserved::Done));
    };
    full(None, Some(&old));
    full(Some(&old), Some(&new));
    full(Some(&new), None);
}

/// What is too much is refused with what is allowed, and nothing of it is done.
pub fn reserve_refuses_what_is_too_much(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let names: Vec<_> = (0..=Swap::MAX).map(usize::to_be_bytes).collect();
    let (large, long) = (vec![0; Swap::MAX_BYTES], [0; Swap::MAX_NAME + 1]);
    let swap = |name, new| Swap { name, old: None, new: Some(new) };
    let many: Vec<_> = names.iter().map(|name| swap(&name[..], b"")).collect();
    let reserve = |swaps: &[Swap<'_>]| chain.ledger.reserve(1, swaps, soon());
    refused(&reserve(&many), "a call has 121 reservations, and at most 120 are allowed");
    let what = "a call has reservations of 1048577 bytes, and at most 1048576 are allowed";
    refused(&reserve(&[swap(b"a", &large)]), what);
    let what = "a name among reservations has 33 bytes, and at most 32 are allowed";
    refused(&reserve(&[swap(b"a", b""), swap(&long, b"")]), what);
    let what = "among reservations the name 61 is there twice, and once is allowed";
    refused(&reserve(&[swap(b"a", b"1"), swap(b"a", b"2")]), what);
    assert!(chain.reserve(b"a", None, None) && chain.reserve(&names[0], None, None));
}

/// What threads have added to some sums, in swaps of all of them, is what the sums hold: no update is lost, and no two
/// calls wait for each other for ever.
pub fn threads_that_reserve_lose_no_update(nodes: Nodes<'_>) {
    const EACH: u64 = 12;
    let chain = Chain::begin(nodes);
    std::thread::scope(|scope| {
        let others = [chain.clone(), chain.other(nodes), chain.other(nodes)];
        for thread in 0..6_usize {
            let chain = others[thread % others.len()].clone();
            scope.spawn(move || {
                let mut names: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];
                names.rotate_left(thread % 4);
                // What the sums hold, as far as this thread knows, and how often it adds to each.
                let mut sums = names.map(|name| (name, None::<Vec<u8>>, EACH));
                while sums.iter().any(|(_, _, left)| *left > 0) {
                    let next = sums.each_ref().map(|(_, held, _)| (number(held.as_deref()) + 1).to_be_bytes());
                    let wanted = sums.iter().zip(&next).filter(|((_, _, left), _)| *left > 0);
                    let swaps: Vec<_> = wanted
                        .map(|((name, held, _), next)| Swap { name, old: held.as_deref(), new: Some(next) })
                        .collect();
                    let answers = chain.reserve_all(&swaps);
                    let added = sums.iter_mut().zip(&next).filter(|((_, _, left), _)| *left > 0);
                    for (((_, held, left), next), answer) in added.zip(answers) {
                        match answer {
                            Reserved::Done => (*held, *left) = (Some(next.to_vec()), *left - 1),
                            Reserved::Lost { held: instead } => *held = instead,
                        }
                    }
                }
            });
        }
    });
    for name in [b"a", b"b", b"c", b"d"] {
        let sum = (6 * EACH).to_be_bytes();
        assert!(chain.reserve(name, Some(&sum), Some(&sum)));
    }
}

fn number(held: Option<&[u8]>) -> u64 {
    held.map_or(0, |held| u64::from_be_bytes(held.try_into().unwrap()))
}

/// Calls that have no time are done or not, and another call shows which: what each of three threads has added is what
/// is held of it.
pub fn reservations_that_are_given_up_are_done_or_not(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    std::thread::scope(|scope| {
        for thread in 0..3_usize {
            let chain = chain.other(nodes);
            scope.spawn(move || {
                // How often each thread has added: no value comes twice, so a call that is still on its way does nothing
                // once another one has taken its place.
                let mut held: Option<Vec<u8>> = None;
                let times = [Duration::from_millis(1), Duration::from_secs(60)].into_iter().cycle();
                for time in times {
                    let mut next = held.clone().unwrap_or_else(|| vec![0; 3]);
                    if next[thread] == 6 {
                        break;
                    }
                    next[thread] += 1;
                    let swap = Swap { name: b"sum", old: held.as_deref(), new: Some(&next) };
                    match chain.ledger.reserve(1, &[swap], Instant::now() + time).as_deref() {
                        Ok([Reserved::Done]) => held = Some(next),
                        Ok([Reserved::Lost { held: instead }]) => held.clone_from(instead),
                        Err(LedgerError::Refused { .. } | LedgerError::Unknown { .. }) => {}
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    assert!(chain.reserve(b"sum", Some(&[6; 3]), Some(&[6; 3])));
}
