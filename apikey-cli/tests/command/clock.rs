//! A store that recorded events while the clock was wrong.

use apikey_core::{KeyStore, ManualClock, NewKey};
use chrono::{TimeDelta, Utc};

use super::Place;

impl Place {
    /// A store with a key that expires in a day and one that was created ten years from now; returns the first one's secret.
    fn ahead() -> (Self, String) {
        let place = Self::new();
        let clock = ManualClock::new(Utc::now());
        let store = KeyStore::builder().clock(clock.clone()).open(place.path("keys.db")).unwrap();
        let key = store.create(NewKey::for_owner("alice").expires_in(TimeDelta::days(1))).unwrap();
        clock.advance(TimeDelta::days(3650));
        store.create(NewKey::for_owner("bob")).unwrap();
        store.close().unwrap();
        (place, key.key.expose_secret().to_owned())
    }
}

#[test]
fn a_store_ahead_of_its_clock_is_reported_and_repaired() {
    let (place, secret) = Place::ahead();
    place.check(&secret).with(1).shows("expired_api_key");
    // The store refuses the key by its own time, not by this machine's clock.
    assert_eq!(place.json(&["list", "--owner", "alice"])["keys"][0]["state"], "expired");
    place.run(&["doctor"]).with(1).shows("faulty").shows("apikey clock accept");
    assert!(place.json_with(1, &["doctor"])["health"]["ahead"]["store_time"].is_string());
    place.run(&["clock", "accept"]).ok().shows("set back from");
    place.check(&secret).ok();
    place.run(&["doctor"]).ok();
    place.run(&["events", "--kind", "clock_accepted"]).ok().shows("uid:").shows("from=").shows("to=");
    place.run(&["clock", "accept"]).ok().shows("nothing changed");
    assert!(place.json(&["clock", "accept"])["accepted"].is_null());
}

#[cfg(target_os = "linux")]
#[test]
fn a_running_service_accepts_its_clock() {
    let (place, secret) = Place::ahead();
    let service = KeyStore::builder().admin_socket(true).open(place.path("keys.db")).unwrap();
    assert!(service.verify(&secret).is_err());
    place.run(&["doctor"]).with(1).shows("apikey clock accept");
    assert!(place.json(&["clock", "accept"])["accepted"]["from"].is_string());
    assert!(service.verify(&secret).is_ok());
    place.run(&["doctor"]).ok();
}

#[test]
fn a_restore_reports_that_the_backup_is_ahead() {
    let (place, secret) = Place::ahead();
    place.run(&["backup", "keys.backup"]).ok();
    // The restore is complete, and the operator has something to do.
    let restored = place.run(&["restore", "keys.backup", "--into", "new.db", "--old-is-gone"]).with(1);
    restored.shows("ahead").shows("the store's time is").shows("apikey clock accept");
    let new = ["--store", "new.db"];
    place.fed(format!("{secret}\n"), &[&new[..], &["check"]].concat()).with(1).shows("expired_api_key");
    place.run(&[&new[..], &["clock", "accept"]].concat()).ok();
    place.fed(format!("{secret}\n"), &[&new[..], &["check"]].concat()).ok();
}
