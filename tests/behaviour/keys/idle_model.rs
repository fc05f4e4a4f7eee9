//! A key that may be idle against a model of it: random uses, changes, rotations, restarts and restores.

use apikey::{Conflict, CreatedKey, KeyState, KeyStore, KeyUpdate, ManualClock, Overlap, Restore, StoreError};
use apikey_testkit::{alice, code, hours, info, start};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use crate::proptest_config::cases;

#[derive(Debug, Clone)]
enum Step {
    Advance(i64),
    Use,
    Set(i64),
    Clear,
    Disable(bool),
    Rename,
    Rotate,
    Reopen,
    Restore,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..30i64).prop_map(Step::Advance),
        6 => Just(Step::Use),
        2 => (1..60i64).prop_map(Step::Set),
        1 => Just(Step::Clear),
        3 => any::<bool>().prop_map(Step::Disable),
        1 => Just(Step::Rename),
        2 => Just(Step::Rotate),
        2 => Just(Step::Reopen),
        1 => Just(Step::Restore),
    ]
}

/// The key as the documentation describes it.
struct Model {
    directory: tempfile::TempDir,
    clock: ManualClock,
    now: DateTime<Utc>,
    store: Option<KeyStore>,
    /// The number of the store, of which each restore makes another.
    number: usize,
    key: CreatedKey,
    /// The idle time, and from when on it counts.
    idle: Option<(TimeDelta, DateTime<Utc>)>,
    used: Option<DateTime<Utc>>,
    disabled: bool,
}

impl Model {
    fn new() -> Self {
        let (directory, clock) = (tempfile::tempdir().unwrap(), ManualClock::new(start()));
        let store = KeyStore::builder().clock(clock.clone()).open(directory.path().join("0")).unwrap();
        let key = store.create(alice().idle_after(hours(40))).unwrap();
        let idle = Some((hours(40), start()));
        Self { directory, clock, now: start(), store: Some(store), number: 0, key, idle, used: None, disabled: false }
    }

    fn store(&self) -> &KeyStore {
        self.store.as_ref().unwrap()
    }

    fn open(&mut self) {
        let path = self.directory.path().join(self.number.to_string());
        self.store = Some(KeyStore::builder().clock(self.clock.clone()).open(path).unwrap());
    }

    fn idle_at(&self) -> Option<DateTime<Utc>> {
        self.idle.map(|(span, since)| self.used.map_or(since, |used| used.max(since)) + span)
    }

    fn state(&self) -> KeyState {
        match self.idle_at() {
            _ if self.disabled => KeyState::Disabled,
            Some(end) if end <= self.now => KeyState::Idle,
            _ => KeyState::Active,
        }
    }

    fn update(&self, update: KeyUpdate) {
        self.store().update(self.key.info.id(), update).unwrap();
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Advance(by) => {
                self.now += hours(*by);
                self.clock.set(self.now);
            }
            Step::Use => {
                let expected = match self.state() {
                    KeyState::Disabled => "disabled_api_key",
                    KeyState::Idle => "idle_api_key",
                    _ => "ok",
                };
                assert_eq!(code(self.store(), self.key.key.expose_secret()), expected);
                if expected == "ok" {
                    self.used = Some(self.now);
                }
            }
            Step::Set(span) => {
                self.update(KeyUpdate::new().idle_after(hours(*span)));
                self.idle = Some((hours(*span), self.now));
            }
            Step::Clear => {
                self.update(KeyUpdate::new().no_idle_after());
                self.idle = None;
            }
            Step::Disable(disabled) => {
                self.update(KeyUpdate::new().disabled(*disabled));
                if self.disabled && !disabled {
                    self.idle = self.idle.map(|(span, _)| (span, self.now));
                }
                self.disabled = *disabled;
            }
            Step::Rename => self.update(KeyUpdate::new().name(format!("at {}", self.now))),
            Step::Rotate => match self.store().rotate(self.key.info.id(), Overlap::None) {
                Ok(rotated) => {
                    assert_ne!(self.state(), KeyState::Idle);
                    self.key = rotated;
                }
                Err(error) => {
                    assert!(matches!(error, StoreError::Conflict(Conflict::Idle)), "{error}");
                    assert_eq!(self.state(), KeyState::Idle);
                }
            },
            Step::Reopen => {
                self.store.take().unwrap().close().unwrap();
                self.open();
            }
            Step::Restore => {
                let store = self.store.take().unwrap();
                self.number += 1;
                let path = |name: String| self.directory.path().join(name);
                let backup = path(format!("{}.backup", self.number));
                store.backup(&backup).unwrap();
                store.close().unwrap();
                let restore = Restore::new(backup, path(self.number.to_string())).clock(self.clock.clone());
                KeyStore::restore(&restore.over(path((self.number - 1).to_string()))).unwrap();
                self.open();
            }
        }
        let found = info(self.store(), &self.key);
        assert_eq!(found.idle_after(), self.idle.map(|(span, _)| span));
        assert_eq!((found.idle_at(), found.last_used_at()), (self.idle_at(), self.used));
        assert_eq!(found.state(self.now), self.state());
    }
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn a_key_is_idle_when_the_model_says_so(steps in prop::collection::vec(step(), 1..40)) {
        let mut model = Model::new();
        for step in &steps {
            model.step(step);
        }
    }
}
