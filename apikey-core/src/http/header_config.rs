//! Where a request carries its key and its caller's address: the header, `Authorization: Bearer`, trusted proxies.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::access::peer::Peer;
use crate::http::presented::Presented;
use crate::http::proxies::{ForwardedHeader, Proxies};
use crate::http::refusal::Render;
use crate::http::reserved;

/// Where requests carry their key and their caller's address, and what refusals contain. The store's builder sets it.
#[derive(Clone)]
pub struct HeaderConfig {
    header: String,
    bearer: bool,
    realm: String,
    pub(super) render: Option<Arc<Render>>,
    proxies: Proxies,
}

impl Default for HeaderConfig {
    fn default() -> Self {
        Self {
            header: "X-API-Key".into(),
            bearer: false,
            realm: "api".into(),
            render: None,
            proxies: Proxies::default(),
        }
    }
}

impl HeaderConfig {
    /// Returns the name of the header that carries the key, as the builder has it.
    #[must_use]
    pub fn header(&self) -> &str {
        &self.header
    }

    /// Returns whether the store also reads the key from `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(&self) -> bool {
        self.bearer
    }

    /// Returns the realm that challenges name.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Returns the peer of a request, given the socket's peer and a function that returns every value of a header
    /// field.
    ///
    /// This is the socket's peer, unless that is one of the builder's
    /// [`trusted_proxies`](crate::KeyStoreBuilder::trusted_proxies). Then it is the rightmost address in the proxies'
    /// header that is not a trusted proxy's. If there is no such address, or an entry that counts cannot be read, the
    /// caller is [`Peer::Behind`] the proxy, and not the proxy itself. Without a socket's peer it is [`Peer::Unknown`],
    /// whatever the header says.
    ///
    /// ```
    /// use apikey::{KeyStore, Peer};
    ///
    /// let store = KeyStore::builder().trusted_proxies(["10.0.0.0/8"]).temporary()?;
    /// let proxy = [10, 0, 0, 1].into();
    /// let sent: [&[u8]; 1] = [b"127.0.0.1, 192.0.2.7"]; // the proxy has appended the last
    /// assert_eq!(store.header_config().peer(Some(proxy), |_| sent), Peer::Known([192, 0, 2, 7].into()));
    /// assert_eq!(store.header_config().peer(Some(proxy), |_| []), Peer::Behind(proxy));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn peer<'a, V: IntoIterator<Item = &'a [u8]>>(
        &self,
        socket: Option<IpAddr>,
        values: impl FnOnce(&'static str) -> V,
    ) -> Peer {
        self.proxies.peer(socket, values)
    }

    /// Returns whether this address is one of the builder's
    /// [`trusted_proxies`](crate::KeyStoreBuilder::trusted_proxies).
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.proxies.trust(address)
    }

    /// Returns whether a trusted proxy that names no address is itself the caller: the builder's
    /// [`proxies_may_call`](crate::KeyStoreBuilder::proxies_may_call).
    #[must_use]
    pub fn proxies_may_call(&self) -> bool {
        self.proxies.may_call
    }

    pub(crate) fn set_proxies_may_call(&mut self, may_call: bool) {
        self.proxies.may_call = may_call;
    }

    pub(crate) fn set_trusted(&mut self, trusted: Vec<ipnet::IpNet>) {
        self.proxies.trusted = trusted;
    }

    pub(crate) fn set_forwarded(&mut self, header: ForwardedHeader) {
        self.proxies.header = header;
    }

    pub(crate) fn set_header(&mut self, header: String) {
        self.header = header;
    }

    pub(crate) fn set_bearer(&mut self, bearer: bool) {
        self.bearer = bearer;
    }

    pub(crate) fn set_realm(&mut self, realm: String) {
        self.realm = realm;
    }

    pub(crate) fn set_render(&mut self, render: Arc<Render>) {
        self.render = Some(render);
    }

    /// What is wrong with the configuration, if anything: a header name is an RFC 9110 token, a realm printable ASCII.
    pub(crate) fn fault(&self) -> Option<String> {
        let token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
        if self.header.is_empty() || self.header.len() > 64 || !self.header.bytes().all(token) {
            return Some(format!(
                "header {:?}: 1 to 64 letters, digits or any of !#$%&'*+-.^_`|~ are allowed",
                self.header
            ));
        }
        if self.header.eq_ignore_ascii_case("authorization") {
            return Some("header \"Authorization\": use bearer(true) to read `Authorization: Bearer`".into());
        }
        if self.header.eq_ignore_ascii_case("cookie") {
            return Some(format!(
                "header {:?}: a browser sends cookies by itself, for other sites' pages too: name a field of the key's own, \
                 such as X-API-Key",
                self.header
            ));
        }
        if reserved::is_reserved(&self.header) {
            return Some(format!(
                "header {:?}: HTTP, browsers or proxies give this field a value of their own: name a field of the key's own, \
                 such as X-API-Key",
                self.header
            ));
        }
        if self.realm.len() > 128 || !self.realm.bytes().all(|c| (b' '..=b'~').contains(&c)) {
            return Some(format!("realm {:?}: at most 128 printable ASCII characters are allowed", self.realm));
        }
        None
    }

    /// Returns the key that a request presents, given every value of the key header and every value of `Authorization`.
    pub fn presented<'a>(
        &self,
        header: impl IntoIterator<Item = &'a [u8]>,
        authorization: impl IntoIterator<Item = &'a [u8]>,
    ) -> Presented<'a> {
        let mut found = Presented::None;
        for token in header {
            found = match found {
                Presented::None => Presented::One(token),
                _ => return Presented::Many,
            };
        }
        if self.bearer {
            let mut borne = 0;
            for token in authorization.into_iter().filter_map(bearer_token) {
                borne += 1;
                found = match found {
                    Presented::None => Presented::One(token),
                    Presented::One(seen) if seen == token && borne == 1 => found,
                    _ => return Presented::Many,
                };
            }
        }
        found
    }
}

