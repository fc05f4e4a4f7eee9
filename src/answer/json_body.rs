//! The JSON body of a request, as an argument of a handler.

/// The JSON body of a request, as the last argument of an axum handler: [`from_json`](crate::from_json) reads it. Needs
/// the features `axum` and `json`.
///
/// `T` is any type that serde reads, such as a [`NewKey`](apikey_core::NewKey) or one of your own. Unlike `axum::Json`, a
/// bad body gets a [`Problem`](crate::Problem), also if it is larger than axum's limit (2 MB unless
/// `DefaultBodyLimit` says otherwise) or no text. The header `Content-Type` does not matter.
///
/// ```
/// use apikey::{JsonBody, KeyStore, NewKey, Problem, SecretResponse, VerifiedKey, require_api_key};
/// use axum::extract::State;
///
/// #[require_api_key(perm = "keys:create")]
/// async fn create(
///     caller: VerifiedKey,
///     State(store): State<KeyStore>,
///     JsonBody(new): JsonBody<NewKey>,
/// ) -> Result<SecretResponse, Problem> {
///     Ok(SecretResponse::created(store.create(new.within(&caller))?))
/// }
/// # let _: axum::Router = axum::Router::new().route("/keys", axum::routing::post(create)).with_state(KeyStore::temporary()?);
/// # Ok::<(), apikey::OpenError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JsonBody<T>(pub T);
