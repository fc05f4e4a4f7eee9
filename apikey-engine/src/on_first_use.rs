use std::sync::OnceLock;

use apikey_core::cluster::{LedgerError, LedgerResult};

/// What an engine has once it is used, such as a thread. The first call makes it; if that fails, every call does.
#[derive(Debug)]
pub struct OnFirstUse<T>(OnceLock<Result<T, String>>);

impl<T> OnFirstUse<T> {
    /// Creates one that is not made yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Returns what `make` has made, in this call or in an earlier one.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with the text of `make`.
    pub fn get(&self, make: impl FnOnce() -> Result<T, String>) -> LedgerResult<&T> {
        self.0.get_or_init(make).as_ref().map_err(|error| LedgerError::refused(error.as_str()))
    }
}

impl<T> Default for OnFirstUse<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once() {
        let number = OnFirstUse::new();
        assert_eq!(number.get(|| Ok(1)), Ok(&1));
        assert_eq!(number.get(|| Ok(2)), Ok(&1));
        let none = OnFirstUse::<u8>::new();
        assert_eq!(none.get(|| Err("no".to_owned())), Err(LedgerError::refused("no")));
        assert_eq!(none.get(|| Ok(1)), Err(LedgerError::refused("no")));
    }
}
