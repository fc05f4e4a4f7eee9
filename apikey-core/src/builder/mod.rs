//! The options of a store.

#[cfg(feature = "cluster")]
mod cluster;
mod ends;
mod prefixes;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use crate::access::auth_error::AuthError;
use crate::access::catalog::Catalog;
use crate::access::network;
use crate::base::time::{Clock, TimeSource, span_text};
use crate::http::proxies::ForwardedHeader;
use crate::http::refusal::Refusal;
use crate::index::refused::failed_attempts::FailedAttempts;
use crate::index::refused::refused_attempt::{RefusalHook, RefusedAttempt};
use crate::key::new_key::NewKey;
use crate::storage::holder::Holder;
use crate::storage::open_error::OpenError;
use crate::store::bootstrap::fixed_keys::FixedKeys;
use crate::token::digest::Pepper;

#[cfg(not(unix))]
use crate::admin::no_server as server;
#[cfg(unix)]
use crate::admin::server;
use crate::copies::schedule::{self, Schedule, newest_good};
use crate::storage::local::LocalOptions;
use crate::store::bootstrap::FirstKey;
use crate::store::key_store::KeyStore;
use crate::store::open;
use crate::store::open::options::{CatalogOption, Options};

/// Configures a store and opens it. [`KeyStore::builder`](crate::store::key_store::KeyStore::builder) creates one.
///
/// ```no_run
/// use std::time::Duration;
/// use apikey::{KeyStore, Pepper};
///
/// let store = KeyStore::builder()
///     .prefix("acme_live")
///     .pepper(Pepper::new(1, std::env::var("KEY_PEPPER")?))
///     .wait_for_lock(Duration::from_secs(10))
///     .open("/var/lib/acme/keys.db")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a builder does nothing until it opens the store"]
pub struct KeyStoreBuilder {
    options: Options,
    create: bool,
    wait: Duration,
    schedule: Option<Schedule>,
    admin: Option<AdminSocket>,
    trusted: Vec<String>,
    catalog: Option<Vec<String>>,
    first: Option<FirstKey>,
    fixed: Vec<FixedKeys>,
}

/// The path of the socket on which the service listens for operators.
#[derive(Debug, Clone)]
enum AdminSocket {
    /// A socket in the store's directory.
    Inside,
    At(PathBuf),
}

impl Default for KeyStoreBuilder {
    fn default() -> Self {
        Self {
            options: Options::default(),
            create: true,
            wait: Duration::ZERO,
            schedule: None,
            admin: None,
            trusted: Vec::new(),
            catalog: None,
            first: None,
            fixed: Vec::new(),
        }
    }
}

impl KeyStore {
    /// Opens the store in `path`, a directory that belongs to the store alone. The store creates the directory if it is
    /// missing, and accepts an empty one.
    ///
    /// # Errors
    /// See [`KeyStoreBuilder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::builder().open(path)
    }

    /// Opens a store for tests and demos. It deletes its files when it is dropped, and never syncs them to the disk.
    ///
    /// # Errors
    /// See [`KeyStoreBuilder::temporary`].
    pub fn temporary() -> Result<Self, OpenError> {
        Self::builder().temporary()
    }

    /// Returns a builder for the store's options: prefix, peppers, clock, header, and more.
    pub fn builder() -> KeyStoreBuilder {
        KeyStoreBuilder::default()
    }
}

impl KeyStoreBuilder {
    /// Adds a pepper. Call it again to add more: the store uses the pepper with the highest number for new secrets, and
    /// the others for the keys that were created with them. The store keeps a check value of each pepper, and does not
    /// open if a pepper that one of its keys needs is missing.
    pub fn pepper(mut self, pepper: Pepper) -> Self {
        self.options.peppers.push(pepper);
        self
    }

