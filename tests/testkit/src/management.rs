//! The table of requests that every way to mount the API for managing keys is given: what it answers is the same in each.

use apikey::{KeyStore, NewKey};
use serde_json::{Value, json};

use crate::{Answer, Call};

/// The keys of the callers, and what the rows have learnt from answers.
struct Table<S> {
    send: S,
    store: KeyStore,
    /// Each row that was sent: method, path without what differs from run to run, status, code.
    rows: Vec<String>,
    ids: Vec<String>,
}

/// The callers.
struct Callers {
    /// May do everything.
    admin: String,
    /// May read and verify keys of its own owner.
    reader: String,
    /// May manage keys, and has `orders:read`.
    manager: String,
    /// Manages the tenant `acme`.
    of_acme: String,
    /// Has no permission of the API.
    nobody: String,
}

const MERGE: &str = "application/merge-patch+json";
const FORM: &str = "application/x-www-form-urlencoded";

/// Sends every row, in order, and checks its answer. `send` gets paths below the mount. Returns the rows, without what differs
/// from run to run.
pub fn run(store: &KeyStore, send: impl FnMut(&Call) -> Answer) -> Vec<String> {
    let key = |owner: &str, grants: &[&str]| {
        store.create(NewKey::for_owner(owner).permissions(grants)).unwrap().key.expose_secret().to_owned()
    };
    let callers = Callers {
        admin: key("root", &["*"]),
        reader: key("alice", &["keys:read", "keys:verify", "events:read", "usage:read"]),
        manager: key(
            "alice",
            &["keys:read", "keys:create", "keys:update", "keys:rotate", "keys:revoke", "orders:read"],
        ),
        of_acme: store
            .tenant("acme")
            .and_then(|acme| acme.create(NewKey::for_owner("alice").permissions(["keys:*", "orders:*"])))
            .unwrap()
            .key
            .expose_secret()
            .to_owned(),
        nobody: key("bob", &["orders:read"]),
    };
    let mut table = Table { send, store: store.clone(), rows: Vec::new(), ids: Vec::new() };
    table.reads(&callers);
    table.creates(&callers);
    table.changes(&callers);
    table.rotates(&callers);
    table.revokes(&callers);
    table.named(&callers);
    table.history(&callers);
    table.verifies(&callers);
    table.malformed(&callers);
    table.rows
}

impl<S: FnMut(&Call) -> Answer> Table<S> {
    /// Sends a row. `expected` is the status, and for an error the code: `404 not_found`.
    fn row(&mut self, key: &str, call: Call, expected: &str) -> Answer {
        let call = if key.is_empty() { call } else { call.key(key) };
        let answer = (self.send)(&call);
        let got = match answer.status {
            200..400 => answer.status.to_string(),
            status => format!("{status} {}", answer.code()),
        };
        let mut path = call.path().to_owned();
        for id in &self.ids {
            path = path.replace(id, "{id}");
        }
        assert_eq!(got, expected, "{} {path} {} {}", call.method(), call.body(), answer.body);
        let cache = answer.header("cache-control").unwrap();
        assert_eq!(cache == "no-store", call.path() != "/openapi.json", "{path}: {cache}");
        if answer.status >= 400 {
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
        }
        // Only three operations answer with a token.
        let may = call.method() == "POST"
            && (call.path() == "/keys" || call.path().ends_with("/rotate") || call.path().ends_with("/replace"));
        assert!(may || !has_token(&answer.body), "{path}: {}", answer.body);
        self.rows.push(format!("{} {path} {got}", call.method()));
        answer
    }

    /// Sends a row whose answer names the field that is wrong.
    fn wrong(&mut self, key: &str, call: Call, pointer: &str, code: &str) {
        let answer = self.row(key, call, "422 invalid_field");
        let error = &answer.json()["errors"][0];
        assert_eq!((error["pointer"].as_str(), error["code"].as_str()), (Some(pointer), Some(code)), "{}", answer.body);
    }

    /// Creates a key, and returns its id, its token and its entity tag.
    fn create(&mut self, key: &str, body: &Value) -> (String, String, String) {
        let answer = self.row(key, Call::post("/keys", body.to_string()), "201");
        let document = answer.json();
        let text = |name: &str| document[name].as_str().unwrap().to_owned();
        let id = text("id");
        assert!(answer.header("location").unwrap().ends_with(&format!("keys/{id}")), "{answer:?}");
        self.ids.push(id.clone());
        (id, text("key"), answer.header("etag").unwrap().to_owned())
    }

