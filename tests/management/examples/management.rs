//! The API for managing keys of a temporary store, below `/admin/v1`: `cargo run -p apikey-management-tests --example
//! management`, and send the requests of docs/guides/managing-over-http.md. It prints the URL and a key; `-- PORT` chooses the
//! port, and `-- PORT KEYS` creates so many keys first.

use std::error::Error;
use std::net::SocketAddr;

use apikey::management::Management;
use apikey::{KeyStore, NewKey};
use axum::Router;

apikey::permissions! {
    enum Perm {
        /// Read orders.
        OrdersRead = "orders:read",
        /// Place and change orders.
        OrdersWrite = "orders:write",
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().map_or(Ok(0), |port| port.parse())?;
    let keys: usize = arguments.next().map_or(Ok(0), |keys| keys.parse())?;
    let store = KeyStore::builder().count_use(true).temporary()?;
    let admin = store.create(NewKey::for_owner("root").permissions(["*"]))?;
    for _ in 0..keys.div_ceil(10_000) {
        store.create_many(
            (0..keys.min(10_000)).map(|n| NewKey::for_owner(format!("owner-{n}")).permissions(["orders:read"])),
        )?;
    }
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let url = format!("http://{}/admin/v1", listener.local_addr()?);
    println!("API={url}\nADMIN={}", admin.key.expose_secret());
    let api = Management::new(store).offer(Perm::ALL).base_url(url);
    let app = Router::new().nest_service("/admin/v1", api);
    Ok(axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?)
}
