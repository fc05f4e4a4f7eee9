//! The options of a store.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use crate::access::auth_error::AuthError;
use crate::access::network;
use crate::base::time::{Clock, TimeSource};
use crate::http::proxies::ForwardedHeader;
use crate::http::refusal::Refusal;
use crate::index::refused::failed_attempts::FailedAttempts;
use crate::index::refused::refused_attempt::{RefusalHook, RefusedAttempt};
use crate::key::new_key::NewKey;
use crate::key::rotation::policy::RotationPolicy;
use crate::storage::holder::Holder;
use crate::storage::open_error::OpenError;
use crate::store::bootstrap::fixed_keys::FixedKeys;
use crate::token::api_key::{MAX_PREFIX, is_prefix};
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
use crate::store::open::options::Options;

/// How a store is opened. Made by [`KeyStore::builder`](crate::store::key_store::KeyStore::builder).
///
/// ```no_run
/// use std::time::Duration;
/// use apikey_core::{KeyStore, Pepper};
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
    first: Option<FirstKey>,
    fixed: Vec<FixedKeys>,
}

/// Where the service listens for operators.
#[derive(Debug, Clone)]
enum AdminSocket {
    /// In the store's directory.
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
            first: None,
            fixed: Vec::new(),
        }
    }
}

impl KeyStore {
    /// Opens the store in a directory of its own, which is made if it is missing; an empty one will do.
    ///
    /// # Errors
    /// See [`KeyStoreBuilder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::builder().open(path)
    }

    /// A store that is gone when it is dropped, and is not synced to the disk: for tests and demos.
    ///
    /// # Errors
    /// See [`KeyStoreBuilder::temporary`].
    pub fn temporary() -> Result<Self, OpenError> {
        Self::builder().temporary()
    }

    /// Options: prefix, peppers, clock, header, and more.
    pub fn builder() -> KeyStoreBuilder {
        KeyStoreBuilder::default()
    }
}

