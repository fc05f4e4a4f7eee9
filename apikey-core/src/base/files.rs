//! Opening, replacing and syncing files, without following links.
//!
//! A user with write access to a directory can put a link there, and a process of another user, above all root, would
//! truncate or open the link's target. So a store follows no link, and opens only plain files.

use std::fs::{self, DirBuilder, File, FileType, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// The prefix of the names of incomplete files. After a crash these are leftovers.
pub(crate) const CREATING: &str = "creating-";

/// Opens a file of a store. It refuses a link, pipe or device in its place. Only this user can access a file that it
/// creates.
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
    // Opening a pipe would wait for the other side.
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

/// Returns how many bytes this user can still write to the file system of a directory; `None` if that is not known.
pub(crate) fn free_bytes(directory: &Path) -> Option<u64> {
    #[cfg(unix)]
    return rustix::fs::statvfs(directory).ok().map(|system| system.f_bavail.saturating_mul(system.f_frsize));
    #[cfg(not(unix))]
    {
        let _ = directory;
        None
    }
}

/// Opens every file in a directory and below, and after them each directory, if the operating system can open
/// directories. It skips files that disappear meanwhile, since sled may replace its snapshots at any time.
pub(crate) fn walk(directory: &Path, each: &mut dyn FnMut(&File, FileType) -> io::Result<()>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            walk(&path, each)?;
            continue;
        }
        // Windows syncs a file only through a handle with write access.
        match own_file(OpenOptions::new().read(true).write(cfg!(windows)), &path) {
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

/// Writes a file with these bytes to `path`, and replaces an older one: after a crash the directory has the old file or
/// the complete new one. When this returns, the new file is on the disk, and only this user can access it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(path, |file| file.write_all(bytes))
}

/// Works as [`replace`], with the content that `write` writes.
pub(crate) fn replace_with(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let beside = path.with_file_name([CREATING.as_ref(), name].join("".as_ref()));
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = own_file(OpenOptions::new().write(true).create_new(true), &beside)?;
    let written = write(&mut file).and_then(|()| file.sync_all());
    written.and_then(|()| rename(&beside, path)).inspect_err(|_| {
        // The first error is the one to report.
        let _ = fs::remove_file(&beside);
    })
}

/// Renames a synced file or directory, durably.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_directory(parent(to))
}

/// Returns the directory of an entry.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Syncs the entries of a directory, if the operating system supports that.
#[cfg(unix)]
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(not(unix))]
pub(crate) fn sync_directory(_: &Path) -> io::Result<()> {
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

/// Removes the access of other users to the files, which sled creates under the process's umask.
pub(crate) fn make_all_private(directory: &Path) -> io::Result<()> {
    walk(directory, &mut |file, kind| make_private(file, if kind.is_dir() { 0o700 } else { 0o600 }))
}

pub(crate) fn sync_all(directory: &Path) -> io::Result<()> {
    walk(directory, &mut |file, _| file.sync_all())
}

/// Creates a directory that only this user can access, and the missing ones above it, and syncs them. An existing
/// directory stays as it is.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    let missing = path.ancestors().take_while(|above| !above.as_os_str().is_empty() && !above.exists());
    let missing: Vec<&Path> = missing.collect();
    let mut builder = DirBuilder::new();
    private(&mut builder);
    builder.recursive(true).create(path)?;
    // Sync each new entry, so that a power cut does not lose the path to the directory.
    missing.into_iter().try_for_each(|made| sync_directory(parent(made)))
}

#[cfg(unix)]
fn private(builder: &mut DirBuilder) {
    use std::os::unix::fs::DirBuilderExt;
    builder.mode(0o700);
}

#[cfg(not(unix))]
fn private(_: &mut DirBuilder) {}

/// Writes at an offset of a file, in one system call if there is one.
#[cfg(unix)]
pub(crate) fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(not(unix))]
pub(crate) fn write_at(mut file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let (path, leftover) = (directory.path().join("file"), directory.path().join("creating-file"));
        let names =
            || fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        for bytes in [&b"first"[..], b"second", b""] {
            fs::write(&leftover, "of a process that died").unwrap();
            replace(&path, bytes).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
            assert_eq!(names(), ["file"]);
        }
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let error = replace_with(&path, |file| file.write_all(b"some").and_then(|()| Err(full()))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!((fs::read(&path).unwrap(), names()), (vec![], vec!["file".into()]));
        symlink(&path, &leftover).unwrap();
        replace(&path, b"not through the link").unwrap();
        assert!(!fs::symlink_metadata(&path).unwrap().is_symlink());
    }

    /// This holds even if somebody puts the link there between the check of the directory and the open.
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
