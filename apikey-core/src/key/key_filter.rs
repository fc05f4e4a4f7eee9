//! Which keys to list.

use chrono::{DateTime, Utc};

use crate::access::grants;
use crate::access::permission::{PermissionError, check_permission};
use crate::key::error::StoreError;
use crate::key::key_info::{KeyInfo, KeyState};
use crate::token::key_id::KeyId;

/// Most keys on a page, and how many there are if no limit is set.
pub const MAX_PAGE: usize = 1000;
pub(crate) const DEFAULT_PAGE: usize = 100;

/// Which keys to list; what is not named does not matter. Keys come in order of creation.
///
/// ```
/// use apikey_core::{KeyFilter, KeyStore, NewKey};
///
/// let store = KeyStore::temporary()?;
/// store.create_many((0..5).map(|_| NewKey::for_owner("alice")))?;
/// let mut filter = KeyFilter::owner("alice").limit(2);
/// let mut seen = 0;
/// loop {
///     let page = store.list(&filter)?;
///     seen += page.keys.len();
///     let Some(next) = page.next else { break };
///     filter = filter.after(next);
/// }
/// assert_eq!(seen, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[must_use]
pub struct KeyFilter {
    pub(crate) owner: Option<String>,
    state: Option<KeyState>,
    permission: Option<String>,
    text: Option<String>,
    expiring_before: Option<DateTime<Utc>>,
    idle_since: Option<DateTime<Utc>>,
    pub(crate) after: Option<KeyId>,
    limit: Option<usize>,
}

/// Some of the keys that a filter names.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Page {
    /// The keys, in order of creation.
    pub keys: Vec<KeyInfo>,
    /// There may be more: ask again with [`KeyFilter::after`] this id.
    pub next: Option<KeyId>,
}

impl KeyFilter {
    /// Keys of this owner, exactly.
    pub fn owner(owner: impl Into<String>) -> Self {
        Self { owner: Some(owner.into()), ..Self::default() }
    }

    /// Keys that stand so now.
    pub fn state(mut self, state: KeyState) -> Self {
        self.state = Some(state);
        self
    }

    /// Keys whose grants give this permission, wildcards counted.
    pub fn permission(mut self, permission: impl Into<String>) -> Self {
        self.permission = Some(permission.into());
        self
    }

    /// Keys with this text in owner, name, hint or metadata, without regard to case.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into().to_lowercase());
        self
    }

    /// Keys that have an end, and it comes before this time.
    pub fn expiring_before(mut self, time: DateTime<Utc>) -> Self {
        self.expiring_before = Some(time);
        self
    }

    /// Keys that were not used at this time or later. One that was never used counts from its creation. Revoked and
    /// expired keys are among them, unless [`state`](Self::state) says otherwise. Uses are known to the second, also
    /// those of the last moments; a crash may take up to 30 seconds of them, and
    /// [`track_use(false)`](crate::KeyStoreBuilder::track_use) all.
    ///
    /// ```
    /// use apikey_core::{KeyFilter, KeyState, KeyStore, NewKey};
    /// use chrono::{TimeDelta, Utc};
    ///
    /// let store = KeyStore::temporary()?;
    /// store.create(NewKey::for_owner("alice"))?;
    /// let idle = KeyFilter::default().idle_since(Utc::now() - TimeDelta::days(90)).state(KeyState::Active);
    /// assert!(store.list(&idle)?.keys.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn idle_since(mut self, time: DateTime<Utc>) -> Self {
        self.idle_since = Some(time);
        self
    }

    /// Keys created after this one.
    pub fn after(mut self, id: KeyId) -> Self {
        self.after = Some(id);
        self
    }

    /// At most this many keys on the page, 1 to 1000; 100 if it is not set.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    pub(crate) fn page_size(&self) -> Result<usize, StoreError> {
        if let Some(permission) = &self.permission {
            check_permission(permission).map_err(|fault| PermissionError::new("permission", permission, fault))?;
        }
        match self.limit.unwrap_or(DEFAULT_PAGE) {
            limit @ 1..=MAX_PAGE => Ok(limit),
            other => Err(StoreError::invalid("limit", &other.to_string(), "1 to 1000")),
        }
    }

    pub(crate) fn matches(&self, key: &KeyInfo, now: DateTime<Utc>) -> bool {
        self.owner.as_deref().is_none_or(|owner| key.owner() == owner)
            && self.state.is_none_or(|state| key.state(now) == state)
            && self.permission.as_deref().is_none_or(|permission| grants::give(key.permissions(), permission))
            && self.expiring_before.is_none_or(|time| key.expires_at().is_some_and(|end| end < time))
            && self.idle_since.is_none_or(|time| key.last_used_at().unwrap_or(key.created_at()) < time)
            && self.text.as_deref().is_none_or(|text| mentions(key, text))
    }
}

fn mentions(key: &KeyInfo, text: &str) -> bool {
    let fields = [key.owner(), key.hint()].into_iter().chain(key.name());
    let metadata = key.metadata().iter().flat_map(|(name, value)| [name.as_str(), value]);
    fields.chain(metadata).any(|field| field.to_lowercase().contains(text))
}
