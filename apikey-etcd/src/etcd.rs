use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use apikey_core::cluster::{
    Appended, Cell, CellKind, CellName, Entry, Fence, Ledger, LedgerResult, Logged, Look, Piece, Position, Reserved,
    Sight, Standing, Step, Swap, Tally, Woken,
};
use apikey_engine::{
    CheckedSettings, ConnectionThread, OnFirstUse, OwnedEntry, OwnedStanding, OwnedStep, OwnedSwap, owned_begins,
};

use crate::calls::{self, Exactness, Keys, SHARDS};
use crate::listener::Listener;
use crate::session::{Members, Repeat};
use crate::settings::Settings;

/// How many shards of a state are read at a time.
const READ_AHEAD: usize = 4;

/// etcd as the ledger of a cluster.
///
/// ```no_run
/// use apikey_etcd::Etcd;
///
/// let ledger = Etcd::new(["https://10.0.0.1:2379", "https://10.0.0.2:2379", "https://10.0.0.3:2379"])
///     .authority("/etc/etcd/ca.crt")
///     .user("apikey")
///     .password_file("/run/secrets/apikey-etcd")
///     .namespace("acme");
/// ```
///
/// It connects when it is first used. A setting that is not allowed is an error of that call, too.
pub struct Etcd {
    settings: CheckedSettings<Settings>,
    node: OnFirstUse<Node>,
    listener: Arc<Listener>,
}

/// What a ledger in use has.
struct Node {
    settings: Arc<Settings>,
    keys: Keys,
    thread: ConnectionThread,
    members: Arc<Members>,
}

impl Etcd {
    /// Names the members: `https://10.0.0.1:2379`, each by itself or several with commas between them. The port is 2379
    /// where there is none. A call needs one member, and goes to another when that one fails; name them all.
    ///
    /// `http://` is for a network that you trust: passwords and digests of keys travel over it.
    #[must_use]
    pub fn new<S: AsRef<str>>(endpoints: impl IntoIterator<Item = S>) -> Self {
        Self {
            settings: CheckedSettings::new(Settings::parse(endpoints)),
            node: OnFirstUse::new(),
            listener: Arc::default(),
        }
    }

    /// Names the cluster of `apikey`: 1 to 32 lower-case letters, digits and `_`; `default` if it is not set. All its keys
    /// begin with `/NAMESPACE/`, so clusters of different namespaces share nothing.
    #[must_use]
    pub fn namespace(self, name: impl AsRef<str>) -> Self {
        self.set(|settings| settings.common.set_namespace(name.as_ref()))
    }

    /// Names a file with the certificates of the authorities that are trusted; without it they are those of the system.
    /// It is read at each connection.
    #[must_use]
    pub fn authority(self, path: impl Into<PathBuf>) -> Self {
        self.set(|settings| {
            settings.set_authority(path.into());
            Ok(())
        })
    }

    /// Names the files of a certificate for the client, and of its key, which members ask for that are started with
    /// `--client-cert-auth`. They are read at each connection, so that a renewed certificate needs no restart.
    #[must_use]
    pub fn certificate(self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.set(|settings| {
            settings.set_certificate(certificate.into(), key.into());
            Ok(())
        })
    }

    /// Names what is in the certificates of the members, where it is not the host of the endpoint.
    #[must_use]
    pub fn server_name(self, name: impl AsRef<str>) -> Self {
        self.set(|settings| {
            settings.set_server_name(name.as_ref());
            Ok(())
        })
    }

    /// Names the user of etcd, where it does not take the name from the certificate. Its password comes from
    /// [`password_file`](Self::password_file), [`password`](Self::password) or the environment variable
    /// `ETCDCTL_PASSWORD`.
    #[must_use]
    pub fn user(self, name: impl AsRef<str>) -> Self {
        self.set(|settings| settings.set_user(name.as_ref()))
    }

    /// Sets the password of the user.
    #[must_use]
    pub fn password(self, password: impl AsRef<str>) -> Self {
        self.set(|settings| settings.common.set_password(password.as_ref()))
    }

    /// Names a file with the password of the user. It is read at each login, so that a new password needs no restart.
    #[must_use]
    pub fn password_file(self, path: impl Into<PathBuf>) -> Self {
        self.set(|settings| settings.common.set_password_file(path))
    }

    /// Sets the bytes of `--quota-backend-bytes`, by which nodes refuse new keys before etcd is full. etcd tells its quota
    /// from 3.6 on, and needs no setting then.
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

