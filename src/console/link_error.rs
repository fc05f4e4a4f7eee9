//! Why there is no link to the console.

use std::error::Error;
use std::fmt;
use std::io;

/// The error of [`Console::link`](super::Console::link).
#[derive(Debug)]
#[non_exhaustive]
pub enum LinkError {
    /// The console does not know its [URL](super::Console::url).
    NoUrl,
    /// The URL of the console is none.
    NotAUrl(String),
    /// The operating system gives no random bytes.
    NoRandom(io::Error),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUrl => f.write_str("the console does not know its URL: the service says it with Console::url"),
            Self::NotAUrl(url) => write!(f, "the console has the URL {url:?}: expected one like https://keys.example"),
            Self::NoRandom(error) => write!(f, "the system has no random bytes for a link: {error}"),
        }
    }
}

impl Error for LinkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NoUrl | Self::NotAUrl(_) => None,
            Self::NoRandom(error) => Some(error),
        }
    }
}
