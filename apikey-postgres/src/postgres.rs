use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use apikey_core::cluster::{
    Appended, Cell, CellKind, CellName, Entry, Fence, Ledger, LedgerResult, Logged, Look, Piece, Position, Reserved,
    Sight, Standing, Step, Swap, Tally, Woken,
};
use apikey_engine::{
    CheckedSettings, ConnectionThread, OnFirstUse, OwnedEntry, OwnedStanding, OwnedStep, OwnedSwap, owned_begins,
};

use crate::acknowledged::Acknowledged;
use crate::calls::{self, Exactness, StateCursor};
use crate::listener::{Listener, Slept, has_moved};
use crate::session::{Hosts, Repeat, Slot};
use crate::settings::Settings;

/// PostgreSQL as the ledger of a cluster.
///
/// ```no_run
/// use apikey_postgres::Postgres;
///
/// let ledger = Postgres::new("host=db1,db2 user=apikey dbname=keys sslmode=verify-full")
///     .namespace("acme")
///     .password_file("/run/secrets/apikey-db");
/// ```
///
/// It connects when it is first used. A setting that is not allowed is an error of that call, too.
pub struct Postgres {
    settings: CheckedSettings<Settings>,
    node: OnFirstUse<Node>,
    listener: Arc<Listener>,
    acknowledged: Arc<Acknowledged>,
}

/// What a ledger in use has.
struct Node {
    settings: Arc<Settings>,
    hosts: Arc<Hosts>,
    thread: ConnectionThread,
    /// For what changes the log and the state, and for looks.
    log: Arc<Slot>,
    /// For cells and reads: each barrier that waits asks here again and again, and must not keep a look waiting.
    cells: Arc<Slot>,
    /// For tallies and reservations: many rows, and writes that wait for a standby while nobody waits for them. Its
    /// connection is made when the first of these calls comes.
    sums: Arc<Slot>,
    /// Whether the checks have passed that need two connections.
    checked: Arc<AtomicBool>,
}

impl Postgres {
    /// Names the server as libpq does: `host=db user=apikey dbname=keys`, or `postgres://apikey@db/keys`.
    ///
    /// Of libpq's options it takes those that are about the server, the user and the connection; several hosts, of which
    /// the one that is the primary is used; and `sslmode` (`verify-full`, which is the default, `verify-ca`, `require`,
    /// `disable`), `sslrootcert` (a file; without it the system's authorities), `sslcert` and `sslkey`. A password that
    /// is not in it comes from [`password_file`](Self::password_file) or from the environment variable `PGPASSWORD`.
    #[must_use]
    pub fn new(connection: impl AsRef<str>) -> Self {
        let settings = CheckedSettings::new(Settings::parse(connection.as_ref()));
        let acknowledged = Arc::<Acknowledged>::default();
        Self {
            settings,
            node: OnFirstUse::new(),
            listener: Arc::new(Listener::new(acknowledged.clone())),
            acknowledged,
        }
    }

    /// Names the cluster: 1 to 32 lower-case letters, digits and `_`; `default` if it is not set. Clusters of different
    /// namespaces share tables, and nothing else.
    #[must_use]
    pub fn namespace(self, name: impl AsRef<str>) -> Self {
        self.set(|settings| settings.common.set_namespace(name.as_ref()))
    }

    /// Names the schema of the tables; `public` if it is not set.
    #[must_use]
    pub fn schema(self, name: impl AsRef<str>) -> Self {
        self.set(|settings| settings.set_schema(name.as_ref()))
    }

    /// Names a file with the password. It is read at each connection, so that a new password needs no restart.
    #[must_use]
    pub fn password_file(self, path: impl Into<PathBuf>) -> Self {
        self.set(|settings| settings.set_password_file(path.into()))
    }

    /// States that this is one server which never fails over: no standby of it is ever promoted, and no backup of it takes
    /// its place while nodes run. Without this statement PostgreSQL must have synchronous standbys, since a failover to
    /// an asynchronous one would undo revocations that have been answered as done.
    #[must_use]
    pub fn single(self) -> Self {
        self.set(|settings| {
            settings.single = true;
            Ok(())
        })
    }

    /// Sets how many bytes the database may have. PostgreSQL itself has no such limit; with it, nodes refuse new keys
    /// before the disk is full.
    #[must_use]
    pub fn quota(self, bytes: u64) -> Self {
        self.set(|settings| {
            settings.common.quota = Some(bytes);
            Ok(())
        })
    }

    fn set(mut self, set: impl FnOnce(&mut Settings) -> Result<(), String>) -> Self {
        self.settings.set(set);
        self
    }

    /// A sight shows what is on a standby.
    fn acknowledge(&self, generation: u64, sight: &Sight) {
        if let Some(head) = sight.head {
            self.acknowledged.note(generation, head);
        }
    }

