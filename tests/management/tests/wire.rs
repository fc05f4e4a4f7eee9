//! The API behind axum and a socket: bodies without end, slow callers, many connections.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use apikey::{KeyStore, KeyUpdate};
use apikey_testkit::{Answer, Call, management, wait_until};
use axum::Router;
use tokio::runtime::Runtime;

use crate::fixture::Api;

/// The API on a port, below `/admin/v1`. The runtime serves it until it is dropped.
pub(crate) fn serve(api: &Api) -> (Runtime, u16) {
    let runtime = Runtime::new().unwrap();
    let router = Router::new().nest_service("/admin/v1", api.management.clone());
    let port = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(
            async move { axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await },
        );
        port
    });
    (runtime, port)
}

#[test]
fn a_socket_answers_every_row_of_the_table() {
    let api = Api::of(KeyStore::builder().count_use(true).temporary().unwrap());
    let (_runtime, port) = serve(&api);
    let rows = management::run(&api.store, |call| call.below("/admin/v1").send(port));
    assert!(rows.len() >= 120);
}

/// RFC 9110 section 8.6: a server that says how long the body would be says how long it is.
#[test]
fn the_head_of_an_answer_is_that_of_the_whole() {
    let api = Api::new();
    let (_runtime, port) = serve(&api);
    let admin = api.key("root", &["*"]);
    for path in ["/admin/v1/roles", "/admin/v1/openapi.json", "/admin/v1/keys/17"] {
        let ask = |method| Call::new(method, path).key(admin.key.expose_secret()).send(port);
        let (whole, head) = (ask("GET"), ask("HEAD"));
        assert_eq!((head.status, head.body.as_str()), (whole.status, ""));
        let length = head.header("content-length");
        assert!(length.is_none_or(|length| length == whole.body.len().to_string()), "{path}: {length:?}");
    }
}

/// Connects and sends the head of a request whose body is to follow.
fn begin(port: u16, key: &str, length: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "POST /admin/v1/keys HTTP/1.1\r\nhost: test\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n\
         connection: close\r\n{length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A server that answers before it has read the body may reset the connection after the answer.
    let _ = stream.read_to_end(&mut bytes);
    Answer::parse(&String::from_utf8(bytes).unwrap())
}

#[test]
fn a_body_without_end_is_cut_off() {
    let api = Api::new();
    let (_runtime, port) = serve(&api);
    let admin = api.key("root", &["*"]);
    let token = admin.key.expose_secret();
    // It does not even begin to read what is announced as too long, and nothing of a stranger.
    let announced = answer(begin(port, token, "content-length: 10000000000"));
    assert_eq!((announced.status, announced.code().as_str()), (413, "body_too_large"));
    let stranger = answer(begin(port, "ak_nothing", "content-length: 1000"));
    assert_eq!((stranger.status, stranger.code().as_str()), (401, "invalid_api_key"));
    let mut stream = begin(port, token, "transfer-encoding: chunked");
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    // Until the server has closed the connection.
    while stream.write_all(chunk.as_bytes()).is_ok() {}
    let endless = answer(stream);
    assert_eq!((endless.status, endless.code().as_str()), (413, "body_too_large"));
    // One that ends too early is no change.
    let mut stream = begin(port, token, "content-length: 1000");
    stream.write_all(br#"{"owner":"alice"}"#).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let _ = answer_or_nothing(stream);
    assert!(api.store.list(&apikey::KeyFilter::owner("alice")).unwrap().keys.is_empty());
}

fn answer_or_nothing(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

/// Between the head of a request and the end of its body may lie hours.
#[test]
fn a_caller_that_lost_its_key_while_it_sent_its_body_is_refused() {
    let api = Api::new();
    let (_runtime, port) = serve(&api);
    let body = r#"{"owner":"alice"}"#;
    let length = format!("content-length: {}", body.len());
    let [kept, narrowed, revoked] = [(), (), ()].map(|()| api.key("alice", &["keys:create"]));
    let streams = [&kept, &narrowed, &revoked].map(|key| begin(port, key.key.expose_secret(), &length));
    for key in [&kept, &narrowed, &revoked] {
        // Its time of use says that the head was admitted.
        wait_until("it has begun", || api.store.get(key.info.id()).unwrap().unwrap().last_used_at().is_some());
    }
    api.store.update(narrowed.info.id(), KeyUpdate::new().remove_permissions(["keys:create"])).unwrap();
    api.store.revoke(revoked.info.id(), "left").unwrap();
    let answers = streams.map(|mut stream| {
        stream.write_all(body.as_bytes()).unwrap();
        let answer = answer(stream);
        format!("{} {}", answer.status, if answer.status < 300 { String::new() } else { answer.code() })
    });
    assert_eq!(answers, ["201 ", "403 insufficient_permission", "401 revoked_api_key"]);
}

#[test]
fn slow_callers_are_in_nobodys_way() {
    let api = Api::new();
    let (_runtime, port) = serve(&api);
    let admin = api.key("root", &["*"]);
    let token = admin.key.expose_secret();
    let slow: Vec<_> = (0..500)
        .map(|_| {
            let mut stream = begin(port, token, "content-length: 17");
            stream.write_all(b"{").unwrap();
            stream
        })
        .collect();
    for _ in 0..10 {
        let created = Call::post("/admin/v1/keys", r#"{"owner":"bob"}"#).key(token).send(port);
        assert_eq!(created.status, 201);
    }
    // Each is answered once its body is whole.
    for mut stream in slow {
        stream.write_all(br#""owner":"alice"}"#).unwrap();
        assert_eq!(answer(stream).status, 201);
    }
    assert_eq!(api.store.list(&apikey::KeyFilter::owner("alice").limit(1000)).unwrap().keys.len(), 500);
}

/// As many at once as a process may have that is the server, too.
#[test]
fn ten_thousand_connections_are_answered() {
    const CONNECTIONS: usize = 10_000;
    let api = Api::new();
    let (_runtime, port) = serve(&api);
    let admin = api.key("root", &["*"]);
    let token = admin.key.expose_secret();
    let at_once = 400;
    let mut statuses = std::collections::BTreeMap::new();
    for _ in 0..CONNECTIONS / at_once {
        let open: Vec<_> = (0..at_once)
            .map(|n| {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let path = if n % 2 == 0 { "me" } else { "keys?limit=1" };
                let head = format!(
                    "GET /admin/v1/{path} HTTP/1.1\r\nhost: test\r\nx-api-key: {token}\r\nconnection: close\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).unwrap();
                stream
            })
            .collect();
        for stream in open {
            *statuses.entry(answer(stream).status).or_insert(0usize) += 1;
        }
    }
    // 256 and those that are read wait; more are refused for now.
    assert_eq!(statuses.values().sum::<usize>(), CONNECTIONS);
    assert!(
        statuses.keys().all(|status| [200, 503].contains(status)) && statuses[&200] > CONNECTIONS / 2,
        "{statuses:?}"
    );
    assert_eq!(Call::get("/admin/v1/me").key(token).send(port).status, 200);
}
