//! What the process under test does: random changes from several threads, each said before and after.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock};

use apikey::{Conflict, KeyId, KeyStore, KeyUpdate, NewKey, Overlap, StoreError};
use chrono::{TimeDelta, Utc};

use crate::model::{Lap, Line, Op, Outcome, Said};
use crate::random::Random;

pub(crate) const GRANTS: [&str; 4] = ["orders:read", "orders:write", "users:read", "users:write"];
pub(crate) const THREADS: usize = 3;
/// Above this a thread rather takes keys away.
const MANY: usize = 14;

/// Entries of metadata, as many as a key may have, of 16 KiB together.
const MOST_ENTRIES: usize = 32;

pub(crate) fn entries(count: usize) -> impl Iterator<Item = (String, String)> {
    (0..count).map(|at| (format!("entry-{at}"), "x".repeat(500)))
}

/// Where it is said: one write for each line, so that a kill leaves whole lines.
pub(crate) type Voice = Mutex<Box<dyn Write + Send>>;

/// Runs the threads, each until it has done so many operations, or one was refused by the disk.
/// `begin` is called when they are ready.
pub(crate) fn work(store: &KeyStore, seed: u64, operations: usize, voice: &Voice, begin: impl FnOnce()) {
    let workers: Vec<_> = (0..THREADS).map(|thread| Worker::new(store, thread, seed, voice)).collect();
    begin();
    let purge = RwLock::new(());
    let refused = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for mut worker in workers {
            let (purge, refused) = (&purge, &refused);
            scope.spawn(move || {
                for _ in 0..operations {
                    worker.step(purge);
                    if worker.refused {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                    if refused.load(Ordering::Relaxed) > 0 {
                        return;
                    }
                }
            });
        }
    });
}

/// What a thread must know of a key to choose what to do with it. Threads share no key.
#[derive(Debug, Clone)]
struct Held {
    permissions: Vec<String>,
    disabled: bool,
    /// Made by this process.
    token: Option<String>,
}

