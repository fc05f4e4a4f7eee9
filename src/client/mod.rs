//! The client's side: the key of a program that calls a service.
//!
//! ```
//! use apikey::client::ClientKey;
//!
//! # fn call() -> Result<(), Box<dyn std::error::Error>> {
//! # let path = tempfile::NamedTempFile::new()?; std::fs::write(&path, "ak_0\n")?;
//! let key = ClientKey::from_file(&path)?; // or ClientKey::from_env("SHOP_API_KEY")
//! let mut request = http::Request::get("https://shop.example/orders").body(())?;
//! key.put(&mut request)?;
//! assert!(request.headers()["x-api-key"].is_sensitive());
//!
//! let mut plain = http::Request::get("http://shop.example/orders").body(())?;
//! assert!(key.put(&mut plain).is_err()); // anyone on the network path could read the key
//! # Ok(())
//! # }
//! # call().unwrap();
//! ```

mod error;
mod request;
mod source;

use ::http::{HeaderName, HeaderValue};

pub use error::ClientError;
pub use request::ClientRequest;
#[cfg(feature = "reqwest")]
pub use request::same_origin;
use source::Source;

/// A key to call a service with, from the environment or from a file. It goes on requests as a sensitive header, which HTTP
/// libraries keep out of their logs and out of HTTP/2 header compression.
///
/// When the file changes, the key is read again, so a rotation needs no restart: write the new key beside the file and
/// rename it over the old one. `Debug` shows where the key comes from, and not the key.
#[derive(Debug)]
pub struct ClientKey {
    source: Source,
    header: HeaderName,
}

impl ClientKey {
    /// Reads the key from an environment variable.
    ///
    /// # Errors
    /// The variable is not set, or holds no key.
    pub fn from_env(variable: &str) -> Result<Self, ClientError> {
        Source::env(variable).map(Self::new)
    }

    /// Reads the key from a file with one line; the line ending does not count.
    ///
    /// # Errors
    /// The file cannot be read, or holds no key.
    pub fn from_file(path: impl AsRef<std::path::Path>) -> Result<Self, ClientError> {
        Source::file(path.as_ref().to_path_buf()).map(Self::new)
    }

    fn new(source: Source) -> Self {
        Self { source, header: HeaderName::from_static("x-api-key") }
    }

    /// Sets the header that the service reads: `X-API-Key` by default.
    #[must_use]
    pub fn header(mut self, name: HeaderName) -> Self {
        self.header = name;
        self
    }

    /// Puts the key on a request, replacing one that is there: an `http::Request`, or with the feature `reqwest` a
    /// `reqwest::Request`.
    ///
    /// A client that follows redirects sends the header to their targets, too. For reqwest, use the policy
    /// [`same_origin`](https://docs.rs/apikey/latest/apikey/client/fn.same_origin.html).
    ///
    /// # Errors
    /// The request goes over plain `http` to another machine, or has no absolute URI.
    pub fn put(&self, request: &mut impl ClientRequest) -> Result<(), ClientError> {
        request.check()?;
        request.headers_mut().insert(self.header.clone(), self.value());
        Ok(())
    }

    /// The value of the header, marked as sensitive. Reads the file again if it has changed. If that fails, it logs a warning
    /// and returns the last key that it could read.
    #[must_use]
    pub fn value(&self) -> HeaderValue {
        self.source.value()
    }
}