    fn reads(&mut self, callers: &Callers) {
        let Callers { admin, reader, of_acme, nobody, .. } = callers;
        let me = self.row(nobody, Call::get("/me"), "200").json();
        assert_eq!((&me["owner"], &me["effective_permissions"]), (&json!("bob"), &json!(["orders:read"])));
        for path in
            ["/keys", "/events", "/usage?owner=alice", "/permissions", "/health", "/overview", "/tenants", "/roles"]
        {
            self.row("", Call::get(path), "401 missing_api_key");
            self.row("ak_nothing", Call::get(path), "401 invalid_api_key");
            self.row(nobody, Call::get(path), "403 insufficient_permission");
            self.row(admin, Call::get(path), "200");
        }
        self.row("", Call::get("/openapi.json"), "200");
        self.row(of_acme, Call::get("/health"), "404 not_found");
        let own = self.row(reader, Call::get("/keys"), "200").json();
        assert!(own["keys"].as_array().unwrap().iter().all(|key| key["owner"] == "alice" && key["tenant"].is_null()));
        let all = self.row(admin, Call::get("/keys?limit=2"), "200");
        let page = all.json();
        assert_eq!(page["keys"].as_array().unwrap().len(), 2);
        assert!(all.header("link").unwrap().contains("cursor="));
        let next = page["next"].as_str().unwrap().to_owned();
        self.ids.push(next.clone());
        let rest = self.row(admin, Call::get(format!("/keys?cursor={next}&limit=1000")), "200").json();
        assert_eq!((rest["keys"].as_array().unwrap().len(), &rest["next"]), (3, &Value::Null));
        for sort in ["created", "expires", "last_used"] {
            let sorted = self.row(admin, Call::get(format!("/keys?sort={sort}&limit=4")), "200").json();
            assert_eq!(sorted["keys"].as_array().unwrap().len(), 4);
        }
        self.row(admin, Call::get(format!("/keys?cursor={next}&owner=alice")), "400 invalid_cursor");
        self.row(admin, Call::get("/keys?cursor=x"), "400 invalid_cursor");
        for (query, pointer, code) in [
            ("colour=blue", "#/colour", "unknown_field"),
            ("limit=0", "#/limit", "not_allowed"),
            ("limit=x", "#/limit", "wrong_type"),
            ("owner=a&owner=b", "#/owner", "repeated_field"),
            ("state=good", "#/state", "wrong_type"),
            ("sort=name", "#/sort", "wrong_type"),
            ("expiring_before=soon", "#/expiring_before", "wrong_type"),
            ("permission=a:*", "#/permission", "invalid_permission"),
            ("after=01931a4e-7c3b-7def-8123-456789abcdef", "#/after", "unknown_field"),
        ] {
            self.wrong(admin, Call::get(format!("/keys?{query}")), pointer, code);
        }
    }

