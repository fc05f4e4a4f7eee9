//! The proof that a request presented a valid key.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::access::auth_error::AuthError;
use crate::access::control_word::ControlWord;
use crate::access::grants;
use crate::access::identity;
use crate::access::requirement::Requirement;
use crate::access::stores;
use crate::base::base62;
use crate::base::interner::{GRANTS, IDENTITIES};
use crate::base::time::from_ms;
use crate::token::api_key::ID_CHARS;
use crate::token::digest::DigestPrefix;
use crate::token::key_id::KeyId;

/// A key that a store has verified: its owner, its permissions and its labels.
///
/// Only a store creates a `VerifiedKey`, so nobody can reach a function that takes one without a valid key. It is a
/// snapshot, and does not change when the key does: long-running work checks the key again with
/// [`KeyStore::recheck`](crate::KeyStore::recheck). A clone copies a few words.
#[derive(Clone)]
pub struct VerifiedKey {
    pub(crate) id: IdForm,
    /// The index finds the secret by this.
    pub(crate) digest: DigestPrefix,
    /// The number of the store that verified it.
    pub(crate) store: u64,
    pub(crate) control: ControlWord,
    /// The number of its identity.
    pub(crate) identity: u32,
    pub(crate) grants: u32,
    pub(crate) version: u32,
}

/// The id, encoded or decoded. Decoding takes longer than finding the key, and few handlers read the id.
#[derive(Clone, Copy)]
pub(crate) enum IdForm {
    Written([u8; ID_CHARS]),
    /// The bytes of its number.
    Known([u8; 16]),
}

impl IdForm {
    pub(crate) fn known(id: KeyId) -> Self {
        Self::Known(id.as_u128().to_be_bytes())
    }

    pub(crate) fn key_id(self) -> KeyId {
        KeyId::from_u128(match self {
            // The digest covers these characters, and it matched that of an encoded id, so they decode.
            Self::Written(text) => base62::decode_u128(&text).unwrap_or_default(),
            Self::Known(id) => u128::from_be_bytes(id),
        })
    }
}

