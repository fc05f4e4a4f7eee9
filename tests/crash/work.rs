//! The work of the process under test: random changes from several threads, each logged before and after.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock};

use apikey::{Conflict, KeyId, KeyStore, KeyUpdate, NewKey, Overlap, Role, StoreError, Tenant};
use chrono::{TimeDelta, Utc};

use crate::model::{Line, Op, Outcome, OverlapKind, Progress};
use apikey_testkit::random::Random;

pub(crate) const GRANTS: [&str; 4] = ["orders:read", "orders:write", "users:read", "users:write"];
pub(crate) const THREADS: usize = 3;
/// With more keys a thread creates no others.
const MANY: usize = 14;

/// The largest number of entries of metadata that a key may have; 16 KiB together.
const MAX_ENTRIES: usize = 32;

pub(crate) fn entries(count: usize) -> impl Iterator<Item = (String, String)> {
    (0..count).map(|at| (format!("entry-{at}"), "x".repeat(500)))
}

/// Where the log goes: one write for each line, so that a kill leaves whole lines.
pub(crate) type Output = Mutex<Box<dyn Write + Send>>;

/// Runs the threads, each until it has made so many operations, or the disk has refused one.
/// Calls `begin` when they are ready.
pub(crate) fn work(store: &KeyStore, seed: u64, operations: usize, output: &Output, begin: impl FnOnce()) {
    let workers: Vec<_> = (0..THREADS).map(|thread| Worker::new(store, thread, seed, output)).collect();
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

/// What a thread needs to know of a key to choose an operation. Threads share no key.
#[derive(Debug, Clone)]
struct OwnKey {
    permissions: Vec<String>,
    has_role: bool,
    disabled: bool,
    tenant: Option<String>,
    /// `None` if another process created it.
    token: Option<String>,
}

pub(crate) struct Worker<'a> {
    store: &'a KeyStore,
    thread: usize,
    random: Random,
    output: &'a Output,
    name: String,
    created: usize,
    heavy: bool,
    /// The role of this thread's keys, and whether the store has it.
    role: String,
    has_role: bool,
    /// The tenant of some of its keys. When that ends, the next one begins.
    tenant: String,
    tenants: usize,
    keys: BTreeMap<String, OwnKey>,
    pub(crate) refused: bool,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(store: &'a KeyStore, thread: usize, seed: u64, output: &'a Output) -> Self {
        let mine = format!("t{thread}-");
        let keys = crate::check::all(store).map_err(|fault| fault.text).unwrap();
        let keys = keys
            .into_iter()
            .filter(|(_, info)| info.name().is_some_and(|name| name.starts_with(&mine)) && info.revoked().is_none())
            .map(|(id, info)| {
                let permissions = info.permissions().to_vec();
                let has_role = !info.roles().is_empty();
                (
                    id,
                    OwnKey {
                        permissions,
                        has_role,
                        disabled: info.disabled(),
                        tenant: info.tenant().map(str::to_owned),
                        token: None,
                    },
                )
            })
            .collect();
        let random = Random::fork(seed, thread as u64 + 1);
        let role = format!("role{thread}");
        Self {
            has_role: store.role(&role).unwrap().is_some(),
            role,
            tenant: format!("t{thread}-{seed}-0"),
            tenants: 0,
            store,
            thread,
            random,
            output,
            name: format!("{mine}{seed}"),
            created: 0,
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
            // Not logged: the history begins later, or it does not. If the disk refuses, the next change meets that too.
            let _ = self.store.purge_events(Utc::now());
        }
        let id = ids[self.random.below(ids.len())].clone();
        let held = self.keys[&id].clone();
        if self.random.percent(8) {
            if self.random.percent(30) {
                let _no_purge = purge.read().unwrap();
                self.end_tenant();
            } else {
                self.put_tenant();
            }
            return;
        }
        if self.random.percent(15) {
            self.change_role(&id);
            return;
        }
        match dice {
            0..60 => {
                if held.disabled {
                    self.disable(&id, false);
                    return;
                }
                let kind = [OverlapKind::None, OverlapKind::Brief, OverlapKind::Long, OverlapKind::FirstUse]
                    [self.random.below(4)];
                self.rotate(&id, kind);
                if kind == OverlapKind::Brief {
                    // The overlap is over before the next change of the key.
                    std::thread::sleep(std::time::Duration::from_millis(3));
                }
            }
            60..68 if held.token.is_some() && !held.disabled => self.use_newest(&id),
            60..76 => self.disable(&id, !held.disabled),
            76..84 => self.permit(&id),
            84..97 => {
                // So that the model knows which keys a purge finds.
                let _no_purge = purge.read().unwrap();
                self.revoke(&id);
            }
            _ => {
                let _no_revocation = purge.write().unwrap();
                self.purge();
            }
        }
    }

    fn change_role(&mut self, id: &str) {
        let is_held = self.keys.values().any(|key| key.has_role);
        match self.random.below(4) {
            0 if self.has_role && !is_held => self.delete_role(),
            0 | 1 if self.has_role => self.set_role(id),
            _ => self.put_role(),
        }
    }

    fn some_grants(&mut self) -> Vec<String> {
        let bits = self.random.below(16);
        let held = GRANTS.into_iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
        held.map(|(_, grant)| grant.to_owned()).collect()
    }

    pub(crate) fn create(&mut self, count: usize) {
        let permissions = self.some_grants();
        let names: Vec<String> = (0..count).map(|at| format!("{}-{}", self.name, self.created + at)).collect();
        self.created += count;
        // Some stores have records so large that sled keeps pages in files of their own.
        let count = if self.heavy { [0, MAX_ENTRIES][self.random.below(2)] } else { 0 };
        let has_role = self.has_role && self.random.percent(40);
        let role = has_role.then(|| self.role.clone());
        let tenant = self.random.percent(40).then(|| self.tenant.clone());
        self.emit(Progress::Begin(Op::Create {
            names: names.clone(),
            permissions: permissions.clone(),
            role: role.clone(),
            tenant: tenant.clone(),
            entries: count,
        }));
        let keys = names.iter().map(|name| {
            let key = NewKey::for_owner("crash").name(name).permissions(&permissions).roles(&role);
            entries(count).fold(key, |key, (name, value)| key.metadata(name, value))
        });
        let created = match &tenant {
            Some(tenant) => self.store.tenant(tenant).unwrap().create_many(keys),
            None => self.store.create_many(keys),
        };
        let created = created.map(|created| {
            let pair = |one: apikey::CreatedKey| (one.info.id().to_string(), one.key.expose_secret().to_owned());
            let created: Vec<_> = created.into_iter().map(pair).collect();
            for (id, token) in &created {
                let permissions = permissions.clone();
                let tenant = tenant.clone();
                let held = OwnKey { permissions, has_role, disabled: false, tenant, token: Some(token.clone()) };
                self.keys.insert(id.clone(), held);
            }
            Outcome::Created(created)
        });
        self.end(created);
    }

    /// The name of the last key that this worker tried to create.
    pub(crate) fn last_name(&self) -> String {
        format!("{}-{}", self.name, self.created - 1)
    }

    pub(crate) fn rotate(&mut self, id: &str, kind: OverlapKind) {
        self.emit(Progress::Begin(Op::Rotate { id: id.to_owned(), overlap: kind }));
        let overlap = match kind {
            OverlapKind::None => Overlap::None,
            OverlapKind::Brief => Overlap::For(TimeDelta::milliseconds(1)),
            OverlapKind::Long => Overlap::For(TimeDelta::hours(1)),
            OverlapKind::FirstUse => Overlap::UntilFirstUse,
        };
        let rotated = self.store.rotate(key_id(id), overlap).map(|created| {
            let token = created.key.expose_secret().to_owned();
            self.keys.get_mut(id).unwrap().token = Some(token.clone());
            Outcome::Rotated(token)
        });
        if matches!(kind, OverlapKind::Brief) {
            // To the model the overlap is over when the call returns, which can take less: the clock has steps of 4 ms.
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        self.end(rotated);
    }

    fn use_newest(&mut self, id: &str) {
        let token = self.keys[id].token.clone().unwrap();
        self.emit(Progress::Begin(Op::Use { id: id.to_owned() }));
        let used = self.store.verify(&token);
        let outcome = used.map_or_else(|error| Outcome::Other(error.code().to_owned()), |_| Outcome::Done);
        self.emit(Progress::End(outcome));
    }

    pub(crate) fn disable(&mut self, id: &str, on: bool) {
        self.emit(Progress::Begin(Op::Disable { id: id.to_owned(), on }));
        let updated = self.store.update(key_id(id), KeyUpdate::new().disabled(on));
        self.keys.get_mut(id).unwrap().disabled = on;
        self.end(updated.map(|_| Outcome::Done));
    }

    fn permit(&mut self, id: &str) {
        let permissions = self.some_grants();
        self.emit(Progress::Begin(Op::Permit { id: id.to_owned(), permissions: permissions.clone() }));
        let updated = self.store.update(key_id(id), KeyUpdate::new().permissions(&permissions));
        self.keys.get_mut(id).unwrap().permissions = permissions;
        self.end(updated.map(|_| Outcome::Done));
    }

    fn set_role(&mut self, id: &str) {
        let has_role = !self.keys[id].has_role;
        let role = has_role.then(|| self.role.clone());
        self.emit(Progress::Begin(Op::SetRole { id: id.to_owned(), role: role.clone() }));
        let updated = self.store.update(key_id(id), KeyUpdate::new().roles(&role));
        self.keys.get_mut(id).unwrap().has_role = has_role;
        self.end(updated.map(|_| Outcome::Done));
    }

    fn put_role(&mut self) {
        let permissions = self.some_grants();
        self.emit(Progress::Begin(Op::PutRole { name: self.role.clone(), permissions: permissions.clone() }));
        let put = self.store.put_role(Role::new(&self.role).permissions(&permissions));
        self.has_role = true;
        self.end(put.map(|_| Outcome::Done));
    }

    fn put_tenant(&mut self) {
        let permissions = self.some_grants();
        let name = self.tenant.clone();
        self.emit(Progress::Begin(Op::PutTenant { name: name.clone(), permissions: permissions.clone() }));
        let put = self.store.put_tenant(Tenant::new(name).permissions(&permissions));
        self.end(put.map(|_| Outcome::Done));
    }

    fn end_tenant(&mut self) {
        let name = self.tenant.clone();
        self.tenants += 1;
        self.tenant = format!("{}-{}", self.name, self.tenants);
        self.emit(Progress::Begin(Op::EndTenant { name: name.clone() }));
        let ended = self.store.end_tenant(&name, "a crash test");
        self.keys.retain(|_, key| key.tenant.as_ref() != Some(&name));
        self.end(ended.map(|_| Outcome::Done));
    }

    fn delete_role(&mut self) {
        self.emit(Progress::Begin(Op::DeleteRole { name: self.role.clone() }));
        let deleted = self.store.delete_role(&self.role);
        self.has_role = deleted.is_err();
        self.end(deleted.map(|_| Outcome::Done));
    }

    pub(crate) fn revoke(&mut self, id: &str) {
        self.emit(Progress::Begin(Op::Revoke { id: id.to_owned() }));
        let revoked = self.store.revoke(key_id(id), "a crash test");
        self.keys.remove(id);
        self.end(revoked.map(|_| Outcome::Done));
    }

    fn purge(&mut self) {
        self.emit(Progress::Begin(Op::Purge));
        // Later than every revocation, including one of this millisecond.
        let purged = self.store.purge(Utc::now() + TimeDelta::seconds(1));
        self.end(purged.map(|_| Outcome::Done));
    }

    fn end(&mut self, result: Result<Outcome, StoreError>) {
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(StoreError::Conflict(Conflict::Overlapping { .. })) => Outcome::Overlapping,
            Err(StoreError::Conflict(Conflict::RoleInUse { .. })) => Outcome::InUse,
            Err(StoreError::NotDurable { .. }) => Outcome::NotDurable,
            Err(error @ StoreError::Io { .. }) => Outcome::Io(error.to_string()),
            Err(error) => Outcome::Other(error.to_string()),
        };
        self.refused |= matches!(outcome, Outcome::NotDurable | Outcome::Io(_));
        self.emit(Progress::End(outcome));
    }

    fn emit(&self, progress: Progress) {
        emit_line(self.output, &Line { thread: self.thread, progress });
    }
}

