//! The consoles of a store: an operator asks for a link, or ends all sessions, through the admin socket.

use std::sync::Weak;

use crate::base::lock::lock;
use crate::key::event::actor::Actor;
use crate::store::console::hook::ConsoleHook;
use crate::store::key_store::KeyStore;

impl KeyStore {
    /// Registers the console that this process serves for the store. Of several, the last one makes the links.
    #[doc(hidden)]
    pub fn register_console(&self, hook: Weak<dyn ConsoleHook>) {
        let mut consoles = lock(&self.inner().consoles);
        consoles.retain(|held| held.strong_count() > 0);
        consoles.push(hook);
    }

    /// Returns a link that signs this operator in; `None` if the process serves no console for the store.
    pub(crate) fn console_link(&self, operator: &Actor) -> Option<Result<String, String>> {
        let hook = lock(&self.inner().consoles).iter().rev().find_map(Weak::upgrade)?;
        Some(hook.link(operator))
    }

    /// Ends the sessions of every console of the store, and returns their number; `None` if there is no console.
    pub(crate) fn end_console_sessions(&self) -> Option<usize> {
        let hooks: Vec<_> = lock(&self.inner().consoles).iter().filter_map(Weak::upgrade).collect();
        (!hooks.is_empty()).then(|| hooks.iter().map(|hook| hook.end_all()).sum())
    }
}
