//! Reading keys on behalf of a caller.

use crate::access::owner::{OwnerRef, Seen, Tenants};
use crate::access::verified_key::VerifiedKey;
use crate::commit::records::Records;
use crate::key::error::StoreError;
use crate::key::error::cap_violation::CapViolation;
use crate::key::key_filter::{KeyFilter, Page};
use crate::key::key_info::KeyInfo;
use crate::token::key_id::KeyId;

use crate::store::key_store::KeyStore;
use crate::usage::query::{Of, Usage};
use crate::usage::report::UsageReport;

impl KeyStore {
    /// Returns a key without its secret on behalf of `actor`: `None` if the store has no key with this id, and likewise
    /// if the key has another owner than the actor, unless the actor has `keys:any_owner`; or another tenant, unless the actor has
    /// none, and `keys:any_owner` and `keys:any_tenant`.
    ///
    /// # Errors
    /// [`StoreError::Exceeds`] if the actor is not valid any more, and those of [`get`](Self::get).
    pub fn get_within(&self, id: KeyId, actor: &VerifiedKey) -> Result<Option<KeyInfo>, StoreError> {
        self.readable(actor)?.map_or(Ok(None), |readable| readable.get(id))
    }

    /// Returns a page of keys on behalf of `actor`: those of the actor's owner, or with `keys:any_owner` those of every
    /// owner of its tenant. If it has no tenant, these are owners of no tenant, and with `keys:any_tenant` all.
    ///
    /// ```
    /// use apikey::{KeyFilter, KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// store.create(NewKey::for_owner("bob"))?;
    /// let alice = store.create(NewKey::for_owner("alice").permissions(["keys:read"]))?;
    /// let caller = store.verify(alice.key.expose_secret())?;
    /// assert_eq!(store.list_within(&KeyFilter::default(), &caller)?.keys.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Exceeds`] if the actor is not valid any more, and those of [`list`](Self::list).
    pub fn list_within(&self, filter: &KeyFilter, actor: &VerifiedKey) -> Result<Page, StoreError> {
        match self.readable(actor)? {
            Some(readable) => readable.list(filter),
            None => filter.page_size().map(|_| Page { keys: Vec::new(), next: None }),
        }
    }

    /// Returns all keys that a filter selects, whatever its limit, if the store has to read at most `max_reads` records for them;
    /// otherwise `None`. For what cannot be done page by page, such as sorting.
    ///
    /// ```
    /// use apikey::{KeyFilter, KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// store.create_many(["alice", "bob"].map(NewKey::for_owner))?;
    /// assert_eq!(store.find(&KeyFilter::default(), 1)?, None);
    /// assert_eq!(store.find(&KeyFilter::owner("bob"), 1)?.map(|keys| keys.len()), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`list`](Self::list).
    pub fn find(&self, filter: &KeyFilter, max_reads: usize) -> Result<Option<Vec<KeyInfo>>, StoreError> {
        filter.page_size()?;
        let page = self.select(&filter.clone().max_reads(max_reads), usize::MAX)?;
        Ok(page.next.is_none().then_some(page.keys))
    }

    /// Returns all keys that a filter selects on behalf of `actor`, whatever its limit, if the store has to read at most
    /// `max_reads` records for them; otherwise `None`. For what cannot be done page by page, such as sorting.
    ///
    /// ```
    /// use apikey::{KeyFilter, KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let alice = store.create(NewKey::for_owner("alice").permissions(["*"]))?;
    /// store.create(NewKey::for_owner("bob"))?;
    /// let caller = store.verify(alice.key.expose_secret())?;
    /// assert_eq!(store.find_within(&KeyFilter::default(), 1, &caller)?, None);
    /// assert_eq!(store.find_within(&KeyFilter::owner("bob"), 1, &caller)?.map(|keys| keys.len()), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`list_within`](Self::list_within).
    pub fn find_within(
        &self,
        filter: &KeyFilter,
        max_reads: usize,
        actor: &VerifiedKey,
    ) -> Result<Option<Vec<KeyInfo>>, StoreError> {
        filter.page_size()?;
        self.readable(actor)?.map_or(Ok(Some(Vec::new())), |readable| readable.find(filter, max_reads))
    }

    /// Returns how often keys were used on behalf of `actor`: of a key or an owner that it may [read](Self::get_within), of a
    /// tenant all of whose owners it may read, and of the store if it may read all keys.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a key that it may not read, [`StoreError::Exceeds`] for an owner, a tenant or the store, and if
    /// the actor is not valid any more; those of [`usage`](Self::usage).
    pub fn usage_within(&self, usage: &Usage, actor: &VerifiedKey) -> Result<UsageReport, StoreError> {
        usage.subject()?;
        let readable = self.readable(actor)?;
        let seen = readable.as_ref().map(Self::seen);
        let tenant = |wanted: Option<&str>| {
            let actor = actor.tenant().map(str::to_owned);
            StoreError::Exceeds(CapViolation::Tenant { wanted: wanted.map(str::to_owned), actor })
        };
        match usage.of_what() {
            Of::Key(id) => {
                let info = readable.as_ref().map_or(Ok(None), |readable| readable.get(*id))?;
                info.ok_or(StoreError::NotFound(*id))?;
            }
            Of::Owner { tenant: wanted, name } => {
                let owner = OwnerRef { tenant: wanted.as_deref(), name };
                if !seen.is_some_and(|seen| seen.has(owner)) {
                    if actor.tenant() != wanted.as_deref() {
                        return Err(tenant(wanted.as_deref()));
                    }
                    let (wanted, actor) = (name.clone(), actor.owner().to_owned());
                    return Err(StoreError::Exceeds(CapViolation::Owner { wanted, actor }));
                }
            }
            Of::Tenant(wanted) => {
                let all_of = |seen: &&Seen| {
                    seen.owner.is_none() && (seen.tenants == Tenants::All || seen.tenant() == Some(wanted))
                };
                seen.filter(all_of).ok_or_else(|| tenant(Some(wanted)))?;
            }
            Of::Store => {
                seen.filter(|seen| **seen == Seen::default()).ok_or_else(|| tenant(None))?;
            }
        }
        self.usage(usage)
    }

    /// Returns a handle that sees what both this handle and the actor see; `None` if that is nothing.
    fn readable(&self, actor: &VerifiedKey) -> Result<Option<Self>, StoreError> {
        let disk = self.inner().engine.log.open()?;
        let reach = self.inner().engine.reach(&self.scope(Some(actor)), &Records::of(&disk))?;
        let readable = reach.map(|reach| reach.readable()).unwrap_or_default();
        Ok(self.seen().meet(&readable).map(|seen| self.seeing(seen)))
    }
}
