//! An open that fails says why and changes nothing.

use std::fs;
use std::path::Path;
#[cfg(unix)]
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use apikey::{KeyStore, OpenError};
use apikey_testkit::{alice, code};

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The error of an open, which names the path.
fn refused(result: Result<KeyStore, OpenError>, path: &Path) -> OpenError {
    let error = result.expect_err("the open must be refused");
    assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
    error
}

#[test]
fn a_second_open_says_that_the_store_is_in_use() {
    let directory = temporary();
    let store = KeyStore::open(directory.path()).unwrap();
    let created = store.create(alice()).unwrap();
    for _ in 0..3 {
        let error = refused(KeyStore::open(directory.path()), directory.path());
        assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
        assert!(error.to_string().contains("in use by another process, or another handle in this one;"), "{error}");
    }
    assert_eq!(code(&store, created.key.expose_secret()), "ok");
    store.close().unwrap();
    let again = KeyStore::open(directory.path()).unwrap();
    assert_eq!(code(&again, created.key.expose_secret()), "ok");
    assert_eq!(code(&store, created.key.expose_secret()), "unavailable", "a closed handle stays closed");
}

#[test]
fn the_last_handle_dropped_frees_the_store() {
    let directory = temporary();
    for _ in 0..5 {
        let store = KeyStore::open(directory.path()).unwrap();
        let (one, two) = (store.clone(), store.clone());
        drop(store);
        thread::spawn(move || drop(one)).join().unwrap();
        assert!(matches!(KeyStore::open(directory.path()), Err(OpenError::InUse { .. })));
        two.create(alice()).unwrap();
        drop(two);
    }
}

#[test]
fn a_verified_key_keeps_no_lock() {
    let directory = temporary();
    let store = KeyStore::open(directory.path()).unwrap();
    let created = store.create(alice()).unwrap();
    let verified = store.verify(created.key.expose_secret()).unwrap();
    drop(store);
    let store = KeyStore::open(directory.path()).unwrap();
    assert_eq!(verified.owner(), "alice");
    assert!(store.verify(created.key.expose_secret()).is_ok());
}

#[test]
fn waiting_for_the_lock_ends_when_the_first_handle_closes() {
    let directory = temporary();
    let store = KeyStore::open(directory.path()).unwrap();
    let created = store.create(alice()).unwrap();
    let path = directory.path().to_owned();
    let (held, is_held) = mpsc::channel();
    let waiter = thread::spawn(move || {
        assert!(matches!(KeyStore::open(&path), Err(OpenError::InUse { .. })));
        held.send(()).unwrap();
        KeyStore::builder().wait_for_lock(Duration::from_secs(600)).open(&path)
    });
    is_held.recv().unwrap();
    store.close().unwrap();
    let store = waiter.join().unwrap().unwrap();
    assert_eq!(code(&store, created.key.expose_secret()), "ok");
}

#[test]
fn waiting_for_the_lock_ends_with_its_time() {
    let directory = temporary();
    let _store = KeyStore::open(directory.path()).unwrap();
    let waited = KeyStore::builder().wait_for_lock(Duration::from_millis(30)).open(directory.path());
    assert!(matches!(waited, Err(OpenError::InUse { .. })), "{waited:?}");
}

#[test]
fn a_missing_directory_is_created_unless_that_is_switched_off() {
    let directory = temporary();
    let path = directory.path().join("a").join("b").join("keys.db");
    let builder = || KeyStore::builder().create_if_missing(false);
    let error = refused(builder().open(&path), &path);
    assert!(matches!(error, OpenError::Missing { .. }), "{error:?}");
    assert!(!directory.path().join("a").exists(), "nothing was made");
    let store = KeyStore::open(&path).unwrap();
    let created = store.create(alice()).unwrap();
    store.close().unwrap();
    assert_eq!(code(&builder().open(&path).unwrap(), created.key.expose_secret()), "ok");
}

#[test]
fn an_existing_empty_directory_is_accepted() {
    let directory = temporary();
    let error = refused(KeyStore::builder().create_if_missing(false).open(directory.path()), directory.path());
    assert!(matches!(error, OpenError::Missing { .. }), "{error:?}");
    let store = KeyStore::open(directory.path()).unwrap();
    let created = store.create(alice()).unwrap();
    drop(store);
    assert_eq!(code(&KeyStore::open(directory.path()).unwrap(), created.key.expose_secret()), "ok");
}