fn emit_line(output: &Output, line: &Line) {
    let text = format!("\nchild: {}\n", serde_json::to_string(line).unwrap());
    let mut output = output.lock().unwrap();
    output.write_all(text.as_bytes()).unwrap();
    output.flush().unwrap();
}

pub(crate) fn key_id(id: &str) -> KeyId {
    id.parse().unwrap()
}

/// Makes a store in this process, calls `before_close`, and closes the store; the log.
pub(crate) fn make_store(directory: &Path, seed: u64, operations: usize, before_close: impl FnOnce()) -> Vec<Line> {
    let log = Buffer::default();
    let output: Output = Mutex::new(Box::new(log.clone()));
    let store = KeyStore::open(directory).unwrap();
    work(&store, seed, operations, &output, || {});
    before_close();
    store.close().unwrap();
    log.lines()
}

/// Reads a line of the log; `None` for another line, or half of one.
pub(crate) fn parse_line(text: &str) -> Option<Line> {
    serde_json::from_str(text.trim_end().strip_prefix("child: ")?).ok()
}

/// The log of this process.
#[derive(Clone, Default)]
pub(crate) struct Buffer(std::sync::Arc<Mutex<Vec<u8>>>);

impl Buffer {
    pub(crate) fn lines(&self) -> Vec<Line> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter_map(parse_line).collect()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
