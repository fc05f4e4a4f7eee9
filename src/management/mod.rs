//! Managing keys over HTTP: a complete API, described by the OpenAPI document that it serves.
//!
//! ```
//! # #[cfg(feature = "axum")]
//! # fn wire(store: apikey::KeyStore) -> axum::Router {
//! use apikey::management::Management;
//! use axum::Router;
//!
//! apikey::permissions! {
//!     enum Perm {
//!         /// Read orders.
//!         OrdersRead = "orders:read",
//!     }
//! }
//!
//! let api = Management::new(store)
//!     .offer(Perm::ALL) // what may be put on keys
//!     .base_url("https://api.shop.example/admin/v1");
//! Router::new().nest_service("/admin/v1", api)
//! # }
//! ```
//!
//! ```sh
//! curl -H "X-API-Key: $ADMIN" https://api.shop.example/admin/v1/keys?state=active
//! curl -H "X-API-Key: $ADMIN" -H "Idempotency-Key: $(uuidgen)" --json '{"owner":"alice","permissions":["orders:read"]}' \
//!     https://api.shop.example/admin/v1/keys
//! ```
//!
//! Every operation takes a key with a permission of its own (`GET /permissions` and the document list them), and every change
//! is made [within](crate::NewKey::within) that key: nobody gives away what they do not have. Errors are
//! [`Problem`]s. [`handle`] is the whole service for any framework; with the feature `tower` `Management` is a
//! tower service, and the module of each other framework has a way to mount it.
//!
//! The service has threads of its own, 2 at most that read and 8 at most that change, and blocks no async runtime. Of reads, of
//! changes that take something away, which go first, and of other changes 256 each may wait; it answers others 503, and a change
//! that has waited for 10 seconds, unless it takes something away.
//! In a cluster no thread waits for another machine: the answer to a change waits as a future until every node has it, for at
//! most 5 seconds. Then it is 202, with the nodes that do not as `outstanding`, and the time `everywhere_by` which they have it,
//! or refuse every key.

mod acting;
mod budget;
mod call;
mod caller;
mod census;
mod cursor;
mod document;
mod offer;
mod operation;
mod operations;
mod parameter;
mod parts;
mod permissions;
mod reply;
mod route;
mod tags;

use std::fmt;
use std::sync::{Arc, OnceLock};

use apikey_core::{AuthError, KeyStore};
use http::Request;
use http::request::Parts as Head;

use crate::answer::{PlainResponse, Problem};
use crate::ask::{GuardLog, KeySource, Rejection, authorize};
use crate::guard::Offered;
use crate::served::sealed::Sealed;
#[cfg(feature = "tower")]
use crate::served::tower_service;
use crate::served::{self, Pending, content_length, too_large};
use crate::worker::{Worker, busy};
pub(crate) use acting::Acting;
#[cfg(feature = "console")]
pub(crate) use acting::OF_OWNERS;
use call::{Call, Query};
#[cfg(feature = "console")]
pub(crate) use caller::{Caller, OwnerCaller};
use offer::Offer;
use operation::{Listed, Needs, Operation, Run};
use parts::Parts;
#[cfg(feature = "console")]
pub(crate) use reply::json as json_answer;
use route::{Route, route};
#[cfg(feature = "console")]
pub(crate) use tags::Tags;

pub use crate::served::{AnswerFuture, MAX_BODY, Served};
#[cfg(feature = "tower")]
pub use crate::served::{Mount, MountFuture, MountService, ServiceFuture};

/// [The API](self) for managing the keys of a store. A clone is cheap, and shares the threads.
#[derive(Clone)]
pub struct Management {
    parts: Arc<Parts>,
}

/// What an admitted request is: its route, its query, and the caller if the operation needs one.
type Checked = (Route, Query, Option<Acting>);

impl Management {
    /// Creates the API for the keys of this store.
    #[must_use]
    pub fn new(store: KeyStore) -> Self {
        let parts = Parts {
            store,
            offer: Offer::default(),
            base_url: None,
            reads: Worker::reading(),
            changes: Worker::changing(),
            revoking_many: Arc::default(),
            budget: Arc::default(),
            census: Arc::default(),
            document: OnceLock::new(),
        };
        Self { parts: Arc::new(parts) }
    }

