//! Requests that can carry a key.

use ::http::HeaderMap;

/// A request of an HTTP client: `http::Request`, and with the feature `reqwest` `reqwest::Request`.
pub trait ClientRequest {
    /// Returns the scheme of its URI, such as `https`; `None` for a relative one.
    fn scheme(&self) -> Option<&str>;

    /// Returns the host of its URI, without the port.
    fn host(&self) -> Option<&str>;

    /// Returns the headers of the request.
    fn headers_mut(&mut self) -> &mut HeaderMap;
}

impl<B> ClientRequest for ::http::Request<B> {
    fn scheme(&self) -> Option<&str> {
        self.uri().scheme_str()
    }

    fn host(&self) -> Option<&str> {
        self.uri().host()
    }

    fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers_mut()
    }
}

#[cfg(feature = "reqwest")]
impl ClientRequest for ::reqwest::Request {
    fn scheme(&self) -> Option<&str> {
        Some(self.url().scheme())
    }

    fn host(&self) -> Option<&str> {
        self.url().host_str()
    }

    fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers_mut()
    }
}

/// Returns a redirect policy for reqwest that follows a redirect only to the same scheme, host and port, at most ten
/// times. The client returns any other redirect as the response. On a cross-origin redirect reqwest itself removes only
/// `Authorization`.
#[cfg(feature = "reqwest")]
#[must_use]
pub fn same_origin() -> ::reqwest::redirect::Policy {
    ::reqwest::redirect::Policy::custom(|attempt| {
        let same = attempt.previous().iter().all(|url| url.origin() == attempt.url().origin());
        if !same {
            attempt.stop()
        } else if attempt.previous().len() > 10 {
            attempt.error("more than ten redirects")
        } else {
            attempt.follow()
        }
    })
}
