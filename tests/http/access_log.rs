//! The verified key in an access log: in the request's span, and in the response's extensions.

use std::fmt;
use std::sync::{Arc, Mutex};

use apikey::self_service::SelfService;
use apikey::{ApiKeyLayer, NewKey, Requirement, VerifiedKey, require_api_key};
use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use http::Request;
use http::request::Parts;
use tower::ServiceExt;
use tower_http::trace::TraceLayer;
use tracing::field::{Empty, Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Span, Subscriber};
use tracing_core::span::Current;

use crate::app::{Service, routes};

/// Keeps what is recorded in spans and events, as `name=value`.
#[derive(Clone, Default)]
struct Fields {
    recorded: Arc<Mutex<Vec<String>>>,
    spans: Arc<Mutex<Vec<&'static Metadata<'static>>>>,
    entered: Arc<Mutex<Vec<Id>>>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.recorded.lock().unwrap().push(format!("{}={value:?}", field.name()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.recorded.lock().unwrap().push(format!("{}={value}", field.name()));
    }
}

impl Subscriber for Fields {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut spans = self.spans.lock().unwrap();
        spans.push(span.metadata());
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, span: &Id) {
        self.entered.lock().unwrap().push(span.clone());
    }

    fn exit(&self, _: &Id) {
        self.entered.lock().unwrap().pop();
    }

    fn current_span(&self) -> Current {
        let Some(id) = self.entered.lock().unwrap().last().cloned() else { return Current::none() };
        let metadata = self.spans.lock().unwrap()[usize::try_from(id.into_u64()).unwrap() - 1];
        Current::new(id, metadata)
    }
}

impl Fields {
    fn take(&self) -> Vec<String> {
        let mut recorded = std::mem::take(&mut *self.recorded.lock().unwrap());
        recorded.retain(|field| field.starts_with("apikey.") || field.starts_with("logged."));
        recorded
    }
}

/// The access log of the guide.
fn logged(app: Router, fields_of_span: bool) -> Router {
    let span = move |_: &Request<_>| match fields_of_span {
        true => tracing::info_span!("request", apikey.id = Empty, apikey.owner = Empty, apikey.tenant = Empty),
        false => tracing::info_span!("request"),
    };
    let on_response = |response: &Response, _, _: &Span| {
        let owner = response.extensions().get::<VerifiedKey>().map(VerifiedKey::owner);
        tracing::info!(logged.status = %response.status(), logged.owner = owner);
    };
    app.layer(TraceLayer::new_for_http().make_span_with(span).on_request(()).on_response(on_response))
}

async fn ask(app: &Router, path: &str, key: Option<&str>) {
    send(app, Request::get(path), key).await;
}

async fn send(app: &Router, request: axum::http::request::Builder, key: Option<&str>) {
    let request = key.into_iter().fold(request, |request, key| request.header("x-api-key", key));
    app.clone().oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
}

#[tokio::test]
async fn the_key_is_in_the_span_and_in_the_response() {
    let fields = Fields::default();
    let _default = tracing::subscriber::set_default(fields.clone());
    let service = Service::new();
    let created = service.create(NewKey::for_owner("alice").permissions(["orders:read"]));
    let key = Some(created.key.expose_secret());
    let id = format!("apikey.id={}", created.info.id());
    let by_attribute = logged(service.app.clone(), true);
    ask(&by_attribute, "/orders", key).await;
    assert_eq!(fields.take(), [&id, "apikey.owner=alice", "logged.status=200 OK", "logged.owner=alice"]);
    // A request without the permission, and one with an unknown key: no key has passed.
    ask(&by_attribute, "/orders", None).await;
    assert_eq!(fields.take(), ["logged.status=401 Unauthorized"]);
    ask(&by_attribute, "/greet", None).await;
    assert_eq!(fields.take(), ["logged.status=200 OK"]);
    // A span without the fields has no more than before.
    ask(&logged(service.app.clone(), false), "/orders", key).await;
    assert_eq!(fields.take(), ["logged.status=200 OK", "logged.owner=alice"]);

    let guarded = ApiKeyLayer::require(service.store.clone(), Requirement::authenticated());
    let by_layer = logged(Router::new().route("/open", get(|| async {})).layer(guarded), true);
    ask(&by_layer, "/open", key).await;
    assert_eq!(fields.take(), [&id, "apikey.owner=alice", "logged.status=200 OK", "logged.owner=alice"]);
    // The layer lets it pass, and the handler refuses: the log has who that was.
    let guarded = ApiKeyLayer::require(service.store.clone(), Requirement::authenticated());
    let both = logged(routes().layer(guarded), true);
    let unable = service.create(NewKey::for_owner("bob"));
    ask(&both, "/orders", Some(unable.key.expose_secret())).await;
    let said = fields.take();
    assert!(said.ends_with(&["logged.status=403 Forbidden".to_owned(), "logged.owner=bob".to_owned()]), "{said:?}");
}

#[tokio::test]
async fn the_tenant_is_in_the_span_and_a_refusal_for_it_names_the_key() {
    #[require_api_key(perm = "orders:read", request = request, tenant = tenant)]
    async fn orders(Path(tenant): Path<String>, request: Parts) -> Result<(), apikey::Rejection> {
        Err(apikey::Rejection::not_found())
    }
    let fields = Fields::default();
    let _default = tracing::subscriber::set_default(fields.clone());
    let service = Service::new();
    let created = service.store.tenant("acme").unwrap().create(NewKey::for_owner("alice").permissions(["orders:read"]));
    let created = created.unwrap();
    let routes = Router::new().route("/{tenant}/orders", get(orders));
    let app = logged(routes.layer(ApiKeyLayer::supply(service.store.clone())), true);
    let id = format!("apikey.id={}", created.info.id());
    let key = ["apikey.owner=alice", "apikey.tenant=acme", "logged.status=404 Not Found", "logged.owner=alice"];
    for path in ["/acme/orders", "/apex/orders"] {
        ask(&app, path, Some(created.key.expose_secret())).await;
        let said = fields.take();
        assert_eq!(said.first(), Some(&id), "{said:?}");
        assert!(key.iter().all(|field| said.iter().any(|said| said == field)), "{said:?}");
    }
}

/// Only the key of a rotation was verified; to revoke a key its secret is enough.
#[tokio::test]
async fn self_service_is_in_the_log_as_guarded_handlers_are() {
    let fields = Fields::default();
    let _default = tracing::subscriber::set_default(fields.clone());
    let service = Service::new();
    let created = service.create(NewKey::for_owner("alice"));
    let key = Some(created.key.expose_secret());
    let id = format!("apikey.id={}", created.info.id());
    let own = || Router::new().nest_service("/key", SelfService::new(service.store.clone()));
    for app in [logged(own(), true), logged(own().layer(ApiKeyLayer::supply(service.store.clone())), true)] {
        send(&app, Request::post("/key/rotate"), key).await;
        assert_eq!(fields.take(), [&id, "apikey.owner=alice", "logged.status=200 OK", "logged.owner=alice"]);
    }
    let app = logged(own(), true);
    for _ in 0..2 {
        send(&app, Request::delete("/key"), key).await;
        assert_eq!(fields.take(), [&id, "apikey.owner=alice", "logged.status=204 No Content"]);
    }
    send(&app, Request::delete("/key"), Some("ak_unknown")).await;
    assert_eq!(fields.take(), ["logged.status=401 Unauthorized"]);
}
