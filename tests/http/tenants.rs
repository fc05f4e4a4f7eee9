//! The routes of docs/guides/managing-keys.md in a service with tenants. They name no tenant: `within` keeps callers in theirs.

use apikey::self_service::SelfService;
use apikey::{CreatedKey, EventFilter, KeyFilter, KeyStore, NewKey, Role, Tenant};
use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// The code of the page, word for word.
mod guide {
    include!("managing_routes.rs");

    pub(super) fn app(store: KeyStore) -> Router {
        router(store)
    }
}

#[apikey::require_api_key]
async fn events(
    caller: apikey::VerifiedKey,
    store: axum::extract::State<KeyStore>,
) -> Result<Json<Value>, apikey::Problem> {
    Ok(Json(json!(store.events_within(&EventFilter::default().limit(1000), &caller)?)))
}

/// Whatever the others have is marked with this, so that no answer can have it unnoticed.
const MARK: &str = "of-the-others";

struct Service {
    store: KeyStore,
    app: Router,
    others: Vec<CreatedKey>,
    /// The tokens that callers of acme have come by.
    tokens: Vec<String>,
    /// Ids to try: their own, those of others, and those of nothing.
    ids: Vec<String>,
    random: u64,
}

impl Service {
    fn new(seed: u64) -> Self {
        let store = KeyStore::temporary().unwrap();
        store.put_role(Role::new("reader").permissions(["orders:read"])).unwrap();
        store.put_role(Role::new("everything").permissions(["*", "keys:*"]).describe(MARK)).unwrap();
        store.put_tenant(Tenant::new("apex").permissions(["*"])).unwrap();
        let marked = |owner: &str| {
            let new = NewKey::for_owner(owner).permissions(["orders:*"]).roles(["everything"]).name(MARK);
            new.metadata("mark", MARK).idempotency_key("shared")
        };
        let apex = store.tenant("apex").unwrap();
        let others = vec![
            apex.create(marked("admin")).unwrap(),
            apex.of_owner("bob").create(marked("bob")).unwrap(),
            store.create(marked("admin")).unwrap(),
            store.of_owner(MARK).create(marked(MARK)).unwrap(),
        ];
        let acme = store.tenant("acme").unwrap();
        let callers = [
            &["*", "keys:*"][..],
            &["*"],
            &["orders:read", "keys:create", "keys:update", "keys:rotate", "keys:revoke"],
        ];
        let callers = callers.map(|grants| acme.create(NewKey::for_owner("admin").permissions(grants)).unwrap());
        let mut ids: Vec<String> = others.iter().chain(&callers).map(|key| key.info.id().to_string()).collect();
        ids.extend(
            ["01931a4e-7c3b-7def-8123-456789abcdef", "fffe0002-420e-0624-481c-25a651453d56", "no-id"].map(String::from),
        );
        let tokens = callers.iter().map(|key| key.key.expose_secret().to_owned()).collect();
        let app = guide::app(store.clone())
            .merge(Router::new().route("/events", get(events)).with_state(store.clone()))
            .nest_service("/key", SelfService::new(store.clone()))
            .layer(apikey::ApiKeyLayer::supply(store.clone()));
        Self { store, app, others, tokens, ids, random: seed }
    }

