//! Plain functions with `request = ..`: the signature stays as written.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use apikey::{AuthError, KeyStore, Rejection, VerifiedKey, require_api_key};
use http::{HeaderMap, Request, Response, StatusCode, request::Parts};

use crate::support::Keys;

static KEYS: LazyLock<KeyStore> = LazyLock::new(|| KeyStore::temporary().unwrap());

#[require_api_key(perm = "reports:run", request = headers, store = KEYS, key = who)]
fn report(headers: &HeaderMap, n: u32) -> Result<String, Rejection> {
    Ok(format!("{} {n}", who.owner()))
}

#[test]
fn a_sync_function_with_a_static_store() {
    let keys = Keys::in_store(KEYS.clone(), &["reports:*"]);
    assert_eq!(report(&keys.headers(), 3).unwrap(), "alice 3");
    assert_eq!(report(&HeaderMap::new(), 3).unwrap_err().error(), &AuthError::Missing);
    let bare = Keys::in_store(KEYS.clone(), &[]);
    assert_eq!(report(&bare.headers(), 3).unwrap_err().status(), 403);
}

#[test]
fn every_source() {
    #[require_api_key(request = token, store = store)]
    fn text(store: &KeyStore, token: &str) -> Result<(), Rejection> {
        Ok(())
    }
    #[require_api_key(request = token, store = store)]
    fn perhaps(store: &KeyStore, token: Option<String>) -> Result<(), Rejection> {
        Ok(())
    }
    #[require_api_key(request = request)]
    fn exclusive(request: &mut Request<()>) -> Result<(), Rejection> {
        request.headers_mut().clear();
        Ok(())
    }
    #[require_api_key(request = request)]
    fn by_value(request: Request<()>) -> Result<Parts, Rejection> {
        Ok(request.into_parts().0)
    }
    #[require_api_key(request = parts)]
    fn head(parts: &Parts) -> Result<(), Rejection> {
        Ok(())
    }
    #[require_api_key(request = pair.0.headers(), store = pair.1)]
    fn expression(pair: (&Request<()>, &KeyStore)) -> Result<(), Rejection> {
        Ok(())
    }
    #[require_api_key(request = if wanted { Some(token) } else { None }, store = store)]
    fn branch(store: &KeyStore, wanted: bool, token: &str) -> Result<(), Rejection> {
        Ok(())
    }
    let keys = Keys::granting(&[]);
    assert!(text(&keys.store, &keys.key).is_ok());
    assert_eq!(text(&keys.store, "").unwrap_err().error(), &AuthError::Invalid);
    assert!(perhaps(&keys.store, Some(keys.key.clone())).is_ok());
    assert_eq!(perhaps(&keys.store, None).unwrap_err().error(), &AuthError::Missing);
    assert!(exclusive(&mut keys.request()).is_ok());
    assert!(exclusive(&mut keys.bare()).is_err());
    assert!(head(&by_value(keys.request()).unwrap()).is_ok());
    assert!(head(&keys.bare().into_parts().0).is_err());
    assert!(expression((&keys.request(), &keys.store)).is_ok());
    assert!(branch(&keys.store, true, &keys.key).is_ok());
    assert!(branch(&keys.store, false, &keys.key).is_err());
}

#[test]
fn every_store() {
    struct State {
        keys: Arc<KeyStore>,
    }
    #[require_api_key(request = token, store = store)]
    fn shared(store: Arc<KeyStore>, token: &str) -> Result<(), Rejection> {
        Ok(())
    }
    #[require_api_key(request = token, store = state.keys)]
    fn field(state: &State, token: &str) -> Result<(), Rejection> {
        Ok(())
    }
    #[require_api_key(request = token, store = axum::extract::State(store.clone()))]
    fn wrapped(store: &KeyStore, token: &str) -> Result<(), Rejection> {
        Ok(())
    }
    #[require_api_key(request = request, store = store)]
    fn over_the_extensions(store: &KeyStore, request: &Request<()>) -> Result<(), Rejection> {
        Ok(())
    }
    let keys = Keys::granting(&[]);
    let other = Keys::granting(&[]);
    let store = Arc::new(keys.store.clone());
    assert!(shared(store.clone(), &keys.key).is_ok());
    assert!(shared(store.clone(), &other.key).is_err());
    assert!(field(&State { keys: store }, &keys.key).is_ok());
    assert!(wrapped(&keys.store, &keys.key).is_ok());
    // The request has another store, which does not know the key.
    let mut request = keys.request();
    request.extensions_mut().insert(other.store.clone());
    assert!(over_the_extensions(&keys.store, &request).is_ok());
    assert!(over_the_extensions(&other.store, &request).is_err());
}

