//! The files in a store's directory: whose they are, and how they are opened.
//!
//! Who may write into the directory may put a link there, and a process of another user, above all root, would truncate
//! or open to itself whatever the link leads to. And what such a process makes there, the store's own cannot open. So a
//! store works only as the user who owns its directory, holds no file of anybody else, and follows no link.

use std::fs::{self, File, FileType, OpenOptions};
use std::io;
use std::path::Path;

/// Opens a file of a store, and nothing that was put in its place: no link, pipe or device. One that it makes is this
/// user's alone.
pub(crate) fn own_file(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = not_through_a_link(options, path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is no file", path.display()))),
    }
}

#[cfg(unix)]
fn not_through_a_link(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    // A pipe would make it wait for the other side.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = options.mode(0o600).custom_flags(flags.bits().cast_signed()).open(path);
    opened.map_err(|error| match rustix::io::Errno::from_io_error(&error) {
        Some(rustix::io::Errno::LOOP) => {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{} is a link, which is not followed", path.display()))
        }
        _ => error,
    })
}

#[cfg(not(unix))]
fn not_through_a_link(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.open(path)
}

/// Opens every file in a directory and below, and after them each directory where the system opens those. What goes away
/// meanwhile is passed over: sled replaces its snapshots when it likes.
pub(crate) fn walk(directory: &Path, each: &mut dyn FnMut(&File, FileType) -> io::Result<()>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            walk(&path, each)?;
            continue;
        }
        match own_file(OpenOptions::new().read(true), &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            file => each(&file?, kind)?,
        }
    }
    if cfg!(unix) {
        let opened = not_through_a_link(OpenOptions::new().read(true), directory)?;
        each(&opened, opened.metadata()?.file_type())?;
    }
    Ok(())
}

#[cfg(unix)]
pub(crate) fn make_private(file: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
pub(crate) fn make_private(_: &File, _: u32) -> io::Result<()> {
    Ok(())
}

/// sled makes its files under the process's umask.
pub(crate) fn make_all_private(directory: &Path) -> io::Result<()> {
    walk(directory, &mut |file, kind| make_private(file, if kind.is_dir() { 0o700 } else { 0o600 }))
}

pub(crate) fn sync_all(directory: &Path) -> io::Result<()> {
    walk(directory, &mut |file, _| file.sync_all())
}

#[cfg(unix)]
pub(crate) use owner::{check_files, check_owner};

#[cfg(unix)]
mod owner {
    use std::fs::{self, Metadata};
    use std::io;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use crate::key::error::OpenError;
    use crate::storage::commit_mark::MARK;
    use crate::storage::directory::{CREATING, DATABASE, LOCK};

    /// Refuses the directory of another user, also to root.
    pub(crate) fn check_owner(path: &Path, directory: &Metadata) -> Result<(), OpenError> {
        let (owner, user) = (directory.uid(), rustix::process::geteuid().as_raw());
        if owner == user { Ok(()) } else { Err(OpenError::NotOwner { path: path.to_owned(), owner, user }) }
    }

    /// Refuses a link among the store's files, and a file that is not this user's. What else is in the directory, such as
    /// `lost+found`, is not the store's to look at.
    pub(crate) fn check_files(path: &Path) -> Result<(), OpenError> {
        let refused = |source| OpenError::io(path, source);
        for entry in fs::read_dir(path).map_err(refused)? {
            let name = entry.map_err(refused)?.file_name();
            let text = name.to_string_lossy();
            if [LOCK, MARK, DATABASE].contains(&&*text) || text.starts_with(CREATING) {
                check_entry(&path.join(name))?;
            }
        }
        Ok(())
    }

    fn check_entry(path: &Path) -> Result<(), OpenError> {
        let refused = |source| OpenError::io(path, source);
        let found = match fs::symlink_metadata(path) {
            // The process that has the store open may be at work.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found.map_err(refused)?,
        };
        let kind = found.file_type();
        let not_a_file = |found| OpenError::NotAFile { path: path.to_owned(), found };
        if kind.is_symlink() {
            return Err(not_a_file("a link"));
        }
        if !kind.is_file() && !kind.is_dir() {
            return Err(not_a_file("a socket, a pipe or a device"));
        }
        let user = rustix::process::geteuid().as_raw();
        if found.uid() != user {
            // Whoever owns the directory may have put it there: to give that file away would be what was wanted.
            if kind.is_file() && found.nlink() > 1 {
                return Err(not_a_file("a further name of another user's file (a hard link)"));
            }
            return Err(OpenError::ForeignFile { path: path.to_owned(), owner: found.uid(), user });
        }
        if kind.is_dir() {
            for entry in fs::read_dir(path).map_err(refused)? {
                check_entry(&entry.map_err(refused)?.path())?;
            }
        }
        Ok(())
    }
}

/// Elsewhere files have no such owner.
#[cfg(not(unix))]
pub(crate) fn check_owner(_: &Path, _: &fs::Metadata) -> Result<(), crate::key::error::OpenError> {
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn check_files(_: &Path) -> Result<(), crate::key::error::OpenError> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    /// Also where one is put there between the look at the directory and the open.
    #[test]
    fn nothing_is_opened_made_or_changed_through_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("store").join("link"));
        fs::create_dir(directory.path().join("store")).unwrap();
        fs::write(&target, "somebody's").unwrap();
        let mode = fs::metadata(&target).unwrap().mode();
        for to in [target.clone(), directory.path().join("absent"), directory.path().to_owned()] {
            symlink(&to, &link).unwrap();
            let mut all = OpenOptions::new();
            all.read(true).write(true).create(true).truncate(true);
            for options in [OpenOptions::new().read(true), &mut all] {
                let error = own_file(options, &link).unwrap_err();
                assert_eq!(error.to_string(), format!("{} is a link, which is not followed", link.display()));
            }
            for work in [make_all_private, sync_all] {
                assert!(work(&directory.path().join("store")).unwrap_err().to_string().contains("is a link"));
            }
            fs::remove_file(&link).unwrap();
        }
        assert_eq!(fs::read_to_string(&target).unwrap(), "somebody's");
        assert_eq!(fs::metadata(&target).unwrap().mode(), mode);
        assert!(!directory.path().join("absent").exists());
        assert!(
            own_file(OpenOptions::new().read(true), directory.path()).unwrap_err().to_string().contains("is no file")
        );
    }
}
