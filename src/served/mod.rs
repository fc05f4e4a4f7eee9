//! Services that answer requests below a path, in any framework: what is checked of a request before its body is read, the
//! answer as a future, the tower service, and the mount.

mod future;
#[cfg(feature = "tower")]
mod mount;
#[cfg(feature = "tower")]
mod service;

use http::HeaderMap;
use http::request::Parts as Head;

use crate::answer::Problem;
pub use future::AnswerFuture;
pub(crate) use future::Pending;
#[cfg(feature = "tower")]
pub use mount::{Mount, MountFuture, MountService};
#[cfg(feature = "tower")]
pub use service::ServiceFuture;
#[cfg(feature = "tower")]
pub(crate) use service::{call, tower_service};

/// The longest body of a request, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// What can be mounted below a path: [`Management`](crate::management::Management), and with the feature `console`
/// [`Console`](crate::console::Console). It has no methods of its own.
pub trait Served: Clone + Send + Sync + 'static + sealed::Sealed {
    /// A request whose head is admitted, and whose body is awaited.
    #[doc(hidden)]
    type Admitted: Send;

    /// Checks the head of a request: everything that can be checked before its body arrives.
    ///
    /// # Errors
    /// The answer, if that is all there is to do.
    #[doc(hidden)]
    fn begin(&self, head: &mut Head) -> Result<Self::Admitted, Box<Pending>>;

    /// Carries out a request whose head was admitted, with its whole body.
    #[doc(hidden)]
    fn finish(&self, head: Head, admitted: Self::Admitted, body: Result<Vec<u8>, Problem>) -> Pending;
}

pub(crate) mod sealed {
    /// Only this crate has services.
    pub trait Sealed {}
}

/// The path of a request before a router took away what leads to the service, for a service that cares whether it ends in a
/// slash.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "console"), allow(dead_code, reason = "the API does not care"))]
pub(crate) struct FullPath(pub(crate) String);

/// Answers a request whose body is there.
pub(crate) fn handle<S: Served>(served: &S, request: http::Request<impl AsRef<[u8]>>) -> AnswerFuture {
    let (mut head, body) = request.into_parts();
    let pending = match served.begin(&mut head) {
        Ok(admitted) => served.finish(head, admitted, Ok(body.as_ref().to_vec())),
        Err(answer) => *answer,
    };
    AnswerFuture::new(pending)
}

/// Answers a request whose body is read only if its head is admitted.
#[cfg(any(feature = "actix-web", feature = "poem", feature = "rocket", feature = "salvo"))]
pub(crate) async fn respond<S: Served>(
    served: &S,
    mut head: Head,
    body: impl std::future::Future<Output = Result<Vec<u8>, Problem>>,
) -> http::Response<String> {
    let pending = match served.begin(&mut head) {
        Ok(admitted) => served.finish(head, admitted, body.await),
        Err(answer) => *answer,
    };
    AnswerFuture::new(pending).await
}

/// The media type of a body, in lower case and without parameters; `None` if the head names none, or several.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let mut given = headers.get_all(http::header::CONTENT_TYPE).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return None };
    Some(value.to_str().ok()?.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// The length that the head of a request announces.
pub(crate) fn content_length(head: &Head) -> Option<u64> {
    head.headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub(crate) fn too_large(length: u64) -> Problem {
    Problem::new(413, "body_too_large", format!("the body has {length} bytes or more, at most {MAX_BODY} are read"))
}
