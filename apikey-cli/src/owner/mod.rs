//! Root switches to the user who owns a store before it works on it.
//!
//! A service that runs as another user cannot open files that root creates in its store's directory. And an attacker
//! with that service's account could plant links there, or on the path to it, for root to follow. So root walks the
//! path by handles, follows only links of root's own, opens the directory, and becomes its owner for good, before it
//! reads anything in the store. From then on the open handle names the store: its owner may lack access to the path,
//! and nobody can put another directory in its place.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod path_walk;

use crate::args::Cli;
use crate::failure::Failure;

/// Becomes the owner of the named store, if root runs this and the store is not root's. Call it while there is one
/// thread: Linux keeps the user per thread, and later threads inherit this one's.
pub(crate) fn become_owner(cli: &mut Cli) -> Result<(), Failure> {
    system::become_owner(cli)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use std::fs::{self, File};
    use std::io;
    use std::os::fd::{AsRawFd, IntoRawFd};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;
    use std::path::{Path, PathBuf};

    use rustix::fs::{Dir, Mode, OFlags, fchown, mkdirat, openat};
    use rustix::io::Errno;
    use rustix::process::{Gid, Uid};
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

    use super::path_walk::PathWalk;
    use crate::args::{Cli, Command};
    use crate::failure::{Code, Failure};
    use crate::identity::{self, Became};

    /// The group that no file should belong to.
    const NOBODY: u32 = 65_534;

    /// The directory in which Linux has a path for each open handle.
    const HANDLES: &str = "/proc/self/fd";

    pub(super) fn become_owner(cli: &mut Cli) -> Result<(), Failure> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let mut places = Vec::new();
        // The benchmark's store lies beside the store.
        let beside = matches!(cli.command, Command::Bench(_));
        for path in directories(cli) {
            places.push(Place::find(path, beside)?);
        }
        let Some(first) = places.first() else { return Ok(()) };
        let (owner, group, shown) = (first.owner, first.group, first.given.display().to_string());
        if let Some(other) = places.iter().find(|place| owner == 0 && place.owner != 0) {
            return Err(Failure::new(
                Code::Refused,
                format!(
                    "{shown} belongs to root, and {} to uid {}: both must belong to one user",
                    other.given.display(),
                    other.owner
                ),
            ));
        }
        if owner == 0 && !Path::new(HANDLES).exists() {
            // A rescue system may not have /proc. Root's own store then keeps the given name.
            return Ok(());
        }
        if owner != 0 {
            // Root may keep the peppers for the service, whose account gets these bytes in another way.
            cli.store.read_peppers()?;
            for place in &mut places {
                place.make_for(owner, group)?;
            }
            if matches!(&cli.command, Command::RunDue(run) if !run.deliver_by.is_empty()) && can_be_typed_at() {
                return Err(Failure::new(
                    Code::Refused,
                    format!(
                        "the program of --deliver-by would run as uid {owner} and could type commands at root's terminal: run the \
                         command without one, as `setsid -w apikey run-due …`, or from a timer"
                    ),
                ));
            }
            become_user(owner, group).map_err(|error| {
                Failure::new(Code::Refused, format!("root cannot become uid {owner}, the owner of {shown}: {error}"))
            })?;
        }
        let names = places.iter().map(Place::names).collect();
        for (path, place) in directories(cli).into_iter().zip(places) {
            *path = place.keep();
        }
        identity::note(Became { caller: 0, owner, names });
        Ok(())
    }

    /// The directories that a command works on; the owner of the first one counts.
    fn directories(cli: &mut Cli) -> Vec<&mut PathBuf> {
        let store = cli.store.store.as_mut();
        match &mut cli.command {
            Command::Completions { .. } | Command::Man { .. } => Vec::new(),
            Command::Restore(restore) => restore.over.as_mut().into_iter().chain([&mut restore.into]).collect(),
            Command::Salvage(salvage) => store.into_iter().chain([&mut salvage.into]).collect(),
            Command::Cluster { action } => action.directory(store).into_iter().collect(),
            _ => store.into_iter().collect(),
        }
    }

    /// A directory, or its nearest existing ancestor.
    struct Place {
        given: PathBuf,
        /// Its parent, if the command works there.
        beside: Option<PathBuf>,
        handle: File,
        owner: u32,
        group: u32,
        /// The rest of the path, which does not exist yet or is not a directory; the library reports the latter.
        missing: PathBuf,
    }

    impl Place {
        /// Opens the directory of this path, or its nearest existing ancestor.
        fn find(given: &Path, beside: bool) -> Result<Self, Failure> {
            let above = given.parent().filter(|_| beside);
            let PathWalk { end: handle, mut missing } = PathWalk::follow(above.unwrap_or(given))?;
            missing.extend(above.and_then(|_| given.file_name()));
            let found = handle.metadata().map_err(|error| Failure::file(given, &error))?;
            // The current directory has an empty parent path.
            let shown = |above: &Path| if above.as_os_str().is_empty() { Path::new(".") } else { above }.to_owned();
            let beside = above.map(shown);
            Ok(Self { given: given.to_owned(), beside, handle, owner: found.uid(), group: found.gid(), missing })
        }

        /// Creates the missing directories in one of root's, where the owner could not.
        fn make_for(&mut self, owner: u32, group: u32) -> Result<(), Failure> {
            if self.owner != 0 {
                return Ok(());
            }
            let missing = std::mem::take(&mut self.missing);
            let mut names = missing.iter();
            while let Some(name) = names.next() {
                match create(&self.handle, Path::new(name), owner, group) {
                    Ok(created) => self.handle = created,
                    // It is not a directory; the library reports it.
                    Err(Errno::EXIST) => {
                        self.missing = std::iter::once(name).chain(names).collect();
                        break;
                    }
                    Err(error) => return Err(Failure::file(&self.given, &error.into())),
                }
            }
            Ok(())
        }

        fn directory(&self) -> PathBuf {
            Path::new(HANDLES).join(self.handle.as_raw_fd().to_string())
        }

        fn path(&self) -> PathBuf {
            let handle = self.directory();
            // Joining an empty path would add a slash.
            if self.missing.as_os_str().is_empty() { handle } else { handle.join(&self.missing) }
        }

        fn names(&self) -> (String, String) {
            let (path, given) = match &self.beside {
                Some(above) => (self.directory(), above),
                None => (self.path(), &self.given),
            };
            (path.display().to_string(), given.display().to_string())
        }

        /// Returns its path by a handle that stays open until the process ends, so that no other file can take that
        /// path.
        fn keep(self) -> PathBuf {
            let path = self.path();
            let _ = self.handle.into_raw_fd();
            path
        }
    }

    /// Creates a directory in one of root's, and gives it to the owner.
    fn create(above: &File, name: &Path, owner: u32, group: u32) -> rustix::io::Result<File> {
        mkdirat(above, name.as_os_str().as_bytes(), Mode::RWXU)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let created = openat(above, name, flags, Mode::empty())?;
        // Someone who may write in the parent can have put another directory in its place.
        if Dir::read_from(&created)?
            .any(|entry| entry.map_or(true, |entry| !matches!(entry.file_name().to_bytes(), b"." | b"..")))
        {
            return Err(Errno::NOTEMPTY);
        }
        fchown(&created, Some(Uid::from_raw(owner)), Some(Gid::from_raw(group)))?;
        Ok(File::from(created))
    }

    /// Whether this process has a terminal at which every process that has it open can type (TIOCSTI). An attacker with
    /// the owner's account controls every program that runs as the owner.
    fn can_be_typed_at() -> bool {
        let is_off = fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti").is_ok_and(|set| set.trim() == "0");
        !is_off && File::open("/dev/tty").is_ok()
    }

    /// Changes the user for good, the saved user and group included, and drops every group of root's. The group is the
    /// directory's, unless that is root's: the directory's owner need not be in it.
    fn become_user(owner: u32, group: u32) -> io::Result<()> {
        if fs::read_dir("/proc/self/task")?.count() != 1 {
            return Err(io::Error::other("there is more than one thread already"));
        }
        let group = Gid::from_raw(if group == 0 { NOBODY } else { group });
        let user = Uid::from_raw(owner);
        set_thread_groups(&[])?;
        set_thread_res_gid(group, group, group)?;
        set_thread_res_uid(user, user, user)?;
        if rustix::process::geteuid() == user && rustix::process::getuid() == user {
            Ok(())
        } else {
            Err(io::Error::other("the system reported success and did not change the user"))
        }
    }
}

/// On other systems the library refuses root, as it does every user who does not own the directory.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    use crate::args::Cli;
    use crate::failure::Failure;

    pub(super) fn become_owner(_: &mut Cli) -> Result<(), Failure> {
        Ok(())
    }
}