    fn creates(&mut self, callers: &Callers) {
        let Callers { admin, manager, of_acme, nobody, .. } = callers;
        let body =
            json!({ "owner": "alice", "name": "ci", "permissions": ["orders:read"], "metadata": { "team": "blue" } });
        self.row("", Call::post("/keys", body.to_string()), "401 missing_api_key");
        self.row(nobody, Call::post("/keys", body.to_string()), "403 insufficient_permission");
        let (id, token, tag) = self.create(manager, &body);
        assert!(self.store.verify(&token).is_ok());
        let read = self.row(manager, Call::get(format!("/keys/{id}")), "200");
        assert_eq!(read.header("etag"), Some(tag.as_str()));
        assert_eq!(read.json().get("last_used_at"), None);
        let unchanged = Call::get(format!("/keys/{id}")).header("if-none-match", &tag);
        assert_eq!(self.row(manager, unchanged, "304").body, "");
        let active = self.row(manager, Call::get(format!("/keys/{id}?activity")), "200");
        assert_eq!(active.header("etag"), None);
        assert!(active.json()["activity"]["last_used_at"].is_string());
        let found = self.row(manager, Call::get("/keys?metadata.team=blue&text=CI"), "200").json();
        assert_eq!(found["keys"][0]["id"], id);
        self.row(callers.of_acme.as_str(), Call::get(format!("/keys/{id}")), "404 not_found");
        self.row(admin, Call::get("/keys/17"), "404 not_found");
        // A caller without an answer repeats its request.
        let again = || Call::post("/keys", r#"{"owner":"root"}"#).header("idempotency-key", "one");
        let [first, second] = [0, 1].map(|_| self.row(admin, again(), "201").json());
        assert_eq!(first["id"], second["id"]);
        assert_ne!(first["key"], second["key"]);
        let other = Call::post("/keys", r#"{"owner":"root","name":"x"}"#).header("idempotency-key", "one");
        self.row(admin, other, "409 idempotency_key_reused");
        let violation = |answer: Answer| answer.json()["violation"]["kind"].clone();
        let owner = self.row(manager, Call::post("/keys", r#"{"owner":"bob"}"#), "403 exceeds_actor");
        assert_eq!(violation(owner), "owner");
        let more = r#"{"owner":"alice","permissions":["orders:write"]}"#;
        assert_eq!(violation(self.row(manager, Call::post("/keys", more), "403 exceeds_actor")), "grant");
        let tenant = r#"{"owner":"alice","tenant":"apex"}"#;
        assert_eq!(violation(self.row(of_acme, Call::post("/keys", tenant), "403 exceeds_actor")), "tenant");
        let of_tenant = self.row(of_acme, Call::post("/keys", r#"{"owner":"carol"}"#), "201").json();
        assert_eq!(of_tenant["tenant"], "acme");
        for (body, pointer, code) in [
            (r#"{"owner":7}"#, "#/owner", "wrong_type"),
            ("{}", "#/owner", "missing_field"),
            (r#"{"owner":"a","colour":1}"#, "#/colour", "unknown_field"),
            (r#"{"owner":"a","owner":"b"}"#, "#/owner", "repeated_field"),
            (r#"{"owner":""}"#, "#/owner", "not_allowed"),
            (r#"{"owner":"root","permissions":["orders:read","Orders"]}"#, "#/permissions/1", "invalid_permission"),
            (r#"{"owner":"root","permissions":["orders:read","billing:refund"]}"#, "#/permissions/1", "not_offered"),
            (r#"{"owner":"root","permissions":["*"],"tenant":"acme"}"#, "#/permissions/0", "not_offered"),
            (r#"{"owner":"root","roles":["nothing"]}"#, "#/roles/0", "not_allowed"),
            (r#"{"owner":"root","expires_in_ms":0}"#, "#/expires_in_ms", "not_allowed"),
            (r#"{"owner":"root","tenant":"A B"}"#, "#/tenant", "not_allowed"),
        ] {
            self.wrong(admin, Call::post("/keys", body), pointer, code);
        }
        let long = "x".repeat(129);
        let call = Call::post("/keys", r#"{"owner":"root"}"#).header("idempotency-key", &long);
        self.wrong(admin, call, "#/idempotency_key", "not_allowed");
    }

    fn changes(&mut self, callers: &Callers) {
        let Callers { admin, manager, of_acme, .. } = callers;
        let (id, _, tag) = self.create(manager, &json!({ "owner": "alice", "permissions": ["orders:read"] }));
        let patch = |tag: &str, body: &str| {
            let call = Call::with_body("PATCH", format!("/keys/{id}"), MERGE, body.to_owned());
            if tag.is_empty() { call } else { call.header("if-match", tag) }
        };
        self.row(manager, patch("", r#"{"name":"x"}"#), "428 precondition_required");
        let changed = self.row(manager, patch(&tag, r#"{"name":"one"}"#), "200");
        assert_eq!(changed.json()["name"], "one");
        self.row(manager, patch(&tag, r#"{"name":"other"}"#), "412 precondition_failed");
        self.row(manager, patch("\"nothing\"", r#"{"name":"other"}"#), "412 precondition_failed");
        self.row(manager, patch("*", r#"{"name":null,"metadata":{"a":"b"}}"#), "200");
        self.row(manager, patch("*", "{}"), "200");
        self.row(manager, patch("*", r#"{"permissions":["orders:*"]}"#), "403 exceeds_actor");
        self.wrong(manager, patch("*", r#"{"owner":"bob"}"#), "#/owner", "unknown_field");
        self.wrong(manager, patch("*", r#"{"disabled":null}"#), "#/disabled", "wrong_type");
        self.wrong(
            admin,
            patch("*", r#"{"add_permissions":["billing:refund"]}"#),
            "#/add_permissions/0",
            "not_offered",
        );
        self.row(of_acme, patch("*", r#"{"name":"x"}"#), "404 not_found");
        let plain = Call::patch(format!("/keys/{id}"), "{}").header("if-match", "*");
        self.row(manager, plain, "415 unsupported_media_type");
        for (path, state) in
            [("disable", "disabled"), ("disable", "disabled"), ("enable", "active"), ("enable", "active")]
        {
            let answer = self.row(manager, Call::new("POST", format!("/keys/{id}/{path}")), "200");
            assert_eq!(answer.json()["state"], state);
        }
    }

    fn rotates(&mut self, callers: &Callers) {
        let Callers { manager, of_acme, nobody, .. } = callers;
        let (id, old, _) = self.create(manager, &json!({ "owner": "alice", "permissions": ["orders:read"] }));
        let rotate = |body: &str| {
            let path = format!("/keys/{id}/rotate");
            if body.is_empty() { Call::new("POST", path) } else { Call::post(path, body.to_owned()) }
        };
        self.row(nobody, rotate(""), "403 insufficient_permission");
        self.row(of_acme, rotate(""), "404 not_found");
        let answer = self.row(manager, rotate(""), "200").json();
        let new = answer["key"].as_str().unwrap().to_owned();
        assert!(self.store.verify(&old).is_ok());
        self.row(manager, rotate(r#"{"overlap":"first_use"}"#), "200");
        assert!(self.store.verify(&new).is_err(), "a secret that nobody has used is replaced");
        self.wrong(manager, rotate(r#"{"overlap":"ever"}"#), "#/overlap", "wrong_type");
        self.wrong(manager, rotate(r#"{"overlap":{"ms":0}}"#), "#/overlap", "not_allowed");
        let answer = self.row(manager, rotate(r#"{"overlap":{"ms":60000}}"#), "200").json();
        self.store.verify(answer["key"].as_str().unwrap()).unwrap();
        self.row(manager, rotate(r#"{"overlap":{"ms":60000}}"#), "409 being_rotated");
        let answer = self.row(manager, rotate(r#"{"overlap":"none"}"#), "200").json();
        assert!(self.store.verify(&old).is_err() && self.store.verify(answer["key"].as_str().unwrap()).is_ok());
        let replaced = Call::post(format!("/keys/{id}/replace"), r#"{"reason":"leaked"}"#);
        let answer = self.row(manager, replaced, "200").json();
        assert!(self.store.verify(answer["key"].as_str().unwrap()).is_ok());
    }

    fn revokes(&mut self, callers: &Callers) {
        let Callers { admin, manager, of_acme, nobody, .. } = callers;
        let new = json!({ "owner": "alice" });
        let (one, ..) = self.create(manager, &new);
        let (two, ..) = self.create(manager, &new);
        let revoke = |id: &str, body: &str| Call::post(format!("/keys/{id}/revoke"), body.to_owned());
        self.row(nobody, revoke(&one, "{}"), "403 insufficient_permission");
        self.row(of_acme, revoke(&one, "{}"), "404 not_found");
        let answer = self.row(manager, revoke(&one, r#"{"reason":"left"}"#), "200").json();
        assert_eq!(answer["revoked"]["reason"], "left");
        let answer = self.row(manager, revoke(&one, r#"{"reason":"other"}"#), "200").json();
        assert_eq!(answer["revoked"]["reason"], "left", "a repeat changes nothing");
        for _ in 0..2 {
            assert_eq!(self.row(manager, Call::delete(format!("/keys/{two}")), "204").body, "");
        }
        self.row(manager, Call::new("POST", format!("/keys/{one}/enable")), "409 revoked_key");
        self.row(manager, Call::post(format!("/keys/{one}/rotate"), "{}"), "409 revoked_key");
        self.wrong(manager, revoke(&two, &json!({ "reason": "x".repeat(257) }).to_string()), "#/reason", "not_allowed");
        for _ in 0..3 {
            self.create(admin, &json!({ "owner": "dave" }));
        }
        let all = |expect: u64| {
            Call::post("/keys/revoke", json!({ "filter": { "owner": "dave" }, "expect": expect }).to_string())
        };
        self.row(admin, all(2), "409 unexpected_count");
        self.row(admin, all(4), "409 unexpected_count");
        assert_eq!(self.row(admin, all(3), "200").json(), json!({ "count": 3 }));
        assert_eq!(self.row(admin, all(0), "200").json(), json!({ "count": 0 }));
        let after = r#"{"filter":{"limit":3},"expect":1}"#;
        self.wrong(admin, Call::post("/keys/revoke", after), "#/filter/limit", "unknown_field");
        self.create(admin, &json!({ "owner": "a/b c" }));
        let answer = self.row(admin, Call::new("POST", "/owners/a%2Fb%20c/revoke"), "200").json();
        assert_eq!(answer, json!({ "count": 1 }));
        self.row(manager, Call::post("/owners/root/revoke", "{}"), "403 exceeds_actor");
    }

    fn named(&mut self, callers: &Callers) {
        let Callers { admin, manager, of_acme, .. } = callers;
        self.row(admin, Call::get("/roles/reader"), "404 not_found");
        let put = self.row(admin, Call::put("/roles/reader", r#"{"permissions":["orders:read"]}"#), "200");
        let tag = put.header("etag").unwrap().to_owned();
        self.row(admin, Call::get("/roles/reader").header("if-none-match", &tag), "304");
        self.wrong(
            admin,
            Call::put("/roles/reader", r#"{"permissions":["billing:refund"]}"#),
            "#/permissions/0",
            "not_offered",
        );
        self.wrong(admin, Call::put("/roles/reader", r#"{"name":"other"}"#), "#/name", "unknown_field");
        self.row(manager, Call::put("/roles/reader", "{}"), "403 insufficient_permission");
        self.create(admin, &json!({ "owner": "root", "roles": ["reader"] }));
        self.row(admin, Call::delete("/roles/reader"), "409 role_in_use");
        self.row(admin, Call::put("/roles/empty", "{}").header("if-match", "*"), "412 precondition_failed");
        self.row(admin, Call::put("/roles/empty", "{}"), "200");
        self.row(admin, Call::delete("/roles/empty"), "204");
        self.row(admin, Call::delete("/roles/empty"), "204");
        self.row(admin, Call::get("/tenants/apex"), "404 not_found");
        let put = self.row(admin, Call::put("/tenants/apex", r#"{"permissions":["orders:*"]}"#), "200").json();
        assert_eq!((&put["name"], &put["permissions"]), (&json!("apex"), &json!(["orders:*"])));
        self.row(of_acme, Call::get("/tenants/apex"), "403 insufficient_permission");
        self.wrong(admin, Call::put("/tenants/apex", r#"{"colour":1}"#), "#/colour", "unknown_field");
        let ended = self.row(admin, Call::post("/tenants/apex/end", r#"{"reason":"over"}"#), "200").json();
        assert_eq!(ended["ended"]["reason"], "over");
        self.row(admin, Call::put("/tenants/apex", "{}"), "409 tenant_ended");
        let body = r#"{"owner":"alice","tenant":"apex"}"#;
        self.row(admin, Call::post("/keys", body), "409 tenant_ended");
    }

    fn history(&mut self, callers: &Callers) {
        let Callers { admin, reader, of_acme, .. } = callers;
        let newest = self.row(admin, Call::get("/events?limit=2"), "200").json();
        let number = |page: &Value, at: usize| page["events"][at]["number"].as_u64().unwrap();
        assert_eq!(number(&newest, 0), number(&newest, 1) + 1);
        assert!(newest["next"].is_string());
        let after = number(&newest, 1);
        self.ids.push(after.to_string());
        let followed = self.row(admin, Call::get(format!("/events?after={after}")), "200").json();
        assert_eq!((number(&followed, 0), &followed["next"]), (after + 1, &Value::Null));
        let kind = self.row(admin, Call::get("/events?kind=revoked"), "200").json();
        assert!(kind["events"].as_array().unwrap().iter().all(|event| event["kind"] == "revoked"));
        self.wrong(admin, Call::get("/events?kind=vanished"), "#/kind", "not_allowed");
        self.wrong(admin, Call::get("/events?after=x"), "#/after", "wrong_type");
        self.wrong(admin, Call::get("/events?since=x"), "#/since", "wrong_type");
        self.row(admin, Call::get("/events?key=17"), "404 not_found");
        self.row(reader, Call::get("/events?limit=1"), "200");
        self.row(of_acme, Call::get("/events"), "403 insufficient_permission");
        self.row(reader, Call::get("/usage?owner=alice&step=day"), "200");
        self.row(reader, Call::get("/usage?owner=bob"), "403 exceeds_actor");
        self.row(reader, Call::get("/usage?tenant=acme"), "403 exceeds_actor");
        self.row(reader, Call::get("/usage"), "403 exceeds_actor");
        self.row(admin, Call::get("/usage?by=key"), "200");
        self.wrong(admin, Call::get("/usage?step=week"), "#/step", "wrong_type");
        self.wrong(admin, Call::get("/usage?key=01931a4e-7c3b-7def-8123-456789abcdef&owner=a"), "#/key", "not_allowed");
        self.row(admin, Call::get("/usage?key=01931a4e-7c3b-7def-8123-456789abcdef"), "404 not_found");
    }

    fn verifies(&mut self, callers: &Callers) {
        let Callers { admin, reader, manager, of_acme, nobody } = callers;
        let verify = |key: &str, more: &str| Call::post("/verify", format!(r#"{{"key":"{key}"{more}}}"#));
        self.row(manager, verify(nobody, ""), "403 insufficient_permission");
        let verdict = self.row(reader, verify(nobody, ""), "200").json();
        assert_eq!(
            (&verdict["valid"], &verdict["code"], &verdict["owner"]),
            (&json!(true), &json!("ok"), &json!("bob"))
        );
        let lacks = self.row(reader, verify(nobody, r#","permissions":["orders:read","orders:write"]"#), "200").json();
        assert_eq!((&lacks["valid"], &lacks["missing"]), (&json!(false), &json!(["orders:write"])));
        let foreign = self.row(reader, verify(of_acme, ""), "200").json();
        assert_eq!(foreign, json!({ "valid": false, "code": "invalid_api_key" }));
        assert_eq!(self.row(admin, verify(of_acme, ""), "200").json()["tenant"], "acme");
        assert_eq!(self.row(reader, verify("a guess", ""), "200").json()["code"], "invalid_api_key");
        self.wrong(reader, verify("x", r#","address":"here""#), "#/address", "wrong_type");
        self.wrong(reader, verify("x", r#","permissions":["a:*"]"#), "#/permissions/0", "invalid_permission");
        let introspect = |body: &str| Call::with_body("POST", "/introspect", FORM, body.to_owned());
        let active = self.row(reader, introspect(&format!("token={nobody}&token_type_hint=x")), "200").json();
        assert_eq!(
            (&active["active"], &active["sub"], &active["scope"]),
            (&json!(true), &json!("bob"), &json!("orders:read"))
        );
        assert_eq!(self.row(reader, introspect("token=x"), "200").json(), json!({ "active": false }));
        self.wrong(reader, introspect(""), "#/token", "missing_field");
        self.row(reader, Call::post("/introspect", "{}"), "415 unsupported_media_type");
    }

    fn malformed(&mut self, callers: &Callers) {
        let Callers { admin, .. } = callers;
        for path in ["/nothing", "/keys/1/2/3", "/keys/", "/Keys"] {
            self.row(admin, Call::get(path), "404 not_found");
        }
        for (method, path, allow) in [
            ("PUT", "/keys", "GET, HEAD, POST"),
            ("GET", "/verify", "POST"),
            ("OPTIONS", "/me", "GET, HEAD"),
            ("POST", "/keys/17", "GET, HEAD, PATCH, DELETE"),
            ("PATCH", "/keys/revoke", "POST"),
        ] {
            let answer = self.row(admin, Call::new(method, path), "405 method_not_allowed");
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        }
        self.row(admin, Call::post("/keys", "{"), "400 invalid_json");
        self.row(admin, Call::post("/keys", r#"{"owner":"a"}{}"#), "400 invalid_json");
        self.row(admin, Call::post("/keys", ""), "400 invalid_json");
        self.row(admin, Call::with_body("POST", "/keys", "text/plain", "{}"), "415 unsupported_media_type");
        self.row(admin, Call::with_body("POST", "/keys", "application/json; charset=utf-8", "{"), "400 invalid_json");
        let large = format!(r#"{{"owner":"root","name":"{}"}}"#, "x".repeat(64 * 1024));
        self.row(admin, Call::post("/keys", large), "413 body_too_large");
        for (path, list) in [("/keys", "[]"), ("/owners/x/revoke", "[null,null]"), ("/verify", r#"["x"]"#)] {
            self.wrong(admin, Call::post(path, list), "#", "wrong_type");
        }
        self.wrong(admin, Call::get("/roles/reader").header("if-none-match", "7"), "#/if-none-match", "wrong_type");
        let answer = self.row(admin, Call::new("HEAD", "/me"), "200");
        assert_eq!(answer.body, "");
        assert!(answer.header("access-control-allow-origin").is_none());
    }
}

/// Whether a text has what a token of the default prefix looks like.
fn has_token(text: &str) -> bool {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("ak_") {
        let length = after.bytes().take_while(u8::is_ascii_alphanumeric).count();
        if length >= 60 {
            return true;
        }
        rest = after;
    }
    false
}
