//! What HTTP sees of a refusal: decided here once, as plain data, for every framework.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::access::auth_error::AuthError;
use crate::access::limit::{LimitStatus, whole_seconds};
use crate::access::peer::Peer;
use crate::http::proxies::{ForwardedHeader, Proxies};
use crate::http::reserved;

/// The response to a refused request: an RFC 9457 problem, with the challenge RFC 9110 asks of a 401.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status: 401, 403, 429 or 503.
    pub status: u16,
    /// The header fields, in order. A name may occur twice.
    pub headers: Vec<(String, String)>,
    /// The body, JSON unless a renderer changed it.
    pub body: String,
}

impl Refusal {
    /// The refusal a store with the default header configuration makes; for places where no store is at hand.
    #[must_use]
    pub fn new(error: &AuthError) -> Self {
        HeaderConfig::default().refuse(error)
    }

    /// The first value of a header field; names are compared without case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A renderer: makes another body (and other headers) for a refusal; status and challenge stay.
pub type Render = dyn Fn(&AuthError, Refusal) -> Refusal + Send + Sync;

/// Where a request carries its key, and what a refusal says about it. Set on the store's builder.
#[derive(Clone)]
pub struct HeaderConfig {
    header: String,
    bearer: bool,
    realm: String,
    render: Option<Arc<Render>>,
    proxies: Proxies,
}

/// The key, or keys, that a request carries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Presented<'a> {
    /// No key.
    None,
    /// One key; the bytes may be no text.
    One(&'a [u8]),
    /// The header twice, or a header and a bearer token that differ: refused as invalid.
    Many,
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::One(_) => "One([REDACTED])",
            Self::Many => "Many",
        })
    }
}

impl<'a> Presented<'a> {
    /// The one token presented.
    ///
    /// # Errors
    /// [`AuthError::Missing`] if there is none, [`AuthError::Invalid`] if there are several or it is no text.
    pub fn token(self) -> Result<&'a str, AuthError> {
        match self {
            Self::None => Err(AuthError::Missing),
            Self::One(bytes) => std::str::from_utf8(bytes).map_err(|_| AuthError::Invalid),
            Self::Many => Err(AuthError::Invalid),
        }
    }
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
    /// The name of the header that carries the key, as given to the builder.
    #[must_use]
    pub fn header(&self) -> &str {
        &self.header
    }

    /// Whether `Authorization: Bearer` is read too.
    #[must_use]
    pub fn bearer(&self) -> bool {
        self.bearer
    }

    /// The realm named in challenges.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// From where a request came, given its socket's peer and what returns every value of a header field.
    ///
    /// That is the socket's peer, unless it is one of the builder's
    /// [`trusted_proxies`](crate::KeyStoreBuilder::trusted_proxies): then the rightmost address in their header that is not.
    /// If no such address is there, or an entry that counts cannot be read, the caller is [`Peer::Behind`] that proxy, and
    /// not the proxy itself. Without a socket's peer it is [`Peer::Unknown`], whatever the header says.
    ///
    /// ```
    /// use apikey_core::{KeyStore, Peer};
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

    /// Whether this address is one of the builder's [`trusted_proxies`](crate::KeyStoreBuilder::trusted_proxies).
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.proxies.trust(address)
    }

    /// Whether a trusted proxy that forwards for nobody else is the caller: the builder's
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

    /// Which key a request presents, given every value of the key header and every value of `Authorization`.
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

    /// The response for an error.
    #[must_use]
    pub fn refuse(&self, error: &AuthError) -> Refusal {
        let status = error.status();
        let challenge = self.challenge(error);
        let mut headers = vec![("Content-Type".into(), "application/problem+json".into())];
        headers.extend(challenge.iter().cloned());
        headers.push(("Cache-Control".into(), "no-store".into()));
        if let AuthError::RateLimited { retry_after, limit } = error {
            headers.push(("Retry-After".into(), whole_seconds(*retry_after).to_string()));
            if let Some(limit) = *limit {
                let status = LimitStatus { limit, remaining: 0, next: *retry_after };
                headers.extend(status.fields().map(|(name, value)| (name.to_owned(), value)));
            }
        }
        let plain = Refusal { status, headers, body: problem(error) };
        let Some(render) = &self.render else { return plain };
        // A refusal that a cache keeps, or that does not say when to try again, is worse than one without words.
        let kept = ["Cache-Control", "Retry-After", "RateLimit-Policy", "RateLimit"];
        let kept = kept.map(|name| (name.to_owned(), plain.header(name).map(str::to_owned)));
        let kept: Vec<_> = kept.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let mut rendered = render(error, plain);
        // A renderer can change neither: a status or a challenge lost is a client that does not know what to do.
        rendered.status = status;
        rendered.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("www-authenticate"));
        rendered.headers.extend(challenge);
        for (name, value) in kept {
            if rendered.header(&name).is_none() {
                rendered.headers.push((name, value));
            }
        }
        rendered
    }

    fn challenge(&self, error: &AuthError) -> Vec<(String, String)> {
        let mut values = Vec::new();
        if error.status() == 401 {
            values.push(format!("ApiKey realm={}, header=\"{}\"", quoted(&self.realm), self.header));
        }
        if self.bearer {
            let realm = quoted(&self.realm);
            // RFC 6750 section 3: no error code when no credential came.
            match error {
                AuthError::Missing => values.push(format!("Bearer realm={realm}")),
                AuthError::InsufficientPermission { required } => values.push(format!(
                    "Bearer realm={realm}, error=\"insufficient_scope\", scope=\"{}\"",
                    required.permissions().join(" ")
                )),
                _ if error.status() == 401 => values.push(format!("Bearer realm={realm}, error=\"invalid_token\"")),
                _ => {}
            }
        }
        values.into_iter().map(|value| ("WWW-Authenticate".into(), value)).collect()
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

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// An RFC 9457 problem, its members in the order of the RFC.
#[derive(serde::Serialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    required: Option<String>,
}

