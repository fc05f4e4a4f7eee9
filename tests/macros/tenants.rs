//! `tenant = ..`: keys of one tenant pass, and a key of another learns nothing.

use apikey::{
    ApiKeyLayer, AuthError, KeyStore, NewKey, NoTenant, Overlap, Rejection, RequireApiKey, Requirement, VerifiedKey,
    perm, require_api_key,
};
use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get as on_get;
use http::StatusCode;
use http::request::Parts;
use http_body_util::BodyExt;

use crate::support::{get, respond};

struct Tenants {
    store: KeyStore,
    /// A key of alice's in acme, apex and no tenant, each with `orders:read`.
    keys: [String; 3],
}

fn tenants() -> Tenants {
    let store = KeyStore::temporary().unwrap();
    let new = || NewKey::for_owner("alice").permissions(["orders:read"]).limit(1000, chrono::TimeDelta::hours(1));
    let [acme, apex] = ["acme", "apex"].map(|name| store.tenant(name).unwrap().create(new()).unwrap());
    let none = store.create(new()).unwrap();
    let keys = [acme, apex, none].map(|created| created.key.expose_secret().to_owned());
    Tenants { store, keys }
}

/// What a function answers, with each of the three keys.
fn answers(keys: &[String; 3], ask: impl Fn(&str) -> Result<(), Rejection>) -> [u16; 3] {
    keys.each_ref().map(|key| ask(key).map_or_else(|rejection| rejection.status(), |()| 200))
}

#[test]
fn a_function_admits_keys_of_one_tenant() {
    #[require_api_key(request = token, store = store, tenant = tenant)]
    fn by_value(store: &KeyStore, token: &str, tenant: String) -> Result<String, Rejection> {
        Ok(tenant) // only borrowed by the check
    }
    #[require_api_key(request = token, store = store, tenant = tenant)]
    fn by_reference(store: &KeyStore, token: &str, tenant: &str) -> Result<(), Rejection> {
        Ok(())
    }
    #[require_api_key(request = token, store = store, tenant = "acme", key = who)]
    fn literal(store: &KeyStore, token: &str) -> Result<(), Rejection> {
        assert_eq!((who.owner(), who.tenant()), ("alice", Some("acme")));
        Ok(())
    }
    #[require_api_key(request = token, store = store, tenant = path.split('/').nth(1).unwrap_or_default())]
    fn expression(store: &KeyStore, token: &str, path: &str) -> Result<(), Rejection> {
        Ok(())
    }
    #[require_api_key(request = token, store = store, tenant = none)]
    fn of_none(store: &KeyStore, token: &str) -> Result<(), Rejection> {
        Ok(())
    }
    let Tenants { store, keys } = tenants();
    for (tenant, expected) in [
        ("acme", [200, 404, 404]),
        ("apex", [404, 200, 404]),
        ("ACME", [404; 3]),
        ("", [404; 3]),
        ("acme\u{1}", [404; 3]),
        ("none", [404; 3]),
    ] {
        assert_eq!(answers(&keys, |key| by_value(&store, key, tenant.into()).map(drop)), expected, "{tenant:?}");
        assert_eq!(answers(&keys, |key| by_reference(&store, key, tenant)), expected, "{tenant:?}");
    }
    assert_eq!(answers(&keys, |key| literal(&store, key)), [200, 404, 404]);
    assert_eq!(answers(&keys, |key| expression(&store, key, "/apex/orders")), [404, 200, 404]);
    assert_eq!(answers(&keys, |key| expression(&store, key, "/")), [404; 3]);
    assert_eq!(answers(&keys, |key| of_none(&store, key)), [404, 404, 200]);
    assert_eq!(literal(&store, "ak_nonsense").unwrap_err().status(), 401);
}

#[test]
fn the_tenant_is_checked_before_the_permission() {
    #[require_api_key(perm = "admin", request = token, store = store, tenant = "acme")]
    fn admin(store: &KeyStore, token: &str) -> Result<(), Rejection> {
        Ok(())
    }
    #[require_api_key(perm = "admin", request = token, store = store, tenant = none)]
    fn of_none(store: &KeyStore, token: &str) -> Result<(), Rejection> {
        Ok(())
    }
    let Tenants { store, keys } = tenants();
    assert_eq!(answers(&keys, |key| admin(&store, key)), [403, 404, 404]);
    assert_eq!(answers(&keys, |key| of_none(&store, key)), [404, 404, 403]);
    let star = store.create(NewKey::for_owner("root").permissions(["*"])).unwrap();
    assert_eq!(admin(&store, star.key.expose_secret()).unwrap_err().error(), &AuthError::NotFound);
}

#[require_api_key(perm = "orders:read", request = parts, tenant = tenant, key = who)]
async fn order(Path((tenant, number)): Path<(String, u32)>, parts: Parts) -> Result<String, Rejection> {
    match number {
        1 => Ok(format!("order 1 of {tenant}, for {}", who.owner())),
        _ => Err(Rejection::not_found()),
    }
}

