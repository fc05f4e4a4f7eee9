//! `optional` lets callers without a key pass, but none with something that looks like a key.

use apikey::{KeyStore, NewKey, OptionalApiKey, RequireApiKey};
use apikey_testkit::{Call, Log};
use rocket::{get, routes};
use tracing::Level;

use crate::examples::ALL;

#[test]
fn a_key_that_is_not_utf_8_is_refused_and_not_overlooked() {
    let store = KeyStore::temporary().unwrap();
    let good = store.create(NewKey::for_owner("alice")).unwrap();
    for example in ALL {
        let port = example.start(&store);
        let alone = Call::get("/greet").key(b"\xff").send(port);
        let beside = Call::get("/greet").key(good.key.expose_secret()).key(b"\xff").send(port);
        if example.name == "rocket" {
            // Rocket drops it before the guard can read it: the documentation of `optional` and the log at launch say so.
            assert_eq!((alone.status, alone.body.as_str()), (200, "hello, stranger\n"));
            assert_eq!((beside.status, beside.body.as_str()), (200, "hello, alice\n"));
            continue;
        }
        for answer in [alone, beside] {
            assert_eq!(answer.status, 401, "{}: {answer:?}", example.name);
            assert_eq!(answer.json()["code"], "invalid_api_key", "{}", example.name);
        }
    }
}

#[get("/optional")]
fn optional(key: OptionalApiKey) -> String {
    format!("{key:?}")
}

#[get("/required")]
fn required(key: RequireApiKey) -> String {
    format!("{key:?}")
}

#[test]
fn rocket_warns_at_launch_that_it_does_not_show_every_key() {
    let warnings = |routes| {
        let log = Log::default();
        let store = KeyStore::temporary().unwrap();
        tracing::subscriber::with_default(log.clone(), || {
            let rocket = rocket::build().attach(apikey::rocket::supply(store)).mount("/", routes);
            drop(tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(rocket.ignite()).unwrap());
        });
        let lines = log.lines();
        lines.iter().filter(|line| line.name == "apikey.rocket_optional" && line.level == Level::WARN).count()
    };
    assert_eq!((warnings(routes![optional, required]), warnings(routes![required])), (1, 0));
}
