//! Root works on a store as the user who owns it.
//!
//! What root makes in a store's directory, the service that runs as another user cannot open. And who has taken over that
//! service's account could plant links there, or on the way there, for root to follow. So root goes that way by handles
//! and follows no link that is not root's, opens the directory, and becomes its owner for good, before anything in the store
//! is looked at. From then on the store is named by the open handle: the way to it may be closed to its owner, and nobody
//! can put another directory in its place.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod way;

use std::borrow::Cow;

use crate::args::Cli;
use crate::failure::Failure;

/// What is printed, with directories as the operator has named them.
pub(crate) fn named(text: &str) -> Cow<'_, str> {
    renamed(text, str::to_owned)
}

/// The same, of a JSON document.
pub(crate) fn named_in_json(document: &str) -> Cow<'_, str> {
    renamed(document, |name| serde_json::Value::from(name).to_string().trim_matches('"').to_owned())
}

fn renamed(text: &str, form: impl Fn(&str) -> String) -> Cow<'_, str> {
    system::became().map_or(Cow::Borrowed(text), |became| {
        let name = |text: String, (handle, given): &(String, String)| text.replace(handle, &form(given));
        became.names.iter().fold(text.to_owned(), name).into()
    })
}

/// What to add to a refusal of the system, where it may come from no longer being root.
pub(crate) fn hint(text: &str) -> Option<String> {
    let became = system::became().filter(|became| became.owner != became.caller)?;
    if !text.contains("Permission denied") {
        return None;
    }
    Some(format!(
        "; for root this works as uid {}, to whom the store belongs: name files that this user may read, and places where \
         it may write, or use standard input and output",
        became.owner
    ))
}

/// Who ran the command.
#[cfg(unix)]
pub(crate) fn caller() -> u32 {
    system::became().map_or_else(|| rustix::process::geteuid().as_raw(), |became| became.caller)
}

/// Becomes the owner of the store that is named, where root runs this and the store is not root's. Called while there is
/// one thread: the system keeps users apart by thread, and those that are started later have that of this one.
pub(crate) fn become_owner(cli: &mut Cli) -> Result<(), Failure> {
    system::become_owner(cli)
}

/// Who this process was, and is.
#[derive(Debug)]
struct Became {
    caller: u32,
    owner: u32,
    /// The paths of open handles, and the names they were given by.
    names: Vec<(String, String)>,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use std::fs::{self, File};
    use std::io;
    use std::os::fd::{AsRawFd, IntoRawFd};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;
    use std::path::{Path, PathBuf};
    use std::sync::OnceLock;

    use rustix::fs::{Dir, Mode, OFlags, fchown, mkdirat, openat};
    use rustix::io::Errno;
    use rustix::process::{Gid, Uid};
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

    use super::Became;
    use super::way::Way;
    use crate::args::{Cli, Command};
    use crate::failure::{Code, Failure};

    /// The group that no file should belong to.
    const NOBODY: u32 = 65_534;

    /// Where an open handle has a path.
    const HANDLES: &str = "/proc/self/fd";

    static BECAME: OnceLock<Became> = OnceLock::new();

