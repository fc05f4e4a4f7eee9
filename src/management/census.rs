//! How many keys there are in each state, and how many need somebody.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use apikey_core::{KeyFilter, KeyInfo, KeyState, KeyStore, MAX_PAGE, StoreError};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

/// How old a count may be that is shown again, at least; and how many times as old as it took.
const MIN_AGE: Duration = Duration::from_secs(60);
const REST: u32 = 20;

/// Numbers of keys.
#[derive(Debug, Clone)]
pub(super) struct Counts {
    at: DateTime<Utc>,
    by_state: [u64; KeyState::ALL.len()],
    /// The active keys that end within 30 days.
    expiring: u64,
    /// The active keys that nobody has used for 90 days.
    idle: u64,
    /// The active keys that were rotated, and whose old secret is still valid.
    old_secrets: u64,
}

impl Counts {
    pub(super) fn new(at: DateTime<Utc>) -> Self {
        Self { at, by_state: [0; KeyState::ALL.len()], expiring: 0, idle: 0, old_secrets: 0 }
    }

    pub(super) fn add(&mut self, key: &KeyInfo) {
        let state = key.state(self.at);
        if let Some((_, count)) = KeyState::ALL.iter().zip(&mut self.by_state).find(|(one, _)| **one == state) {
            *count += 1;
        }
        if state != KeyState::Active {
            return;
        }
        // As the filters of `GET /keys` select them.
        let soon = self.at + TimeDelta::days(30);
        self.expiring += u64::from([key.expires_at(), key.idle_at()].into_iter().flatten().any(|end| end < soon));
        let used = key.last_used_at().unwrap_or(key.created_at());
        self.idle += u64::from(used < self.at - TimeDelta::days(90));
        self.old_secrets += u64::from(key.overlap().is_some());
    }

    pub(super) fn document(&self) -> Map<String, Value> {
        let states = KeyState::ALL.iter().zip(self.by_state);
        let states: Map<String, Value> = states.map(|(state, count)| (state.name().to_owned(), count.into())).collect();
        let mut document = Map::new();
        document.insert("states".into(), states.into());
        document.insert("expiring".into(), self.expiring.into());
        document.insert("idle".into(), self.idle.into());
        document.insert("old_secrets".into(), self.old_secrets.into());
        document.insert("counted_at".into(), json!(self.at));
        document
    }
}

/// The counts of a whole store that has more keys than a request may read. A thread makes them, at most half of the time of one,
/// while somebody asks for them.
#[derive(Debug, Default)]
pub(super) struct Census(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counts: Option<Counts>,
    /// When they were made, and how long that took.
    ended: Option<(Instant, Duration)>,
    is_counting: bool,
}

impl Census {
    /// The last counts; begins to count again if they are old, or there are none yet.
    pub(super) fn counts(self: &Arc<Self>, store: &KeyStore) -> Option<Counts> {
        let mut state = self.lock();
        let is_old = state.ended.is_none_or(|(at, took)| at.elapsed() > MIN_AGE.max(took.saturating_mul(REST)));
        if is_old && !state.is_counting {
            let (census, store) = (Arc::downgrade(self), store.clone());
            let thread = thread::Builder::new().name("apikey-count".into());
            match thread.spawn(move || run(&census, &store)) {
                Ok(_) => state.is_counting = true,
                Err(error) => tracing::error!(%error, "the thread that counts keys does not start"),
            }
        }
        state.counts.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(census: &Weak<Census>, store: &KeyStore) {
    let begun = Instant::now();
    // Without an answer after a panic nobody would count again.
    let counts = catch_unwind(AssertUnwindSafe(|| count(census, store))).unwrap_or(Ok(None));
    let Some(census) = census.upgrade() else { return };
    let mut state = census.lock();
    state.is_counting = false;
    state.ended = Some((Instant::now(), begun.elapsed()));
    match counts {
        Ok(Some(counts)) => state.counts = Some(counts),
        Ok(None) | Err(StoreError::Closed) => {}
        Err(error) => tracing::warn!(%error, "the keys could not be counted"),
    }
}

/// Counts all keys; `None` if nobody is there to ask any more.
fn count(census: &Weak<Census>, store: &KeyStore) -> Result<Option<Counts>, StoreError> {
    let mut counts = Counts::new(store.now());
    let mut filter = KeyFilter::default().limit(MAX_PAGE);
    loop {
        let begun = Instant::now();
        let page = store.list(&filter)?;
        page.keys.iter().for_each(|key| counts.add(key));
        let Some(next) = page.next else { return Ok(Some(counts)) };
        filter = filter.after(next);
        if census.strong_count() == 0 {
            return Ok(None);
        }
        // It is in nobody's way.
        thread::sleep(begun.elapsed());
    }
}
