//! Where operators come in while a service has the store open: a Unix socket, and a thread for each of them.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use crate::admin::frame;
use crate::admin::frame::FrameError;
use crate::admin::{Answer, Fault, FaultKind, Request, Session};
use crate::storage::open_error::OpenError;

use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;
use crate::store::service::Service;

/// Operators at a time.
const MOST: usize = 16;
/// How long one may be silent between requests.
const IDLE: Duration = Duration::from_secs(600);
/// How long a message may take to come or to go.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of a socket's path: `sun_path` has 108 on Linux and 104 elsewhere, and a zero at the end.
const MAX_PATH: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

/// The socket of an open store.
pub(crate) struct Door {
    path: PathBuf,
    /// The file that was made, so that the one of a successor is not removed.
    file: (u64, u64),
    ending: Arc<AtomicBool>,
    /// Dropped, it wakes the thread.
    bell: UnixStream,
    porter: JoinHandle<()>,
}

impl Door {
    /// Makes the socket and listens. The caller holds the store's lock.
    pub(crate) fn open(path: &Path, store: &KeyStore) -> Result<Self, OpenError> {
        let refused = |source| OpenError::io(path, source);
        let path = &absolute(path)?;
        remove_stale(path)?;
        let listener = UnixListener::bind(path).map_err(refused)?;
        // Until then others may connect, if the directory lets them; the porter sends them away.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let made = fs::symlink_metadata(path).map_err(refused)?;
        let (bell, rung) = UnixStream::pair().map_err(refused)?;
        let ending = Arc::<AtomicBool>::default();
        let porter = Porter { listener, rung, inner: store.shared(), ending: ending.clone(), guests: Vec::new() };
        let thread = std::thread::Builder::new().name("apikey-admin".into()).spawn(move || porter.work());
        let porter = thread.map_err(refused)?;
        Ok(Self { path: path.clone(), file: (made.dev(), made.ino()), ending, bell, porter })
    }
}

impl Service for Door {
    /// Accepts no more connections, and waits for what is under way. The store's lock is held.
    fn stop(self: Box<Self>) {
        self.ending.store(true, Ordering::Relaxed);
        let ours = |file: fs::Metadata| (file.dev(), file.ino()) == self.file;
        if fs::symlink_metadata(&self.path).is_ok_and(ours)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "the admin socket is not removed");
        }
        drop(self.bell);
        // It panicked if this fails; then there is nothing left to stop.
        let _ = self.porter.join();
    }
}

/// Makes the socket of an open store, listens there until the store is closed, and writes into its lock file where that is.
pub(crate) fn start(path: &Path, store: &KeyStore) -> Result<(), OpenError> {
    let server = Door::open(path, store)?;
    if let Some(files) = store.inner().files().as_ref() {
        files.note_socket(&server.path);
    }
    store.add_service(Box::new(server));
    Ok(())
}

/// Whether there can be such a socket at all; asked before the store is opened, and maybe made.
pub(crate) fn check(path: &Path) -> Result<(), OpenError> {
    if !cfg!(any(target_os = "linux", target_os = "android")) {
        return Err(config("this system does not tell who connects to a socket (SO_PEERCRED)"));
    }
    let path = absolute(path)?;
    match path.as_os_str().len() {
        0..=MAX_PATH => Ok(()),
        length => Err(config(&format!(
            "the path {} has {length} bytes, and a Unix socket's has at most {MAX_PATH}: give a shorter one with \
             admin_socket_at",
            path.display()
        ))),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, OpenError> {
    std::path::absolute(path).map_err(|source| OpenError::io(path, source))
}

fn config(what: &str) -> OpenError {
    OpenError::Config(format!("admin_socket: {what}"))
}

/// A socket that a killed process left. Another store may have been given the same path: nobody may answer there.
fn remove_stale(path: &Path) -> Result<(), OpenError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(OpenError::io(path, error)),
        Ok(file) if !file.file_type().is_socket() => {
            Err(config(&format!("{} is there and is no socket: give another path", path.display())))
        }
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => {
                Err(config(&format!("another process listens at {}: give each store its own path", path.display())))
            }
            // Nothing else says that nobody listens: another user's socket answers PermissionDenied, a busy one WouldBlock.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(|error| OpenError::io(path, error))
            }
            Err(error) => Err(OpenError::io(path, error)),
        },
    }
}

/// Who opens the door.
struct Porter {
    listener: UnixListener,
    rung: UnixStream,
    inner: Arc<Inner>,
    ending: Arc<AtomicBool>,
    guests: Vec<(UnixStream, JoinHandle<()>)>,
}

impl Porter {
    fn work(mut self) {
        while self.waits() {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if let Err(error) = self.admit(stream) {
                        tracing::warn!(%error, "an operator is not let in");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    tracing::warn!(%error, "the admin socket does not accept");
                    // Out of file descriptors, most likely: the socket stays readable, and this must not spin.
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
        // What they were asked is still answered; they are heard no more.
        for (stream, _) in &self.guests {
            let _ = stream.shutdown(Shutdown::Read);
        }
        let until = Instant::now() + PATIENCE;
        for (stream, guest) in self.guests {
            while !guest.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
            // One that does not take its answer holds up the end no longer.
            let _ = stream.shutdown(Shutdown::Both);
            let _ = guest.join();
        }
    }

    /// Returns `true` when somebody is there, `false` when the store is being closed.
    fn waits(&self) -> bool {
        loop {
            let mut both = [PollFd::new(&self.listener, PollFlags::IN), PollFd::new(&self.rung, PollFlags::IN)];
            match poll(&mut both, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "the admin socket cannot be waited at, and is closed");
                    return false;
                }
            }
            if self.ending.load(Ordering::Relaxed) {
                return false;
            }
            if both.first().is_some_and(|listener| !listener.revents().is_empty()) {
                return true;
            }
        }
    }