    fn node(&self) -> LedgerResult<&Node> {
        self.node.get(|| {
            let settings = Arc::new(self.settings.get()?.clone());
            settings.check()?;
            let thread = ConnectionThread::start("apikey-etcd")?;
            let keys = Keys::new(&settings.common.namespace);
            let members = Arc::new(Members::new(settings.clone(), keys.meta()));
            Ok(Node { settings, keys, thread, members })
        })
    }
}

/// Does a call in the thread of the connections: `$connection` is there an `Arc<Connection>`, `$keys` are the names of what
/// the ledger keeps, and `$is_again` says whether an earlier try may have been done.
macro_rules! call {
    ($self:ident, $by:ident, $repeat:expr, |$connection:ident, $keys:ident, $is_again:pat_param| $call:expr) => {{
        let node = $self.node()?;
        let (members, keys) = (node.members.clone(), node.keys.clone());
        node.thread.call($by, async move {
            let $keys = &keys;
            members.run($by, $repeat, |$connection, $is_again| $call).await
        })
    }};
}

impl Ledger for Etcd {
    fn name(&self) -> String {
        match self.settings.get() {
            Ok(settings) => format!("etcd {}, namespace {}", settings.server(), settings.common.namespace),
            Err(_) => "etcd, not set up".to_owned(),
        }
    }

    fn sight(&self, generation: u64, by: Instant) -> LedgerResult<Sight> {
        let quota = self.node()?.settings.common.quota;
        call!(self, by, Repeat::Yes, |connection, keys, _| async move {
            calls::sight(&connection, keys, generation, quota).await
        })
    }

    fn look(&self, generation: u64, standing: &Standing<'_>, by: Instant) -> LedgerResult<Look> {
        let standing = OwnedStanding::new(standing);
        let quota = self.node()?.settings.common.quota;
        call!(self, by, Repeat::Yes, |connection, keys, is_again| {
            let standing = &standing;
            async move { calls::renew(&connection, keys, generation, standing, is_again, quota).await }
        })
    }

    fn begin(&self, generation: u64, head: &Position, by: Instant) -> LedgerResult<bool> {
        let head = *head;
        call!(self, by, Repeat::No, |connection, keys, _| async move {
            calls::begin(&connection, keys, generation, &head).await
        })
    }

    fn append(&self, entry: &Entry<'_>, fence: Option<&Fence>, by: Instant) -> LedgerResult<Appended> {
        let entry = OwnedEntry::new(entry, fence)?;
        call!(self, by, Repeat::Yes, |connection, keys, _| {
            let entry = &entry;
            async move { calls::append(&connection, keys, entry).await }
        })
    }

    fn read(&self, generation: u64, after: u64, max_bytes: usize, by: Instant) -> LedgerResult<Vec<Logged>> {
        let recent = self.listener.take(generation, after, max_bytes);
        if !recent.is_empty() {
            return Ok(recent);
        }
        call!(self, by, Repeat::Yes, |connection, keys, _| async move {
            calls::read(&connection, keys, generation, after, max_bytes).await
        })
    }

    fn load(
        &self,
        generation: u64,
        by: Instant,
        take: &mut dyn FnMut(Piece<'_>) -> LedgerResult<()>,
    ) -> LedgerResult<()> {
        let node = self.node()?;
        'moments: loop {
            let calls::Loading { moment, position, head, few } =
                call!(self, by, Repeat::Yes, |connection, keys, _| {
                    async move { calls::load(&connection, keys, generation).await }
                })?;
            take(Piece::At(position, &head))?;
            if let Some(few) = few {
                return few.give(take);
            }
            let begin = |shard| {
                let (members, keys) = (node.members.clone(), node.keys.clone());
                node.thread.begin(async move {
                    let keys = &keys;
                    let read =
                        |connection: Arc<_>, _| async move { calls::shard(&connection, keys, moment, shard).await };
                    members.run(by, Repeat::Yes, read).await
                })
            };
            let mut shards = 0..SHARDS;
            let mut coming: VecDeque<_> = shards.by_ref().take(READ_AHEAD).map(begin).collect();
            while let Some(shard) = coming.pop_front() {
                coming.extend(shards.next().map(begin));
                match shard.wait(by)? {
                    Some(shard) => shard.give(take)?,
                    None => continue 'moments,
                }
            }
            return Ok(());
        }
    }

