//! Opening the store that the options name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use apikey_core::{KeyStore, KeyStoreBuilder, Pepper};
use clap::Args;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Which store, and how it is opened.
#[derive(Debug, Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct Opening {
    /// The directory of the store
    #[arg(long, global = true, value_name = "DIR", env = "APIKEY_STORE")]
    store: Option<PathBuf>,
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
    /// How long to wait for another process to close the store, as 30s
    #[arg(long, global = true, value_name = "SPAN", value_parser = wait)]
    wait: Option<Duration>,
}

#[derive(Debug, Clone)]
struct PepperFile {
    number: u32,
    path: PathBuf,
}

impl PepperFile {
    fn read(&self) -> Result<Pepper, Failure> {
        let bytes = std::fs::read(&self.path).map_err(|error| Failure::file(&self.path, &error))?;
        Ok(Pepper::new(self.number, Zeroizing::new(bytes).as_slice()))
    }
}

fn pepper_file(text: &str) -> Result<PepperFile, String> {
    let parsed = text.split_once('=').and_then(|(number, path)| {
        let number = number.parse().ok().filter(|number| *number > 0)?;
        (!path.is_empty()).then(|| PepperFile { number, path: path.into() })
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
        Ok(builder.wait_for_lock(self.wait.unwrap_or_default()))
    }

    pub(crate) fn open(&self, create: bool) -> Result<KeyStore, Failure> {
        let path = self.path()?;
        Ok(self.builder()?.create_if_missing(create).open(path)?)
    }
}
