//! The owner of a store's directory, and what another user has put into it.
#![cfg(unix)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use apikey::{KeyStore, OpenError, Restore};
use apikey_testkit::alice;

/// A user that does not exist: root may give files to it.
const OTHER: u32 = 61_234;

/// The directory of a closed store with a key.
fn closed(directory: &Path) -> PathBuf {
    let path = directory.join("keys.db");
    let store = KeyStore::open(&path).unwrap();
    store.create(alice()).unwrap();
    store.close().unwrap();
    path
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Prints what this run skips, past the test harness, which captures `println!`.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "owner: {text}");
}

/// A file that root's command must not change, whatever leads to it.
struct Victim(PathBuf);

impl Victim {
    fn new(directory: &Path) -> Self {
        let path = directory.join("victim");
        fs::write(&path, "what somebody needs").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        Self(path)
    }

    #[track_caller]
    fn is_untouched(&self) {
        assert_eq!(fs::read_to_string(&self.0).unwrap(), "what somebody needs");
        assert_eq!(fs::metadata(&self.0).unwrap().mode() & 0o777, 0o644);
    }
}

#[test]
fn a_link_in_the_directory_is_refused_and_what_it_leads_to_is_left_alone() {
    for name in ["lock", "mark", "creating-mark", "sled/db", "sled/conf", "sled/wal", "sled/in-use", "sled/blobs/1"] {
        for dangling in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let (path, victim) = (closed(directory.path()), Victim::new(directory.path()));
            let (place, absent) = (path.join(name), directory.path().join("absent"));
            let _ = fs::remove_file(&place);
            symlink(if dangling { &absent } else { &victim.0 }, &place).unwrap();
            let error = KeyStore::open(&path).unwrap_err();
            assert!(
                matches!(&error, OpenError::NotAFile { path, found: "a link" } if *path == place),
                "{name}, dangling {dangling}: {error:?}"
            );
            victim.is_untouched();
            assert!(!absent.exists(), "{name}");
        }
    }
}

#[test]
fn a_linked_directory_is_refused_and_what_is_in_it_is_left_alone() {
    for name in ["sled", "sled/blobs", "sled/elsewhere"] {
        let directory = tempfile::tempdir().unwrap();
        let path = closed(directory.path());
        let elsewhere = directory.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o755)).unwrap();
        let victim = Victim::new(&elsewhere);
        let _ = fs::rename(path.join(name), directory.path().join("moved"));
        symlink(&elsewhere, path.join(name)).unwrap();
        let error = KeyStore::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::NotAFile { found: "a link", .. }), "{name}: {error:?}");
        victim.is_untouched();
        assert_eq!(fs::metadata(&elsewhere).unwrap().mode() & 0o777, 0o755);
    }
}

/// An open of a pipe would wait for ever.
#[cfg(target_os = "linux")]
#[test]
fn a_pipe_in_the_place_of_a_file_is_refused() {
    for name in ["lock", "mark", "sled/wal", "sled/in-use"] {
        let directory = tempfile::tempdir().unwrap();
        let path = closed(directory.path());
        let _ = fs::remove_file(path.join(name));
        rustix::fs::mkfifoat(rustix::fs::CWD, path.join(name), 0o600.into()).unwrap();
        let error = KeyStore::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::NotAFile { .. }), "{name}: {error:?}");
    }
}

/// The path to the store may be a link: its owner, or root, has made it.
#[test]
fn a_link_to_the_directory_itself_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let path = closed(directory.path());
    let link = directory.path().join("link");
    symlink(&path, &link).unwrap();
    KeyStore::open(&link).unwrap().create(alice()).unwrap();
}

#[test]
fn a_restore_reads_an_old_directory_through_no_link() {
    for name in ["lock", "mark", "sled/elsewhere", "sled/wal"] {
        let directory = tempfile::tempdir().unwrap();
        let path = closed(directory.path());
        let backup = directory.path().join("backup");
        KeyStore::open(&path).unwrap().backup(&backup).unwrap();
        let victim = Victim::new(directory.path());
        let _ = fs::remove_file(path.join(name));
        symlink(&victim.0, path.join(name)).unwrap();
        let into = directory.path().join("new.db");
        let error = KeyStore::restore(&Restore::new(&backup, &into).over(&path)).unwrap_err();
        assert!(error.to_string().contains("is a link"), "{name}: {error}");
        victim.is_untouched();
    }
}

