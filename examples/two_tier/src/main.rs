//! Two tiers with API keys between them, to run, to try and to copy from.
//!
//! ```text
//! browser --- page from http://127.0.0.1:8080        presentation tier: page.rs, page/
//!    |
//!    '------- X-API-Key --> http://127.0.0.1:8081    application tier: api.rs, orders.rs
//!                                   |
//!                           two_tier.db, a directory: the embedded key store
//!                                   |
//! browser --- http://127.0.0.1:8082 ------- console: keys made, watched, rotated and revoked; on a port of its own
//! ```
//!
//! Start with `api.rs`: that is what a service needs. `demo_keys.rs` shows how to create keys, `console.rs` how to serve the
//! console.

mod args;
mod console;
mod demo_keys;
mod page;
mod welcome;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use apikey::KeyStore;
use axum::Router;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use two_tier::{Failure, api};

use crate::args::Args;

/// How long requests that are under way may take to end. A browser also keeps spare connections that never carry a
/// request; without a limit they would hold up the stop.
const GRACE: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("two_tier: {failure}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(args: &Args) -> Result<(), Failure> {
    // The ports first: if one is in use, the program has created no key that nobody sees.
    let (api_listener, api_origin) = bind("--api-port", args.api_port).await?;
    let (page_listener, page_origin) = bind("--page-port", args.page_port).await?;
    let (console_listener, console_origin) = bind("--console-port", args.console_port).await?;
    // Counts uses, for the charts of the console.
    let store = KeyStore::builder().admin_socket(args.admin_socket).count_use(true).open(&args.store);
    let store = store.map_err(|error| format!("{error}\n(--store PATH takes another directory)"))?;
    let keys = demo_keys::ready(&store, args.new_demo_keys)?;

    let api = api::router(store.clone(), &page_origin)?;
    let page = page::router(&page_origin, &api_origin)?;
    let console = console::console(store.clone(), &console_origin);

    // Installed before the program prints anything: a reader of "Ctrl-C stops" may press it at once.
    let stop = stop_signal()?;
    say(&welcome::text(&keys, &args.store, &page_origin, &api_origin, console.link("terminal")?.expose_secret()))?;
    console::print_links_on_enter(console.clone());

    let (running, stopped) = watch::channel(());
    let tiers = [
        tokio::spawn(serve(api_listener, api, stopped.clone())),
        tokio::spawn(serve(page_listener, page, stopped.clone())),
        tokio::spawn(serve(console_listener, console::router(console, &console_origin), stopped)),
    ];
    stop.await;
    drop(running);
    let ended = timeout(GRACE, async {
        for tier in tiers {
            tier.await??;
        }
        Ok::<_, Failure>(())
    });
    if let Ok(result) = ended.await {
        result?;
    }
    // Writes the times of use that are still in memory. From here on every key is refused as `unavailable`.
    store.close()?;
    say("Stopped.\n")
}

/// Loopback only: the tiers speak plain HTTP, and a key must not cross a network in the clear.
async fn bind(option: &str, port: u16) -> Result<(TcpListener, String), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("port {port} is in use by another program; choose another with {option} (0 takes any free port)")
        }
        _ => format!("cannot listen on 127.0.0.1:{port}: {error}; choose another port with {option}"),
    })?;
    let origin = format!("http://{}", listener.local_addr()?);
    Ok((listener, origin))
}

/// Serves until the sender of `stop` is dropped, then lets the requests under way end.
async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<()>) -> io::Result<()> {
    let stopped = async move {
        // An error here only says that the sender is gone, which is the signal.
        let _ = stop.changed().await;
    };
    // With the address of the caller, which the console shows.
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stopped).await
}

/// Ends at Ctrl-C or at SIGTERM, which `docker stop` and systemd send. Listens from the call on.
#[cfg(unix)]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Ends at Ctrl-C. Listens from the call on.
#[cfg(windows)]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupt.recv().await;
    })
}

/// Prints without the panic of `println!` when the reader has gone, as in `two_tier | head`.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| format!("cannot print: {error}").into())
}
