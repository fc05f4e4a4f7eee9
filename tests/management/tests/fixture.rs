//! A store with its API, and requests to it without a server.

use apikey::management::{AnswerFuture, Management, handle};
use apikey::{CreatedKey, KeyStore, NewKey};
use apikey_testkit::{Answer, Call, block_on};

/// A store, and the API for its keys.
pub(crate) struct Api {
    pub(crate) store: KeyStore,
    pub(crate) management: Management,
}

impl Api {
    pub(crate) fn of(store: KeyStore) -> Self {
        let management = Management::new(store.clone()).offer(["orders:read", "orders:write", "stock:read"]);
        Self { store, management }
    }

    pub(crate) fn new() -> Self {
        Self::of(KeyStore::temporary().unwrap())
    }

    /// A key of this owner with these grants.
    pub(crate) fn key(&self, owner: &str, grants: &[&str]) -> CreatedKey {
        self.store.create(NewKey::for_owner(owner).permissions(grants)).unwrap()
    }

    /// Sends a request, and does not wait for its answer.
    pub(crate) fn begin(&self, call: &Call) -> AnswerFuture {
        let mut request = http::Request::builder().method(call.method()).uri(call.path());
        for (name, value) in call.headers() {
            request = request.header(name, value);
        }
        handle(&self.management, request.body(call.body().as_bytes().to_vec()).unwrap())
    }

    /// Waits for the answer to a request.
    pub(crate) fn end(&self, answer: AnswerFuture) -> Answer {
        let (head, body) = block_on(answer).into_parts();
        let headers = head.headers.iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        Answer::new(head.status.as_u16(), headers, body)
    }

    /// Sends a request.
    pub(crate) fn send(&self, call: &Call) -> Answer {
        self.end(self.begin(call))
    }

    /// Sends a request with a key.
    pub(crate) fn ask(&self, key: &CreatedKey, call: Call) -> Answer {
        self.send(&call.key(key.key.expose_secret()))
    }
}
