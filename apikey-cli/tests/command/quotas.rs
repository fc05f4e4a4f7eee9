//! Quotas of keys, of a store that the command opens and of one that a service has open.

use apikey_core::{KeyStore, Quota};
use serde_json::{Value, json};

use super::{Done, Place};

const OF_THIS_YEAR: &str = " until 20";

impl Place {
    fn quota(&self, id: &str) -> (Value, Value) {
        let of = self.json(&["quota", id]);
        assert_eq!(of["key"], id);
        (of["used"].clone(), of["remaining"].clone())
    }

    /// Uses a key as a service does that closes the store after it.
    fn used(&self, secret: &str, times: usize) {
        let store = KeyStore::open(self.path("keys.db")).unwrap();
        use_key(&store, secret, times);
        store.close().unwrap();
    }
}

fn use_key(store: &KeyStore, secret: &str, times: usize) {
    for _ in 0..times {
        store.verify(secret).unwrap();
    }
}

/// What the command shows of a key with a quota of ten a day of which three are used, and changes.
fn check(place: &Place, id: &str, secret: &str, use_more: impl Fn(usize)) {
    assert_eq!(place.quota(id), (3.into(), 7.into()));
    let shown = place.run(&["quota", &id[..13]]).ok();
    shown.shows("quota   10 a day\n").shows("used    3\n").shows("left    7\n").shows("resets  20").shows("(alice)");
    place.run(&["show", id]).ok().shows(&format!("10 a day, 7 left{OF_THIS_YEAR}"));
    assert_eq!(place.json(&["show", id])["quota"], json!({ "count": 10, "per": "day" }));
    place.run(&["list", "--columns", "id,quota"]).ok().shows("QUOTA").shows("10 a day");
    // A check uses nothing.
    place.check(secret).ok().shows("good").shows(&format!("10 a day, 7 left{OF_THIS_YEAR}"));
    let checked: Value = serde_json::from_str(&place.fed(secret, &["--json", "check"]).ok().out).unwrap();
    assert_eq!((&checked["quota"]["used"], &checked["quota"]["remaining"]), (&3.into(), &7.into()));
    use_more(7);
    assert_eq!(place.quota(id), (10.into(), 0.into()));
    let refused = place.check(secret).with(1).shows("quota_exceeded");
    refused.shows("active");

    let update = |arguments: &[&str]| place.run(&[&["update", id], arguments].concat());
    update(&["--add-uses", "5"]).with(2).says("invalid quota \"10 a day\": --add-uses is for quotas in all");
    update(&["--quota", "20/month-05:30"]).ok().shows("updated");
    assert_eq!(place.quota(id), (10.into(), 10.into()));
    place.run(&["quota", id]).ok().shows("20 a month (-05:30)");
    update(&["--quota", "12/total"]).ok();
    let total = place.run(&["quota", id]).ok().shows("quota   12 in all").shows("left    2\n").shows("resets  never");
    total.hides(OF_THIS_YEAR);
    update(&["--add-uses", "3"]).ok().shows("updated");
    assert_eq!(place.quota(id), (10.into(), 5.into()));
    update(&["--add-uses", "0"]).with(2).says("invalid --add-uses \"0\"");
    update(&["--add-uses", "1000000000000"]).with(2).says("invalid --quota \"1000000000015\"");
    update(&["--add-uses", "3", "--name", "ci"]).with(2).says("--add-uses is a change of its own");
    update(&["--add-uses", "3", "--no-quota"]).with(2).says("cannot be used with");
    update(&["--quota", "0/day"]).with(2).says("invalid --quota \"0\": allowed are 1 to 1,000,000,000,000 uses");
    update(&["--quota", "1/day+15:00"])
        .with(2)
        .says("invalid --quota \"+15:00\": allowed are whole minutes from -14:00");
    use_more(5);
    place.check(secret).with(1).shows("no_uses_left");
    update(&["--no-quota"]).ok();
    assert_eq!(
        place.json(&["quota", id]),
        json!({
            "key": id, "quota": null, "used": null, "remaining": null, "resets_at": null
        })
    );
    place.run(&["quota", id]).ok().shows("quota  none").hides("used");
    place.run(&["show", id]).ok().hides("quota");
    place.check(secret).ok().shows("good").hides(" left");
    let events = place.run(&["events", "--key", id]).ok();
    events
        .shows("quota=10 a day->20 a month (-05:30)")
        .shows("quota=20 a month (-05:30)->12 in all")
        .shows("quota=12 in all->15 in all")
        .shows("quota=15 in all->none");
}

