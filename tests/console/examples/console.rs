//! The console of a temporary store, to look at: `cargo run -p apikey-console-tests --example console` prints a link that signs
//! in once, and a key that signs in, too. `-- PORT` chooses the port, `-- PORT KEYS` creates so many keys first. At `/links` it
//! answers with another link, so that nobody needs the admin socket.

use std::error::Error;
use std::net::SocketAddr;

use apikey::admin::{Answer, Request, Session};
use apikey::console::{Console, Owner};
use apikey::management::Management;
use apikey::{Actor, KeyStore, NewKey};
use axum::Router;
use axum::routing::get;

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
    let admin = store.create(NewKey::for_owner("root").name("admin").permissions(["*"]))?;
    for start in (0..keys).step_by(10_000) {
        let some = start..keys.min(start + 10_000);
        let key = |n| NewKey::for_owner(format!("owner-{n}")).name(format!("key {n}")).permissions(["orders:read"]);
        store.create_many(some.map(key))?;
    }
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let api = Management::new(store.clone()).offer(Perm::ALL);
    let console = Console::new(api).url(&url).owner_from(|request| {
        let cookies = request.headers.get("cookie")?.to_str().ok()?;
        let name = cookies.split("; ").find_map(|cookie| cookie.strip_prefix("user="))?;
        Some(Owner::new(name).offer(Perm::ALL))
    });
    let link = move || {
        let Answer::ConsoleLink(link) = Session::new(store.as_actor(Actor::Uid(1000))).ask(Request::ConsoleLink) else {
            return "no link".to_owned();
        };
        link.expose_secret().to_owned()
    };
    println!("URL={url}\nLINK={}\nADMIN={}", link(), admin.key.expose_secret());
    let app = Router::new().route("/links", get(move || std::future::ready(link()))).fallback_service(console);
    Ok(axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?)
}