    fn below(&mut self, bound: usize) -> usize {
        // Numerical Recipes' generator: a failing seed fails again.
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.random >> 33).unwrap() % bound
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    /// A method, a path, and a body.
    fn request(&mut self) -> (&'static str, String, String) {
        let at = self.below(self.ids.len());
        let id = self.ids[at].clone();
        let owner = self.one_of(&["admin", "bob", "carol", "acme", "apex", "apex/admin", "admin\u{1}apex"]);
        let grants = ["orders:read", "*", "keys:*", "keys:any_tenant", "keys:any_owner", "tenants:end", "a:b"];
        let grant = self.one_of(&grants);
        let role = self.one_of(&["reader", "everything", "nobody"]);
        match self.below(13) {
            0 => ("POST", "/keys".into(), json!({ "owner": owner, "permissions": [grant] }).to_string()),
            1 => ("POST", "/keys".into(), json!({ "owner": owner, "roles": [role] }).to_string()),
            2 => ("POST", "/keys".into(), json!({ "owner": owner, "tenant": "apex" }).to_string()),
            3 => ("PATCH", format!("/keys/{id}"), json!({ "add_permissions": [grant], "disabled": false }).to_string()),
            4 => ("PATCH", format!("/keys/{id}"), json!({ "roles": [role], "name": "mine" }).to_string()),
            5 => ("PATCH", format!("/keys/{id}"), json!({ "tenant": "apex", "owner": owner }).to_string()),
            6 => ("GET", format!("/keys/{id}"), String::new()),
            7 => ("POST", format!("/keys/{id}/rotate"), String::new()),
            8 if self.below(4) == 0 => ("DELETE", format!("/keys/{id}"), String::new()),
            8 | 9 => {
                let query = [
                    "",
                    "any_tenant=true",
                    "tenant=apex",
                    "no_tenant=true",
                    "owner=bob",
                    "text=of-the",
                    "role=everything",
                ];
                let query = self.one_of(&query);
                let after = if id == "no-id" { String::new() } else { format!("&after={id}") };
                let size = self.one_of(&["1", "2", "1000"]);
                ("GET", format!("/keys?limit={size}{after}&{query}"), String::new())
            }
            10 => ("GET", "/events".into(), String::new()),
            11 => ("POST", "/key/rotate".into(), String::new()),
            _ => ("GET", format!("/keys/{id}/../{}", self.ids[0]), String::new()),
        }
    }

    async fn send(&mut self, idempotent: bool, (method, path, body): &(&'static str, String, String)) -> (u16, String) {
        let at = self.below(self.tokens.len());
        let mut request = Request::builder().method(*method).uri(path).header("X-API-Key", &self.tokens[at]);
        request = request.header("Content-Type", "application/json");
        if idempotent {
            request = request.header("Idempotency-Key", "shared");
        }
        let response = self.app.clone().oneshot(request.body(Body::from(body.clone())).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 22).await.unwrap();
        (status, String::from_utf8(body.into()).unwrap())
    }

    fn state_of_others(&self) -> String {
        let keys: Vec<_> = self.others.iter().map(|key| self.store.get(key.info.id()).unwrap()).collect();
        format!("{keys:?} {:?} {:?}", self.store.roles().unwrap(), self.store.tenants().unwrap())
    }
}

#[tokio::test]
async fn no_request_of_a_tenant_reads_or_changes_what_others_have() {
    let mut done = 0;
    for seed in 0..10 {
        let mut service = Service::new(seed);
        let before = service.state_of_others();
        for _ in 0..250 {
            let request = service.request();
            let idempotent = service.below(2) == 0;
            let (status, answer) = service.send(idempotent, &request).await;
            let (_, path, sent) = &request;
            assert!(status < 500, "{seed} {request:?}: {status} {answer}");
            // An answer may repeat what the request names.
            if !sent.contains(MARK) {
                assert!(!answer.contains(MARK), "{seed} {request:?}: {answer}");
            }
            for other in &service.others {
                let id = other.info.id().to_string();
                assert!(path.contains(&id) || !answer.contains(&id), "{seed} {request:?}: {answer}");
            }
            let body: Value = serde_json::from_str(&answer).unwrap_or_default();
            let shown = body["keys"].as_array().into_iter().flatten().chain(body.get("owner").map(|_| &body));
            for key in shown {
                assert_eq!(key["tenant"], "acme", "{seed} {request:?}: {answer}");
            }
            if let (Some(token), Some(id)) = (body["key"].as_str(), body["id"].as_str()) {
                service.tokens.push(token.to_owned());
                service.ids.push(id.to_owned());
                done += 1;
            }
        }
        assert_eq!(service.state_of_others(), before, "{seed}");
        for token in &service.tokens {
            assert!(
                service.store.verify(token).is_ok_and(|key| key.tenant() == Some("acme"))
                    || service.store.verify(token).is_err()
            );
        }
        for other in &service.others {
            assert!(
                service.store.verify(other.key.expose_secret()).is_ok_and(|key| key.secret_version() == 1),
                "{seed}"
            );
        }
        let all = service.store.list(&KeyFilter::default().limit(1000)).unwrap().keys;
        let elsewhere = all.iter().filter(|key| key.tenant() != Some("acme")).count();
        assert_eq!(elsewhere, service.others.len(), "{seed}");
    }
    assert!(done > 100, "only {done} secrets: the requests are no attempt");
}
