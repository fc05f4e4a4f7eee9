//! A store whose key rotates by itself, and a rotator that delivers its secrets to a fake sink.

use apikey::{Clock, CreatedKey, KeyId, KeyInfo, KeyStore, ManualClock, Overlap, RotationPolicy, Rotator, RunReport};
use apikey_testkit::{alice, clocked, code, hours, info};

use crate::rotation::fake_sink::{FakeSink, Reaction};

/// Every ten hours, with an overlap of two.
pub(crate) fn policy() -> RotationPolicy {
    RotationPolicy::every(hours(10)).overlap(Overlap::For(hours(2)))
}

/// The token of a new key.
pub(crate) fn token(created: &CreatedKey) -> &str {
    created.key.expose_secret()
}

/// Runs what is due now.
pub(crate) fn run(rotator: &Rotator, clock: &ManualClock) -> RunReport {
    rotator.run_due(clock.now()).unwrap()
}

/// A store, its clock, a key that rotates, a rotator, and the sink that it delivers to.
pub(crate) struct Fixture {
    pub(crate) store: KeyStore,
    pub(crate) clock: ManualClock,
    pub(crate) key: CreatedKey,
    pub(crate) sink: FakeSink,
    pub(crate) rotator: Rotator,
}

impl Fixture {
    pub(crate) fn new(sink: FakeSink, policy: RotationPolicy) -> Self {
        let (store, clock) = clocked();
        let key = store.create(alice().rotation(policy)).unwrap();
        let rotator = Rotator::new(store.clone(), sink.clone());
        Self { store, clock, key, sink, rotator }
    }

    pub(crate) fn id(&self) -> KeyId {
        self.key.info.id()
    }

    pub(crate) fn run(&self) -> RunReport {
        run(&self.rotator, &self.clock)
    }

    pub(crate) fn code(&self, token: &str) -> &'static str {
        code(&self.store, token)
    }

    pub(crate) fn superseded(&self, token: &str) -> bool {
        self.store.verify(token).unwrap().superseded()
    }

    pub(crate) fn info(&self) -> KeyInfo {
        info(&self.store, &self.key)
    }

    pub(crate) fn pending(&self) -> Option<u32> {
        self.info().rotation().unwrap().pending()
    }

    /// Delivers a new secret that the sink stores and the store never learns of; another process starts. The secret.
    #[cfg(unix)]
    pub(crate) fn crash_in_delivery(&mut self) -> String {
        self.sink.react_with(Reaction::AcceptsThenPanics);
        self.run();
        self.die();
        self.sink.token(self.id())
    }

    /// Replaces the rotator, as if the process had died and another had started.
    #[cfg(unix)]
    pub(crate) fn die(&mut self) {
        self.rotator = Rotator::new(KeyStore::temporary().unwrap(), self.sink.clone());
        self.rotator = Rotator::new(self.store.clone(), self.sink.clone());
    }
}
