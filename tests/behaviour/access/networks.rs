//! A key with networks verifies from these networks only.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use apikey::{
    Attempt, CreatedKey, ForwardedHeader, ImportScheme, Imported, KeyStore, KeyUpdate, ManualClock, OpenError, Overlap,
    Requirement, StoreError,
};
use apikey_testkit::{alice, clocked, code, hours, info, start};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;

use crate::proptest_config::cases;

fn from(store: &KeyStore, key: &CreatedKey, peer: &str) -> &'static str {
    let attempt = Attempt::new(key.key.expose_secret()).peer(IpAddr::from_str(peer).unwrap());
    store.check(&attempt).map_or_else(|error| error.code(), |_| "ok")
}

#[test]
fn only_from_its_networks() {
    let store = KeyStore::temporary().unwrap();
    let key = store.create(alice().networks(["10.0.0.0/8", "::1", "2001:db8::/32"])).unwrap();
    for peer in ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3", "::1", "2001:db8:ffff::1"] {
        assert_eq!(from(&store, &key, peer), "ok", "{peer}");
    }
    for peer in ["9.255.255.255", "11.0.0.0", "::2", "2001:db9::", "::ffff:11.0.0.0", "::10.0.0.1", "::"] {
        assert_eq!(from(&store, &key, peer), "address_not_allowed", "{peer}");
    }
    // Where no address is known, every call refuses it.
    let token = key.key.expose_secret();
    assert_eq!(code(&store, token), "address_not_allowed");
    assert_eq!(store.authorize(token, &Requirement::authenticated()).unwrap_err().code(), "address_not_allowed");
    let refused = store.check(&Attempt::new(token)).unwrap_err();
    assert_eq!((refused.status(), refused.to_string()), (403, "API key not allowed from this address".into()));
    let anywhere = store.create(alice()).unwrap();
    assert_eq!((from(&store, &anywhere, "8.8.8.8"), code(&store, anywhere.key.expose_secret())), ("ok", "ok"));
}

#[test]
fn networks_print_in_one_form() {
    let store = KeyStore::temporary().unwrap();
    let given = ["10.0.0.0/8", "127.0.0.1", "10.0.0.0/8", "2001:DB8:0::/48", "::ffff:10.0.0.0/104", "::ffff:127.0.0.1"];
    let key = store.create(alice().networks(given)).unwrap();
    assert_eq!(key.info.networks(), ["10.0.0.0/8", "127.0.0.1/32", "2001:db8::/48"]);
    let shown = serde_json::to_value(&key.info).unwrap();
    assert_eq!(shown["networks"][1], "127.0.0.1/32");
}

#[test]
fn a_text_that_is_no_network_is_refused() {
    let store = KeyStore::temporary().unwrap();
    let id = store.create(alice()).unwrap().info.id();
    let many: Vec<String> = (0..33).map(|at| format!("10.0.{at}.0/24")).collect();
    let faults: Vec<Vec<&str>> = vec![
        vec![],
        vec![""],
        vec!["10.0.0.1/8"],
        vec!["10.0.0.0/8", "10.0.0.0/33"],
        vec!["localhost"],
        vec!["*"],
        vec!["fe80::1%eth0"],
        vec!["010.0.0.0/8"],
        vec!["10.0.0.0/8,::1"],
        many.iter().map(String::as_str).collect(),
    ];
    for nets in faults {
        for error in [
            store.create(alice().networks(&nets)).map(drop).unwrap_err(),
            store.update(id, KeyUpdate::new().networks(&nets)).map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, StoreError::Invalid { field: "networks", .. }), "{nets:?}: {error}");
        }
    }
    assert!(store.get(id).unwrap().unwrap().networks().is_empty());
    assert_eq!(store.create(alice().networks(&many[..32])).unwrap().info.networks().len(), 32);
}

