//! What a service consists of.

use std::sync::{Arc, Mutex, OnceLock};

use apikey_core::KeyStore;

use super::budget::Budget;
use super::census::Census;
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
    /// Held while keys are revoked by a filter, which may read every key: one caller at a time, so that the other threads are
    /// free for changes of one key.
    pub(super) revoking_many: Arc<Mutex<()>>,
    pub(super) budget: Arc<Budget>,
    pub(super) census: Arc<Census>,
    pub(super) document: OnceLock<String>,
}
