//! The counters of the feature `metrics`, as a recorder receives them: `cargo test -p apikey-metrics`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod figures;

use apikey::{KeyStore, NewKey, Overlap, Requirement};
use figures::Figures;

#[test]
fn answers_and_changes_are_counted() {
    let counters = Figures::default();
    metrics::with_local_recorder(&counters, || {
        let store = KeyStore::temporary().unwrap();
        let created = store.create(NewKey::for_owner("alice").permissions(["orders:read"])).unwrap();
        let token = created.key.expose_secret();
        (0..3).for_each(|_| assert!(store.verify(token).is_ok()));
        store.authorize(token, &Requirement::permission("orders:write").unwrap()).unwrap_err();
        store.verify("ak_nothing").unwrap_err();
        store.verify("ak_nothing").unwrap_err();
        store.rotate(created.info.id(), Overlap::None).unwrap();
        store.revoke(created.info.id(), "").unwrap();
        store.revoke(created.info.id(), "").unwrap();
        store.verify(token).unwrap_err();
    });
    let expected = [
        ("apikey_changes_total{kind=created}", 1),
        ("apikey_changes_total{kind=revoked}", 1),
        ("apikey_changes_total{kind=rotated}", 1),
        ("apikey_verifications_total{code=insufficient_permission}", 1),
        ("apikey_verifications_total{code=invalid_api_key}", 3),
        ("apikey_verifications_total{code=ok}", 3),
    ];
    assert_eq!(counters.counts(), expected.map(|(name, count)| (name.to_owned(), count)));
}
