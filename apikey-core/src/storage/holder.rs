//! The holder of a store: the process that has it open, by the lock file.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::base::files::own_file;

/// The most bytes to read: more than any note has.
const MAX: u64 = 16 * 1024;

/// The process that has a store open, and its socket for operators. The process that holds the lock writes this into
/// the lock file, and removes it when it closes the store. It informs people and the command `apikey`; nothing else
/// depends on it.
///
/// ```
/// use apikey::KeyStore;
/// use apikey::admin::Holder;
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
    /// The number of the process.
    pub pid: u32,
    /// The name of the program's file, if it is known.
    pub program: Option<String>,
    /// The path of its admin socket, if it has one.
    pub socket: Option<PathBuf>,
}

impl Holder {
    /// Reads the last holder of the store in this directory; `None` if the lock file has none or cannot be read. Only
    /// the lock shows whether that process still has the store open, so call this after
    /// [`OpenError::InUse`](crate::OpenError::InUse).
    pub fn of(store: impl AsRef<Path>) -> Option<Self> {
        let Note { pid, program, socket, .. } = Note::of(store.as_ref())?;
        Some(Self { pid: pid?, program, socket })
    }

    /// Reads the directory of the store's own backups ([`backup_every`](crate::KeyStoreBuilder::backup_every)), which
    /// the last process that wrote any has noted.
    pub(crate) fn backups(store: &Path) -> Option<PathBuf> {
        Note::of(store)?.backups
    }

    /// Returns whether it runs a program of the same name as this process. The command `apikey` recognises another
    /// `apikey` by this.
    #[must_use]
    pub fn is_same_program(&self) -> bool {
        self.program.is_some() && self.program == program()
    }

    /// Notes this process, which must hold the lock. Without `backups` the earlier note of them stays, so that the
    /// error of a damaged store can name them, even if this process writes none.
    pub(crate) fn write(lock: &File, socket: Option<&Path>, backups: Option<&Path>) -> std::io::Result<()> {
        let backups = backups.map(Path::to_owned).or_else(|| Note::read(lock)?.backups);
        let socket = socket.map(Path::to_owned);
        Note { pid: Some(std::process::id()), program: program(), socket, backups }.write(lock)
    }

    /// Notes that no process has the store open. Call it before releasing the lock, since the next holder may note
    /// nothing.
    pub(crate) fn clear(lock: &File) -> std::io::Result<()> {
        let backups = Note::read(lock).and_then(|note| note.backups);
        Note { backups, ..Note::default() }.write(lock)
    }
}

/// The content of the lock file: a name and a value in each line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Note {
    pid: Option<u32>,
    program: Option<String>,
    socket: Option<PathBuf>,
    backups: Option<PathBuf>,
}

impl Note {
    fn of(store: &Path) -> Option<Self> {
        Self::read(&own_file(OpenOptions::new().read(true), &store.join(crate::storage::file_names::LOCK)).ok()?)
    }

    fn read(mut lock: &File) -> Option<Self> {
        let mut text = String::new();
        lock.seek(SeekFrom::Start(0)).ok()?;
        lock.take(MAX).read_to_string(&mut text).ok()?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut note = Self::default();
        for line in text.lines() {
            match line.split_once(' ')? {
                // The owner of the store writes the file, and root may read it on a terminal.
                (_, value) if value.contains(char::is_control) => {}
                ("pid", number) => note.pid = number.parse().ok(),
                ("program", name) => note.program = Some(name.to_owned()),
                ("socket", path) => note.socket = Some(path.into()),
                ("backups", path) => note.backups = Some(path.into()),
                _ => {}
            }
        }
        Some(note)
    }

    fn write(&self, mut lock: &File) -> std::io::Result<()> {
        let pid = self.pid.map(|pid| pid.to_string());
        let [socket, backups] = [&self.socket, &self.backups].map(|path| path.as_deref().and_then(Path::to_str));
        let lines =
            [("pid", pid.as_deref()), ("program", self.program.as_deref()), ("socket", socket), ("backups", backups)];
        let mut text = String::new();
        for (name, value) in lines {
            // The file does not have a path that is not UTF-8 or has a control character; pass such a path to the
            // command.
            if let Some(value) = value.filter(|value| !value.contains(char::is_control)) {
                text.push_str(&format!("{name} {value}\n"));
            }
        }
        lock.set_len(0)?;
        lock.seek(SeekFrom::Start(0))?;
        lock.write_all(text.as_bytes())
    }
}

/// Returns the name of the file that this process runs, in one line.
fn program() -> Option<String> {
    let path = std::env::current_exe().ok()?;
    let name = path.file_name()?.to_str()?;
    // Linux appends this to the name of a file that was replaced while it runs.
    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
    (!name.contains(char::is_control)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_backups_stay_noted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(crate::storage::file_names::LOCK);
        let file = OpenOptions::new().create_new(true).read(true).write(true).open(path).unwrap();
        assert_eq!(Holder::of(directory.path()), None);
        let (socket, backups) = (Path::new("/run/with a space/admin.sock"), Path::new("/var/backups"));
        for (socket, given, kept) in
            [(Some(socket), None, None), (None, Some(backups), Some(backups)), (None, None, Some(backups))]
        {
            Holder::write(&file, socket, given).unwrap();
            let holder = Holder::of(directory.path()).unwrap();
            let socket = socket.map(Path::to_owned);
            assert_eq!(holder, Holder { pid: std::process::id(), program: program(), socket });
            assert!(holder.is_same_program() && holder.program.is_some());
            assert_eq!(Holder::backups(directory.path()).as_deref(), kept);
        }
        Holder::clear(&file).unwrap();
        assert_eq!(Holder::of(directory.path()), None);
        assert_eq!(Holder::backups(directory.path()).as_deref(), Some(backups));
    }

    #[test]
    fn a_note_without_a_program_is_read_and_is_no_command() {
        let holder = |text| {
            let Note { pid, program, socket, .. } = Note::parse(text).unwrap();
            Holder { pid: pid.unwrap(), program, socket }
        };
        let old = holder("pid 7\nlater 1\n");
        assert_eq!((old.pid, old.is_same_program()), (7, false));
        let other = holder("pid 7\nprogram a service\n");
        assert_eq!((other.program.as_deref(), other.is_same_program()), (Some("a service"), false));
        let hostile = holder("pid 7\nprogram \u{1b}[2Jx\nsocket /run/\u{1b}[2J\n");
        assert_eq!((hostile.program, hostile.socket), (None, None));
    }

    #[test]
    fn what_is_no_note_says_nothing() {
        for text in ["", "pid", "pid x\n", "socket /a\n", "\u{0}\u{0}"] {
            assert_eq!(Note::parse(text).and_then(|note| note.pid), None, "{text:?}");
        }
    }
}
