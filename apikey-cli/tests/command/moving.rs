//! Imports, exports, backups and restores.

use std::fs;

use apikey_testkit::hex;
use sha2::{Digest as _, Sha256, Sha512};

use super::Place;

const ONE: &str = "legacy-7f3a9c1e5b2d4860";
const TWO: &str = "legacy-a0b1c2d3e4f50617";

#[test]
fn raw_keys_are_imported_and_bad_lines_are_reported_without_their_content() {
    let (place, admin) = Place::with_store();
    let long = "z".repeat(5000);
    let lines = format!(
        "{ONE}\n\nshort-secret\n{TWO}\tbob\tci\n{ONE}\nhas space in the middle of it\n{admin}\n{TWO}x\t{}\n{long}\n\
         a\tb\tc\td\n",
        "o".repeat(200)
    );
    for dry in [&["--dry-run"][..], &[]] {
        let import = [&["import", "--owner", "alice", "--permission", "orders:read"], dry].concat();
        let done = place.fed(&lines, &import).with(1).hides(ONE).hides(TWO).hides("short-secret").hides(&admin);
        let done = done.hides("zzz").hides("ooo").hides("in the middle");
        let done = done.says("line 3: the secret is shorter than 20 bytes and may be guessed; --allow-weak");
        let done = done.says("line 5: the same key is given twice").says("line 6: a raw key is visible ASCII");
        let done = done
            .says("line 7: it is a token of this store's own form")
            .says("line 8: invalid owner")
            .says("line 9: it has more than");
        let done = done.says("line 10: it has more than three parts");
        assert_eq!(done.err.lines().count(), 7, "{}", done.err);
        done.shows("imported: 2 keys; refused: 7 lines");
        assert_eq!(place.check(ONE).code, if dry.is_empty() { 0 } else { 1 });
    }
    place.check(TWO).ok().shows("bob").shows("ci").shows("orders:read");
    // A dry run checks against the keys in the store.
    place.fed(ONE, &["import", "--owner", "alice", "--dry-run"]).with(1).says("held already");
    place.fed(format!("{ONE}y"), &["import"]).with(1).says("line 1: it names no owner").hides(ONE);
    place.fed("short-secret", &["import", "--owner", "alice", "--allow-weak"]).ok();
    place.fed("", &["import", "--owner", "a", "--permission", "Orders"]).with(2).says("\"Orders\"");
}

#[test]
fn digests_are_imported_under_each_scheme() {
    let (place, _) = Place::with_store();
    let sanctum = hex(Sha256::digest("secretsecretsecretsecret"));
    place.fed(&sanctum, &["import", "--form", "sha256", "--scheme", "after-pipe", "--owner", "carol"]).ok();
    place.check("12|secretsecretsecretsecret").ok().shows("carol");
    let prefixed = hex(Sha256::digest("longlonglonglonglonglong"));
    place.fed(&prefixed, &["import", "--form", "sha256", "--scheme", "after-last-underscore", "--owner", "dave"]).ok();
    place.check("pre_short_longlonglonglonglonglong").ok().shows("dave");
    let whole = hex(Sha512::digest("wholewholewholewholewhole"));
    let made = place.fed(&whole, &["import", "--form", "sha512", "--owner", "erin", "--json"]).ok();
    let made: serde_json::Value = serde_json::from_str(&made.out).unwrap();
    assert_eq!((&made["imported"], made["ids"].as_array().unwrap().len()), (&1.into(), 1));
    place.check("wholewholewholewholewhole").ok().shows("erin");
    place.fed("abc", &["import", "--form", "sha256", "--owner", "x"]).with(1).says("64 hexadecimal digits");
}

/// tests/real-imports does the same with keys of the real issuers.
#[test]
fn digests_are_imported_by_the_name_of_their_issuer() {
    let (place, _) = Place::with_store();
    let secret = "0123456789abcdef0123456789";
    let sha256 = hex(Sha256::digest(secret));
    let whole = format!("Ab3dEf5h.{secret}");
    let sha512 = format!("sha512$${}", hex(Sha512::digest(&whole)));
    place.fed(&sha256, &["import", "--from", "prefixed-api-key", "--owner", "a"]).ok();
    place.check(&format!("my_company_short_{secret}")).ok();
    place.fed(hex(Sha256::digest("another secret of sanctum")), &["import", "--from", "sanctum", "--owner", "a"]).ok();
    place.check("7|another secret of sanctum").ok();
    let django = ["import", "--from", "djangorestframework-api-key", "--owner", "a"];
    place.fed(&sha512, &django).ok();
    place.check(&whole).ok();
    let slow = "pbkdf2_sha256$600000$salt$aGFzaA==";
    place.fed(slow, &django).with(1).says("line 1: it is not `sha512$$`").hides(slow);
    place.fed("x", &[&django[..], &["--scheme", "whole"]].concat()).with(2).says("--scheme");
}

