//! What a request costs: of the guards that it passes, the largest cost counts, however the layers around them nest.

use apikey::{
    ApiKeyLayer, Cost, CreatedKey, ImportScheme, Imported, KeyStore, NewKey, OptionalApiKey, Quota, Rejection,
    RequireApiKey, Requirement, perm, require_api_key,
};
use axum::Router;
use axum::body::Body;
use axum::middleware::{Next, from_fn_with_state};
use axum::routing::{MethodRouter, get as on_get};
use http::Request;

use crate::support::get;

#[require_api_key(cost = 5)]
async fn five() {}

#[require_api_key]
async fn one() {}

type Three = RequireApiKey<Cost<perm!("orders:read"), 3>>;

/// Guards of types beside the attribute, which costs more.
#[require_api_key(cost = 5)]
async fn many(_: Three, _: RequireApiKey, _: OptionalApiKey) {}

/// The guard in the signature takes three, and that in the body five.
async fn in_both(_: Three, request: Request<Body>) -> Result<(), Rejection> {
    #[require_api_key(request = request, cost = 5)]
    fn body(request: Request<Body>) -> Result<(), Rejection> {
        Ok(())
    }
    body(request)
}

/// Passes whether or not the first guard lets it; what that one took and gave back, the second takes.
async fn either(dear: Result<RequireApiKey<Cost<perm!("orders:read"), 50>>, Rejection>, _: RequireApiKey) -> String {
    dear.map_or_else(|refusal| refusal.error().code().to_owned(), |_| "passed".to_owned())
}

struct Fixture {
    store: KeyStore,
    key: CreatedKey,
}

impl Fixture {
    fn new(quota: Quota) -> Self {
        let store = KeyStore::temporary().unwrap();
        let key = store.create(NewKey::for_owner("alice").permissions(["orders:read"]).quota(quota)).unwrap();
        Self { store, key }
    }

    fn require(&self) -> ApiKeyLayer<apikey::Require> {
        ApiKeyLayer::require(self.store.clone(), Requirement::authenticated())
    }

    fn used(&self) -> u64 {
        self.store.quota_status_of(self.key.info.id()).unwrap().unwrap().used()
    }

    async fn status(&self, router: &Router) -> u16 {
        get(router, "/", Some(self.key.key.expose_secret())).await.0.as_u16()
    }
}

fn route(handler: MethodRouter) -> Router {
    Router::new().route("/", handler)
}

#[tokio::test]
async fn the_largest_cost_counts_however_the_layers_nest() {
    let of = Fixture::new(Quota::per_day(1000));
    let supply = || ApiKeyLayer::supply(of.store.clone());
    let open = || on_get(async || ());
    let table: Vec<(&str, Router, u64)> = vec![
        ("attribute", route(on_get(one)).layer(supply()), 1),
        ("attribute with a cost", route(on_get(five)).layer(supply()), 5),
        ("layer", route(open()).layer(of.require()), 1),
        ("layer with a cost", route(open()).layer(of.require().cost(7)), 7),
        ("layer, attribute", route(on_get(one)).layer(of.require()), 1),
        ("layer, attribute with a cost", route(on_get(five)).layer(of.require()), 5),
        ("layer with a cost, attribute with one", route(on_get(five)).layer(of.require().cost(7)), 7),
        ("layers", route(on_get(one)).layer(of.require()).layer(of.require().cost(7)).layer(of.require()), 7),
        ("the innermost costs most", route(on_get(one)).layer(of.require().cost(7)).layer(of.require().cost(2)), 7),
        ("supply between", route(on_get(five)).layer(supply()).layer(of.require().cost(2)).layer(supply()), 5),
        ("guards of types", route(on_get(many)).layer(of.require()), 5),
        ("guards of types that each verify", route(on_get(many)).layer(supply()), 5),
        ("signature and body", route(on_get(in_both)).layer(of.require()), 5),
        ("signature and body that each verify", route(on_get(in_both)).layer(supply()), 5),
        ("bounds", route(open()).layer(of.require().cost(0)), 1),
    ];
    for (name, router, cost) in table {
        let before = of.used();
        assert_eq!(of.status(&router).await, 200, "{name}");
        assert_eq!(of.used() - before, cost, "{name}");
    }
}

#[tokio::test]
async fn the_last_uses_pass_and_what_is_refused_takes_nothing() {
    for layered in [false, true] {
        let of = Fixture::new(Quota::total(9));
        let wrap = |handler| match layered {
            true => route(handler).layer(of.require()),
            false => route(handler).layer(ApiKeyLayer::supply(of.store.clone())),
        };
        let (many, one) = (wrap(on_get(many)), wrap(on_get(one)));
        assert_eq!((of.status(&many).await, of.used()), (200, 5));
        for _ in 0..2 {
            assert_eq!((of.status(&many).await, of.used()), (403, 5), "{layered}");
        }
        assert_eq!((of.status(&one).await, of.used()), (200, 6), "{layered}");
        let either = wrap(on_get(either));
        assert_eq!(of.status(&either).await, 200);
        assert_eq!(of.used(), 7, "the second guard pays: {layered}");
    }
}

/// Each store has a quota of its own, and its charge.
#[tokio::test]
async fn the_charge_of_another_store_pays_nothing() {
    let new = || {
        let old = Imported::raw("legacy-7f3a9c1e5b2d4860");
        NewKey::for_owner("alice").imported(old, ImportScheme::Whole).quota(Quota::per_day(100))
    };
    let stores = [0; 2].map(|_| KeyStore::temporary().unwrap());
    let ids = stores.each_ref().map(|store| store.create(new()).unwrap().info.id());
    let [outer, inner] = &stores;
    let around = ApiKeyLayer::require(outer.clone(), Requirement::authenticated()).cost(50);
    let router = route(on_get(five)).layer(ApiKeyLayer::supply(inner.clone())).layer(around);
    assert_eq!(get(&router, "/", Some("legacy-7f3a9c1e5b2d4860")).await.0, 200);
    let used = |store: &KeyStore, id| store.quota_status_of(id).unwrap().unwrap().used();
    assert_eq!((used(outer, ids[0]), used(inner, ids[1])), (50, 5));
}

/// A middleware of the application verifies the key, and leaves it for the guards.
#[tokio::test]
async fn a_key_that_the_application_has_verified_has_paid_one() {
    let of = Fixture::new(Quota::per_day(100));
    let verify =
        async |axum::extract::State(store): axum::extract::State<KeyStore>, mut request: Request<Body>, next: Next| {
            let token = request.headers()["x-api-key"].to_str().unwrap().to_owned();
            request.extensions_mut().insert(store.verify(&token).unwrap());
            next.run(request).await
        };
    for (handler, cost) in [(on_get(one), 1), (on_get(five), 5), (on_get(many), 5)] {
        let before = of.used();
        let inside = route(handler).layer(from_fn_with_state(of.store.clone(), verify));
        assert_eq!(of.status(&inside.layer(ApiKeyLayer::supply(of.store.clone()))).await, 200);
        assert_eq!(of.used() - before, cost);
    }
}
