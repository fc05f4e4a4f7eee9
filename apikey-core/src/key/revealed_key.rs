//! A key with its secret, for the one response that contains it.

use serde::Serialize;

use crate::key::key_info::KeyInfo;
use crate::key::new_key::CreatedKey;

/// A key that a call has just created or rotated, as JSON: the fields of [`KeyInfo`], and `key`, its token (`null` for
/// a key that was imported by its digest). [`CreatedKey::reveal`] returns it; no other type serialises a secret.
#[derive(Debug)]
#[must_use = "the secret can be read only here"]
pub struct RevealedKey(CreatedKey);

impl CreatedKey {
    /// Allows the secret to be serialised. Send it in one response, with `Cache-Control: no-store`, and never log it.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let created = store.create(NewKey::for_owner("alice"))?;
    /// let token = created.key.clone();
    /// let json = serde_json::to_value(created.reveal())?;
    /// assert_eq!((&json["owner"], &json["key"]), (&"alice".into(), &token.expose_secret().into()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reveal(self) -> RevealedKey {
        RevealedKey(self)
    }
}

impl Serialize for RevealedKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Flat<'a> {
            #[serde(flatten)]
            info: &'a KeyInfo,
            key: Option<&'a str>,
        }
        let token = self.0.key.expose_secret();
        Flat { info: &self.0.info, key: (!token.is_empty()).then_some(token) }.serialize(serializer)
    }
}
