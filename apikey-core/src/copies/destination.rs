//! Where a backup may be written: to a new file, or in the place of an older backup.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use crate::base::files::{own_file, parent};
use crate::copies::archive::MAGICS;
use crate::copies::backup_report::BackupError;
use crate::storage::file_names::{DATABASE, LOCK, MARK};

/// Refuses a path where something else than a backup is, and every path in a store's directory.
pub(super) fn check(path: &Path) -> Result<(), BackupError> {
    let io = BackupError::io(path);
    let refused = |what: String| Err(BackupError::Destination { path: path.to_owned(), what });
    let directory = fs::canonicalize(parent(path)).map_err(&io)?;
    if let Some(store) = directory.ancestors().find(|directory| is_store(directory)) {
        return refused(format!("{} is the directory of a key store", store.display()));
    }
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(&io)?.file_type(),
    };
    if !found.is_file() {
        return refused(format!("there is {}", kind(found)));
    }
    let mut file = own_file(OpenOptions::new().read(true), path).map_err(&io)?;
    match begins_as_backup(&mut file).map_err(&io)? {
        true => Ok(()),
        false => refused("there is a file that is not a backup".to_owned()),
    }
}

/// Also of one that is damaged and lacks a part.
fn is_store(directory: &Path) -> bool {
    let has = |name: &str| directory.join(name).exists();
    has(LOCK) && (has(MARK) || has(DATABASE))
}

fn kind(found: FileType) -> &'static str {
    match (found.is_dir(), found.is_symlink()) {
        (true, _) => "a directory",
        (_, true) => "a link",
        _ => "a device, a pipe or a socket",
    }
}

fn begins_as_backup(file: &mut File) -> io::Result<bool> {
    let mut beginning = Vec::new();
    let [magic, _] = MAGICS;
    file.take(magic.len() as u64).read_to_end(&mut beginning)?;
    Ok(MAGICS.iter().any(|magic| beginning == **magic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyStore, NewKey};

    #[test]
    fn a_backup_replaces_nothing_but_a_backup() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        let store = KeyStore::open(path("keys.db")).unwrap();
        store.create(NewKey::for_owner("alice")).unwrap();
        fs::write(path("precious.txt"), "apikey, and what else I know").unwrap();
        fs::write(path("empty"), "").unwrap();
        fs::create_dir(path("directory")).unwrap();
        fs::create_dir(path("keys.db").join("backups")).unwrap();
        let refused = |name: &str| match store.backup(path(name)).unwrap_err() {
            BackupError::Destination { what, .. } => what,
            other => panic!("{name}: {other}"),
        };
        for name in ["precious.txt", "empty"] {
            assert_eq!(refused(name), "there is a file that is not a backup", "{name}");
        }
        assert_eq!(refused("directory"), "there is a directory");
        for name in
            ["keys.db/mark", "keys.db/sled/db", "keys.db/new", "keys.db/backups/new", "directory/../keys.db/new"]
        {
            assert!(refused(name).ends_with("keys.db is the directory of a key store"), "{name}");
        }
        assert_eq!(fs::read_to_string(path("precious.txt")).unwrap(), "apikey, and what else I know");
        store.backup(path("first")).unwrap();
        store.backup(path("first")).unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(path("first"), path("link")).unwrap();
            assert_eq!(refused("link"), "there is a link");
            let null = store.backup("/dev/null").unwrap_err();
            assert!(null.to_string().contains("a device"), "{null}");
        }
        store.close().unwrap();
        KeyStore::open(path("keys.db")).unwrap();
    }
}