    /// Sets the permissions that callers may put on keys: `Perm::ALL` of a [`permissions!`](crate::permissions) enum, or texts.
    /// Those of this API are always among them. A wildcard may be put on a key if everything that it covers may, of what the
    /// store's [catalogue](crate::KeyStoreBuilder::catalog) has and the program's handlers ask for. Without a call it is what
    /// the program's [guarded handlers](crate::Guarded) ask for; and if it has none, everything that is well formed.
    #[must_use]
    pub fn offer<P: Offered>(self, permissions: impl AsRef<[P]>) -> Self {
        self.with(|parts| parts.offer = Offer::of(permissions.as_ref()))
    }

    /// Sets the URL under which callers reach the API, without a slash at its end, for `Location` and the document. Without it
    /// they are relative.
    #[must_use]
    pub fn base_url(self, url: impl Into<String>) -> Self {
        let url = url.into();
        self.with(|parts| parts.base_url = Some(url.trim_end_matches('/').to_owned()))
    }

    /// Returns the OpenAPI document that `GET /openapi.json` has.
    #[must_use]
    pub fn document(&self) -> serde_json::Value {
        document::document(&self.parts)
    }

    #[cfg(feature = "console")]
    pub(crate) fn store(&self) -> &KeyStore {
        &self.parts.store
    }

    fn with(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        let parts = Arc::make_mut(&mut self.parts);
        parts.document = OnceLock::new();
        change(parts);
        self
    }

    /// Checks the head of a request of this caller; without one, of the key that the request presents.
    ///
    /// # Errors
    /// The answer, if that is all there is to do.
    pub(crate) fn begin_as(&self, head: &mut Head, acting: Option<Acting>) -> Result<Admitted, Box<Pending>> {
        let log = GuardLog::inside(head.extensions.get());
        head.extensions.insert(log.clone());
        match self.check(head, acting) {
            Ok((route, query, acting)) => Ok(Admitted { route, query, log, acting }),
            Err(answer) => Err(Box::new(Pending::ready(*answer, log, head.method == http::Method::HEAD))),
        }
    }

    fn check(&self, head: &Head, acting: Option<Acting>) -> Result<Checked, Box<PlainResponse>> {
        let route = route(&head.method, head.uri.path())?;
        let operation = route.operation;
        let store = &self.parts.store;
        let acting = match (operation.needs.need(), acting) {
            (None, acting) => acting,
            (Some(need), None) => {
                let key = authorize(head, Some(store), need.into()).map_err(|rejection| Box::new(rejection.into()))?;
                if matches!(operation.needs, Needs::KeyOfNoTenant(_)) {
                    key.in_no_tenant().map_err(|error| Box::new(Rejection::of(store, error).into()))?;
                }
                Some(Acting::with_key(key, KeySource::peer(head, store.header_config())))
            }
            (Some(_), Some(acting)) => {
                acting.check(operation, store)?;
                Some(acting)
            }
        };
        if let Some(length) = content_length(head).filter(|length| *length > MAX_BODY as u64) {
            return Err(Box::new(too_large(length).into()));
        }
        let query = Query::read(head.uri.query().unwrap_or_default(), operation.query)
            .map_err(|problem| Box::new(problem.into()))?;
        Ok((route, query, acting))
    }

