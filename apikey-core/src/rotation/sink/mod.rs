//! Sinks, to which a [`Rotator`](crate::Rotator) delivers new secrets. A secret can be read only once, and the program
//! that uses the key needs it.
//!
//! | sink | delivers the secret |
//! |---|---|
//! | [`DirectorySink`] | into a file for each key |
//! | [`CommandSink`] | to the standard input of a program |
//! | [`from_fn`] | to a closure |
//!
//! Others implement [`SecretSink`].

mod command;
#[cfg(unix)]
mod directory;

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use crate::base::time::span_text;
use crate::key::key_info::KeyInfo;
use crate::key::new_key::CreatedKey;
use crate::token::api_key::ApiKey;

pub use crate::rotation::sink::command::CommandSink;
#[cfg(unix)]
pub use crate::rotation::sink::directory::DirectorySink;

/// Receives the new secrets of keys that rotate automatically.
///
/// When [`deliver`](Self::deliver) returns `Ok`, the key's user must be able to get the new secret, even after a power
/// cut: the overlap of the old secret begins then. After an error the rotator delivers the same secret again later, so
/// a second delivery must do no harm. Never write a secret into a log.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
/// use apikey::{ApiKey, Delivery, KeyId, KeyInfo, SecretSink, SinkError, SinkState};
///
/// /// Keeps secrets in memory, for a part of the same program.
/// #[derive(Default)]
/// struct Vault(Mutex<HashMap<KeyId, ApiKey>>);
///
/// impl SecretSink for Vault {
///     fn deliver(&self, delivery: &Delivery<'_>) -> Result<(), SinkError> {
///         let mut vault = self.0.lock().map_err(|_| SinkError::other("the vault is broken"))?;
///         vault.insert(delivery.info().id(), delivery.key().clone());
///         Ok(())
///     }
///
///     fn current(&self, info: &KeyInfo) -> Result<SinkState, SinkError> {
///         let vault = self.0.lock().map_err(|_| SinkError::other("the vault is broken"))?;
///         Ok(vault.get(&info.id()).cloned().map_or(SinkState::Nothing, SinkState::Token))
///     }
/// }
/// ```
pub trait SecretSink: Send + Sync {
    /// Stores a secret, and replaces an earlier one of the same key.
    ///
    /// # Errors
    /// The key's user cannot get the secret yet. The text goes into reports and logs, so it must not contain the
    /// secret.
    fn deliver(&self, delivery: &Delivery<'_>) -> Result<(), SinkError>;

    /// Returns which secret the sink holds for a key now. The rotator asks after a process has died during a delivery:
    /// if the sink has the new secret, that becomes the current one; if not, the store generates another. A sink that
    /// does not know ([`SinkState::Unknown`], the default) gets another secret, and the undelivered one stays valid
    /// until that delivery succeeds.
    ///
    /// # Errors
    /// The sink cannot answer now. The rotator asks again later.
    fn current(&self, info: &KeyInfo) -> Result<SinkState, SinkError> {
        let _ = info;
        Ok(SinkState::Unknown)
    }
}

impl<S: SecretSink + ?Sized> SecretSink for Arc<S> {
    fn deliver(&self, delivery: &Delivery<'_>) -> Result<(), SinkError> {
        (**self).deliver(delivery)
    }

    fn current(&self, info: &KeyInfo) -> Result<SinkState, SinkError> {
        (**self).current(info)
    }
}

impl<S: SecretSink + ?Sized> SecretSink for Box<S> {
    fn deliver(&self, delivery: &Delivery<'_>) -> Result<(), SinkError> {
        (**self).deliver(delivery)
    }

    fn current(&self, info: &KeyInfo) -> Result<SinkState, SinkError> {
        (**self).current(info)
    }
}

/// Creates a sink from a closure. Its [`current`](SecretSink::current) always returns [`SinkState::Unknown`].
///
/// ```
/// use apikey::{KeyStore, Rotator, sink};
///
/// let store = KeyStore::temporary()?;
/// let rotator = Rotator::new(store.clone(), sink::from_fn(|delivery| {
///     hand_over(delivery.info().owner(), delivery.key().expose_secret()).map_err(sink::SinkError::other)
/// }));
/// # fn hand_over(owner: &str, secret: &str) -> Result<(), std::io::Error> { Ok(()) }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn from_fn<F: Fn(&Delivery<'_>) -> Result<(), SinkError> + Send + Sync>(deliver: F) -> FromFn<F> {
    FromFn(deliver)
}

/// The sink that [`from_fn`] returns.
pub struct FromFn<F>(F);

impl<F: Fn(&Delivery<'_>) -> Result<(), SinkError> + Send + Sync> SecretSink for FromFn<F> {
    fn deliver(&self, delivery: &Delivery<'_>) -> Result<(), SinkError> {
        (self.0)(delivery)
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromFn")
    }
}

/// A new secret and its key. `Debug` hides the secret.
#[derive(Debug)]
pub struct Delivery<'a> {
    info: &'a KeyInfo,
    key: &'a ApiKey,
}

impl<'a> Delivery<'a> {
    pub(super) fn new(info: &'a KeyInfo, key: &'a ApiKey) -> Self {
        Self { info, key }
    }

    /// Creates the delivery of a key that the service has just created or rotated, to hand its secret to the same sink.
    ///
    /// ```
    /// # use apikey::{KeyStore, NewKey, Delivery, SecretSink, sink};
    /// # let store = KeyStore::temporary()?;
    /// # let sink = sink::from_fn(|_| Ok(()));
    /// let created = store.create(NewKey::for_owner("alice"))?;
    /// sink.deliver(&Delivery::of(&created))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn of(created: &'a CreatedKey) -> Self {
        Self { info: &created.info, key: &created.key }
    }

    /// The key.
    #[must_use]
    pub fn info(&self) -> &'a KeyInfo {
        self.info
    }

    /// Returns the new secret.
    #[must_use]
    pub fn key(&self) -> &'a ApiKey {
        self.key
    }
}

/// The secret that a sink holds for a key.
#[derive(Debug, Clone)]
pub enum SinkState {
    /// The sink does not know.
    Unknown,
    /// The sink holds no secret.
    Nothing,
    /// The sink holds this token. The store finds out which of the key's secrets it has, if any.
    Token(ApiKey),
}

/// An error of a sink.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// An error of the operating system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path of the file, directory or program.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A text is not allowed as the name of a file or a variable.
    #[error("{name:?} cannot be the name of a {of}: allowed are {allowed}")]
    Name {
        /// The kind of name: `file` or `variable`.
        of: &'static str,
        /// The name.
        name: String,
        /// The names that are allowed.
        allowed: &'static str,
    },
    /// The program ended with another status than 0.
    #[error("{} ended with {status}", program.display())]
    Refused {
        /// The program.
        program: PathBuf,
        /// Its exit status.
        status: ExitStatus,
    },
    /// The program did not end in time, and the sink killed it.
    #[error("{} did not end within {}, and was killed", program.display(), span_text(TimeDelta::from_std(*limit).unwrap_or(TimeDelta::MAX)))]
    TimedOut {
        /// The program.
        program: PathBuf,
        /// Its time limit.
        limit: Duration,
    },
    /// The sink panicked.
    #[error("the sink panicked: {0}")]
    Panicked(String),
    /// An error of the service's own sink.
    #[error(transparent)]
    Other(Box<dyn Error + Send + Sync>),
}

impl SinkError {
    /// Creates a `SinkError` from another error, or from a text. It must not contain the secret.
    pub fn other(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }

    pub(super) fn panicked(message: String) -> Self {
        Self::Panicked(message)
    }

    fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}
