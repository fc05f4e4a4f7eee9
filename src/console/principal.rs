//! The principal of a session: a key, or an operator.

use apikey_core::{Actor, KeyId, VerifiedKey};

/// The principal of a session of the console.
#[derive(Debug, Clone)]
pub(super) enum Principal {
    Key {
        key: VerifiedKey,
        /// Whether the secret had a successor already when it signed in: a rotation ends other sessions.
        was_superseded: bool,
    },
    /// An operator of the service, as the admin socket names them.
    Operator(Actor),
}

/// What two sessions of one principal have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity {
    Key(KeyId),
    Operator(Actor),
}

impl Principal {
    pub(super) fn key(key: VerifiedKey) -> Self {
        Self::Key { was_superseded: key.superseded(), key }
    }

    pub(super) fn identity(&self) -> Identity {
        match self {
            Self::Key { key, .. } => Identity::Key(key.id()),
            Self::Operator(operator) => Identity::Operator(operator.clone()),
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Key { .. } => "key",
            Self::Operator(_) => "operator",
        }
    }

    pub(super) fn is_operator(&self) -> bool {
        matches!(self, Self::Operator(_))
    }

    /// The name, for people.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Key { key, .. } => key.name().map_or_else(|| key.id().to_string(), str::to_owned),
            Self::Operator(operator) => operator.to_string(),
        }
    }
}