#[test]
fn many_keys_are_imported() {
    let (place, _) = Place::with_store();
    let lines: String = (0..2500).map(|at| format!("{ONE}-{at:05}\n")).collect();
    place.fed(&lines, &["import", "--owner", "alice"]).ok().shows("imported: 2500 keys");
    assert_eq!(place.json(&["list", "--owner", "alice"])["keys"].as_array().unwrap().len(), 2500);
    place.check(&format!("{ONE}-02499")).ok();
}

#[test]
fn keys_move_as_lines_of_json() {
    let (place, _) = Place::with_store();
    let (_, secret) = place.key(&["alice"]);
    let plain = place.run(&["export"]).ok().says("exported 2 keys").out;
    assert_eq!(plain.lines().count(), 2);
    assert!(!plain.contains("digest"));
    let written = place.json(&["export", "--digests", "--out", "keys.jsonl"]);
    assert_eq!(written["exported"], 2);
    place.run(&["export", "--out", "keys.jsonl"]).with(4).says("not overwritten");
    place.run(&["--json", "export"]).with(2).says("--out");
    let whole = fs::read(place.path("keys.jsonl")).unwrap();
    #[cfg(unix)]
    {
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(place.path("keys.jsonl")).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
    place.fed(&whole, &["--store", "new.db", "import-lines"]).with(6);
    place.fed(&whole, &["--store", "new.db", "import-lines", "--make"]).ok().shows("imported: 2 keys");
    place.fed(&secret, &["--store", "new.db", "check"]).ok().shows("alice");
    place.fed(&whole, &["--store", "new.db", "import-lines"]).with(1).says("line 1: there is a key").says("line 2");
    let waiting = place.fed(&plain, &["--store", "third.db", "import-lines", "--make"]).ok();
    waiting.shows("2 of them have no secret");
    let third = |arguments: &[&str]| place.run(&[&["--store", "third.db"], arguments].concat()).ok();
    third(&["list", "--state", "no_secret"]).shows("alice");
    assert!(!third(&["list"]).shows("no_secret").out.contains("active"));
    third(&["doctor"]).shows("0 active").shows("2 no_secret");
    let found: serde_json::Value = serde_json::from_str(&third(&["--json", "list", "--owner", "alice"]).out).unwrap();
    let key = &found["keys"][0];
    assert_eq!((&key["state"], &key["has_secret"]), (&"no_secret".into(), &false.into()));
    third(&["show", key["id"].as_str().unwrap()]).shows("no_secret").shows("none: the key works once it is rotated");
    let checked = place.fed(&secret, &["--store", "third.db", "check"]).with(1);
    let remedy = format!(
        "the key has no secret, and no caller can use it until `apikey rotate {} ",
        key["id"].as_str().unwrap()
    );
    checked.shows("invalid_api_key").shows(&remedy);
    third(&["rotate", key["id"].as_str().unwrap(), "--overlap", "none"]);
    third(&["list", "--state", "active"]).shows("alice");
    place.run(&["list", "--state", "no-such"]).with(2).says("no_secret");
    place
        .fed("{\n", &["import-lines", "--dry-run"])
        .with(1)
        .says("line 1: it is not a key, a role, a tenant or an owner as JSON");
}

#[test]
fn a_backup_is_restored_over_the_old_store_and_revoked_keys_stay_revoked() {
    let (place, admin) = Place::with_store();
    let (id, secret) = place.key(&["alice"]);
    place.run(&["backup", "keys.backup"]).ok().shows("SHA-256");
    place.run(&["backup", "no/such/place"]).with(7).says("no/such/place");
    place.run(&["revoke", &id]).ok();
    place.run(&["restore", "keys.backup", "--into", "new.db"]).with(2).says("--over");
    let restored = place.run(&["restore", "keys.backup", "--into", "new.db", "--over", "keys.db"]).ok();
    restored.shows("restricted again, as in the old store").shows(&id);
    place.fed(&secret, &["--store", "new.db", "check"]).with(1).shows("revoked_api_key");
    place.fed(&admin, &["--store", "new.db", "check"]).ok();
    place
        .run(&["restore", "keys.backup", "--into", "new.db", "--over", "keys.db"])
        .with(4)
        .says("there is a key store");
    let report = place.json(&["restore", "keys.backup", "--into", "other.db", "--old-is-gone"]);
    assert_eq!(report["records"], 2);
    place.fed(&secret, &["--store", "other.db", "check"]).ok();
    fs::write(place.path("keys.backup"), "no backup").unwrap();
    place.run(&["restore", "keys.backup", "--into", "last.db", "--old-is-gone"]).with(6).says("damaged");
    assert!(!place.path("last.db/db").exists());
}

#[test]
fn the_intact_parts_of_a_store_are_salvaged() {
    let (place, admin) = Place::with_store();
    place.key(&["alice"]);
    place.run(&["salvage", "--into", "saved.db"]).ok().shows("2 of 2");
    place.fed(&admin, &["--store", "saved.db", "check"]).ok();
    assert_eq!(place.json(&["salvage", "--into", "again.db"])["missing"], serde_json::json!([]));
}

/// A store that has lost the records of this many keys.
fn damaged(lost: usize) -> Place {
    let (place, _) = Place::with_store();
    let lines: String = (0..lost).map(|at| format!("{ONE}-{at:05}\n")).collect();
    place.fed(&lines, &["import", "--owner", "alice"]).ok();
    let database = sled::open(place.path("keys.db/sled")).unwrap();
    let keys = database.open_tree("keys").unwrap();
    for id in keys.iter().keys().skip(1).map(Result::unwrap).collect::<Vec<_>>() {
        keys.insert(id, b"garbage").unwrap();
    }
    database.flush().unwrap();
    place
}

#[test]
fn a_salvage_that_lost_keys_fails_and_writes_a_report() {
    let place = damaged(30);
    let report = ["salvage", "--into", "saved.db", "--report", "lost.txt"];
    let done = place.run(&report).with(1).shows("of 31").shows("and ").shows(" more: all of them are in lost.txt");
    let (printed, lines) = (done.out.lines().count(), fs::read_to_string(place.path("lost.txt")).unwrap());
    assert!(printed < 35 && lines.lines().count() > 30, "{}{lines}", done.out);
    for line in lines.lines() {
        let parts: Vec<&str> = line.split('\t').collect();
        let id = parts[0] != "missing" && parts[0] != "doubtful" || parts[1].len() == 36;
        assert!(parts.len() == 3 && id && !parts[2].is_empty(), "{line:?}");
    }
    assert_eq!(lines.lines().filter(|line| !line.starts_with("fault\t")).count(), 30, "{lines}");
    #[cfg(unix)]
    {
        let metadata = fs::metadata(place.path("lost.txt")).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777, 0o600);
    }
    // Before any work begins.
    place.run(&["salvage", "--into", "again.db", "--report", "lost.txt"]).with(4).says("not overwritten");
    place.run(&["salvage", "--into", "again.db", "--report", "no/such/place"]).with(7).says("no/such/place");
    assert!(!place.path("again.db").exists());
    let done = place.run(&["salvage", "--into", "again.db"]).with(1).shows("more: --report FILE writes all of them");
    assert!(done.out.lines().count() < 35, "{}", done.out);
    let document = place.run(&["--json", "salvage", "--into", "third.db"]).with(1).out;
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["missing"].as_array().unwrap().len() + document["doubtful"].as_array().unwrap().len(), 30);
    // A directory without a store gives no new store and leaves no report.
    fs::create_dir(place.path("typo")).unwrap();
    let none = place.run(&["--store", "typo", "salvage", "--into", "new.db", "--report", "none.txt"]).with(6);
    none.says("there is no key store in typo").says("name the damaged store with --store");
    assert!(!place.path("new.db").exists() && !place.path("none.txt").exists());
}

