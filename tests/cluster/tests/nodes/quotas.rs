//! Quotas that the nodes of a cluster share.

use std::thread;
use std::time::{Duration, Instant};

use apikey_core::{Attempt, AuthError, CreatedKey, KeyStore, KeyUpdate, ManualClock, NewKey, Owner, Quota, Tenant};
use chrono::{TimeDelta, TimeZone, Utc};

use super::fixture::{Nodes, on_each_engine};

const LIMIT: Duration = Duration::from_secs(60);

fn create(store: &KeyStore, quota: Quota) -> CreatedKey {
    store.create(NewKey::for_owner("alice").quota(quota)).unwrap()
}

fn check(store: &KeyStore, key: &CreatedKey, cost: u32) -> Result<(), AuthError> {
    store.check(&Attempt::new(key.key.expose_secret()).cost(cost)).map(drop)
}

/// A request that tries again while its node reserves more.
fn patiently(store: &KeyStore, key: &CreatedKey, cost: u32) -> Result<(), AuthError> {
    let end = Instant::now() + LIMIT;
    loop {
        match check(store, key, cost) {
            Err(AuthError::QuotaExceeded { retry_after, .. }) if retry_after == Duration::from_secs(1) => {
                assert!(Instant::now() < end, "no more is reserved");
                thread::sleep(Duration::from_millis(5));
            }
            answer => return answer,
        }
    }
}