    fn node(&self) -> LedgerResult<&Node> {
        self.node.get(|| {
            let settings = Arc::new(self.settings.get()?.clone());
            let thread = ConnectionThread::start("apikey-postgres")?;
            let checked = Arc::new(AtomicBool::new(false));
            let hosts = Arc::new(Hosts::new(settings.hosts()));
            let slot = || Arc::new(Slot::new(settings.clone(), hosts.clone(), checked.clone()));
            Ok(Node { log: slot(), cells: slot(), sums: slot(), thread, settings, hosts, checked })
        })
    }
}

/// Does a call in the thread of the connections: `$connection` is there an `Arc<Connection>`, and `$settings` what the
/// operator says.
macro_rules! call {
    ($self:ident, $slot:ident, $by:ident, $repeat:expr, |$connection:ident, $settings:ident| $call:expr) => {{
        let node = $self.node()?;
        let (slot, settings) = (node.$slot.clone(), node.settings.clone());
        node.thread.call($by, async move {
            let $settings = &settings;
            slot.run($by, $repeat, |$connection| $call).await
        })
    }};
}

impl Ledger for Postgres {
    fn name(&self) -> String {
        match self.settings.get() {
            Ok(settings) => format!("postgres {}, namespace {}", settings.server(), settings.common.namespace),
            Err(_) => "postgres, not set up".to_owned(),
        }
    }

    fn sight(&self, generation: u64, by: Instant) -> LedgerResult<Sight> {
        let sight = call!(self, log, by, Repeat::Yes, |connection, settings| async move {
            calls::sight(&connection, &settings.common.namespace, generation, settings.common.quota).await
        })?;
        self.acknowledge(generation, &sight);
        Ok(sight)
    }

    fn look(&self, generation: u64, standing: &Standing<'_>, by: Instant) -> LedgerResult<Look> {
        let standing = OwnedStanding::new(standing);
        let look = call!(self, log, by, Repeat::No, |connection, settings| {
            let standing = &standing;
            async move {
                calls::renew(&connection, &settings.common.namespace, generation, standing, settings.common.quota).await
            }
        })?;
        if let Look::Standing(sight) = &look {
            self.acknowledge(generation, sight);
        }
        Ok(look)
    }

    fn begin(&self, generation: u64, head: &Position, by: Instant) -> LedgerResult<bool> {
        let head = *head;
        call!(self, log, by, Repeat::No, |connection, settings| async move {
            calls::begin(&connection, &settings.common.namespace, generation, &head).await
        })
    }

    fn append(&self, entry: &Entry<'_>, fence: Option<&Fence>, by: Instant) -> LedgerResult<Appended> {
        let (generation, head) = (entry.generation, entry.last);
        let entry = OwnedEntry::new(entry, fence)?;
        let appended = call!(self, log, by, Repeat::Yes, |connection, settings| {
            let entry = &entry;
            async move { calls::append(&connection, &settings.common.namespace, &settings.channel(), entry).await }
        })?;
        if appended == Appended::Here {
            self.acknowledged.note(generation, head);
        }
        Ok(appended)
    }

    fn read(&self, generation: u64, after: u64, max_bytes: usize, by: Instant) -> LedgerResult<Vec<Logged>> {
        let acknowledged = self.acknowledged.clone();
        call!(self, cells, by, Repeat::Yes, |connection, settings| {
            let acknowledged = &acknowledged;
            async move {
                calls::read(&connection, &settings.common.namespace, generation, after, max_bytes, acknowledged).await
            }
        })
    }

