//! Handles of a store that say who makes their changes, and whose keys they see.

use std::sync::Arc;

use crate::access::verified_key::VerifiedKey;
use crate::key::bounds;
use crate::key::change::Change;
use crate::key::error::StoreError;
use crate::key::scope::Scope;

use crate::commit::stage::Outcome;
use crate::commit::writer::Writer;
use crate::storage::database::disk::Disk;
use crate::store::handle_view::HandleView;
use crate::store::key_store::KeyStore;

impl KeyStore {
    /// A handle of the same store whose changes say who made them: every event of theirs carries `actor`
    /// ([`Event::actor`](crate::Event::actor)). Name a person, a program or a key; never a secret. It is as cheap as a
    /// clone and verifies as fast. Clones of it have the same actor, other handles keep theirs.
    ///
    /// An actor has 1 to 128 bytes and no control characters. With another one every change, a revocation too, is refused
    /// with [`StoreError::Invalid`].
    ///
    /// A change that is capped by an acting key (`within`) has the actor `key:<id>` if the handle names none. What the
    /// store does by itself (writing down a first use, erasing secrets that have ended) has no actor.
    ///
    /// ```
    /// use apikey_core::{EventFilter, KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// store.as_actor("deploy-bot").create(NewKey::for_owner("alice"))?;
    /// let page = store.events(&EventFilter::default().actor("deploy-bot"))?;
    /// assert_eq!(page.events[0].actor(), Some("deploy-bot"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "the changes made through the new handle have the actor, those of the old one do not"]
    pub fn as_actor(&self, actor: impl AsRef<str>) -> Self {
        let view = HandleView { actor: Some(Arc::from(actor.as_ref())), ..self.view.clone() };
        Self { life: self.life.clone(), view }
    }

    /// A handle that sees the keys of one owner.
    pub(crate) fn seeing(&self, owner: &str) -> Self {
        let view = HandleView { owner: Some(Arc::from(owner)), ..self.view.clone() };
        Self { life: self.life.clone(), view }
    }

    /// The only owner whose keys this handle sees.
    pub(crate) fn only_owner(&self) -> Option<&str> {
        self.view.owner.as_deref()
    }

    /// Whether this handle sees keys of an owner.
    pub(crate) fn sees(&self, owner: &str) -> bool {
        self.only_owner().is_none_or(|only| only == owner)
    }

    /// Who makes this handle's changes, if somebody is named.
    ///
    /// # Errors
    /// The name is out of bounds.
    pub(crate) fn actor(&self) -> Result<Option<&str>, StoreError> {
        let actor = self.view.actor.as_deref();
        actor.map_or(Ok(()), bounds::actor)?;
        Ok(actor)
    }

    /// The scope of a change through this handle that is capped by `within`, if by any.
    pub(crate) fn scope(&self, within: Option<&VerifiedKey>) -> Scope {
        Scope { owner: self.view.owner.clone(), actor: within.cloned() }
    }

    /// Makes changes in the name of this handle's actor, of keys that it sees.
    pub(crate) fn change(
        &self,
        mut decide: impl FnMut(&mut Writer, &Disk) -> Result<Vec<Change>, StoreError>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let (actor, owner) = (self.actor()?, &self.view.owner);
        self.inner().engine.change(|writer, disk| {
            let mut changes = decide(writer, disk)?;
            for change in &mut changes {
                change.scope.owner.clone_from(owner);
                let acting = || change.scope.actor.as_ref().map(|key| format!("key:{}", key.id()));
                change.actor = actor.map(str::to_owned).or_else(acting);
            }
            Ok(changes)
        })
    }
}
