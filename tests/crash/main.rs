//! Crashes of every kind, each with a short form (what `cargo test -p apikey-crash` runs) and a long form behind a variable:
//!
//! ```text
//! APIKEY_KILLS=2000   cargo test -p apikey-crash kill -- --nocapture
//! APIKEY_CUTS=3000    cargo test -p apikey-crash power -- --nocapture
//! APIKEY_DAMAGES=1000 cargo test -p apikey-crash damage -- --nocapture
//! APIKEY_REFUSALS=all cargo test -p apikey-crash refuse -- --nocapture
//! APIKEY_ROTATIONS=200 cargo test -p apikey-crash rotate -- --nocapture
//! APIKEY_QUOTA_KILLS=300 cargo test -p apikey-crash quotas -- --nocapture
//! APIKEY_STRICT_CUTS=1000 cargo test -p apikey-crash strict -- --nocapture
//! ```
//!
//! Each prints its seed; `APIKEY_SEED=<number>` runs it again. `docs/operations/durability.md` says what is promised.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod check;
mod child;
mod damage;
mod kill;
mod model;
mod power;
mod quotas;
mod refuse;
mod rotate;
mod strict;
mod work;