    /// Replaces the system clock, for tests.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.options.time = TimeSource::Given(Arc::new(clock));
        self
    }

    /// Sets whether [`open`](Self::open) creates a store that does not exist; the default is `true`.
    pub fn create_if_missing(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Sets how long [`open`](Self::open) waits for another process to close the store; by default it does not wait.
    /// Set it if a restart starts the new process before the old one has ended.
    pub fn wait_for_lock(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Sets whether a verification records the time at which the key was used; the default is `true`. A store that does
    /// not record it refuses [`NewKey::idle_after`], and does not open if it has such keys.
    pub fn track_use(mut self, track: bool) -> Self {
        self.options.track_use = track;
        self
    }

    /// Sets whether the store counts how often each key is used and refused; the default is `false`.
    /// [`usage`](KeyStore::usage) and [`most_used`](KeyStore::most_used) answer from the counts, and
    /// [`KeyInfo::uses_total`](crate::KeyInfo::uses_total) has their sum. A successful verification
    /// counts, and a refusal of a caller with the key's secret; [`recheck`](KeyStore::recheck) counts nothing.
    ///
    /// Each thread counts for itself, so threads do not wait for each other. The store collects the counts each second, and
    /// writes them every 30 seconds and when it closes: a crash loses at most those. In memory they take at most 64 MB,
    /// on the disk what [`usage_disk`](Self::usage_disk) says. The store keeps minutes for a day, hours for 14 days and days
    /// for 400 days: see [`Step`](crate::Step). In a cluster set it on every node: [`usage`](KeyStore::usage) adds up what they count.
    pub fn count_use(mut self, count: bool) -> Self {
        self.options.count_use = count;
        self
    }

    /// Sets how many bytes of disk the counts of uses may take; the default is 1 GiB. Beyond it the oldest minutes go, then
    /// the oldest hours, then the oldest days. What goes is still part of the sums of the steps that are left, and of
    /// [`KeyInfo::uses_total`](crate::KeyInfo::uses_total).
    pub fn usage_disk(mut self, bytes: u64) -> Self {
        self.options.usage_disk = bytes;
        self
    }

    /// Writes a [`backup`](KeyStore::backup) of the store into `directory` once in each `interval`, and keeps the
    /// newest `keep` backups. The store creates the directory if it is missing. The first backup follows at once, or
    /// one interval after the newest backup in the directory. A backup's name is
    /// `apikey-{time}-{number of its last change}.backup`. The store touches no other files there, but each store needs
    /// a backup directory of its own. It deletes an old backup only after it has written and checked a new one. If a
    /// backup fails, the store logs the error (`tracing`) and tries again within a minute.
    ///
    /// Choose a directory on another disk, or copy the backups to one: backups on the store's own disk are lost with
    /// it. If the store is damaged, [`OpenError::Damaged`] names the newest intact backup.
    pub fn backup_every(mut self, interval: Duration, keep: usize, directory: impl Into<PathBuf>) -> Self {
        self.schedule = Some(Schedule { every: interval, keep, directory: directory.into() });
        self
    }

    /// Sets whether the command `apikey` can manage the store while this process has it open; the default is `false`. A
    /// thread listens on a Unix socket, `admin.sock` in the store's directory, until the store is closed. The kernel
    /// reports the user of each connection, and the service accepts only root and the user that it runs as. The socket
    /// has mode 0600, in a directory of mode 0700. Events name the user, such as `uid:1000`.
    ///
    /// ```no_run
    /// let store = apikey::KeyStore::builder().admin_socket(true).open("/var/lib/acme/keys.db")?;
    /// # Ok::<(), apikey::OpenError>(())
    /// ```
    ///
    /// On Windows, and for a [temporary](Self::temporary) store, opening fails with [`OpenError::Config`].
    pub fn admin_socket(mut self, offer: bool) -> Self {
        self.admin = offer.then_some(AdminSocket::Inside);
        self
    }

    /// Works as [`admin_socket`](Self::admin_socket), with the socket at another path, such as `/run/acme/keys.sock`.
    /// Use it if the path of the socket in the store's directory would have more than 107 bytes (103 on macOS and the
    /// BSDs), or if its file system does not support sockets. The socket's directory must exist, and only this user
    /// should have access to it. The command finds the path in the store's lock file.
    pub fn admin_socket_at(mut self, path: impl Into<PathBuf>) -> Self {
        self.admin = Some(AdminSocket::At(path.into()));
        self
    }

    /// Names every permission that this service requires. The store then rejects a grant that matches none of them with
    /// [`StoreError::UnknownGrant`](crate::StoreError::UnknownGrant) when a call creates, imports or updates a key, and
    /// for the [first key](Self::first_key) and new [fixed keys](Self::fixed_keys_from_file). Call it again to add
    /// more, up to 512 in all. By default there is no catalogue, and the store accepts every well-formed grant.
    ///
    /// A wildcard is accepted if it matches a permission, so `*` always is. Every catalogue has the permissions that
    /// the store itself requires (`keys:any_owner`, `keys:outlive`, `keys:anywhere`). Existing keys keep their grants;
    /// if a grant no longer matches anything, opening the store logs a warning.
    ///
    /// The store saves the catalogue of the program that opened it last, for the command `apikey`
    /// ([`keep_catalog`](Self::keep_catalog)). A program that names no catalogue clears the saved one.
    ///
    /// ```
    /// use apikey_core::{KeyStore, NewKey};
    ///
    /// let store = KeyStore::builder().catalog(["orders:read", "orders:write"]).temporary()?;
    /// assert!(store.create(NewKey::for_owner("alice").permissions(["orders:*"])).is_ok());
    /// let error = store.create(NewKey::for_owner("alice").permissions(["orders:raed"])).unwrap_err();
    /// assert!(error.to_string().ends_with("did you mean \"orders:read\"?"));
    /// # Ok::<(), apikey_core::OpenError>(())
    /// ```
    ///
    /// With an enum of `apikey::permissions!`, write `.catalog(Perm::ALL)`. Opening fails with [`OpenError::Config`] if
    /// a text is not a permission, or if there are more than 512.
    pub fn catalog<T: AsRef<str>>(mut self, permissions: impl IntoIterator<Item = T>) -> Self {
        let given = permissions.into_iter().map(|permission| permission.as_ref().to_owned());
        self.catalog.get_or_insert_default().extend(given);
        self
    }

    /// Checks grants against the catalogue that the store has saved, if it has one. Use it in a tool that works on the
    /// store of a service. A [`catalog`](Self::catalog) that the tool names replaces the saved one.
    pub fn keep_catalog(mut self) -> Self {
        self.options.catalog = CatalogOption::Stored;
        self
    }

    /// Creates the first key of a new store, and writes its token to a file from which the operator fetches it. The
    /// file has mode 0600; the store overwrites no file and follows no link. The key's events have the actor
    /// `first_key`.
    ///
    /// The store creates the key only if it never had one (its history is empty); a store whose keys were all deleted
    /// gets none. When [`open`](Self::open) returns, the file exists and holds the token and a newline. After a crash
    /// in between, the next `open` with the same path completes the file; until then the token may be in
    /// `{path}.pending`. The file's directory must exist, and its file system must support hard links.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey};
    ///
    /// let directory = tempfile::tempdir()?;
    /// let file = directory.path().join("admin.key");
    /// let store = KeyStore::builder()
    ///     .first_key(NewKey::for_owner("admin").permissions(["*"]), &file)
    ///     .open(directory.path().join("keys.db"))?;
    /// assert_eq!(store.verify(std::fs::read_to_string(file)?.trim_end())?.owner(), "admin");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Opening fails with [`OpenError::Config`] if the store never had a key and the file exists already, or if a field
    /// of the key is out of bounds.
    pub fn first_key(mut self, key: NewKey, path: impl Into<PathBuf>) -> Self {
        self.first = Some(FirstKey { key, path: path.into() });
        self
    }

    /// Creates the keys that a deployment supplies in an environment variable, one a line (or separated by `;`), for
    /// previews and tests. A variable that is not set supplies none.
    /// [`fixed_keys_from_file`](Self::fixed_keys_from_file) describes the lines.
    pub fn fixed_keys_from_env(mut self, variable: impl Into<String>) -> Self {
        self.fixed.push(FixedKeys::Variable(variable.into()));
        self
    }

    /// Creates the keys that a deployment supplies in a file, one a line, by their digests.
    ///
    /// ```text
    /// # owner    permissions (commas between them, - for none)   digest of the whole key
    /// preview    orders:read,customers:*                         sha256:f4d5332088e579bfad3a9c1a04f97a2de4c4d3f38f129433e7e00d0b873bec69
    /// ```
    ///
    /// Generate a key with `openssl rand -hex 32`, and its digest with `printf %s "$KEY" | sha256sum`; the store
    /// rejects a key in the form of its own tokens. Opening creates each key that the store has never had. After that
    /// it is a key like any other: if somebody has changed, rotated, revoked or purged it, the store does not create it
    /// again, and ignores its line. (A restore can bring a purged key back: remove its line.) The store skips empty
    /// lines and lines that begin with `#`. The events of these keys have the actor `fixed_keys`, and the keys have the
    /// metadata entry `fixed`.
    ///
    /// The deployment owns their secrets, so neither [`default_rotation`](Self::default_rotation) nor
    /// [`default_idle_after`](Self::default_idle_after) nor [`max_lifetime`](Self::max_lifetime) applies to them. To end such a key, remove its line and revoke the key.
    ///
    /// Opening fails with [`OpenError::Config`] if a line does not have this form (the error names the line), or if the
    /// file cannot be read.
    pub fn fixed_keys_from_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.fixed.push(FixedKeys::File(path.into()));
        self
    }

    /// Sets the header that carries the key; the default is `X-API-Key`. Opening fails with [`OpenError::Config`] for a
    /// header that has another meaning, such as `Cookie`, `Host`, `Content-Length` or `X-Forwarded-For`.
    pub fn header(mut self, name: impl Into<String>) -> Self {
        self.options.header_config.set_header(name.into());
        self
    }

    /// Sets whether the store also reads the key from `Authorization: Bearer`; the default is `false`.
    pub fn bearer(mut self, bearer: bool) -> Self {
        self.options.header_config.set_bearer(bearer);
        self
    }

    /// Sets the realm that challenges name (RFC 9110 section 11.5); the default is `api`.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.options.header_config.set_realm(realm.into());
        self
    }

    /// Sets the networks of your own proxies, such as `10.0.0.0/8`. The store trusts the addresses that these proxies
    /// write into `X-Forwarded-For`, or into the header that [`forwarded_header`](Self::forwarded_header) names: a
    /// request's address is the rightmost one that is not in these networks. If you have no proxies of your own, do not
    /// call this: the service then ignores the header, since any client can send it.
    ///
    /// If a proxy names no address, or its header cannot be read, the store does not take the proxy for the caller: the
    /// peer is then [`Peer::Behind`](crate::Peer::Behind) the proxy, and keys that name networks refuse it. See
    /// [`proxies_may_call`](Self::proxies_may_call).
    ///
    /// This applies to requests of web frameworks only; the store uses [`Attempt::peer`](crate::Attempt::peer) as it
    /// is.
    pub fn trusted_proxies<T: AsRef<str>>(mut self, networks: impl IntoIterator<Item = T>) -> Self {
        self.trusted = networks.into_iter().map(|network| network.as_ref().to_owned()).collect();
        self
    }

    /// Sets the header into which trusted proxies write the caller's address; the default is `X-Forwarded-For`. Name
    /// the header that all of them set: a proxy passes the other one on as the client sent it.
    pub fn forwarded_header(mut self, header: ForwardedHeader) -> Self {
        self.options.header_config.set_forwarded(header);
        self
    }

    /// Sets whether a trusted proxy that names no address is itself the caller; the default is `false`. Set it for
    /// proxies that send requests of their own, such as health checks with a key that names their network.
    ///
    /// Turn it on only if each proxy always writes the header when it forwards a request. If a proxy leaves the header
    /// out, a caller behind it has the address of the proxy. A header that cannot be read never makes the proxy the
    /// caller. On rocket this has no effect, because there a client can hide the header with a byte that is not UTF-8.
    pub fn proxies_may_call(mut self, may_call: bool) -> Self {
        self.options.header_config.set_proxies_may_call(may_call);
        self
    }

    /// Limits the failed attempts of one address: `count` may fail at once, and as many more, evenly spread, in each
    /// period `per` of 1 second to 31 days. By default there is no limit.
    ///
    /// Only attempts whose key is [`Invalid`](AuthError::Invalid) count, in [`check`](KeyStore::check) and
    /// [`identify_attempt`](KeyStore::identify_attempt). The store charges each one to the caller's address
    /// ([`Attempt::peer`](crate::Attempt::peer)). All callers behind a proxy that does not name their address share one
    /// budget, and so do all callers of whom nothing is known. Once a budget is used up, the store answers every
    /// attempt from its address with [`RateLimited`](AuthError::RateLimited), before it looks up the key. **This
    /// includes valid keys**: to accept them, the store would have to look up each attempt, and so answer each guess.
    /// If many callers share an address (a company, a mobile network), one that guesses locks out the others, so choose
    /// a count far above the number of honest mistakes. Nobody can guess a key that this store created; an imported key
    /// may be weaker.
    ///
    /// IPv6 addresses count by their first 64 bits; their /56 has four times that budget, and their /48 sixteen times.
    /// If the clock is set back, every budget starts anew, so the store refuses nobody for longer than the period. The
    /// table has 256 KiB and 32,768 slots, and does not grow. A flood of addresses evicts those with the fewest
    /// failures, and never one whose budget is used up; while such addresses fill all eight slots of another address,
    /// the store does not count the failures of that one. Simultaneous attempts can exceed the count by the number of
    /// threads.
    pub fn failed_attempts(mut self, count: u32, per: TimeDelta) -> Self {
        self.options.failed_attempts = Some((count, per));
        self
    }

    /// Sets a function that replaces the body and the headers of refusals. The status and the challenge stay the same,
    /// whatever it returns.
    ///
    /// ```
    /// use apikey::{AuthError, KeyStore};
    ///
    /// let store = KeyStore::builder()
    ///     .render(|error, mut refusal| {
    ///         refusal.body = format!(r#"{{"error":"{}"}}"#, error.code());
    ///         refusal
    ///     })
    ///     .temporary()?;
    /// assert_eq!(store.refuse(&AuthError::Missing).body, r#"{"error":"missing_api_key"}"#);
    /// # Ok::<(), apikey::OpenError>(())
    /// ```
    pub fn render(mut self, render: impl Fn(&AuthError, Refusal) -> Refusal + Send + Sync + 'static) -> Self {
        self.options.header_config.set_render(Arc::new(render));
        self
    }

    /// Sets a function that the store calls for each request that it refuses, with the caller's address, the error, and
    /// the key whose secret the caller presented. Use it for alarms, or to feed a firewall's list of addresses.
    /// [`recheck`](KeyStore::recheck) does not call it.
    ///
    /// The function runs in the request's thread, before the response, and for every guess of a flood, so it must not
    /// block: increment a counter, or `try_send` into a bounded channel. The store catches a panic in it, logs the
    /// first one, and still refuses the request, unless the program aborts on panics. The store does not call the
    /// function for what it refuses within it.
    ///
    /// ```
    /// use std::sync::mpsc::sync_channel;
    /// use apikey::{AuthError, KeyStore};
    ///
    /// let (send, receive) = sync_channel(1000);
    /// let store = KeyStore::builder()
    ///     .on_refusal(move |refused| {
    ///         if *refused.error() == AuthError::Invalid {
    ///             drop(send.try_send(refused.peer())); // a full channel drops it
    ///         }
    ///     })
    ///     .temporary()?;
    /// assert!(store.verify("a guess").is_err());
    /// assert_eq!(receive.try_recv()?.to_string(), "unknown");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_refusal(mut self, call: impl Fn(&RefusedAttempt<'_>) + Send + Sync + 'static) -> Self {
        self.options.on_refusal = RefusalHook::new(Box::new(call));
        self
    }

    /// Opens the store in `path`, a directory that belongs to the store alone. The store creates the directory if it is
    /// missing (unless [`create_if_missing`](Self::create_if_missing) is off), and accepts an empty one.
    ///
    /// # Errors
    /// Any [`OpenError`]: another process has the store open, the store is damaged, a newer version wrote it, it does
    /// not fit the options, or the operating system returned an error.
    pub fn open(self, path: impl AsRef<Path>) -> Result<KeyStore, OpenError> {
        let Self { options, create, wait, schedule, admin, first, fixed, .. } = self.checked()?;
        let path = path.as_ref();
        let backups = schedule.as_ref().map(|schedule| schedule.directory.clone());
        let socket = admin.map(|admin| match admin {
            AdminSocket::Inside => path.join(crate::admin::SOCKET),
            AdminSocket::At(path) => path,
        });
        socket.as_deref().map_or(Ok(()), server::check)?;
        let local = LocalOptions { create, wait, backups };
        let store = open::open(options, &local, path).map_err(|mut error| {
            if let OpenError::Damaged { backup, .. } = &mut error {
                let noted = || Holder::backups(path);
                *backup = local.backups.clone().or_else(noted).as_deref().and_then(newest_good);
            }
            error
        })?;
        start_backups(schedule, path, &store)?;
        store.bootstrap(first, &fixed)?;
        socket.as_deref().map_or(Ok(()), |socket| server::start(socket, &store))?;
        Ok(store)
    }

    /// Opens a store for tests and demos. It deletes its files when it is dropped, and never syncs them to the disk.
    ///
    /// # Errors
    /// [`OpenError::Config`] if an option is invalid or does not apply to a temporary store; [`OpenError::Io`] if the
    /// operating system cannot create the temporary files.
    pub fn temporary(self) -> Result<KeyStore, OpenError> {
        let Self { options, schedule, admin, first, fixed, .. } = self.checked()?;
        if admin.is_some() {
            return Err(OpenError::Config("admin_socket: a temporary store has no directory for a socket".into()));
        }
        let store = open::temporary(options)?;
        start_backups(schedule, &std::env::temp_dir(), &store)?;
        store.bootstrap(first, &fixed)?;
        Ok(store)
    }

    fn checked(mut self) -> Result<Self, OpenError> {
        #[cfg(feature = "cluster")]
        if let Some(fault) = self.options.cluster.as_ref().and_then(crate::cluster::config::Cluster::fault) {
            return Err(OpenError::Config(fault));
        }
        if let Some(fault) = self.options.prefix_fault() {
            return Err(OpenError::Config(fault));
        }
        for (at, pepper) in self.options.peppers.iter().enumerate() {
            if pepper.number == 0 {
                return Err(OpenError::Config("pepper 0: numbers begin with 1".into()));
            }
            if pepper.bytes.len() < Pepper::MIN_BYTES {
                return Err(OpenError::Config(format!(
                    "pepper {}: it has {} bytes, at least {} are needed",
                    pepper.number,
                    pepper.bytes.len(),
                    Pepper::MIN_BYTES
                )));
            }
            if self.options.peppers.iter().skip(at + 1).any(|other| other.number == pepper.number) {
                return Err(OpenError::Config(format!("pepper {}: the number is given twice", pepper.number)));
            }
        }
        if let Some(schedule) = &self.schedule
            && (schedule.keep == 0 || schedule.every < Duration::from_secs(1))
        {
            return Err(OpenError::Config("backups: keep at least 1, at an interval of at least 1 second".into()));
        }
        let mut trusted = Vec::new();
        for text in &self.trusted {
            trusted.push(network::parse(text).ok_or_else(|| {
                OpenError::Config(format!(
                    "trusted proxy {text:?}: allowed are networks such as 10.0.0.0/8 or 2001:db8::/32, with no bits behind \
                     the prefix, and addresses"
                ))
            })?);
        }
        self.options.header_config.set_trusted(trusted);
        if let Some((count, per)) = self.options.failed_attempts
            && (!(1..=1_000_000).contains(&count)
                || !(1000..=FailedAttempts::MAX_PER).contains(&per.num_milliseconds()))
        {
            return Err(OpenError::Config(format!(
                "failed attempts {count} per {}: allowed are 1 to 1,000,000 per 1 second to 31 days",
                span_text(per)
            )));
        }
        if let Some(given) = self.catalog.take() {
            let catalog = Catalog::new(given).map_err(|fault| OpenError::Config(format!("catalog: {fault}")))?;
            self.options.catalog = CatalogOption::Given(catalog);
        }
        self.check_ends()?;
        match self.options.header_config.fault() {
            Some(fault) => Err(OpenError::Config(fault)),
            None => Ok(self),
        }
    }
}

fn start_backups(schedule: Option<Schedule>, path: &Path, store: &KeyStore) -> Result<(), OpenError> {
    let Some(schedule) = schedule else { return Ok(()) };
    let running = schedule::start(schedule, store).map_err(|source| OpenError::io(path, source))?;
    store.add_service(Box::new(running));
    Ok(())
}

impl fmt::Debug for KeyStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStoreBuilder")
            .field("prefix", &self.options.prefix)
            .field("accepted", &self.options.accepted)
            .field("peppers", &self.options.peppers)
            .field("header_config", &self.options.header_config)
            .finish_non_exhaustive()
    }
}
