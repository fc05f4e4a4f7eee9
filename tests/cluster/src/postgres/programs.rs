use crate::Host;
use crate::processes::install;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The user that PostgreSQL runs as: `None` for that of the tests, and another one where that is root.
pub(super) fn user() -> Option<(u32, u32)> {
    static USER: OnceLock<Option<(u32, u32)>> = OnceLock::new();
    *USER.get_or_init(|| {
        let id = |args: &[&str]| -> u32 {
            let output = Command::new("id").args(args).output().expect("the program id");
            String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number of a user")
        };
        (id(&["-u"]) == 0).then(|| (id(&["-u", "nobody"]), id(&["-g", "nobody"])))
    })
}

/// A program of PostgreSQL's, to be run as [`user`] says.
pub(super) fn program(name: &str) -> Command {
    as_user(directory().join(name))
}

/// The same on some host.
pub(super) fn program_on(host: &Host, name: &str) -> Command {
    let Some(mut command) = host.enter() else { return program(name) };
    if let Some((user, group)) = user() {
        command.args(["--setuid", &user.to_string(), "--setgid", &group.to_string()]);
    }
    command.arg("--").arg(directory().join(name)).current_dir("/").env("LC_ALL", "C.UTF-8");
    command
}

/// PgBouncer.
pub(super) fn pooler() -> Command {
    let found =
        ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer", "/opt/homebrew/bin/pgbouncer"];
    let find = || found.iter().map(Path::new).find(|path| path.exists());
    let path = find().or_else(|| {
        install("postgres");
        find()
    });
    as_user(path.expect("pgbouncer is not installed: run tests/install postgres"))
}

fn as_user(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = user() {
        command.uid(user).gid(group);
    }
    command.current_dir("/").env_remove("PGPASSWORD").env("LC_ALL", "C.UTF-8");
    command
}

/// Where the server's programs are. Debian has them outside of `PATH`.
fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        find_directory()
            .or_else(|| {
                install("postgres");
                find_directory()
            })
            .expect("PostgreSQL is not installed: run tests/install postgres")
    })
}

fn find_directory() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    debian.sort();
    debian.reverse();
    let path = std::env::var_os("PATH").unwrap_or_default();
    debian.into_iter().chain(std::env::split_paths(&path)).find(|directory| directory.join("initdb").exists())
}
