//! Requests that can carry a key, and where a key may go.

use std::net::IpAddr;

use ::http::{HeaderMap, Uri};

use super::error::ClientError;

/// A request of an HTTP client: `http::Request`, and with the feature `reqwest` `reqwest::Request`.
pub trait ClientRequest {
    /// Checks that a key may go to the target of the request.
    ///
    /// # Errors
    /// The request goes over plain `http` to another machine, or has no absolute URI.
    fn check(&self) -> Result<(), ClientError>;

    /// The headers of the request.
    fn headers_mut(&mut self) -> &mut HeaderMap;
}

impl<B> ClientRequest for ::http::Request<B> {
    fn check(&self) -> Result<(), ClientError> {
        let uri: &Uri = self.uri();
        may_carry(uri.scheme_str(), uri.host())
    }

    fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers_mut()
    }
}

#[cfg(feature = "reqwest")]
impl ClientRequest for ::reqwest::Request {
    fn check(&self) -> Result<(), ClientError> {
        may_carry(Some(self.url().scheme()), self.url().host_str())
    }

    fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers_mut()
    }
}

/// A redirect policy for reqwest: follows a redirect only to the same scheme, host and port, at most ten times, and returns
/// any other redirect as the response. On a cross-origin redirect reqwest itself removes only `Authorization`.
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

fn may_carry(scheme: Option<&str>, host: Option<&str>) -> Result<(), ClientError> {
    match (scheme, host) {
        (Some("https"), Some(_)) => Ok(()),
        (Some("http"), Some(host)) if is_loopback(host) => Ok(()),
        (Some("http"), Some(host)) => Err(ClientError::Plain { host: host.to_owned() }),
        _ => Err(ClientError::NoScheme),
    }
}

/// This machine: a loopback address, or the name that means one (RFC 6761 section 6.3).
fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match address.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_over_https_or_stays_on_this_machine() {
        let check = |uri: &str| ::http::Request::get(uri).body(()).unwrap().check();
        for uri in
            ["https://a.test/", "http://localhost:80/", "http://127.0.0.1/", "http://127.9.9.9/", "http://[::1]:8/"]
        {
            assert!(check(uri).is_ok(), "{uri}");
        }
        for uri in [
            "http://a.test/",
            "http://localhost.a.test/",
            "http://10.0.0.1/",
            "http://[::2]/",
            "http://127.0.0.1.a.test/",
        ] {
            assert!(matches!(check(uri), Err(ClientError::Plain { .. })), "{uri}");
        }
        for uri in ["/orders", "ftp://a.test/"] {
            assert!(matches!(check(uri), Err(ClientError::NoScheme)), "{uri}");
        }
    }
}
