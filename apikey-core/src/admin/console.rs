//! Operators and the console of the service.

use crate::admin::{Fault, FaultKind, SecretText, Session};
use crate::key::event::actor::Actor;

impl Session {
    pub(super) fn console_link(&self) -> Result<SecretText, Fault> {
        let operator = self.store.origin()?.actor.clone().unwrap_or_else(|| Actor::from("operator"));
        match self.store.console_link(&operator) {
            None => Err(no_console()),
            Some(Err(why)) => Err(Fault::new(FaultKind::Conflict, why)),
            Some(Ok(link)) => Ok(link.into()),
        }
    }

    pub(super) fn end_console_sessions(&self) -> Result<usize, Fault> {
        self.store.end_console_sessions().ok_or_else(no_console)
    }
}

fn no_console() -> Fault {
    let text = "no console is served here: the service that has the store open serves it, with its admin socket on";
    Fault::new(FaultKind::Conflict, text)
}
