//! Calls that wait on a node share an entry, and each gets its own answer.

use std::thread::{Scope, ScopedJoinHandle, scope};
use std::time::{Duration, Instant};

use super::faulty::Faulty;
use super::{eventually, node};
use crate::cluster::{Cluster, Ledger, Logged, MemoryLedger};
use crate::index::first_use::Promotion;
use crate::{AuthError, ClusterError, KeyFilter, KeyId, KeyStore, KeyUpdate, NewKey, Propagation, StoreError};

/// Two nodes, of which the first has a ledger that a test disturbs.
struct Fixture {
    memory: MemoryLedger,
    ledger: Faulty,
    one: KeyStore,
    other: KeyStore,
}

impl Fixture {
    fn new(write_timeout: Duration) -> Self {
        let memory = MemoryLedger::new();
        let ledger = Faulty::new(&memory);
        let cluster = Cluster::new(ledger.clone()).name("one").write_timeout(write_timeout);
        let one = KeyStore::builder().cluster(cluster).temporary().unwrap().propagating(Propagation::Here);
        let other = node(&memory, "other").propagating(Propagation::Here);
        Self { memory, ledger, one, other }
    }

    fn entries(&self) -> Vec<Logged> {
        self.memory.read(1, 0, usize::MAX, Instant::now()).unwrap()
    }

    fn waiting(&self) -> usize {
        self.one.inner().engine.order().unwrap().waiting()
    }

    /// Makes appends wait, and a first call wait there; what begins now waits in the line.
    fn hold<'s>(&'s self, scope: &'s Scope<'s, '_>) {
        self.ledger.hold_appends(true);
        scope.spawn(|| self.one.create(NewKey::for_owner("first")).unwrap());
        eventually("the first append waits", || self.ledger.came() == 1);
    }

    /// Begins a call, and returns once it is in the line.
    fn begin<'s, T: Send + 's>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        call: impl FnOnce(&KeyStore) -> T + Send + 's,
    ) -> ScopedJoinHandle<'s, T> {
        let before = self.waiting();
        let begun = scope.spawn(move || call(&self.one));
        eventually("the call is in the line", || self.waiting() == before + 1);
        begun
    }

    /// Both have the same events, and this holds on both.
    fn agree(&self, what: &str, is_so: impl Fn(&KeyStore) -> bool) {
        eventually(what, || {
            let heads = [&self.one, &self.other].map(|store| store.inner().engine.writer().head());
            heads[0] == heads[1] && is_so(&self.one) && is_so(&self.other)
        });
        let report = self.other.verify_events().unwrap();
        assert!(report.is_whole(), "{report:?}");
    }
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn calls_that_wait_share_an_entry_and_each_gets_its_own_answer() {
    let fixture = Fixture::new(LONG);
    let keys: Vec<_> = (0..3).map(|_| fixture.one.create(NewKey::for_owner("alice")).unwrap()).collect();
    let id = |at: usize| keys[at].info.id();
    let before = fixture.entries().len();
    let created = scope(|scope| {
        fixture.hold(scope);
        let revoked = fixture.begin(scope, |store| store.revoke(id(0), "leaked"));
        let again = fixture.begin(scope, |store| store.revoke(id(0), "again"));
        let unknown = fixture.begin(scope, |store| store.revoke(KeyId::from_u128(1), "none"));
        let of_revoked = fixture.begin(scope, |store| store.rotate(id(0), crate::Overlap::None));
        let updated = fixture.begin(scope, |store| store.update(id(1), KeyUpdate::new().name("first")));
        let disabled = fixture.begin(scope, |store| store.update(id(1), KeyUpdate::new().disabled(true)));
        let created: Vec<_> =
            (0..4).map(|_| fixture.begin(scope, |store| store.create(NewKey::for_owner("bob")))).collect();
        let all = fixture.begin(scope, |store| store.revoke_owner("bob", "left"));
        fixture.ledger.hold_appends(false);
        assert!(revoked.join().unwrap().unwrap());
        assert!(!again.join().unwrap().unwrap(), "it sees the one before it");
        assert!(matches!(unknown.join().unwrap(), Err(StoreError::NotFound(_))));
        assert!(matches!(of_revoked.join().unwrap(), Err(StoreError::Conflict(_))));
        assert_eq!(updated.join().unwrap().unwrap().name(), Some("first"));
        let both = disabled.join().unwrap().unwrap();
        assert!(both.name() == Some("first") && both.disabled(), "{both:?}");
        let created: Vec<_> = created.into_iter().map(|created| created.join().unwrap().unwrap()).collect();
        assert_eq!(all.join().unwrap().unwrap(), 4, "it sees those that were created before it");
        created
    });
    let entries = fixture.entries();
    let events: Vec<_> = entries[before..].iter().map(|entry| entry.last.number + 1 - entry.first).collect();
    assert_eq!(events[..2], [1, 1 + 2 + 4 + 4], "the first call, and one entry for all others");
    let refused = |store: &KeyStore, token: &crate::CreatedKey| store.verify(token.key.expose_secret()).err();
    fixture.agree("they agree", |store| {
        created.iter().chain(&keys[..1]).all(|key| refused(store, key) == Some(AuthError::Revoked))
            && refused(store, &keys[1]) == Some(AuthError::Disabled)
            && refused(store, &keys[2]).is_none()
    });
}