#[test]
fn a_restore_with_findings_fails() {
    let (place, _) = Place::with_store();
    place.run(&["backup", "keys.backup"]).ok();
    let (late, _) = place.key(&["late"]);
    fs::create_dir(place.path("typo")).unwrap();
    for old in ["typo", "nowhere"] {
        let typo = place.run(&["restore", "keys.backup", "--into", "new.db", "--over", old]).with(6);
        typo.says(&format!("there is no key store in {old}")).says("--old-is-gone");
        assert!(!place.path("new.db").exists());
    }
    let restore = ["restore", "keys.backup", "--into", "new.db", "--over", "keys.db", "--report", "look.txt"];
    place.run(&restore).with(1).shows("not in the backup").shows(&late);
    let lines = fs::read_to_string(place.path("look.txt")).unwrap();
    assert!(lines.starts_with(&format!("unknown\t{late}\tnot in the backup")) && lines.contains("(late)"), "{lines}");
    place.run(&["--store", "new.db", "list"]).ok();
    place.run(&["restore", "keys.backup", "--into", "last.db", "--old-is-gone"]).ok();
}

#[test]
fn only_the_first_refused_lines_are_shown() {
    let (place, _) = Place::with_store();
    let lines = "short\n".repeat(500);
    let done = place.fed(&lines, &["import", "--owner", "a", "--report", "refused.txt"]).with(1);
    assert_eq!(done.err.lines().count(), 21, "{}", done.err);
    done.says("line 20: the secret is shorter")
        .says("and 480 more: all of them are in refused.txt")
        .shows("refused: 500 lines");
    let report = fs::read_to_string(place.path("refused.txt")).unwrap();
    assert!(report.lines().count() == 500 && report.contains("\nline\t500\tthe secret is shorter"), "{report}");
    let done = place.fed("{\n".repeat(30), &["import-lines"]).with(1).says("and 10 more: --report FILE");
    assert_eq!(done.err.lines().count(), 21);
}

