//! What the engines of a cluster of `apikey` stores have in common, for who writes another one.
//!
//! An engine implements [`Ledger`](apikey_core::cluster::Ledger), whose calls block and come from any thread. Most clients of
//! databases are asynchronous, so an engine has a thread in which its connections live, and passes each call to it:
//!
//! | for | there is |
//! |---|---|
//! | the thread of the connections | [`ConnectionThread`] |
//! | what a call takes with it to that thread | [`OwnedEntry`], [`OwnedStep`], [`OwnedStanding`], [`OwnedSwap`], [`owned_begins`] |
//! | what is made by the first call | [`OnFirstUse`] |
//! | settings, of which the first wrong one is the error of every call | [`CheckedSettings`], [`CommonSettings`], [`Password`] |
//! | waits that end in time, and when the ledger closes | [`Waits`] |
//! | pauses before the next try | [`backoff`], [`jitter`] |
//! | what an error means after a try that may have been done | [`after_unknown`] |
//!
//! None of it is needed: a ledger is whatever passes the suite of the feature `conformance`.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "conformance")]
pub mod conformance;
mod connection_thread;
mod failure;
mod on_first_use;
mod owned;
mod pause;
mod settings;
mod waits;

pub use connection_thread::{Begun, ConnectionThread};
pub use failure::{after_unknown, damaged, no_log, with_sources};
pub use on_first_use::OnFirstUse;
pub use owned::{OwnedEntry, OwnedImage, OwnedStanding, OwnedStep, OwnedSwap, owned_begins};
pub use pause::{backoff, jitter};
pub use settings::{CheckedSettings, CommonSettings, Namespace, Password};
pub use waits::Waits;
