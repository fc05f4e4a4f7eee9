//! Opening the store that the options name.

use std::fs::File;
#[cfg(unix)]
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use apikey_core::{KeyStore, KeyStoreBuilder, OpenError, Pepper, RestoreError, wiped};
use clap::Args;

use crate::backend::Backend;
use crate::failure::{Code, Failure};
use crate::occupant::{Occupant, Patience};
use crate::out;

/// What cannot be asked of a service.
const ALONE: &str = "This cannot be done while a service has it open, not through the service either: stop it first";

/// Most bytes of a pepper's file: what has more, or no end, is another file.
const MAX_PEPPER: usize = 64 * 1024;

/// Which store, and how it is opened.
#[derive(Debug, Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct Opening {
    /// The directory of the store
    #[arg(long, global = true, value_name = "DIR", env = "APIKEY_STORE")]
    pub(crate) store: Option<PathBuf>,
    /// The prefix of its tokens; a store does not open with another
    #[arg(long, global = true, default_value = "ak", env = "APIKEY_PREFIX")]
    prefix: String,
    /// A prefix that it had before; may be given several times
    #[arg(long, global = true, value_name = "PREFIX")]
    accept_prefix: Vec<String>,
    /// A pepper: its number, and the file that holds its bytes as they are, a newline at the end among them; may be
    /// given several times
    #[arg(long, global = true, value_name = "NUMBER=FILE", value_parser = pepper_file)]
    pepper: Vec<PepperFile>,
    /// The socket of the service that has the store open, where the store's lock file does not name it
    #[cfg(unix)]
    #[arg(long, global = true, value_name = "PATH", env = "APIKEY_SOCKET")]
    socket: Option<PathBuf>,
    /// How long to wait for another process that has the store open and cannot be asked, as 30s; if it is not given, 5s
    /// for another `apikey`, and not at all for a service
    #[arg(long, global = true, value_name = "SPAN", value_parser = wait)]
    wait: Option<Duration>,
}

#[derive(Debug, Clone)]
struct PepperFile {
    number: u32,
    path: PathBuf,
    /// What is in it, if it was read already.
    held: Option<Pepper>,
}

impl PepperFile {
    fn read(&self) -> Result<Pepper, Failure> {
        if let Some(held) = &self.held {
            return Ok(held.clone());
        }
        let read = File::open(&self.path).and_then(|file| wiped::read(file, MAX_PEPPER + 1));
        let bytes = read.map_err(|error| Failure::file(&self.path, &error))?;
        if bytes.len() > MAX_PEPPER {
            let text = format!("{} has more than {MAX_PEPPER} bytes, which no pepper has", self.path.display());
            return Err(Failure::usage(text));
        }
        Ok(Pepper::new(self.number, bytes.as_slice()))
    }
}

fn pepper_file(text: &str) -> Result<PepperFile, String> {
    let parsed = text.split_once('=').and_then(|(number, path)| {
        let number = number.parse().ok().filter(|number| *number > 0)?;
        (!path.is_empty()).then(|| PepperFile { number, path: path.into(), held: None })
    });
    parsed.ok_or_else(|| "a number from 1 on, `=` and a file are expected, as in 1=/etc/acme/pepper".to_owned())
}

fn wait(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "a span such as 30s or 2m is expected".to_owned())
}

impl Opening {
    pub(crate) fn path(&self) -> Result<&Path, Failure> {
        self.store
            .as_deref()
            .ok_or_else(|| Failure::usage("which store? Name its directory with --store DIR or APIKEY_STORE"))
    }

    /// Reads the peppers now, for when their files can no longer be read.
    #[cfg(unix)]
    pub(crate) fn read_peppers(&mut self) -> Result<(), Failure> {
        for file in &mut self.pepper {
            file.held = Some(file.read()?);
        }
        Ok(())
    }

