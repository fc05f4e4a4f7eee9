//! Callers rotate or revoke their own keys.

use apikey::self_service::{self, REASON, Refused, SelfService};
use apikey::{
    ApiKeyLayer, CreatedKey, EventFilter, KeyFilter, KeyStore, KeyUpdate, NewKey, Overlap, PlainResponse, Requirement,
};
use apikey_testkit::{Answer, Call};
use axum::Router;
use chrono::{DateTime, TimeDelta};

use crate::app::{Service, now, routes};
use crate::wire::Send as _;

fn app(service: &Service) -> Router {
    mounted(service, SelfService::new(service.store.clone()))
}

fn mounted(service: &Service, own: SelfService) -> Router {
    routes().nest_service("/key", own).layer(ApiKeyLayer::supply(service.store.clone()))
}

async fn rotate(app: &Router, token: &str, once: Option<&str>) -> Answer {
    let mut call = Call::post("/key/rotate", "").key(token);
    if let Some(once) = once {
        call = call.header("idempotency-key", once);
    }
    call.send_wired(app.clone()).await
}

fn json(answer: &Answer) -> serde_json::Value {
    serde_json::from_str(&answer.body).unwrap()
}

fn new_token(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.body);
    json(answer)["key"].as_str().unwrap().to_owned()
}

async fn status(app: &Router, token: &str) -> u16 {
    Call::get("/whoami").key(token).send_wired(app.clone()).await.status
}

fn token(created: &CreatedKey) -> &str {
    created.key.expose_secret()
}

#[tokio::test]
async fn a_caller_rotates_its_own_key() {
    let service = Service::new();
    let app = app(&service);
    let old = service.create(NewKey::for_owner("alice").permissions(["orders:read"]));
    let answer = rotate(&app, token(&old), None).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("vary"), Some("X-API-Key"));
    let new = new_token(&answer);
    let expected = serde_json::json!({
        "id": old.info.id().to_string(), "key": new, "version": 2, "superseded_until": null,
    });
    assert_eq!(json(&answer), expected);
    // Both are good until the new one is used.
    assert_eq!(status(&app, token(&old)).await, 200);
    assert_eq!(status(&app, &new).await, 200);
    assert_eq!(status(&app, token(&old)).await, 401);
    let actor = format!("key:{}", old.info.id());
    let events = service.store.events(&EventFilter::default().actor(actor)).unwrap().events;
    assert_eq!(events.iter().map(|event| event.kind().name()).collect::<Vec<_>>(), ["rotated"]);
}

#[tokio::test]
async fn a_lost_answer_locks_nobody_out_and_gives_one_key() {
    let service = Service::new();
    let app = app(&service);
    let old = service.create(NewKey::for_owner("alice"));
    for once in [None, Some("may-2031")] {
        let lost = new_token(&rotate(&app, token(&old), once).await);
        let again = new_token(&rotate(&app, token(&old), once).await);
        assert_eq!(status(&app, &lost).await, 401);
        // With the old secret, which is still good, until the new one is used.
        assert_eq!(status(&app, token(&old)).await, 200);
        assert_ne!(lost, again);
    }
    let new = new_token(&rotate(&app, token(&old), Some("may-2031")).await);
    assert_eq!(status(&app, &new).await, 200);
    // The secret has arrived, and the caller repeats the request with it.
    let repeated = rotate(&app, &new, Some("may-2031")).await;
    assert_eq!((repeated.status, repeated.code().as_str()), (409, "already_made"));
    assert_eq!(repeated.header("content-type"), Some("application/problem+json"));
    assert_eq!(status(&app, &new).await, 200);
    // Another caller may choose the same idempotency key.
    let other = service.create(NewKey::for_owner("bob"));
    new_token(&rotate(&app, token(&other), Some("may-2031")).await);
    assert_eq!(service.store.list(&KeyFilter::default()).unwrap().keys.len(), 2);
}

#[tokio::test]
async fn a_secret_with_an_end_cannot_outlive_it() {
    let service = Service::new();
    let app = mounted(&service, SelfService::new(service.store.clone()).overlap(Overlap::For(TimeDelta::hours(1))));
    let old = service.create(NewKey::for_owner("alice"));
    let answer = rotate(&app, token(&old), Some("mine")).await;
    let until = json(&answer)["superseded_until"].as_str().unwrap().parse::<DateTime<chrono::Utc>>().unwrap();
    assert_eq!(until, now() + TimeDelta::hours(1));
    // It may repeat its own request, since the answer may be lost, but make no other.
    let again = new_token(&rotate(&app, token(&old), Some("mine")).await);
    for once in [None, Some("another")] {
        let refused = rotate(&app, token(&old), once).await;
        assert_eq!((refused.status, refused.code().as_str()), (409, "being_rotated"));
    }
    assert_eq!(status(&app, &again).await, 200);
    // An administrator has rotated the key: a caller with the old secret cannot replace the new one.
    let admin = service.store.rotate(old.info.id(), Overlap::None).unwrap();
    let next = service.store.rotate(old.info.id(), Overlap::For(TimeDelta::hours(1))).unwrap();
    assert_eq!(rotate(&app, token(&admin), None).await.status, 409);
    assert_eq!(status(&app, token(&next)).await, 200);
}

