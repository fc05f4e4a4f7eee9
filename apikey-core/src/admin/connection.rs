//! One connection to the admin server: requests and answers in turn.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::admin::frame::{self, FrameError};
use crate::admin::{Answer, Fault, FaultKind, Request, Session};

/// How long a connection may stay silent between requests.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// How long one message may take to arrive or to leave.
pub(super) const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers requests until the other side closes the connection.
pub(super) fn serve(stream: &UnixStream, mut session: Session) -> Result<(), FrameError> {
    let mut writer = stream;
    loop {
        let mut reader = TimedReader { stream, deadline: None };
        let answer = match frame::read::<Request>(&mut reader) {
            Ok(request) => session.ask(request),
            Err(FrameError::Closed) => return Ok(()),
            Err(error @ FrameError::Io(_)) => return Err(error),
            Err(error) => {
                // The connection ends with this: nothing shows where the next message would begin.
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

/// Reads one message. The first byte may take [`IDLE_TIMEOUT`], and the rest [`MESSAGE_TIMEOUT`].
struct TimedReader<'a> {
    stream: &'a UnixStream,
    /// Set by the first byte.
    deadline: Option<Instant>,
}

impl Read for TimedReader<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.map_or(IDLE_TIMEOUT, |deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut stream = self.stream;
        let read = stream.read(bytes)?;
        self.deadline.get_or_insert_with(|| Instant::now() + MESSAGE_TIMEOUT);
        Ok(read)
    }
}
