//! The table of requests, without a server.

use apikey::KeyStore;
use apikey_testkit::management;

use crate::fixture::Api;

#[test]
fn every_row_is_answered_as_it_says() {
    let api = Api::of(KeyStore::builder().count_use(true).temporary().unwrap());
    let rows = management::run(&api.store, |call| api.send(call));
    assert!(rows.len() >= 120, "{}", rows.len());
}