#[test]
fn what_is_left_is_shown_and_changed_in_a_store_that_the_command_opens() {
    let (place, _) = Place::with_store();
    let (id, secret) = place.key(&["alice", "--quota", "10/day"]);
    place.used(&secret, 3);
    check(&place, &id, &secret, |times| place.used(&secret, times));
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_left_is_shown_and_changed_through_a_service() {
    let place = Place::new();
    let service = KeyStore::builder().admin_socket(true).open(place.path("keys.db")).unwrap();
    let (id, secret) = place.key(&["alice", "--quota", "10/day"]);
    use_key(&service, &secret, 3);
    check(&place, &id, &secret, |times| use_key(&service, &secret, times));
}

#[test]
fn a_quota_that_cannot_be_read_says_what_is_allowed() {
    let (place, _) = Place::with_store();
    let create = |quota: &str| -> Done { place.run(&["create", "alice", "--quota", quota]) };
    for wrong in ["10000", "10000/week", "ten/day", "1/total+01:00", "1/day+1"] {
        let refused = create(wrong).with(2).says(&format!("invalid value '{wrong}' for '--quota <COUNT/PERIOD>'"));
        refused.says("`day`, `month` or `total` are expected, as in 10000/day");
    }
    create("0/month").with(2).says("invalid --quota \"0\"");
    create("10000/month").ok();
}

/// A revoked key has its quota, for whoever looks at why it was revoked.
#[test]
fn the_quota_of_a_key_that_is_not_valid_is_shown() {
    let (place, _) = Place::with_store();
    let (id, secret) = place.key(&["alice", "--quota", "10/day"]);
    place.used(&secret, 4);
    place.run(&["disable", &id]).ok();
    assert_eq!(place.quota(&id), (4.into(), 6.into()));
    place.check(&secret).with(1).shows("disabled_api_key");
    place.run(&["revoke", &id]).ok();
    assert_eq!(place.quota(&id), (4.into(), 6.into()));
    let of = KeyStore::open(place.path("keys.db")).unwrap().get(id.parse().unwrap()).unwrap().unwrap();
    assert_eq!(of.quota(), Some(Quota::per_day(10)));
    place.run(&["quota", "01931a4e-7c3b-7def-8123-456789abcdef"]).with(3);
}

/// What the command shows and changes of quotas that keys share; `use_key` uses one so many times, as far as it may.
fn check_shared(place: &Place, use_key: impl Fn(&str, usize)) {
    let (_, laptop) = place.key(&["alice", "--tenant", "acme"]);
    let (server_id, server) = place.key(&["alice", "--tenant", "acme", "--quota", "100/day"]);
    let (_, outside) = place.key(&["alice"]);
    place.run(&["owner", "list"]).ok().says("no owner has bounds");
    place.run(&["owner", "show", "alice", "--tenant", "acme"]).ok().shows("keys    2\n").shows("quota   none\n");
    let owner = |arguments: &[&str]| place.run(&[&["owner", "put", "alice", "--tenant", "acme"], arguments].concat());
    owner(&["--quota", "10/day"]).ok().shows("put alice of acme (10 a day)");
    owner(&["--quota", "10/day"]).ok().shows("nothing changed: alice of acme (10 a day)");
    let tenant = ["tenant", "put", "acme", "--permission", "*", "--quota", "20/total"];
    place.run(&tenant).ok().shows("put acme (*, 20 in all)");
    use_key(&laptop, 3);
    use_key(&server, 2);
    use_key(&outside, 4);
    let left = |arguments: &[&str]| {
        let of = place.json(&[&["quota"], arguments].concat());
        (of["used"].clone(), of["remaining"].clone())
    };
    assert_eq!(left(&["--owner", "alice", "--tenant", "acme"]), (5.into(), 5.into()));
    assert_eq!(left(&["--tenant", "acme"]), (5.into(), 15.into()));
    assert_eq!(left(&["--owner", "alice"]), (Value::Null, Value::Null));
    let shown = place.run(&["quota", "--owner", "alice", "--tenant", "acme"]).ok();
    shown.shows("owner   alice of acme\n").shows("quota   10 a day\n").shows("left    5\n").shows("resets  20");
    place.run(&["quota", "--tenant", "acme"]).ok().shows("tenant  acme\n").shows("left    15\n").shows("resets  never");
    place.run(&["owner", "show", "alice", "--tenant", "acme"]).ok().shows(&format!("10 a day, 5 left{OF_THIS_YEAR}"));
    let shown = place.json(&["owner", "show", "alice", "--tenant", "acme"]);
    assert_eq!((&shown["keys"], &shown["used"], &shown["quota"]["count"]), (&2.into(), &5.into(), &10.into()));
    place.run(&["tenant", "show", "acme"]).ok().shows("quota        20 in all");
    place.run(&["owner", "list"]).ok().shows("NAME").shows("acme").shows("10 a day");
    // The one of which the fewest uses are left.
    place.check(&laptop).ok().shows(&format!("shared quota  10 a day, 5 left{OF_THIS_YEAR}"));
    place.check(&server).ok().shows("shared quota").shows("100 a day");
    place.run(&["show", &server_id]).ok().shows("100 a day, 98 left").hides("shared");
    place.check(&outside).ok().hides("quota");
    use_key(&laptop, 20);
    place.check(&server).with(1).shows("quota_exceeded  API key has used its quota of 10 a day");
    // Uses are added to quotas in all alone.
    owner(&["--add-uses", "5"]).with(2).says("invalid quota \"10 a day\": --add-uses is for quotas in all");
    owner(&["--quota", "12/total"]).ok();
    owner(&["--add-uses", "3"]).ok().shows("put alice of acme (15 in all, 5 left)");
    place.run(&["tenant", "put", "acme", "--add-uses", "5"]).ok().shows("put acme (25 in all, 15 left)");
    let shown = place.json(&["tenant", "show", "acme"]);
    assert_eq!((&shown["permissions"], &shown["quota"]["count"]), (&json!(["*"]), &25.into()));
    place.run(&["tenant", "put", "acme", "--add-uses", "5", "--limit", "1/1m"]).with(2).says("cannot be used with");
    owner(&["--add-uses", "3", "--no-quota"]).with(2).says("cannot be used with");
    owner(&[]).with(2).says("--no-quota");
    owner(&["--quota", "0/day"]).with(2).says("invalid --quota \"0\"");
    place.run(&["owner", "put", "bob", "--add-uses", "3"]).with(2).says("invalid quota \"none\"");
    owner(&["--no-quota"]).ok().shows("put alice of acme (no bounds)");
    assert_eq!(place.json(&["owner", "list"])["owners"], json!([]));
    place.run(&["tenant", "put", "acme", "--permission", "*"]).ok().shows("put acme (*)");
    place.check(&server).ok().hides("shared");
    place.run(&["quota"]).with(2).says("--owner");
    place.run(&["quota", &server_id, "--owner", "alice"]).with(2).says("cannot be used with");
    place.run(&["owner", "show", "alcie", "--tenant", "acme"]).with(3).says("near it are \"alice\"");
    place
        .run(&["events", "--kind", "owner_put,tenant_put"])
        .ok()
        .shows("owner=alice tenant=acme quota=none->10 a day")
        .shows("quota=12 in all->15 in all")
        .shows("quota=20 in all->25 in all")
        .shows("quota=25 in all->none");
    let events = place.run(&["events", "--tenant", "acme"]).ok();
    events.shows("owner_put").shows("tenant_put");
}

#[test]
fn what_keys_share_is_shown_and_changed_in_a_store_that_the_command_opens() {
    let (place, _) = Place::with_store();
    check_shared(&place, |secret, times| {
        let store = KeyStore::open(place.path("keys.db")).unwrap();
        (0..times).for_each(|_| drop(store.verify(secret)));
        store.close().unwrap();
    });
}

#[test]
#[cfg(target_os = "linux")]
fn what_keys_share_is_shown_and_changed_through_a_service() {
    let place = Place::new();
    let service = KeyStore::builder().admin_socket(true).open(place.path("keys.db")).unwrap();
    check_shared(&place, |secret, times| (0..times).for_each(|_| drop(service.verify(secret))));
}
