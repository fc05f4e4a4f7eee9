//! A service as it is deployed. It takes all that differs from place to place from the environment, by the names that systemd
//! gives its units; a container sets the same.
//!
//! | variable | what |
//! |---|---|
//! | `STATE_DIRECTORY` | where the store and its backups are; a node of a cluster may do without |
//! | `CREDENTIALS_DIRECTORY` | where the files `pepper` and `keys` are (optional) |
//! | `APIKEY_POSTGRES` | the PostgreSQL of a cluster, as in `host=db1,db2 user=apikey dbname=keys`: the service is a node of it (optional) |
//! | `APIKEY_NAMESPACE` | which cluster of that PostgreSQL's, `default` if it is not set |
//! | `APIKEY_PASSWORD_FILE` | the file with the password of that user (optional) |
//! | `LISTEN` | address and port, 127.0.0.1:8080 if it is not set |
//! | `TRUSTED_PROXIES` | the networks of the proxies before it, as in `10.0.0.0/8, fd00::/8` (optional) |
//! | `RUST_LOG` | what is logged to the standard error, `info` if it is not set |
//! | `NOTIFY_SOCKET` | where systemd waits for the word that the service is ready |

mod ready;

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use apikey::cluster::Cluster;
use apikey::postgres::Postgres;
use apikey::{ApiKeyLayer, KeyStore, Pepper, VerifiedKey, require_api_key};
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use tokio::net::TcpListener;
use tower_http::trace::TraceLayer;
use tracing::field::Empty;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

#[require_api_key(perm = "orders:read")]
async fn orders(key: VerifiedKey) -> String {
    format!("orders of {}\n", key.owner())
}

fn directory(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The cluster that the service is a node of; `None` for a store of its own. The node has the name of its host: in a pod that is
/// the pod's.
fn cluster() -> Option<Cluster> {
    let connection = std::env::var("APIKEY_POSTGRES").ok().filter(|connection| !connection.is_empty())?;
    let mut postgres = Postgres::new(connection);
    if let Ok(namespace) = std::env::var("APIKEY_NAMESPACE") {
        postgres = postgres.namespace(namespace);
    }
    if let Some(password) = directory("APIKEY_PASSWORD_FILE") {
        postgres = postgres.password_file(password);
    }
    Some(Cluster::new(postgres))
}

/// Opens the store. It waits for the process before, which lets its last requests end.
fn open() -> Result<KeyStore, Box<dyn Error>> {
    let (state, cluster) = (directory("STATE_DIRECTORY"), cluster());
    if state.is_none() && cluster.is_none() {
        return Err("STATE_DIRECTORY is not set: name the directory for the store".into());
    }
    let mut builder = KeyStore::builder().wait_for_lock(Duration::from_secs(30));
    if let Some(cluster) = cluster {
        builder = builder.cluster(cluster);
    }
    if let Some(state) = &state {
        let hour = Duration::from_secs(3600);
        builder = builder.admin_socket(cfg!(unix)).backup_every(hour, 24, state.join("backups"));
    }
    // Without them a key that names networks would see the proxy's address.
    let proxies = std::env::var("TRUSTED_PROXIES").unwrap_or_default();
    let networks: Vec<&str> = proxies.split(',').map(str::trim).filter(|network| !network.is_empty()).collect();
    if !networks.is_empty() {
        builder = builder.trusted_proxies(networks);
    }
    if let Some(credentials) = directory("CREDENTIALS_DIRECTORY") {
        let pepper = credentials.join("pepper");
        let bytes = std::fs::read(&pepper).map_err(|error| format!("{}: {error}", pepper.display()))?;
        builder = builder.pepper(Pepper::new(1, bytes)).fixed_keys_from_file(credentials.join("keys"));
    }
    Ok(match state {
        Some(state) => builder.open(state.join("keys.db"))?,
        // All keys come from the cluster, at each start.
        None => builder.temporary()?,
    })
}

/// Logs to the standard error: changes of keys, refusals, warnings, and each request with the id of its key.
fn log() -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env();
    let filter = filter.map_err(|error| format!("RUST_LOG: {error}"))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    Ok(())
}

/// The span of a request. The guard records the key in it.
fn request_span(request: &Request) -> tracing::Span {
    let (method, path) = (request.method(), request.uri().path());
    tracing::info_span!("request", %method, path, apikey.id = Empty, apikey.owner = Empty)
}

async fn run() -> Result<(), Box<dyn Error>> {
    log()?;
    let stop = stop_signal()?;
    // It may wait for the process before, or for PostgreSQL.
    let store = tokio::task::spawn_blocking(|| open().map_err(|error| error.to_string())).await??;
    let address = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(&address).await.map_err(|error| format!("LISTEN={address}: {error}"))?;
    println!("listening at {}", listener.local_addr()?);

    // Alive is a process that answers. Ready is a store whose disk takes changes; verification goes on without that, so a
    // service that cannot write is taken out of no load balancer by `/healthz`. A node of a cluster is ready while it verifies
    // keys: cut off from the others it refuses all, and another node has to answer.
    let asked = store.clone();
    let ready = move || async move {
        let (is_ready, why) = match asked.health() {
            health if health.cluster.is_some() => (asked.is_ready(), "the node does not follow its cluster\n"),
            health => (health.is_good(), "the store's disk refuses changes\n"),
        };
        if is_ready { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, why) }
    };
    let access_log = TraceLayer::new_for_http().make_span_with(request_span).on_response(
        |response: &Response, latency: Duration, _: &tracing::Span| {
            tracing::info!(status = response.status().as_u16(), ?latency, "answered");
        },
    );
    let app = Router::new()
        .route("/orders", get(orders))
        .layer(ApiKeyLayer::supply(store.clone()))
        .layer(access_log)
        // Below the layers: probes are not logged, and need no key.
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .into_make_service_with_connect_info::<SocketAddr>();
    ready::notify()?;
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    // What is left of times of use is written, and an error has somebody to read it.
    // A node leaves its cluster, so that no other waits for it.
    Ok(tokio::task::spawn_blocking(move || store.close()).await??)
}

/// Ends at Ctrl-C, or at SIGTERM, which systemd and container engines send. Listens from the call on.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        // Without a signal to wait for, nobody could end it: end now.
        let _ = tokio::signal::ctrl_c().await;
    })
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shop: {error}");
            ExitCode::FAILURE
        }
    }
}
