//! Damaged files can make sled panic. A program that unwinds gets an error. One that is built with `panic = "abort"` ends,
//! and sled's message must be on the terminal, since no error can carry it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![cfg(unix)]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use apikey_core::{KeyStore, NewKey, OpenError};
use apikey_testkit::copy_directory;

const SIGABRT: i32 = 6;

#[test]
fn a_damaged_store_is_an_error_or_with_panic_abort_a_process_that_ends_with_the_message() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.db");
    damage_until_it_panics(&path);
    let unwinding = run(Path::new(env!("CARGO_BIN_EXE_open-store")), &path);
    assert!(unwinding.status.success(), "{unwinding:?}");
    let said = String::from_utf8_lossy(&unwinding.stdout);
    assert!(said.starts_with("refused: ") && said.contains("panics"), "{said}");
    assert_eq!(String::from_utf8_lossy(&unwinding.stderr), "", "the panic is not on the terminal");

    let aborting = run(&built_with_abort(), &path);
    assert_eq!(aborting.status.signal(), Some(SIGABRT), "{aborting:?}");
    let shown = String::from_utf8_lossy(&aborting.stderr);
    assert!(shown.contains("panicked at") && shown.contains("sled"), "{shown}");

    // The same program opens a sound store.
    let sound = directory.path().join("sound.db");
    KeyStore::open(&sound).unwrap().close().unwrap();
    assert_eq!(String::from_utf8_lossy(&run(&built_with_abort(), &sound).stdout), "opened\n");
}

fn run(program: &Path, store: &Path) -> Output {
    // A copy, since an open may write to a damaged store.
    let copy = tempfile::tempdir().unwrap();
    copy_directory(store, copy.path());
    Command::new(program).arg(copy.path()).env("RUST_BACKTRACE", "0").output().unwrap()
}

/// Makes a store whose database makes sled panic when it is opened. It tries places until one does.
fn damage_until_it_panics(path: &Path) {
    let sound = tempfile::tempdir().unwrap();
    let store = KeyStore::open(sound.path()).unwrap();
    // Enough keys for several of sled's segments.
    for batch in 0..8 {
        let metadata = "x".repeat(500);
        let new = |at| NewKey::for_owner(format!("owner {batch} {at}")).metadata("note", &metadata);
        store.create_many((0..400).map(new)).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let log = Path::new("sled/db");
    let whole = fs::read(sound.path().join(log)).unwrap();
    // A flipped bit makes it panic in about one of ten places.
    for place in (0..400).map(|turn| turn * 648_497 % whole.len()) {
        let _ = fs::remove_dir_all(path);
        copy_directory(sound.path(), path);
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        fs::write(path.join(log), &damaged).unwrap();
        let trial = tempfile::tempdir().unwrap();
        copy_directory(path, trial.path());
        if let Err(OpenError::Damaged { what, .. }) = KeyStore::open(trial.path())
            && what.contains("panics")
        {
            return;
        }
    }
    panic!("no damage made sled panic, of {} bytes", whole.len());
}

/// The same program and its dependencies, built to abort, in a target directory of their own.
fn built_with_abort() -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tests/abort");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--package", "apikey-abort-test", "--bin", "open-store"]);
    cargo.args(["--config", "profile.dev.panic=\"abort\"", "--target-dir"]).arg(&target);
    let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join("debug/open-store")
}
