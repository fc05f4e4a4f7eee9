//! Handles of a store that say who makes their changes.

use std::sync::Arc;

use crate::bounds;
use crate::change::Change;
use crate::error::StoreError;

use super::KeyStore;
use super::disk::Disk;
use super::writer::{Outcome, Writer};

/// Who makes the changes of a handle; `None` where nobody is named.
pub(super) type Actor = Option<Arc<str>>;

impl KeyStore {
    /// A handle of the same store whose changes say who made them: every event of theirs carries `actor`
    /// ([`Event::actor`](crate::Event::actor)). Name a person, a program or a key; never a secret. It is as cheap as a
    /// clone and verifies as fast. Clones of it have the same actor, other handles keep theirs.
    ///
    /// An actor has 1 to 128 bytes and no control characters. Another one is told by the first change, which is refused
    /// with [`StoreError::Invalid`]: so is a revocation.
    ///
    /// What the store does by itself (writing down a first use, erasing secrets that have ended) has no actor.
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
        Self(self.0.clone(), Some(Arc::from(actor.as_ref())))
    }

    /// Makes changes in the name of this handle's actor.
    pub(super) fn change(
        &self,
        decide: impl FnMut(&mut Writer, &Disk) -> Result<Vec<Change>, StoreError>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let actor = self.1.as_deref();
        actor.map_or(Ok(()), bounds::actor)?;
        self.inner().change_as(actor, decide)
    }
}