impl VerifiedKey {
    /// Returns the key's id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id.key_id()
    }

    /// Returns the owner of the key.
    #[must_use]
    pub fn owner(&self) -> &str {
        identity::name_of_owner(IDENTITIES.text(self.identity))
    }

    /// Returns the tenant of the key; `None` for a key of no tenant. The [owner](Self::owner) is one of this tenant: an owner
    /// of the same name in another tenant is someone else.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        identity::tenant(IDENTITIES.text(self.identity))
    }

    /// Returns whether keys of this tenant are there for this key: its own tenant, or if it has none and `keys:any_tenant`, any.
    #[must_use]
    pub fn reaches_tenant(&self, tenant: Option<&str>) -> bool {
        self.tenant() == tenant || (self.tenant().is_none() && self.allows("keys:any_tenant"))
    }

    /// Checks that the key is one of this tenant, whatever else it may do. Call it where a request names a tenant, as a path
    /// does, before anything about that tenant is read.
    ///
    /// ```
    /// use apikey::{AuthError, KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let created = store.tenant("acme")?.create(NewKey::for_owner("alice"))?;
    /// let key = store.verify(created.key.expose_secret())?;
    /// assert!(key.in_tenant("acme").is_ok());
    /// assert_eq!(key.in_tenant("apex"), Err(AuthError::NotFound)); // 404, as if there were no such tenant
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`AuthError::NotFound`] for every other tenant, and for a key of no tenant. Answer it as you answer for a thing that
    /// does not exist: so callers do not learn which tenants there are.
    pub fn in_tenant(&self, tenant: impl AsRef<str>) -> Result<(), AuthError> {
        if self.tenant() == Some(tenant.as_ref()) { Ok(()) } else { Err(AuthError::NotFound) }
    }

    /// Checks that the key is one of no tenant, as the keys of those who run the service are.
    ///
    /// # Errors
    /// [`AuthError::NotFound`] for a key of a tenant.
    pub fn in_no_tenant(&self) -> Result<(), AuthError> {
        if self.tenant().is_none() { Ok(()) } else { Err(AuthError::NotFound) }
    }

    /// Returns the name of the key, if it has one. The name is for people: no right depends on it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        identity::name(IDENTITIES.text(self.identity))
    }

    /// Returns the prefix with which the store issued the secret that the caller presented; `None` for a secret that was
    /// [imported](crate::NewKey::imported). A caller who writes a token with another prefix changes nothing here.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey};
    ///
    /// let store = KeyStore::builder().prefixes(["acme_live", "acme_test"]).temporary()?;
    /// let test = store.create(NewKey::for_owner("alice").prefix("acme_test"))?;
    /// assert!(test.key.expose_secret().starts_with("acme_test_"));
    /// assert_eq!(store.verify(test.key.expose_secret())?.prefix(), Some("acme_test"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        match identity::prefix(IDENTITIES.text(self.identity)) {
            None => stores::default_prefix(self.store),
            prefix => prefix.filter(|prefix| !prefix.is_empty()),
        }
    }

    /// Returns the value of a [label](crate::NewKey::label); `None` if the key does not have it.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let created = store.create(NewKey::for_owner("alice").label("plan", "pro"))?;
    /// let key = store.verify(created.key.expose_secret())?;
    /// let exports = if key.label("plan") == Some("pro") { 100 } else { 5 }; // what lacks the label gets less
    /// assert_eq!(exports, 100);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn label(&self, name: impl AsRef<str>) -> Option<&str> {
        identity::label(IDENTITIES.text(self.identity), name.as_ref())
    }

    /// Returns the labels, each a name and a value, by name.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        identity::labels(IDENTITIES.text(self.identity))
    }

    /// Returns whether the key's grants give this permission; `false` for a text that is not a permission.
    #[must_use]
    pub fn allows(&self, permission: impl AsRef<str>) -> bool {
        let permission = permission.as_ref();
        crate::access::permission::check_permission(permission).is_ok() && self.gives(permission)
    }

    /// Checks that the key meets a requirement.
    ///
    /// # Errors
    /// [`AuthError::InsufficientPermission`], which names the requirement, if the key does not meet it.
    pub fn require(&self, requirement: &Requirement) -> Result<(), AuthError> {
        if requirement.met_by(self.grants) { Ok(()) } else { Err(AuthError::lacking(requirement)) }
    }

    fn gives(&self, permission: &str) -> bool {
        grants::joined_give(GRANTS.text(self.grants), permission)
    }

    /// Returns the key's grants, sorted.
    pub fn permissions(&self) -> impl Iterator<Item = &str> {
        GRANTS.text(self.grants).split(' ').filter(|grant| !grant.is_empty())
    }

    /// Returns the number of the secret that the caller presented; the key's first is 1.
    #[must_use]
    pub fn secret_version(&self) -> u32 {
        self.version
    }

    /// Returns whether the key was rotated and the caller still presents the older secret.
    #[must_use]
    pub fn superseded(&self) -> bool {
        self.control.superseded()
    }

    /// Returns when the older secret ends; `None` if the secret is the current one, or ends at its successor's first
    /// use.
    #[must_use]
    pub fn superseded_until(&self) -> Option<DateTime<Utc>> {
        self.control.superseded_until().map(from_ms)
    }

    /// Returns the value of the response header `X-API-Key-Superseded`: the end as an HTTP-date (RFC 9110 section
    /// 5.6.7), or `?1` if the secret ends at its successor's first use; `None` if the secret is the current one.
    #[must_use]
    pub fn superseded_header(&self) -> Option<String> {
        let date = |end: DateTime<Utc>| end.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        self.superseded().then(|| self.superseded_until().map_or_else(|| "?1".into(), date))
    }
}

impl fmt::Debug for VerifiedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedKey")
            .field("id", &self.id())
            .field("owner", &self.owner())
            .field("tenant", &self.tenant())
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
