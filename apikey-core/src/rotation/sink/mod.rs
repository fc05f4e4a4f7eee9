//! Where new secrets go: whoever uses a key that rotates itself must get the new secret, and it can be read only once.
//!
//! | sink | the secret goes |
//! |---|---|
//! | [`DirectorySink`] | into a file for each key |
//! | [`CommandSink`] | to the standard input of a program |
//! | [`from_fn`] | to a closure |
//!
//! Others implement [`SecretSink`].

pub(crate) mod command;
#[cfg(unix)]
pub(crate) mod directory;

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use crate::key::key_info::KeyInfo;
use crate::key::new_key::CreatedKey;
use crate::token::api_key::ApiKey;

pub use crate::rotation::sink::command::CommandSink;
#[cfg(unix)]
pub use crate::rotation::sink::directory::DirectorySink;

/// Takes the new secrets of keys that rotate themselves.
///
/// When [`deliver`](Self::deliver) returns `Ok`, whoever uses the key must be able to get the new secret, also after a
/// power cut: the overlap of the old one begins then. After an error the same secret is delivered again later. Delivering
/// twice must do no harm. Never write a secret into a log.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
/// use apikey_core::{ApiKey, Delivery, KeyId, KeyInfo, SecretSink, SinkError, SinkState};
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
    /// Takes a secret, in place of an earlier one of the same key.
    ///
    /// # Errors
    /// It is not there for the key's user yet. The text goes into reports and logs, so it names no secret.
    fn deliver(&self, delivery: &Delivery<'_>) -> Result<(), SinkError>;

    /// Reports which secret the sink holds for a key now. The rotator asks after a process died between the making of a
    /// secret and the end of its delivery: if the sink has the new secret, that becomes the current one; if not, the store
    /// makes another. A sink that cannot say ([`SinkState::Unknown`], the default) gets another secret, and the undelivered
    /// one stays valid until that delivery succeeds.
    ///
    /// # Errors
    /// The sink cannot say now. The rotator asks again later.
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

/// A closure as a sink; it cannot say what it holds.
///
/// ```
/// use apikey_core::{KeyStore, Rotator, sink};
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

/// The sink that [`from_fn`] makes.
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

/// A new secret, and whose it is. `Debug` hides the secret.
#[derive(Debug)]
pub struct Delivery<'a> {
    info: &'a KeyInfo,
    key: &'a ApiKey,
}

impl<'a> Delivery<'a> {
    pub(crate) fn new(info: &'a KeyInfo, key: &'a ApiKey) -> Self {
        Self { info, key }
    }

    /// That of a key that was just created or rotated by hand: to hand its secret to the same sink.
    ///
    /// ```
    /// # use apikey_core::{KeyStore, NewKey, Delivery, SecretSink, sink};
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

    /// Its new secret.
    #[must_use]
    pub fn key(&self) -> &'a ApiKey {
        self.key
    }
}

/// Which secret a sink holds for a key.
#[derive(Debug, Clone)]
pub enum SinkState {
    /// It cannot say.
    Unknown,
    /// Nothing.
    Nothing,
    /// This token. Which of the key's secrets it is, if any, the store finds out.
    Token(ApiKey),
}

/// Why a sink did not take a secret, or does not say what it holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// At which path.
        path: PathBuf,
        /// Its error.
        source: io::Error,
    },
    /// A name for a file or a variable that cannot be one.
    #[error("{name:?} cannot be the name of a {of}: allowed are {allowed}")]
    Name {
        /// What it should name.
        of: &'static str,
        /// The name.
        name: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The program refused.
    #[error("{} ended with {status}", program.display())]
    Refused {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
    },
    /// The program did not end in time, and was killed.
    #[error("{} did not end within {limit:?}, and was killed", program.display())]
    TimedOut {
        /// The program.
        program: PathBuf,
        /// Its time.
        limit: Duration,
    },
    /// The sink panicked.
    #[error("the sink panicked: {0}")]
    Panicked(String),
    /// An error of your own.
    #[error(transparent)]
    Other(Box<dyn Error + Send + Sync>),
}

impl SinkError {
    /// An error of your own sink, or a text. It names no secret.
    pub fn other(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }

    pub(crate) fn panicked(message: String) -> Self {
        Self::Panicked(message)
    }

    fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}
