//! The demo keys over several starts, and the printed lines, each sent as printed.

use serde_json::Value;
use tempfile::tempdir;

use crate::demo::Demo;
use crate::http::client;

#[tokio::test]
async fn every_printed_line_answers_as_announced() {
    let dir = tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("keys.db"));
    let printed = demo.printed();
    let mut announced = Vec::new();
    for request in &printed {
        let [(status, _)] = request.answers[..] else { panic!("one key, one status: {}", request.line()) };
        assert!(!request.has_variable(), "{}", request.line());
        let response = request.send(&client(), "").await;
        assert_eq!(response.status(), status, "{}", request.line());
        announced.push(status);
    }
    assert_eq!(announced, [200, 401, 200, 200, 403, 201, 403, 200]);
}

#[tokio::test]
async fn keys_work_after_a_restart_and_are_not_shown_again() {
    let dir = tempdir().unwrap();
    let store = dir.path().join("keys.db");
    let first = Demo::start(&store);
    let (reader, writer) = (first.key("reader"), first.key("writer"));
    first.interrupt();

    let second = Demo::start(&store);
    for key in [&reader, &writer] {
        assert!(!second.welcome.contains(key.as_str()), "{}", second.welcome);
    }
    assert!(second.welcome.contains("--new-demo-keys"), "{}", second.welcome);
    let mut with_key = 0;
    for request in second.printed() {
        for (status, who) in &request.answers {
            let keys = match who.as_str() {
                "a key" => vec![""],
                "the reader key" => vec![reader.as_str()],
                "the writer key" => vec![writer.as_str()],
                "either key" => vec![reader.as_str(), writer.as_str()],
                other => panic!("{other}: {}", request.line()),
            };
            assert_eq!(request.has_variable(), who != "a key", "{}", request.line());
            for key in keys {
                let response = request.send(&client(), key).await;
                assert_eq!(response.status(), *status, "{who}: {}", request.line());
                with_key += usize::from(!key.is_empty());
            }
        }
    }
    assert_eq!(with_key, 8, "four requests, each with two keys");
}

#[tokio::test]
async fn new_demo_keys_take_the_place_of_the_old() {
    let dir = tempdir().unwrap();
    let store = dir.path().join("keys.db");
    let first = Demo::start(&store);
    let old = first.key("reader");
    first.interrupt();

    let second = Demo::start_with(&store, &["--new-demo-keys"]);
    let new = second.key("reader");
    assert_ne!(old, new);
    assert_eq!(whoami(&second, &new).await["owner"], "alice");
    assert_eq!(whoami(&second, &old).await["code"], "revoked_api_key");
    second.interrupt();

    // The next start lists the two new ones only.
    let third = Demo::start(&store);
    assert_eq!(third.welcome.matches("'s key; may ").count(), 2, "{}", third.welcome);
    assert_eq!(whoami(&third, &new).await["owner"], "alice");
    assert_eq!(whoami(&third, &old).await["code"], "revoked_api_key");
}

#[tokio::test]
async fn whoami_names_the_caller() {
    let dir = tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("keys.db"));
    let writer = demo.key("writer");
    let caller = whoami(&demo, &writer).await;
    assert_eq!(caller["owner"], "bob");
    assert_eq!(caller["key_name"], "writer");
    let mut permissions: Vec<_> = caller["permissions"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    permissions.sort_unstable();
    assert_eq!(permissions, ["customers:read", "orders:read", "orders:write"]);
    assert_eq!(caller["key_id"].as_str().unwrap().len(), 36);
    // The answer contains no part of the secret.
    assert!(!caller.to_string().contains(&writer[25..57]));
}

async fn whoami(demo: &Demo, key: &str) -> Value {
    let request = client().get(format!("{}/whoami", demo.api)).header("X-API-Key", key);
    request.send().await.unwrap().json().await.unwrap()
}