pub(crate) struct Worker<'a> {
    store: &'a KeyStore,
    thread: usize,
    random: Random,
    voice: &'a Voice,
    name: String,
    made: usize,
    heavy: bool,
    keys: BTreeMap<String, Held>,
    pub(crate) refused: bool,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(store: &'a KeyStore, thread: usize, seed: u64, voice: &'a Voice) -> Self {
        let mine = format!("t{thread}-");
        let keys = crate::check::all(store).map_err(|fault| fault.text).unwrap();
        let keys = keys
            .into_iter()
            .filter(|(_, info)| info.name().is_some_and(|name| name.starts_with(&mine)) && info.revoked().is_none())
            .map(|(id, info)| {
                let permissions = info.permissions().to_vec();
                (id, Held { permissions, disabled: info.disabled(), token: None })
            })
            .collect();
        let random = Random::fork(seed, thread as u64 + 1);
        Self {
            store,
            thread,
            random,
            voice,
            name: format!("{mine}{seed}"),
            made: 0,
            heavy: seed.is_multiple_of(4),
            keys,
            refused: false,
        }
    }

    fn step(&mut self, purge: &RwLock<()>) {
        let ids: Vec<String> = self.keys.keys().cloned().collect();
        let dice = self.random.below(100);
        if ids.is_empty() || (dice < 34 && ids.len() < MANY) {
            let count = if self.random.percent(15) { 2 + self.random.below(3) } else { 1 };
            self.create(count);
            return;
        }
        if self.random.percent(3) {
            // Nobody is told of it: history begins later, or it does not. A disk that refuses is met by the next change.
            let _ = self.store.purge_events(Utc::now());
        }
        let id = ids[self.random.below(ids.len())].clone();
        let held = self.keys[&id].clone();
        match dice {
            0..60 => {
                if held.disabled {
                    self.disable(&id, false);
                    return;
                }
                let lap = [Lap::None, Lap::Brief, Lap::Long, Lap::FirstUse][self.random.below(4)];
                self.rotate(&id, lap);
                if lap == Lap::Brief {
                    // Over, before the next change of the key looks.
                    std::thread::sleep(std::time::Duration::from_millis(3));
                }
            }
            60..68 if held.token.is_some() && !held.disabled => self.use_newest(&id),
            60..76 => self.disable(&id, !held.disabled),
            76..84 => self.permit(&id),
            84..97 => {
                // So that the model knows which keys a purge meets.
                let _no_purge = purge.read().unwrap();
                self.revoke(&id);
            }
            _ => {
                let _no_revocation = purge.write().unwrap();
                self.purge();
            }
        }
    }

    fn some_grants(&mut self) -> Vec<String> {
        let bits = self.random.below(16);
        let held = GRANTS.into_iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
        held.map(|(_, grant)| grant.to_owned()).collect()
    }

    pub(crate) fn create(&mut self, count: usize) {
        let permissions = self.some_grants();
        let names: Vec<String> = (0..count).map(|at| format!("{}-{}", self.name, self.made + at)).collect();
        self.made += count;
        // Some stores hold records so large that sled keeps pages in files of their own.
        let count = if self.heavy { [0, MOST_ENTRIES][self.random.below(2)] } else { 0 };
        self.tell(Said::Begin(Op::Create { names: names.clone(), permissions: permissions.clone(), entries: count }));
        let keys = names.iter().map(|name| {
            let key = NewKey::for_owner("crash").name(name).permissions(&permissions);
            entries(count).fold(key, |key, (name, value)| key.metadata(name, value))
        });
        let created = self.store.create_many(keys);
        let created = created.map(|created| {
            let pair = |one: apikey::CreatedKey| (one.info.id().to_string(), one.key.expose_secret().to_owned());
            let created: Vec<_> = created.into_iter().map(pair).collect();
            for (id, token) in &created {
                let held = Held { permissions: permissions.clone(), disabled: false, token: Some(token.clone()) };
                self.keys.insert(id.clone(), held);
            }
            Outcome::Created(created)
        });
        self.end(created);
    }

    /// The name of the key that was asked for last.
    pub(crate) fn last_name(&self) -> String {
        format!("{}-{}", self.name, self.made - 1)
    }

    pub(crate) fn rotate(&mut self, id: &str, lap: Lap) {
        self.tell(Said::Begin(Op::Rotate { id: id.to_owned(), lap }));
        let overlap = match lap {
            Lap::None => Overlap::None,
            Lap::Brief => Overlap::For(TimeDelta::milliseconds(1)),
            Lap::Long => Overlap::For(TimeDelta::hours(1)),
            Lap::FirstUse => Overlap::UntilFirstUse,
        };
        let rotated = self.store.rotate(key_id(id), overlap).map(|created| {
            let token = created.key.expose_secret().to_owned();
            self.keys.get_mut(id).unwrap().token = Some(token.clone());
            Outcome::Rotated(token)
        });
        if matches!(lap, Lap::Brief) {
            // To the model it is over when the call has returned, which can take less: the clock has steps of 4 ms.
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        self.end(rotated);
    }

    fn use_newest(&mut self, id: &str) {
        let token = self.keys[id].token.clone().unwrap();
        self.tell(Said::Begin(Op::Use { id: id.to_owned() }));
        let used = self.store.verify(&token);
        let outcome = used.map_or_else(|error| Outcome::Other(error.code().to_owned()), |_| Outcome::Done);
        self.tell(Said::End(outcome));
    }

    pub(crate) fn disable(&mut self, id: &str, on: bool) {
        self.tell(Said::Begin(Op::Disable { id: id.to_owned(), on }));
        let updated = self.store.update(key_id(id), KeyUpdate::new().disabled(on));
        self.keys.get_mut(id).unwrap().disabled = on;
        self.end(updated.map(|_| Outcome::Done));
    }

    fn permit(&mut self, id: &str) {
        let permissions = self.some_grants();
        self.tell(Said::Begin(Op::Permit { id: id.to_owned(), permissions: permissions.clone() }));
        let updated = self.store.update(key_id(id), KeyUpdate::new().permissions(&permissions));
        self.keys.get_mut(id).unwrap().permissions = permissions;
        self.end(updated.map(|_| Outcome::Done));
    }

    pub(crate) fn revoke(&mut self, id: &str) {
        self.tell(Said::Begin(Op::Revoke { id: id.to_owned() }));
        let revoked = self.store.revoke(key_id(id), "a crash test");
        self.keys.remove(id);
        self.end(revoked.map(|_| Outcome::Done));
    }

    fn purge(&mut self) {
        self.tell(Said::Begin(Op::Purge));
        // Later than every revocation, also one of this millisecond.
        let purged = self.store.purge(Utc::now() + TimeDelta::seconds(1));
        self.end(purged.map(|_| Outcome::Done));
    }

    fn end(&mut self, result: Result<Outcome, StoreError>) {
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(StoreError::Conflict(Conflict::Overlapping { .. })) => Outcome::Overlapping,
            Err(StoreError::NotDurable { .. }) => Outcome::NotDurable,
            Err(error @ StoreError::Io { .. }) => Outcome::Io(error.to_string()),
            Err(error) => Outcome::Other(error.to_string()),
        };
        self.refused |= matches!(outcome, Outcome::NotDurable | Outcome::Io(_));
        self.tell(Said::End(outcome));
    }

    fn tell(&self, said: Said) {
        say(self.voice, &Line { thread: self.thread, said });
    }
}

fn say(voice: &Voice, line: &Line) {
    let text = format!("\nchild: {}\n", serde_json::to_string(line).unwrap());
    let mut voice = voice.lock().unwrap();
    voice.write_all(text.as_bytes()).unwrap();
    voice.flush().unwrap();
}

pub(crate) fn key_id(id: &str) -> KeyId {
    id.parse().unwrap()
}

/// Makes a store in this process, calls `before_close`, and closes it; what was said.
pub(crate) fn made(directory: &Path, seed: u64, operations: usize, before_close: impl FnOnce()) -> Vec<Line> {
    let said = Shared::default();
    let voice: Voice = Mutex::new(Box::new(said.clone()));
    let store = KeyStore::open(directory).unwrap();
    work(&store, seed, operations, &voice, || {});
    before_close();
    store.close().unwrap();
    said.lines()
}

/// The line of the process under test, if it is one and whole.
pub(crate) fn heard(text: &str) -> Option<Line> {
    serde_json::from_str(text.trim_end().strip_prefix("child: ")?).ok()
}

/// What was said in this process.
#[derive(Clone, Default)]
pub(crate) struct Shared(std::sync::Arc<Mutex<Vec<u8>>>);

impl Shared {
    pub(crate) fn lines(&self) -> Vec<Line> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter_map(heard).collect()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