impl KeyStoreBuilder {
    /// The prefix of new tokens, `ak` if it is not set: lower case letters and digits in parts joined by `_`, a letter
    /// first, at most 16 characters. `acme_live` and `acme_test` tell environments apart. A store is bound to it.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.options.prefix = prefix.into();
        self
    }

    /// Goes on accepting tokens with a prefix that the store had before.
    pub fn accept_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.options.accepted.push(prefix.into());
        self
    }

    /// A pepper. May be called several times: the highest number is for new secrets, each other for the keys that
    /// were made with it. The store remembers a check value of each, and does not open without one that a key needs.
    pub fn pepper(mut self, pepper: Pepper) -> Self {
        self.options.peppers.push(pepper);
        self
    }

    /// Another clock than the system's: for tests.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.options.time = TimeSource::Given(Arc::new(clock));
        self
    }

    /// Whether a missing store is made; `true` if it is not set.
    pub fn create_if_missing(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// How long to wait for another process to close the store; not at all if it is not set. For restarts in which
    /// the new process starts before the old one has ended.
    pub fn wait_for_lock(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Whether verifications note the time of use; `true` if it is not set.
    pub fn track_use(mut self, track: bool) -> Self {
        self.options.track_use = track;
        self
    }

    /// Makes a [`backup`](KeyStore::backup) of the store every so often, into a directory that is made if it is missing,
    /// and keeps the newest `keep` of them. The first comes at once, or an interval after the newest that is there. Each
    /// is `apikey-{time}-{number of its last change}.backup`; other files are left alone, but the directory must not be
    /// that of another store, too. An old one is deleted only
    /// after a new one was written and checked. One that fails is logged (`tracing`) and tried again within a minute.
    ///
    /// Choose another disk, or copy them to one: a backup beside the store is lost with it. If the store is damaged,
    /// [`OpenError::Damaged`] names the newest good one.
    pub fn backup_every(mut self, interval: Duration, keep: usize, directory: impl Into<PathBuf>) -> Self {
        self.schedule = Some(Schedule { every: interval, keep, directory: directory.into() });
        self
    }

    /// Whether the command `apikey` can manage the store while this process has it open; `false` if it is not set. A
    /// thread listens at a Unix socket, `admin.sock` in the store's directory, until the store is closed. The kernel
    /// says who connects, and the service accepts the user that it runs as, and root; the socket has mode 0600, in a directory of
    /// mode 0700. Events name who it was, such as `uid:1000`.
    ///
    /// ```no_run
    /// let store = apikey_core::KeyStore::builder().admin_socket(true).open("/var/lib/acme/keys.db")?;
    /// # Ok::<(), apikey_core::OpenError>(())
    /// ```
    ///
    /// Linux only so far: elsewhere, and for a [temporary](Self::temporary) store, opening is [`OpenError::Config`].
    pub fn admin_socket(mut self, offer: bool) -> Self {
        self.admin = offer.then_some(AdminSocket::Inside);
        self
    }

    /// As [`admin_socket`](Self::admin_socket), with the socket at another path, such as `/run/acme/keys.sock`: where
    /// that of the store has more than 107 bytes, or its file system takes no sockets. The directory must be there, and
    /// should be this user's alone. The command finds the path in the store's lock file.
    pub fn admin_socket_at(mut self, path: impl Into<PathBuf>) -> Self {
        self.admin = Some(AdminSocket::At(path.into()));
        self
    }

    /// The longest life of a secret, a millisecond at least; none if it is not set. A key must then have an end within
    /// this time from the making of its newest secret, or a rotation policy whose `every` and overlap lie within it
    /// together: the policy binds each secret, and rotation never moves the key's own end. A key that breaks this is
    /// refused with [`StoreError::TooLong`](crate::StoreError::TooLong) where it is created or imported, and where an
    /// update sets its end or its policy. So is a rotation by hand of a key with a policy, if its overlap would let the
    /// secret before live longer, or has no end ([`UntilFirstUse`](crate::Overlap::UntilFirstUse)).
    ///
    /// It holds at verification, too: a secret that is older is refused as expired, also where no rotator runs that would have
    /// replaced it, and also if it was there before this was set ([`KeyInfo::secret_expires_at`](crate::KeyInfo::secret_expires_at)
    /// tells; opening the store logs how many keys that concerns). Rotation gives such a key a secret that is good.
    /// [Fixed keys](Self::fixed_keys_from_file) are exempt: they have the metadata
    /// `fixed`, which nobody else may set on an imported key.
    ///
    /// ```
    /// use apikey_core::{KeyStore, NewKey};
    /// use chrono::TimeDelta;
    ///
    /// let store = KeyStore::builder().max_lifetime(TimeDelta::days(90)).temporary()?;
    /// assert!(store.create(NewKey::for_owner("alice")).is_err());
    /// assert!(store.create(NewKey::for_owner("alice").expires_in(TimeDelta::days(90))).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_lifetime(mut self, most: TimeDelta) -> Self {
        self.options.max_lifetime = Some(most);
        self
    }

    /// The policy of new keys that name none themselves; none if it is not set. Imported lines
    /// ([`import`](KeyStore::import)) keep what they say, and [fixed keys](Self::fixed_keys_from_file) have none.
    pub fn default_rotation(mut self, policy: RotationPolicy) -> Self {
        self.options.rotation = Some(policy);
        self
    }

    /// Makes the first key of a new store, and writes its token to a file, for the operator to fetch: of mode 0600, never
    /// in the place of another file, and through no link. Its events have the actor `first_key`.
    ///
    /// Only a store that never had a key gets one (its history is empty), and not one whose keys are all gone. The file is
    /// in its place when [`open`](Self::open) returns, and holds the token and a newline. A crash in between is mended by
    /// the next open with the same path: until then the token may stand in `{path}.pending`. The directory must be
    /// there, and its file system must have hard links.
    ///
    /// ```
    /// use apikey_core::{KeyStore, NewKey};
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
    /// Opening fails with [`OpenError::Config`] if a store that never had a key finds the file there, or if the key is
    /// out of bounds.
    pub fn first_key(mut self, key: NewKey, path: impl Into<PathBuf>) -> Self {
        self.first = Some(FirstKey { key, path: path.into() });
        self
    }

    /// Makes keys that a deployment brings with it, for previews and tests: those of an environment variable, one a line
    /// (or with `;` between). A variable that is not set has none. See [`fixed_keys_from_file`](Self::fixed_keys_from_file).
    pub fn fixed_keys_from_env(mut self, variable: impl Into<String>) -> Self {
        self.fixed.push(FixedKeys::Variable(variable.into()));
        self
    }

    /// Makes keys that a deployment brings with it: those of a file, one a line, by their digest.
    ///
    /// ```text
    /// # owner    permissions (commas between them, - for none)   digest of the whole key
    /// preview    orders:read,customers:*                         sha256:f4d5332088e579bfad3a9c1a04f97a2de4c4d3f38f129433e7e00d0b873bec69
    /// ```
    ///
    /// Make the key with `openssl rand -hex 32`, and its digest with `printf %s "$KEY" | sha256sum`; a key in this store's
    /// own form will not do. A key is made when the store is opened and has never had it. After that it is a key like any
    /// other: one that was changed, rotated, revoked or purged is not made again, and what the line says of it then does
    /// not matter. (After a restore, one that was purged is: take its line out.) Empty lines, and lines that begin with
    /// `#`, are passed over. Their events have the actor `fixed_keys`, and the keys the metadata `fixed`.
    ///
    /// Their secrets are the deployment's, so [`default_rotation`](Self::default_rotation) does not hold for them, nor
    /// [`max_lifetime`](Self::max_lifetime): who wants an end takes the line out, and revokes the key.
    ///
    /// Opening fails with [`OpenError::Config`], which names the line, if one does not have this form, and for a file that
    /// cannot be read.
    pub fn fixed_keys_from_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.fixed.push(FixedKeys::File(path.into()));
        self
    }

    /// The header that carries the key, `X-API-Key` if it is not set. A field that has another meaning (`Cookie`, `Host`,
    /// `Content-Length`, `X-Forwarded-For` and their like) is [`OpenError::Config`].
    pub fn header(mut self, name: impl Into<String>) -> Self {
        self.options.header_config.set_header(name.into());
        self
    }

    /// Whether `Authorization: Bearer` is read too; `false` if it is not set.
    pub fn bearer(mut self, bearer: bool) -> Self {
        self.options.header_config.set_bearer(bearer);
        self
    }

    /// The realm named in challenges, `api` if it is not set.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.options.header_config.set_realm(realm.into());
        self
    }

    /// The networks of your own proxies, such as `10.0.0.0/8`. What they write into `X-Forwarded-For`, or the header that
    /// [`forwarded_header`](Self::forwarded_header) names, is believed: a request's address is the rightmost that is none of
    /// theirs. Without proxies of your own leave this out: then the service ignores that header, since any client can send it.
    ///
    /// A proxy that names nobody, or whose header cannot be read, is not taken for the caller: that one is
    /// [`Peer::Behind`](crate::Peer::Behind) it, and refused by keys that name networks. See
    /// [`proxies_may_call`](Self::proxies_may_call).
    ///
    /// Only for frameworks' requests; [`Attempt::peer`](crate::Attempt::peer) is taken as it is.
    pub fn trusted_proxies<T: AsRef<str>>(mut self, networks: impl IntoIterator<Item = T>) -> Self {
        self.trusted = networks.into_iter().map(|network| network.as_ref().to_owned()).collect();
        self
    }

    /// The header in which trusted proxies write, `X-Forwarded-For` if it is not set. Name the one that all of them set: the
    /// other is passed on as the client sent it.
    pub fn forwarded_header(mut self, header: ForwardedHeader) -> Self {
        self.options.header_config.set_forwarded(header);
        self
    }

    /// Whether a trusted proxy that forwards for nobody is the caller itself; `false` if it is not set. For proxies that
    /// make requests of their own, such as health checks with a key that names their network.
    ///
    /// Turn it on only if each of them always writes the header when it forwards. Where one may leave it out, whoever is
    /// behind it passes for the proxy. A header that is there and cannot be read never makes the proxy the caller. On
    /// rocket this has no effect: there a client can make the header vanish, by a byte that is not UTF-8.
    pub fn proxies_may_call(mut self, may_call: bool) -> Self {
        self.options.header_config.set_proxies_may_call(may_call);
        self
    }

    /// How many attempts from one address may fail: `count` at once, and as many more, evenly spread, in each period of 1
    /// second to 31 days. Off if it is not set.
    ///
    /// Only a key that is [`Invalid`](AuthError::Invalid) counts, in [`check`](KeyStore::check) and
    /// [`identify_attempt`](KeyStore::identify_attempt). It is charged to the caller's address
    /// ([`Attempt::peer`](crate::Attempt::peer)); where a trusted proxy does not say who that is, to all such callers of the
    /// proxy together; and where nothing is known, to all of those. When the budget is used up, every attempt from the address is
    /// [`RateLimited`](AuthError::RateLimited) before the store looks for its key. **That holds for good keys, too**: to let
    /// them in, the store would have to look up each attempt, and so answer each guess. Where many callers share an
    /// address (a company, a mobile network), one that guesses locks out the others, so choose a count that is far above
    /// what honest callers do in error. Keys of this store cannot be guessed; imported ones may be.
    ///
    /// Addresses of IPv6 count by their first 64 bits; their /56 has four times that budget, and their /48 sixteen times.
    /// Where the clock is set back, all begin anew, so nobody is refused for longer than the period. The table has 256 KiB and
    /// 32,768 places, and does not grow. A flood of addresses pushes out those that have failed least, and never one whose
    /// budget is used up; while all of the eight places where an address could be are taken by such, its failures are not
    /// counted. Attempts at the same moment can exceed the count by as many as there are threads.
    pub fn failed_attempts(mut self, count: u32, per: TimeDelta) -> Self {
        self.options.failed_attempts = Some((count, per));
        self
    }

    /// Makes another body, and other headers, for refusals. The status and the challenge stay, whatever it returns.
    ///
    /// ```
    /// use apikey_core::{AuthError, KeyStore};
    ///
    /// let store = KeyStore::builder()
    ///     .render(|error, mut refusal| {
    ///         refusal.body = format!(r#"{{"error":"{}"}}"#, error.code());
    ///         refusal
    ///     })
    ///     .temporary()?;
    /// assert_eq!(store.refuse(&AuthError::Missing).body, r#"{"error":"missing_api_key"}"#);
    /// # Ok::<(), apikey_core::OpenError>(())
    /// ```
    pub fn render(mut self, render: impl Fn(&AuthError, Refusal) -> Refusal + Send + Sync + 'static) -> Self {
        self.options.header_config.set_render(Arc::new(render));
        self
    }

    /// Calls this for each request that is refused, with the caller's address, the error, and the key whose secret was
    /// presented: for alarms, and for lists of addresses that a firewall reads. [`recheck`](KeyStore::recheck) tells nothing.
    ///
    /// It runs in the thread of the request, before that is answered, and for every guess of a flood: it must not block.
    /// Count, or `try_send` into a bounded channel. A panic in it is caught and logged once, unless the program aborts on
    /// panics; the request is refused all the same. What is refused within it is not told.
    ///
    /// ```
    /// use std::sync::mpsc::sync_channel;
    /// use apikey_core::{AuthError, KeyStore};
    ///
    /// let (send, receive) = sync_channel(1000);
    /// let store = KeyStore::builder()
    ///     .on_refusal(move |refused| {
    ///         if *refused.error() == AuthError::Invalid {
    ///             drop(send.try_send(refused.peer())); // one that is not taken in time is lost
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

    /// Opens the store in this directory, which belongs to the store alone; it is made if it is missing, and an empty
    /// one will do.
    ///
    /// # Errors
    /// Every [`OpenError`]: the store is in use, damaged, newer than this version, does not fit the options, or the
    /// operating system refused.
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

    /// Opens a store that is gone when it is dropped, and is not synced to the disk: for tests and demos.
    ///
    /// # Errors
    /// [`OpenError::Config`] for options that do not fit each other, [`OpenError::Io`] if there is no room for
    /// temporary files.
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
        for prefix in self.options.accepted.iter().chain([&self.options.prefix]) {
            if !is_prefix(prefix) {
                return Err(OpenError::Config(format!(
                    "prefix {prefix:?}: allowed are lower case letters and digits in parts joined by `_`, a letter \
                     first, at most {MAX_PREFIX} characters"
                )));
            }
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
            return Err(OpenError::Config("backups: at least one is kept, and a second or more lies between".into()));
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
                "failed attempts {count} per {per}: allowed are 1 to 1,000,000 per 1 second to 31 days"
            )));
        }
        if let Some(most) = self.options.max_lifetime.filter(|most| most.num_milliseconds() < 1) {
            return Err(OpenError::Config(format!("max_lifetime {most}: a millisecond or more")));
        }
        if let Some(policy) = self.options.rotation {
            policy.stored().map_err(|error| OpenError::Config(format!("default_rotation: {error}")))?;
        }
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