#[test]
fn a_key_of_another_store_proves_nothing() {
    #[require_api_key(request = request, key = who)]
    fn owner(request: &Request<()>) -> Result<String, Rejection> {
        Ok(who.owner().to_owned())
    }
    let keys = Keys::granting(&[]);
    let other = Keys::in_store(KeyStore::temporary().unwrap(), &[]);
    let foreign: VerifiedKey = other.store.verify(&other.key).unwrap();
    let mut request = keys.bare();
    request.extensions_mut().insert(foreign);
    assert_eq!(owner(&request).unwrap_err().error(), &AuthError::Missing);
    // The guard uses a verified key of the same store and does not read the header.
    request.extensions_mut().insert(keys.store.verify(&keys.key).unwrap());
    assert_eq!(owner(&request).unwrap(), "alice");
}

#[test]
fn a_key_that_was_verified_still_needs_the_permission() {
    #[require_api_key(perm = "orders:read", request = request)]
    fn read(request: &Request<()>) -> Result<(), Rejection> {
        Ok(())
    }
    let keys = Keys::granting(&["stock:read"]);
    let mut request = keys.bare();
    request.extensions_mut().insert(keys.store.verify(&keys.key).unwrap());
    assert_eq!(read(&request).unwrap_err().status(), 403);
}

#[test]
fn an_optional_key() {
    #[require_api_key(perm = "a:b", optional, request = request, key = who)]
    fn greet(request: &Request<()>) -> Result<Option<String>, Rejection> {
        Ok(who.map(|key| key.owner().to_owned()))
    }
    #[require_api_key(optional, request = token, store = store)]
    fn refuses_only(store: &KeyStore, token: Option<&str>) -> Result<(), Rejection> {
        Ok(())
    }
    let keys = Keys::granting(&["a:b"]);
    let bare = Keys::in_store(keys.store.clone(), &[]);
    assert_eq!(greet(&keys.request()).unwrap().as_deref(), Some("alice"));
    assert_eq!(greet(&keys.bare()).unwrap(), None);
    assert_eq!(greet(&bare.request()).unwrap_err().status(), 403);
    assert!(refuses_only(&keys.store, None).is_ok());
    assert!(refuses_only(&keys.store, Some("ak_nonsense")).is_err());
}

#[test]
fn the_author_chooses_how_to_refuse() {
    fn code(rejection: Rejection) -> u32 {
        rejection.status().into()
    }
    #[require_api_key(request = token, store = store, on_reject = code)]
    fn path(store: &KeyStore, token: &str) -> u32 {
        200
    }
    #[require_api_key(request = token, store = store, on_reject = |rejection| format!("{name}: {rejection}"))]
    fn closure(store: &KeyStore, token: &str, name: &str) -> String {
        name.to_owned()
    }
    #[require_api_key(request = token, store = store, on_reject = |_| log.push("refused"))]
    fn nothing(store: &KeyStore, token: &str, log: &mut Vec<&'static str>) {
        log.push("ran");
    }
    #[require_api_key(request = token, store = store, on_reject = |_| vec![].into_iter())]
    fn hidden(store: &KeyStore, token: &str) -> impl Iterator<Item = u8> {
        vec![1].into_iter()
    }
    let keys = Keys::granting(&[]);
    assert_eq!(path(&keys.store, &keys.key), 200);
    assert_eq!(path(&keys.store, ""), 401);
    assert_eq!(closure(&keys.store, "", "report"), "report: Invalid API key");
    assert_eq!(closure(&keys.store, &keys.key, "report"), "report");
    let mut log = vec![];
    nothing(&keys.store, "", &mut log);
    nothing(&keys.store, &keys.key, &mut log);
    assert_eq!(log, ["refused", "ran"]);
    assert_eq!(hidden(&keys.store, "").count(), 0);
    assert_eq!(hidden(&keys.store, &keys.key).count(), 1);
}