#[test]
fn a_fresh_volume_with_lost_and_found_is_accepted() {
    let directory = temporary();
    fs::create_dir(directory.path().join("lost+found")).unwrap();
    assert!(KeyStore::open(directory.path()).is_ok());
}

#[test]
fn a_file_is_no_store() {
    let directory = temporary();
    let path = directory.path().join("keys.db");
    fs::write(&path, "what somebody wrote").unwrap();
    for create in [true, false] {
        let error = refused(KeyStore::builder().create_if_missing(create).open(&path), &path);
        assert!(matches!(error, OpenError::NotAStore { .. }), "{error:?}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "what somebody wrote");
    let below = path.join("keys.db");
    assert!(matches!(refused(KeyStore::open(&below), &below), OpenError::Io { .. }));
}

#[test]
fn a_directory_of_something_else_is_no_store_and_is_left_alone() {
    let directory = temporary();
    fs::write(directory.path().join("notes.txt"), "mine").unwrap();
    fs::create_dir(directory.path().join("photos")).unwrap();
    let error = refused(KeyStore::open(directory.path()), directory.path());
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error:?}");
    let mut left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["notes.txt", "photos"]);
}

#[cfg(unix)]
#[test]
fn a_place_where_nothing_can_be_created_is_an_error_of_the_system() {
    // Root is refused too.
    let mut places = vec![PathBuf::from("/dev/null/keys.db")];
    if cfg!(target_os = "linux") {
        places.push("/proc/keys.db".into());
    }
    for place in places {
        let error = refused(KeyStore::open(&place), &place);
        assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
        assert!(std::error::Error::source(&error).is_some(), "the system's own words are kept");
    }
}

#[test]
fn a_path_need_not_be_text_or_absolute() {
    let directory = temporary();
    let path = directory.path().join("kéys with blanks 🔑.db");
    drop(KeyStore::open(&path).unwrap());
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let path = directory.path().join(std::ffi::OsStr::from_bytes(b"keys\xff"));
        if fs::create_dir(&path).is_ok() {
            drop(KeyStore::open(&path).unwrap());
        }
    }
}

#[cfg(unix)]
#[test]
fn directories_are_0700_and_files_0600() {
    use std::os::unix::fs::PermissionsExt;
    fn look(path: &Path, seen: &mut Vec<(PathBuf, u32)>) {
        let meta = fs::metadata(path).unwrap();
        let expected = if meta.is_dir() { 0o700 } else { 0o600 };
        if meta.permissions().mode() & 0o777 != expected {
            seen.push((path.to_owned(), meta.permissions().mode() & 0o777));
        }
        if meta.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| look(&entry.unwrap().path(), seen));
        }
    }
    let directory = temporary();
    let path = directory.path().join("keys.db");
    for round in 0..3 {
        let store = KeyStore::open(&path).unwrap();
        store.create_many((0..200).map(|_| alice())).unwrap();
        let mut wrong = Vec::new();
        look(&path, &mut wrong);
        // sled writes its snapshots at any time, with its own mode; their directory is closed to others.
        wrong.retain(|(path, _)| !path.file_name().unwrap().to_string_lossy().starts_with("snap."));
        assert_eq!(wrong, [], "open, round {round}");
        store.close().unwrap();
        let mut wrong = Vec::new();
        look(&path, &mut wrong);
        assert_eq!(wrong, [], "closed, round {round}");
    }
}

/// A volume that others may read stays as its owner made it; the files in it are closed to them.
#[cfg(unix)]
#[test]
fn in_a_directory_open_to_others_the_store_is_closed_to_them() {
    use std::os::unix::fs::PermissionsExt;
    let directory = temporary();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let store = KeyStore::open(directory.path()).unwrap();
    store.create(alice()).unwrap();
    for _ in 0..2 {
        for entry in fs::read_dir(directory.path()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{} {mode:o}", entry.path().display());
        }
        store.close().unwrap();
    }
}