#[test]
fn changes_hold_at_once_for_every_secret() {
    let (store, _) = clocked();
    let key = store.create(alice().permissions(["a"])).unwrap();
    let id = key.info.id();
    let second = store.rotate(id, Overlap::For(hours(1))).unwrap();
    let both = |peer| (from(&store, &key, peer), from(&store, &second, peer));
    assert_eq!(both("8.8.8.8"), ("ok", "ok"));
    store.update(id, KeyUpdate::new().networks(["10.0.0.0/8"])).unwrap();
    assert_eq!(both("8.8.8.8"), ("address_not_allowed", "address_not_allowed"));
    assert_eq!(both("10.0.0.1"), ("ok", "ok"));
    store.update(id, KeyUpdate::new().networks(["::1"]).permissions(["b"])).unwrap();
    assert_eq!((both("10.0.0.1"), both("::1")), (("address_not_allowed", "address_not_allowed"), ("ok", "ok")));
    store.update(id, KeyUpdate::new().name("other")).unwrap();
    assert_eq!(both("10.0.0.1").0, "address_not_allowed");
    let third = store.rotate(id, Overlap::None).unwrap();
    assert_eq!((from(&store, &third, "10.0.0.1"), from(&store, &third, "::1")), ("address_not_allowed", "ok"));
    let info = store.update(id, KeyUpdate::new().any_network()).unwrap();
    assert_eq!((info.networks().len(), from(&store, &third, "8.8.8.8")), (0, "ok"));
}

