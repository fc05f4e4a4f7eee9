//! Long connections on axum, which end when their key does: an event stream and a WebSocket.
//!
//! `cargo run -p apikey-frameworks --example streams`, and send the requests that it prints.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use apikey::{ApiKeyLayer, AuthError, KeyStore, NewKey, Rejection, VerifiedKey, require_api_key};
use apikey_frameworks::Outcome;
use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{FromRef, Query, State};
use axum::response::Response;
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use axum::serve::Listener;
use futures_util::stream::{Stream, unfold};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Interval, interval, timeout};
use tokio_io_timeout::TimeoutStream;

/// How often a connection asks whether its key is still good, even if it has nothing to do.
const RECHECK: Duration = Duration::from_secs(1);
/// How long a client may take nothing of what is sent to it. A server waits for ever otherwise, and asks nothing meanwhile.
const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// How long a close frame may take. The connection ends after that in any case.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// How long a ticket can be used.
const TICKET_LIFE: Duration = Duration::from_secs(30);

#[derive(Clone, FromRef)]
struct App {
    store: KeyStore,
    tickets: Tickets,
}

/// An event each second, until the key is not good any more. `curl -N`, or `fetch` in a browser: `EventSource` sends no
/// header.
#[require_api_key(perm = "orders:read")]
async fn events(key: VerifiedKey, State(store): State<KeyStore>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let start: Option<(Interval, u64)> = Some((interval(RECHECK), 0));
    Sse::new(unfold(start, move |state| {
        let (store, key) = (store.clone(), key.clone());
        async move {
            let (mut tick, number) = state?;
            tick.tick().await;
            match store.recheck(&key) {
                Ok(()) => Some((Ok(Event::default().data(format!("order {number}"))), Some((tick, number + 1)))),
                // The last one: a client that connects again gets the refusal as its response.
                Err(error) => Some((Ok(Event::default().event("refused").data(error.code())), None)),
            }
        }
    }))
}

/// For programs, which can send the header.
#[require_api_key(perm = "orders:read")]
async fn socket(key: VerifiedKey, State(store): State<KeyStore>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| serve(socket, store, key))
}

async fn serve(mut socket: WebSocket, store: KeyStore, key: VerifiedKey) {
    let mut tick = interval(RECHECK);
    loop {
        let received = tokio::select! {
            received = socket.recv() => match received {
                Some(Ok(message)) => Some(message),
                None | Some(Err(_)) => return,
            },
            _ = tick.tick() => None,
        };
        // Before anything is done for the caller, and at each tick: a revoked key must not go on listening.
        if let Err(error) = store.recheck(&key) {
            return close(socket, &error).await;
        }
        if let Some(Message::Text(item)) = received {
            let placed = Message::Text(format!("{item} for {}", key.owner()).into());
            let sent = tokio::select! {
                sent = timeout(WRITE_LIMIT, socket.send(placed)) => matches!(sent, Ok(Ok(()))),
                // The client reads nothing, and its key ends: part of a message may be on the way, so no frame can follow.
                () = refused(&store, &key) => false,
            };
            if !sent {
                return;
            }
        }
    }
}

/// Ends when the key is not good any more.
async fn refused(store: &KeyStore, key: &VerifiedKey) {
    let mut tick = interval(RECHECK);
    while store.recheck(key).is_ok() {
        tick.tick().await;
    }
}

async fn close(mut socket: WebSocket, error: &AuthError) {
    let frame = CloseFrame { code: close_code::POLICY, reason: error.code().into() };
    let _ = timeout(CLOSE_LIMIT, socket.send(Message::Close(Some(frame)))).await;
}

/// What a page sends in place of its key when it opens a WebSocket, since browsers send no header of its choice there.
/// A ticket is good for one connection, and for half a minute: that it stands in a URL, and so in logs, gives nothing away.
#[derive(Clone, Default)]
struct Tickets(Arc<Mutex<HashMap<String, (VerifiedKey, Instant)>>>);

impl Tickets {
    fn issue(&self, key: VerifiedKey) -> String {
        let mut random = [0; 32];
        #[allow(clippy::expect_used, reason = "without random numbers the service can do nothing")]
        getrandom::fill(&mut random).expect("the system has random numbers");
        let ticket: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut issued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        issued.retain(|_, (_, at)| at.elapsed() < TICKET_LIFE);
        issued.insert(ticket.clone(), (key, Instant::now()));
        ticket
    }

    /// Takes the ticket away: it opens one connection.
    fn redeem(&self, ticket: &str) -> Option<VerifiedKey> {
        let (key, at) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(ticket)?;
        (at.elapsed() < TICKET_LIFE).then_some(key)
    }
}

#[require_api_key(perm = "orders:read")]
async fn ticket(key: VerifiedKey, State(tickets): State<Tickets>) -> String {
    tickets.issue(key)
}

#[derive(serde::Deserialize)]
struct ByTicket {
    ticket: String,
}

/// No attribute: the ticket stands for the key that was verified when it was issued; the store checks that key again.
async fn socket_by_ticket(
    State(app): State<App>,
    Query(ByTicket { ticket }): Query<ByTicket>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Rejection> {
    let key = app.tickets.redeem(&ticket).ok_or(AuthError::Invalid)?;
    app.store.recheck(&key)?;
    Ok(upgrade.on_upgrade(move |socket| serve(socket, app.store, key)))
}

#[tokio::main]
pub(crate) async fn run(store: KeyStore, port: u16) -> Outcome {
    let app = Router::new()
        .route("/events", get(events))
        .route("/socket", get(socket))
        .route("/ticket", post(ticket))
        .route("/socket/by-ticket", get(socket_by_ticket))
        .with_state(App { store: store.clone(), tickets: Tickets::default() })
        .layer(ApiKeyLayer::supply(store));
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    Ok(axum::serve(Limited(listener), app).await?)
}

/// A listener whose connections end when a client takes nothing for `WRITE_LIMIT`. While a client takes nothing, a server
/// asks a response body for nothing, so an event stream alone cannot notice that its key has ended.
pub(crate) struct Limited(pub(crate) TcpListener);

impl Listener for Limited {
    type Io = Pin<Box<TimeoutStream<TcpStream>>>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_LIMIT));
        (Box::pin(stream), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

pub(crate) fn main() -> Outcome {
    let store = KeyStore::temporary()?;
    let created = store.create(NewKey::for_owner("alice").permissions(["orders:*"]))?;
    let key = created.key.expose_secret();
    println!("curl -N -H 'X-API-Key: {key}' http://127.0.0.1:8080/events");
    println!("websocat -H 'X-API-Key: {key}' ws://127.0.0.1:8080/socket");
    run(store, 8080)
}
