//! A refused request, as a value that becomes a response.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use apikey_core::{AuthError, KeyStore, Refusal};

/// A refused request: the reason, and the HTTP response.
///
/// Each framework converts it to a response with the same status, headers and body: `application/problem+json` (RFC
/// 9457), with a challenge on every 401 (RFC 9110).
///
/// ```
/// use apikey::{AuthError, Rejection};
///
/// let rejection = Rejection::from(AuthError::Missing);
/// assert_eq!(rejection.status(), 401);
/// assert_eq!(rejection.to_string(), "API key missing");
/// assert_eq!(rejection.refusal().header("www-authenticate"), Some("ApiKey realm=\"api\", header=\"X-API-Key\""));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection(AuthError, Refusal);

impl Rejection {
    /// Creates the rejection with this store's header, realm and renderer.
    #[must_use]
    pub fn of(store: &KeyStore, error: AuthError) -> Self {
        let refusal = store.refuse(&error);
        Self(error, refusal)
    }

    /// Creates the rejection of a request with this token.
    pub(crate) fn of_token(store: &KeyStore, error: AuthError, token: &str) -> Self {
        let refusal = store.refuse_token(&error, token);
        Self(error, refusal)
    }

    /// Creates the answer for a thing that does not exist, with the bytes of the answer for a thing of another tenant: 404
    /// `not_found`. A handler with [`tenant = ..`](crate::require_api_key#tenants) that answers an unknown id so does not
    /// disclose which ids, and which tenants, there are.
    ///
    /// ```
    /// use apikey::{AuthError, Rejection};
    ///
    /// fn find(number: u32) -> Result<String, Rejection> {
    ///     if number == 1 { Ok("an order".to_owned()) } else { Err(Rejection::not_found()) }
    /// }
    /// assert_eq!(find(7).unwrap_err(), Rejection::from(AuthError::NotFound));
    /// assert_eq!(find(7).unwrap_err().status(), 404);
    /// ```
    ///
    /// Where the store has a [renderer](crate::KeyStoreBuilder::render), write `Rejection::of(&store, AuthError::NotFound)`,
    /// so that it renders this answer, too.
    #[must_use]
    pub fn not_found() -> Self {
        Self::from(AuthError::NotFound)
    }

    /// Returns the HTTP status: 401, 403, 404, 429 or 503.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.1.status
    }

    /// Returns the reason of the refusal.
    #[must_use]
    pub fn error(&self) -> &AuthError {
        &self.0
    }

    /// Returns the response as plain data.
    #[must_use]
    pub fn refusal(&self) -> &Refusal {
        &self.1
    }

    /// Converts into the response as plain data.
    #[must_use]
    pub fn into_refusal(self) -> Refusal {
        self.1
    }
}

/// Creates the rejection of a request without a store, with the default header and realm.
impl From<AuthError> for Rejection {
    fn from(error: AuthError) -> Self {
        let refusal = Refusal::new(&error);
        Self(error, refusal)
    }
}

/// The text that a caller may see.
impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Rejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// A type that a guarded function can return when its request is refused: a response, a `Result`, or a boxed future of
/// one of these.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned for a refused request",
    label = "this is returned when a request is refused",
    note = "return `Result<_, E>` where `E: From<apikey::Rejection>`, or an HTTP response; or choose what is returned with \
            `on_reject = ..`"
)]
pub trait FromRejection: Sized {
    /// Returns the value for this rejection.
    fn from_rejection(rejection: Rejection) -> Self;
}

impl<T, E: ErrorFromRejection<T>> FromRejection for Result<T, E> {
    fn from_rejection(rejection: Rejection) -> Self {
        E::result_from_rejection(rejection)
    }
}

impl<'a, T: FromRejection + 'a> FromRejection for Pin<Box<dyn Future<Output = T> + 'a>> {
    fn from_rejection(rejection: Rejection) -> Self {
        Box::pin(async { T::from_rejection(rejection) })
    }
}

impl<'a, T: FromRejection + 'a> FromRejection for Pin<Box<dyn Future<Output = T> + Send + 'a>> {
    fn from_rejection(rejection: Rejection) -> Self {
        Box::pin(async { T::from_rejection(rejection) })
    }
}

/// The error type of a `Result` that a guarded function can return: every `E: From<Rejection>`, and `Infallible` if the
/// value itself can carry the refusal (services that answer errors with responses).
#[diagnostic::on_unimplemented(
    message = "the error type `{Self}` cannot be made from a refused request",
    label = "the error type of this result",
    note = "add `impl From<apikey::Rejection> for {Self}`, or use `on_reject = ..` in the attribute"
)]
pub trait ErrorFromRejection<T>: Sized {
    /// Returns the result for this rejection.
    ///
    /// # Errors
    /// Always, unless the value itself carries the refusal.
    fn result_from_rejection(rejection: Rejection) -> Result<T, Self>;
}

// If the compiler recommended the blanket impl, its error would name `From` and not say what to add.
#[diagnostic::do_not_recommend]
impl<T, E: From<Rejection>> ErrorFromRejection<T> for E {
    fn result_from_rejection(rejection: Rejection) -> Result<T, Self> {
        Err(Self::from(rejection))
    }
}

impl<T: FromRejection> ErrorFromRejection<T> for Infallible {
    fn result_from_rejection(rejection: Rejection) -> Result<T, Self> {
        Ok(T::from_rejection(rejection))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Response(u16);

    impl FromRejection for Response {
        fn from_rejection(rejection: Rejection) -> Self {
            Self(rejection.status())
        }
    }

    #[test]
    fn refused_requests_become_return_values() {
        let rejection = || Rejection::from(AuthError::Missing);
        let result = <Result<u32, Rejection>>::from_rejection(rejection());
        assert_eq!(result.unwrap_err().error(), &AuthError::Missing);
        let Ok(response) = <Result<Response, Infallible>>::from_rejection(rejection());
        assert_eq!(response.0, 401);
        let boxed = <Result<u32, Box<dyn std::error::Error + Send + Sync>>>::from_rejection(rejection());
        assert_eq!(boxed.unwrap_err().to_string(), "API key missing");
    }
}
