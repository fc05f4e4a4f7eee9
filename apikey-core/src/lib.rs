//! The core of [`apikey`](https://docs.rs/apikey): tokens, permissions, records, and the embedded store.
//!
//! Depend on `apikey`, which exports all of this and adds the attribute and the web frameworks. This crate is for
//! programs that need neither, such as the command. It knows no web framework, no async runtime and no HTTP library.
//!
//! ```
//! use apikey_core::{KeyStore, NewKey};
//!
//! let store = KeyStore::temporary()?;
//! let created = store.create(NewKey::for_owner("alice").permissions(["orders:read"]))?;
//! assert!(store.verify(created.key.expose_secret())?.allows("orders:read"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Begin with [`KeyStore`]. These are the parts of the crate, each listed before those that it uses: `admin`
//! (operators), `copies` (backup, restore, export), `rotation`, `store`, `usage` (how often keys are used), `commit` (order
//! and durability of changes), `storage` (sled and the write-ahead log), `index` (what a verification reads), `http`, `key`, `access`, `token`,
//! `base`.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod access;
pub mod admin;
mod base;
mod builder;
#[cfg(feature = "cluster")]
#[cfg_attr(docsrs, doc(cfg(feature = "cluster")))]
pub mod cluster;
mod commit;
mod copies;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod index;
mod key;
#[cfg(feature = "measure")]
#[doc(hidden)]
pub mod measure;
mod rotation;
mod storage;
mod store;
mod token;
mod usage;

pub use access::attempt::{Attempt, Charge};
pub use access::auth_error::AuthError;
#[doc(hidden)]
pub use access::catalog::OF_THE_STORE;
pub use access::catalog::UnknownGrant;
pub use access::limit::{Limit, LimitStatus};
pub use access::need::Need;
pub use access::peer::Peer;
#[doc(hidden)]
pub use access::permission::matches as grant_matches;
pub use access::permission::{
    MAX_PERMISSION_BYTES, MAX_SEGMENTS, PermissionError, PermissionFault, check_grant, check_permission,
};
pub use access::quota::status::QuotaStatus;
pub use access::quota::{Quota, QuotaPeriod};
pub use access::requirement::Requirement;
pub use access::verified_key::VerifiedKey;
pub use base::clock_lead::{AcceptedClock, ClockLead};
pub use base::redact::{TOKEN_PATTERN, redact};
pub use base::time::{Clock, ManualClock};
#[doc(hidden)]
pub use base::wiped;
pub use builder::KeyStoreBuilder;
pub use commit::cluster::health::{ClusterHealth, NodeHealth};
pub use commit::cluster::propagation::Propagation;
pub use copies::backup_report::{BackupError, BackupReport};
pub use copies::restore_report::{
    Reapplied, Restore, RestoreError, RestoreReport, RestoreWarning, SalvageReport, UnknownKey,
};
pub use copies::transfer_report::{ExportOptions, ImportOptions, ImportReport, LineFault, RefusedLine};
pub use http::header_config::HeaderConfig;
pub use http::presented::Presented;
pub use http::proxies::ForwardedHeader;
pub use http::refusal::{Refusal, Render};
pub use index::refused::refusals::Refusals;
pub use index::refused::refused_attempt::RefusedAttempt;
pub use key::error::cap_violation::CapViolation;
pub use key::error::cluster_error::ClusterError;
pub use key::error::field_error::FieldError;
pub use key::error::{Conflict, StoreError};
pub use key::event::actor::Actor;
pub use key::event::chain::{ChainFault, EventsReport};
pub use key::event::changes::{Changes, FromTo};
pub use key::event::filter::{EventFilter, EventPage};
pub use key::event::history::Event;
pub use key::event::kind::EventKind;
pub use key::key_filter::{KeyFilter, MAX_PAGE, Page};
pub use key::key_info::{EndedSecret, KeyInfo, KeyState, Revoked};
pub use key::key_update::KeyUpdate;
pub use key::new_key::{CreatedKey, NewKey};
pub use key::owner::key_bounds::KeyBounds;
pub use key::owner::owner::Owner;
pub use key::owner::owner_info::OwnerInfo;
pub use key::revealed_key::RevealedKey;
pub use key::role::role::Role;
pub use key::role::role_info::RoleInfo;
pub use key::rotation::options::RotateOptions;
pub use key::rotation::overlap::Overlap;
pub use key::rotation::overlap::OverlapEnd;
pub use key::rotation::policy::Rotation;
pub use key::rotation::policy::RotationPolicy;
pub use key::tenant::tenant::Tenant;
pub use key::tenant::tenant_info::TenantInfo;
pub use rotation::report::{DeliveredKey, ExpiryWarning, FailedDelivery, RunReport, SkippedRotation};
pub use rotation::rotator::{Rotator, RotatorHandle};
pub use rotation::sink;
pub use rotation::sink::{Delivery, SecretSink, SinkError, SinkState};
pub use storage::open_error::OpenError;
#[doc(hidden)]
pub use store::console::hook::ConsoleHook;
pub use store::handle::owner::OwnerStore;
pub use store::handle::tenant::TenantStore;
pub use store::health::{DiskSize, Health, LastBackup};
pub use store::inspect::Inspection;
pub use store::key_store::KeyStore;
pub use token::api_key::ApiKey;
pub use token::digest::Pepper;
pub use token::imported::{ImportScheme, Imported, MAX_IMPORTED_BYTES, MIN_IMPORTED_BYTES};
pub use token::key_id::{KeyId, KeyIdError};
#[doc(hidden)]
pub use token::random_text;
pub use usage::query::Usage;
pub use usage::report::{Covers, KeyUse, UsagePoint, UsageReport};
pub use usage::step::Step;
