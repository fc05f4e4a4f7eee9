//! A service with a console on a port of this machine, which can be stopped and started again.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apikey::admin::{Answer, Request, Session};
use apikey::console::{Console, Owner};
use apikey::management::Management;
use apikey::{Actor, CreatedKey, KeyFilter, KeyStore, ManualClock, NewKey};
use apikey_testkit::free_port;
use axum::Router;
use axum::extract::Request as HttpRequest;
use axum::middleware::{Next, from_fn};
use axum::response::Html;
use axum::routing::get;
use chrono::{TimeDelta, Utc};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

apikey::permissions! {
    enum Perm {
        /// Read orders.
        OrdersRead = "orders:read",
        /// Place and change orders.
        OrdersWrite = "orders:write",
    }
}

/// The cookie in which the application says who is signed in.
const USER: &str = "user=";

/// A request and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    /// What the browser says of where it comes from.
    pub(crate) site: String,
    pub(crate) status: u16,
}

/// The service. Its store's clock stands still.
pub(crate) struct Server {
    pub(crate) store: KeyStore,
    pub(crate) clock: ManualClock,
    pub(crate) url: String,
    port: u16,
    console: Console,
    seen: Arc<Mutex<Vec<Seen>>>,
    running: Option<Runtime>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_before(TimeDelta::zero())
    }

    /// Starts it with a clock so far behind.
    pub(crate) fn start_before(behind: TimeDelta) -> Self {
        let clock = ManualClock::new(Utc::now() - behind);
        let store = KeyStore::builder().count_use(true).clock(clock.clone()).temporary().unwrap();
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        let console = console(&store, &url);
        let mut server = Self { store, clock, url, port, console, seen: Arc::default(), running: None };
        server.resume();
        server
    }

    pub(crate) fn key(&self, owner: &str, name: &str, grants: &[&str]) -> CreatedKey {
        self.store.create(NewKey::for_owner(owner).name(name).permissions(grants)).unwrap()
    }

    /// How many keys there are, the revoked ones too.
    pub(crate) fn keys(&self) -> usize {
        self.store.list(&KeyFilter::default()).unwrap().keys.len()
    }

    /// A link that signs in who runs the service.
    pub(crate) fn link(&self) -> String {
        let mut session = Session::new(self.store.as_actor(Actor::Uid(1000)));
        let Answer::ConsoleLink(link) = session.ask(Request::ConsoleLink) else { panic!("no link") };
        link.expose_secret().to_owned()
    }

    /// Ends every connection, and takes no other.
    pub(crate) fn stop(&mut self) {
        let running = self.running.take().unwrap();
        // A runtime ends in a thread that may wait.
        std::thread::spawn(move || running.shutdown_timeout(Duration::from_secs(60))).join().unwrap();
    }

    /// Answers again, with the sessions of before.
    pub(crate) fn resume(&mut self) {
        let seen = self.seen.clone();
        let record = move |request: HttpRequest, next: Next| {
            let seen = seen.clone();
            async move {
                let site = request.headers().get("sec-fetch-site").map(|value| value.to_str().unwrap().to_owned());
                let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
                let answer = next.run(request).await;
                let status = answer.status().as_u16();
                seen.lock().unwrap().push(Seen { method, path, site: site.unwrap_or_default(), status });
                answer
            }
        };
        let app = Router::new().fallback_service(self.console.clone()).layer(from_fn(record));
        self.running = Some(serve(self.port, app));
    }

    /// Answers again as a new process does: nobody is signed in.
    pub(crate) fn restart(&mut self) {
        self.console = console(&self.store, &self.url);
        self.resume();
    }

    /// The requests since the last call.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A runtime must not wait for its tasks where another one runs.
        if let Some(running) = self.running.take() {
            running.shutdown_background();
        }
    }
}

fn console(store: &KeyStore, url: &str) -> Console {
    let api = Management::new(store.clone()).offer(Perm::ALL);
    Console::new(api).url(url).owner_from(|request| {
        let cookies = request.headers.get("cookie")?.to_str().ok()?;
        let name = cookies.split("; ").find_map(|cookie| cookie.strip_prefix(USER))?;
        Some(Owner::new(name).offer(Perm::ALL))
    })
}

fn serve(port: u16, app: Router) -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    runtime.spawn(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
    });
    runtime
}

/// A page of somebody else on another port.
pub(crate) struct Stranger {
    pub(crate) port: u16,
    running: Option<Runtime>,
}

impl Stranger {
    pub(crate) fn start() -> Self {
        let port = free_port();
        let app = Router::new().route("/", get(|| async { Html("<!doctype html><title>Another page</title>") }));
        Self { port, running: Some(serve(port, app)) }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown_background();
        }
    }
}
