//! Long connections end with their key.

use std::convert::Infallible;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use apikey::{KeyId, KeyStore, KeyUpdate, NewKey};
use apikey_testkit::Call;

use axum::Router;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use futures_util::stream::unfold;

use crate::examples::STREAMS;
use crate::examples::streams::Limited;

/// Far more than anything here needs, so that a busy machine is no failure.
const LIMIT: Duration = Duration::from_secs(60);

fn start() -> (KeyStore, u16, KeyId, String) {
    let store = KeyStore::temporary().unwrap();
    let created = store.create(NewKey::for_owner("alice").permissions(["orders:*"])).unwrap();
    let port = STREAMS.start(&store);
    (store, port, created.info.id(), created.key.expose_secret().to_owned())
}

fn connect(port: u16, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// Reads until this text has come.
fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(text.as_bytes()) {
        stream.read_exact(&mut byte).unwrap();
        read.extend(byte);
    }
    String::from_utf8(read).unwrap()
}

#[test]
fn an_event_stream_ends_when_its_key_is_revoked() {
    let (store, port, id, key) = start();
    assert_eq!(Call::get("/events").send(port).status, 401);
    let request = format!("GET /events HTTP/1.1\r\nhost: test\r\nconnection: close\r\nx-api-key: {key}\r\n\r\n");
    let mut stream = connect(port, &request);
    assert!(read_until(&mut stream, "data: order 0").starts_with("HTTP/1.1 200"));
    store.revoke(id, "leaked").unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("event: refused\ndata: revoked_api_key"), "{rest}");
    assert_eq!(Call::get("/events").key(&key).send(port).status, 401);
}

fn upgrade(port: u16, path: &str, headers: &str) -> (String, TcpStream) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    let mut stream = connect(port, &request);
    (read_until(&mut stream, "\r\n\r\n"), stream)
}

/// Sends a text as a client does, masked (with zeros, which RFC 6455 does not forbid).
fn send_text(stream: &mut TcpStream, text: &str) {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 126);
    stream.write_all(&[&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()).unwrap();
}

/// The opcode and the payload of the next frame.
fn frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let mut payload = vec![0; usize::from(head[1])];
    stream.read_exact(&mut payload).unwrap();
    (head[0] & 0x0f, payload)
}

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
/// The close code for a policy violation, 1008, in network order.
const POLICY: [u8; 2] = 1008_u16.to_be_bytes();

#[test]
fn a_web_socket_ends_when_its_key_is_revoked() {
    let (store, port, id, key) = start();
    assert!(upgrade(port, "/socket", "").0.starts_with("HTTP/1.1 401"));
    let (head, mut stream) = upgrade(port, "/socket", &format!("x-api-key: {key}\r\n"));
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    send_text(&mut stream, "tea");
    assert_eq!(frame(&mut stream), (TEXT, b"tea for alice".to_vec()));
    store.revoke(id, "leaked").unwrap();
    // It is silent, and ends all the same.
    assert_eq!(frame(&mut stream), (CLOSE, [&POLICY[..], b"revoked_api_key"].concat()));
}

/// Writes until the peer ends the connection or takes nothing for this long; returns the error, and how much it took.
fn write_until_error(stream: &mut TcpStream, bytes: &[u8], from: usize, limit: Duration) -> (ErrorKind, usize) {
    stream.set_write_timeout(Some(limit)).unwrap();
    let mut at = from;
    loop {
        match stream.write(&bytes[at..]) {
            Ok(written) => at = (at + written) % bytes.len(),
            Err(error) => return (error.kind(), at),
        }
    }
}

/// The client sends and reads nothing, so the server's own messages fill every buffer, and it waits for room.
#[test]
fn a_web_socket_whose_client_reads_nothing_ends_when_its_key_is_revoked() {
    let (store, port, id, key) = start();
    let (_, mut stream) = upgrade(port, "/socket", &format!("x-api-key: {key}\r\n"));
    let text = vec![b'x'; 60_000];
    let head = [&[0x81, 0x80 | 126], &60_000_u16.to_be_bytes()[..], &[0; 4]].concat();
    let message = [head, text].concat();
    let (error, at) = write_until_error(&mut stream, &message, 0, Duration::from_millis(500));
    assert_eq!(error, ErrorKind::WouldBlock, "the server takes no more");
    store.revoke(id, "leaked").unwrap();
    let (error, _) = write_until_error(&mut stream, &message, at, LIMIT);
    assert!(matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
}

/// Notes when the server drops a stream.
struct EndNotice(mpsc::Sender<()>);

impl Drop for EndNotice {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// The example's own stream would need hours to fill the buffers, so another one does, behind the example's listener.
#[test]
fn an_event_stream_whose_client_reads_nothing_ends() {
    let (send, ended) = mpsc::channel();
    let events = move || {
        let notice = EndNotice(send.clone());
        let stream = unfold(notice, async |notice| {
            Some((Ok::<_, Infallible>(Event::default().data("x".repeat(60_000))), notice))
        });
        async { Sse::new(stream) }
    };
    let app = Router::new().route("/events", get(events));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime.spawn(async { axum::serve(Limited(listener), app).await });
    let mut stream = connect(port, "GET /events HTTP/1.1\r\nhost: test\r\n\r\n");
    assert!(read_until(&mut stream, "data: x").starts_with("HTTP/1.1 200"));
    ended.recv_timeout(LIMIT).expect("the server ends the stream");
}

#[test]
fn a_ticket_opens_one_web_socket() {
    let (store, port, id, key) = start();
    assert_eq!(Call::post("/ticket", "").send(port).status, 401);
    let ticket = || Call::post("/ticket", "").key(&key).send(port).body;
    let path = |ticket: &str| format!("/socket/by-ticket?ticket={ticket}");
    let first = ticket();
    let (head, mut stream) = upgrade(port, &path(&first), "");
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    for used_or_wrong in [first.as_str(), "", "0"] {
        assert!(upgrade(port, &path(used_or_wrong), "").0.starts_with("HTTP/1.1 401"));
    }
    let unused = ticket();
    store.update(id, KeyUpdate::new().disabled(true)).unwrap();
    assert_eq!(frame(&mut stream), (CLOSE, [&POLICY[..], b"disabled_api_key"].concat()));
    assert!(upgrade(port, &path(&unused), "").0.starts_with("HTTP/1.1 401"), "its key is not good any more");
}
