//! Why a client has no key, or does not send it.

use std::fmt;
use std::path::PathBuf;

/// Why a client has no key, or does not send it. No message contains a key.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The environment variable is not set.
    NotSet {
        /// Its name.
        variable: String,
    },
    /// The file cannot be read.
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The content is not a key: it is empty, has several lines, or has characters that a header cannot carry.
    NoKey {
        /// The variable or the file.
        place: String,
    },
    /// Plain `http` to another machine: anyone on the network path could read the key.
    Plain {
        /// The host.
        host: String,
    },
    /// The request has no absolute `http` or `https` URI, so it may not be encrypted.
    NoScheme,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSet { variable } => write!(f, "the environment variable {variable} is not set"),
            Self::File { path, .. } => write!(f, "the file {} with the API key cannot be read", path.display()),
            Self::NoKey { place } => write!(f, "{place} holds no API key: one line of visible ASCII is expected"),
            Self::Plain { host } => write!(f, "the API key is not sent to {host} over plain http: use https"),
            Self::NoScheme => f.write_str("the API key is not sent: the request needs an absolute http or https URI"),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            _ => None,
        }
    }
}