#[test]
fn a_repeated_request_finds_the_one_before_it() {
    let fixture = Fixture::new(LONG);
    let request = || NewKey::for_owner("alice").idempotency_key("order 7");
    let ids = scope(|scope| {
        fixture.hold(scope);
        let calls: Vec<_> = (0..3).map(|_| fixture.begin(scope, |store| store.create(request()).unwrap())).collect();
        fixture.ledger.hold_appends(false);
        calls.into_iter().map(|call| call.join().unwrap().info.id()).collect::<Vec<_>>()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let count = |store: &KeyStore| store.list(&KeyFilter::owner("alice")).unwrap().keys.len();
    fixture.agree("there is one key", |store| count(store) == 1);
}

#[test]
fn after_a_lost_race_all_decide_again() {
    let fixture = Fixture::new(LONG);
    let key = fixture.one.create(NewKey::for_owner("alice")).unwrap();
    let id = key.info.id();
    let is_there = || fixture.other.get(id).unwrap().is_some();
    eventually("the other node has it", is_there);
    scope(|scope| {
        fixture.hold(scope);
        let revoked = fixture.begin(scope, |store| store.revoke(id, "here"));
        let created = fixture.begin(scope, |store| store.create(NewKey::for_owner("bob")).unwrap());
        fixture.ledger.pass_one();
        eventually("their entry is on its way", || fixture.ledger.came() == 2);
        let refused = fixture.one.verify(key.key.expose_secret()).err();
        assert_eq!(refused, Some(AuthError::Revoked), "it is in force here at once");
        assert!(fixture.other.revoke(id, "there").unwrap());
        fixture.ledger.hold_appends(false);
        assert!(!revoked.join().unwrap().unwrap(), "the other node was first");
        let created = created.join().unwrap();
        eventually("the other node has it", || fixture.other.verify(created.key.expose_secret()).is_ok());
    });
    let reason = |store: &KeyStore| store.get(id).unwrap().unwrap().revoked().unwrap().reason().to_owned();
    fixture.agree("they agree", |store| reason(store) == "there");
}

#[test]
fn what_has_no_answer_has_none_for_all_and_is_in_the_log_once() {
    let fixture = Fixture::new(Duration::from_secs(3));
    let key = fixture.one.create(NewKey::for_owner("alice")).unwrap();
    scope(|scope| {
        fixture.hold(scope);
        let created: Vec<_> =
            (0..3).map(|_| fixture.begin(scope, |store| store.create(NewKey::for_owner("bob")))).collect();
        let revoked = fixture.begin(scope, |store| store.revoke(key.info.id(), "leaked"));
        fixture.ledger.pass_one();
        eventually("their entry is on its way", || fixture.ledger.came() == 2);
        fixture.ledger.lose_answers(true);
        fixture.ledger.hold_appends(false);
        for call in created {
            let answer = call.join().unwrap();
            assert!(matches!(answer, Err(StoreError::Cluster(ClusterError::Unknown { .. }))), "{answer:?}");
        }
        // The node may have read its own entry meanwhile, and then it keeps nothing.
        let answer = revoked.join().unwrap();
        let is_unknown = |error: &ClusterError| matches!(error, ClusterError::Unknown { .. });
        let is_kept = |error: &ClusterError| matches!(error, ClusterError::OnlyHere { is_kept: true, .. });
        assert!(
            matches!(&answer, Err(StoreError::Cluster(error)) if is_unknown(error) || is_kept(error)),
            "{answer:?}"
        );
        assert_eq!(fixture.one.verify(key.key.expose_secret()).err(), Some(AuthError::Revoked));
    });
    fixture.ledger.lose_answers(false);
    fixture.one.create(NewKey::for_owner("carol")).unwrap();
    let count = |store: &KeyStore, owner: &str| store.list(&KeyFilter::owner(owner)).unwrap().keys.len();
    eventually("nothing is kept", || fixture.one.health().cluster.unwrap().only_here == 0);
    fixture.agree("each change is there once", |store| {
        (count(store, "bob"), count(store, "carol")) == (3, 1)
            && store.verify(key.key.expose_secret()).err() == Some(AuthError::Revoked)
    });
}

#[test]
fn a_revocation_goes_before_an_import_that_waits() {
    let fixture = Fixture::new(LONG);
    let key = fixture.one.create(NewKey::for_owner("alice")).unwrap();
    let before = fixture.entries().len();
    scope(|scope| {
        fixture.hold(scope);
        let many = fixture.begin(scope, |store| store.create_many((0..100).map(|_| NewKey::for_owner("bob"))));
        let revoked = fixture.begin(scope, |store| store.revoke(key.info.id(), "leaked"));
        fixture.ledger.hold_appends(false);
        assert!(revoked.join().unwrap().unwrap());
        assert_eq!(many.join().unwrap().unwrap().len(), 100);
    });
    let entries = fixture.entries();
    let events: Vec<_> = entries[before..].iter().map(|entry| entry.last.number + 1 - entry.first).collect();
    assert_eq!(events, [1, 1, 100], "the first call, the revocation, and the keys in an entry of their own");
}

/// What the entry does to a key that acts in it counts for the calls behind.
#[test]
fn a_key_acts_as_the_calls_before_it_leave_it() {
    let fixture = Fixture::new(LONG);
    let admin = NewKey::for_owner("alice").permissions(["keys:write", "orders:read", "orders:write"]);
    let admin = fixture.one.create(admin).unwrap();
    let acting = fixture.one.verify(admin.key.expose_secret()).unwrap();
    let id = admin.info.id();
    let give = |permission: &str| NewKey::for_owner("alice").permissions([permission]).within(&acting);
    scope(|scope| {
        fixture.hold(scope);
        let narrowed = fixture.begin(scope, |store| {
            store.update(id, KeyUpdate::new().permissions(["keys:write", "orders:read"])).unwrap()
        });
        let wide = fixture.begin(scope, |store| store.create(give("orders:write")));
        let narrow = fixture.begin(scope, |store| store.create(give("orders:read")));
        let revoked = fixture.begin(scope, |store| store.revoke(id, "leaked"));
        let late = fixture.begin(scope, |store| store.create(give("orders:read")));
        fixture.ledger.hold_appends(false);
        narrowed.join().unwrap();
        assert!(matches!(wide.join().unwrap(), Err(StoreError::Exceeds(_))));
        assert!(narrow.join().unwrap().is_ok());
        assert!(revoked.join().unwrap().unwrap());
        assert!(matches!(late.join().unwrap(), Err(StoreError::Exceeds(_))));
    });
    let refused = |store: &KeyStore| store.verify(admin.key.expose_secret()).err();
    fixture.agree("they agree", |store| refused(store) == Some(AuthError::Revoked));
}

#[test]
fn what_the_first_use_of_a_secret_has_ended_stays_so_when_another_node_replaces_the_secret() {
    let fixture = Fixture::new(LONG);
    let old = fixture.one.create(NewKey::for_owner("alice")).unwrap();
    let id = old.info.id();
    fixture.one.rotate(id, crate::Overlap::UntilFirstUse).unwrap();
    let newest = fixture.one.rotate(id, crate::Overlap::UntilFirstUse).unwrap();
    assert!(fixture.one.verify(old.key.expose_secret()).is_ok());
    let engine = &fixture.one.inner().engine;
    let record = engine.log.open().unwrap().record(id.as_u128()).unwrap().unwrap().0;
    let ended = record.secrets.first().map(|secret| secret.digest);
    // The second rotation was of another node, and the secret of the first had been used here.
    engine.first_uses.note(id.as_u128(), newest.info.version() - 1, || Some(Promotion { ended }));
    fixture.agree("the old secret has ended", |store| store.verify(old.key.expose_secret()).is_err());
    fixture.agree("the newest is valid", |store| store.verify(newest.key.expose_secret()).is_ok());
}

#[test]
fn a_first_use_that_the_record_has_waits_no_longer() {
    let fixture = Fixture::new(LONG);
    let created = fixture.one.create(NewKey::for_owner("alice")).unwrap();
    let engine = &fixture.one.inner().engine;
    for _ in 0..2 {
        engine.first_uses.note(created.info.id().as_u128(), 1, || Some(Promotion { ended: None }));
        eventually("nothing waits", || engine.first_uses.waiting().is_empty());
    }
    assert_eq!(fixture.entries().len(), 2, "the second time the record has it");
}
