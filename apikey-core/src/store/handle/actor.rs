//! Handles of a store that name the actor of their changes, see the keys of one owner, or say how far their changes go.

use std::sync::Arc;
#[cfg(feature = "cluster")]
use std::time::Duration;

use crate::access::owner::Seen;
use crate::access::peer::Peer;
use crate::access::verified_key::VerifiedKey;
use crate::key::change::Change;
use crate::key::error::StoreError;
use crate::key::event::actor::{Actor, Origin};
use crate::key::owner::key_bounds::KeyBounds;
use crate::key::scope::Scope;

#[cfg(feature = "cluster")]
use crate::commit::cluster::propagation::Propagation;
use crate::commit::cluster::propagation::{Lane, Terms};
use crate::commit::outcome::Outcome;
use crate::commit::records::Records;
use crate::commit::writer::Writer;
use crate::store::handle::view::HandleView;
use crate::store::key_store::KeyStore;

impl KeyStore {
    /// Returns a handle of the same store that names the actor of its changes: their events contain the [`Actor`]
    /// ([`Event::actor`](crate::Event::actor)). Name a person, a program or a key; never a secret. The call costs as
    /// little as a clone, and the handle verifies as fast. Its clones have the same actor; other handles keep theirs.
    ///
    /// The name of an application has 1 to 128 bytes and no control characters. With any other name every change fails
    /// with [`StoreError::Invalid`], including a revocation.
    ///
    /// A text that reads as `key:<id>` or `uid:<number>` names that key or that user. If a name comes from outside,
    /// such as a login, pass [`Actor::Application`]: the store then rejects such a text instead.
    ///
    /// If the handle names no actor, a change that an acting key caps (`within`) has that key as its actor. Changes
    /// that the store makes by itself (recording a first use, erasing secrets that have ended) have no actor.
    ///
    /// ```
    /// use apikey::{Actor, EventFilter, KeyStore, NewKey};
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

    /// Works as [`as_actor`](Self::as_actor), and also records the actor's address for
    /// [`Event::peer`](crate::Event::peer). It records nothing for a [`Peer`] without a known address.
    ///
    /// ```
    /// use std::net::IpAddr;
    ///
    /// use apikey::{EventFilter, KeyStore, NewKey};
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

    /// Returns a handle that sees these keys.
    pub(crate) fn seeing(&self, seen: Seen) -> Self {
        Self { life: self.life.clone(), view: HandleView { seen, ..self.view.clone() } }
    }

    /// Returns a handle whose changes are within these bounds.
    pub(crate) fn bounded(&self, bounds: KeyBounds) -> Self {
        let view = HandleView { bounds: Some(Arc::new(bounds)), ..self.view.clone() };
        Self { life: self.life.clone(), view }
    }

    /// Returns the bounds of this handle's changes.
    pub(crate) fn bounds(&self) -> Option<&KeyBounds> {
        self.view.bounds.as_deref()
    }

    /// Returns the keys that this handle sees.
    pub(crate) fn seen(&self) -> &Seen {
        &self.view.seen
    }

    /// Returns the actor and address of this handle's changes, as far as the handle names them.
    ///
    /// # Errors
    /// The name is out of bounds.
    pub(crate) fn origin(&self) -> Result<&Origin, StoreError> {
        let origin = &*self.view.origin;
        origin.actor.as_ref().map_or(Ok(()), Actor::check)?;
        Ok(origin)
    }

    /// The same, with another actor if the handle names none.
    pub(crate) fn origin_or(&self, name: &str) -> Origin {
        let origin = Origin::clone(&self.view.origin);
        Origin { actor: origin.actor.or_else(|| Some(name.into())), ..origin }
    }

    /// Returns the scope of a change through this handle, capped by `within` if that is given.
    pub(crate) fn scope(&self, within: Option<&VerifiedKey>) -> Scope {
        let HandleView { seen, bounds, .. } = &self.view;
        Scope { seen: seen.clone(), bounds: bounds.clone(), actor: within.cloned() }
    }

    /// Makes changes of keys that this handle sees, with the handle's actor.
    pub(crate) fn change(
        &self,
        decide: impl FnMut(&mut Writer, &Records<'_>) -> Result<Vec<Change>, StoreError>,
    ) -> Result<Vec<Outcome>, StoreError> {
        self.change_many(1, decide)
    }

    /// The same, for a call that creates so many keys.
    pub(crate) fn change_many(
        &self,
        keys: usize,
        mut decide: impl FnMut(&mut Writer, &Records<'_>) -> Result<Vec<Change>, StoreError>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let (origin, HandleView { seen, bounds, .. }) = (self.origin()?, &self.view);
        let terms = Terms { propagation: self.view.propagation, hold: None, lane: Lane::of_keys(keys) };
        let outcomes = self.inner().engine.change_on(terms, |writer, records| {
            let mut changes = decide(writer, records)?;
            for change in &mut changes {
                change.scope.seen.clone_from(seen);
                change.scope.bounds.clone_from(bounds);
                let acting = || change.scope.actor.as_ref().map(|key| Actor::Key(key.id()));
                let Origin { actor, peer } = origin.clone();
                change.origin = Origin { actor: actor.or_else(acting), peer };
            }
            Ok(changes)
        })?;
        self.inner().reserve_first_blocks();
        Ok(outcomes)
    }
}

#[cfg(feature = "cluster")]
#[cfg_attr(docsrs, doc(cfg(feature = "cluster")))]
impl KeyStore {
    /// Returns a handle of the same store whose changes return once they are as far as this says.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use apikey::cluster::{Cluster, MemoryLedger};
    /// use apikey::{KeyStore, NewKey, Propagation};
    ///
    /// let store = KeyStore::builder().cluster(Cluster::new(MemoryLedger::new())).temporary()?;
    /// let many = store.propagating(Propagation::Here);
    /// for owner in ["alice", "bob"] {
    ///     many.create(NewKey::for_owner(owner))?;
    /// }
    /// assert!(store.wait_for_nodes(Duration::from_secs(60)).is_empty()); // now they are valid on every node
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "the changes made through the new handle go that far, those of the old one do not"]
    pub fn propagating(&self, propagation: Propagation) -> Self {
        Self { life: self.life.clone(), view: HandleView { propagation, ..self.view.clone() } }
    }

    /// Waits until every node of the cluster has all that this one has, at most this long. Returns the names of the nodes
    /// that have not: none once everything that was changed holds everywhere, and outside a cluster. While the cluster's
    /// engine does not answer, they are all the nodes that this one knew last, or the name of the engine if it knew none.
    #[must_use = "the nodes that it returns may not have the change"]
    pub fn wait_for_nodes(&self, longest: Duration) -> Vec<String> {
        self.inner().engine.order().map(|order| order.wait_for_nodes(longest)).unwrap_or_default()
    }

    /// Takes this node out of its cluster, while the store stays open: it refuses every key and every change from now on,
    /// and no change of another node waits for it. [`health`](Self::health) says so, and [`is_ready`](Self::is_ready) is
    /// `false`. [`close`](Self::close) does it, too. Opening the store again makes it a node again.
    ///
    /// Returns whether the engine knows: if it does not answer, the next revocation of another node waits for this node,
    /// at most for `max_staleness` and 2 %. Outside a cluster it does nothing, and returns `false`.
    pub fn leave_cluster(&self) -> bool {
        let engine = &self.inner().engine;
        engine.order().is_some_and(|order| order.leave(engine))
    }
}
