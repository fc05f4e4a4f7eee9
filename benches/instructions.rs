//! A thousand verifications for callgrind to count; see `.ci/instructions`. The clock stands still and is not counted.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that fails shall stop")]

use std::hint::black_box;

use apikey::{KeyStore, ManualClock, Requirement};
use apikey_bench::PERMISSION;

const TIMES: usize = 1_000;

/// Callgrind counts what happens in here.
#[inline(never)]
fn counted_verification(store: &KeyStore, token: &str, requirement: &Requirement) -> u32 {
    match store.authorize(black_box(token), requirement) {
        Ok(key) => key.secret_version(),
        Err(error) => u32::from(error.status()),
    }
}

fn main() {
    let malformed = std::env::args().any(|argument| argument == "malformed");
    // The kernel's clock is not where rustix looks for it under valgrind.
    let store = KeyStore::builder().clock(ManualClock::new(chrono::Utc::now())).temporary().unwrap();
    let mut tokens = apikey_bench::fill(&store, TIMES);
    let mut expected = 1;
    if malformed {
        tokens = tokens.iter().map(|token| apikey_bench::malformed(token)).collect();
        expected = 401;
    }
    let requirement = Requirement::permission(PERMISSION).unwrap();
    // The first of all works out what the requirement is worth.
    let _ = store.verify(&tokens[0]).map(|key| key.require(&requirement));
    assert!(tokens.iter().all(|token| counted_verification(&store, token, &requirement) == expected));
}
