//! The client of the admin server.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::admin::frame::{self, FrameError};
use crate::admin::socket_user::peer;
use crate::admin::{Answer, Fault, FaultKind, Request};

/// A connection to the service that has a store open.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
}

/// An error of [`Client::connect`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The connection failed: no process listens at the socket, or this user may not use it.
    #[error("{}: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The process that listens runs as a user who is not root, nor this user, nor the store's owner.
    #[error("{}: user {uid} listens there, who does not own the store", path.display())]
    Stranger {
        /// The socket.
        path: PathBuf,
        /// The number of that user.
        uid: u32,
    },
}

impl Client {
    /// Connects to the socket of the service that has the store in this directory open. A request may contain a token,
    /// so the service must run as this user, as root, or as the owner of the directory.
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

    /// Sends a request, and waits for the answer without a time limit.
    pub fn ask(&mut self, request: &Request) -> Answer {
        self.try_ask(request).unwrap_or_else(|error| {
            let fault = match error {
                FrameError::Closed | FrameError::Io(_) => Fault::new(
                    FaultKind::Closed,
                    format!("the service ended the connection ({error}): whether it was done, `apikey events` shows"),
                ),
                error => Fault::new(FaultKind::Protocol, format!("asking the service: {error}")),
            };
            Answer::Fault(fault)
        })
    }

    fn try_ask(&mut self, request: &Request) -> Result<Answer, FrameError> {
        // A server that rejects this user answers before it reads, so there may be an answer even if writing fails.
        let written = self.stream.write_all(&frame::encode(request)?);
        match (frame::read(&mut self.stream), written) {
            (Ok(answer), _) => Ok(answer),
            (Err(_), Err(error)) => Err(error.into()),
            (Err(error), Ok(())) => Err(error),
        }
    }
}
