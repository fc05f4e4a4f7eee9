//! Handles of a store that say who makes their changes, and whose keys they see.

use std::sync::Arc;

use crate::access::peer::Peer;
use crate::access::verified_key::VerifiedKey;
use crate::key::change::Change;
use crate::key::error::StoreError;
use crate::key::event::actor::{Actor, Origin};
use crate::key::scope::Scope;

use crate::commit::stage::Outcome;
use crate::commit::writer::Writer;
use crate::storage::database::disk::Disk;
use crate::store::handle_view::HandleView;
use crate::store::key_store::KeyStore;

impl KeyStore {
    /// A handle of the same store whose changes say who made them: every event of theirs carries the [`Actor`]
    /// ([`Event::actor`](crate::Event::actor)). Name a person, a program or a key; never a secret. It is as cheap as a
    /// clone and verifies as fast. Clones of it have the same actor, other handles keep theirs.
    ///
    /// The name of an application has 1 to 128 bytes and no control characters. The first change under another one fails
    /// with [`StoreError::Invalid`], also a revocation.
    ///
    /// A text that reads as `key:<id>` or `uid:<number>` names that key or that user. Where a name comes from outside, such as
    /// a login, pass [`Actor::Application`], which refuses such a name instead.
    ///
    /// A change that is capped by an acting key (`within`) has that key as its actor if the handle names none. What the
    /// store does by itself (writing down a first use, erasing secrets that have ended) has no actor.
    ///
    /// ```
    /// use apikey_core::{Actor, EventFilter, KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// store.as_actor("deploy-bot").create(NewKey::for_owner("alice"))?;
    /// let page = store.events(&EventFilter::default().actor("deploy-bot"))?;
    /// assert_eq!(page.events[0].actor(), Some(&Actor::Application("deploy-bot".into())));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "the changes made through the new handle have the actor, those of the old one do not"]
    pub fn as_actor(&self, actor: impl Into<Actor>) -> Self {
        self.as_origin(Origin::actor(actor))
    }

    /// [`as_actor`](Self::as_actor), and the address from which the actor asks, for
    /// [`Event::peer`](crate::Event::peer). A [`Peer`] that is not known is left out.
    ///
    /// ```
    /// use std::net::IpAddr;
    ///
    /// use apikey_core::{EventFilter, KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let peer = IpAddr::from([203, 0, 113, 7]);
    /// store.as_actor_from("console", peer).create(NewKey::for_owner("alice"))?;
    /// assert_eq!(store.events(&EventFilter::default())?.events[0].peer(), Some(peer));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "the changes made through the new handle have the actor, those of the old one do not"]
    pub fn as_actor_from(&self, actor: impl Into<Actor>, peer: impl Into<Peer>) -> Self {
        self.as_origin(Origin { peer: peer.into().address(), ..Origin::actor(actor) })
    }

    fn as_origin(&self, origin: Origin) -> Self {
        Self { life: self.life.clone(), view: HandleView { origin: Arc::new(origin), ..self.view.clone() } }
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
    pub(crate) fn origin(&self) -> Result<&Origin, StoreError> {
        let origin = &*self.view.origin;
        origin.actor.as_ref().map_or(Ok(()), Actor::check)?;
        Ok(origin)
    }

    /// The same, and somebody else where nobody is named.
    pub(crate) fn origin_or(&self, name: &str) -> Origin {
        let origin = Origin::clone(&self.view.origin);
        Origin { actor: origin.actor.or_else(|| Some(name.into())), ..origin }
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
        let (origin, owner) = (self.origin()?, &self.view.owner);
        self.inner().engine.change(|writer, disk| {
            let mut changes = decide(writer, disk)?;
            for change in &mut changes {
                change.scope.owner.clone_from(owner);
                let acting = || change.scope.actor.as_ref().map(|key| Actor::Key(key.id()));
                let Origin { actor, peer } = origin.clone();
                change.origin = Origin { actor: actor.or_else(acting), peer };
            }
            Ok(changes)
        })
    }
}
