//! How often keys were used, of a store that the command opens and of one that a service has open.

use apikey_core::{CreatedKey, KeyStore, KeyStoreBuilder, KeyUpdate, ManualClock, NewKey};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::{Done, Place};

const ALL: [&[&str]; 5] =
    [&[], &["--owner", "alice"], &["--owner", "bob", "--tenant", "acme"], &["--tenant", "acme"], &["--step", "minute"]];

fn counting() -> KeyStoreBuilder {
    KeyStore::builder().count_use(true)
}

impl Place {
    fn usage(&self, arguments: &[&str]) -> Done {
        self.run(&[&["usage"], arguments].concat())
    }

    fn reported(&self, arguments: &[&str]) -> Value {
        self.json(&[&["usage"], arguments].concat())
    }

    /// Opens the store at another time, and uses a key.
    fn used_at(&self, at: DateTime<Utc>, key: &CreatedKey, times: usize) {
        let store = counting().clock(ManualClock::new(at)).open(self.path("keys.db")).unwrap();
        for _ in 0..times {
            store.verify(key.key.expose_secret()).unwrap();
        }
        store.close().unwrap();
    }
}

/// Three keys: alice's with two uses, one of bob of the tenant acme with three uses and a refusal, and one that nobody uses.
fn used(store: &KeyStore) -> [CreatedKey; 3] {
    let acme = store.tenant("acme").unwrap();
    let keys =
        [NewKey::for_owner("alice").name("ci"), NewKey::for_owner("carol")].map(|new| store.create(new).unwrap());
    let bob = acme.create(NewKey::for_owner("bob")).unwrap();
    let verify = |key: &CreatedKey| store.verify(key.key.expose_secret());
    for key in [&keys[0], &keys[0], &bob, &bob, &bob] {
        verify(key).unwrap();
    }
    store.update(bob.info.id(), KeyUpdate::new().disabled(true)).unwrap();
    verify(&bob).unwrap_err();
    store.verify("ak_nothing").unwrap_err();
    let [alice, carol] = keys;
    [alice, bob, carol]
}

/// What is printed of the keys of [`used`], also by a command that does not count.
fn check(place: &Place, [alice, bob, carol]: &[CreatedKey; 3]) {
    let sums = |arguments: &[&str]| {
        let report = place.reported(arguments);
        let refusals = report["refusals"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        (report["uses"].as_u64().unwrap(), refusals)
    };
    assert_eq!(ALL.map(&sums), [(5, 2), (2, 0), (3, 1), (3, 1), (5, 2)]);
    let ids = [alice, bob, carol].map(|key| key.info.id().to_string());
    assert_eq!(ids.each_ref().map(|id| sums(&[id])), [(2, 0), (3, 1), (0, 0)]);
    let report = place.reported(&[&ids[1]]);
    assert_eq!((&report["step"], &report["uses_total"]), (&"hour".into(), &3.into()));
    assert_eq!(report["points"].as_array().unwrap().len(), 25);
    // The beginning of an id, or of a token.
    place.usage(&[&bob.key.expose_secret()[..25]]).ok().shows("1 (1 disabled_api_key)").shows("uses of all time  3");
    let all =
        place.usage(&[]).ok().shows("uses              5").shows("refusals          2 (1 disabled_api_key, 1 invalid");
    all.shows("25 hours, from 20").shows("USES  REFUSALS").hides("▁");
    place.usage(&[&ids[2]]).ok().shows("uses              0").says("nothing was counted in this time");
    place.usage(&[&ids[0], "--step", "minute"]).ok().shows("1441 minutes").says("among the thousand busiest");
    // Names that nobody has.
    place.usage(&["--owner", "alcie"]).ok().says("near it are \"alice\"");
    place.usage(&["--owner", "bob"]).ok().says("--tenant acme");
    place.usage(&["--tenant", "apex"]).ok().says("no key is of the tenant \"apex\"");

    let busiest = place.usage(&["--most-used"]).ok().shows("USES  REFUSALS");
    let lines: Vec<Vec<&str>> = busiest.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], [&ids[1], "bob", "acme", "-", "3", "1", "disabled_api_key"]);
    assert_eq!(lines[2], [&ids[0], "alice", "-", "ci", "2", "-"]);
    assert_eq!(lines.len(), 3);
    let busiest = place.reported(&["--most-used", "1", "--since", "20d"]);
    assert_eq!(busiest["keys"].as_array().unwrap().len(), 1);
    assert_eq!((&busiest["keys"][0]["key"], &busiest["keys"][0]["uses"]), (&ids[1].as_str().into(), &3.into()));
}

#[test]
fn the_command_reads_what_a_service_has_counted_and_counts_nothing() {
    let place = Place::new();
    let store = counting().open(place.path("keys.db")).unwrap();
    let keys = used(&store);
    store.close().unwrap();
    drop(store);
    check(&place, &keys);
    place.check(keys[0].key.expose_secret()).ok();
    place.run(&["show", &keys[0].info.id().to_string()]).ok().hides("uses ");
    check(&place, &keys);
}

#[test]
#[cfg(target_os = "linux")]
fn a_service_reports_its_counts() {
    let place = Place::new();
    let store = counting().admin_socket(true).open(place.path("keys.db")).unwrap();
    let keys = used(&store);
    check(&place, &keys);
    let id = keys[0].info.id().to_string();
    // A key's own sum may lag by a second or two.
    apikey_testkit::wait_until("the sum of the key is there", || {
        place.run(&["show", &id]).ok().out.contains("uses         2")
    });
    assert_eq!(place.json(&["show", &id])["uses_total"], 2);
    place.run(&["doctor"]).ok().hides("in no count");
    let done = place.usage(&["--since", "20d"]).ok();
    done.says("by the day, since the store keeps hours for 14 days").shows("21 days, from");
    place
        .usage(&["--since", "20d", "--step", "hour"])
        .with(2)
        .says("invalid --since")
        .says("last 14 days, by the hour");
}

