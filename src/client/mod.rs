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
//!
//! A redirect must not take the key to another host. With the feature `reqwest`:
//!
//! ```
//! # #[cfg(feature = "reqwest")] {
//! use apikey::client::{ClientKey, same_origin};
//!
//! # async fn call() -> Result<(), Box<dyn std::error::Error>> {
//! let key = ClientKey::from_env("SHOP_API_KEY")?;
//! let client = reqwest::Client::builder().redirect(same_origin()).build()?;
//! let mut request = client.get("https://shop.example/orders").build()?;
//! key.put(&mut request)?;
//! let response = client.execute(request).await?; // a redirect to another origin is returned as it is
//! # drop(response);
//! # Ok(())
//! # }
//! # drop(call());
//! # }
//! ```

mod error;
mod plain_hosts;
mod request;
mod source;

use ::http::{HeaderName, HeaderValue};

pub use error::ClientError;
use plain_hosts::PlainHosts;
pub use request::ClientRequest;
#[cfg(feature = "reqwest")]
pub use request::same_origin;
use source::Source;

/// The key of a program that calls a service, from the environment or from a file. Requests carry it as a sensitive
/// header, which HTTP libraries keep out of their logs and out of HTTP/2 header compression.
///
/// When the file changes, the client reads it again, so a rotation needs no restart: write the new key to a new file
/// beside it, and rename that over the old one. `Debug` shows the variable or the file, and not the key.
#[derive(Debug)]
pub struct ClientKey {
    source: Source,
    header: HeaderName,
    plain: PlainHosts,
}

impl ClientKey {
    /// Reads the key from an environment variable.
    ///
    /// # Errors
    /// [`ClientError::NotSet`] if the variable is not set, [`ClientError::NoKey`] if it contains no key.
    pub fn from_env(variable: &str) -> Result<Self, ClientError> {
        Source::env(variable).map(Self::new)
    }

    /// Reads the key from a file with one line; the line ending does not count.
    ///
    /// # Errors
    /// [`ClientError::File`] if the file cannot be read, [`ClientError::NoKey`] if it contains no key.
    pub fn from_file(path: impl AsRef<std::path::Path>) -> Result<Self, ClientError> {
        Source::file(path.as_ref().to_path_buf()).map(Self::new)
    }

    fn new(source: Source) -> Self {
        Self { source, header: HeaderName::from_static("x-api-key"), plain: PlainHosts::default() }
    }

    /// Sets the header that the service reads; the default is `X-API-Key`.
    #[must_use]
    pub fn header(mut self, name: HeaderName) -> Self {
        self.header = name;
        self
    }

    /// Allows plain `http` to these hosts: names or addresses as the URI has them, without scheme and port. It is meant
    /// for a network that encrypts by itself, such as a service mesh or a VPN; elsewhere anyone on the network path can
    /// read the key. Loopback addresses and `localhost` are always allowed. Call it again to add more.
    ///
    /// ```
    /// use apikey::client::ClientKey;
    ///
    /// # let path = tempfile::NamedTempFile::new()?; std::fs::write(&path, "ak_0\n")?;
    /// let key = ClientKey::from_file(&path)?.allow_plain_http(["orders.internal", "10.0.0.7"])?;
    /// let mut request = http::Request::get("http://orders.internal:8080/orders").body(())?;
    /// key.put(&mut request)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Host`] for a text that cannot be the host of a URI.
    pub fn allow_plain_http<T: AsRef<str>>(mut self, hosts: impl IntoIterator<Item = T>) -> Result<Self, ClientError> {
        hosts.into_iter().try_for_each(|host| self.plain.allow(host.as_ref()))?;
        Ok(self)
    }

    /// Puts the key on a request, and replaces a key that it has already: an `http::Request`, or with the feature
    /// `reqwest` a `reqwest::Request`.
    ///
    /// A client that follows redirects sends the header to their targets, too: reqwest removes `Authorization` on the
    /// way to another host, and not `X-API-Key`. With reqwest, use the policy
    /// [`same_origin`](https://docs.rs/apikey/latest/apikey/client/fn.same_origin.html).
    ///
    /// # Errors
    /// [`ClientError::Plain`] if the request goes over plain `http` to another machine that
    /// [`allow_plain_http`](Self::allow_plain_http) does not name; [`ClientError::NoScheme`] if it has no absolute
    /// `http` or `https` URI.
    pub fn put(&self, request: &mut impl ClientRequest) -> Result<(), ClientError> {
        self.plain.check(request.scheme(), request.host())?;
        request.headers_mut().insert(self.header.clone(), self.value());
        Ok(())
    }

    /// Returns the value of the header, marked as sensitive. It reads the file again if that has changed; if this
    /// fails, it logs a warning and returns the last key that it could read.
    #[must_use]
    pub fn value(&self) -> HeaderValue {
        self.source.value()
    }
}
