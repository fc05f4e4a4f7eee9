//! A thousand verifications for callgrind to count; see `.ci/instructions`. The clock stands still and is not counted.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that fails shall stop")]

use std::hint::black_box;

use apikey_core::{KeyStore, ManualClock, NewKey, Requirement};

const PERMISSION: &str = "orders:read";

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
    let new_key = |number| NewKey::for_owner(format!("owner {number:010}")).permissions([PERMISSION]);
    let created = store.create_many((0..TIMES).map(new_key)).unwrap();
    let mut tokens: Vec<String> = created.iter().map(|created| created.key.expose_secret().to_owned()).collect();
    let mut expected = 1;
    if malformed {
        // The last character of the checksum is another one.
        for token in &mut tokens {
            let last = if token.pop() == Some('0') { '1' } else { '0' };
            token.push(last);
        }
        expected = 401;
    }
    let requirement = Requirement::permission(PERMISSION).unwrap();
    // The first of all works out what the requirement is worth.
    let _ = store.verify(&tokens[0]).map(|key| key.require(&requirement));
    assert!(tokens.iter().all(|token| counted_verification(&store, token, &requirement) == expected));
}
