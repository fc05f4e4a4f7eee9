//! Requests as bytes, without a client that would mend what it sends or receives.

use std::borrow::Cow;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::Answer;

/// A request. Header values are bytes, since not all are text.
#[derive(Debug, Clone)]
pub struct Call {
    method: &'static str,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Cow<'static, str>,
}

impl Call {
    /// A request without headers and body.
    pub fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: Cow::Borrowed("") }
    }

    /// `GET`.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new("GET", path)
    }

    /// `POST` with a body of JSON.
    pub fn post(path: impl Into<String>, body: impl Into<Cow<'static, str>>) -> Self {
        Self { body: body.into(), ..Self::new("POST", path) }.header("content-type", "application/json")
    }

    /// `PATCH` with a body of JSON.
    pub fn patch(path: impl Into<String>, body: impl Into<Cow<'static, str>>) -> Self {
        Self { method: "PATCH", ..Self::post(path, body) }
    }

    /// `PUT` with a body of JSON.
    pub fn put(path: impl Into<String>, body: impl Into<Cow<'static, str>>) -> Self {
        Self { method: "PUT", ..Self::post(path, body) }
    }

    /// Any method with a body of this media type.
    pub fn with_body(
        method: &'static str,
        path: impl Into<String>,
        media_type: &str,
        body: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { body: body.into(), ..Self::new(method, path) }.header("content-type", media_type)
    }

    /// `DELETE`.
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new("DELETE", path)
    }

    /// `OPTIONS` without the headers of a preflight.
    pub fn options(path: impl Into<String>) -> Self {
        Self::new("OPTIONS", path)
    }

    /// A CORS preflight for a request with this method.
    pub fn preflight(path: impl Into<String>, method: &str) -> Self {
        Self::options(path).header("origin", "http://page.test").header("access-control-request-method", method)
    }

    /// The same below a mount.
    #[must_use]
    pub fn below(&self, mount: &str) -> Self {
        Self { path: format!("{mount}{}", self.path), ..self.clone() }
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Adds `X-API-Key`.
    #[must_use]
    pub fn key(self, token: impl AsRef<[u8]>) -> Self {
        self.header("x-api-key", token)
    }

    /// The method.
    pub fn method(&self) -> &'static str {
        self.method
    }

    /// The path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The header fields in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The body.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Sends it to a port of this machine.
    pub fn send(&self, port: u16) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut bytes =
            format!("{} {} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n", self.method, self.path).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend(format!("content-length: {}\r\n\r\n{}", self.body.len(), self.body).into_bytes());
        stream.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        // A server that answers before it has read the body may reset the connection after the answer.
        let _ = stream.read_to_end(&mut answer);
        Answer::parse(&String::from_utf8(answer).unwrap())
    }
}
