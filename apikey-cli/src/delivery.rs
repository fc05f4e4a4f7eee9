//! Where a new secret goes: to standard output alone, or to a file that only its user can read. Once.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::failure::{Code, Failure};

/// Made before the key is, so that no key is made whose secret has nowhere to go.
#[derive(Debug)]
pub(crate) struct Delivery {
    file: Option<(PathBuf, File)>,
    delivered: bool,
    /// Why the last write failed, if it did.
    pub(crate) refused: Option<io::ErrorKind>,
}

impl Delivery {
    /// For a secret, which is written once.
    pub(crate) fn prepare_for_secret(path: Option<&Path>) -> Result<Self, Failure> {
        if path.is_none() && was_closed(&io::stdout()) {
            return Err(Failure::new(
                Code::Refused,
                "standard output is closed: the secret would be lost. Give --out FILE for it",
            ));
        }
        Self::prepare(path)
    }

    pub(crate) fn prepare(path: Option<&Path>) -> Result<Self, Failure> {
        let open = |path: &Path| {
            // `create_new` overwrites nothing and follows no link.
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(path).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Failure::new(
                    Code::Conflict,
                    format!("{} is there already, and is not overwritten: give another file", path.display()),
                ),
                _ => Failure::file(path, &error),
            })
        };
        let file = path.map(|path| open(path).map(|file| (path.to_owned(), file))).transpose()?;
        Ok(Self { file, delivered: false, refused: None })
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|(path, _)| path.as_path())
    }

    /// Writes what holds the secret. To a file it is on disk when this returns.
    pub(crate) fn deliver(&mut self, text: &str) -> Result<(), io::Error> {
        self.write_all(text.as_bytes())?;
        self.write_all(b"\n")?;
        self.finish()
    }

    /// Writes text that ends with a line's end, or is empty. To a file it is on disk when this returns.
    pub(crate) fn deliver_lines(&mut self, lines: &str) -> Result<(), io::Error> {
        self.write_all(lines.as_bytes())?;
        self.finish()
    }

    /// What was written is all: to a file it is on disk when this returns.
    pub(crate) fn finish(&mut self) -> Result<(), io::Error> {
        self.flush()?;
        if let Some((path, file)) = &self.file {
            file.sync_all()?;
            sync_parent(path)?;
        }
        self.delivered = true;
        Ok(())
    }
}

impl Write for Delivery {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.file {
            None => io::stdout().write(bytes),
            Some((_, file)) => file.write(bytes),
        };
        self.refused = written.as_ref().err().map(io::Error::kind);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.file {
            None => io::stdout().flush(),
            Some((_, file)) => file.flush(),
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some((path, _)) = self.file.as_ref().filter(|_| !self.delivered) {
            // Nothing is in it; if it stays, the next try says that it is there.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Whether an output was closed when this process began. Rust opens /dev/null in its place then, for reading and writing, and
/// what is written is lost without a word; a shell that is told to write to /dev/null opens it for writing alone.
#[cfg(unix)]
fn was_closed(output: &impl std::os::fd::AsFd) -> bool {
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::{FileType, OFlags};

    let null = std::fs::metadata("/dev/null").map(|null| null.rdev());
    match (null, rustix::fs::fstat(output), rustix::fs::fcntl_getfl(output)) {
        (Ok(null), Ok(found), Ok(flags)) => {
            let device = FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice;
            device && found.st_rdev == null && flags.contains(OFlags::RDWR)
        }
        _ => false,
    }
}

#[cfg(not(unix))]
fn was_closed(_: &io::Stdout) -> bool {
    false
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(parent)?.sync_all() } else { Ok(()) }
}