#[test]
fn a_store_without_counts_says_how_they_come_to_be() {
    let (place, _) = Place::with_store();
    let text = "nothing is counted: a service counts uses if it opens the store with count_use(true)";
    place.usage(&[]).ok().shows("uses              0").says(text);
    place.usage(&["--most-used"]).ok().says(text);
    assert_eq!(place.reported(&[])["uses"], 0);
}

#[test]
#[cfg(target_os = "linux")]
fn a_service_that_does_not_count_says_so() {
    let place = Place::new();
    let open = |builder: KeyStoreBuilder| builder.admin_socket(true).open(place.path("keys.db")).unwrap();
    let store = open(KeyStore::builder());
    let key = store.create(NewKey::for_owner("alice")).unwrap();
    place.usage(&[]).ok().says("nothing is counted: a service counts uses if it opens");
    drop(store);
    let store = open(counting());
    store.verify(key.key.expose_secret()).unwrap();
    drop(store);
    let store = open(KeyStore::builder());
    place.usage(&[]).ok().shows("uses              1").says("the service counts no uses: these are of a time");
    drop(store);
}

#[test]
fn the_newest_steps_are_shown() {
    let place = Place::new();
    let store = KeyStore::builder().clock(ManualClock::new(Utc::now() - TimeDelta::days(40)));
    let store = store.open(place.path("keys.db")).unwrap();
    let key = store.create(NewKey::for_owner("alice")).unwrap();
    drop(store);
    for days in (1..=30).rev() {
        place.used_at(Utc::now() - TimeDelta::days(days), &key, usize::try_from(days).unwrap());
    }
    let all =
        place.usage(&["--since", "35d"]).ok().shows("36 days, from").says("by the day, since the store keeps hours");
    assert_eq!(all.out.lines().count(), 4 + 1 + 30, "{all:?}");
    all.shows("uses              465").hides("left out");
    let newest = place.usage(&["--since", "35d", "--step", "day", "--limit", "3"]).ok();
    let uses: Vec<&str> =
        newest.out.lines().skip(5).map(|line| line.split_whitespace().rev().nth(1).unwrap()).collect();
    assert_eq!(uses, ["1", "2", "3"]);
    newest.says("27 earlier lines are left out: --limit").hides("by the day");
    let days = place.usage(&["--since", "35d", "--until", "20d"]).ok().shows("16 days, from").shows(" until 20");
    days.shows("uses              275").shows("uses of all time  465");
    // Without a beginning it is a day before the end.
    place.usage(&["--until", "20d"]).ok().shows("2 days, from").shows("uses              41");
    place.usage(&["--until", "3d"]).ok().shows("25 hours, from").shows("uses              7");
}

#[test]
fn errors_name_what_is_allowed() {
    let (place, _) = Place::with_store();
    let refused = |arguments: &[&str]| place.usage(arguments).with(2);
    place.usage(&["01931a4e-7c3b-7def-8123-456789abcdef"]).with(3).says("there is no key");
    place.usage(&["ffff"]).with(3).says("there is no key whose id begins");
    refused(&["--step", "week"]).says("--step").says("minute, hour, day");
    refused(&["--since", "yesterday"]).says("--since").says("a span ago such as 30d");
    refused(&["--step", "minute", "--since", "3d"]).says("invalid --since").says("within the last day, by the minute");
    refused(&["--since", "500d"]).says("invalid --since").says("within the last 400 days, by the day");
    refused(&["--until", "2d", "--since", "1d"]).says("invalid --since").says("before the end of the report");
    refused(&["--most-used", "1001"]).says("--most-used").says("1001 is not in 1..=1000");
    refused(&["--most-used", "0"]).says("0 is not in 1..=1000");
    refused(&["--most-used", "--since", "2999-01-01"]).says("invalid --since");
    refused(&["--most-used", "--tenant", "acme"]).says("cannot be used with");
    refused(&["--tenant", "Acme"]).says("invalid tenant");
    refused(&["ffff", "--owner", "alice"]).says("cannot be used with");
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_gets_a_curve_of_its_width() {
    use unicode_width::UnicodeWidthStr;

    let place = Place::new();
    let store = counting().open(place.path("keys.db")).unwrap();
    let keys = used(&store);
    store.close().unwrap();
    drop(store);
    for (columns, points) in [(80, 25), (20, 13), (100, 25)] {
        let lines = place.at_terminal(columns, "apikey usage");
        assert!(lines.iter().all(|line| line.trim_end().width() <= columns), "{columns}: {lines:#?}");
        let curve = lines.iter().find(|line| line.contains('▁')).unwrap();
        assert!(curve.chars().count() == points && curve.contains('█'), "{columns}: {lines:#?}");
    }
    let lines = place.at_terminal(80, "apikey usage --most-used");
    assert!(lines.iter().all(|line| line.width() <= 80) && lines[1].contains("bob"), "{lines:#?}");
    let id = keys[2].info.id();
    let lines = place.at_terminal(80, &format!("apikey usage {id}"));
    assert!(!lines.iter().any(|line| line.contains('▁')), "{lines:#?}");
}
