//! A program that takes secrets.

use std::ffi::OsString;
use std::fmt;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{Delivery, SecretSink, SinkError};

const LIMIT: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(10);

/// Hands each secret to a program: the token and a line end on its standard input, and in its environment
/// `APIKEY_ID`, `APIKEY_OWNER`, `APIKEY_NAME` (empty if there is none) and `APIKEY_VERSION`. The program is started
/// without a shell. It has taken the secret if it ends with status 0; what it writes goes nowhere, since it may be the
/// secret.
///
/// ```no_run
/// use std::time::Duration;
/// use apikey_core::sink::CommandSink;
///
/// let sink = CommandSink::new("/usr/local/bin/put-secret").args(["--into", "vault"]).time_limit(Duration::from_secs(10));
/// ```
pub struct CommandSink {
    program: PathBuf,
    arguments: Vec<OsString>,
    limit: Duration,
}

impl CommandSink {
    /// The program, by its path or as it is found on `PATH`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), arguments: Vec::new(), limit: LIMIT }
    }

    /// Its arguments, the same for each key. Everybody on the machine can read them.
    #[must_use]
    pub fn args<T: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments = arguments.into_iter().map(Into::into).collect();
        self
    }

    /// How long it may take, 30 seconds if it is not set. Then it is killed, and the delivery has failed.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    fn run(&self, delivery: &Delivery<'_>) -> Result<ExitStatus, SinkError> {
        let io = || SinkError::io(&self.program);
        let info = delivery.info();
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .env("APIKEY_ID", info.id().to_string())
            .env("APIKEY_OWNER", info.owner())
            .env("APIKEY_NAME", info.name().unwrap_or_default())
            .env("APIKEY_VERSION", info.version().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(io())?;
        let mut input = child.stdin.take();
        // A pipe has room for a token, whether anybody reads it or not.
        let written = input.iter_mut().try_for_each(|input| {
            input.write_all(delivery.key().expose_secret().as_bytes())?;
            input.write_all(b"\n")
        });
        drop(input);
        let ended = self.wait(&mut child);
        if ended.is_err() {
            // What is over already cannot be killed, and need not.
            let _ = child.kill();
            let _ = child.wait();
        }
        match (ended?, written) {
            // It said that it was content without reading, or before.
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
            std::thread::sleep(STEP);
        }
    }
}

impl SecretSink for CommandSink {
    fn deliver(&self, delivery: &Delivery<'_>) -> Result<(), SinkError> {
        let status = self.run(delivery)?;
        if status.success() { Ok(()) } else { Err(SinkError::Refused { program: self.program.clone(), status }) }
    }
}

/// The arguments may be anything.
impl fmt::Debug for CommandSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandSink")
            .field("program", &self.program)
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
            [ "$given" = "$1" ] && [ "$APIKEY_ID $APIKEY_OWNER $APIKEY_NAME $APIKEY_VERSION" = "$2" ]"#;
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

    #[test]
    fn one_that_is_not_there_is_named() {
        let store = KeyStore::temporary().unwrap();
        let created = store.create(NewKey::for_owner("alice")).unwrap();
        let error = CommandSink::new("/nowhere/put").deliver(&Delivery::of(&created)).unwrap_err();
        assert!(error.to_string().starts_with("/nowhere/put: "), "{error}");
    }
}
