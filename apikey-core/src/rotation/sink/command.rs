//! A sink that is a program.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::rotation::sink::{Delivery, SecretSink, SinkError};

const TIME_LIMIT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Variables by which a program finds other programs and its own files; none is a secret of the service.
const INHERITED: [&str; 9] = ["HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER"];

/// Runs a program for each secret. The program reads the token and a line end from its standard input, and finds
/// `APIKEY_ID`, `APIKEY_OWNER`, `APIKEY_TENANT`, `APIKEY_NAME` (these two empty if there is none) and `APIKEY_VERSION` in its environment. The
/// sink starts it without a shell. Exit status 0 means that the program has stored the secret. The sink discards its
/// output, which may contain the secret.
///
/// The environment of this process may contain a pepper or a password, so the program gets only `HOME`, `LANG`,
/// `LC_ALL`, `LC_CTYPE`, `LOGNAME`, `PATH`, `TMPDIR`, `TZ`, `USER`, and the variables that [`inherit`](Self::inherit)
/// names. On Unix it runs in a process group of its own, without a terminal. After its time limit the sink kills the
/// group; a process that has left the group (`setsid`) survives.
///
/// ```no_run
/// use std::time::Duration;
/// use apikey::sink::CommandSink;
///
/// let sink = CommandSink::new("/usr/local/bin/put-secret")
///     .args(["--into", "vault"])
///     .inherit(["VAULT_ADDR"])
///     .time_limit(Duration::from_secs(10));
/// ```
pub struct CommandSink {
    program: PathBuf,
    arguments: Vec<OsString>,
    inherited: Vec<OsString>,
    limit: Duration,
}