/// Root is refused too: the owner could not open what root creates.
#[test]
fn the_directory_of_another_user_is_refused_and_nothing_is_made_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let (path, owner) = if is_root() {
        let path = closed(directory.path());
        give(&path, OTHER);
        (path, OTHER)
    } else {
        say("one user only, since this is not root's run: the directory of another user is one that root owns");
        let empty = ["/srv", "/mnt", "/media", "/opt", "/home"].map(PathBuf::from).into_iter();
        let mut empty = empty.filter(|path| fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()));
        (empty.next().expect("an empty directory that root owns"), 0)
    };
    let before = listed(&path);
    let backups = directory.path().join("backups");
    let user = rustix::process::geteuid().as_raw();
    let hour = std::time::Duration::from_secs(3600);
    for options in [KeyStore::builder(), KeyStore::builder().backup_every(hour, 3, &backups)] {
        let error = options.open(&path).unwrap_err();
        assert!(
            matches!(&error, OpenError::NotOwner { path: of, owner: by, user: us } if (of, *by, *us) == (&path, owner, user)),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(text.contains(&format!("belongs to uid {owner}, and this process is uid {user}")), "{text}");
    }
    assert!(!backups.exists());
    assert_eq!(listed(&path), before);
}

/// As root may leave it, with another program.
#[test]
fn a_file_of_another_user_is_named_with_its_owner() {
    if !is_root() {
        say("skipped: the file of another user, which only root can make");
        return;
    }
    for name in ["lock", "mark", "sled", "sled/db", "sled/wal"] {
        let directory = tempfile::tempdir().unwrap();
        let path = closed(directory.path());
        chown(path.join(name), Some(OTHER), Some(OTHER)).unwrap();
        let error = KeyStore::open(&path).unwrap_err();
        assert!(
            matches!(&error, OpenError::ForeignFile { path: file, owner: OTHER, user: 0 } if *file == path.join(name)),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(text.contains(&format!("`chown -h 0 {}`", path.join(name).display())), "{text}");
        chown(path.join(name), Some(0), Some(0)).unwrap();
        KeyStore::open(&path).unwrap();
    }
    // Files that are not the store's may belong to anybody: a volume has a directory of root's.
    let directory = tempfile::tempdir().unwrap();
    let path = closed(directory.path());
    fs::create_dir(path.join("lost+found")).unwrap();
    chown(path.join("lost+found"), Some(OTHER), Some(OTHER)).unwrap();
    KeyStore::open(&path).unwrap();
}

/// The service's account may have made it, where the system permits that, so that root gives the file away or writes
/// to it.
#[test]
fn a_second_name_of_another_users_file_is_not_to_be_given_away() {
    if !is_root() {
        say("skipped: a second name of another user's file, which only root can make");
        return;
    }
    for name in ["lock", "mark", "sled/db", "sled/wal"] {
        let directory = tempfile::tempdir().unwrap();
        let path = closed(directory.path());
        let victim = directory.path().join("victim");
        fs::write(&victim, "somebody's").unwrap();
        chown(&victim, Some(OTHER), Some(OTHER)).unwrap();
        let _ = fs::remove_file(path.join(name));
        fs::hard_link(&victim, path.join(name)).unwrap();
        let error = KeyStore::open(&path).unwrap_err();
        assert!(matches!(&error, OpenError::NotAFile { path: file, .. } if *file == path.join(name)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("a further name of another user's file (a hard link)"), "{text}");
        assert!(!text.contains("chown"), "{text}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "somebody's");
    }
}

fn give(path: &Path, to: u32) {
    if fs::symlink_metadata(path).unwrap().is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path(), to));
    }
    chown(path, Some(to), Some(to)).unwrap();
}

/// Every file below a directory, with its owner and length.
fn listed(path: &Path) -> Vec<(PathBuf, u32, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let file = fs::symlink_metadata(&path).unwrap();
        if file.is_dir() {
            found.extend(listed(&path));
        }
        found.push((path, file.uid(), file.len()));
    }
    found.sort();
    found
}
