//! What a first use has ended stays so, whatever another node decides before it knows of the use.

use super::faulty::Faulty;
use super::{eventually, node};
use crate::cluster::{Cluster, MemoryLedger};
use crate::commit::cluster::propagation::Terms;
use crate::key::change::Action;
use crate::key::record::SecretEnd;
use crate::{CreatedKey, EventFilter, EventKind, KeyStore, NewKey, Overlap, Propagation};

/// Two nodes. The first one's entries wait on their way while a test wants it.
struct Fixture {
    ledger: Faulty,
    one: KeyStore,
    other: KeyStore,
    old: CreatedKey,
}

impl Fixture {
    fn new() -> Self {
        let memory = MemoryLedger::new();
        let ledger = Faulty::new(&memory);
        let of_one = Cluster::new(ledger.clone()).name("one");
        let one = KeyStore::builder().cluster(of_one).temporary().unwrap().propagating(Propagation::Here);
        let other = node(&memory, "other").propagating(Propagation::Here);
        let old = one.create(NewKey::for_owner("alice")).unwrap();
        Self { ledger, one, other, old }
    }

    fn number(&self, store: &KeyStore) -> u64 {
        store.inner().engine.writer().head().number
    }

    fn agree(&self) {
        eventually("both have the same", || self.number(&self.one) == self.number(&self.other));
    }

    /// Stages a secret until its first use, and returns its token.
    fn stage(&self, store: &KeyStore) -> String {
        let (inner, id) = (store.inner(), self.old.info.id());
        let mut token = None;
        let staged = inner.engine.change_on(Terms::HERE, |writer, _| {
            let (new, secret) = inner.new_secret(id, writer)?;
            token = Some(new);
            Ok(vec![inner.engine.change_of(id.as_u128(), Action::Stage { secret, overlap_ms: None, doubtful: false })])
        });
        staged.unwrap();
        token.unwrap().expose_secret().to_owned()
    }

    /// The first use of a token on the first node ends the old secret there, and waits. Another node makes a change
    /// before it knows of that.
    fn use_while_another_node(&self, token: &str, change: impl FnOnce(&KeyStore)) {
        self.agree();
        self.ledger.hold_appends(true);
        assert!(self.one.verify(token).is_ok());
        assert!(self.is_over(&self.one));
        let before = self.number(&self.one);
        change(&self.other);
        assert!(!self.is_over(&self.other), "it does not know");
        eventually("the first node has the change", || self.number(&self.one) > before);
        assert!(self.one.verify(token).is_err(), "the change has replaced the secret");
        assert!(self.is_over(&self.one), "the old secret came back");
        self.ledger.hold_appends(false);
        eventually("the old secret has ended everywhere", || self.is_over(&self.one) && self.is_over(&self.other));
        self.agree();
        let events = self.other.events(&EventFilter::default().kind("first_used")).unwrap().events;
        let ended = events.iter().map(|event| match event.kind() {
            EventKind::FirstUsed { version: 2, ended } => ended.clone(),
            other => panic!("{other:?}"),
        });
        assert_eq!(ended.collect::<Vec<_>>(), [[1]]);
    }

    /// Whether the old secret has ended.
    fn is_over(&self, store: &KeyStore) -> bool {
        store.verify(self.old.key.expose_secret()).is_err()
    }
}

#[test]
fn what_a_first_use_has_ended_gets_no_overlap() {
    let fixture = Fixture::new();
    let id = fixture.old.info.id();
    let new = fixture.one.rotate(id, Overlap::UntilFirstUse).unwrap();
    let hour = Overlap::For(chrono::TimeDelta::hours(1));
    fixture.use_while_another_node(new.key.expose_secret(), |other| drop(other.rotate(id, hour).unwrap()));
}

#[test]
fn a_first_use_that_ended_nothing_takes_nothing_when_another_node_replaces_the_secret() {
    let fixture = Fixture::new();
    let id = fixture.old.info.id();
    let new = fixture.one.rotate(id, Overlap::For(chrono::TimeDelta::hours(1))).unwrap();
    fixture.agree();
    fixture.ledger.hold_appends(true);
    assert!(fixture.one.verify(new.key.expose_secret()).is_ok());
    let newest = fixture.other.rotate(id, Overlap::UntilFirstUse).unwrap();
    fixture.agree();
    fixture.ledger.hold_appends(false);
    eventually("no use waits", || fixture.one.inner().engine.first_uses.waiting().is_empty());
    fixture.agree();
    assert!([&fixture.one, &fixture.other].iter().all(|store| !fixture.is_over(store)));
    assert!(fixture.one.verify(newest.key.expose_secret()).is_ok() && fixture.is_over(&fixture.one));
}

#[test]
fn what_a_first_use_has_ended_stays_so_when_another_secret_is_staged() {
    let fixture = Fixture::new();
    let token = fixture.stage(&fixture.one);
    fixture.use_while_another_node(&token, |other| drop(fixture.stage(other)));
    let held = fixture.other.get(fixture.old.info.id()).unwrap().unwrap();
    assert!(held.has_secret() && held.version() == 3, "{held:?}");
    let record = fixture.one.inner().engine.log.open().unwrap().record(fixture.old.info.id().as_u128()).unwrap();
    let ends: Vec<_> = record.unwrap().0.secrets.iter().map(|secret| secret.end).collect();
    assert_eq!(ends, [SecretEnd::Pending { overlap_ms: None }]);
}
