//! The thread that accepts connections to the admin server, and gives each a thread.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use crate::admin::connection::{MESSAGE_TIMEOUT, serve};
use crate::admin::frame;
use crate::admin::socket_user::peer;
use crate::admin::{Answer, Fault, FaultKind, Session};
use crate::key::event::actor::Actor;

use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;

/// The most connections at a time.
const MAX_CONNECTIONS: usize = 16;

pub(super) struct AcceptLoop {
    pub(super) listener: UnixListener,
    /// Becomes readable when the server stops.
    pub(super) stopped: UnixStream,
    pub(super) inner: Arc<Inner>,
    pub(super) ending: Arc<AtomicBool>,
    pub(super) connections: Vec<Connection>,
}

pub(super) struct Connection {
    /// A second handle, to shut the connection down.
    stream: UnixStream,
    thread: JoinHandle<()>,
}

impl AcceptLoop {
    /// Accepts connections until the server stops, and waits for those that are left.
    pub(super) fn run(mut self) {
        while self.wait() {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if let Err(error) = self.accept(stream) {
                        tracing::warn!(%error, "the admin server could not serve a connection");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    tracing::warn!(%error, "the admin server could not accept a connection");
                    // Most likely the process is out of file descriptors: the socket stays readable, and this must not
                    // spin.
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
        // The requests that have arrived are still answered.
        for connection in &self.connections {
            let _ = connection.stream.shutdown(Shutdown::Read);
        }
        let deadline = Instant::now() + MESSAGE_TIMEOUT;
        for Connection { stream, thread } in self.connections {
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            // A client that does not read its answer must not delay the end.
            let _ = stream.shutdown(Shutdown::Both);
            let _ = thread.join();
        }
    }

    /// Waits for a connection; returns `false` when the server stops.
    fn wait(&self) -> bool {
        loop {
            let mut both = [PollFd::new(&self.listener, PollFlags::IN), PollFd::new(&self.stopped, PollFlags::IN)];
            match poll(&mut both, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "the admin server stops: it cannot wait for connections");
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

    /// Serves a connection of root or of the service's user in a thread of its own, and rejects every other.
    fn accept(&mut self, stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(MESSAGE_TIMEOUT))?;
        let uid = peer(&stream)?;
        let own = rustix::process::geteuid().as_raw();
        if uid != own && uid != 0 {
            tracing::warn!(uid, "the admin server rejected another user");
            let text = format!("user {uid} may not manage this store: only user {own}, who runs the service, and root");
            return reject(stream, text);
        }
        self.connections.retain(|connection| !connection.thread.is_finished());
        if self.connections.len() >= MAX_CONNECTIONS {
            return reject(stream, format!("{MAX_CONNECTIONS} operators are connected already: try again"));
        }
        let (inner, ending) = (self.inner.clone(), self.ending.clone());
        let shared = stream.try_clone()?;
        let thread = std::thread::Builder::new().name("apikey-admin".into()).spawn(move || {
            let session = Session::ending(KeyStore::internal(&inner).as_actor(Actor::Uid(uid)), ending);
            if let Err(error) = serve(&stream, session) {
                tracing::debug!(%error, "a connection to the admin server ended");
            }
            // The accept loop has a handle, too, which keeps the connection open.
            let _ = stream.shutdown(Shutdown::Both);
        })?;
        self.connections.push(Connection { stream: shared, thread });
        Ok(())
    }
}

fn reject(mut stream: UnixStream, text: String) -> io::Result<()> {
    let answer = Answer::Fault(Fault::new(FaultKind::Protocol, text));
    stream.write_all(&frame::encode(&answer).map_err(io::Error::other)?)
}
