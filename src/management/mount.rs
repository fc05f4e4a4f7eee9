//! The API below a path of another tower service.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use tower_layer::Layer;
use tower_service::Service;

use super::Management;
use super::service::ManagementResponse;

/// Serves the API below a path, and everything else by another service: the layer that [`Management::at`] returns.
#[derive(Debug, Clone)]
pub struct Mount {
    management: Management,
    path: String,
}

impl Management {
    /// Returns a layer that serves the API below this path, and leaves every other request to the service inside: for servers
    /// that do not nest services, such as hyper's and warp's.
    ///
    /// ```
    /// use apikey::KeyStore;
    /// use apikey::management::Management;
    /// use tower_layer::Layer;
    ///
    /// # fn wire<S>(store: KeyStore, service: S) {
    /// // In warp `service` is `warp::service(routes)`.
    /// let service = Management::new(store).at("/admin/v1").layer(service);
    /// # }
    /// ```
    #[must_use]
    pub fn at(self, path: impl Into<String>) -> Mount {
        let path = path.into();
        // Without its slash it would be below no path, and the API nowhere.
        let path = match path.trim_matches('/') {
            "" => String::new(),
            path => format!("/{path}"),
        };
        Mount { management: self, path }
    }
}

impl<S> Layer<S> for Mount {
    type Service = MountService<S>;

    fn layer(&self, inner: S) -> MountService<S> {
        MountService { inner, mount: self.clone() }
    }
}

/// A service inside of a [`Mount`].
#[derive(Debug, Clone)]
pub struct MountService<S> {
    inner: S,
    mount: Mount,
}

impl Mount {
    /// The target of a request below the mount; `None` for one that is not.
    fn below(&self, uri: &Uri) -> Option<Uri> {
        let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let rest = target.strip_prefix(self.path.as_str())?;
        match rest.as_bytes().first() {
            Some(b'/') => rest.parse().ok(),
            Some(b'?') | None => format!("/{rest}").parse().ok(),
            Some(_) => None,
        }
    }
}

impl<S, B, C> Service<Request<B>> for MountService<S>
where
    S: Service<Request<B>, Response = Response<C>>,
    Management: Service<Request<B>, Future = ManagementResponse>,
    C: From<String>,
{
    type Response = Response<C>;
    type Error = S::Error;
    type Future = MountFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.mount.below(request.uri()) {
            Some(uri) => {
                *request.uri_mut() = uri;
                MountFuture(Inside::Management(self.mount.management.call(request)))
            }
            None => MountFuture(Inside::Other(Box::pin(self.inner.call(request)))),
        }
    }
}

/// The response of a [`MountService`].
pub struct MountFuture<F>(Inside<F>);

enum Inside<F> {
    Management(ManagementResponse),
    Other(Pin<Box<F>>),
}

impl<F, C, E> Future for MountFuture<F>
where
    F: Future<Output = Result<Response<C>, E>>,
    C: From<String>,
{
    type Output = Result<Response<C>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Inside::Other(response) => response.as_mut().poll(cx),
            Inside::Management(answer) => Pin::new(answer).poll(cx).map(|Ok(answer)| Ok(answer.map(C::from))),
        }
    }
}

impl<F> fmt::Debug for MountFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MountFuture")
    }
}

#[cfg(test)]
mod tests {
    use apikey_core::KeyStore;

    use super::*;

    #[test]
    fn a_mount_has_what_is_below_its_path() {
        let management = Management::new(KeyStore::temporary().unwrap());
        for path in ["/admin/v1", "admin/v1", "/admin/v1/"] {
            let mount = management.clone().at(path);
            for (uri, below) in [
                ("/admin/v1/keys?a=b", Some("/keys?a=b")),
                ("http://host/admin/v1/keys", Some("/keys")),
                ("/admin/v1", Some("/")),
                ("/admin/v1?a", Some("/?a")),
                ("/admin/v10/keys", None),
                ("/keys", None),
                ("*", None),
            ] {
                let found = mount.below(&uri.parse().unwrap());
                assert_eq!(found.map(|uri| uri.to_string()), below.map(str::to_owned), "{path} {uri}");
            }
        }
        let root = management.at("/");
        assert_eq!(root.below(&"/keys".parse().unwrap()).unwrap(), "/keys");
    }
}
