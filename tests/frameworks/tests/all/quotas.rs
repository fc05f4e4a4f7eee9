//! The quotas of a key, its owner and its tenant, with the same answers in every framework: each request is charged once to
//! each, and a refused one nothing.

use apikey::{CreatedKey, KeyStore, KeyUpdate, ManualClock, NewKey, Owner, Quota, Tenant};
use apikey_testkit::{Answer, Call};
use chrono::{DateTime, TimeDelta, TimeZone, Utc};

use crate::examples::ALL;

/// Paths guarded by the attribute, by the layer around the handler, by both, and by both where the attribute has `cost = 5`.
const PATHS: [(&str, u64); 4] = [("/orders", 1), ("/admin/stats", 1), ("/admin/audit", 1), ("/admin/report", 5)];

fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2028, 2, 28, 12, 0, 0).unwrap()
}

fn fixture() -> (ManualClock, KeyStore) {
    let clock = ManualClock::new(noon());
    let store = KeyStore::builder().clock(clock.clone()).temporary().unwrap();
    (clock, store)
}

fn key(store: &KeyStore, quota: Quota) -> CreatedKey {
    store.create(NewKey::for_owner("alice").permissions(["*"]).quota(quota)).unwrap()
}

fn send(path: &str, key: &CreatedKey, port: u16) -> Answer {
    Call::get(path).key(key.key.expose_secret()).send(port)
}

/// The status, the fields of the quota, and the time to wait.
fn limits_of(answer: &Answer) -> (u16, String, String, String) {
    let value = |name| answer.all(name).join("|");
    (answer.status, value("ratelimit-policy"), value("ratelimit"), value("retry-after"))
}

#[test]
fn a_request_takes_its_cost_once_and_the_response_shows_what_is_left() {
    let (clock, store) = fixture();
    for example in ALL {
        let port = example.start(&store);
        for (path, cost) in PATHS {
            let who = format!("{} {path}", example.name);
            let key = key(&store, Quota::per_day(2 * cost));
            let end = noon() + TimeDelta::hours(12);
            let policy = || format!("\"quota\";q={};w=86400", 2 * cost);
            let left = |left: u64| format!("\"quota\";r={left};t=43200");
            for used in [cost, 2 * cost] {
                assert_eq!(
                    limits_of(&send(path, &key, port)),
                    (200, policy(), left(2 * cost - used), "".into()),
                    "{who}"
                );
            }
            for _ in 0..2 {
                let answer = send(path, &key, port);
                assert_eq!(limits_of(&answer), (429, policy(), left(0), "43200".into()), "{who}");
                assert_eq!(answer.all("content-type"), ["application/problem+json"], "{who}");
                assert_eq!(answer.all("cache-control"), ["no-store"], "{who}");
                assert_eq!(answer.all("vary").join(", ").to_lowercase(), "x-api-key", "{who}");
                let problem = answer.json();
                assert_eq!(problem["code"], "quota_exceeded", "{who}");
                assert_eq!(problem["type"], "urn:apikey:problem:quota_exceeded", "{who}");
                assert_eq!(problem["resets_at"], "2028-02-29T00:00:00Z", "{who}");
            }
            let refusals = store.refusals_of(key.info.id());
            assert_eq!(refusals, [("quota_exceeded", 2)].into(), "{who}");
            clock.set(end);
            assert_eq!(send(path, &key, port).status, 200, "{who}");
            // A store's time goes back to no event of it, and this one has none of the next day.
            clock.set(noon());
        }
    }
}

#[test]
fn a_quota_in_all_that_is_used_up_is_forbidden() {
    let (_, store) = fixture();
    for example in ALL {
        let port = example.start(&store);
        for (path, cost) in PATHS {
            let who = format!("{} {path}", example.name);
            let key = key(&store, Quota::total(cost));
            let (policy, left) = (format!("\"quota\";q={cost}"), "\"quota\";r=0");
            assert_eq!(limits_of(&send(path, &key, port)), (200, policy, left.into(), "".into()), "{who}");
            let answer = send(path, &key, port);
            assert_eq!(limits_of(&answer), (403, "".into(), "".into(), "".into()), "{who}");
            assert_eq!(answer.json()["code"], "no_uses_left", "{who}");
            assert_eq!(answer.json().get("resets_at"), None, "{who}");
        }
    }
}

/// Of four uses a request that costs five leaves four, also where the layer took one before the handler asked for more.
#[test]
fn a_refused_request_takes_nothing() {
    let (_, store) = fixture();
    let created = |owner: &str, grants: &[&str], quota| {
        store.create(NewKey::for_owner(owner).permissions(grants).quota(quota)).unwrap()
    };
    for example in ALL {
        let port = example.start(&store);
        let status = |path: &str, key: &CreatedKey| send(path, key, port).status;
        for (quota, refused) in [(Quota::per_month(4), 429), (Quota::total(4), 403)] {
            let key = created("alice", &["*"], quota);
            let statuses = [
                status("/admin/report", &key),
                status("/admin/report", &key),
                status("/admin/audit", &key),
                status("/admin/stats", &key),
                status("/orders", &key),
                status("/admin/report", &key),
                status("/admin/audit", &key),
                status("/admin/audit", &key),
            ];
            assert_eq!(statuses, [refused, refused, 200, 200, 200, refused, 200, refused], "{}", example.name);
        }
        // The layer around the handler lets it pass, and the attribute on the handler does not.
        let key = created("bob", &["admin"], Quota::per_day(1));
        let statuses = ["/admin/audit", "/admin/report", "/orders", "/admin/stats", "/admin/audit"];
        let statuses = statuses.map(|path| status(path, &key));
        assert_eq!(statuses, [403, 403, 403, 200, 429], "{}", example.name);
        // Rocket's handler refuses it itself, after the guard: that is an answer of the handler.
        let apex = store.tenant("apex").unwrap();
        let new = NewKey::for_owner("alice").permissions(["*"]).quota(Quota::per_day(1));
        let key = apex.create(new).unwrap();
        if example.name != "rocket" {
            let paths = ["/tenants/acme/orders/1", "/tenants/acme/orders/1", "/tenants/apex/orders/1"];
            assert_eq!(paths.map(|path| status(path, &key)), [404, 404, 200], "{}", example.name);
        }
    }
}

