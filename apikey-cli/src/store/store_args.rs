//! The arguments that name a store, and how the command opens it.

use std::fs::File;
#[cfg(unix)]
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apikey_core::{KeyStore, KeyStoreBuilder, OpenError, Pepper, RestoreError, wiped};
use clap::Args;

use super::backend::Backend;
#[cfg(feature = "http")]
use super::http::{Http, Key, Url};
use super::lock_holder::{LockHolder, LockWait};
use crate::failure::{Code, Failure};
#[cfg(unix)]
use crate::output;

/// The advice where a service cannot do what the command needs.
const NEEDS_EXCLUSIVE_ACCESS: &str = "A running service cannot do this, so stop it first";

/// The most bytes of a pepper's file; a longer or endless file is another one.
const MAX_PEPPER: usize = 64 * 1024;

/// Which store, and how to open it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreArgs {
    /// The directory of the store
    #[arg(long, global = true, value_name = "DIR", env = "APIKEY_STORE")]
    pub(crate) store: Option<PathBuf>,
    /// The prefixes of the store's tokens, separated by commas; new tokens have the first. They must match the store
    #[arg(
        long,
        global = true,
        value_name = "PREFIX",
        value_delimiter = ',',
        default_value = "ak",
        env = "APIKEY_PREFIXES"
    )]
    prefixes: Vec<String>,
    /// A pepper: its number, and the file with its exact bytes, including a newline at the end; for more repeat it, or
    /// separate them by commas
    #[arg(long, global = true, value_name = "NUMBER=FILE", value_parser = pepper_files, env = "APIKEY_PEPPER")]
    pepper: Vec<PepperFiles>,
    /// The socket of the service that has the store open, if the store's lock file does not name it
    #[cfg(unix)]
    #[arg(long, global = true, value_name = "PATH", env = "APIKEY_SOCKET")]
    socket: Option<PathBuf>,
    /// The URL of a service's API for managing keys, in place of a store
    #[cfg(feature = "http")]
    #[arg(long, global = true, value_name = "URL", value_parser = Url::parse, requires = "key_file", env = "APIKEY_URL")]
    url: Option<Url>,
    /// The file with the key to use at --url
    #[cfg(feature = "http")]
    #[arg(long, global = true, value_name = "FILE", env = "APIKEY_KEY_FILE")]
    key_file: Option<PathBuf>,
    /// How long to wait for another process that has the store open and offers no socket, such as 2m; by default 30s
    /// for another `apikey`, and not at all for a service
    #[arg(long, global = true, value_name = "SPAN", value_parser = wait)]
    wait: Option<Duration>,
}

/// Whether a note has named the service.
#[cfg(unix)]
static NOTED: AtomicBool = AtomicBool::new(false);

#[derive(Debug, Clone)]
struct PepperFile {
    number: u32,
    path: PathBuf,
    /// Its content, if it was read already.
    content: Option<Pepper>,
}

impl PepperFile {
    fn read(&self) -> Result<Pepper, Failure> {
        if let Some(content) = &self.content {
            return Ok(content.clone());
        }
        let read = File::open(&self.path).and_then(|file| wiped::read(file, MAX_PEPPER + 1));
        let bytes = read.map_err(|error| {
            let Failure { text, .. } = Failure::file(&self.path, &error);
            Failure::new(Code::Refused, format!("pepper {} cannot be read from {text}", self.number))
        })?;
        if bytes.len() > MAX_PEPPER {
            let text = format!("{} has more than {MAX_PEPPER} bytes, so it is not a pepper", self.path.display());
            return Err(Failure::usage(text));
        }
        Ok(Pepper::new(self.number, bytes.as_slice()))
    }
}

/// The peppers of one value.
#[derive(Debug, Clone)]
struct PepperFiles(Vec<PepperFile>);

/// A comma ends a pepper if another one follows it; every other one is part of a file's name.
fn pepper_files(text: &str) -> Result<PepperFiles, String> {
    let begins = |rest: &str| {
        let number = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
        number.len() < rest.len() && number.starts_with('=')
    };
    let mut files = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices(',') {
        if text.get(at + 1..).is_some_and(begins) {
            files.push(pepper_file(text.get(from..at).unwrap_or_default())?);
            from = at + 1;
        }
    }
    files.push(pepper_file(text.get(from..).unwrap_or_default())?);
    Ok(PepperFiles(files))
}

fn pepper_file(text: &str) -> Result<PepperFile, String> {
    let parsed = text.split_once('=').and_then(|(number, path)| {
        let number = number.parse().ok().filter(|number| *number > 0)?;
        (!path.is_empty()).then(|| PepperFile { number, path: path.into(), content: None })
    });
    parsed.ok_or_else(|| "a number from 1 on, `=` and a file are expected, as in 1=/etc/acme/pepper".to_owned())
}

fn wait(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "a span such as 30s or 2m is expected".to_owned())
}

impl StoreArgs {
    pub(crate) fn path(&self) -> Result<&Path, Failure> {
        #[cfg(feature = "http")]
        if self.url.is_some() {
            let text = "this needs the store's directory: there is no such operation over HTTP";
            return Err(Failure::new(Code::NotOverHttp, text));
        }
        self.store
            .as_deref()
            .ok_or_else(|| Failure::usage("name the store's directory with --store DIR or APIKEY_STORE"))
    }

