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

mod budget;
mod call;
mod cursor;
mod document;
mod future;
#[cfg(feature = "tower")]
mod mount;
mod offer;
mod operation;
mod operations;
mod parameter;
mod parts;
mod permissions;
mod reply;
mod route;
#[cfg(feature = "tower")]
mod service;
mod tags;

use std::fmt;
use std::sync::{Arc, OnceLock};

use apikey_core::{Attempt, AuthError, KeyStore, Need, Requirement, VerifiedKey};
use http::Request;
use http::request::Parts as Head;

use crate::answer::{PlainResponse, Problem};
use crate::ask::{GuardLog, KeySource, Rejection, authorize};
use crate::guard::Offered;
use crate::worker::{Worker, busy};
use call::{Call, Query};
pub use future::ManagementFuture;
use future::Pending;
#[cfg(feature = "tower")]
pub use mount::{Mount, MountFuture, MountService};
use offer::Offer;
use operation::{Listed, Needs, Operation, Run};
use parts::Parts;
use route::{Route, route};
#[cfg(feature = "tower")]
pub use service::ManagementResponse;

/// The longest body of a request, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// [The API](self) for managing the keys of a store. A clone is cheap, and shares the threads.
#[derive(Clone)]
pub struct Management {
    parts: Arc<Parts>,
}

/// What an admitted request is: its route, its query, and the caller if the operation needs one.
type Checked = (Route, Query, Option<VerifiedKey>);

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

    fn with(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        let parts = Arc::make_mut(&mut self.parts);
        parts.document = OnceLock::new();
        change(parts);
        self
    }

    /// Checks the head of a request: everything that can be checked before its body arrives.
    ///
    /// # Errors
    /// The answer, if that is all there is to do.
    fn begin(&self, head: &mut Head) -> Result<Admitted, Box<Pending>> {
        let log = GuardLog::inside(head.extensions.get());
        head.extensions.insert(log.clone());
        match self.check(head) {
            Ok((route, query, caller)) => Ok(Admitted { route, query, log, caller }),
            Err(answer) => Err(Box::new(Pending::ready(*answer, log, head.method == http::Method::HEAD))),
        }
    }

    fn check(&self, head: &Head) -> Result<Checked, Box<PlainResponse>> {
        let route = route(&head.method, head.uri.path())?;
        let operation = route.operation;
        let store = &self.parts.store;
        let caller = match operation.needs.need() {
            None => None,
            Some(need) => {
                let key = authorize(head, Some(store), need.into()).map_err(|rejection| Box::new(rejection.into()))?;
                if matches!(operation.needs, Needs::KeyOfNoTenant(_)) {
                    key.in_no_tenant().map_err(|error| Box::new(Rejection::of(store, error).into()))?;
                }
                Some(key)
            }
        };
        if let Some(length) = content_length(head).filter(|length| *length > MAX_BODY as u64) {
            return Err(Box::new(too_large(length).into()));
        }
        let query = Query::read(head.uri.query().unwrap_or_default(), operation.query)
            .map_err(|problem| Box::new(problem.into()))?;
        Ok((route, query, caller))
    }

    /// Checks the key again once the body is there, which may have taken hours: a caller may have lost the key meanwhile, or
    /// the permission.
    fn recheck(&self, head: &Head, caller: &VerifiedKey, need: &'static Need) -> Result<(), Rejection> {
        let store = &self.parts.store;
        let rejected = |error| Rejection::of(store, error);
        store.recheck(caller).map_err(rejected)?;
        // What it may do now, it says only by its token. That it has used up its quota is no reason: this request is paid for.
        let requirement = Requirement::from(need);
        match KeySource::presented(head, store.header_config()).token() {
            Ok(token) => match store.inspect(&Attempt::new(token).needs(&requirement)).answer {
                Err(error @ AuthError::InsufficientPermission { .. }) => Err(rejected(error)),
                _ => Ok(()),
            },
            Err(_) => Ok(()),
        }
    }

    /// Carries out a request whose head was admitted, with its whole body.
    fn finish(&self, head: Head, admitted: Admitted, body: Result<Vec<u8>, Problem>) -> Pending {
        let Admitted { route, query, log, caller } = admitted;
        let is_head = head.method == http::Method::HEAD;
        let ready = |answer: PlainResponse| Pending::ready(answer, log.clone(), is_head);
        let body = match body {
            Ok(body) if body.len() > MAX_BODY => return ready(too_large(body.len() as u64).into()),
            Ok(body) => body,
            Err(problem) => return ready(problem.into()),
        };
        let Route { operation: Operation { id, needs, body: content, run, .. }, parameters: path } = route;
        if let (Some(caller), Some(need)) = (&caller, needs.need())
            && let Err(rejection) = self.recheck(&head, caller, need)
        {
            return ready(rejection.into());
        }
        if let Run::List(listed) = run {
            return ready(match listed {
                Listed::Document => document::answer(&self.parts),
                Listed::Permissions => reply::json(200, &permissions::list(&self.parts)),
            });
        }
        // Every other operation needs a key.
        let Some(caller) = caller else { return ready(Rejection::from(AuthError::Missing).into()) };
        let peer = KeySource::peer(&head, self.parts.store.header_config());
        let store = self.parts.store.as_actor_from(caller.id(), peer);
        let (parts, headers) = (self.parts.clone(), head.headers);
        let call = Call { parts, store, caller, operation: id, content: *content, path, query, headers, body };
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

#[cfg(any(feature = "actix-web", feature = "poem", feature = "rocket", feature = "salvo"))]
impl Management {
    /// Answers a request whose body is read only if its head is admitted.
    pub(crate) async fn respond(
        &self,
        mut head: Head,
        body: impl Future<Output = Result<Vec<u8>, Problem>>,
    ) -> http::Response<String> {
        let pending = match self.begin(&mut head) {
            Ok(admitted) => self.finish(head, admitted, body.await),
            Err(answer) => *answer,
        };
        ManagementFuture::new(pending).await
    }
}

/// A request whose head is admitted, and whose body is awaited.
struct Admitted {
    route: Route,
    query: Query,
    log: GuardLog,
    caller: Option<VerifiedKey>,
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
pub fn handle<B: AsRef<[u8]>>(management: &Management, request: Request<B>) -> ManagementFuture {
    let (mut head, body) = request.into_parts();
    let pending = match management.begin(&mut head) {
        Ok(admitted) => management.finish(head, admitted, Ok(body.as_ref().to_vec())),
        Err(answer) => *answer,
    };
    ManagementFuture::new(pending)
}

fn content_length(head: &Head) -> Option<u64> {
    head.headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(length: u64) -> Problem {
    Problem::new(413, "body_too_large", format!("the body has {length} bytes or more, at most {MAX_BODY} are read"))
}

impl fmt::Debug for Management {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Management")
            .field("store", &self.parts.store)
            .field("base_url", &self.parts.base_url)
            .finish_non_exhaustive()
    }
}
