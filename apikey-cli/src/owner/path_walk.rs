//! Walks the path to a directory by handles, one name after the other.
//!
//! A user who may write in a directory on the path can put a link there at any time, and root would work wherever it
//! leads, even in a directory of root's own. So root follows a link only if root owns it, or if nobody else may write
//! beside it.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, Stat, fstat, fstatfs, openat, readlinkat};
use rustix::io::Errno;

use crate::failure::{Code, Failure};

/// The kernel's own limit.
const MAX_LINKS: usize = 40;
const FLAGS: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// The result of walking a path.
pub(super) struct PathWalk {
    /// The last directory that exists.
    pub(super) end: File,
    /// The rest of the path, which does not exist or is not a directory.
    pub(super) missing: PathBuf,
}

impl PathWalk {
    pub(super) fn follow(given: &Path) -> Result<Self, Failure> {
        let mut shown = PathBuf::new();
        let mut next = Vec::new();
        push(&mut next, given);
        let failed = |shown: &Path, error: Errno| Failure::file(shown, &error.into());
        let mut end = openat(CWD, ".", FLAGS, Mode::empty()).map_err(|error| failed(given, error))?;
        let mut links = 0;
        while let Some(name) = next.pop() {
            shown.push(&name);
            let entry = match openat(&end, &name, FLAGS | OFlags::NOFOLLOW, Mode::empty()) {
                Ok(entry) => entry,
                Err(Errno::NOENT) => {
                    next.push(name);
                    break;
                }
                Err(error) => return Err(failed(&shown, error)),
            };
            let failed = |error| failed(&shown, error);
            let found = fstat(&entry).map_err(failed)?;
            match FileType::from_raw_mode(found.st_mode) {
                FileType::Directory => end = entry,
                FileType::Symlink => {
                    let target = readlinkat(&entry, "", Vec::new()).map_err(failed)?;
                    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                    if !is_of_root(&found, &fstat(&end).map_err(failed)?) {
                        return Err(not_followed(&shown, &target, found.st_uid));
                    }
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(failed(Errno::LOOP));
                    }
                    // The text of the kernel's own links does not say where they lead.
                    if fstatfs(&end).map_err(failed)?.f_type == PROC_SUPER_MAGIC {
                        end = openat(&end, &name, FLAGS | OFlags::DIRECTORY, Mode::empty()).map_err(failed)?;
                    } else {
                        shown.pop();
                        push(&mut next, &target);
                    }
                }
                _ => {
                    next.push(name);
                    break;
                }
            }
        }
        Ok(Self { end: end.into(), missing: next.iter().rev().collect() })
    }
}

/// Pushes the names of a path, the first one last.
fn push(next: &mut Vec<OsString>, path: &Path) {
    let names = path.components().filter(|name| !matches!(name, Component::CurDir));
    next.extend(names.rev().map(|name| name.as_os_str().to_owned()));
}

/// Whether only root can have put the link there. Another user may have hard-linked one with several names.
fn is_of_root(link: &Stat, above: &Stat) -> bool {
    let is_closed = above.st_uid == 0 && above.st_mode & 0o022 == 0;
    is_closed || (link.st_uid == 0 && link.st_nlink == 1)
}

fn not_followed(link: &Path, target: &Path, owner: u32) -> Failure {
    Failure::new(
        Code::Refused,
        format!(
            "{} is a link of uid {owner}, to {}, which root does not follow: its owner may have chosen any directory. If that \
             one is right, name it directly, or make root the owner of the link (`chown -h 0 {}`)",
            link.display(),
            target.display(),
            link.display()
        ),
    )
}
