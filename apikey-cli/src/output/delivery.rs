//! Writes a new secret once: to standard output, or to a new file that only its owner can read.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::failure::{Code, Failure};

/// The destination of a secret. The command prepares it before it creates the key, so that no secret is lost.
#[derive(Debug)]
pub(crate) struct Delivery {
    file: Option<(PathBuf, File)>,
    delivered: bool,
    /// The error of the last write, if it failed.
    pub(crate) refused: Option<io::ErrorKind>,
}

impl Delivery {
    /// Prepares for a secret; refuses a closed standard output.
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
        if path == Some(Path::new("-")) {
            return Err(Failure::usage(
                "`-` is not a file: leave the option out for standard output, or give ./- for that name",
            ));
        }
        let open = |path: &Path| {
            // `create_new` overwrites nothing and follows no link.
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(path).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Failure::new(
                    Code::Conflict,
                    format!("{} already exists and is not overwritten: name another file", path.display()),
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

    /// Writes a text with the secret. A file is on disk when this returns.
    pub(crate) fn deliver(&mut self, text: &str) -> Result<(), io::Error> {
        self.write_all(text.as_bytes())?;
        self.write_all(b"\n")?;
        self.finish()
    }

    /// Writes lines, or nothing. A file is on disk when this returns.
    pub(crate) fn deliver_lines(&mut self, lines: &str) -> Result<(), io::Error> {
        self.write_all(lines.as_bytes())?;
        self.finish()
    }

    /// Ends the writing. A file is on disk when this returns.
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
            // The file is empty or incomplete; left behind, it would block the next attempt.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Whether an output was closed when this process began. Rust then opens /dev/null in its place, for reading and
/// writing, and output is silently lost. A shell's redirection to /dev/null opens it for writing only.
#[cfg(unix)]
fn was_closed(output: &impl std::os::fd::AsFd) -> bool {
    use rustix::fs::{FileType, OFlags};

    let null = rustix::fs::stat("/dev/null").map(|null| null.st_rdev);
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
