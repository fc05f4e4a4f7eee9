//! The owner of a store's directory and files: a store opens only those of its own user.

#[cfg(unix)]
pub(crate) use unix::{check_files, check_owner};

#[cfg(unix)]
mod unix {
    use std::fs::{self, Metadata};
    use std::io;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use crate::base::files::CREATING;
    use crate::storage::file_names;
    use crate::storage::open_error::OpenError;

    /// Refuses the directory of another user, even for root.
    pub(crate) fn check_owner(path: &Path, directory: &Metadata) -> Result<(), OpenError> {
        let (owner, user) = (directory.uid(), rustix::process::geteuid().as_raw());
        if owner == user { Ok(()) } else { Err(OpenError::NotOwner { path: path.to_owned(), owner, user }) }
    }

    /// Refuses a link among the store's files, and a file of another user. It ignores other entries of the directory,
    /// such as `lost+found`.
    pub(crate) fn check_files(path: &Path) -> Result<(), OpenError> {
        let refused = |source| OpenError::io(path, source);
        for entry in fs::read_dir(path).map_err(refused)? {
            let name = entry.map_err(refused)?.file_name();
            let text = name.to_string_lossy();
            if file_names::ALL.contains(&&*text) || text.starts_with(CREATING) {
                check_entry(&path.join(name))?;
            }
        }
        Ok(())
    }

    fn check_entry(path: &Path) -> Result<(), OpenError> {
        let refused = |source| OpenError::io(path, source);
        let found = match fs::symlink_metadata(path) {
            // The process that has the store open may have removed it.
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
            // The owner of the directory may have put a hard link there, to gain the linked file if an administrator
            // changes its owner.
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

/// On other platforms files have no such owner.
#[cfg(not(unix))]
pub(crate) fn check_owner(
    _: &std::path::Path,
    _: &std::fs::Metadata,
) -> Result<(), crate::storage::open_error::OpenError> {
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn check_files(_: &std::path::Path) -> Result<(), crate::storage::open_error::OpenError> {
    Ok(())
}
