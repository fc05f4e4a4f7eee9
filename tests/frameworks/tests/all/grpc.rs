//! The same over gRPC, with statuses instead of responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apikey::{KeyStore, NewKey, Overlap, Quota};
use apikey_frameworks::shop::Text;
use apikey_frameworks::shop::admin_client::AdminClient;
use apikey_frameworks::shop::orders_client::OrdersClient;
use chrono::{TimeDelta, Utc};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use crate::examples::GRPC;

async fn connect(port: u16) -> Channel {
    Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap().connect().await.unwrap()
}

async fn call(channel: &Channel, method: &str, keys: &[&str]) -> Result<Response<Text>, Status> {
    let mut request = Request::new(Text::new("tea"));
    for key in keys {
        request.metadata_mut().append("x-api-key", key.parse().unwrap());
    }
    let (mut orders, mut admin) = (OrdersClient::new(channel.clone()), AdminClient::new(channel.clone()));
    match method {
        "list" => orders.list(request).await,
        "place" => orders.place(request).await,
        "stats" => admin.stats(request).await,
        "report" => admin.report(request).await,
        _ => admin.audit(request).await,
    }
}

fn token(store: &KeyStore, owner: &str, grants: &[&str]) -> String {
    store.create(NewKey::for_owner(owner).permissions(grants)).unwrap().key.expose_secret().to_owned()
}

fn text<'a>(metadata: &'a MetadataMap, name: &str) -> Option<&'a str> {
    metadata.get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_refusal_is_a_status_with_its_code_in_the_metadata() {
    let store = KeyStore::temporary().unwrap();
    let alice = token(&store, "alice", &["orders:read"]);
    let admin = token(&store, "root", &["admin"]);
    let auditor = token(&store, "auditor", &["admin", "audit:read"]);
    let channel = connect(GRPC.start(&store)).await;
    for (method, keys, said) in [
        ("list", &[alice.as_str()][..], "orders of alice"),
        ("stats", &[&admin], "fine"),
        ("audit", &[&auditor], "read by auditor"),
    ] {
        assert_eq!(call(&channel, method, keys).await.unwrap().into_inner().text, said);
    }
    let lacks_write = Some("orders:write");
    for (method, keys, code, name, required) in [
        ("list", &[][..], Code::Unauthenticated, "missing_api_key", None),
        ("list", &["bad"], Code::Unauthenticated, "invalid_api_key", None),
        ("list", &[&alice, &alice], Code::Unauthenticated, "invalid_api_key", None),
        ("place", &[&alice], Code::PermissionDenied, "insufficient_permission", lacks_write),
        ("stats", &[], Code::Unauthenticated, "missing_api_key", None),
        ("stats", &[&alice], Code::PermissionDenied, "insufficient_permission", Some("admin")),
        ("audit", &[&admin], Code::PermissionDenied, "insufficient_permission", Some("audit:read")),
    ] {
        let status = call(&channel, method, keys).await.unwrap_err();
        assert_eq!(status.code(), code, "{method} {status:?}");
        assert_eq!(text(status.metadata(), "apikey-code"), Some(name), "{method}");
        assert_eq!(text(status.metadata(), "apikey-required"), required, "{method}");
        let challenge = (code == Code::Unauthenticated).then_some("ApiKey realm=\"api\", header=\"X-API-Key\"");
        assert_eq!(text(status.metadata(), "www-authenticate"), challenge, "{method}");
    }
    store.close().unwrap();
    for method in ["list", "stats"] {
        let status = call(&channel, method, &[&alice]).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "API keys cannot be checked"));
    }
}

