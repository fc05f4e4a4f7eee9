//! One request, two ways to send it: straight into the router, and as bytes through a socket.

use apikey_testkit::{Answer, Call};
use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt;
use tokio::net::TcpListener;
use tower::ServiceExt;

/// How a [`Call`] gets to a router.
pub(crate) trait Send {
    /// Sends it both ways. Both answers must have the same status and body; the result is the one from the socket.
    async fn send_both(&self, app: &Router) -> Answer;
    /// Sends it straight into the router.
    async fn send_direct(&self, app: Router) -> Answer;
    /// Sends it to a server that listens on a socket.
    async fn send_wired(&self, app: Router) -> Answer;
}

impl Send for Call {
    async fn send_both(&self, app: &Router) -> Answer {
        let direct = self.send_direct(app.clone()).await;
        let wired = self.send_wired(app.clone()).await;
        assert_eq!((direct.status, &direct.body), (wired.status, &wired.body), "{} {}", self.method(), self.path());
        wired
    }

    async fn send_direct(&self, app: Router) -> Answer {
        let mut request = axum::http::Request::builder().method(self.method()).uri(self.path());
        for (name, value) in self.headers() {
            request = request.header(name, value);
        }
        let response = app.oneshot(request.body(Body::from(self.body().to_owned())).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer::new(status, headers, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn send_wired(&self, app: Router) -> Answer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let call = self.clone();
        let answer = tokio::task::spawn_blocking(move || call.send(port)).await.unwrap();
        server.abort();
        answer
    }
}
