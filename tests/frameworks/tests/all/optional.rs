//! What a caller without a key may pass with: nothing that looks like one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apikey::{KeyStore, NewKey, OptionalApiKey, RequireApiKey};
use rocket::{get, routes};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::examples::ALL;
use crate::wire::Call;

#[test]
fn a_key_that_is_not_utf_8_is_refused_and_not_overlooked() {
    let store = KeyStore::temporary().unwrap();
    let good = store.create(NewKey::for_owner("alice")).unwrap();
    for example in ALL {
        let port = example.start(&store);
        let alone = Call::get("/greet").key(b"\xff").send(port);
        let beside = Call::get("/greet").key(good.key.expose_secret()).key(b"\xff").send(port);
        if example.name == "rocket" {
            // It is gone before anybody can see it: the documentation of `optional` says so, and the log at launch.
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
fn rocket_says_at_launch_that_it_does_not_show_every_key() {
    let told = |routes| {
        let count = Arc::new(AtomicUsize::new(0));
        let store = KeyStore::temporary().unwrap();
        tracing::subscriber::with_default(Told(count.clone()), || {
            let rocket = rocket::build().attach(apikey::rocket::supply(store)).mount("/", routes);
            drop(tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(rocket.ignite()).unwrap());
        });
        count.load(Ordering::SeqCst)
    };
    assert_eq!((told(routes![optional, required]), told(routes![required])), (1, 0));
}

/// Counts the warnings of `optional`.
struct Told(Arc<AtomicUsize>);

impl Subscriber for Told {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "apikey"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let what = event.metadata();
        if what.name() == "apikey.rocket_optional" && *what.level() == Level::WARN {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
