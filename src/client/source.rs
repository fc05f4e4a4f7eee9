//! The source of a client's key.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use ::http::HeaderValue;
use apikey_core::wiped;

use super::error::ClientError;

/// The longest key with its line ending, in bytes.
const MAX_KEY_BYTES: usize = 8192;

pub(super) enum Source {
    Env { variable: String, value: HeaderValue },
    File { path: PathBuf, last_read: Mutex<(FileStamp, HeaderValue)> },
}

/// What changes when a file is written or replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct FileStamp {
    modified: Option<SystemTime>,
    length: u64,
    /// A file that replaces another may have the same time and length.
    inode: u64,
}

impl FileStamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Self { modified: metadata.modified().ok(), length: metadata.len(), inode }
    }
}

impl Source {
    pub(super) fn env(variable: &str) -> Result<Self, ClientError> {
        let text = std::env::var_os(variable).ok_or_else(|| ClientError::NotSet { variable: variable.to_owned() })?;
        let value = key(text.to_str().unwrap_or_default(), &format!("the environment variable {variable}"))?;
        Ok(Self::Env { variable: variable.to_owned(), value })
    }

    pub(super) fn file(path: PathBuf) -> Result<Self, ClientError> {
        let stamp = stamp(&path)?;
        let value = read(&path)?;
        Ok(Self::File { path, last_read: Mutex::new((stamp, value)) })
    }

    pub(super) fn value(&self) -> HeaderValue {
        match self {
            Self::Env { value, .. } => value.clone(),
            Self::File { path, last_read } => {
                let mut last_read = last_read.lock().unwrap_or_else(PoisonError::into_inner);
                // The stamp is taken before the read: a file that changes in between is read again next time.
                let fresh = stamp(path).and_then(|stamp| {
                    if stamp == last_read.0 { Ok(None) } else { read(path).map(|value| Some((stamp, value))) }
                });
                match fresh {
                    Ok(Some(fresh)) => *last_read = fresh,
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(%error, "the API key could not be read again; the last one stays in use")
                    }
                }
                last_read.1.clone()
            }
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env { variable, .. } => f.debug_tuple("Env").field(variable).finish(),
            Self::File { path, .. } => f.debug_tuple("File").field(path).finish(),
        }
    }
}

fn stamp(path: &Path) -> Result<FileStamp, ClientError> {
    fs::metadata(path).map(|metadata| FileStamp::of(&metadata)).map_err(|source| unreadable(path, source))
}

fn read(path: &Path) -> Result<HeaderValue, ClientError> {
    let bytes = File::open(path)
        .and_then(|file| wiped::read(file, MAX_KEY_BYTES + 1))
        .map_err(|source| unreadable(path, source))?;
    // Longer text, and bytes that are not UTF-8, are not a key.
    let text = std::str::from_utf8(&bytes).ok().filter(|text| text.len() <= MAX_KEY_BYTES).unwrap_or_default();
    let line = text.strip_suffix('\n').unwrap_or(text);
    key(line.strip_suffix('\r').unwrap_or(line), &format!("the file {}", path.display()))
}

fn unreadable(path: &Path, source: std::io::Error) -> ClientError {
    ClientError::File { path: path.to_path_buf(), source }
}

fn key(text: &str, place: &str) -> Result<HeaderValue, ClientError> {
    let no_key = || ClientError::NoKey { place: place.to_owned() };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(no_key());
    }
    let mut value = HeaderValue::from_str(text).map_err(|_| no_key())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::super::ClientKey;
    use super::*;

    fn error(text: &str) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, text).unwrap();
        ClientKey::from_file(file.path()).unwrap_err().to_string()
    }

    #[test]
    fn a_file_that_changes_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, "ak_one\n").unwrap();
        let key = ClientKey::from_file(&path).unwrap();
        assert_eq!(key.value(), "ak_one");
        // Renamed over it, of the same length, as a rotation does it.
        fs::write(dir.path().join("new"), "ak_two\r\n").unwrap();
        fs::rename(dir.path().join("new"), &path).unwrap();
        assert_eq!(key.value(), "ak_two");
        // A missing or half-written file: the last valid key stays.
        fs::write(&path, "").unwrap();
        assert_eq!(key.value(), "ak_two");
        fs::remove_file(&path).unwrap();
        assert_eq!(key.value(), "ak_two");
        fs::write(&path, "ak_three").unwrap();
        assert_eq!(key.value(), "ak_three");
        assert!(key.value().is_sensitive());
    }

    #[test]
    fn errors_name_the_place_and_not_its_content() {
        for text in ["", "\n", "ak_secret more", "ak_secret\nak_other", "ak_secrét"] {
            let error = error(text);
            assert!(error.ends_with("one line of visible ASCII is expected"), "{error}");
            assert!(!error.contains("secr"), "{error}");
        }
        let missing = ClientKey::from_file("/nowhere/key").unwrap_err();
        let text = missing.to_string();
        assert!(text.starts_with("the file /nowhere/key with the API key cannot be read: "), "{text}");
        assert_eq!(format!("{missing:?}"), text, "as `main` prints it");
        assert!(std::error::Error::source(&missing).is_some());
        assert_eq!(
            ClientKey::from_env("APIKEY_TEST_NOT_SET").unwrap_err().to_string(),
            "the environment variable APIKEY_TEST_NOT_SET is not set"
        );
        // Any variable that is set will do.
        let key = ClientKey::from_env("CARGO_PKG_NAME").unwrap();
        assert_eq!(key.value(), "apikey");
        assert!(!format!("{key:?} {:?}", key.value()).contains("\"apikey\""), "{key:?}");
    }
}
