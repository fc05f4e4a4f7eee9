//! The console: a page on which people create, watch, rotate and revoke keys, served by the service itself.
//!
//! ```
//! # #[cfg(feature = "axum")]
//! # fn wire(store: apikey::KeyStore) -> axum::Router {
//! use apikey::console::Console;
//! use apikey::management::Management;
//! use axum::Router;
//!
//! let api = Management::new(store).offer(["orders:read", "orders:write"]);
//! let console = Console::new(api).url("https://keys.shop.example");
//! // On a host name of its own: see "A host name of its own" below.
//! Router::new().fallback_service(console)
//! # }
//! ```
//!
//! # Who signs in
//!
//! - **Who runs the service**: `apikey console` asks the running service through its
//!   [admin socket](crate::KeyStoreBuilder::admin_socket) for a link, and prints it. It signs in once, within 60 seconds. The
//!   session may do everything, and its changes have the actor `uid:1000 console`.
//! - **Who has a key that manages keys** posts it once, and has a session that may do what the key may do, each time as it is
//!   then: whoever revokes, disables or rotates the key ends the session with the next request.
//!   [`without_keys`](Console::without_keys) turns it off.
//! - **Who is signed in to the application** manages their own keys, if [`owner_from`](Console::owner_from) says who it is.
//!
//! A session ends 15 minutes after its last request, or 8 hours after it has begun, and with the process: it is in the memory of
//! this node alone. Creating, rotating and replacing keys, which show a secret, take a sign-in within the last 15 minutes.
//!
//! # A host name of its own
//!
//! A browser lets every page of an origin do what any of them may, and sends cookies to all ports of a host. Serve the console
//! under a host name that nothing else has, or at least on a port of its own.

mod answer;
mod assets;
mod codes;
mod cookie;
mod describe;
mod fields;
mod link_error;
mod moment;
mod origin;
mod owner;
mod principal;
mod sessions;
mod sign_in;
mod state;
mod target;

use std::fmt;
use std::sync::{Arc, Weak};

use apikey_core::admin::SecretText;
use apikey_core::{Actor, ConsoleHook, KeyStore};
use http::Request;
use http::request::Parts as Head;

use crate::management::Management;
#[cfg(feature = "tower")]
use crate::served::tower_service;
use crate::served::{self};
pub use crate::served::{AnswerFuture, MAX_BODY, Served};
#[cfg(feature = "tower")]
pub use crate::served::{Mount, MountFuture, MountService, ServiceFuture};
pub use link_error::LinkError;
pub use owner::Owner;
use state::State;

type OwnerFrom = Arc<dyn Fn(&Head) -> Option<Owner> + Send + Sync>;

/// [The console](self) of a store. A clone is cheap, and has the same sessions.
#[derive(Clone)]
pub struct Console {
    management: Management,
    state: Arc<State>,
    owner_from: Option<OwnerFrom>,
    with_keys: bool,
}

impl Console {
    /// Creates the console for the keys of this API, and makes it the one whose links `apikey console` prints. What may be put on
    /// keys is what the API [offers](Management::offer).
    #[must_use]
    pub fn new(management: Management) -> Self {
        let state = Arc::new(State::new(management.store().clone()));
        let hook: Weak<dyn ConsoleHook> = Arc::downgrade(&(state.clone() as Arc<dyn ConsoleHook>));
        management.store().register_console(hook);
        Self { management, state, owner_from: None, with_keys: true }
    }

    /// Sets the URL at which browsers find the console, without a slash at its end: `https://keys.shop.example`. Links begin with
    /// it, and a request whose `Origin` is another is refused. Without it there are no links.
    #[must_use]
    pub fn url(self, url: impl Into<String>) -> Self {
        self.state.set_url(url.into().trim_end_matches('/').to_owned());
        self
    }

    /// Sets the function that says which owner is signed in to the application, from the head of a request: its cookies, or what
    /// a layer has left in its extensions. The console asks it with each request that has no session of its own, and believes
    /// it.
    ///
    /// ```
    /// use apikey::console::{Console, Owner};
    /// use apikey::management::Management;
    ///
    /// # #[derive(Clone)] struct User { name: String }
    /// # fn wire(api: Management) {
    /// let console = Console::new(api).owner_from(|request| {
    ///     let user = request.extensions.get::<User>()?; // the application's session layer has put it there
    ///     Some(Owner::new(&user.name).offer(["orders:read"]).max_keys(5))
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn owner_from(self, owner: impl Fn(&Head) -> Option<Owner> + Send + Sync + 'static) -> Self {
        Self { owner_from: Some(Arc::new(owner)), ..self }
    }

    /// Lets nobody sign in with a key.
    #[must_use]
    pub fn without_keys(self) -> Self {
        Self { with_keys: false, ..self }
    }

    /// Returns a link that signs this operator in, as `apikey console` prints one: once, within 60 seconds, for everything. For a
    /// program whose terminal belongs to its operator. Show it to nobody else, and log it nowhere.
    ///
    /// ```
    /// use apikey::KeyStore;
    /// use apikey::console::Console;
    /// use apikey::management::Management;
    ///
    /// let console = Console::new(Management::new(KeyStore::temporary()?)).url("http://127.0.0.1:8082");
    /// let link = console.link("terminal")?;
    /// assert!(link.expose_secret().starts_with("http://127.0.0.1:8082/#code="));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The console has no [URL](Self::url), or there are no random bytes.
    pub fn link(&self, operator: impl Into<Actor>) -> Result<SecretText, LinkError> {
        self.state.new_link(&operator.into()).map(SecretText::new)
    }

    fn store(&self) -> &KeyStore {
        self.management.store()
    }
}

#[cfg(feature = "tower")]
impl Console {
    /// Returns a layer that serves the console below this path, and leaves every other request to the service inside: for servers
    /// that do not nest services, as [`Management::at`] does. Read ["A host name of its
    /// own"](self#a-host-name-of-its-own) first.
    #[must_use]
    pub fn at(self, path: impl Into<String>) -> Mount<Self> {
        Mount::new(self, path)
    }
}

#[cfg(feature = "tower")]
tower_service!(Console);

/// Answers a request, in any framework: the page and all that it asks for. The path is that below the mount, such as `/session`.
/// The caller's address comes from a [`PeerAddr`](crate::PeerAddr) in the request's extensions.
///
/// It needs no runtime, and blocks none. Read at most [`MAX_BODY`] bytes and one of a request: a longer body is 413.
///
/// ```
/// use apikey::KeyStore;
/// use apikey::console::{Console, handle};
/// use apikey::management::Management;
///
/// # async fn answer() -> Result<(), Box<dyn std::error::Error>> {
/// let console = Console::new(Management::new(KeyStore::temporary()?));
/// let request = http::Request::get("/session").header("Sec-Fetch-Site", "same-origin").body(Vec::new())?;
/// assert_eq!(handle(&console, request).await.status(), 401); // nobody is signed in
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }
/// ```
pub fn handle<B: AsRef<[u8]>>(console: &Console, request: Request<B>) -> AnswerFuture {
    served::handle(console, request)
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("management", &self.management)
            .field("url", &self.state.url())
            .field("with_keys", &self.with_keys)
            .field("with_owners", &self.owner_from.is_some())
            .finish_non_exhaustive()
    }
}