#[tokio::test]
async fn a_caller_without_a_good_key_rotates_nothing() {
    let service = Service::new();
    let app = app(&service);
    let disabled = service.create(NewKey::for_owner("alice"));
    service.store.update(disabled.info.id(), KeyUpdate::new().disabled(true)).unwrap();
    let revoked = service.create(NewKey::for_owner("alice"));
    service.store.revoke(revoked.info.id(), "").unwrap();
    assert_eq!(rotate(&app, token(&disabled), None).await.code(), "disabled_api_key");
    assert_eq!(rotate(&app, token(&revoked), None).await.code(), "revoked_api_key");
    assert_eq!(rotate(&app, "ak_nothing", None).await.code(), "invalid_api_key");
    let missing = Call::post("/key/rotate", "").send_both(&app).await;
    assert_eq!((missing.status, missing.code().as_str()), (401, "missing_api_key"));
    assert!(missing.header("www-authenticate").is_some());
    let before = service.store.health().last_durable;
    let good = service.create(NewKey::for_owner("alice"));
    for once in ["", &"k".repeat(129), "tab\there"] {
        let refused = rotate(&app, token(&good), Some(once)).await;
        assert_eq!((refused.status, refused.code().as_str()), (422, "invalid_field"), "{once:?}");
    }
    let twice = Call::post("/key/rotate", "").key(token(&good)).header("idempotency-key", "a");
    assert_eq!(twice.header("idempotency-key", "a").send_both(&app).await.status, 422);
    assert_eq!(service.store.health().last_durable, before + 1);
}

#[tokio::test]
async fn rotating_widens_nothing() {
    let service = Service::new();
    let app = app(&service);
    let admin = service.create(NewKey::for_owner("alice").permissions(["orders:*"]));
    let actor = service.store.verify(token(&admin)).unwrap();
    let capped = service.create(NewKey::for_owner("alice").permissions(["orders:read"]).within(&actor));
    let new = new_token(&rotate(&app, token(&capped), None).await);
    let key = service.store.verify(&new).unwrap();
    assert_eq!(key.permissions().collect::<Vec<_>>(), ["orders:read"]);
    assert_eq!(service.store.get(key.id()).unwrap().unwrap().expires_at(), capped.info.expires_at());
}

#[tokio::test]
async fn a_caller_with_any_token_can_revoke_its_key() {
    let service = Service::new();
    let app = app(&service);
    let end = async |call: Call| call.send_wired(app.clone()).await;
    let delete = |token: &str| Call::delete("/key").key(token);
    // Good, superseded, disabled, expired, and already revoked.
    let good = service.create(NewKey::for_owner("alice"));
    let rotated = service.create(NewKey::for_owner("alice"));
    service.store.rotate(rotated.info.id(), Overlap::UntilFirstUse).unwrap();
    let disabled = service.create(NewKey::for_owner("alice"));
    service.store.update(disabled.info.id(), KeyUpdate::new().disabled(true)).unwrap();
    let expired = service.create(NewKey::for_owner("alice").expires_in(TimeDelta::milliseconds(1)));
    service.clock.advance(TimeDelta::seconds(1));
    for created in [&good, &rotated, &disabled, &expired, &good] {
        let answer = end(delete(token(created))).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let key = service.store.get(created.info.id()).unwrap().unwrap();
        assert_eq!(key.revoked().unwrap().reason(), REASON);
        assert_eq!(service.store.verify(token(created)).unwrap_err().code(), "revoked_api_key");
    }
    let actor = format!("key:{}", good.info.id());
    assert_eq!(service.store.events(&EventFilter::default().actor(actor)).unwrap().events.len(), 1);
    let posted = service.create(NewKey::for_owner("alice"));
    assert_eq!(end(Call::post("/key/revoke", "").key(token(&posted))).await.status, 204);
    // An ended secret belongs to no key.
    let old = service.create(NewKey::for_owner("alice"));
    let new = service.store.rotate(old.info.id(), Overlap::For(TimeDelta::hours(1))).unwrap();
    service.clock.advance(TimeDelta::hours(2));
    assert_eq!(end(delete(token(&old))).await.code(), "invalid_api_key");
    assert_eq!(end(delete("ak_nothing")).await.code(), "invalid_api_key");
    assert_eq!(end(Call::delete("/key")).await.code(), "missing_api_key");
    assert!(service.store.verify(token(&new)).is_ok());
    service.store.close().unwrap();
    assert_eq!(end(delete(token(&new))).await.code(), "unavailable");
}

