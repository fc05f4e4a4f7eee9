//! The import of many keys, each of which the store accepts or rejects by itself.

use std::collections::HashSet;

use crate::key::bounds;
use crate::key::change::Action;
use crate::key::error::{Conflict, StoreError};
use crate::key::new_key::NewKey;
use crate::token::digest::Digest;
use crate::token::key_id::KeyId;

use crate::store::key_store::KeyStore;

impl KeyStore {
    /// Creates the keys that the store accepts, in one change, and returns the outcome of each. With `check_only` it
    /// creates none; `checked` then has the keys that earlier checks accepted, and this adds its own.
    ///
    /// # Errors
    /// The disk fails or the store is closed: the call creates none.
    pub(crate) fn import_many(
        &self,
        keys: Vec<NewKey>,
        check_only: bool,
        checked: &mut HashSet<Digest>,
    ) -> Result<Vec<Result<KeyId, StoreError>>, StoreError> {
        if keys.len() > bounds::MAX_BATCH {
            return Err(StoreError::invalid("keys", "more than 10000", "at most 10,000 keys in one call"));
        }
        let validated: Vec<_> = keys.into_iter().map(|key| self.inner().validate(key)).collect();
        let mut taken = Vec::new();
        let mut given = HashSet::new();
        self.change_many(validated.len(), |writer, records| {
            taken.clear();
            given.clear();
            let mut changes = Vec::new();
            for new in validated.iter().filter_map(|new| new.as_ref().ok()) {
                let change = match self.inner().assign(new, writer, records) {
                    Ok((_, change)) => change,
                    Err(error @ (StoreError::Io { .. } | StoreError::Closed)) => return Err(error),
                    Err(error) => {
                        taken.push(Err(error));
                        continue;
                    }
                };
                let Action::Create(record) = &change.action else { continue };
                let digests: Vec<Digest> = record.secrets.iter().map(|secret| secret.digest).collect();
                if digests.iter().any(|digest| given.contains(digest) || (check_only && checked.contains(digest))) {
                    taken.push(Err(StoreError::Conflict(Conflict::DigestTwice)));
                    continue;
                }
                given.extend(digests);
                taken.push(Ok(KeyId::from_u128(change.id)));
                changes.push(change);
            }
            Ok(if check_only { Vec::new() } else { changes })
        })?;
        if check_only {
            checked.extend(given);
        }
        let mut taken = taken.into_iter();
        Ok(validated
            .into_iter()
            .map(|new| match new {
                Ok(_) => taken.next().unwrap_or(Err(StoreError::Closed)),
                Err(error) => Err(error),
            })
            .collect())
    }
}
