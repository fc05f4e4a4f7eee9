//! Keys issued elsewhere, as an import sends them.

use serde::{Deserialize, Serialize};

use crate::admin::SecretText;
use crate::key::new_key::{Expires, NewKey};
use crate::token::imported::{ImportScheme, Imported};

/// Keys issued elsewhere, and what they have in common.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalKeys {
    /// What the entries contain.
    pub form: EntryForm,
    /// The part of a key that its issuer hashed.
    pub scheme: ImportScheme,
    /// The grants of the keys.
    pub permissions: Vec<String>,
    /// The end of the keys.
    #[serde(default)]
    pub expires: Expires,
    /// Whether to import keys whose secret has fewer than 20 bytes.
    pub allow_weak: bool,
    /// Whether to import nothing, and only report what an import would refuse. A session remembers the keys that it has
    /// checked: the second of two equal keys is refused, whichever requests they come in.
    pub check_only: bool,
    /// The keys.
    pub entries: Vec<Entry>,
}

/// What entries contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryForm {
    /// The keys themselves.
    Raw,
    /// SHA-256 in hexadecimal.
    Sha256,
    /// SHA-512 in hexadecimal.
    Sha512,
}

/// A key issued elsewhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The number by which the report names the entry, such as that of its line.
    pub line: u64,
    /// The key, or its digest.
    pub key: SecretText,
    /// The key's owner.
    pub owner: String,
    /// The key's name.
    pub name: Option<String>,
}

impl ExternalKeys {
    /// Makes an entry a new key.
    pub(super) fn new_key(&self, entry: &Entry) -> NewKey {
        let text = entry.key.expose_secret();
        let imported = match self.form {
            EntryForm::Raw => Imported::raw(text),
            EntryForm::Sha256 => Imported::sha256_hex(text),
            EntryForm::Sha512 => Imported::sha512_hex(text),
        };
        NewKey {
            name: entry.name.clone(),
            expires: self.expires,
            allow_weak: self.allow_weak,
            ..NewKey::for_owner(&*entry.owner).permissions(&self.permissions).imported(imported, self.scheme)
        }
    }
}
