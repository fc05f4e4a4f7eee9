//! The console: a page on which the keys of the store are made, watched, rotated and revoked. It has a port of its own, since a
//! browser lets each page of an origin do what any other of it may. In production it has a host name of its own, too: cookies
//! do not know ports.

use std::io;
use std::thread;

use apikey::KeyStore;
use apikey::console::Console;
use apikey::management::Management;
use axum::Router;
use axum::middleware::from_fn_with_state;

use crate::page::one_origin;
use crate::say;

/// The console of a store. What may be put on keys is what the guarded handlers ask for.
pub(crate) fn console(store: KeyStore, origin: &str) -> Console {
    Console::new(Management::new(store)).url(origin)
}

pub(crate) fn router(console: Console, origin: &str) -> Router {
    Router::new().fallback_service(console).layer(from_fn_with_state(origin.into(), one_origin))
}

/// Prints another link for each line that is entered: a link signs in once, and soon. The terminal is the operator's.
pub(crate) fn print_links_on_enter(console: Console) {
    thread::spawn(move || {
        for line in io::stdin().lines() {
            let Ok(_) = line else { return };
            let printed = match console.link("terminal") {
                Ok(link) => say(&format!("{}\n", link.expose_secret())),
                Err(error) => say(&format!("there is no link: {error}\n")),
            };
            if printed.is_err() {
                return;
            }
        }
    });
}
