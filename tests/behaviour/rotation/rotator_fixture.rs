//! A desk that takes secrets as it is told to, and a store whose key rotates by itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use apikey::{
    ApiKey, Clock, CreatedKey, Delivery, KeyId, KeyInfo, KeyStore, ManualClock, Overlap, RotationPolicy, Rotator,
    RunReport, SecretSink, SinkError, SinkState,
};
use apikey_testkit::{alice, clocked, code, hours, info};

/// A sink that says what it holds, or not, and refuses or dies when it is told to.
#[derive(Clone, Default)]
pub(crate) struct Desk(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    held: BTreeMap<KeyId, ApiKey>,
    deliveries: Vec<(KeyId, u32)>,
    says: bool,
    then: Then,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) enum Then {
    #[default]
    Takes,
    Refuses,
    /// Panics before it has taken the secret, which is to the store as if the process died: nothing follows.
    Panics,
    /// Takes it, and panics.
    TakesAndPanics,
}

impl Desk {
    pub(crate) fn that_says() -> Self {
        let desk = Self::default();
        desk.0.lock().unwrap().says = true;
        desk
    }

    pub(crate) fn then(&self, then: Then) {
        self.0.lock().unwrap().then = then;
    }

    pub(crate) fn token(&self, key: KeyId) -> String {
        self.0.lock().unwrap().held[&key].expose_secret().to_owned()
    }

    pub(crate) fn held(&self) -> Vec<String> {
        self.0.lock().unwrap().held.values().map(|token| token.expose_secret().to_owned()).collect()
    }

    pub(crate) fn versions(&self) -> Vec<u32> {
        self.0.lock().unwrap().deliveries.iter().map(|(_, version)| *version).collect()
    }
}

impl SecretSink for Desk {
    fn deliver(&self, delivery: &Delivery<'_>) -> Result<(), SinkError> {
        let id = delivery.info().id();
        let then = {
            let mut inside = self.0.lock().unwrap();
            inside.deliveries.push((id, delivery.info().version()));
            if matches!(inside.then, Then::Takes | Then::TakesAndPanics) {
                inside.held.insert(id, delivery.key().clone());
            }
            inside.then
        };
        match then {
            Then::Takes => Ok(()),
            Then::Refuses => Err(SinkError::other(format!("no {}!", delivery.key().expose_secret()))),
            Then::Panics | Then::TakesAndPanics => panic!("the desk broke with {}", delivery.key().expose_secret()),
        }
    }

    fn current(&self, info: &KeyInfo) -> Result<SinkState, SinkError> {
        let inside = self.0.lock().unwrap();
        if !inside.says {
            return Ok(SinkState::Unknown);
        }
        if inside.then == Then::Refuses {
            return Err(SinkError::other("no answer"));
        }
        Ok(inside.held.get(&info.id()).cloned().map_or(SinkState::Nothing, SinkState::Token))
    }
}

pub(crate) fn policy() -> RotationPolicy {
    RotationPolicy::every(hours(10)).overlap(Overlap::For(hours(2)))
}

pub(crate) fn token(created: &CreatedKey) -> &str {
    created.key.expose_secret()
}

pub(crate) fn run(rotator: &Rotator, clock: &ManualClock) -> RunReport {
    rotator.run_due(clock.now()).unwrap()
}

/// A store, its clock, a key that rotates, and a rotator that hands its secrets to a desk.
pub(crate) struct Scene {
    pub(crate) store: KeyStore,
    pub(crate) clock: ManualClock,
    pub(crate) key: CreatedKey,
    pub(crate) desk: Desk,
    pub(crate) rotator: Rotator,
}

impl Scene {
    pub(crate) fn new(desk: Desk, policy: RotationPolicy) -> Self {
        let (store, clock) = clocked();
        let key = store.create(alice().rotation(policy)).unwrap();
        let rotator = Rotator::new(store.clone(), desk.clone());
        Self { store, clock, key, desk, rotator }
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

    /// The process dies, and another begins.
    pub(crate) fn die(&mut self) {
        self.rotator = Rotator::new(KeyStore::temporary().unwrap(), self.desk.clone());
        self.rotator = Rotator::new(self.store.clone(), self.desk.clone());
    }
}