#[require_api_key(perm = "orders:read", tenant = none)]
async fn orders_of_all(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

async fn without_attribute(key: RequireApiKey<NoTenant<perm!("orders:read")>>) -> String {
    key.owner().to_owned()
}

#[tokio::test]
async fn a_handler_admits_keys_of_no_tenant() {
    let Tenants { store, keys } = tenants();
    let routes =
        Router::new().route("/all", on_get(orders_of_all)).route("/without-attribute", on_get(without_attribute));
    let supplied = routes.clone().layer(ApiKeyLayer::supply(store.clone()));
    // A layer further out has verified the key.
    let guarded = routes.layer(ApiKeyLayer::require(store.clone(), Requirement::authenticated()));
    for router in [supplied, guarded] {
        for path in ["/all", "/without-attribute"] {
            for (key, status) in keys.iter().zip([404, 404, 200]) {
                assert_eq!(get(&router, path, Some(key)).await.0.as_u16(), status, "{path}");
            }
            assert_eq!(get(&router, path, None).await.0, StatusCode::UNAUTHORIZED);
        }
    }
}

/// All of a response, as one text; what is left of the rate limit is a number that each request changes.
async fn bytes(response: Response) -> String {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut fields: Vec<String> = parts
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap().split(";r=").next().unwrap()))
        .collect();
    fields.sort();
    format!("{} {fields:?} {}", parts.status, String::from_utf8(body.into()).unwrap())
}

#[tokio::test]
async fn a_thing_of_another_tenant_has_the_answer_of_an_unknown_one() {
    let Tenants { store, keys } = tenants();
    // A superseded secret and a limit put headers on every answer to a valid key.
    let id = store.verify(&keys[0]).unwrap().id();
    store.rotate(id, Overlap::For(chrono::TimeDelta::hours(1))).unwrap();
    let routes = Router::new().route("/{tenant}/orders/{number}", on_get(order));
    for router in [
        routes.clone().layer(ApiKeyLayer::supply(store.clone())),
        routes.layer(ApiKeyLayer::require(store.clone(), Requirement::authenticated())),
    ] {
        let ask = async |path: &str| bytes(respond(&router, path, Some(&keys[0])).await).await;
        assert!(ask("/acme/orders/1").await.starts_with("200 OK"), "{}", ask("/acme/orders/1").await);
        let unknown = ask("/acme/orders/2").await;
        assert!(unknown.starts_with("404 Not Found"), "{unknown}");
        for present in ["x-api-key-superseded", "ratelimit: ", "ratelimit-policy: ", "\"code\":\"not_found\""] {
            assert!(unknown.contains(present), "{present} in {unknown}");
        }
        assert!(!unknown.contains("www-authenticate"), "{unknown}");
        for path in ["/apex/orders/1", "/apex/orders/2", "/nobody/orders/1", "/ACME/orders/1", "/%61pex/orders/1"] {
            assert_eq!(ask(path).await, unknown, "{path}");
        }
    }
}

#[tokio::test]
async fn with_a_renderer_both_are_rendered() {
    let store = KeyStore::builder()
        .render(|error, mut refusal| {
            refusal.body = format!("<{}>", error.code());
            refusal
        })
        .temporary()
        .unwrap();
    #[require_api_key(request = parts, tenant = tenant)]
    async fn one(Path(tenant): Path<String>, parts: Parts) -> Result<String, Rejection> {
        let store = parts.extensions.get::<KeyStore>().unwrap();
        Err(Rejection::of(store, AuthError::NotFound))
    }
    let key = store.tenant("acme").unwrap().create(NewKey::for_owner("alice")).unwrap().key;
    let router = Router::new()
        .route("/{tenant}", on_get(one))
        .layer(axum::Extension(store.clone()))
        .layer(ApiKeyLayer::supply(store));
    let ask = async |path: &str| bytes(respond(&router, path, Some(key.expose_secret())).await).await;
    assert!(ask("/acme").await.ends_with("<not_found>"), "{}", ask("/acme").await);
    assert_eq!(ask("/apex").await, ask("/acme").await);
}

#[test]
fn a_refusal_counts_once_and_names_the_key() {
    #[require_api_key(perm = "orders:read", request = token, store = store, tenant = tenant)]
    fn read(store: &KeyStore, token: &str, tenant: &str) -> Result<(), Rejection> {
        Ok(())
    }
    let Tenants { store, keys } = tenants();
    let id = store.verify(&keys[0]).unwrap().id();
    let count = || store.refusals_of(id).get("not_found").copied().unwrap_or_default();
    assert!(read(&store, &keys[0], "acme").is_ok());
    assert_eq!(count(), 0);
    assert!(read(&store, &keys[0], "apex").is_err());
    assert_eq!(count(), 1);
}
