//! The thread in which connections live. Calls come from any thread, also from inside of a runtime of the caller's, where
//! nothing may block on another one.

use std::future::Future;
use std::io;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use apikey_core::cluster::{LedgerError, LedgerResult};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// How long a call waits beyond its time for a thread that is late. The call itself ends in time.
const GRACE: Duration = Duration::from_secs(1);

/// A thread with a runtime, which ends when this is dropped.
pub(crate) struct Runtime {
    handle: Handle,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Runtime {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().max_blocking_threads(2).build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("apikey-postgres".to_owned()).spawn(move || {
            // The sender is dropped, and sends nothing.
            let _ = runtime.block_on(ended);
            // A name that is being resolved can take long.
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, end: Some(end), thread: Some(thread) })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Does a call, and blocks until it ends.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        by: Instant,
        call: impl Future<Output = LedgerResult<T>> + Send + 'static,
    ) -> LedgerResult<T> {
        let (sender, answer) = sync_channel(1);
        self.handle.spawn(async move {
            // Who asked may have given up.
            let _ = sender.send(call.await);
        });
        let left = by.saturating_duration_since(Instant::now());
        answer.recv_timeout(left + GRACE).unwrap_or_else(|error| {
            Err(LedgerError::unknown(match error {
                RecvTimeoutError::Timeout => "the thread of the connections does not run",
                RecvTimeoutError::Disconnected => "the thread of the connections has ended",
            }))
        })
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It panics nowhere; and if it did, there is nobody to tell.
            let _ = thread.join();
        }
    }
}
