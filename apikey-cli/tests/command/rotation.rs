//! Keys with a rotation policy.

use std::fs;
use std::time::{Duration, Instant};

use super::Place;

/// Repeats `run-due` until it delivers a secret: a key is due a second after its creation at the earliest.
fn until_delivered(place: &Place, arguments: &[&str]) -> super::Done {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let done = place.run(&[&["run-due"], arguments].concat());
        if done.out.contains("delivered") {
            return done;
        }
        assert!(Instant::now() < end, "{done:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_new_secret_of_a_due_key_is_delivered_to_a_file() {
    let (place, _) = Place::with_store();
    let (id, first) = place.key(&["alice", "--rotate-every", "2s", "--rotate-overlap", "first-use"]);
    let shown = place.run(&["show", &id]).ok();
    shown.shows("every 2 seconds, due ").shows("the old secret stays valid until the new one is used");
    place.run(&["run-due", "--deliver-to", "secrets"]).with(7).says("there is no directory").says("no key was rotated");
    assert!(!place.path("secrets").exists());
    fs::create_dir(place.path("secrets")).unwrap();
    until_delivered(&place, &["--deliver-to", "secrets"]).ok().shows(&id).says("delivered 1, failed 0").hides(&first);
    let second = fs::read_to_string(place.path(&format!("secrets/{id}"))).unwrap();
    assert_ne!(first, second.trim());
    place.check(second.trim()).ok().shows("number 2");
    place.check(&first).ok().shows("an old secret");
    place.run(&["update", &id, "--no-rotation"]).ok();
    assert_eq!(place.json(&["show", &id])["rotation"], serde_json::Value::Null);
    let report = place.json(&["run-due", "--deliver-to", "secrets"]);
    assert_eq!(report["delivered"], serde_json::json!([]));
    place.run(&["update", &id, "--rotate-every", "30d"]).ok();
    place.run(&["show", &id]).ok().shows("every 30 days, due ").shows("stays valid for 1 day");
    place.run(&["update", &id, "--rotate-every", "1ms"]).with(2).says("--rotate-every");
    place.run(&["create", "bob", "--rotate-overlap", "1h"]).with(2).says("--rotate-every");
    place.run(&["run-due"]).with(2).says("<--deliver-to <DIR>|--deliver-by <COMMAND>");
    place.run(&["run-due", "--deliver-to", "secrets", "--deliver-by", "cat"]).with(2).says("cannot be used with");
}

#[test]
fn a_failed_delivery_by_a_command_is_reported() {
    let (place, _) = Place::with_store();
    let (id, first) = place.key(&["alice", "--rotate-every", "2s"]);
    let failed = until_delivered(&place, &["--deliver-by", "false"]).with(1);
    failed.shows(&format!("not delivered: {id}: false ended with")).says("failed 1");
    let missing = until_delivered(&place, &["--deliver-by", "no-such-program"]).with(1);
    assert!(!missing.out.contains("os error"), "{missing:?}");
    place.check(&first).ok();
    let file = place.path("taken");
    let script = format!("cat > {}", file.display());
    until_delivered(&place, &["--deliver-by", "sh", "-c", &script]).ok().shows("delivered the new secret");
    place.check(fs::read_to_string(&file).unwrap().trim()).ok();
}

#[test]
fn a_delivery_command_does_not_get_the_environment() {
    let (place, _) = Place::with_store();
    place.key(&["alice", "--rotate-every", "2s"]);
    let script = "[ \"$PEPPER${ADDRESS-unset}\" = unset ]";
    let run = |environment: &[&str], script: &str| {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let arguments = [&["run-due"], environment, &["--deliver-by", "sh", "-c", script]].concat();
            let mut command = place.command(&arguments);
            let done = place.done(command.env("PEPPER", "hush").env("ADDRESS", "vault.test"), "");
            if done.out.contains("delivered") {
                return done;
            }
            assert!(Instant::now() < end, "{done:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    run(&[], script).ok();
    run(&["--deliver-env", "ADDRESS"], "[ \"$PEPPER${ADDRESS-unset}\" = vault.test ]").ok();
    place.run(&["run-due", "--deliver-env", "ADDRESS", "--deliver-to", "secrets"]).with(2).says("--deliver-env");
}

#[test]
#[cfg(target_os = "linux")]
fn the_service_that_has_the_store_open_rotates_due_keys() {
    let place = Place::new();
    let store = apikey_core::KeyStore::builder().admin_socket(true).open(place.path("keys.db")).unwrap();
    let (id, first) = place.key(&["alice", "--rotate-every", "2s", "--rotate-overlap", "1s"]);
    fs::create_dir(place.path("secrets")).unwrap();
    until_delivered(&place, &["--deliver-to", "secrets"]).ok().shows(&id).says("asking it at");
    let second = fs::read_to_string(place.path(&format!("secrets/{id}"))).unwrap();
    assert_eq!(store.verify(second.trim()).unwrap().secret_version(), 2);
    assert_ne!(second.trim(), first);
}

#[test]
fn a_rotation_says_that_it_ends_a_secret_that_nobody_has_used() {
    let (place, _) = Place::with_store();
    let (id, first) = place.key(&["alice"]);
    let rotate = || place.run(&["rotate", &id, "--overlap", "1h"]).ok();
    let second = rotate();
    assert!(!second.err.contains("nobody has used"), "{}", second.err);
    let third = rotate().says("secret number 2 of the key, which nobody has used, has ended");
    place.check(second.out.trim()).with(1);
    place.check(&first).ok();
    place.check(third.out.trim()).ok();
}
