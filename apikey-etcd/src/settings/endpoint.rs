use std::fmt;

use http::Uri;

/// The port of a member for its clients.
const PORT: u16 = 2379;

/// Where a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) is_encrypted: bool,
    /// The host, and the port.
    authority: String,
}

impl Endpoint {
    /// Reads `https://host:port`. An error has no part of a text that could be a password.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("an endpoint {what}: endpoints are like https://10.0.0.1:2379");
        let uri: Uri = text.parse().map_err(|_| wrong("does not parse"))?;
        let is_encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("begins with neither https:// nor http://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("has a user or a password in it, which belong to user() and password_file()"));
        }
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err(wrong("has something after the port"));
        }
        let (host, port) = (authority.host(), authority.port_u16().unwrap_or(PORT));
        if host.is_empty() {
            return Err(wrong("has no host"));
        }
        if authority.port().is_none() && authority.as_str() != host {
            return Err(wrong("has a port that is none"));
        }
        Ok(Self { is_encrypted, authority: format!("{host}:{port}") })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.is_encrypted { "https" } else { "http" }, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_have_a_scheme_a_host_and_a_port() {
        let text = |text: &str| Endpoint::parse(text).unwrap().to_string();
        assert_eq!(text("https://10.0.0.1:2379"), "https://10.0.0.1:2379");
        assert_eq!(text("http://etcd.internal/"), "http://etcd.internal:2379");
        assert_eq!(text("https://[::1]:4000"), "https://[::1]:4000");
        assert!(Endpoint::parse("https://a").unwrap().is_encrypted);
    }

    #[test]
    fn what_is_no_endpoint_is_named_without_its_text() {
        for text in [
            "",
            "etcd:2379",
            "10.0.0.1",
            "grpc://etcd",
            "unix:///run/etcd.sock",
            "https://",
            "https://:2379",
            "https://etcd:horse7battery",
            "https://etcd:99999",
            "https://me:horse7battery@etcd:2379",
            "https://etcd:2379/horse7battery",
            "https://etcd:2379/?horse7battery",
            "https://et cd horse7battery",
        ] {
            let error = Endpoint::parse(text).err().unwrap_or_else(|| panic!("{text} is taken"));
            assert!(error.contains("https://10.0.0.1:2379") && !error.contains("horse7battery"), "{error}");
        }
    }
}