    /// Carries out a request whose head was admitted, with its whole body.
    pub(crate) fn carry_out(&self, head: Head, admitted: Admitted, body: Result<Vec<u8>, Problem>) -> Pending {
        let Admitted { route, query, log, mut acting } = admitted;
        let is_head = head.method == http::Method::HEAD;
        let ready = |answer: PlainResponse| Pending::ready(answer, log.clone(), is_head);
        let body = match body {
            Ok(body) if body.len() > MAX_BODY => return ready(too_large(body.len() as u64).into()),
            Ok(body) => body,
            Err(problem) => return ready(problem.into()),
        };
        let Route { operation: Operation { id, needs, body: content, run, .. }, parameters: path } = route;
        if let (Some(acting), Some(need)) = (&mut acting, needs.need())
            && let Err(rejection) = acting.recheck(need, &self.parts.store)
        {
            return ready(rejection.into());
        }
        if let Run::List(listed) = run {
            return ready(match listed {
                Listed::Document => document::answer(&self.parts),
                Listed::Permissions => {
                    reply::json(200, &permissions::list(&self.parts, acting.as_ref().map(Acting::caller)))
                }
            });
        }
        // Every other operation needs a caller.
        let Some(acting) = acting else { return ready(Rejection::from(AuthError::Missing).into()) };
        let store = acting.store(&self.parts.store);
        let (parts, headers) = (self.parts.clone(), head.headers);
        let (caller, in_session) = acting.into_caller();
        let call =
            Call { parts, store, caller, in_session, operation: id, content: *content, path, query, headers, body };
        let pending = match run {
            Run::Here(run) => return ready(run(&call).unwrap_or_else(PlainResponse::from)),
            Run::Read(run) => self.parts.reads.read(move || run(&call).unwrap_or_else(PlainResponse::from)),
            Run::Change(change) | Run::Restrict(change) => {
                let store = call.store.clone();
                let change = move |store: &KeyStore| change(&Call { store: store.clone(), ..call });
                let restricts = matches!(run, Run::Restrict(_));
                self.parts
                    .changes
                    .change(&store, restricts, move |store| change(store).unwrap_or_else(PlainResponse::from))
            }
            Run::List(_) => None,
        };
        match pending {
            Some(answer) => Pending::waiting(answer, log, is_head),
            None => ready(busy()),
        }
    }
}

impl Sealed for Management {}

impl Served for Management {
    type Admitted = Admitted;

    fn begin(&self, head: &mut Head) -> Result<Admitted, Box<Pending>> {
        self.begin_as(head, None)
    }

    fn finish(&self, head: Head, admitted: Admitted, body: Result<Vec<u8>, Problem>) -> Pending {
        self.carry_out(head, admitted, body)
    }
}

#[cfg(feature = "tower")]
tower_service!(Management);

#[cfg(feature = "tower")]
impl Management {
    /// Returns a layer that serves the API below this path, and leaves every other request to the service inside: for servers
    /// that do not nest services, such as hyper's and warp's.
    ///
    /// ```
    /// use apikey::KeyStore;
    /// use apikey::management::Management;
    /// use tower_layer::Layer;
    ///
    /// # fn wire<S>(store: KeyStore, service: S) {
    /// // In warp `service` is `warp::service(routes)`.
    /// let service = Management::new(store).at("/admin/v1").layer(service);
    /// # }
    /// ```
    #[must_use]
    pub fn at(self, path: impl Into<String>) -> Mount<Self> {
        Mount::new(self, path)
    }
}

/// A request whose head is admitted, and whose body is awaited.
#[doc(hidden)]
pub struct Admitted {
    route: Route,
    query: Query,
    log: GuardLog,
    acting: Option<Acting>,
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admitted")
    }
}

/// Answers a request, in any framework: the whole API. The path is that below the mount, such as `/keys`. The caller's address
/// comes from a [`PeerAddr`](crate::PeerAddr) in the request's extensions, and a layer's key from there, too.
///
/// The key is checked on the calling thread; what may wait for a disk has threads of its own, and the future waits for these.
/// It needs no runtime. Read at most [`MAX_BODY`] bytes and one of a request: a longer body is 413, whatever it is.
///
/// ```
/// use apikey::management::{Management, handle};
/// use apikey::{KeyStore, NewKey};
///
/// # async fn answer() -> Result<(), Box<dyn std::error::Error>> {
/// let store = KeyStore::temporary()?;
/// let admin = store.create(NewKey::for_owner("alice").permissions(["*"]))?;
/// let api = Management::new(store);
/// let request = http::Request::get("/me").header("X-API-Key", admin.key.expose_secret()).body(Vec::new())?;
/// let response = handle(&api, request).await;
/// assert_eq!(response.status(), 200);
/// # Ok(())
/// # }
/// ```
pub fn handle<B: AsRef<[u8]>>(management: &Management, request: Request<B>) -> AnswerFuture {
    served::handle(management, request)
}

impl fmt::Debug for Management {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Management")
            .field("store", &self.parts.store)
            .field("base_url", &self.parts.base_url)
            .finish_non_exhaustive()
    }
}
