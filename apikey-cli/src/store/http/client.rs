//! Requests to the API, and what it answers.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apikey_core::{redact, wiped};
use serde_json::Value;
use ureq::http::{Request, Response, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};
use zeroize::Zeroizing;

use super::convert::unreadable;
use crate::failure::{Code, Failure};
use crate::output;

/// The longest key, in bytes.
const MAX_KEY: usize = 512;
/// The longest answer, in bytes.
const MAX_ANSWER: u64 = 64 << 20;
/// How long the service may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Where the API is: over TLS, or on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Url(String);

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected = "https:// and the URL of the API is expected, such as https://api.shop.example/admin/v1";
        let (scheme, rest) = text.split_once("://").ok_or(expected)?;
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if host.is_empty() || host.contains('@') || rest.contains(['?', '#', ' ']) {
            return Err(expected.to_owned());
        }
        let has_port = |(_, port): &(&str, &str)| port.bytes().all(|byte| byte.is_ascii_digit());
        let name = host.rsplit_once(':').filter(has_port).map_or(host, |(name, _)| name);
        let is_here = ["localhost", "127.0.0.1", "[::1]"].contains(&name);
        match scheme {
            "https" => {}
            "http" if is_here => {}
            "http" => {
                return Err("http:// is for this machine alone: a key must not cross a network in clear".to_owned());
            }
            _ => return Err(expected.to_owned()),
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

/// The key of the command, from a file.
#[derive(Clone)]
pub(crate) struct Key(Zeroizing<String>);

impl Key {
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = File::open(path).and_then(|file| wiped::read(file, MAX_KEY + 1));
        let bytes = bytes.map_err(|error| Failure::file(path, &error))?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
        if text.is_empty() || bytes.len() > MAX_KEY || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::usage(format!("{} is no file with one key", path.display())));
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key([REDACTED])")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    url: Url,
    key: Key,
}

impl Client {
    pub(super) fn new(url: Url, key: Key) -> Self {
        // Those of the system, or of SSL_CERT_FILE: a service inside of a company has a certificate of its own authority.
        let roots = rustls_native_certs::load_native_certs().certs;
        let roots: Vec<_> = roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        // A proxy would read what goes to this machine in clear; TLS goes through one as it is.
        let proxy = if url.0.starts_with("https://") { Proxy::try_from_env() } else { None };
        let agent = Agent::config_builder()
            .tls_config(tls)
            .proxy(proxy)
            // A redirection would send the key elsewhere.
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .user_agent(concat!("apikey/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: agent.into(), url, key }
    }

    /// Sends a request; the answer is null for one without a body.
    pub(super) fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        self.exchange(method.name(), path, body.map(|body| ("application/json", body)), None)
    }

    /// Changes a resource as it was read.
    pub(super) fn patch(&self, path: &str, body: &Value, tag: &str) -> Result<Value, Failure> {
        self.exchange("PATCH", path, Some(("application/merge-patch+json", body)), Some(tag))
    }

    /// Reads a resource, if it is there.
    pub(super) fn find(&self, path: &str) -> Result<Option<Value>, Failure> {
        match self.send(Method::Get, path, None) {
            Err(failure) if failure.code == Code::NotFound => Ok(None),
            answer => answer.map(Some),
        }
    }

    fn exchange(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &Value)>,
        tag: Option<&str>,
    ) -> Result<Value, Failure> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url.0));
        request = request.header("x-api-key", self.key.0.as_str()).header("accept", "application/json");
        if let Some(tag) = tag {
            request = request.header("if-match", tag);
        }
        let answer = match body {
            Some((media_type, body)) => {
                let text = wiped::json(body).map_err(unreadable)?;
                let request = request.header("content-type", media_type).body(text.as_bytes().to_vec());
                self.agent.run(request.map_err(|error| unreachable(&self.url, &error))?)
            }
            None => self.agent.run(request.body(()).map_err(|error| unreachable(&self.url, &error))?),
        };
        read(&self.url, answer.map_err(|error| unreachable(&self.url, &error))?)
    }
}

fn unreachable(url: &Url, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::Refused, redact(&format!("{}: {error}", url.0)))
}

fn read(url: &Url, mut response: Response<Body>) -> Result<Value, Failure> {
    let status = response.status();
    let text = response.body_mut().with_config().limit(MAX_ANSWER).read_to_string();
    let text = Zeroizing::new(text.map_err(|error| unreachable(url, &error))?);
    let document: Value = match text.is_empty() {
        true => Value::Null,
        false => serde_json::from_str(&text).unwrap_or_default(),
    };
    if status.is_success() {
        if status == StatusCode::ACCEPTED {
            let nodes = document.get("outstanding").map(Value::to_string).unwrap_or_default();
            let by = document.get("everywhere_by").and_then(Value::as_str).unwrap_or("later");
            output::note(&format!("it is done, and the nodes {nodes} do not have it yet: everywhere by {by}"));
        }
        return Ok(document);
    }
    let field = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
    let (code, detail) = (field("code"), field("detail"));
    if code.is_empty() {
        let text = format!("{} answers {status}: is the API for managing keys there?", url.0);
        return Err(Failure::new(Code::Refused, text));
    }
    let exit = match status.as_u16() {
        404 => Code::NotFound,
        403 if code == "exceeds_actor" => Code::Conflict,
        409 | 412 => Code::Conflict,
        422 => Code::Usage,
        _ => Code::Refused,
    };
    Err(Failure::new(exit, redact(&format!("{detail} ({code})"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sent_over_tls_or_on_this_machine() {
        for good in [
            "https://api.shop.example/admin/v1",
            "https://x:8443",
            "http://127.0.0.1:3000/a/",
            "http://[::1]:1/",
            "http://[::1]/a",
        ] {
            assert!(Url::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "api.shop.example",
            "http://api.shop.example/",
            "http://127.0.0.1.shop.example/",
            "http://[::2]/",
            "https://",
            "https://u:p@x/",
            "ftp://x",
            "https://x/?a",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }
}
