//! Following the log of the cluster.

use std::time::Duration;

use crate::base::signal::Wake;
use crate::cluster::ledger::Woken;
use crate::cluster::node::apply::LogRead;
use crate::cluster::node::shared::{FollowError, Node, PATIENCE};
use crate::cluster::protocol::intervals;
use crate::commit::engine::Engine;

/// The first pause after an error, which doubles up to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Node {
    /// Applies what the log gets, and acknowledges it, until the node closes.
    pub(crate) fn follow_until_closed(&self, engine: &Engine) {
        let interval = intervals::looks(self.settings.bound);
        let mut pause = FIRST_PAUSE;
        while !self.following.is_closed() {
            let waited = self.ledger.wait(self.generation(), self.head().number, self.runtime.now() + interval);
            if waited == Ok(Woken::Closed) {
                return;
            }
            match self.follow(engine) {
                Ok(()) if waited.is_ok() => pause = FIRST_PAUSE,
                result => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "the log of the cluster cannot be followed");
                    }
                    // Without the waits of the ledger, looks and own changes wake this thread.
                    if self.runtime.wait(&self.following, Some(self.runtime.now() + self.jittered(pause)))
                        == Wake::Closed
                    {
                        return;
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Reads what follows in the log until reads return little, applies it, and acknowledges each part: a log that others
    /// append to all the time has no end to wait for. Whether anything follows what is little, the next wait finds out: with
    /// many nodes a read in vain for each change of another one would be a quarter of what the engine does.
    pub(crate) fn follow(&self, engine: &Engine) -> Result<(), FollowError> {
        loop {
            let read = self.check_in_step().and_then(|()| self.read_some(engine, Self::apply));
            if engine.index.has_quotas() {
                self.reserver.start();
            }
            if engine.index.lacks_block() {
                self.reserving.notify();
            }
            // Also what was applied before an error.
            self.acknowledge(self.runtime.now() + PATIENCE)?;
            if read? != LogRead::Many || self.following.is_closed() {
                return Ok(());
            }
        }
    }

    /// A random span up to this one, so that nodes that failed together do not come back together.
    pub(crate) fn jittered(&self, longest: Duration) -> Duration {
        let mut byte = [255];
        // Without random numbers it waits the longest.
        let _ = self.runtime.fill(&mut byte);
        longest.mul_f64(f64::from(byte[0]) / 255.0)
    }
}