    /// Reads the peppers now, before this process loses the right to read their files.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn read_peppers(&mut self) -> Result<(), Failure> {
        for file in self.pepper.iter_mut().flat_map(|files| &mut files.0) {
            file.content = Some(file.read()?);
        }
        Ok(())
    }

    /// The pepper for new secrets.
    pub(crate) fn newest_pepper(&self) -> Result<Option<Pepper>, Failure> {
        let newest = self.pepper_files().max_by_key(|file| file.number);
        newest.map(PepperFile::read).transpose()
    }

    fn peppers(&self) -> Result<Vec<Pepper>, Failure> {
        self.pepper_files().map(PepperFile::read).collect()
    }

    fn pepper_files(&self) -> impl Iterator<Item = &PepperFile> {
        self.pepper.iter().flat_map(|files| &files.0)
    }

    /// A builder with these arguments. It checks grants against the catalogue of the service that opened the store last.
    pub(crate) fn builder(&self) -> Result<KeyStoreBuilder, Failure> {
        let mut builder = KeyStore::builder().prefixes(&self.prefixes).keep_catalog();
        for pepper in self.peppers()? {
            builder = builder.pepper(pepper);
        }
        Ok(builder)
    }

    /// Opens the store, or connects to the service that has it open, with a note if `verbose`. Waits for another
    /// command.
    pub(crate) fn open(&self, create: bool, verbose: bool) -> Result<Backend, Failure> {
        #[cfg(feature = "http")]
        if let (Some(url), Some(key_file), false) = (&self.url, &self.key_file, create) {
            return Ok(Backend::Http(Box::new(Http::new(url.clone(), Key::read(key_file)?))));
        }
        let path = self.path()?;
        let mut wait = LockWait::new(self.wait, verbose);
        loop {
            match self.builder()?.create_if_missing(create).open(path) {
                Ok(store) => return Ok(Backend::local(store)),
                Err(OpenError::InUse { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            let holder = LockHolder::of(path);
            let advice = match self.service(path, &holder, verbose) {
                Ok(service) => return Ok(service),
                Err(advice) => advice,
            };
            if !wait.wait_for(&holder) {
                return Err(holder.failure(wait.waited(), &advice));
            }
        }
    }

    /// A connection to the service that has the store open, if there is one. It never opens the store.
    pub(crate) fn connect(&self) -> Option<Backend> {
        let path = self.path().ok()?;
        self.service(path, &LockHolder::of(path), false).ok()
    }

    /// Runs work that needs a store that no other process has open. Waits for another command. If there is no store,
    /// the failure adds `hint`, which names the option for it.
    pub(crate) fn exclusively<T>(
        &self,
        verbose: bool,
        hint: &str,
        mut work: impl FnMut() -> Result<T, RestoreError>,
    ) -> Result<T, Failure> {
        let mut wait = LockWait::new(self.wait, verbose);
        loop {
            match work() {
                Err(RestoreError::Directory(OpenError::InUse { path, .. })) => {
                    let holder = LockHolder::of(&path);
                    if !wait.wait_for(&holder) {
                        return Err(holder.failure(wait.waited(), NEEDS_EXCLUSIVE_ACCESS));
                    }
                }
                Ok(done) => return Ok(done),
                Err(RestoreError::NoOldStore { path }) => {
                    let text = format!("there is no key store in {}, nor any part of one: {hint}", path.display());
                    return Err(Failure::new(Code::Unusable, text));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A connection to the service that has the store open, or advice if there is none.
    #[cfg(unix)]
    fn service(&self, path: &Path, holder: &LockHolder, verbose: bool) -> Result<Backend, String> {
        use apikey_core::admin::{Client, SOCKET};

        let from_lock_file = || {
            let socket = holder.socket()?;
            // A process that was root has the directory open, but may lack the right to traverse the path to it.
            let is_closed = std::fs::metadata(socket).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
            Some(if is_closed { path.join(SOCKET) } else { socket.to_owned() })
        };
        let noted = self.socket.clone().or_else(from_lock_file);
        // A service listens before it notes its socket.
        let is_noted = noted.is_some();
        let socket = noted.unwrap_or_else(|| path.join(SOCKET));
        let client = Client::connect(&socket, path).map_err(|error| {
            if is_noted {
                return format!("It does not accept the connection: {error}");
            }
            "It offers no admin socket, by which this command could ask it: turn that on in the service, or stop it. If it is \
             starting, it offers one when it has opened the store: --wait 30s waits for that, or for its end"
                .to_owned()
        })?;
        // A command that asks for a confirmation connects twice.
        if verbose && !NOTED.swap(true, Ordering::Relaxed) {
            output::note(&format!("{holder}: asking it at {}", socket.display()));
        }
        let slow_note = format!(
            "{holder}, and has not answered yet: it is busy, stopped, or hangs. If you stop waiting, `apikey events` shows \
             whether the request was carried out"
        );
        Ok(Backend::Service { client, slow_note: verbose.then_some(slow_note) })
    }

    #[cfg(not(unix))]
    fn service(&self, _: &Path, _: &LockHolder, _: bool) -> Result<Backend, String> {
        Err("On this system the command cannot connect to a service: stop it; --wait 30s waits for it to end"
            .to_owned())
    }
}
