//! A caller as a request has it: where it is, what it may ask for, and the store with its name in changes.

use apikey_core::{Actor, AuthError, KeyStore, Need, Peer, Requirement, VerifiedKey};

use super::caller::Caller;
use super::operation::{Needs, Operation};
use crate::answer::{PlainResponse, Problem};
use crate::ask::Rejection;

/// What an owner without a key may do: with its own keys, and with no others.
pub(crate) const OF_OWNERS: [&str; 6] =
    ["keys:read", "keys:create", "keys:update", "keys:rotate", "keys:revoke", "usage:read"];

/// The actor of the changes of owners. Each key has one owner, so no name is needed.
const OWNER: &str = "owner, in the console";

/// A caller, where it is, and whether it is in a session of the console.
#[derive(Debug)]
pub(crate) struct Acting {
    caller: Caller,
    peer: Peer,
    session: Option<InSession>,
}

/// What a session of the console says of its caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InSession {
    /// Whether its last sign-in was a short while ago.
    pub(crate) is_fresh: bool,
}

impl Acting {
    pub(super) fn with_key(key: VerifiedKey, peer: Peer) -> Self {
        Self { caller: Caller::Key(key), peer, session: None }
    }

    /// A caller in a session of the console.
    #[cfg(feature = "console")]
    pub(crate) fn in_session(caller: Caller, peer: Peer, is_fresh: bool) -> Self {
        Self { caller, peer, session: Some(InSession { is_fresh }) }
    }

    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    pub(super) fn into_caller(self) -> (Caller, bool) {
        (self.caller, self.session.is_some())
    }

    /// The store, with the caller as the actor of its changes.
    pub(super) fn store(&self, store: &KeyStore) -> KeyStore {
        let actor = match &self.caller {
            Caller::Key(key) => Actor::Key(key.id()),
            Caller::Operator(actor) => actor.clone(),
            Caller::Owner(_) => Actor::Application(OWNER.to_owned()),
        };
        store.as_actor_from(actor, self.peer)
    }

    /// Reads the caller's key again once the body is there, which may have taken hours: it may have lost the key meanwhile, or
    /// the permission.
    pub(super) fn recheck(&mut self, need: &'static Need, store: &KeyStore) -> Result<(), Rejection> {
        let Caller::Key(key) = &mut self.caller else { return Ok(()) };
        let rejected = |error| Rejection::of(store, error);
        *key = store.refresh(key, self.peer).map_err(rejected)?;
        key.require(&Requirement::from(need)).map_err(rejected)
    }

    /// Checks that the caller may ask for an operation at all.
    pub(super) fn check(&self, operation: &Operation, store: &KeyStore) -> Result<(), Box<PlainResponse>> {
        let refused = |error| Box::new(PlainResponse::from(Rejection::of(store, error)));
        if let Some(need) = operation.needs.need() {
            match &self.caller {
                Caller::Key(key) => key.require(&Requirement::from(need)).map_err(refused)?,
                Caller::Operator(_) => {}
                Caller::Owner(_) => match operation.needs.permission() {
                    Some(permission) if !OF_OWNERS.contains(&permission) => {
                        let required = Requirement::from(need);
                        return Err(refused(AuthError::InsufficientPermission { required }));
                    }
                    _ => {}
                },
            }
        }
        if matches!(operation.needs, Needs::KeyOfNoTenant(_)) {
            match &self.caller {
                Caller::Key(key) => key.in_no_tenant().map_err(refused)?,
                Caller::Operator(_) => {}
                Caller::Owner(_) => return Err(refused(AuthError::NotFound)),
            }
        }
        match self.session {
            Some(InSession { is_fresh: false }) if operation.shows_secret() => {
                let detail = "sign in again to see a secret: the last time was more than 15 minutes ago";
                Err(Box::new(Problem::new(403, "sign_in_again", detail).into()))
            }
            _ => Ok(()),
        }
    }
}