    fn advance(&self, step: &Step<'_>, fence: Option<&Fence>, by: Instant) -> LedgerResult<bool> {
        let step = OwnedStep::new(step, fence)?;
        call!(self, by, Repeat::No, |connection, keys, _| {
            let step = &step;
            async move { calls::advance(&connection, keys, step).await }
        })
    }

    fn trim(&self, generation: u64, through: u64, by: Instant) -> LedgerResult<()> {
        // Each step has time of its own, and the next trim goes on after the last of them.
        while call!(self, by, Repeat::Yes, |connection, keys, _| async move {
            calls::trim(&connection, keys, generation, through).await
        })? {}
        Ok(())
    }

    fn wait(&self, generation: u64, after: u64, by: Instant) -> LedgerResult<Woken> {
        let node = self.node()?;
        if self.listener.turn_to(generation) {
            node.thread.spawn(self.listener.clone().listen(node.members.clone(), node.keys.clone()));
        }
        Ok(self.listener.sleep(generation, after, by))
    }

    fn cells(&self, generation: u64, kinds: &[CellKind], by: Instant) -> LedgerResult<Vec<Cell>> {
        let kinds = kinds.to_vec();
        call!(self, by, Repeat::Yes, |connection, keys, _| {
            let kinds = &kinds;
            async move { calls::cells(&connection, keys, generation, kinds, Exactness::Linearizable).await }
        })
    }

    fn glance(&self, generation: u64, kinds: &[CellKind], by: Instant) -> LedgerResult<Vec<Cell>> {
        let kinds = kinds.to_vec();
        call!(self, by, Repeat::Yes, |connection, keys, _| {
            let kinds = &kinds;
            async move { calls::cells(&connection, keys, generation, kinds, Exactness::Glance).await }
        })
    }

    fn swap(&self, cell: &CellName, old: Option<&[u8]>, new: Option<&[u8]>, by: Instant) -> LedgerResult<bool> {
        let (cell, old, new) = (cell.clone(), old.map(<[u8]>::to_vec), new.map(<[u8]>::to_vec));
        call!(self, by, Repeat::No, |connection, keys, _| {
            let (cell, old, new) = (&cell, old.as_deref(), new.as_deref());
            async move { calls::swap(&connection, keys, cell, old, new).await }
        })
    }

    fn note(&self, cell: &CellName, value: &[u8], by: Instant) -> LedgerResult<()> {
        let (cell, value) = (cell.clone(), value.to_vec());
        call!(self, by, Repeat::Yes, |connection, keys, _| {
            let (cell, value) = (&cell, &value);
            async move { calls::note(&connection, keys, cell, value).await }
        })
    }

    fn tally(&self, generation: u64, tallies: &[Tally], by: Instant) -> LedgerResult<()> {
        Tally::check(tallies)?;
        let tallies = tallies.to_vec();
        call!(self, by, Repeat::Yes, |connection, keys, _| {
            let tallies = &tallies;
            async move { calls::tally(&connection, keys, generation, tallies).await }
        })
    }

    fn tallies(&self, generation: u64, begins: &[&[u8]], by: Instant) -> LedgerResult<Vec<Tally>> {
        let begins = owned_begins(begins)?;
        call!(self, by, Repeat::Yes, |connection, keys, _| {
            let begins = &begins;
            async move { calls::tallies(&connection, keys, generation, begins).await }
        })
    }

    fn forget_tallies(&self, generation: u64, from: &[u8], to: &[u8], by: Instant) -> LedgerResult<()> {
        // In steps, since etcd does nothing else while it deletes.
        while {
            let (from, to) = (from.to_vec(), to.to_vec());
            call!(self, by, Repeat::Yes, |connection, keys, _| {
                let (from, to) = (&from, &to);
                async move { calls::forget_tallies(&connection, keys, generation, from, to).await }
            })?
        } {}
        Ok(())
    }

    fn reserve(&self, generation: u64, swaps: &[Swap<'_>], by: Instant) -> LedgerResult<Vec<Reserved>> {
        let swaps = OwnedSwap::all(swaps)?;
        call!(self, by, Repeat::No, |connection, keys, _| {
            let swaps = &swaps;
            async move { calls::reserve(&connection, keys, generation, swaps).await }
        })
    }

    fn close(&self) {
        self.listener.close();
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.listener.close();
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Etcd({})", self.name())
    }
}
