//! The store that a command names, and why it may be unusable.

#[cfg(unix)]
use apikey_core::admin::Holder;
use apikey_core::{KeyStore, NewKey};

use super::Place;

#[test]
fn a_first_key_is_created_only_in_a_store_that_never_had_one() {
    let place = Place::new();
    let made = place.run(&["init", "--out", "admin.key"]).ok();
    assert_eq!(made.out, "");
    let admin = std::fs::read_to_string(place.path("admin.key")).unwrap();
    place.fed(&admin, &["check", "--permission", "keys:create"]).ok().shows("admin");
    place.run(&["init"]).with(4).says("has had keys");

    // Not even if no key is left.
    let id = place.json(&["list"])["keys"][0]["id"].as_str().unwrap().to_owned();
    place.run(&["revoke", &id]).ok();
    assert_eq!(place.run(&["init", "--out", "again.key"]).with(4).out, "");
    assert!(!place.path("again.key").exists());
}

#[test]
fn a_store_that_a_service_has_open_is_in_use() {
    let (place, _) = Place::with_store();
    let service = KeyStore::open(place.path("keys.db")).unwrap();
    service.create(NewKey::for_owner("alice")).unwrap();
    let held = format!("keys.db is in use by process {}", std::process::id());
    for arguments in [&["list"][..], &["create", "bob"], &["init"], &["check"]] {
        let refused =
            place.fed("ak_no", arguments).with(5).says(&held).says("It offers no admin socket").says("stop it");
        assert_eq!(refused.out, "");
    }
    service.close().unwrap();
    drop(service);
    place.run(&["list"]).ok().shows("alice");
}

/// A command that has the store open from its first thousand keys until the pipe closes.
#[cfg(unix)]
fn import_at_work(place: &Place) -> std::process::Child {
    use std::process::Stdio;

    let mut command = place.command(&["import", "--owner", "bob"]);
    let mut import = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // It has read nothing, so no command waits for it yet.
    place.run(&["--wait", "0s", "list"]).ok();
    let keys: String = (0..1000).map(|at| format!("legacy-7f3a9c1e5b2d-{at}\n")).collect();
    std::io::Write::write_all(import.stdin.as_mut().unwrap(), keys.as_bytes()).unwrap();
    let holds = || Holder::of(place.path("keys.db")).is_some_and(|holder| holder.pid == import.id());
    while !holds() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    import
}

#[test]
#[cfg(unix)]
fn a_command_waits_for_another_and_then_names_it() {
    let (place, _) = Place::with_store();
    place.run(&["backup", "keys.backup"]).ok();
    let mut import = import_at_work(&place);
    let held = format!("keys.db is in use by process {} (apikey)", import.id());
    for wait in ["0s", "80ms"] {
        for command in [
            &["list"][..],
            &["salvage", "--into", "saved.db"],
            &["restore", "keys.backup", "--into", "new.db", "--over", "keys.db"],
        ] {
            let refused = place.run(&[&["--wait", wait], command].concat()).with(5).says(&held);
            refused.says("probably another `apikey`").says("--wait 1m waits for it").hides("still was");
        }
    }
    let refused = place.run(&["--wait", "0s", "--json", "list"]).with(5);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&refused.err).unwrap()["error"], "in_use");
    std::thread::scope(|scope| {
        let waiting: Vec<_> = [&["list"][..], &["salvage", "--into", "other.db"]]
            .into_iter()
            .map(|command| scope.spawn(|| place.run(command).ok()))
            .collect();
        std::thread::sleep(std::time::Duration::from_millis(200));
        drop(import.stdin.take());
        waiting.into_iter().for_each(|command| drop(command.join().unwrap()));
    });
    assert!(import.wait().unwrap().success());
}

/// Several commands that each open a large store wait for longer than one does.
#[test]
#[cfg(unix)]
fn a_command_waits_for_others_for_half_a_minute() {
    let (place, _) = Place::with_store();
    let mut import = import_at_work(&place);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| place.run(&["list"]).ok().says("waiting for it, at most 30 s"));
        std::thread::sleep(std::time::Duration::from_secs(6));
        drop(import.stdin.take());
        drop(waiting.join().unwrap());
    });
    assert!(import.wait().unwrap().success());
}

#[test]
fn commands_at_the_same_time_take_turns() {
    let (place, _) = Place::with_store();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| place.run(&["create", "alice"]).ok());
        }
    });
    assert_eq!(place.json(&["list", "--owner", "alice"])["keys"].as_array().unwrap().len(), 8);
}