    /// The one for new secrets.
    pub(crate) fn newest_pepper(&self) -> Result<Option<Pepper>, Failure> {
        let newest = self.pepper.iter().max_by_key(|file| file.number);
        newest.map(PepperFile::read).transpose()
    }

    fn peppers(&self) -> Result<Vec<Pepper>, Failure> {
        self.pepper.iter().map(PepperFile::read).collect()
    }

    /// What the store is opened with. What the command asks is no use of a key.
    pub(crate) fn builder(&self) -> Result<KeyStoreBuilder, Failure> {
        let mut builder = KeyStore::builder().prefix(&self.prefix).track_use(false);
        for prefix in &self.accept_prefix {
            builder = builder.accept_prefix(prefix);
        }
        for pepper in self.peppers()? {
            builder = builder.pepper(pepper);
        }
        Ok(builder)
    }

    /// Opens the store; or asks the service that has it open, and says so if `aloud`. Another command is waited for.
    pub(crate) fn open(&self, create: bool, aloud: bool) -> Result<Backend, Failure> {
        let path = self.path()?;
        let mut patience = Patience::new(self.wait, aloud);
        loop {
            match self.builder()?.create_if_missing(create).open(path) {
                Ok(store) => return Ok(Backend::here(store)),
                Err(OpenError::InUse { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            let occupant = Occupant::of(path);
            let advice = match self.service(path, &occupant, aloud) {
                Ok(service) => return Ok(service),
                Err(advice) => advice,
            };
            if !patience.wait_for(&occupant) {
                return Err(occupant.in_the_way(patience.waited(), &advice));
            }
        }
    }

    /// Makes a new store of an old one, which nothing else may have open; another command is waited for. Which option names
    /// the old one, `named` says, where there is nothing of a store.
    pub(crate) fn alone<T>(
        &self,
        aloud: bool,
        named: &str,
        mut work: impl FnMut() -> Result<T, RestoreError>,
    ) -> Result<T, Failure> {
        let mut patience = Patience::new(self.wait, aloud);
        loop {
            match work() {
                Err(RestoreError::Directory(OpenError::InUse { path })) => {
                    let occupant = Occupant::of(&path);
                    if !patience.wait_for(&occupant) {
                        return Err(occupant.in_the_way(patience.waited(), ALONE));
                    }
                }
                Ok(done) => return Ok(done),
                Err(RestoreError::NoOldStore { path }) => {
                    let text = format!("there is no key store in {}, nor anything of one: {named}", path.display());
                    return Err(Failure::new(Code::Unusable, text));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The service that has the store open, or what to do about it.
    #[cfg(unix)]
    fn service(&self, path: &Path, occupant: &Occupant, aloud: bool) -> Result<Backend, String> {
        use apikey_core::admin::{Client, SOCKET};

        let noted = || {
            let socket = occupant.socket()?;
            // Who was root may have the directory open, and not the right to go all the way to it.
            let is_closed = std::fs::metadata(socket).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
            Some(if is_closed { path.join(SOCKET) } else { socket.to_owned() })
        };
        let Some(socket) = self.socket.clone().or_else(noted) else {
            return Err(
                "It offers no admin socket (KeyStoreBuilder::admin_socket), so stop it, or make the call in the \
                        service itself; --wait 30s waits for it to end"
                    .to_owned(),
            );
        };
        let client = Client::connect(&socket, path).map_err(|error| format!("It cannot be asked: {error}"))?;
        if aloud {
            out::note(&format!("{occupant}: asking it at {}", socket.display()));
        }
        let late = format!(
            "{occupant}, and has not answered yet: it is busy, stopped, or hangs. Whether it was done, if you do not wait, \
             `apikey events` shows"
        );
        Ok(Backend::Service { client, late: aloud.then_some(late) })
    }

    #[cfg(not(unix))]
    fn service(&self, _: &Path, _: &Occupant, _: bool) -> Result<Backend, String> {
        Err("On this system a service cannot be asked: stop it; --wait 30s waits for it to end".to_owned())
    }
}
