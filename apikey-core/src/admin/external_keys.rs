//! Keys that another system issued, as an import sends them.

use serde::{Deserialize, Serialize};

use crate::admin::SecretText;
use crate::key::new_key::{Expires, NewKey};
use crate::token::imported::{ImportScheme, Imported};

/// Keys that another system issued, with their common fields.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalKeys {
    /// The content of the entries.
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

/// The content of entries.
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

/// A key that another system issued.
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
    /// Converts an entry to a new key.
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