impl fmt::Debug for HeaderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeaderConfig")
            .field("header", &self.header)
            .field("bearer", &self.bearer)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(7)?;
    (scheme.eq_ignore_ascii_case(b"Bearer ")).then(|| rest.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::auth_error::AuthError;

    #[test]
    fn which_key_is_presented() {
        let plain = HeaderConfig::default();
        let both = HeaderConfig { bearer: true, ..HeaderConfig::default() };
        let none: [&[u8]; 0] = [];
        assert_eq!(plain.presented(none, none), Presented::None);
        assert_eq!(plain.presented([&b"a"[..]], none), Presented::One(b"a"));
        assert_eq!(plain.presented([&b"a"[..], b"a"], none), Presented::Many);
        assert_eq!(plain.presented(none, [&b"Bearer a"[..]]), Presented::None);
        assert_eq!(both.presented(none, [&b"bearer  a "[..]]), Presented::One(b"a"));
        assert_eq!(both.presented([&b"a"[..]], [&b"Bearer a"[..]]), Presented::One(b"a"));
        assert_eq!(both.presented([&b"a"[..]], [&b"Bearer b"[..]]), Presented::Many);
        assert_eq!(both.presented(none, [&b"Bearer a"[..], b"Bearer a"]), Presented::Many);
        assert_eq!(both.presented(none, [&b"Basic a"[..]]), Presented::None);
        assert_eq!(Presented::One(b"\xff").token(), Err(AuthError::Invalid));
        assert_eq!(Presented::None.token(), Err(AuthError::Missing));
    }

    #[test]
    fn a_bad_configuration_is_named() {
        let fault = |header: &str, realm: &str| {
            HeaderConfig { header: header.into(), realm: realm.into(), ..HeaderConfig::default() }.fault()
        };
        assert_eq!(fault("X-Key", "r"), None);
        assert!(fault("", "r").is_some());
        assert!(fault("X Key", "r").is_some());
        assert!(fault("authorization", "r").unwrap().contains("bearer(true)"));
        assert!(fault("cookie", "r").unwrap().contains("\"cookie\": a browser sends cookies by itself"));
        assert!(fault("Host", "r").unwrap().contains("\"Host\""));
        assert!(fault("X-Key", "r\n").unwrap().starts_with("realm"));
    }
}
