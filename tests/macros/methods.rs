//! Methods: the guard reads the key from the first parameter, or from what the attribute names.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use apikey::{KeyStore, Rejection, require_api_key};
use http::{HeaderMap, Request, Response};
use tower::Service;

use crate::support::Keys;

struct Shop {
    keys: KeyStore,
    headers: HeaderMap,
}

impl Shop {
    fn with(keys: &Keys) -> Self {
        Self { keys: keys.store.clone(), headers: HeaderMap::new() }
    }

    #[require_api_key(perm = "a:b", key = who)]
    fn by_reference(&self, request: &Request<()>) -> Result<String, Rejection> {
        Ok(who.owner().to_owned())
    }

    #[require_api_key(perm = "a:b", store = self.keys, key = who)]
    fn exclusive(&mut self, headers: &HeaderMap) -> Result<String, Rejection> {
        self.headers = headers.clone();
        Ok(who.owner().to_owned())
    }

    #[require_api_key(perm = "a:b", key = who)]
    async fn by_value(self, request: Request<()>, n: u8) -> Result<String, Rejection> {
        Ok(format!("{}{n}", who.owner()))
    }

    #[require_api_key(perm = "a:b", request = self.headers, store = self.keys, key = who)]
    fn from_a_field(self: Arc<Self>) -> Result<String, Rejection> {
        Ok(who.owner().to_owned())
    }

    #[require_api_key(perm = "a:b", key = who)]
    fn pinned(self: Pin<&mut Self>, mut request: Request<()>) -> Result<String, Rejection> {
        request.headers_mut().clear();
        Ok(who.owner().to_owned())
    }

    #[require_api_key(perm = "a:b", request = headers, store = store)]
    fn without_receiver(store: &KeyStore, headers: &HeaderMap) -> Result<Self, Rejection> {
        Ok(Self { keys: store.clone(), headers: headers.clone() })
    }
}

#[tokio::test]
async fn every_receiver() {
    let keys = Keys::granting(&["a:b"]);
    let mut shop = Shop::with(&keys);
    assert_eq!(shop.by_reference(&keys.request()).unwrap(), "alice");
    assert_eq!(shop.by_reference(&keys.bare()).unwrap_err().status(), 401);
    assert_eq!(shop.exclusive(&keys.headers()).unwrap(), "alice");
    assert_eq!(Pin::new(&mut shop).pinned(keys.request()).unwrap(), "alice");
    assert_eq!(Arc::new(shop).from_a_field().unwrap(), "alice");
    assert_eq!(Shop::with(&keys).by_value(keys.request(), 3).await.unwrap(), "alice3");
    assert!(Shop::with(&keys).by_value(keys.bare(), 3).await.is_err());
    assert!(Arc::new(Shop::with(&keys)).from_a_field().is_err());
    assert!(Shop::without_receiver(&keys.store, &HeaderMap::new()).is_err());
    assert!(Shop::without_receiver(&keys.store, &keys.headers()).is_ok());
}

trait Reports {
    fn name(&self) -> &str;

    #[require_api_key(perm = "a:b")]
    fn by_default(&self, request: &Request<()>) -> Result<String, Rejection> {
        Ok(self.name().to_owned())
    }

    async fn in_trait(&self, request: Request<()>) -> Result<String, Rejection>;
}

impl Reports for u8 {
    fn name(&self) -> &str {
        "eight"
    }

    #[require_api_key(perm = "a:b", key = who)]
    async fn in_trait(&self, request: Request<()>) -> Result<String, Rejection> {
        Ok(format!("{} {}", self.name(), who.owner()))
    }
}

#[tokio::test]
async fn methods_of_traits() {
    let keys = Keys::granting(&["a:b"]);
    assert_eq!(0_u8.by_default(&keys.request()).unwrap(), "eight");
    assert!(0_u8.by_default(&keys.bare()).is_err());
    assert_eq!(0_u8.in_trait(keys.request()).await.unwrap(), "eight alice");
    assert!(0_u8.in_trait(keys.bare()).await.is_err());
}

#[async_trait::async_trait]
trait Boxed {
    async fn call(&self, request: &Request<()>, n: &u8) -> Result<String, Rejection>;

    #[require_api_key(perm = "a:b", key = who, on_reject = |rejection| u32::from(rejection.status()))]
    async fn count(&self, request: &Request<()>) -> u32 {
        tokio::task::yield_now().await;
        who.owner().len().try_into().unwrap()
    }
}

#[async_trait::async_trait]
impl Boxed for Shop {
    #[require_api_key(perm = "a:b", store = self.keys, key = who)]
    async fn call(&self, request: &Request<()>, n: &u8) -> Result<String, Rejection> {
        tokio::task::yield_now().await;
        Ok(format!("{} {n} {}", who.owner(), request.uri()))
    }
}

#[async_trait::async_trait(?Send)]
trait Local {
    #[require_api_key(on_reject = |rejection| std::rc::Rc::new(rejection.status()))]
    async fn local(&self, request: &Request<()>) -> std::rc::Rc<u16> {
        std::rc::Rc::new(200)
    }

    #[require_api_key]
    async fn result(&self, request: &Request<()>) -> Result<std::rc::Rc<u16>, Rejection> {
        Ok(std::rc::Rc::new(200))
    }
}

impl Local for u8 {}

#[tokio::test]
async fn async_trait_methods() {
    let keys = Keys::granting(&["a:b"]);
    let shop: Box<dyn Boxed + Send + Sync> = Box::new(Shop::with(&keys));
    assert_eq!(shop.call(&keys.request(), &1).await.unwrap(), "alice 1 /");
    assert_eq!(shop.call(&keys.bare(), &1).await.unwrap_err().status(), 401);
    assert_eq!(shop.count(&keys.request()).await, 5);
    assert_eq!(shop.count(&keys.bare()).await, 401);
    assert_eq!(*0_u8.local(&keys.request()).await, 200);
    assert_eq!(*0_u8.local(&keys.bare()).await, 401);
    assert_eq!(*0_u8.result(&keys.request()).await.unwrap(), 200);
    assert!(0_u8.result(&keys.bare()).await.is_err());
}

#[derive(Clone)]
struct Greeter;

impl Service<Request<()>> for Greeter {
    type Response = Response<String>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    #[require_api_key(perm = "a:b", key = who)]
    fn call(&mut self, request: Request<()>) -> Self::Future {
        let greeting = format!("hello {}", who.owner());
        Box::pin(async { Ok(Response::new(greeting)) })
    }
}

#[tokio::test]
async fn the_call_of_a_service() {
    let keys = Keys::granting(&["a:b"]);
    let Ok(response) = Greeter.call(keys.request()).await;
    assert_eq!(response.body(), "hello alice");
    let Ok(response) = Greeter.call(keys.bare()).await;
    assert_eq!(response.status(), 401);
}