#[tokio::test]
async fn services_answer_with_responses() {
    #[require_api_key(perm = "a:b", request = request, key = who)]
    async fn hyper<B>(request: Request<B>) -> Result<Response<String>, Infallible> {
        Ok(Response::new(who.owner().to_owned()))
    }
    #[require_api_key(perm = "a:b", request = request)]
    async fn plain<B: Default>(request: &Request<B>) -> Response<String> {
        Response::new("in".to_owned())
    }
    let keys = Keys::granting(&["a:b"]);
    let Ok(response) = hyper(keys.request()).await;
    assert_eq!(response.into_body(), "alice");
    let Ok(response) = hyper(keys.bare()).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()["www-authenticate"], "ApiKey realm=\"api\", header=\"X-API-Key\"");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(plain(&keys.request()).await.body(), "in");
    assert_eq!(plain(&keys.bare()).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn errors_of_every_kind() {
    #[derive(Debug)]
    struct Mine(u16);
    impl From<Rejection> for Mine {
        fn from(rejection: Rejection) -> Self {
            Self(rejection.status())
        }
    }
    impl From<std::num::ParseIntError> for Mine {
        fn from(_: std::num::ParseIntError) -> Self {
            Self(400)
        }
    }
    #[require_api_key(request = request)]
    async fn mine(request: &Request<()>, text: &str) -> Result<u32, Mine> {
        Ok(text.parse::<u32>()?)
    }
    #[require_api_key(request = request)]
    fn boxed(request: &Request<()>) -> Result<u32, Box<dyn std::error::Error>> {
        Ok("1".parse()?)
    }
    #[require_api_key(request = request)]
    fn status(request: &Request<()>) -> Result<u32, StatusCode> {
        Ok(1)
    }
    #[require_api_key(request = request)]
    fn pair(request: &Request<()>) -> Result<u32, (StatusCode, String)> {
        Ok(1)
    }
    #[require_api_key(request = request)]
    fn hidden(request: &Request<()>) -> Result<impl Iterator<Item = u8> + use<>, Rejection> {
        Ok([1, 2].into_iter())
    }
    let keys = Keys::granting(&[]);
    assert_eq!(mine(&keys.request(), "7").await.unwrap(), 7);
    assert_eq!(mine(&keys.request(), "x").await.unwrap_err().0, 400);
    assert_eq!(mine(&keys.bare(), "7").await.unwrap_err().0, 401);
    assert_eq!(boxed(&keys.request()).unwrap(), 1);
    assert_eq!(boxed(&keys.bare()).unwrap_err().to_string(), "API key missing");
    assert_eq!(status(&keys.bare()), Err(StatusCode::UNAUTHORIZED));
    assert_eq!(pair(&keys.bare()), Err((StatusCode::UNAUTHORIZED, "API key missing".to_owned())));
    assert_eq!(hidden(&keys.request()).unwrap().count(), 2);
    assert!(hidden(&keys.bare()).is_err());
}

#[tokio::test]
async fn functions_that_return_futures() {
    #[require_api_key(request = request, key = who)]
    fn boxed<'a>(request: &'a Request<()>) -> Pin<Box<dyn Future<Output = Result<String, Rejection>> + Send + 'a>> {
        Box::pin(async move { Ok(format!("{} {}", who.owner(), request.uri())) })
    }
    #[require_api_key(request = request)]
    fn local(request: &Request<()>) -> Pin<Box<dyn Future<Output = Result<u8, Rejection>>>> {
        Box::pin(async { Ok(1) })
    }
    #[require_api_key(request = token, store = store, key = who)]
    async fn across_an_await(store: &KeyStore, token: &str) -> Result<String, Rejection> {
        tokio::task::yield_now().await;
        Ok(who.owner().to_owned())
    }
    let keys = Keys::granting(&[]);
    assert_eq!(boxed(&keys.request()).await.unwrap(), "alice /");
    assert_eq!(boxed(&keys.bare()).await.unwrap_err().status(), 401);
    assert_eq!(local(&keys.request()).await.unwrap(), 1);
    assert!(local(&keys.bare()).await.is_err());
    // The future may go to another thread.
    let owner = tokio::spawn(async move { across_an_await(&keys.store, &keys.key).await.unwrap() }).await.unwrap();
    assert_eq!(owner, "alice");
}

#[test]
fn generics_and_lifetimes() {
    #[require_api_key(request = source, store = store, key = who)]
    fn longest<'a, 'b: 'a, S, const N: usize>(
        store: &KeyStore,
        source: S,
        left: &'a [u8; N],
        right: &'b str,
    ) -> Result<(&'a str, usize), Rejection>
    where
        S: apikey::KeySource + Clone,
    {
        let _ = (who, source.clone());
        Ok((right, left.len()))
    }
    let keys = Keys::granting(&[]);
    assert_eq!(longest(&keys.store, keys.key.as_str(), &[1, 2], "x").unwrap(), ("x", 2));
}

#[test]
fn inner_attributes_stay_first() {
    #[require_api_key(request = token, store = store)]
    fn with_attributes(store: &KeyStore, token: &str) -> Result<u8, Rejection> {
        #![allow(unused_variables, reason = "it must come before the first statement")]
        let unused = 1;
        Ok(2)
    }
    let keys = Keys::granting(&[]);
    assert_eq!(with_attributes(&keys.store, &keys.key).unwrap(), 2);
}
