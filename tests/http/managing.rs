//! The routes of the README's "Managing keys over HTTP", and the cap on their callers.

use apikey::{CreatedKey, KeyFilter, KeyUpdate, NewKey, Overlap};
use apikey_testkit::Call;
use axum::Router;
use chrono::TimeDelta;

use crate::app::Service;
use crate::wire::Send as _;

/// The README's code, word for word.
mod readme {
    include!("managing_routes.rs");

    pub(super) fn app(store: KeyStore) -> Router {
        router(store)
    }
}

#[test]
fn the_routes_are_those_of_the_readme() {
    assert!(include_str!("../../README.md").contains(include_str!("managing_routes.rs")));
}

struct Managed {
    service: Service,
    app: Router,
}

impl Managed {
    fn new() -> Self {
        let service = Service::new();
        let app = readme::app(service.store.clone());
        Self { service, app }
    }

    fn key(&self, owner: &str, grants: &[&str]) -> CreatedKey {
        self.service.create(NewKey::for_owner(owner).permissions(grants))
    }

    /// The status and the body of the answer over a socket.
    async fn send(&self, call: Call, key: Option<&CreatedKey>) -> (u16, String) {
        let call = match key {
            Some(key) => call.key(key.key.expose_secret()),
            None => call,
        };
        let answer = call.send_wired(self.app.clone()).await;
        (answer.status, answer.body)
    }
}

fn rotate(of: &CreatedKey) -> Call {
    Call::post(format!("/keys/{}/rotate", of.info.id()), "")
}

fn revoke(of: &CreatedKey) -> Call {
    Call::delete(format!("/keys/{}", of.info.id()))
}

#[tokio::test]
async fn a_caller_that_may_manage_keys_does_not_become_another_owner() {
    let managed = Managed::new();
    let victim = managed.key("victim", &["orders:read"]);
    let evil = managed.key("evil", &["orders:read", "keys:manage"]);
    let unable = managed.key("evil", &["orders:read"]);
    for call in [|key: &CreatedKey| rotate(key), revoke] {
        assert_eq!(managed.send(call(&victim), None).await.0, 401);
        assert_eq!(managed.send(call(&victim), Some(&unable)).await.0, 403);
        let (status, body) = managed.send(call(&victim), Some(&evil)).await;
        assert_eq!(status, 403, "{body}");
        assert!(body.contains("belongs to another owner") && !body.contains("ak_"), "{body}");
    }
    assert_eq!(managed.send(Call::post("/keys", "victim"), Some(&evil)).await.0, 403);
    let listed = managed.send(Call::get("/keys"), Some(&evil)).await;
    assert_eq!((listed.0, listed.1.lines().count()), (200, 2));
    assert!(!listed.1.contains(&victim.info.id().to_string()), "{}", listed.1);

    let unchanged = managed.service.store.list(&KeyFilter::owner("victim")).unwrap().keys;
    assert_eq!(unchanged, std::slice::from_ref(&victim.info));
    assert!(managed.service.store.verify(victim.key.expose_secret()).is_ok());

    // It may manage its own keys, and the key of the README's administrator those of others.
    let (status, token) = managed.send(rotate(&unable), Some(&evil)).await;
    assert_eq!((status, managed.service.store.verify(&token).unwrap().owner()), (200, "evil"));
    let admin = managed.key("alice", &["orders:*", "keys:*"]);
    assert_eq!(managed.send(Call::post("/keys", "victim"), Some(&admin)).await.0, 200);
    assert_eq!(managed.send(revoke(&victim), Some(&admin)).await.0, 200);
    assert_eq!(managed.send(revoke(&victim), Some(&admin)).await.0, 200);
}

#[tokio::test]
async fn no_route_creates_a_key_that_outlives_or_exceeds_its_creator() {
    let managed = Managed::new();
    let evil = managed
        .service
        .create(NewKey::for_owner("evil").permissions(["orders:read", "keys:manage"]).expires_in(TimeDelta::hours(1)));
    let (status, token) = managed.send(Call::post("/keys", "evil"), Some(&evil)).await;
    assert_eq!(status, 200, "{token}");
    let made = managed.service.store.verify(&token).unwrap().id();
    let made = managed.service.store.get(made).unwrap().unwrap();
    assert_eq!(made.expires_at(), evil.info.expires_at());
    let stronger = managed.key("evil", &["orders:*"]);
    let longer = managed.key("evil", &["orders:read"]);
    assert_eq!(managed.send(rotate(&stronger), Some(&evil)).await.0, 403);
    assert_eq!(managed.send(rotate(&longer), Some(&evil)).await.0, 403);
    // A superseded secret gets no successor.
    let new = managed.service.store.rotate(evil.info.id(), Overlap::For(TimeDelta::minutes(30))).unwrap();
    assert_eq!(managed.send(rotate(&evil), Some(&evil)).await.0, 409);
    assert!(managed.service.store.verify(new.key.expose_secret()).is_ok());
    // The store checks the caller as it is at the change.
    managed.service.store.update(evil.info.id(), KeyUpdate::new().permissions(["keys:manage"])).unwrap();
    assert_eq!(managed.send(Call::post("/keys", "evil"), Some(&evil)).await.0, 403);
}
