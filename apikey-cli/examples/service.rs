//! The smallest service that operators can reach while it runs: docs/operations/command.md walks through it.
//!
//! `cargo run -p apikey-cli --example service -- keys.db`

use apikey_core::KeyStore;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("which store? Name its directory")?;
    let _store = KeyStore::builder().admin_socket(true).open(path)?;
    // A real one serves requests here.
    loop {
        std::thread::park();
    }
}
