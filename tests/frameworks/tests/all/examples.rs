//! The examples as modules, so that the tests run the code that readers copy.

use std::thread;

use apikey::KeyStore;
use apikey_frameworks::Outcome;
use apikey_testkit::{free_port, is_up};

macro_rules! examples {
    ($($name:ident = $path:literal),* $(,)?) => {
        $(#[path = $path]
        mod $name;)*

        /// Every example that answers over HTTP.
        pub(crate) const ALL: &[Example] = &[$(Example { name: stringify!($name), run: $name::run, main: $name::main }),*];
    };
}

examples! {
    actix_web = "../../examples/actix_web.rs",
    axum = "../../examples/axum.rs",
    hyper = "../../examples/hyper.rs",
    poem = "../../examples/poem.rs",
    rocket = "../../examples/rocket.rs",
    salvo = "../../examples/salvo.rs",
    warp = "../../examples/warp.rs",
}

/// The example that answers over gRPC.
#[path = "../../examples/tonic.rs"]
mod tonic;

pub(crate) const GRPC: Example = Example { name: "tonic", run: tonic::run, main: tonic::main };

/// The example with long connections.
#[path = "../../examples/streams.rs"]
pub(crate) mod streams;

pub(crate) const STREAMS: Example = Example { name: "streams", run: streams::run, main: streams::main };

pub(crate) struct Example {
    /// The name for `cargo run --example`.
    pub(crate) name: &'static str,
    run: fn(KeyStore, u16) -> Outcome,
    #[allow(dead_code, reason = "so that the module's `main` is used")]
    main: fn() -> Outcome,
}

impl Example {
    /// Starts it with this store, in a thread that lasts as long as the process; returns its port.
    pub(crate) fn start(&self, store: &KeyStore) -> u16 {
        // A process that is no test may take the port before the example does; then the example ends, and this tries another
        // port.
        for _ in 0..10 {
            let port = free_port();
            let (run, store) = (self.run, store.clone());
            let server = thread::spawn(move || run(store, port).map_err(|error| error.to_string()));
            while !server.is_finished() {
                if is_up(port) {
                    return port;
                }
                thread::yield_now();
            }
        }
        panic!("{} does not start", self.name);
    }
}
