use std::fmt;
use std::future::Future;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use apikey_core::cluster::{LedgerError, LedgerResult};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// How long a call waits beyond its time for a thread that is late. The call itself ends in time.
const GRACE: Duration = Duration::from_secs(1);

/// The thread in which connections live, with a runtime of tokio's; it ends when this is dropped.
///
/// Calls come from any thread, also from inside of a runtime of the caller's, where nothing may block on another one.
pub struct ConnectionThread {
    handle: Handle,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ConnectionThread {
    /// Starts a thread of this name.
    ///
    /// # Errors
    /// A text that says why there is none.
    pub fn start(name: &str) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot start a thread: {error}");
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_io().enable_time().max_blocking_threads(2).build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let run = move || {
            // The sender is dropped, and sends nothing.
            let _ = runtime.block_on(ended);
            // A name that is being resolved can take long.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(failed)?;
        Ok(Self { handle, end: Some(end), thread: Some(thread) })
    }

    /// Does a call, and blocks until it ends: by the time `by`, to which the call itself keeps.
    ///
    /// # Errors
    /// That of the call; [`LedgerError::Unknown`] if the thread does not run.
    pub fn call<T: Send + 'static>(
        &self,
        by: Instant,
        call: impl Future<Output = LedgerResult<T>> + Send + 'static,
    ) -> LedgerResult<T> {
        self.begin(call).wait(by)
    }

    /// Begins a call, for which nobody waits yet.
    pub fn begin<T: Send + 'static>(&self, call: impl Future<Output = LedgerResult<T>> + Send + 'static) -> Begun<T> {
        let (sender, answer) = sync_channel(1);
        self.handle.spawn(async move {
            // The caller may have given up.
            let _ = sender.send(call.await);
        });
        Begun(answer)
    }

    /// Starts what nobody waits for, such as a task that listens. It ends with the thread.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(task);
    }
}

impl Drop for ConnectionThread {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It panics nowhere; and if it did, there is nobody to report it to.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for ConnectionThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionThread").finish_non_exhaustive()
    }
}

/// A call that goes on in the thread of the connections.
#[derive(Debug)]
#[must_use = "nobody learns how the call ends"]
pub struct Begun<T>(Receiver<LedgerResult<T>>);

impl<T> Begun<T> {
    /// Blocks until the call ends.
    ///
    /// # Errors
    /// Those of [`ConnectionThread::call`].
    pub fn wait(self, by: Instant) -> LedgerResult<T> {
        let left = by.saturating_duration_since(Instant::now());
        self.0.recv_timeout(left + GRACE).unwrap_or_else(|error| {
            Err(LedgerError::unknown(match error {
                RecvTimeoutError::Timeout => "the thread of the connections does not run",
                RecvTimeoutError::Disconnected => "the thread of the connections has ended",
            }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_answered_also_inside_of_a_runtime() {
        let thread = ConnectionThread::start("test").unwrap();
        let soon = Instant::now() + Duration::from_secs(60);
        let name = || async { Ok(std::thread::current().name().map(str::to_owned)) };
        assert_eq!(thread.call(soon, name()), Ok(Some("test".to_owned())));
        let runtime = Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(async { thread.call(soon, name()) }), Ok(Some("test".to_owned())));
    }

    #[test]
    fn a_call_that_panics_or_never_ends_is_unknown() {
        let thread = ConnectionThread::start("test").unwrap();
        let call = async {
            if true {
                panic!("as a client might");
            }
            Ok(())
        };
        let error = thread.call(Instant::now() + Duration::from_secs(60), call).unwrap_err();
        assert!(matches!(error, LedgerError::Unknown { .. }), "{error}");
        let error = thread.call(Instant::now(), std::future::pending::<LedgerResult<()>>()).unwrap_err();
        assert!(matches!(error, LedgerError::Unknown { .. }), "{error}");
    }
}