fn problem(error: &AuthError) -> String {
    let problem = Problem {
        kind: format!("urn:apikey:problem:{}", error.code()),
        title: error.title(),
        status: error.status(),
        detail: error.to_string(),
        code: error.code(),
        required: match error {
            AuthError::InsufficientPermission { required } => Some(required.to_string()),
            _ => None,
        },
    };
    // Texts and numbers always serialise.
    serde_json::to_string(&problem).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::requirement::Requirement;
    use std::time::Duration;

    fn forbidden() -> AuthError {
        AuthError::InsufficientPermission { required: Requirement::any(["orders:write", "admin"]).unwrap() }
    }

    #[test]
    fn every_401_has_a_challenge_and_nothing_else_has() {
        for error in [AuthError::Missing, AuthError::Invalid, AuthError::Revoked, AuthError::Disabled] {
            let refusal = Refusal::new(&error);
            assert_eq!(refusal.status, 401);
            assert_eq!(refusal.header("www-authenticate"), Some("ApiKey realm=\"api\", header=\"X-API-Key\""));
            assert_eq!(refusal.header("cache-control"), Some("no-store"));
        }
        for error in [forbidden(), AuthError::Unavailable, AuthError::AddressNotAllowed] {
            assert_eq!(Refusal::new(&error).header("www-authenticate"), None);
        }
    }

    #[test]
    fn the_body_is_a_problem() {
        let refusal = Refusal::new(&forbidden());
        let body: serde_json::Value = serde_json::from_str(&refusal.body).unwrap();
        assert_eq!(body["type"], "urn:apikey:problem:insufficient_permission");
        assert_eq!(body["title"], "API key lacks permission");
        assert_eq!(body["status"], 403);
        assert_eq!(body["detail"], "API key lacks permission any(orders:write, admin)");
        assert_eq!(body["code"], "insufficient_permission");
        assert_eq!(body["required"], "any(orders:write, admin)");
    }

    #[test]
    fn bearer_challenges_follow_rfc_6750() {
        let config = HeaderConfig { bearer: true, realm: "a \"b\"".into(), ..HeaderConfig::default() };
        let challenges = |error: &AuthError| -> Vec<String> {
            let all = config.refuse(error).headers;
            all.into_iter().filter(|(name, _)| name == "WWW-Authenticate").map(|(_, value)| value).collect()
        };
        let own = r#"ApiKey realm="a \"b\"", header="X-API-Key""#;
        assert_eq!(challenges(&AuthError::Missing), [own, r#"Bearer realm="a \"b\"""#]);
        assert_eq!(challenges(&AuthError::Expired), [own, r#"Bearer realm="a \"b\"", error="invalid_token""#]);
        let scope = r#"Bearer realm="a \"b\"", error="insufficient_scope", scope="orders:write admin""#;
        assert_eq!(challenges(&forbidden()), [scope]);
        assert_eq!(challenges(&AuthError::Unavailable), [""; 0]);
    }

    #[test]
    fn retry_after_is_whole_seconds_rounded_up() {
        let after = |retry_after| {
            let refusal = Refusal::new(&AuthError::RateLimited { retry_after, limit: None });
            assert_eq!(refusal.status, 429);
            refusal.header("retry-after").map(str::to_owned)
        };
        assert_eq!(after(Duration::from_millis(1)).as_deref(), Some("1"));
        assert_eq!(after(Duration::from_millis(2001)).as_deref(), Some("3"));
        assert_eq!(after(Duration::from_secs(2)).as_deref(), Some("2"));
    }

    #[test]
    fn a_renderer_changes_neither_status_nor_challenge() {
        let mut config = HeaderConfig::default();
        config.set_render(Arc::new(|error, _| Refusal {
            status: 200,
            headers: vec![("Content-Type".into(), "text/plain".into()), ("WWW-Authenticate".into(), "Basic".into())],
            body: error.to_string(),
        }));
        let refusal = config.refuse(&AuthError::Missing);
        assert_eq!(refusal.status, 401);
        assert_eq!(refusal.body, "API key missing");
        assert_eq!(refusal.headers.len(), 3);
        assert_eq!(refusal.header("cache-control"), Some("no-store"));
        assert_eq!(refusal.header("WWW-Authenticate"), Some("ApiKey realm=\"api\", header=\"X-API-Key\""));
    }

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
    fn a_bad_rule_is_named() {
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
