//! Where a secret goes, and where it never goes.

use std::fs;

use super::Place;

#[test]
fn a_secret_is_written_to_a_file_that_only_its_user_can_read() {
    let (place, _) = Place::with_store();
    let made = place.run(&["create", "alice", "--out", "alice.key"]).ok().says("its secret is in alice.key");
    assert_eq!(made.out, "");
    let secret = fs::read_to_string(place.path("alice.key")).unwrap();
    place.check(&secret).ok().shows("alice");
    #[cfg(unix)]
    {
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(place.path("alice.key")).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
    let made = place.json(&["create", "bob", "--out", "bob.key"]);
    assert_eq!((&made["secret"], &made["secret_file"]), (&serde_json::Value::Null, &"bob.key".into()));
}

#[test]
fn an_existing_file_is_not_overwritten_and_no_key_is_created() {
    let (place, _) = Place::with_store();
    fs::write(place.path("there"), "before").unwrap();
    place.run(&["create", "alice", "--out", "there"]).with(4).says("there already exists");
    assert_eq!(fs::read_to_string(place.path("there")).unwrap(), "before");
    place.run(&["create", "alice", "--out", "no/such/place"]).with(7).says("no/such/place");
    place.run(&["list", "--owner", "alice"]).ok().says("no key has the owner");
}

#[test]
fn the_file_of_a_key_that_was_not_created_is_removed() {
    let (place, _) = Place::with_store();
    place.run(&["create", "alice", "--permission", "Orders", "--out", "alice.key"]).with(2);
    assert!(!place.path("alice.key").exists());
}

#[test]
#[cfg(target_os = "linux")]
fn no_key_is_created_whose_secret_would_be_lost() {
    let (place, admin) = Place::with_store();
    let id = place.json(&["list"])["keys"][0]["id"].as_str().unwrap().to_owned();
    let shell = |line: &str| {
        let path = std::path::Path::new(env!("CARGO_BIN_EXE_apikey")).parent().unwrap().display().to_string();
        let mut bash = std::process::Command::new("bash");
        let path = format!("{path}:{}", std::env::var("PATH").unwrap());
        place.done(
            bash.args(["-c", line]).current_dir(place.path("")).env("PATH", path).env("APIKEY_STORE", "keys.db"),
            "",
        )
    };
    for command in ["create alice", "--json create alice", &format!("rotate {id} --overlap none")] {
        shell(&format!("apikey {command} >&-")).with(7).says("the secret would be lost").says("--out FILE");
    }
    shell("apikey --store new.db init >&-").with(7);
    shell("apikey create out --out out.key >&-").ok();
    shell("apikey list >&-").ok();
    // An explicit /dev/null is accepted.
    shell("apikey create nobody > /dev/null").ok();
    place.run(&["list", "--owner", "alice"]).ok().says("no key has the owner");
    place.check(&admin).ok().shows("number 1");
    assert!(!place.path("new.db").exists());
    // Some outputs fail only when they are written to.
    shell("apikey create alice > /dev/full").with(7).says("its secret could not be written").says("revoke it");
    shell("apikey list > /dev/full").with(7).says("standard output");
}

#[test]
fn a_key_on_the_command_line_is_refused_and_not_repeated() {
    let (place, admin) = Place::with_store();
    place.run(&["check", &admin]).with(2).says("standard input").hides(&admin);
    place.run(&["show", &admin]).with(2).says("invalid key id").hides(&admin);
    place.run(&["show", "01931a4e-7c3b-7def-8123-456789abcdef", &admin]).with(2).says("[hidden]").hides(&admin);
    place.run(&[&admin]).with(2).hides(&admin);
    place.run(&["list", "--state", &admin]).with(2).hides(&admin);
    place.run(&["check", &format!("--token={admin}")]).with(2).hides(&admin);
}

#[test]
fn one_key_is_read_and_not_repeated() {
    let (place, admin) = Place::with_store();
    place.fed(format!("  {admin}\r\n"), &["check"]).ok().hides(&admin);
    place.fed(format!("{admin}\n{admin}\n"), &["check"]).with(2).says("several lines").hides(&admin);
    place.fed("\n", &["check"]).with(2).says("standard input, which is empty or closed");
    place.fed([0xff, 0xfe, 0x00], &["check"]).with(1).shows("invalid_api_key");
    place.fed("x".repeat(100_000), &["check"]).with(1).shows("invalid_api_key");
    let wrong = format!("{}{}", &admin[..62], if admin.trim().ends_with('x') { 'y' } else { 'x' });
    place.check(&wrong).with(1).hides(&wrong);
}

#[test]
fn only_a_terminal_gets_colours() {
    let (place, _) = Place::with_store();
    assert!(!place.run(&["list"]).ok().out.contains('\u{1b}'));
    assert!(!place.run(&["lst"]).with(2).err.contains('\u{1b}'));
}

#[test]
fn a_token_is_refused_where_a_text_is_stored_and_is_never_repeated() {
    let (place, secret) = Place::with_store();
    let (id, _) = place.key(&["alice"]);
    let text = format!("see {secret}");
    for arguments in [
        &["create", &text][..],
        &["create", "bob", "--name", &text],
        &["create", "bob", "--metadata", &format!("note={secret}")],
        &["create", "bob", "--metadata", &format!("{secret}=note")],
        &["update", &id, "--name", &secret],
        &["revoke", &id, "--reason", &text],
    ] {
        place.run(arguments).with(2).says("texts without a token").hides(&secret);
    }
    for owner in [" bob", "bob\u{a0}", "b\u{200b}ob", "\u{feff}bob"] {
        place.run(&["create", owner]).with(2).says("invalid owner").says("without white space at either end");
    }
    place.run(&["create", "Zoë Müller"]).ok();
}

#[test]
fn a_key_is_checked_as_it_was_copied_with_its_header() {
    let (place, secret) = Place::with_store();
    for header in ["X-API-Key: ", "x-api-key:", "Authorization: Bearer ", "Bearer "] {
        place.fed(format!("{header}{secret}\n"), &["check"]).ok().shows("good");
    }
}
