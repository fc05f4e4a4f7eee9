//! A verification allocates nothing, whether it succeeds or not, nor do questions to the verified key.

#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use apikey::{Attempt, ImportScheme, Imported, KeyStore, KeyUpdate, NewKey, Overlap, Pepper, Requirement, Role};
use chrono::TimeDelta;

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `work` allocates.
fn allocations(work: impl FnOnce()) -> usize {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

#[test]
fn the_allocator_counts() {
    assert_eq!(allocations(|| drop(black_box(Box::new(1)))), 1);
}

#[test]
fn a_verification_allocates_nothing() {
    for builder in [KeyStore::builder(), KeyStore::builder().pepper(Pepper::new(1, [7; 32]))] {
        let store = builder.temporary().unwrap();
        let create = |new: NewKey| store.create(new.permissions(["orders:*", "reports:read"])).unwrap();
        let good = create(NewKey::for_owner("alice"));
        let timed = create(NewKey::for_owner("alice").expires_in(TimeDelta::days(1)));
        let later = create(NewKey::for_owner("alice").not_before(chrono::Utc::now() + TimeDelta::days(1)));
        let revoked = create(NewKey::for_owner("bob"));
        store.revoke(revoked.info.id(), "left").unwrap();
        let disabled = create(NewKey::for_owner("bob"));
        store.update(disabled.info.id(), KeyUpdate::new().disabled(true)).unwrap();
        let rotated = create(NewKey::for_owner("carol"));
        store.rotate(rotated.info.id(), Overlap::For(TimeDelta::hours(1))).unwrap();
        let used = create(NewKey::for_owner("grace").idle_after(TimeDelta::hours(1)));
        let labelled = create(NewKey::for_owner("frank").name("ci").label("plan", "pro").label("region", "eu"));
        store.put_role(Role::new("reader").permissions(["orders:read"])).unwrap();
        let with_role = store.create(NewKey::for_owner("heidi").roles(["reader"])).unwrap();
        let issued = "sk_live_0123456789abcdefghijklmnop";
        create(NewKey::for_owner("dave").imported(Imported::raw(issued), ImportScheme::Whole));
        let token = good.key.expose_secret();
        let mut malformed = token.to_owned();
        malformed.pop();
        let requirements = [
            Requirement::authenticated(),
            Requirement::permission("orders:read").unwrap(),
            Requirement::any(["admin", "orders:write"]).unwrap(),
            Requirement::permission("admin").unwrap(),
        ];
        let other_store = KeyStore::temporary().unwrap();
        let unknown = other_store.create(NewKey::for_owner("eve")).unwrap();
        let tokens = [&good, &timed, &later, &revoked, &disabled, &rotated, &used, &labelled, &with_role, &unknown]
            .map(|key| key.key.expose_secret());
        let tokens = tokens.into_iter().chain([&*malformed, "", issued, "sk_live_0123456789abcdefghijklmnoq"]);
        let (mut verified, mut refused) = (0, 0);
        for token in tokens {
            for requirement in &requirements {
                // The first refusal of a key with a code allocates its counter; good keys have none.
                if store.authorize(token, requirement).is_err() {
                    refused += 1;
                }
                let count = allocations(|| {
                    if let Ok(key) = black_box(store.authorize(token, requirement)) {
                        verified += 1;
                        black_box((
                            key.id(),
                            key.owner(),
                            key.allows("orders:read"),
                            key.allows("x"),
                            key.superseded(),
                            (key.name(), key.prefix(), key.label("region"), key.labels().count()),
                        ));
                        black_box(store.recheck(&key.clone())).unwrap();
                    }
                });
                assert_eq!(count, 0, "{requirement}");
            }
        }
        // Good, timed, rotated, labelled and imported keys, each with three of four requirements, and one with a role, which gives
        // two.
        assert_eq!((verified, refused), (20, 36));

        let bound = NewKey::for_owner("erin").limit(3, TimeDelta::hours(1)).networks(["10.0.0.0/8", "::1"]);
        let bound = create(bound);
        let attempt = Attempt::new(bound.key.expose_secret()).needs(&requirements[1]);
        let peers = [Some([10, 0, 0, 1]), Some([9, 0, 0, 1]), None];
        // The first refusal with each code allocates its counter.
        let (mut answers, mut firsts) = ([0; 3], 2);
        for peer in peers.iter().cycle().take(15) {
            let attempt = peer.map_or(attempt, |peer| attempt.peer(std::net::IpAddr::from(peer)));
            let count = allocations(|| match black_box(store.check(&attempt)) {
                Ok(key) => {
                    answers[0] += 1;
                    black_box(store.limit_status(&key));
                }
                Err(error) => answers[if error.status() == 429 { 1 } else { 2 }] += 1,
            });
            if count > 0 {
                assert!(firsts > 0, "{peer:?}");
                firsts -= 1;
            }
        }
        assert_eq!(answers, [3, 2, 10]);
    }
}
