//! What a console does for the operators of its store.

use crate::key::event::actor::Actor;

/// What a console does for operators.
pub trait ConsoleHook: Send + Sync {
    /// Returns a link that signs this operator in, once and soon.
    ///
    /// # Errors
    /// Why there is none.
    fn link(&self, operator: &Actor) -> Result<String, String>;

    /// Ends all sessions and links, and returns the number of sessions.
    fn end_all(&self) -> usize;
}
