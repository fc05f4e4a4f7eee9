//! The context of every command.

use std::str::FromStr;

use apikey_core::KeyId;

use crate::failure::Failure;
use crate::store::backend::Backend;
use crate::store::store_args::StoreArgs;

/// The store of a command, and whether it answers as JSON.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) store: StoreArgs,
    pub(crate) json: bool,
}

impl Context {
    /// Opens the store, or connects to the service that has it open, runs `work`, and closes the store whatever the
    /// outcome.
    pub(crate) fn with_store<T>(
        &self,
        create: bool,
        work: impl FnOnce(&mut Backend) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut store = self.store.open(create, !self.json)?;
        let outcome = work(&mut store);
        if outcome.is_ok() && !self.json {
            store.warn_of_failed_disk();
        }
        let closed = store.close();
        let value = outcome?;
        closed?;
        Ok(value)
    }
}

/// Parses a whole id. The error does not repeat the text: it may be a key.
pub(crate) fn id(text: &str) -> Result<KeyId, Failure> {
    KeyId::from_str(text).map_err(|error| Failure::usage(error.to_string()))
}
