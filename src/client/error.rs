//! The errors of a client's key.

use std::fmt;
use std::path::PathBuf;

/// The reason for which a client has no key, or does not send it. No message contains a key. `Debug` gives the same
/// text as `Display`, since `main` and `unwrap` print it.
#[non_exhaustive]
pub enum ClientError {
    /// The environment variable is not set.
    NotSet {
        /// The name of the variable.
        variable: String,
    },
    /// The file cannot be read.
    File {
        /// The path of the file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The content is not a key: it is empty, has several lines, or has characters that a header cannot carry.
    NoKey {
        /// The variable or the file.
        place: String,
    },
    /// The request goes over plain `http` to another machine: anyone on the network path could read the key.
    Plain {
        /// The host.
        host: String,
    },
    /// A text to which plain `http` is to be allowed is not a host, so it would never match.
    Host {
        /// The text.
        host: String,
    },
    /// The request has no absolute `http` or `https` URI, so it may not be encrypted.
    NoScheme,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSet { variable } => write!(f, "the environment variable {variable} is not set"),
            Self::File { path, source } => {
                write!(f, "the file {} with the API key cannot be read: {source}", path.display())
            }
            Self::NoKey { place } => write!(f, "{place} holds no API key: one line of visible ASCII is expected"),
            Self::Plain { host } => write!(
                f,
                "the API key is not sent to {host} over plain http: use https, or allow \
                     the host with ClientKey::allow_plain_http"
            ),
            Self::Host { host } => write!(
                f,
                "{host:?} is no host to allow plain http to: write a name or an address, without scheme, port, path or wildcard"
            ),
            Self::NoScheme => f.write_str("the API key is not sent: the request needs an absolute http or https URI"),
        }
    }
}

impl fmt::Debug for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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
