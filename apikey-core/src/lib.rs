//! Tokens, permissions, records and the embedded store behind the `apikey` crate. It knows no web framework, no async
//! runtime and no HTTP library; services use it through `apikey`.

pub mod admin;
mod archive;
mod attempt;
mod auth_error;
mod backup;
mod base62;
mod bounds;
mod chain;
mod change;
mod charge;
mod clock;
mod codec;
mod digest;
mod error;
mod event;
mod event_filter;
mod failed_attempts;
mod fixed_keys;
mod grants;
mod health;
mod history;
mod id_source;
mod idempotency;
mod imported;
mod index;
mod intern;
mod key_filter;
mod key_id;
mod key_info;
mod key_line;
mod key_update;
mod lifetime;
mod limit;
mod limiter;
#[cfg(feature = "measure")]
#[doc(hidden)]
pub mod measure;
mod memo;
mod metering;
mod need;
mod network;
mod new_key;
mod no_address;
mod pace;
mod peer;
mod pending;
mod permission;
mod proxies;
mod quiet;
mod record;
mod refusal;
mod refusals;
mod refused_attempt;
mod requirement;
mod reserved;
mod restore;
mod rights;
mod rotate_options;
mod rotation_policy;
mod scope;
pub mod sink;
mod store;
mod store_time;
mod time;
mod token;
mod transfer;
mod verified;
#[doc(hidden)]
pub mod wiped;

pub use attempt::Attempt;
pub use auth_error::AuthError;
pub use backup::{BackupError, BackupReport};
pub use chain::{ChainFault, EventsReport};
pub use change::Overlap;
pub use clock::{AcceptedClock, ClockLead};
pub use digest::Pepper;
pub use error::{CapViolation, Conflict, OpenError, StoreError};
pub use event_filter::{EventFilter, EventPage};
pub use health::{Health, LastBackup};
pub use history::{Event, EventKind};
pub use imported::{ImportScheme, Imported, MAX_IMPORTED_BYTES, MIN_IMPORTED_BYTES};
pub use key_filter::{KeyFilter, MAX_PAGE, Page};
pub use key_id::{KeyId, KeyIdError};
pub use key_info::{KeyInfo, KeyState, OverlapEnd, Revoked};
pub use key_update::KeyUpdate;
pub use limit::{Limit, LimitStatus};
pub use need::Need;
pub use new_key::{CreatedKey, NewKey};
pub use peer::Peer;
pub use permission::{
    MAX_PERMISSION_BYTES, MAX_SEGMENTS, PermissionError, PermissionFault, check_grant, check_permission,
};
pub use proxies::ForwardedHeader;
pub use refusal::{HeaderConfig, Presented, Refusal, Render};
pub use refusals::Refusals;
pub use refused_attempt::RefusedAttempt;
pub use requirement::Requirement;
pub use restore::{Reapplied, Restore, RestoreError, RestoreReport, RestoreWarning, SalvageReport, UnknownKey};
pub use rotate_options::RotateOptions;
pub use rotation_policy::{Rotation, RotationPolicy};
pub use sink::{Delivery, SecretSink, SinkError, SinkState};
#[cfg(fuzzing)]
#[doc(hidden)]
pub use store::fuzzing;
pub use store::{
    ExpiryWarning, FailedDelivery, KeyStore, KeyStoreBuilder, OwnerStore, Rotator, RotatorHandle, RunReport,
    SkippedRotation,
};
pub use time::{Clock, ManualClock};
pub use token::ApiKey;
pub use transfer::{ExportOptions, ImportOptions, ImportReport, LineFault, RefusedLine};
pub use verified::VerifiedKey;
