//! Imports from standard input: what they read before they open the store, and what they say about lines of another form.

use std::io::Write as _;
use std::process::Stdio;

use super::{Done, Place};

const ONE: &str = "legacy-7f3a9c1e5b2d4860";
const TWO: &str = "legacy-a0b1c2d3e4f50617";

#[test]
fn an_import_that_waits_for_its_first_lines_has_no_store_open() {
    let (place, _) = Place::with_store();
    let exported = Place::with_store().0.run(&["export", "--digests"]).ok().out;
    for (arguments, lines) in
        [(&["import", "--owner", "bob"][..], format!("{ONE}\n{TWO}\n")), (&["import-lines"], format!("{exported}\n"))]
    {
        let mut import = place.command(arguments);
        let mut import = import.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        import.stdin.as_mut().unwrap().write_all(lines.as_bytes()).unwrap();
        // Long enough for it to read them.
        std::thread::sleep(std::time::Duration::from_millis(300));
        place.run(&["--wait", "0s", "list"]).ok();
        drop(import.stdin.take());
        Done::of(import).ok().shows("refused: 0 lines");
    }
    place.check(TWO).ok().shows("bob");
    place.run(&["doctor"]).ok().shows("4 active");
}

#[test]
fn lines_of_another_form_are_named() {
    let (place, admin) = Place::with_store();
    let exported = place.run(&["export"]).ok().out;
    place
        .fed(&exported, &["import", "--owner", "alice"])
        .with(1)
        .says("line 1: it is JSON")
        .says("apikey import-lines");
    place
        .fed(&admin, &["import", "--owner", "alice"])
        .with(1)
        .says("it is a token of this store's own form")
        .hides(&admin);
    // A comma may be part of a key, so it is no fault.
    let commas = format!("{ONE},bob\n{TWO},carol\n{TWO}\tdave,erin\n");
    let dry = ["import", "--owner", "alice", "--dry-run"];
    place.fed(&commas, &dry).ok().says("2 lines have a comma and no tab").hides(ONE);
    let done = place.fed(format!("{ONE}\n"), &dry).ok();
    assert_eq!(done.err, "");
}

#[test]
fn keys_that_are_there_already_name_the_option_for_them() {
    let (place, _) = Place::with_store();
    let import = ["import", "--owner", "alice"];
    let exported = |place: &Place| place.run(&["export"]).ok().out;
    place.fed(ONE, &import).ok();
    place.fed(ONE, &import).with(1).says("--skip-existing passes over");
    place.fed(exported(&place), &["import-lines"]).with(1).says("--skip-existing passes over");
    let weak = place.fed("short", &import).with(1);
    assert!(!weak.err.contains("--skip-existing"), "{weak:?}");
}

#[test]
fn a_word_too_many_says_where_it_belongs() {
    let place = Place::new();
    for command in ["import", "import-lines"] {
        place.run(&[command, "keys.txt"]).with(2).says("keys.txt").says("from standard input: `< FILE`");
    }
    place.run(&["revoke", "01931a4e", "01931a4f"]).with(2).says("`--from -` and one id a line");
    let create = place.run(&["create", "alice", "--permission", "orders:read", "stock:read"]).with(2);
    create.says("`orders:read,stock:read`");
    // An option that is not there has clap's own advice.
    place.run(&["import", "--form=raw", "--dryrun"]).with(2).says("--dry-run");
}

#[test]
fn a_space_after_a_comma_is_no_part_of_a_value() {
    let (place, _) = Place::with_store();
    let networks = "10.0.0.0/8, 192.0.2.1";
    let (id, secret) = place.key(&["alice", "--permission", "orders:read, stock:read", "--network", networks]);
    let shown = place.run(&["show", &id]).ok().shows("orders:read stock:read");
    shown.shows("10.0.0.0/8 192.0.2.1/32");
    place.run(&["update", &id, "--add-permission", " a:b , c:d", "--remove-permission", "stock:read, a:b"]).with(2);
    place.run(&["update", &id, "--add-permission", "a:b , c:d"]).ok();
    place.fed(&secret, &["check", "--permission", "a:b, c:d"]).ok();
    place.run(&["update", &id, "--network", "10.1.2.3/8"]).with(2).says("invalid --network \"10.1.2.3/8\"");
}
