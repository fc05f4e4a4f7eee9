//! A service of this crate below a path of another tower service.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use tower_layer::Layer;
use tower_service::Service;

use super::{FullPath, ServiceFuture};

/// Serves the [API](crate::management) or the console below a path, and everything else by another service: the layer that
/// [`Management::at`](crate::management::Management::at) returns.
#[derive(Debug, Clone)]
pub struct Mount<T> {
    served: T,
    path: String,
}

impl<T> Mount<T> {
    pub(crate) fn new(served: T, path: impl Into<String>) -> Self {
        let path = path.into();
        // Without its slash it would be below no path, and what is served nowhere.
        let path = match path.trim_matches('/') {
            "" => String::new(),
            path => format!("/{path}"),
        };
        Self { served, path }
    }
}

impl<S, T: Clone> Layer<S> for Mount<T> {
    type Service = MountService<S, T>;

    fn layer(&self, inner: S) -> MountService<S, T> {
        MountService { inner, mount: self.clone() }
    }
}

/// A service inside of a [`Mount`].
#[derive(Debug, Clone)]
pub struct MountService<S, T> {
    inner: S,
    mount: Mount<T>,
}

impl<T> Mount<T> {
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

impl<S, T, B, C> Service<Request<B>> for MountService<S, T>
where
    S: Service<Request<B>, Response = Response<C>>,
    T: Service<Request<B>, Response = Response<String>, Error = Infallible, Future = ServiceFuture>,
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
                let path = FullPath(request.uri().path().to_owned());
                request.extensions_mut().insert(path);
                *request.uri_mut() = uri;
                MountFuture(Inside::Served(self.mount.served.call(request)))
            }
            None => MountFuture(Inside::Other(Box::pin(self.inner.call(request)))),
        }
    }
}

/// The response of a [`MountService`].
pub struct MountFuture<F>(Inside<F>);

enum Inside<F> {
    Served(ServiceFuture),
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
            Inside::Served(answer) => Pin::new(answer).poll(cx).map(|Ok(answer)| Ok(answer.map(C::from))),
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

    use crate::management::Management;

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
