//! What a service consists of.

use std::sync::{Arc, OnceLock};

use apikey_core::KeyStore;

use super::budget::Budget;
use super::offer::Offer;
use crate::worker::Worker;

/// What the functions of the operations read besides the request.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) store: KeyStore,
    pub(super) offer: Offer,
    pub(super) base_url: Option<String>,
    pub(super) reads: Worker,
    pub(super) changes: Worker,
    pub(super) budget: Arc<Budget>,
    pub(super) document: OnceLock<String>,
}
