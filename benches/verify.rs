//! What does a verification cost, at a thousand and at a million keys?
//!
//! Each case is timed beside the check a developer writes by hand over a `HashMap`, and beside SQLite, on the same
//! keys in the same run. Every look-up waits for the one before, and visits the keys in random order. The cases:
//! `valid` (verified, permission held, owner read), `forbidden` (permission lacking), `unknown` (right form, wrong
//! secret), `malformed` (checksum wrong).
//!
//! `cargo bench --bench verify`; a million keys need about two minutes to set up and 3 GB of memory.

#![allow(clippy::unwrap_used, reason = "a bench that fails shall stop")]
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use std::hint::black_box;

use apikey::{KeyStore, Requirement};
use apikey_bench::{ByHand, PERMISSION, Sqlite, Tokens};
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};

const LACKING: &str = "orders:write";

fn verify(criterion: &mut Criterion) {
    for keys in [1_000, 1_000_000] {
        let store = KeyStore::temporary().unwrap();
        let tokens = apikey_bench::fill(&store, keys);
        let (by_hand, sqlite) = (ByHand::with(&tokens), Sqlite::with(&tokens));
        let valid = Tokens::shuffled(&tokens);
        drop(tokens);
        let unknown = valid.map(apikey_bench::unknown);
        let malformed =
            valid.map(|token| format!("{}{}", &token[..token.len() - 1], if token.ends_with('0') { '1' } else { '0' }));
        let read = Requirement::permission(PERMISSION).unwrap();
        let write = Requirement::permission(LACKING).unwrap();
        let apikey = |token: &str, requirement: &Requirement| match store.authorize(token, requirement) {
            Ok(key) => (200, key.owner().len()),
            Err(error) => (error.status(), 0),
        };
        for (case, tokens, requirement, permission, status) in [
            ("valid", &valid, &read, PERMISSION, 200),
            ("forbidden", &valid, &write, LACKING, 403),
            ("unknown", &unknown, &read, PERMISSION, 401),
            ("malformed", &malformed, &read, PERMISSION, 401),
        ] {
            let mut group = criterion.benchmark_group(format!("verify/{keys}/{case}"));
            chain(&mut group, "apikey", tokens, status, |token| apikey(token, requirement));
            chain(&mut group, "hash map by hand", tokens, status, |token| by_hand.check(token, permission));
            chain(&mut group, "sqlite", tokens, status, |token| sqlite.check(token, permission));
            group.finish();
        }
    }
}

/// Times a check on one token after another; which comes next depends on the last answer, so none overlap.
fn chain(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    tokens: &Tokens,
    status: u16,
    check: impl Fn(&str) -> (u16, usize),
) {
    assert_eq!(check(tokens.get(0)).0, status, "{name} answers what the case says");
    let count = tokens.len();
    let mut at = 0;
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            let (answer, owner) = check(black_box(tokens.get(at)));
            at += 1 + usize::from(answer != status) + usize::from(owner > 1000);
            if at >= count {
                at = 0;
            }
            answer
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(2));
    targets = verify
}
criterion_main!(benches);