#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// How often a key passes on all nodes at once until each refuses it for good.
fn use_up(nodes: &[KeyStore], key: &CreatedKey) -> u64 {
    thread::scope(|scope| {
        let work = |node| scope.spawn(move || (0..).take_while(|_| patiently(node, key, 1).is_ok()).count() as u64);
        let threads: Vec<_> = nodes.iter().map(work).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

fn used(store: &KeyStore, key: &CreatedKey) -> u64 {
    store.quota_status_of(key.info.id()).unwrap().unwrap().used()
}

on_each_engine! {
    fn three_nodes_have_one_strict_quota(nodes) {
        let nodes = nodes.three();
        let key = create(&nodes[0], Quota::total(3_000).strict());
        assert!(nodes[0].wait_for_nodes(LIMIT).is_empty());
        check(&nodes[0], &key, 30).unwrap();
        let all = 30 + use_up(&nodes, &key);
        assert_eq!(all, 3_000);
        for node in &nodes {
            assert_eq!(patiently(node, &key, 1).unwrap_err().code(), "no_uses_left");
        }
        // What is added on one node is there on all.
        nodes[1].add_uses(key.info.id(), 90).unwrap();
        assert!(nodes[1].wait_for_nodes(LIMIT).is_empty());
        assert_eq!(use_up(&nodes, &key), 90);
    }

    /// No more than a block for each node is too much, and nothing is missing.
    fn three_nodes_have_one_quota(nodes) {
        let nodes = nodes.three();
        let key = create(&nodes[0], Quota::per_month(3_000));
        assert!(nodes[0].wait_for_nodes(LIMIT).is_empty());
        for node in &nodes {
            check(node, &key, 1).unwrap();
        }
        let all = 3 + use_up(&nodes, &key);
        assert!((3_000..=3_000 + 3 * 30).contains(&all), "{all}");
        for node in &nodes {
            assert_eq!(patiently(node, &key, 1).unwrap_err().code(), "quota_exceeded");
            assert!(used(node, &key) >= 3_000);
        }
    }

    /// All keys of a tenant, on all nodes, have one quota; and what one of two refuses, nobody has used.
    fn three_nodes_have_one_quota_for_all_keys_of_a_tenant(nodes) {
        let nodes = nodes.three();
        let acme = nodes[0].tenant("acme").unwrap();
        nodes[1].put_tenant(Tenant::new("acme").quota(Quota::total(2_000).strict())).unwrap();
        nodes[2].tenant("acme").unwrap().put_owner(Owner::new("alice").quota(Quota::total(1_500).strict())).unwrap();
        let [alice, bob] = ["alice", "bob"].map(|owner| acme.create(NewKey::for_owner(owner)).unwrap());
        assert!(nodes.iter().all(|node| node.wait_for_nodes(LIMIT).is_empty()));
        assert_eq!(use_up(&nodes, &alice), 1_500);
        let left = |node: &KeyStore| node.tenant("acme").unwrap().quota_status().unwrap().unwrap().used();
        assert_eq!(use_up(&nodes, &bob), 500);
        for node in &nodes {
            assert_eq!(patiently(node, &bob, 1).unwrap_err().code(), "no_uses_left");
            assert_eq!(patiently(node, &alice, 1).unwrap_err().code(), "no_uses_left");
            assert!(left(node) >= 1_990, "{}", left(node));
        }
        // What is added on one node is there on all.
        nodes[2].tenant("acme").unwrap().add_shared_uses(60).unwrap();
        assert!(nodes[2].wait_for_nodes(LIMIT).is_empty());
        assert_eq!((use_up(&nodes, &alice), use_up(&nodes, &bob)), (0, 60));
    }

    fn a_node_that_ends_gives_back_what_it_did_not_use(nodes) {
        let strict = Quota::total(1_000).strict();
        let [one, two, three] = nodes.three();
        let key = create(&one, strict);
        assert!(one.wait_for_nodes(LIMIT).is_empty());
        for node in [&one, &two, &three] {
            patiently(node, &key, 1).unwrap();
        }
        two.close().unwrap();
        three.close().unwrap();
        let again = nodes.open("again");
        let rest = use_up(&[one, again], &key);
        assert_eq!(rest, 997, "nothing was lost");
    }

    fn a_day_begins_anew_and_a_change_keeps_what_was_used(nodes) {
        let clock = ManualClock::new(Utc.with_ymd_and_hms(2028, 2, 29, 23, 50, 30).unwrap());
        let [one, two] = ["one", "two"].map(|name| nodes.builder(name).clock(clock.clone()).temporary().unwrap());
        let plain = create(&one, Quota::per_day(200));
        let strict = create(&one, Quota::per_day(200).strict());
        assert!(one.wait_for_nodes(LIMIT).is_empty());
        for key in [&plain, &strict] {
            patiently(&one, key, 80).unwrap();
            patiently(&two, key, 80).unwrap();
        }
        eventually("the nodes know of each other", || {
            // Each asks only when it needs more.
            let _ = check(&one, &plain, 30);
            let _ = check(&two, &plain, 30);
            used(&one, &plain) >= 190 && used(&two, &plain) >= 190
        });
        // The largest part of what is left of the strict one, on either node; and no more.
        patiently(&two, &strict, 30).unwrap();
        assert_eq!(patiently(&one, &strict, 30).unwrap_err().code(), "quota_exceeded");
        one.update(strict.info.id(), KeyUpdate::new().quota(Quota::per_day(300).strict())).unwrap();
        assert!(one.wait_for_nodes(LIMIT).is_empty());
        // The other node has what it reserved for the request that it refused.
        patiently(&two, &strict, 40).unwrap();
        // A gate stays closed until its node has looked by the new time.
        clock.set(Utc.with_ymd_and_hms(2028, 3, 1, 0, 0, 1).unwrap());
        for node in [&one, &two] {
            eventually("it serves", || node.verify("none").unwrap_err() != AuthError::Unavailable);
            assert_eq!(used(node, &plain), 0);
            patiently(node, &plain, 80).unwrap();
            patiently(node, &strict, 80).unwrap();
        }
        clock.advance(TimeDelta::hours(1));
    }

    fn a_quota_that_is_removed_and_given_again_begins_at_nothing(nodes) {
        let [one, two, three] = nodes.three();
        let key = create(&one, Quota::total(100).strict());
        assert!(one.wait_for_nodes(LIMIT).is_empty());
        patiently(&two, &key, 90).unwrap();
        let set = |update: KeyUpdate| {
            one.update(key.info.id(), update).unwrap();
            assert!(one.wait_for_nodes(LIMIT).is_empty());
        };
        set(KeyUpdate::new().no_quota());
        assert!((0..200).all(|_| check(&three, &key, 1).is_ok()));
        // The janitor deletes what was reserved.
        eventually("the quota begins at nothing", || {
            set(KeyUpdate::new().quota(Quota::total(100).strict()));
            let begins = patiently(&three, &key, 90).is_ok();
            if !begins {
                set(KeyUpdate::new().no_quota());
                thread::sleep(Duration::from_millis(1_500));
            }
            begins
        });
    }
}
