//! What the clones of a console share.

use std::sync::{Mutex, PoisonError};

use apikey_core::{Actor, ConsoleHook, KeyStore};

use super::codes::Codes;
use super::describe::node;
use super::link_error::LinkError;
use super::moment::Moment;
use super::origin::origin_of;
use super::sessions::Sessions;

/// What the clones of a console share.
#[derive(Debug)]
pub(super) struct State {
    store: KeyStore,
    pub(super) sessions: Sessions,
    pub(super) codes: Codes,
    /// Where browsers find the console.
    url: Mutex<Option<String>>,
}

impl State {
    pub(super) fn new(store: KeyStore) -> Self {
        Self { store, sessions: Sessions::default(), codes: Codes::default(), url: Mutex::default() }
    }

    pub(super) fn set_url(&self, url: String) {
        *self.url.lock().unwrap_or_else(PoisonError::into_inner) = Some(url);
    }

    pub(super) fn url(&self) -> Option<String> {
        self.url.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn now(&self) -> Moment {
        Moment::now(&self.store)
    }
}

impl State {
    /// A link that signs an operator in.
    pub(super) fn new_link(&self, operator: &Actor) -> Result<String, LinkError> {
        let url = self.url().ok_or(LinkError::NoUrl)?;
        if origin_of(&url).is_none() {
            return Err(LinkError::NotAUrl(url));
        }
        // Such a text reads as no user: changes of the command and those of the page can be told apart.
        let actor = Actor::Application(format!("{operator} console"));
        let code = self.codes.make(actor, self.now()).map_err(LinkError::NoRandom)?;
        tracing::info!(name: "apikey.console", target: "apikey", %operator, "made a link to the console");
        // A proxy finds the node of the session by its name.
        let node = node(&self.store).map(|node| {
            let name: String = form_urlencoded::byte_serialize(node.as_bytes()).collect();
            format!("?node={name}")
        });
        Ok([&url, "/", node.as_deref().unwrap_or_default(), "#code=", code.expose_secret()].concat())
    }
}

impl ConsoleHook for State {
    fn link(&self, operator: &Actor) -> Result<String, String> {
        self.new_link(operator).map_err(|error| error.to_string())
    }

    fn end_all(&self) -> usize {
        self.codes.end_all();
        let count = self.sessions.end_all();
        tracing::info!(name: "apikey.console", target: "apikey", count, "ended all sessions of the console");
        count
    }
}
