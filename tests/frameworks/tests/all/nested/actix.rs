//! actix-web keeps app data in one container for each scope, and each type in its own place there.

use std::net::TcpListener;

use actix_web::middleware::Condition;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, HttpServer, get, web};
use apikey::actix_web::{require, supply};
use apikey::{KeyStore, VerifiedKey, require_api_key};

use super::{INNER, MIDDLE, Named, OUTER, Row, Used, any_key, inner, outer};

#[require_api_key(perm = "orders:read")]
#[get("")]
async fn list(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

#[get("/body")]
#[require_api_key(perm = "orders:read", request = request, key = key)]
async fn in_body(request: actix_web::HttpRequest) -> actix_web::Result<String> {
    Ok(key.owner().to_owned())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Nothing,
    Bare,
    Data,
    Supply,
    Require,
}

use Form::{Bare, Data, Nothing, Require, Supply};

/// The app, or a scope, with a store named in this form.
macro_rules! with {
    ($part:expr, $form:expr, $store:expr) => {{
        let (form, store): (Form, KeyStore) = ($form, $store);
        let part = match form {
            Bare => $part.app_data(store.clone()),
            Data => $part.app_data(web::Data::new(store.clone())),
            _ => $part,
        };
        part.wrap(Condition::new(form == Supply, supply(store.clone())))
            .wrap(Condition::new(form == Require, require(store, any_key())))
    }};
}

macro_rules! app {
    ($forms:expr, $stores:expr) => {{
        let ([outer, middle, inner], [first, second, third]) = ($forms, $stores);
        let innermost = with!(web::scope("/in").service(list).service(in_body), inner, third);
        with!(App::new().service(with!(web::scope("/in").service(innermost), middle, second)), outer, first)
    }};
}

/// Two forms of app data, which actix-web keeps apart, and no middleware of ours between them.
fn used(outer: Form, inner: Form) -> Used {
    if matches!((outer, inner), (Bare, Data) | (Data, Bare)) { Used::Neither } else { Used::Inner }
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for outer_form in [Bare, Data, Supply] {
        for inner_form in [Nothing, Bare, Data, Supply, Require] {
            // Bound here, so that a call that comes before the server accepts waits for it.
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = move || {
                let app = move || app!([outer_form, Nothing, inner_form], [outer(), inner(), inner()]);
                let server = HttpServer::new(app).workers(1).disable_signals().listen(listener);
                actix_web::rt::System::new().block_on(server.unwrap().run()).unwrap();
            };
            std::thread::spawn(server);
            let used = if inner_form == Nothing { Used::Outer } else { used(outer_form, inner_form) };
            for path in ["/in/in", "/in/in/body"] {
                let who = format!("actix-web, {outer_form:?} around {inner_form:?}, {path}");
                rows.push(Row::http(who, port, path).uses(used));
            }
        }
    }
    rows
}

/// Three levels, in every combination of forms, of three stores and of two.
#[actix_web::test]
async fn every_nesting_of_app_data_and_middlewares_is_distinguished() {
    for outer in [Nothing, Bare, Data, Supply] {
        for middle in [Nothing, Bare, Data, Supply] {
            for inner in [Nothing, Bare, Data, Supply, Require] {
                let forms = [outer, middle, inner];
                for levels in [[&*OUTER, &*MIDDLE, &*INNER], [&*OUTER, &*MIDDLE, &*OUTER]] {
                    three(forms, levels).await;
                }
            }
        }
    }
}

async fn three(forms: [Form; 3], levels: [&'static Named; 3]) {
    let app = init_service(app!(forms, levels.map(|named| named.store.clone()))).await;
    // The innermost store that is named, unless the other form of app data is named around it, with none of our
    // middlewares between the two.
    let named: Vec<(Form, &Named)> = forms.into_iter().zip(levels).rev().filter(|(form, _)| *form != Nothing).collect();
    let expected = match named.first() {
        None => None,
        Some((Supply | Require, named)) => Some(*named),
        Some((form, innermost)) => {
            let around = named[1..].iter().take_while(|(form, _)| !matches!(form, Supply | Require));
            let mut other = around.filter(|(around, _)| around != form);
            let torn = other.any(|(_, other)| !std::ptr::eq(*other, *innermost));
            (!torn).then_some(*innermost)
        }
    };
    for level in levels {
        let request = TestRequest::get().uri("/in/in").insert_header(("X-API-Key", level.key.as_str()));
        let status = call_service(&app, request.to_request()).await.status().as_u16();
        let wanted = expected.map_or(503, |expected| if std::ptr::eq(expected, level) { 200 } else { 401 });
        assert_eq!(status, wanted, "{forms:?}");
    }
}