    fn admit(&mut self, stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let uid = peer(&stream)?;
        let own = rustix::process::geteuid().as_raw();
        if uid != own && uid != 0 {
            tracing::warn!(uid, "another user is refused at the admin socket");
            let text = format!("user {uid} may not manage this store: only user {own}, who runs the service, and root");
            return turn_away(stream, text);
        }
        self.guests.retain(|(_, guest)| !guest.is_finished());
        if self.guests.len() >= MOST {
            return turn_away(stream, format!("{MOST} operators are here already: try again"));
        }
        let (inner, ending) = (self.inner.clone(), self.ending.clone());
        let shared = stream.try_clone()?;
        let guest = std::thread::Builder::new().name("apikey-admin".into()).spawn(move || {
            let session = Session::ending(KeyStore::internal(&inner).as_actor(format!("uid:{uid}")), ending);
            if let Err(error) = serve(&stream, session) {
                tracing::debug!(%error, "an operator's connection ended");
            }
            // The porter has a handle to the connection, too.
            let _ = stream.shutdown(Shutdown::Both);
        })?;
        self.guests.push((shared, guest));
        Ok(())
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn peer(stream: &UnixStream) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn peer(_: &UnixStream) -> io::Result<u32> {
    Err(io::ErrorKind::Unsupported.into())
}

fn turn_away(mut stream: UnixStream, text: String) -> io::Result<()> {
    let answer = Answer::Fault(Fault::new(FaultKind::Protocol, text));
    stream.write_all(&frame::encode(&answer).map_err(io::Error::other)?)
}

/// Answers until the other side leaves, or does not keep to the protocol.
fn serve(stream: &UnixStream, mut session: Session) -> Result<(), FrameError> {
    let mut writer = stream;
    loop {
        let mut reader = Patient { stream, until: None };
        let answer = match frame::read::<Request>(&mut reader) {
            Ok(request) => session.ask(request),
            Err(FrameError::Closed) => return Ok(()),
            Err(error @ FrameError::Io(_)) => return Err(error),
            Err(error) => {
                // It is told why; where the next message would begin nobody knows.
                let fault = Answer::Fault(Fault::new(FaultKind::Protocol, error.to_string()));
                writer.write_all(&frame::encode(&fault)?)?;
                return Err(error);
            }
        };
        let encoded = frame::encode(&answer).or_else(|error| {
            frame::encode(&Answer::Fault(Fault::new(FaultKind::Protocol, format!("the answer: {error}"))))
        })?;
        writer.write_all(&encoded)?;
    }
}

/// Reads a message: it may be long in coming, and once it has begun it must come.
struct Patient<'a> {
    stream: &'a UnixStream,
    until: Option<Instant>,
}

impl Read for Patient<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = self.until.map_or(IDLE, |until| until.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut stream = self.stream;
        let read = stream.read(bytes)?;
        self.until.get_or_insert_with(|| Instant::now() + PATIENCE);
        Ok(read)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use chrono::TimeDelta;

    use crate::admin::{Client, SinkForm};
    use crate::{ManualClock, NewKey, RotationPolicy};

    use super::*;

    #[test]
    fn only_a_socket_where_nobody_listens_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stale.sock");
        drop(UnixListener::bind(&path).unwrap());
        remove_stale(&path).unwrap();
        assert!(!path.exists());
        // It cannot be connected to so, and is in use all the same.
        let _held = UnixDatagram::bind(&path).unwrap();
        let error = remove_stale(&path).unwrap_err().to_string();
        assert!(error.contains("stale.sock"), "{error}");
        assert!(path.exists());
    }

    #[test]
    fn closing_waits_for_one_delivery_and_not_for_all() {
        let directory = tempfile::tempdir().unwrap();
        let (path, log) = (directory.path().join("keys.db"), directory.path().join("deliveries"));
        let clock = ManualClock::new(chrono::Utc::now());
        let store = KeyStore::builder().clock(clock.clone()).admin_socket(true).open(&path).unwrap();
        for _ in 0..4 {
            store.create(NewKey::for_owner("web").rotation(RotationPolicy::every(TimeDelta::hours(1)))).unwrap();
        }
        clock.advance(TimeDelta::hours(2));
        let mut client = Client::connect(path.join("admin.sock"), &path).unwrap();
        let script = format!("echo one >> '{}'; sleep 1", log.display());
        let to = SinkForm::Command {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script],
            environment: Vec::new(),
        };
        let asked = std::thread::spawn(move || client.ask(&Request::RunDue { to }));
        let until = Instant::now() + Duration::from_secs(60);
        while !log.exists() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        store.close().unwrap();
        let begun = fs::read_to_string(&log).unwrap().lines().count();
        assert!((1..4).contains(&begun), "{begun} deliveries");
        // What was done is told.
        let Answer::Run(report) = asked.join().unwrap() else { panic!("no report") };
        assert_eq!((report.delivered.len(), report.failed.len()), (begun, 0));
    }
}
