//! A client that reads its key from a file, against a service whose keys rotate every second: the service refuses no
//! request. It runs for 8 seconds, or longer:
//!
//! ```text
//! APIKEY_ROTATION_SECONDS=60 cargo test -p apikey-http rotation -- --nocapture
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use apikey::client::ClientKey;
use apikey::sink::DirectorySink;
use apikey::{
    ApiKeyLayer, Delivery, KeyStore, NewKey, Overlap, RotationPolicy, Rotator, SecretSink, VerifiedKey, require_api_key,
};
use axum::Router;
use axum::routing::get;
use chrono::TimeDelta;
use tokio::net::TcpListener;

const CLIENTS: usize = 4;
const OVERLAP: Duration = Duration::from_millis(900);

#[require_api_key(perm = "orders:read")]
async fn version(key: VerifiedKey) -> String {
    key.secret_version().to_string()
}

#[derive(Default)]
struct Seen {
    requests: AtomicU64,
    refused: AtomicU64,
    /// Requests that were refused after a delay longer than the overlap, as a suspended machine can cause it.
    late: AtomicU64,
    version: AtomicU64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_picks_up_its_next_key_from_a_file_without_a_refused_request() {
    let seconds = std::env::var("APIKEY_ROTATION_SECONDS").map_or(8, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let store = KeyStore::open(directory.path().join("keys.db")).unwrap();
    let overlap = Overlap::For(TimeDelta::from_std(OVERLAP).unwrap());
    let policy = RotationPolicy::every(TimeDelta::seconds(1)).overlap(overlap);
    let key = NewKey::for_owner("web").permissions(["orders:read"]).rotation(policy);
    let created = store.create(key).unwrap();
    let sink = DirectorySink::new(directory.path().join("secrets"));
    sink.deliver(&Delivery::of(&created)).unwrap();
    let file = sink.path_of(&created.info).unwrap();

    let app = Router::new().route("/version", get(version)).layer(ApiKeyLayer::supply(store.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/version", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });

    let rotator = Rotator::new(store.clone(), sink).start().unwrap();
    let (begun, seen) = (Instant::now(), Arc::new(Seen::default()));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (seen, url) = (seen.clone(), url.clone());
            let key = ClientKey::from_file(&file).unwrap();
            tokio::spawn(async move {
                let client = reqwest::Client::builder().no_proxy().build().unwrap();
                while begun.elapsed() < Duration::from_secs(seconds) {
                    let mut request = client.get(&url).build().unwrap();
                    let read = Instant::now();
                    key.put(&mut request).unwrap();
                    let answer = client.execute(request).await.unwrap();
                    seen.requests.fetch_add(1, Relaxed);
                    if answer.status() == 200 {
                        seen.version.fetch_max(answer.text().await.unwrap().parse().unwrap(), Relaxed);
                    } else if read.elapsed() > OVERLAP {
                        seen.late.fetch_add(1, Relaxed);
                    } else {
                        seen.refused.fetch_add(1, Relaxed);
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    rotator.stop();
    let [requests, refused, late, version] =
        [&seen.requests, &seen.refused, &seen.late, &seen.version].map(|count| count.load(Relaxed));
    println!(
        "rotation: {requests} requests in {seconds} s, {version} secrets, {refused} refused, {late} more after the overlap"
    );
    assert_eq!(refused, 0, "of {requests} requests");
    assert!(version > 1 && requests > late, "the key was rotated, and its successor used");
    assert!(store.verify(created.key.expose_secret()).is_err(), "the first secret has ended long ago");
}
