//! Requests that no program sends by itself: what they are answered is never a failure of the service, and shows no secret.

use std::thread;

use apikey_testkit::Call;

use crate::fixture::Api;

#[test]
fn a_field_of_a_role_or_a_tenant_is_given_once() {
    let api = Api::new();
    let admin = api.key("root", &["*"]);
    let twice = r#"{"permissions":["orders:read"],"permissions":["orders:write"]}"#;
    for path in ["/roles/reader", "/tenants/acme"] {
        let answer = api.ask(&admin, Call::put(path, twice));
        assert_eq!(answer.status, 422, "{}", answer.body);
        let error = &answer.json()["errors"][0];
        assert_eq!((&error["pointer"], &error["code"]), (&"#/permissions".into(), &"repeated_field".into()));
        let answer = api.ask(&admin, Call::put(path, r#"{"permissions":[7]}"#));
        assert_eq!(answer.json()["errors"][0]["pointer"], "#/permissions/0", "{}", answer.body);
        assert_eq!(api.ask(&admin, Call::get(path)).status, 404);
    }
}

#[test]
fn of_two_puts_with_one_entity_tag_one_is_made() {
    let api = Api::new();
    let admin = api.key("root", &["*"]);
    for path in ["/roles/reader", "/tenants/acme"] {
        assert_eq!(api.ask(&admin, Call::put(path, "{}")).status, 200);
        for round in 0..20 {
            let tag = api.ask(&admin, Call::get(path)).header("etag").unwrap().to_owned();
            let put = |n: u32| {
                let grant = format!("orders:{}", ["read", "write"][usize::try_from((n + round) % 2).unwrap()]);
                let body = format!(r#"{{"permissions":["{grant}","stock:read","keys:{round}x{n}"]}}"#);
                let body = body.replace(&format!("keys:{round}x{n}"), ["keys:read", "keys:update"][(n % 2) as usize]);
                api.ask(&admin, Call::put(path, body).header("if-match", &tag)).status
            };
            let mut statuses: Vec<u16> = thread::scope(|scope| {
                let calls: Vec<_> = (0..2).map(|n| scope.spawn(move || put(n))).collect();
                calls.into_iter().map(|call| call.join().unwrap()).collect()
            });
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 412], "{path} {round}");
        }
    }
}
