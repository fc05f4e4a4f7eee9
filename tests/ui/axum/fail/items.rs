//! What cannot be guarded. The item itself is emitted as it was.

#![allow(unused)]

use apikey::{Rejection, require_api_key};

#[require_api_key(perm = "orders:read")]
struct Order;

#[require_api_key(perm = "orders:read")]
impl Order {
    fn id(&self) -> u8 {
        1
    }
}

trait Orders {
    #[require_api_key(perm = "orders:read")]
    fn list(&self, request: &str) -> Result<(), Rejection>;
}

#[require_api_key(perm = "orders:read")]
const fn constant() -> u8 {
    1
}

#[require_api_key(perm = "orders:read")]
#[require_api_key(perm = "stock:read")]
async fn twice() {}

#[apikey::require_api_key]
#[apikey::require_api_key]
async fn twice_by_path() {}

const ONE: u8 = constant();

fn main() {
    let _ = (Order.id(), ONE);
}