    fn load(
        &self,
        generation: u64,
        by: Instant,
        take: &mut dyn FnMut(Piece<'_>) -> LedgerResult<()>,
    ) -> LedgerResult<()> {
        let node = self.node()?;
        // Of its own, since it may take minutes.
        let slot = Arc::new(Slot::new(node.settings.clone(), node.hosts.clone(), node.checked.clone()));
        let (settings, opening) = (node.settings.clone(), slot.clone());
        let (cursor, (at, head)) = node.thread.call(by, async move {
            let settings = &settings;
            let open =
                |connection| async move { StateCursor::open(connection, &settings.common.namespace, generation).await };
            opening.run(by, Repeat::No, open).await
        })?;
        let cursor = Arc::new(cursor);
        take(Piece::At(at, &head))?;
        loop {
            let (slot, cursor) = (slot.clone(), cursor.clone());
            let batch = node.thread.call(by, async move {
                let cursor = &cursor;
                slot.run(by, Repeat::No, |_| async move { cursor.next().await }).await
            })?;
            if batch.is_end() {
                return Ok(());
            }
            batch.give(take)?;
        }
    }

    fn advance(&self, step: &Step<'_>, fence: Option<&Fence>, by: Instant) -> LedgerResult<bool> {
        let step = OwnedStep::new(step, fence)?;
        call!(self, log, by, Repeat::No, |connection, settings| {
            let step = &step;
            async move { calls::advance(&connection, &settings.common.namespace, step).await }
        })
    }

    fn trim(&self, generation: u64, through: u64, by: Instant) -> LedgerResult<()> {
        call!(self, log, by, Repeat::Yes, |connection, settings| async move {
            calls::trim(&connection, &settings.common.namespace, generation, through).await
        })
    }

    fn wait(&self, generation: u64, after: u64, by: Instant) -> LedgerResult<Woken> {
        let node = self.node()?;
        loop {
            if self.listener.is_closed() {
                return Ok(Woken::Closed);
            }
            let (seen, first) = self.listener.seen();
            if first {
                node.thread.spawn(self.listener.clone().listen(node.settings.clone(), node.hosts.clone()));
            }
            if let Some(connection) = self.listener.connection() {
                let settings = node.settings.clone();
                // It only saves time, so it has little.
                let soon = by.min(Instant::now() + Duration::from_secs(5));
                let moved = node.thread.call(soon, async move {
                    let moved = has_moved(&connection, &settings.common.namespace, generation, after);
                    Ok(tokio::time::timeout_at(soon.into(), moved).await.unwrap_or(false))
                })?;
                if moved {
                    return Ok(Woken::Moved);
                }
            }
            match self.listener.sleep(seen, by) {
                Slept::Ended(woken) => return Ok(woken),
                Slept::ReadHead => {}
            }
        }
    }

    fn cells(&self, generation: u64, kinds: &[CellKind], by: Instant) -> LedgerResult<Vec<Cell>> {
        let kinds = kinds.to_vec();
        call!(self, cells, by, Repeat::Yes, |connection, settings| {
            let kinds = &kinds;
            async move {
                calls::cells(&connection, &settings.common.namespace, generation, kinds, Exactness::Linearizable).await
            }
        })
    }

    fn glance(&self, generation: u64, kinds: &[CellKind], by: Instant) -> LedgerResult<Vec<Cell>> {
        let kinds = kinds.to_vec();
        call!(self, cells, by, Repeat::Yes, |connection, settings| {
            let kinds = &kinds;
            async move { calls::cells(&connection, &settings.common.namespace, generation, kinds, Exactness::Glance).await }
        })
    }

    fn swap(&self, cell: &CellName, old: Option<&[u8]>, new: Option<&[u8]>, by: Instant) -> LedgerResult<bool> {
        let (cell, old, new) = (cell.clone(), old.map(<[u8]>::to_vec), new.map(<[u8]>::to_vec));
        call!(self, cells, by, Repeat::No, |connection, settings| {
            let (cell, old, new) = (&cell, old.as_deref(), new.as_deref());
            async move { calls::swap(&connection, &settings.common.namespace, cell, old, new).await }
        })
    }

    fn note(&self, cell: &CellName, value: &[u8], by: Instant) -> LedgerResult<()> {
        let (cell, value) = (cell.clone(), value.to_vec());
        call!(self, cells, by, Repeat::Yes, |connection, settings| {
            let (cell, value) = (&cell, &value);
            async move { calls::note(&connection, &settings.common.namespace, cell, value).await }
        })
    }

    fn tally(&self, generation: u64, tallies: &[Tally], by: Instant) -> LedgerResult<()> {
        Tally::check(tallies)?;
        let tallies = tallies.to_vec();
        call!(self, sums, by, Repeat::Yes, |connection, settings| {
            let tallies = &tallies;
            async move { calls::tally(&connection, &settings.common.namespace, generation, tallies).await }
        })
    }

    fn tallies(&self, generation: u64, begins: &[&[u8]], by: Instant) -> LedgerResult<Vec<Tally>> {
        let begins = owned_begins(begins)?;
        call!(self, sums, by, Repeat::Yes, |connection, settings| {
            let begins = &begins;
            async move { calls::tallies(&connection, &settings.common.namespace, generation, begins).await }
        })
    }

    fn forget_tallies(&self, generation: u64, from: &[u8], to: &[u8], by: Instant) -> LedgerResult<()> {
        // Other calls go on between the steps.
        while {
            let (from, to) = (from.to_vec(), to.to_vec());
            call!(self, sums, by, Repeat::Yes, |connection, settings| {
                let (from, to) = (&from, &to);
                async move { calls::forget_tallies(&connection, &settings.common.namespace, generation, from, to).await }
            })?
        } {}
        Ok(())
    }

    fn reserve(&self, generation: u64, swaps: &[Swap<'_>], by: Instant) -> LedgerResult<Vec<Reserved>> {
        let swaps = OwnedSwap::all(swaps)?;
        if swaps.is_empty() {
            return Ok(Vec::new());
        }
        call!(self, sums, by, Repeat::No, |connection, settings| {
            let swaps = &swaps;
            async move { calls::reserve(&connection, &settings.common.namespace, generation, swaps).await }
        })
    }

    fn close(&self) {
        self.listener.close();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.listener.close();
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Postgres({})", self.name())
    }
}
