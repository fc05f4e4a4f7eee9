//! Who has a store open, as it says in the lock file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// More than any note has.
const MOST: u64 = 16 * 1024;

/// Who has a store open, and where it can be asked. The process that holds the lock writes it into the lock file, for
/// people and for the command `apikey`; nothing else depends on it.
///
/// ```
/// use apikey_core::KeyStore;
/// use apikey_core::admin::Holder;
///
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("keys.db");
/// let store = KeyStore::open(&path)?;
/// # #[cfg(unix)]
/// assert_eq!(Holder::of(&path).map(|holder| holder.pid), Some(std::process::id()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The number of its process.
    pub pid: u32,
    /// Its socket, if it offers one.
    pub socket: Option<PathBuf>,
}

impl Holder {
    /// The last one that opened the store in this directory. Whether it still has it open, only the lock tells: ask
    /// after [`OpenError::InUse`](crate::OpenError::InUse). `None` where it cannot be read.
    pub fn of(store: impl AsRef<Path>) -> Option<Self> {
        let mut text = String::new();
        File::open(store.as_ref().join(crate::store::LOCK)).ok()?.take(MOST).read_to_string(&mut text).ok()?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut holder = None;
        let mut socket = None;
        for line in text.lines() {
            match line.split_once(' ')? {
                ("pid", pid) => holder = pid.parse().ok(),
                ("socket", path) => socket = Some(PathBuf::from(path)),
                _ => {}
            }
        }
        Some(Self { pid: holder?, socket })
    }

    /// Notes this process; who holds the lock may.
    pub(crate) fn write(lock: &File, socket: Option<&Path>) -> std::io::Result<()> {
        let mut text = format!("pid {}\n", std::process::id());
        // A path that is no UTF-8, or has a line's end in it, is not noted: it must be named to the command then.
        if let Some(path) = socket.and_then(Path::to_str).filter(|path| !path.contains('\n')) {
            text.push_str(&format!("socket {path}\n"));
        }
        let mut lock = lock;
        lock.set_len(0)?;
        lock.seek(SeekFrom::Start(0))?;
        lock.write_all(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = File::create(directory.path().join(crate::store::LOCK)).unwrap();
        assert_eq!(Holder::of(directory.path()), None);
        for socket in [Some(Path::new("/run/with a space/admin.sock")), None] {
            Holder::write(&file, socket).unwrap();
            let holder = Holder::of(directory.path()).unwrap();
            assert_eq!(holder, Holder { pid: std::process::id(), socket: socket.map(Path::to_owned) });
        }
    }

    #[test]
    fn what_is_no_note_says_nothing() {
        for text in ["", "pid", "pid x\n", "socket /a\n", "\u{0}\u{0}"] {
            assert_eq!(Holder::parse(text), None, "{text:?}");
        }
    }
}
