//! Who has a store open, as it says in the lock file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// More than any note has.
const MOST: u64 = 16 * 1024;

/// Who has a store open, and where it can be asked. The process that holds the lock writes it into the lock file, and takes
/// it out again when it closes the store; for people and for the command `apikey`, nothing else depends on it.
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
    /// The name of its program's file, if it is known.
    pub program: Option<String>,
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
        let (mut pid, mut program, mut socket) = (None, None, None);
        for line in text.lines() {
            match line.split_once(' ')? {
                // Whoever owns the store writes the file, and root may read it at a terminal.
                (_, value) if value.contains(char::is_control) => {}
                ("pid", number) => pid = number.parse().ok(),
                ("program", name) => program = Some(name.to_owned()),
                ("socket", path) => socket = Some(PathBuf::from(path)),
                _ => {}
            }
        }
        Some(Self { pid: pid?, program, socket })
    }

    /// Whether it runs a program of the same name as this process: for the command `apikey`, another `apikey`.
    #[must_use]
    pub fn is_same_program(&self) -> bool {
        self.program.is_some() && self.program == program()
    }

    /// Notes this process; who holds the lock may.
    pub(crate) fn write(lock: &File, socket: Option<&Path>) -> std::io::Result<()> {
        let mut text = format!("pid {}\n", std::process::id());
        if let Some(name) = program() {
            text.push_str(&format!("program {name}\n"));
        }
        // A path that is no UTF-8, or has a control character in it, is not noted: it must be named to the command then.
        if let Some(path) = socket.and_then(Path::to_str).filter(|path| !path.contains(char::is_control)) {
            text.push_str(&format!("socket {path}\n"));
        }
        let mut lock = lock;
        lock.set_len(0)?;
        lock.seek(SeekFrom::Start(0))?;
        lock.write_all(text.as_bytes())
    }

    /// Notes that nobody has it open: before the lock is let go of, for whoever takes it next may note nothing.
    pub(crate) fn clear(lock: &File) -> std::io::Result<()> {
        lock.set_len(0)
    }
}

/// The name of the file that this process runs, in one line.
fn program() -> Option<String> {
    let path = std::env::current_exe().ok()?;
    let name = path.file_name()?.to_str()?;
    // So Linux names a file that was replaced while it runs.
    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
    (!name.contains(char::is_control)).then(|| name.to_owned())
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
            let socket = socket.map(Path::to_owned);
            assert_eq!(holder, Holder { pid: std::process::id(), program: program(), socket });
            assert!(holder.is_same_program() && holder.program.is_some());
        }
        Holder::clear(&file).unwrap();
        assert_eq!(Holder::of(directory.path()), None);
    }

    #[test]
    fn a_note_without_a_program_is_read_and_is_no_command() {
        let holder = Holder::parse("pid 7\nlater 1\n").unwrap();
        assert_eq!((holder.pid, holder.is_same_program()), (7, false));
        let other = Holder::parse("pid 7\nprogram a service\n").unwrap();
        assert_eq!((other.program.as_deref(), other.is_same_program()), (Some("a service"), false));
        let hostile = Holder::parse("pid 7\nprogram \u{1b}[2Jx\nsocket /run/\u{1b}[2J\n").unwrap();
        assert_eq!((hostile.program, hostile.socket), (None, None));
    }

    #[test]
    fn what_is_no_note_says_nothing() {
        for text in ["", "pid", "pid x\n", "socket /a\n", "\u{0}\u{0}"] {
            assert_eq!(Holder::parse(text), None, "{text:?}");
        }
    }
}