#[test]
fn completions_and_man_pages_name_every_command() {
    let place = Place::new();
    let names = [
        "init",
        "create",
        "list",
        "show",
        "rotate",
        "revoke",
        "check",
        "update",
        "enable",
        "disable",
        "import",
        "export",
        "import-lines",
        "backup",
        "restore",
        "salvage",
        "doctor",
        "events",
        "purge",
        "purge-events",
        "run-due",
        "bench",
        "completions",
        "man",
    ];
    let help = place.run(&["--help"]).ok().out;
    let bash = place.run(&["completions", "bash"]).ok().out;
    let man = place.run(&["man"]).ok().out.replace("\\-", "-");
    fs::create_dir(place.path("pages")).unwrap();
    place.run(&["man", "--dir", "pages"]).ok();
    for name in names {
        assert!(help.contains(&format!("  {name} ")), "{name}");
        assert!(bash.contains(name) && man.contains(&format!("apikey-{name}(1)")), "{name}");
        assert!(place.path(&format!("pages/apikey-{name}.1")).exists(), "{name}");
    }
    for shell in ["elvish", "powershell"] {
        place.run(&["completions", shell]).ok().shows("apikey");
    }
    place.run(&["man", "--dir", "nowhere"]).with(7).says("nowhere");
}

#[test]
fn a_backup_replaces_nothing_but_a_backup() {
    let (place, _) = Place::with_store();
    std::fs::write(place.path("precious.txt"), "precious").unwrap();
    for file in ["precious.txt", "keys.db/mark", "keys.db/sled/db", "keys.db/new", "."] {
        place.run(&["backup", file]).with(4).says("is not written to").says("name another file");
    }
    #[cfg(unix)]
    place.run(&["backup", "/dev/null"]).with(4).says("there is a device");
    assert_eq!(std::fs::read_to_string(place.path("precious.txt")).unwrap(), "precious");
    place.run(&["backup", "one.backup"]).ok();
    place.run(&["backup", "one.backup"]).ok();
    place.run(&["backup", "--verify", "one.backup"]).ok();
    place.run(&["doctor"]).ok();
}

#[test]
fn an_import_of_nothing_is_an_error_and_makes_no_store() {
    let place = Place::new();
    place.fed("", &["import-lines", "--make"]).with(2).says("no line was read");
    assert!(!place.path("keys.db").exists());
    let (place, _) = Place::with_store();
    place.fed("", &["import", "--owner", "alice"]).with(2).says("no line was read");
}

#[test]
fn options_that_name_no_file_or_no_old_store_say_what_to_give() {
    let (place, _) = Place::with_store();
    place.run(&["create", "alice", "--out", "-"]).with(2).says("leave the option out for standard output");
    place.run(&["restore", "keys.backup", "--into", "new"]).with(2).says("--over <DIR>|--old-is-gone");
    place.run(&["restore", "a", "--into", "new", "--over", "b", "--old-is-gone"]).with(2).says("cannot be used with");
    place.run(&["list", "--limit", "0"]).with(2).says("1 or more");
    let missing = place.run(&["backup", "no/such/file"]).with(7);
    assert!(!missing.err.contains("os error"), "{}", missing.err);
    place.run(&["create", "\u{1b}[31m"]).with(2).says("\"\\x1b[31m\"");
}