#[tokio::test]
async fn other_requests_do_nothing() {
    let service = Service::new();
    let app = app(&service);
    let created = service.create(NewKey::for_owner("alice"));
    let call = |call: Call| call.key(token(&created));
    for (request, status, allow) in [
        (Call::get("/key"), 405, Some("DELETE")),
        (Call::get("/key/rotate"), 405, Some("POST")),
        (Call::delete("/key/rotate"), 405, Some("POST")),
        (Call::post("/key/other", ""), 404, None),
    ] {
        let answer = call(request).send_both(&app).await;
        assert_eq!((answer.status, answer.header("allow")), (status, allow));
    }
    assert_eq!(service.store.health().last_durable, 1);
}

/// A layer around it may require more; the service uses the key that the layer verified.
#[tokio::test]
async fn a_layer_around_it_may_require_a_permission() {
    let service = Service::new();
    let needed = Requirement::permission("keys:rotate").unwrap();
    let app = Router::new()
        .nest_service("/key", SelfService::new(service.store.clone()))
        .layer(ApiKeyLayer::require(service.store.clone(), needed));
    let [may, may_not] = [&["keys:rotate"][..], &[]]
        .map(|permissions| service.create(NewKey::for_owner("alice").permissions(permissions)));
    assert_eq!(rotate(&app, token(&may_not), None).await.status, 403);
    new_token(&rotate(&app, token(&may), None).await);
}

#[tokio::test]
async fn concurrent_callers_each_get_their_own_secret() {
    let service = Service::new();
    let app = app(&service);
    let keys: Vec<_> = (0..20).map(|_| service.create(NewKey::for_owner("alice"))).collect();
    let calls = keys.iter().map(|key| {
        let (app, token) = (app.clone(), token(key).to_owned());
        tokio::spawn(async move { rotate(&app, &token, Some("once")).await })
    });
    for (call, key) in calls.collect::<Vec<_>>().into_iter().zip(&keys) {
        let answer = call.await.unwrap();
        assert_eq!(json(&answer)["id"], key.info.id().to_string());
        assert!(service.store.verify(&new_token(&answer)).is_ok());
    }
}

#[test]
fn the_plain_functions_answer_the_same() {
    let store = KeyStore::temporary().unwrap();
    let old = store.create(NewKey::for_owner("alice")).unwrap();
    let rotated = self_service::rotate(&store, &token(&old), Overlap::UntilFirstUse, Some("once")).unwrap();
    assert_eq!(rotated.superseded_until, None);
    let new = token(&rotated.created).to_owned();
    let answer = PlainResponse::from(rotated);
    assert!(answer.body.contains(&new) && !format!("{answer:?}").contains(&new));
    store.verify(&new).unwrap();
    let repeated = self_service::rotate(&store, &new.as_str(), Overlap::UntilFirstUse, Some("once")).unwrap_err();
    assert!(matches!(repeated, Refused::Store(_)));
    assert_eq!(PlainResponse::from(repeated).status, 409);
    assert_eq!(self_service::revoke(&store, &new.as_str()).unwrap(), old.info.id());
    let refused = self_service::rotate(&store, &new.as_str(), Overlap::None, None).unwrap_err();
    assert_eq!(PlainResponse::from(refused).status, 401);
    assert_eq!(PlainResponse::from(self_service::revoke(&store, &None::<&str>)).status, 401);
}

#[tokio::test]
async fn a_caller_gets_no_more_guesses_through_revocation() {
    let clock = apikey::ManualClock::new(now());
    let store = KeyStore::builder().clock(clock).failed_attempts(1, TimeDelta::hours(1)).temporary().unwrap();
    let key = store.create(NewKey::for_owner("alice")).unwrap();
    let app = |host: u8| {
        let peer = std::net::SocketAddr::from(([192, 0, 2, host], 4711));
        let own = Router::new().nest_service("/key", SelfService::new(store.clone()));
        own.layer(axum::extract::connect_info::MockConnectInfo(peer))
    };
    let revoke = |token: &str, host| {
        let call = Call::delete("/key").key(token);
        let app = app(host);
        async move { call.send_direct(app).await }
    };
    assert_eq!(revoke("a guess", 1).await.status, 401);
    let refused = revoke("another guess", 1).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("3600")));
    // To find it good the store would have to verify it.
    assert_eq!(revoke(token(&key), 1).await.status, 429);
    assert!(store.verify(token(&key)).is_ok());
    assert_eq!(revoke(token(&key), 2).await.status, 204);
    // The event names the key, and the address that presented it.
    let event = store.events(&EventFilter::default().actor(key.info.id())).unwrap().events.remove(0);
    assert_eq!(event.peer(), Some([192, 0, 2, 2].into()));
}