#[test]
fn a_limit_and_a_quota_are_members_of_the_same_fields() {
    let (_, store) = fixture();
    for example in ALL {
        let port = example.start(&store);
        for (path, cost) in PATHS {
            let new = NewKey::for_owner("alice").permissions(["*"]).quota(Quota::per_month(100));
            let key = store.create(new.limit(10, TimeDelta::minutes(1))).unwrap();
            let policy = "\"key\";q=10;w=60, \"quota\";q=100;w=2678400";
            // From noon of the 28th of February to the end of the 29th.
            let left = format!("\"key\";r=9;t=6, \"quota\";r={};t=129600", 100 - cost);
            let expected = (200, policy.to_owned(), left, String::new());
            assert_eq!(limits_of(&send(path, &key, port)), expected, "{} {path}", example.name);
        }
        // A refusal by one of the two names both.
        let limit = TimeDelta::minutes(1);
        let new = || NewKey::for_owner("alice").permissions(["*"]);
        let over_limit = store.create(new().quota(Quota::per_month(100)).limit(1, limit)).unwrap();
        let over_quota = store.create(new().quota(Quota::per_day(1)).limit(10, limit)).unwrap();
        for path in ["/orders", "/admin/stats", "/admin/audit"] {
            store.update(over_quota.info.id(), KeyUpdate::new().no_quota().no_limit()).unwrap();
            store.update(over_limit.info.id(), KeyUpdate::new().no_quota().no_limit()).unwrap();
            let (month, day) = (Quota::per_month(100), Quota::per_day(1));
            store.update(over_limit.info.id(), KeyUpdate::new().quota(month).limit(1, limit)).unwrap();
            store.update(over_quota.info.id(), KeyUpdate::new().quota(day).limit(10, limit)).unwrap();
            let [limited, used_up] = [&over_limit, &over_quota].map(|key| {
                assert_eq!(send(path, key, port).status, 200, "{} {path}", example.name);
                limits_of(&send(path, key, port))
            });
            let (policy, left) =
                ("\"key\";q=1;w=60, \"quota\";q=100;w=2678400", "\"key\";r=0;t=60, \"quota\";r=99;t=129600");
            assert_eq!(limited, (429, policy.into(), left.into(), "60".into()), "{} {path}", example.name);
            let (policy, left) = ("\"key\";q=10;w=60, \"quota\";q=1;w=86400", "\"key\";r=8;t=6, \"quota\";r=0;t=43200");
            assert_eq!(used_up, (429, policy.into(), left.into(), "43200".into()), "{} {path}", example.name);
        }
    }
}

/// Two keys of a tenant: what the layer and the attribute take of one, the other has not left; and where the tenant refuses, the
/// key and its owner have used nothing.
#[test]
fn keys_of_a_tenant_and_of_an_owner_use_one_quota_once_for_each_request() {
    let (_, store) = fixture();
    for example in ALL {
        let port = example.start(&store);
        for (at, (path, cost)) in PATHS.into_iter().enumerate() {
            let who = format!("{} {path}", example.name);
            let name = format!("{}_{at}", example.name);
            let tenant = store.tenant(&name).unwrap();
            store.put_tenant(Tenant::new(&name).quota(Quota::per_day(5 * cost))).unwrap();
            tenant.put_owner(Owner::new("alice").quota(Quota::total(3 * cost))).unwrap();
            let create = |owner: &str| tenant.create(NewKey::for_owner(owner).permissions(["*"])).unwrap();
            let [laptop, server, other] = ["alice", "alice", "bob"].map(create);
            let statuses =
                |keys: &[&CreatedKey]| keys.iter().map(|key| send(path, key, port).status).collect::<Vec<_>>();
            assert_eq!(statuses(&[&laptop, &server, &server, &laptop, &server]), [200, 200, 200, 403, 403], "{who}");
            let left = |left: u64| format!("\"quota\";r={left};t=43200");
            let policy = format!("\"quota\";q={};w=86400", 5 * cost);
            assert_eq!(limits_of(&send(path, &other, port)), (200, policy.clone(), left(cost), "".into()), "{who}");
            assert_eq!(statuses(&[&other, &other, &laptop]), [200, 429, 403], "{who}");
            assert_eq!(limits_of(&send(path, &other, port)), (429, policy, left(0), "43200".into()), "{who}");
            let used = |status: Option<apikey::QuotaStatus>| status.unwrap().used();
            assert_eq!(used(tenant.quota_status().unwrap()), 5 * cost, "{who}");
            assert_eq!(used(tenant.of_owner("alice").quota_status().unwrap()), 3 * cost, "{who}");
            // The owner has bought more, and the tenant has none left.
            tenant.of_owner("alice").add_shared_uses(cost).unwrap();
            assert_eq!(statuses(&[&laptop, &server]), [429, 429], "{who}");
            assert_eq!(used(tenant.of_owner("alice").quota_status().unwrap()), 3 * cost, "{who}");
        }
    }
}