/// A process that closed the store, or ended, is not named as the holder of its lock.
#[test]
#[cfg(unix)]
fn a_former_lock_holder_is_not_named() {
    let (place, _) = Place::with_store();
    let lock = std::fs::File::options().write(true).open(place.path("keys.db/lock")).unwrap();
    for note in [None, Some("pid 4194305\nprogram gone\n")] {
        drop(KeyStore::open(place.path("keys.db")).unwrap());
        note.map_or(Ok(()), |note| std::fs::write(place.path("keys.db/lock"), note)).unwrap();
        // A salvage holds the lock in this way, without a note.
        lock.lock().unwrap();
        let refused = place.run(&["--wait", "50ms", "list"]).with(5).says("is in use by another process, probably");
        assert!(!refused.err.contains("admin socket"), "{}", refused.err);
        lock.unlock().unwrap();
    }
}

#[test]
fn a_missing_store_is_not_created() {
    let place = Place::new();
    place.run(&["list"]).with(6).says("there is no key store at keys.db").says("apikey init");
    place.run(&["create", "alice"]).with(6);
    assert!(!place.path("keys.db").exists());
    std::fs::write(place.path("file"), "x").unwrap();
    place.run(&["--store", "file", "list"]).with(6).says("is no key store");
    place.done(place.command(&["list"]).env_remove("APIKEY_STORE"), "").with(2).says("--store DIR or APIKEY_STORE");
}

#[test]
fn prefix_and_peppers_are_those_of_the_store() {
    let place = Place::new();
    std::fs::write(place.path("one"), [7; 32]).unwrap();
    std::fs::write(place.path("two"), [8; 32]).unwrap();
    let options = ["--prefixes", "acme_live", "--pepper", "1=one"];
    let admin = place.run(&[&options[..], &["init"]].concat()).ok().out;
    assert!(admin.starts_with("acme_live_"), "{admin}");
    place.fed(&admin, &[&options[..], &["check"]].concat()).ok();
    place.run(&["--pepper", "1=one", "list"]).with(2).says("--prefixes");
    place.run(&["--prefixes", "acme_live", "list"]).with(2).says("pepper 1 is missing").says("--pepper 1=FILE");
    place.run(&["--prefixes", "acme_live", "--pepper", "1=two", "list"]).with(2).says("pepper 1");
    place.run(&["--pepper", "1=three", "list"]).with(7).says("three");
    place.run(&["--pepper", "1=/dev/zero", "list"]).with(2).says("/dev/zero has more than 65536 bytes");
    place.run(&["--pepper", "one", "list"]).with(2).says("1=/etc/acme/pepper");
}

#[test]
fn a_bench_leaves_no_trace() {
    let (place, _) = Place::with_store();
    let service = KeyStore::open(place.path("keys.db")).unwrap();
    let bench = ["bench", "--keys", "20", "--time", "20ms"];
    let measured = place.json(&bench);
    assert_eq!(measured["keys"], 20);
    for rate in ["verifications_per_second", "verifications_per_second_on_all_threads", "create_p99_seconds"] {
        assert!(measured[rate].as_f64().unwrap() > 0.0, "{measured}");
    }
    place.run(&bench).ok().shows("on one thread").shows("create, p99");
    assert_eq!(service.health().last_durable, 1);
    assert_eq!(std::fs::read_dir(place.path("")).unwrap().count(), 1);
    place.run(&["--store", "no/such/place", "bench"]).with(7).says("no/such");
    place.run(&["bench", "--time", "soon"]).with(2).says("soon");
}

#[test]
fn the_help_lists_the_exit_codes() {
    let help = Place::new().run(&["--help"]).ok();
    for line in
        ["  0  done", "  1  the answer is no", "  5  another process has the store open", "  7  a file, the disk"]
    {
        assert!(help.out.contains(line), "{}", help.out);
    }
}

/// A slip in an option locked the service out for good.
#[test]
fn a_command_that_only_reads_binds_the_store_to_no_prefix_and_no_pepper() {
    let (place, _) = Place::with_store();
    std::fs::write(place.path("wrong"), "the bytes of a wrong file").unwrap();
    std::fs::write(place.path("right"), "the bytes of the right file").unwrap();
    place.run(&["--prefixes", "ak_live,ak", "list"]).ok();
    place.run(&["--pepper", "2=wrong", "list"]).ok();
    place.run(&["list"]).ok();
    place.run(&["--prefixes", "ak_live", "list"]).with(2).says("1 of the store's keys was made with \"ak\"");
    place.run(&["--pepper", "2=right", "create", "alice"]).ok();
    place.run(&["--pepper", "2=wrong", "list"]).with(2).says("1 key needs those");
    place.run(&["--pepper", "2=right", "list"]).ok();
}
