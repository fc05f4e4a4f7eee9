//! Asking a service.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::admin::frame;
use crate::admin::frame::FrameError;
use crate::admin::{Answer, Fault, FaultKind, Request};

/// A connection to the service that has a store open.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
}

/// Why a service cannot be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody listens there, or the socket refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Somebody listens there who is neither root nor this user, nor owns the store.
    #[error("{}: user {uid} listens there, who does not own the store", path.display())]
    Stranger {
        /// The socket.
        path: PathBuf,
        /// Who.
        uid: u32,
    },
}

impl Client {
    /// Connects to the socket of the service that has the store in this directory open. A token may be sent there, so it
    /// must be the service of this user, of root, or of who owns the directory.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn connect(socket: impl AsRef<Path>, store: impl AsRef<Path>) -> Result<Self, ConnectError> {
        let path = socket.as_ref();
        let refused = |source| ConnectError::Io { path: path.to_owned(), source };
        let stream = UnixStream::connect(path).map_err(refused)?;
        let uid = peer(&stream).map_err(refused)?;
        let owner = std::fs::metadata(store).map_err(refused)?.uid();
        if ![0, owner, rustix::process::geteuid().as_raw()].contains(&uid) {
            return Err(ConnectError::Stranger { path: path.to_owned(), uid });
        }
        Ok(Self { stream })
    }

    /// Asks, and waits for the answer, as long as it takes.
    pub fn ask(&mut self, request: &Request) -> Answer {
        self.try_ask(request).unwrap_or_else(|error| {
            let text = match error {
                FrameError::Closed | FrameError::Io(_) => {
                    format!("the service ended the connection ({error}): whether it was done, `apikey events` shows")
                }
                error => format!("asking the service: {error}"),
            };
            Answer::Fault(Fault::new(FaultKind::Protocol, text))
        })
    }

    fn try_ask(&mut self, request: &Request) -> Result<Answer, FrameError> {
        // Who is turned away is told so, and hears of it by reading, also where writing fails.
        let written = self.stream.write_all(&frame::encode(request)?);
        match (frame::read(&mut self.stream), written) {
            (Ok(answer), _) => Ok(answer),
            (Err(_), Err(error)) => Err(error.into()),
            (Err(error), Ok(())) => Err(error),
        }
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
