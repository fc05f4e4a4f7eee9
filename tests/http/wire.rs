//! One request, two ways to send it: straight into the router, and as bytes through a socket.

use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

/// A request to be sent; header values are bytes, since not all are text.
#[derive(Clone, Default)]
pub(crate) struct Call {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: &'static str,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Call {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), ..Self::default() }
    }

    pub(crate) fn post(path: impl Into<String>, body: &'static str) -> Self {
        Self { method: "POST", path: path.into(), body, ..Self::default() }.header("content-type", "application/json")
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self { method: "DELETE", path: path.into(), ..Self::default() }
    }

    pub(crate) fn options(path: impl Into<String>) -> Self {
        Self { method: "OPTIONS", path: path.into(), ..Self::default() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name, value.as_ref().to_vec()));
        self
    }

    pub(crate) fn key(self, token: impl AsRef<[u8]>) -> Self {
        self.header("x-api-key", token)
    }

    /// Sends it both ways; both answers must be alike in status and body, and the one of the socket is returned.
    pub(crate) async fn send(&self, app: &Router) -> Answer {
        let direct = self.direct(app.clone()).await;
        let wired = self.wired(app.clone()).await;
        assert_eq!((direct.status, &direct.body), (wired.status, &wired.body), "{} {}", self.method, self.path);
        wired
    }

    pub(crate) async fn direct(&self, app: Router) -> Answer {
        let mut request = axum::http::Request::builder().method(self.method).uri(&self.path);
        for (name, value) in &self.headers {
            request = request.header(*name, value.as_slice());
        }
        let response = app.oneshot(request.body(Body::from(self.body)).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub(crate) async fn wired(&self, app: Router) -> Answer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut bytes =
            format!("{} {} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n", self.method, self.path).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend(format!("content-length: {}\r\n\r\n{}", self.body.len(), self.body).into_bytes());
        stream.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        server.abort();
        Answer::parse(&String::from_utf8(answer).unwrap())
    }
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_lowercase(), value.to_owned())
        });
        Self { status, headers: headers.collect(), body: body.to_owned() }
    }

    /// The one value of a header field.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(held, _)| held == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} occurs once");
        value
    }

    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        body["code"].as_str().unwrap().to_owned()
    }
}
