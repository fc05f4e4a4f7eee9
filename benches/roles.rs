//! What does a role cost a verification, and how soon does an edit hold for a million keys?
//!
//! `cargo bench -p apikey-bench --bench roles` verifies keys that have a role beside as many that have the same grant of
//! their own, and edits a role that one key has beside one that a million have: in the index, without the disk, which
//! costs the same for every edit. Then it deletes a role of a store of 100,000 keys, and measures how long another change
//! waits for that. It takes about a minute.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that fails shall stop")]

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use apikey::{KeyStore, KeyUpdate, NewKey, Requirement, Role};
use apikey_bench::{PERMISSION, Tokens};
use apikey_core::measure::Keys;

const MILLION: usize = 1_000_000;
/// Rounds, of which the median counts. In each the two that are compared take turns.
const ROUNDS: usize = 31;
const VERIFICATIONS: usize = 200_000;
const EDITS: usize = 1_000;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Nanoseconds for each of `count`.
fn time(count: usize, mut work: impl FnMut(usize)) -> f64 {
    let begun = Instant::now();
    (0..count).for_each(&mut work);
    begun.elapsed().as_nanos() as f64 / count as f64
}

fn keys(count: usize, mut add: impl FnMut(&mut Keys, &str) -> String) -> (Keys, Tokens) {
    let mut keys = Keys::with_room(count);
    keys.put_role("reader", PERMISSION).unwrap();
    let tokens: Vec<String> = (0..count).map(|at| add(&mut keys, &format!("owner {}", at % 1000))).collect();
    let tokens = Tokens::shuffled(&tokens);
    (keys, tokens)
}

fn token(added: Option<(apikey::ApiKey, apikey_core::measure::Handle)>) -> String {
    added.unwrap().0.expose_secret().to_owned()
}

fn main() {
    let requirement = Requirement::permission(PERMISSION).unwrap();
    for count in [1_000, MILLION] {
        let own = keys(count, |keys, owner| token(keys.add(owner, PERMISSION)));
        let of_role = keys(count, |keys, owner| token(keys.add_with_role(owner, "reader")));
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let verify = |(keys, tokens): &(Keys, Tokens)| {
                time(VERIFICATIONS, |at| {
                    let token = tokens.get((at + round * VERIFICATIONS) % tokens.len());
                    assert!(black_box(keys.authorize(token, &requirement)).is_some());
                })
            };
            without.push(verify(&own));
            with.push(verify(&of_role));
        }
        let difference = median(with.iter().zip(&without).map(|(with, without)| with - without).collect());
        println!(
            "verify, {count} keys: with a role {:.1} ns, with a grant of its own {:.1} ns, difference {difference:+.1} ns",
            median(with),
            median(without)
        );
    }

    let mut all = Keys::with_room(MILLION);
    all.put_role("reader", PERMISSION).unwrap();
    all.put_role("alone", PERMISSION).unwrap();
    let one = token(all.add_with_role("alice", "alone"));
    let some: Vec<String> = (0..MILLION)
        .map(|at| token(all.add_with_role(&format!("owner {}", at % 1000), "reader")))
        .enumerate()
        .filter_map(|(at, token)| (at % 1000 == 0).then_some(token))
        .collect();
    let grants = [PERMISSION, "stock:read"];
    let (mut of_one, mut of_all) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        of_one.push(time(EDITS, |at| all.put_role("alone", grants[at % 2]).unwrap()));
        of_all.push(time(EDITS, |at| all.put_role("reader", grants[at % 2]).unwrap()));
    }
    // The last edit holds for every key.
    assert!(some.iter().chain([&one]).all(|token| all.authorize(token, &requirement).is_none()));
    drop(all);
    let (of_one, of_all) = (median(of_one), median(of_all));
    println!(
        "edit, in effect: role of {MILLION} keys {of_all:.0} ns, role of one key {of_one:.0} ns, ratio {:.2}",
        of_all / of_one
    );
    delete();
}

/// Deletes a role that no key has, while another thread changes a key.
fn delete() {
    const KEYS: usize = 100_000;
    let store = KeyStore::temporary().unwrap();
    for _ in 0..KEYS / 10_000 {
        store.create_many((0..10_000).map(|_| NewKey::for_owner("alice"))).unwrap();
    }
    let id = store.create(NewKey::for_owner("bob")).unwrap().info.id();
    let (mut deletions, mut longest, mut usual) = (Vec::new(), Vec::new(), Vec::new());
    let change = |number: usize| {
        let begun = Instant::now();
        store.update(id, KeyUpdate::new().name(format!("name {number}"))).unwrap();
        begun.elapsed().as_secs_f64() * 1e3
    };
    for round in 0..11 {
        store.put_role(Role::new("nobody")).unwrap();
        usual.extend((0..100).map(|at| change(at + round * 1000)));
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                let mut longest = 0.0_f64;
                for at in 500.. {
                    longest = longest.max(change(at + round * 1000));
                    if is_over.load(Ordering::SeqCst) {
                        break;
                    }
                }
                longest
            });
            let begun = Instant::now();
            assert!(store.delete_role("nobody").unwrap());
            deletions.push(begun.elapsed().as_secs_f64() * 1e3);
            is_over.store(true, Ordering::SeqCst);
            longest.push(waits.join().unwrap());
        });
    }
    println!(
        "delete, {KEYS} keys: {:.1} ms; another change beside it takes at most {:.2} ms, and {:.2} ms without",
        median(deletions),
        median(longest),
        median(usual)
    );
}
