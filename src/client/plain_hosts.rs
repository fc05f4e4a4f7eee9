//! The hosts to which a key may go without encryption.

use std::net::IpAddr;

use ::http::uri::Authority;

use super::error::ClientError;

/// The hosts to which a key may go over plain `http`, in addition to this machine: in lower case, addresses without
/// brackets.
#[derive(Debug, Default)]
pub(super) struct PlainHosts(Vec<String>);

impl PlainHosts {
    pub(super) fn allow(&mut self, host: &str) -> Result<(), ClientError> {
        let plain = normal(host);
        let is_host = plain.parse::<IpAddr>().is_ok() || is_name(&plain);
        if !is_host {
            return Err(ClientError::Host { host: host.to_owned() });
        }
        self.0.push(plain);
        Ok(())
    }

    /// Checks that a key may go to this host.
    pub(super) fn check(&self, scheme: Option<&str>, host: Option<&str>) -> Result<(), ClientError> {
        match (scheme, host) {
            (Some("https"), Some(_)) => Ok(()),
            (Some("http"), Some(host)) => {
                let plain = normal(host);
                let may = is_loopback(&plain) || self.0.contains(&plain);
                if may { Ok(()) } else { Err(ClientError::Plain { host: host.to_owned() }) }
            }
            _ => Err(ClientError::NoScheme),
        }
    }
}

/// A host in one form: addresses may be written in several.
fn normal(host: &str) -> String {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().map_or_else(|_| host.to_ascii_lowercase(), |address| address.to_string())
}

/// Whether a URI may have this text as its whole host.
fn is_name(host: &str) -> bool {
    let is_whole = host.parse::<Authority>().is_ok_and(|authority| authority.host() == host);
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let bare = host.strip_suffix('.').unwrap_or(host);
    is_whole && bare.split('.').all(is_label) && !is_number(bare.rsplit('.').next().unwrap_or_default())
}

/// Whether a host that ends in this label is an address in a form of its own, such as `10.0.0.07` or `0x7f.1`, which
/// programs read differently (the URL Standard: "ends in a number").
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    let is_hex = hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_hex || label.bytes().all(|byte| byte.is_ascii_digit())
}

/// This machine: a loopback address, or the name that means one (RFC 6761 section 6.3).
fn is_loopback(host: &str) -> bool {
    host.parse::<IpAddr>().map_or_else(|_| host == "localhost", |address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hosts: &PlainHosts, uri: &str) -> Result<(), ClientError> {
        let uri: ::http::Uri = uri.parse().unwrap();
        hosts.check(uri.scheme_str(), uri.host())
    }

    #[test]
    fn a_key_goes_over_https_or_stays_on_this_machine() {
        let none = PlainHosts::default();
        for uri in
            ["https://a.test/", "http://LOCALHOST:80/", "http://127.0.0.1/", "http://127.9.9.9/", "http://[::1]:8/"]
        {
            assert!(check(&none, uri).is_ok(), "{uri}");
        }
        for uri in [
            "http://a.test/",
            "http://localhost.a.test/",
            "http://10.0.0.1/",
            "http://[::2]/",
            "http://127.0.0.1.a.test/",
        ] {
            assert!(matches!(check(&none, uri), Err(ClientError::Plain { .. })), "{uri}");
        }
        for uri in ["/orders", "ftp://a.test/"] {
            assert!(matches!(check(&none, uri), Err(ClientError::NoScheme)), "{uri}");
        }
    }

    #[test]
    fn a_host_may_be_allowed() {
        let mut hosts = PlainHosts::default();
        for host in ["Orders.internal", "10.0.0.7", "[2001:db8:0::1]", "fd00::7"] {
            hosts.allow(host).unwrap();
        }
        for uri in [
            "http://orders.internal:8080/",
            "http://ORDERS.internal/",
            "http://10.0.0.7/",
            "http://[2001:db8::1]/",
            "http://[fd00::7]:80/",
            "http://localhost/",
        ] {
            assert!(check(&hosts, uri).is_ok(), "{uri}");
        }
        for uri in ["http://internal/", "http://a.orders.internal/", "http://10.0.0.8/", "ftp://orders.internal/"] {
            assert!(check(&hosts, uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn what_is_no_host_is_not_allowed() {
        for text in ["", "http://a.test", "a.test:80", "a.test/", "*.test", "user@a.test", "a b", "::1::"]
            .into_iter()
            .chain([".", "..", "a..b", ".a", "10.0.0.07", "0x7f.1", "0x7f", "127.1", "2130706433", "a.0x"])
        {
            let error = PlainHosts::default().allow(text).unwrap_err();
            assert!(matches!(&error, ClientError::Host { host } if host == text), "{error}");
            assert!(error.to_string().contains(&format!("{text:?} is no host")), "{error}");
        }
    }
}
