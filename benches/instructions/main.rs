//! A thousand verifications for callgrind to count; see `.ci/instructions`. The clock stands still and does not count.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that fails shall stop")]

use std::hint::black_box;

use apikey_core::{KeyStore, ManualClock, NewKey, Requirement, Role};

const PERMISSION: &str = "orders:read";

const TIMES: usize = 1_000;

/// Callgrind counts the instructions in this function.
#[inline(never)]
fn counted_verification(store: &KeyStore, token: &str, requirement: &Requirement) -> u32 {
    match store.authorize(black_box(token), requirement) {
        Ok(key) => key.secret_version(),
        Err(error) => u32::from(error.status()),
    }
}

fn main() {
    let is_given = |name: &str| std::env::args().any(|argument| argument == name);
    let (malformed, with_role) = (is_given("malformed"), is_given("role"));
    // Under valgrind rustix does not find the kernel's clock.
    let builder = KeyStore::builder().clock(ManualClock::new(chrono::Utc::now())).count_use(is_given("counted"));
    #[cfg(feature = "cluster")]
    let builder = match is_given("cluster") {
        true => {
            let ledger = apikey_core::cluster::MemoryLedger::new();
            builder.cluster(apikey_core::cluster::Cluster::new(ledger).with_a_still_clock())
        }
        false => builder,
    };
    let store = builder.temporary().unwrap();
    store.put_role(Role::new("reader").permissions([PERMISSION])).unwrap();
    let new_key = |number| {
        let new = NewKey::for_owner(format!("owner {number:010}"));
        if with_role { new.roles(["reader"]) } else { new.permissions([PERMISSION]) }
    };
    let created = store.create_many((0..TIMES).map(new_key)).unwrap();
    let mut tokens: Vec<String> = created.iter().map(|created| created.key.expose_secret().to_owned()).collect();
    let mut expected = 1;
    if malformed {
        // With another last character of the checksum.
        for token in &mut tokens {
            let last = if token.pop() == Some('0') { '1' } else { '0' };
            token.push(last);
        }
        expected = 401;
    }
    let requirement = Requirement::permission(PERMISSION).unwrap();
    if is_given("counted") {
        // The table of the thread grows, and begins anew each time it does.
        (0..8).for_each(|_| assert!(tokens.iter().all(|token| store.verify(token).is_ok())));
    }
    // The first verification fills the requirement cache.
    let _ = store.verify(&tokens[0]).map(|key| key.require(&requirement));
    assert!(tokens.iter().all(|token| counted_verification(&store, token, &requirement) == expected));
}
