//! Keys named by the first characters of their ids, or of their tokens.

use super::Place;

/// The fewest first characters that tell an id from the others.
fn unique<'i>(id: &'i str, others: &[&str]) -> &'i str {
    let shared = |other: &&str| id.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let longest = others.iter().map(shared).max().unwrap_or(0) + 1;
    // A hyphen adds nothing.
    &id[..if id[..longest].ends_with('-') { longest + 1 } else { longest }]
}

#[test]
fn every_command_takes_the_beginning_of_an_id() {
    let (place, _) = Place::with_store();
    let (one, secret) = place.key(&["alice", "--name", "ci"]);
    let (two, _) = place.key(&["bob"]);
    let first = place.json(&["list"])["keys"][0]["id"].as_str().unwrap().to_owned();
    let short = unique(&one, &[&first, &two]);
    assert!(short.len() < 36);
    let shown = |arguments: &[&str]| place.run(arguments).ok().shows(&one);
    shown(&["show", short]);
    shown(&["show", &short.to_uppercase()]);
    shown(&["show", &short.replace('-', "")]);
    shown(&["update", short, "--name", "cd"]);
    shown(&["disable", short]);
    shown(&["enable", short]);
    place.run(&["rotate", short, "--overlap", "1h"]).ok().says(&one);
    assert_eq!(place.run(&["list", "--after", short]).ok().out.lines().count(), 2);
    assert_eq!(place.json(&["events", "--key", short, "--kind", "created"])["events"][0]["key"], one.as_str());
    // The beginning of its token, as its user reads it out.
    shown(&["show", &secret[..25]]);
    shown(&["revoke", &secret[..25], "--reason", "left"]);
    place.run(&["show", &secret[..26]]).with(2).says("may hold the secret").hides(&secret[..26]);
}

#[test]
fn an_ambiguous_beginning_changes_nothing_and_lists_the_candidates() {
    let (place, _) = Place::with_store();
    let (one, secret) = place.key(&["alice", "--name", "ci"]);
    let (two, _) = place.key(&["bob"]);
    for command in [&["show"][..], &["disable"], &["revoke"], &["rotate", "--overlap", "none"]] {
        let done = place.run(&[command, &[&one[..4]]].concat()).with(2);
        done.says("give more of the one that you mean").says(&format!("{one} (alice, ci)")).says(&two);
    }
    place.check(&secret).ok();
    for short in ["0", "01", "01a", "a_02y"] {
        place.run(&["revoke", short]).with(2).says("at least 4 characters");
    }
    place.run(&["revoke", "ffff"]).with(3).says("there is no key whose id begins with \"ffff\"");
    // A long text may be a secret of another issuer, and is not repeated.
    let foreign = "deadbeefdeadbeefdeadbeef";
    place.run(&["show", foreign]).with(3).says("there is no key whose id begins so").hides(foreign);
    place
        .run(&["show", "nope"])
        .with(2)
        .says("a UUID such as")
        .says("or its first 4 characters")
        .says("list --text TEXT");
    for _ in 0..12 {
        place.key(&["carol"]);
    }
    let many = place.run(&["show", &one[..4]]).with(2).says("and more");
    assert_eq!(many.err.lines().count(), 12, "{}", many.err);
    // A list of ids is made by a program: each is whole.
    place.fed(&one[..8], &["disable", "--from", "-", "--yes"]).with(1).says("line 1: invalid key id");
}

#[test]
#[cfg(target_os = "linux")]
fn a_service_finds_keys_by_their_beginning_too() {
    let place = Place::new();
    let service = apikey_core::KeyStore::builder().admin_socket(true).open(place.path("keys.db")).unwrap();
    let (one, _) = place.key(&["alice"]);
    let (two, secret) = place.key(&["bob"]);
    place.run(&["revoke", unique(&two, &[&one])]).ok().shows(&two);
    assert_eq!(service.verify(&secret).unwrap_err().code(), "revoked_api_key");
    place.run(&["revoke", &one[..4]]).with(2).says(&one).says(&two);
}

#[test]
fn the_public_beginning_of_a_token_names_its_key_with_or_without_the_prefix() {
    let (place, _) = Place::with_store();
    let (id, secret) = place.key(&["alice"]);
    for name in [&secret[..25], &secret[3..25], &secret[3..22]] {
        place.run(&["show", name]).ok().shows(&id);
    }
    place.run(&["show", &secret[3..]]).with(2).says("may hold the secret").hides(&secret[3..]);
    place.run(&["show", &secret[..25].to_uppercase()]).with(3).says("capitals and small letters differ");
    place.run(&["list", "--text", &secret[3..25]]).ok().says("`apikey show` finds a key by the beginning of its id");
    place.run(&["list", "--text", &secret]).with(2).says("exposed").hides(&secret);
}