    pub(super) fn became() -> Option<&'static Became> {
        BECAME.get()
    }

    pub(super) fn become_owner(cli: &mut Cli) -> Result<(), Failure> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let mut places = Vec::new();
        // What is measured lies beside the store.
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
                    "{shown} belongs to root, and {} is in the hands of uid {}: both must be of one user",
                    other.given.display(),
                    other.owner
                ),
            ));
        }
        if owner == 0 && !Path::new(HANDLES).exists() {
            // A rescue system may not have it. Root's own store is then named as it was given.
            return Ok(());
        }
        if owner != 0 {
            // What root keeps for the service: its account may be given these bytes in another way.
            cli.opening.read_peppers()?;
            for place in &mut places {
                place.make_for(owner, group)?;
            }
            if matches!(&cli.command, Command::RunDue(run) if !run.deliver_by.is_empty()) && can_be_typed_at() {
                return Err(Failure::new(
                    Code::Refused,
                    format!(
                        "the program of --deliver-by would run as uid {owner}, and could type commands at root's terminal: run \
                         it without one, as `setsid -w apikey run-due …`, or from a timer"
                    ),
                ));
            }
            become_user(owner, group).map_err(|error| {
                Failure::new(Code::Refused, format!("root cannot become uid {owner}, to whom {shown} belongs: {error}"))
            })?;
        }
        let names = places.iter().map(Place::names).collect();
        for (path, place) in directories(cli).into_iter().zip(places) {
            *path = place.keep();
        }
        let became = Became { caller: 0, owner, names };
        // The first, and only, call.
        let _ = BECAME.set(became);
        Ok(())
    }

    /// The directories that a command works on; the first is the one whose owner counts.
    fn directories(cli: &mut Cli) -> Vec<&mut PathBuf> {
        let store = cli.opening.store.as_mut();
        match &mut cli.command {
            Command::Completions { .. } | Command::Man { .. } => Vec::new(),
            Command::Restore(restore) => restore.over.as_mut().into_iter().chain([&mut restore.into]).collect(),
            Command::Salvage(salvage) => store.into_iter().chain([&mut salvage.into]).collect(),
            _ => store.into_iter().collect(),
        }
    }

    /// A directory, or the nearest one above it that is there.
    struct Place {
        given: PathBuf,
        /// The directory that it lies in, where that is what is worked in.
        beside: Option<PathBuf>,
        handle: File,
        owner: u32,
        group: u32,
        /// What is not there yet, or is no directory: then the library says so.
        missing: PathBuf,
    }

    impl Place {
        /// The directory of this path, or the one that what is missing would lie in.
        fn find(given: &Path, beside: bool) -> Result<Self, Failure> {
            let above = given.parent().filter(|_| beside);
            let Way { end: handle, mut missing } = Way::go(above.unwrap_or(given))?;
            missing.extend(above.and_then(|_| given.file_name()));
            let found = handle.metadata().map_err(|error| Failure::file(given, &error))?;
            // The one that this process is in has no name.
            let shown = |above: &Path| if above.as_os_str().is_empty() { Path::new(".") } else { above }.to_owned();
            let beside = above.map(shown);
            Ok(Self { given: given.to_owned(), beside, handle, owner: found.uid(), group: found.gid(), missing })
        }

        /// Makes what is missing in a directory of root's, where that user could not.
        fn make_for(&mut self, owner: u32, group: u32) -> Result<(), Failure> {
            if self.owner != 0 {
                return Ok(());
            }
            let missing = std::mem::take(&mut self.missing);
            let mut names = missing.iter();
            while let Some(name) = names.next() {
                match made(&self.handle, Path::new(name), owner, group) {
                    Ok(made) => self.handle = made,
                    // It is no directory: the library says so.
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
            // To join nothing would end it with a slash.
            if self.missing.as_os_str().is_empty() { handle } else { handle.join(&self.missing) }
        }

        fn names(&self) -> (String, String) {
            let (path, given) = match &self.beside {
                Some(above) => (self.directory(), above),
                None => (self.path(), &self.given),
            };
            (path.display().to_string(), given.display().to_string())
        }

        /// Its path by a handle that stays open to the end: no other file may ever be at that path.
        fn keep(self) -> PathBuf {
            let path = self.path();
            let _ = self.handle.into_raw_fd();
            path
        }
    }

    /// Makes a directory in one of root's, and gives it away.
    fn made(above: &File, name: &Path, owner: u32, group: u32) -> rustix::io::Result<File> {
        mkdirat(above, name.as_os_str().as_bytes(), Mode::RWXU)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(above, name, flags, Mode::empty())?;
        // Who may write above can have put another one in its place.
        if Dir::read_from(&made)?
            .any(|entry| entry.map_or(true, |entry| !matches!(entry.file_name().to_bytes(), b"." | b"..")))
        {
            return Err(Errno::NOTEMPTY);
        }
        fchown(&made, Some(Uid::from_raw(owner)), Some(Gid::from_raw(group)))?;
        Ok(File::from(made))
    }

    /// Whether this process has a terminal, at which the system lets every process that has it type (TIOCSTI). Who has the
    /// owner's account has every program that runs as the owner.
    fn can_be_typed_at() -> bool {
        let is_off = fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti").is_ok_and(|set| set.trim() == "0");
        !is_off && File::open("/dev/tty").is_ok()
    }

    /// For good: the saved user and group, too, and no group of root's is left. The group is the directory's, unless that is
    /// root's: who owns the directory may not be in it.
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
            Err(io::Error::other("the system says that it was done, and it was not"))
        }
    }
}

/// Elsewhere root is refused by the library, as everybody is who does not own the directory.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    use super::Became;
    use crate::args::Cli;
    use crate::failure::Failure;

    pub(super) fn became() -> Option<&'static Became> {
        None
    }

    pub(super) fn become_owner(_: &mut Cli) -> Result<(), Failure> {
        Ok(())
    }
}