#[tokio::test]
async fn a_call_is_verified_once_and_the_response_marks_a_superseded_secret() {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let start = Utc::now();
    let clock = move || {
        // The store's own thread, of this name, reads the clock too.
        if std::thread::current().name() != Some("apikey") {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        start
    };
    let store = KeyStore::builder().clock(clock).track_use(false).temporary().unwrap();
    let created = store.create(NewKey::for_owner("root").permissions(["*"])).unwrap();
    store.rotate(created.info.id(), Overlap::For(TimeDelta::hours(1))).unwrap();
    let channel = connect(GRPC.start(&store)).await;
    for method in ["list", "stats", "audit"] {
        let before = reads.load(Ordering::SeqCst);
        let answer = call(&channel, method, &[created.key.expose_secret()]).await.unwrap();
        assert_eq!(reads.load(Ordering::SeqCst) - before, 1, "{method}");
        assert!(
            text(answer.metadata(), "x-api-key-superseded").is_some_and(|until| until.ends_with("GMT")),
            "{method}"
        );
    }
}

#[apikey::require_api_key(perm = "orders:read", request = request, store = store, tenant = request.get_ref().text)]
fn of_tenant(store: &KeyStore, request: Request<Text>) -> Result<(), Status> {
    Err(apikey::Rejection::not_found().into())
}

#[test]
fn another_tenant_is_not_found_as_an_unknown_thing_is() {
    let store = KeyStore::temporary().unwrap();
    let new = NewKey::for_owner("alice").permissions(["orders:read"]);
    let key = store.tenant("acme").unwrap().create(new).unwrap().key;
    let answers = ["acme", "apex"].map(|tenant| {
        let mut request = Request::new(Text::new(tenant));
        request.metadata_mut().insert("x-api-key", key.expose_secret().parse().unwrap());
        of_tenant(&store, request).unwrap_err()
    });
    for status in &answers {
        assert_eq!((status.code(), status.message()), (Code::NotFound, "Not found"));
        assert_eq!(text(status.metadata(), "apikey-code"), Some("not_found"));
    }
    assert_eq!(format!("{:?}", answers[0]), format!("{:?}", answers[1]));
}

struct Open;

#[tonic::async_trait]
impl apikey_frameworks::shop::orders_server::Orders for Open {
    async fn list(&self, _: Request<Text>) -> Result<Response<Text>, Status> {
        Ok(Response::new(Text::new("open")))
    }

    async fn place(&self, request: Request<Text>) -> Result<Response<Text>, Status> {
        self.list(request).await
    }
}

#[tokio::test]
async fn a_whole_server_is_guarded_by_one_layer() {
    let store = KeyStore::temporary().unwrap();
    let new = NewKey::for_owner("root").permissions(["admin"]).limit(5, TimeDelta::hours(1));
    let created = store.create(new).unwrap();
    store.rotate(created.info.id(), Overlap::For(TimeDelta::hours(1))).unwrap();
    let admin = created.key.expose_secret();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let needed = apikey::Requirement::permission("admin").unwrap();
    let server = tonic::transport::Server::builder()
        .layer(apikey::tonic::require(store, needed))
        .add_service(apikey_frameworks::shop::orders_server::OrdersServer::new(Open))
        .serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener));
    tokio::spawn(server);
    let channel = connect(port).await;
    // The metadata says what the headers of other frameworks say.
    let refused = call(&channel, "list", &[]).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(text(refused.metadata(), "vary"), Some("X-API-Key"));
    assert_eq!(text(refused.metadata(), "cache-control"), Some("no-store"));
    let answer = call(&channel, "list", &[admin]).await.unwrap();
    assert_eq!(text(answer.metadata(), "vary"), Some("X-API-Key"));
    assert_eq!(text(answer.metadata(), "cache-control"), Some("private, no-cache"));
    assert_eq!(text(answer.metadata(), "ratelimit-policy"), Some("\"key\";q=5;w=3600"));
    assert!(text(answer.metadata(), "ratelimit").is_some_and(|left| left.starts_with("\"key\";r=4")));
    assert!(text(answer.metadata(), "x-api-key-superseded").is_some_and(|until| until.ends_with("GMT")));
    assert_eq!(answer.into_inner().text, "open");
    // An unknown caller does not learn which methods exist.
    assert_eq!(call(&channel, "stats", &[]).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_missing_or_unusable_header_does_not_make_the_caller_the_proxy() {
    let builder = KeyStore::builder().trusted_proxies(["127.0.0.1"]).failed_attempts(2, TimeDelta::hours(1));
    let store = builder.temporary().unwrap();
    let key = |net: &str| store.create(NewKey::for_owner("root").permissions(["*"]).networks([net])).unwrap();
    let (near, far) = (key("127.0.0.1"), key("192.0.2.0/24"));
    let channel = connect(GRPC.start(&store)).await;
    let ask = async |token: &str, forwarded: Option<&[u8]>| {
        let mut headers = http::HeaderMap::new();
        headers.insert("x-api-key", token.parse().unwrap());
        forwarded.map(|line| headers.insert("x-forwarded-for", http::HeaderValue::from_bytes(line).unwrap()));
        let mut request = Request::new(Text::new("tea"));
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        let answer = OrdersClient::new(channel.clone()).list(request).await;
        answer.map_or_else(|status| status.code(), |_| Code::Ok)
    };
    for line in [None, Some(&b"\xff"[..]), Some(b"127.0.0.1"), Some(b"192.0.2.7, \xff")] {
        assert_eq!(ask(near.key.expose_secret(), line).await, Code::PermissionDenied, "{line:?}");
    }
    assert_eq!(ask(far.key.expose_secret(), Some(b"\xff, 192.0.2.7")).await, Code::Ok);
    for code in [Code::Unauthenticated, Code::Unauthenticated, Code::ResourceExhausted] {
        assert_eq!(ask("bad", Some(b"\xff")).await, code);
    }
    assert_eq!(ask(far.key.expose_secret(), Some(b"\xff, 192.0.2.7")).await, Code::Ok);
}

#[tokio::test]
async fn address_and_limit_over_grpc() {
    let store = KeyStore::temporary().unwrap();
    let key = |new: NewKey| store.create(new.permissions(["*"])).unwrap().key.expose_secret().to_owned();
    let channel = connect(GRPC.start(&store)).await;
    for method in ["list", "stats", "audit"] {
        let near = key(NewKey::for_owner("root").networks(["127.0.0.1"]).limit(1, TimeDelta::hours(1)));
        let far = key(NewKey::for_owner("root").networks(["10.0.0.0/8"]));
        let status = call(&channel, method, &[&far]).await.unwrap_err();
        assert_eq!(text(status.metadata(), "apikey-code"), Some("address_not_allowed"), "{method}");
        assert_eq!(status.code(), Code::PermissionDenied, "{method}");
        let answer = call(&channel, method, &[&near]).await.unwrap();
        let left = text(answer.metadata(), "ratelimit").unwrap();
        assert!(left.starts_with("\"key\";r=0;t="), "{method} {left}");
        let status = call(&channel, method, &[&near]).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{method}");
        assert!(text(status.metadata(), "retry-after").is_some(), "{method}");
        assert_eq!(text(status.metadata(), "ratelimit-policy"), Some("\"key\";q=1;w=3600"), "{method}");
    }
}

#[tokio::test]
async fn a_quota_over_grpc() {
    let store = KeyStore::temporary().unwrap();
    let channel = connect(GRPC.start(&store)).await;
    for (method, cost) in [("list", 1), ("stats", 1), ("audit", 1), ("report", 5)] {
        for (quota, code, name) in [
            (Quota::per_month(2 * cost), Code::ResourceExhausted, "quota_exceeded"),
            (Quota::total(2 * cost), Code::PermissionDenied, "no_uses_left"),
        ] {
            let new = NewKey::for_owner("root").permissions(["*"]).quota(quota);
            let key = store.create(new).unwrap();
            let ask = async |method| call(&channel, method, &[key.key.expose_secret()]).await;
            for left in [cost, 0] {
                let answer = ask(method).await.unwrap();
                let shown = text(answer.metadata(), "ratelimit").unwrap();
                assert!(shown.starts_with(&format!("\"quota\";r={left}")), "{method} {shown}");
            }
            let status = ask(method).await.unwrap_err();
            assert_eq!((status.code(), text(status.metadata(), "apikey-code")), (code, Some(name)), "{method}");
            let waits = text(status.metadata(), "retry-after").is_some();
            assert_eq!(waits, code == Code::ResourceExhausted, "{method}");
        }
    }
    // Of four uses, five are too many, and the interceptor's one comes back.
    let key = store.create(NewKey::for_owner("root").permissions(["*"]).quota(Quota::total(4))).unwrap();
    let mut codes = Vec::new();
    for method in ["report", "report", "stats", "audit", "list", "stats", "stats"] {
        let answer = call(&channel, method, &[key.key.expose_secret()]).await;
        codes.push(answer.map_or_else(|status| status.code(), |_| Code::Ok));
    }
    let denied = Code::PermissionDenied;
    assert_eq!(codes, [denied, denied, Code::Ok, Code::Ok, Code::Ok, Code::Ok, denied]);
}