impl CommandSink {
    /// Creates a sink that runs this program, by its path or its name on `PATH`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), arguments: Vec::new(), inherited: Vec::new(), limit: TIME_LIMIT }
    }

    /// Sets the arguments, the same for each key. Every user of the machine can read them.
    #[must_use]
    pub fn args<T: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments = arguments.into_iter().map(Into::into).collect();
        self
    }

    /// Passes these variables of this process's environment to the program, too. A variable that is not set at the time
    /// of a delivery is left out.
    #[must_use]
    pub fn inherit<T: Into<OsString>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.inherited.extend(names.into_iter().map(Into::into));
        self
    }

    /// Sets the time limit of a delivery; the default is 30 seconds. After it the sink kills the program and its
    /// process group, and the delivery has failed.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    fn run(&self, delivery: &Delivery<'_>) -> Result<ExitStatus, SinkError> {
        let io = || SinkError::io(&self.program);
        let info = delivery.info();
        let mut command = Command::new(&self.program);
        let names = INHERITED.iter().map(OsStr::new).chain(self.inherited.iter().map(OsString::as_os_str));
        command.env_clear().envs(names.filter_map(|name| Some((name, std::env::var_os(name)?))));
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command
            .args(&self.arguments)
            .env("APIKEY_ID", info.id().to_string())
            .env("APIKEY_OWNER", info.owner())
            .env("APIKEY_TENANT", info.tenant().unwrap_or_default())
            .env("APIKEY_NAME", info.name().unwrap_or_default())
            .env("APIKEY_VERSION", info.version().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(io())?;
        let mut input = child.stdin.take();
        // A token fits into the pipe's buffer, so this does not block.
        let written = input.iter_mut().try_for_each(|input| {
            input.write_all(delivery.key().expose_secret().as_bytes())?;
            input.write_all(b"\n")
        });
        drop(input);
        let ended = self.wait(&mut child);
        if ended.is_err() {
            kill(&mut child);
        }
        match (ended?, written) {
            // The program ended without reading, or before it had read everything: its status decides.
            (status, Err(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(status),
            (_, Err(error)) => Err(io()(error)),
            (status, Ok(())) => Ok(status),
        }
    }

    fn wait(&self, child: &mut Child) -> Result<ExitStatus, SinkError> {
        let until = Instant::now() + self.limit;
        loop {
            if let Some(status) = child.try_wait().map_err(SinkError::io(&self.program))? {
                return Ok(status);
            }
            if Instant::now() >= until {
                return Err(SinkError::TimedOut { program: self.program.clone(), limit: self.limit });
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Kills the program and its process group.
fn kill(child: &mut Child) {
    // Errors mean that it has ended already. Its number is not reused before `wait`.
    #[cfg(unix)]
    let _ = rustix::process::kill_process_group(rustix::process::Pid::from_child(child), rustix::process::Signal::KILL);
    let _ = child.kill();
    let _ = child.wait();
}

impl SecretSink for CommandSink {
    fn deliver(&self, delivery: &Delivery<'_>) -> Result<(), SinkError> {
        let status = self.run(delivery)?;
        if status.success() { Ok(()) } else { Err(SinkError::Refused { program: self.program.clone(), status }) }
    }
}

/// Hides the arguments, which may contain anything.
impl fmt::Debug for CommandSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandSink")
            .field("program", &self.program)
            .field("inherited", &self.inherited)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::{KeyStore, NewKey};

    fn deliver(script: &str, limit: Duration) -> Result<(), SinkError> {
        let store = KeyStore::temporary().unwrap();
        let created = store.create(NewKey::for_owner("alice of x; exit 9").name("ci")).unwrap();
        let environment = format!("{} alice of x; exit 9 ci 1", created.info.id());
        let token = created.key.expose_secret();
        let arguments = ["-c", script, "sh", token, &environment];
        CommandSink::new("/bin/sh").args(arguments).time_limit(limit).deliver(&Delivery::of(&created))
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn the_program_gets_the_secret_and_whose_it_is() {
        let script = r#"read -r given; read -r more && exit 3
            [ "$given" = "$1" ] && [ "$APIKEY_ID $APIKEY_OWNER$APIKEY_TENANT $APIKEY_NAME $APIKEY_VERSION" = "$2" ]"#;
        deliver(script, LONG).unwrap();
    }

    #[test]
    fn its_exit_status_decides() {
        let error = deliver("cat; exit 7", LONG).unwrap_err();
        assert_eq!(error.to_string(), "/bin/sh ended with exit status: 7");
        deliver("exit 0", LONG).unwrap();
        assert!(matches!(deliver("exec <&-; sleep 0.1; exit 5", LONG), Err(SinkError::Refused { .. })));
        assert!(matches!(deliver("kill -9 $$", LONG), Err(SinkError::Refused { .. })));
    }

    #[test]
    fn one_that_does_not_end_is_killed() {
        let error = deliver("exec sleep 600", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, SinkError::TimedOut { .. }), "{error}");
    }

    /// Cargo sets variables for a test, which stand for those of a service.
    #[test]
    fn it_gets_what_is_named_of_the_environment_and_no_more() {
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some() && std::env::var_os("CARGO_PKG_VERSION").is_some());
        let store = KeyStore::temporary().unwrap();
        let created = store.create(NewKey::for_owner("alice")).unwrap();
        let deliver = |names: &[&str], script: &str| {
            let sink = CommandSink::new("/bin/sh").args(["-c", script]).inherit(names.iter().copied());
            sink.deliver(&Delivery::of(&created))
        };
        deliver(&[], "[ -z \"$CARGO_PKG_NAME$CARGO_PKG_VERSION\" ] && [ -n \"$PATH\" ]").unwrap();
        let names = ["CARGO_PKG_NAME", "NOT_SET", "", "A=B", "APIKEY_OWNER"];
        let script =
            "[ \"$CARGO_PKG_NAME$CARGO_PKG_VERSION ${NOT_SET-unset} $APIKEY_OWNER\" = 'apikey-core unset alice' ]";
        deliver(&names, script).unwrap();
        // Nothing else at all: what a shell sets by itself is `PWD`, and on some systems `SHLVL`, `_` and `OLDPWD`.
        let known = "HOME|LANG|LC_ALL|LC_CTYPE|LOGNAME|PATH|TMPDIR|TZ|USER|APIKEY_[A-Z]*|PWD|OLDPWD|SHLVL|_";
        deliver(
            &[],
            &format!("env | sed 's/=.*//' | while read -r name; do case $name in {known}) ;; *) exit 9 ;; esac; done"),
        )
        .unwrap();
    }

    #[test]
    fn what_it_has_started_is_killed_with_it() {
        let place = tempfile::tempdir().unwrap();
        let pipe = place.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // A reader reaches the end once no process is left that could write.
        let script = format!("(sleep 20; echo alive) > '{}' & wait", pipe.display());
        let said = std::thread::scope(|scope| {
            let said = scope.spawn(|| std::fs::read_to_string(&pipe).unwrap());
            let error = deliver(&script, Duration::from_secs(1)).unwrap_err();
            assert!(matches!(error, SinkError::TimedOut { .. }), "{error}");
            // Where the program was killed before it had opened the pipe, this lets the reader go on.
            let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
            while !said.is_finished() {
                let _ = rustix::fs::open(&pipe, flags, rustix::fs::Mode::empty());
                std::thread::sleep(POLL_INTERVAL);
            }
            said.join().unwrap()
        });
        assert_eq!(said, "");
    }

    #[test]
    fn one_that_is_not_there_is_named() {
        let store = KeyStore::temporary().unwrap();
        let created = store.create(NewKey::for_owner("alice")).unwrap();
        let error = CommandSink::new("/nowhere/put").deliver(&Delivery::of(&created)).unwrap_err();
        assert!(error.to_string().starts_with("/nowhere/put: "), "{error}");
    }
}
