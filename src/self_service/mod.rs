//! Self-service for callers: rotate or revoke the caller's own key.
//!
//! [`rotate`] and [`revoke`] are plain functions for any framework. With the feature `tower` (which `axum` turns on),
//! `SelfService` serves both over HTTP:
//!
//! | request | effect | answer |
//! |---|---|---|
//! | `POST /rotate` with the key | gives the key a new secret | 200, `{"id", "key", "version", "superseded_until"}` |
//! | `DELETE /` or `POST /revoke` with the key | revokes it | 204 |
//!
//! **Rotating.** The old secret stays valid until the new one is first used
//! ([`Overlap::UntilFirstUse`](crate::Overlap)), unless the service chooses another overlap. `superseded_until` is the
//! time at which it ends; `null` means at the first use of the new one. The new secret appears only in the answer, with
//! `Cache-Control: no-store`. A caller that received no answer repeats its request, with the same `Idempotency-Key`
//! header (1 to 128 bytes, a new one for each rotation) or without one. Until the new secret is used, a repeat replaces
//! it by another; after that the answer is a conflict (409). A caller whose secret ends at a set time may repeat its
//! own request with its `Idempotency-Key`, and nothing else: a secret with an end cannot be used to outlive that end.
//! The permissions of the key do not change, so no cap widens.
//!
//! **Revoking.** Any secret of the key that has not ended is enough, even if the key is disabled, expired, not yet
//! valid or revoked already: a person who finds a token can end it without knowing its owner.
//!
//! Events have the actor `key:<id>`. Each change is written to the disk, so a caller with a valid key can make the
//! service write: put a rate limit around it if you do not trust your callers that far.

mod answer;
mod change;
#[cfg(feature = "tower")]
mod service;

pub use change::{REASON, Refused, Rotated, revoke, rotate};
#[cfg(feature = "tower")]
pub use service::{SelfService, SelfServiceFuture};
