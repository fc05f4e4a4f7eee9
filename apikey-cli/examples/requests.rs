//! Requests to a service that counts uses: each line of standard input is the key of one. docs/operations/command.md looks at
//! the counts.
//!
//! `cargo run -p apikey-cli --example requests -- keys.db < alice.key`

use apikey_core::KeyStore;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("which store? Name its directory")?;
    let store = KeyStore::builder().count_use(true).open(path)?;
    for key in std::io::stdin().lines() {
        match store.verify(&key?) {
            Ok(key) => println!("200 {}", key.owner()),
            Err(error) => println!("{} {}", error.status(), error.code()),
        }
    }
    Ok(store.close()?)
}