/// A reader in the middle of a change sees the key before, the key after, or less than either.
#[test]
fn networks_and_permissions_change_together() {
    let (store, _) = clocked();
    let key = store.create(alice().permissions(["a"]).networks(["10.0.0.0/8"])).unwrap();
    let [a, b] = ["a", "b"].map(|permission| Requirement::permission(permission).unwrap());
    let ended = AtomicBool::new(false);
    let seen = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let attempt = Attempt::new(key.key.expose_secret());
                let asks =
                    |peer: u8, needs| store.check(&attempt.peer(IpAddr::from([peer, 0, 0, 1])).needs(needs)).is_ok();
                while !ended.load(Ordering::Relaxed) {
                    assert!(!asks(10, &b), "the new permission from the old network");
                    assert!(!asks(11, &a), "the old permission from the new network");
                    seen.fetch_add(usize::from(asks(10, &a)) + usize::from(asks(11, &b)), Ordering::Relaxed);
                }
            });
        }
        for _ in 0..1000 {
            for (permission, network) in [("b", "11.0.0.0/8"), ("a", "10.0.0.0/8")] {
                let update = KeyUpdate::new().permissions([permission]).networks([network]);
                store.update(key.info.id(), update).unwrap();
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert!(seen.into_inner() > 0);
}

#[test]
fn a_refused_address_does_not_count_as_a_use() {
    let (store, _) = clocked();
    let key = store.create(alice().networks(["10.0.0.0/8"])).unwrap();
    let new = store.rotate(key.info.id(), Overlap::UntilFirstUse).unwrap();
    assert_eq!(from(&store, &new, "8.8.8.8"), "address_not_allowed");
    assert_eq!(info(&store, &key).last_used_at(), None);
    assert_eq!(from(&store, &key, "10.0.0.1"), "ok", "the old secret is good until the new one is used");
    assert_eq!(from(&store, &new, "10.0.0.1"), "ok");
    assert_eq!(from(&store, &key, "10.0.0.1"), "rotated_api_key");
}

#[test]
fn networks_work_beside_the_other_side_table_entries() {
    let (store, clock) = clocked();
    let nets = ["10.0.0.0/8"];
    let raw = "legacy-7f3a9c1e5b2d4860";
    store.create(alice().networks(nets).imported(Imported::raw(raw), ImportScheme::Whole)).unwrap();
    let attempt = Attempt::new(raw);
    assert!(store.check(&attempt.peer(IpAddr::from([10, 0, 0, 1]))).is_ok());
    assert_eq!(store.check(&attempt.peer(IpAddr::from([9, 0, 0, 1]))).unwrap_err().code(), "address_not_allowed");
    let later = store.create(alice().networks(nets).not_before(start() + hours(1))).unwrap();
    assert_eq!(from(&store, &later, "9.0.0.1"), "inactive_api_key", "the key's state comes first");
    clock.advance(hours(1));
    assert_eq!((from(&store, &later, "9.0.0.1"), from(&store, &later, "10.0.0.1")), ("address_not_allowed", "ok"));
    store.update(later.info.id(), KeyUpdate::new().expires_at(start() + hours(3))).unwrap();
    let second = store.rotate(later.info.id(), Overlap::For(hours(4))).unwrap();
    assert_eq!(from(&store, &second, "9.0.0.1"), "address_not_allowed");
    assert_eq!(from(&store, &later, "9.0.0.1"), "address_not_allowed");
    clock.advance(hours(3));
    assert_eq!(from(&store, &later, "10.0.0.1"), "expired_api_key");
}

#[test]
fn networks_are_stored() {
    let directory = tempfile::tempdir().unwrap();
    let open = || KeyStore::builder().clock(ManualClock::new(start())).open(directory.path().join("keys")).unwrap();
    let store = open();
    let key = store.create(alice().networks(["10.0.0.0/8"])).unwrap();
    store.close().unwrap();
    let store = open();
    assert_eq!(info(&store, &key).networks(), ["10.0.0.0/8"]);
    assert_eq!((from(&store, &key, "9.0.0.1"), from(&store, &key, "10.0.0.1")), ("address_not_allowed", "ok"));
}

#[test]
fn proxies_are_named_in_the_builder() {
    let store = KeyStore::builder()
        .trusted_proxies(["10.0.0.0/8", "::1"])
        .forwarded_header(ForwardedHeader::Forwarded)
        .temporary()
        .unwrap();
    let sent: [&[u8]; 2] = [b"for=127.0.0.1", b"for=\"[2001:db8::1]:80\", for=10.0.0.9"];
    let peer = |socket: [u8; 4]| store.header_config().peer(Some(socket.into()), |_| sent).to_string();
    assert_eq!((peer([10, 0, 0, 1]), peer([8, 8, 8, 8])), ("2001:db8::1".into(), "8.8.8.8".into()));
    let refused = KeyStore::builder().trusted_proxies(["10.0.0.1/8"]).temporary();
    let Err(OpenError::Config(what)) = refused else { panic!() };
    assert!(what.contains("10.0.0.1/8"), "{what}");
}

fn net() -> impl Strategy<Value = IpNet> {
    // Few addresses, so that many peers lie at the edges of networks.
    let v4 = (0u32..64, 24u8..=32).prop_map(|(host, prefix)| Ipv4Net::new(host.into(), prefix).unwrap().trunc().into());
    let v6 =
        (0u128..64, 120u8..=128).prop_map(|(host, prefix)| Ipv6Net::new(host.into(), prefix).unwrap().trunc().into());
    prop_oneof![v4, v6]
}

fn peer() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0u32..70).prop_map(|host| IpAddr::V4(host.into())),
        (0u128..70).prop_map(|host| IpAddr::V6(host.into())),
        (0u128..70).prop_map(|host| IpAddr::V6((host | 0xffff_0000_0000).into())),
    ]
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn a_key_is_good_where_its_networks_are(
        nets in proptest::collection::vec(proptest::collection::vec(net(), 1..6), 1..4),
        peers in proptest::collection::vec(peer(), 1..20),
    ) {
        let store = KeyStore::temporary().unwrap();
        let texts = |nets: &[IpNet]| nets.iter().map(IpNet::to_string).collect::<Vec<_>>();
        let key = store.create(alice().networks(texts(&nets[0]))).unwrap();
        for nets in &nets {
            store.update(key.info.id(), KeyUpdate::new().networks(texts(nets))).unwrap();
            for peer in &peers {
                let is_in = nets.iter().any(|net| net.contains(&peer.to_canonical()));
                let attempt = Attempt::new(key.key.expose_secret()).peer(*peer);
                prop_assert_eq!(store.check(&attempt).is_ok(), is_in, "{} in {:?}", peer, nets);
            }
        }
    }
}
