//! The admin server: a Unix socket through which operators manage a store that this process has open.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::admin::accept_loop::AcceptLoop;
use crate::admin::socket_user::IS_KNOWN;
use crate::storage::open_error::OpenError;
use crate::store::key_store::KeyStore;
use crate::store::service::Service;

/// The most bytes of a socket's path: `sun_path` has 108 on Linux and 104 elsewhere, and ends with a zero.
const MAX_PATH: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

struct AdminServer {
    path: PathBuf,
    /// Device and inode of the socket, so that the server does not remove that of a successor.
    file: (u64, u64),
    ending: Arc<AtomicBool>,
    /// Wakes the accept loop when it is dropped. A `Signal` does not: the loop polls file descriptors.
    stop: UnixStream,
    thread: JoinHandle<()>,
}

impl AdminServer {
    /// Creates the socket and listens. The caller holds the store's lock.
    fn listen(path: &Path, store: &KeyStore) -> Result<Self, OpenError> {
        let refused = |source| OpenError::io(path, source);
        let path = &absolute(path)?;
        remove_stale(path)?;
        let listener = UnixListener::bind(path).map_err(refused)?;
        // Until then other users can connect if they have access to the directory, and the accept loop rejects them.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let socket = fs::symlink_metadata(path).map_err(refused)?;
        let (stop, stopped) = UnixStream::pair().map_err(refused)?;
        let ending = Arc::<AtomicBool>::default();
        let accept_loop =
            AcceptLoop { listener, stopped, inner: store.shared(), ending: ending.clone(), connections: Vec::new() };
        let thread = std::thread::Builder::new().name("apikey-admin".into()).spawn(move || accept_loop.run());
        let thread = thread.map_err(refused)?;
        Ok(Self { path: path.clone(), file: (socket.dev(), socket.ino()), ending, stop, thread })
    }
}

impl Service for AdminServer {
    /// Accepts no more connections, and waits for the requests in progress. The caller holds the store's lock.
    fn stop(self: Box<Self>) {
        self.ending.store(true, Ordering::Relaxed);
        let is_own = |file: fs::Metadata| (file.dev(), file.ino()) == self.file;
        if fs::symlink_metadata(&self.path).is_ok_and(is_own)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "the admin socket is not removed");
        }
        drop(self.stop);
        // An error means that the thread panicked; then there is nothing left to stop.
        let _ = self.thread.join();
    }
}

/// Starts the admin server of an open store, which runs until the store closes. The lock file names its socket.
pub(crate) fn start(path: &Path, store: &KeyStore) -> Result<(), OpenError> {
    let server = AdminServer::listen(path, store)?;
    if let Some(files) = store.inner().files().as_ref() {
        files.note_socket(&server.path);
    }
    store.add_service(Box::new(server));
    Ok(())
}

/// Checks whether the system allows such a socket, before the store is opened or created.
pub(crate) fn check(path: &Path) -> Result<(), OpenError> {
    if !IS_KNOWN {
        return Err(config("this system does not say which user connects to a socket"));
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

/// Removes the socket of a process that was killed. Any answer at the path is an error: another store may use it.
fn remove_stale(path: &Path) -> Result<(), OpenError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(OpenError::io(path, error)),
        Ok(file) if !file.file_type().is_socket() => {
            Err(config(&format!("{} exists and is not a socket: give another path", path.display())))
        }
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => {
                Err(config(&format!("another process listens at {}: give each store its own path", path.display())))
            }
            // No other error means that nobody listens: another user's socket gives PermissionDenied, a busy one
            // WouldBlock.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(|error| OpenError::io(path, error))
            }
            Err(error) => Err(OpenError::io(path, error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::time::{Duration, Instant};

    use chrono::TimeDelta;

    use crate::admin::{Answer, Client, Request, SinkForm};
    use crate::{ManualClock, NewKey, RotationPolicy};

    use super::*;

    #[test]
    fn only_a_socket_where_nobody_listens_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stale.sock");
        drop(UnixListener::bind(&path).unwrap());
        remove_stale(&path).unwrap();
        assert!(!path.exists());
        // A stream cannot connect to it, and it is in use nevertheless.
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
        let answer = std::thread::spawn(move || client.ask(&Request::RunDue { to }));
        let until = Instant::now() + Duration::from_secs(60);
        while !log.exists() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        store.close().unwrap();
        let started = fs::read_to_string(&log).unwrap().lines().count();
        assert!((1..4).contains(&started), "{started} deliveries");
        // The client gets the report of what was done.
        let Answer::Run(report) = answer.join().unwrap() else { panic!("no report") };
        assert_eq!((report.delivered.len(), report.failed.len()), (started, 0));
    }
}
