//! What is in force on this node alone.

use crate::cluster::format::here_only::{KeptHereOnly, KeptRestriction, KeptRevocation};
use crate::commit::engine::Engine;
use crate::key::effective_key::EffectiveKey;
use crate::key::error::StoreError;
use crate::key::record::Record;
use crate::token::digest::Digest;

/// Something that was taken from a key here, and is not in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HereOnly {
    /// The key is revoked, by a change whose entry is on its way.
    Revoked,
    /// The key is revoked, and the node makes the revocation again until the log has it.
    KeptRevoked(KeptRevocation),
    /// The key has lost what the engine lost, and the node takes it again until the log has it.
    KeptRestricted(KeptRestriction),
    /// These of its secrets have ended.
    SecretsEnded(Vec<Digest>),
}

impl From<KeptHereOnly> for HereOnly {
    fn from(kept: KeptHereOnly) -> Self {
        match kept {
            KeptHereOnly::Revocation(kept) => Self::KeptRevoked(kept),
            KeptHereOnly::Restriction(kept) => Self::KeptRestricted(kept),
        }
    }
}

impl HereOnly {
    /// Whether it stays in force until the log has it, whatever becomes of the change that took it.
    pub(crate) fn is_kept(&self) -> bool {
        matches!(self, Self::KeptRevoked(_) | Self::KeptRestricted(_))
    }

    /// Takes it from what a key of this record may do.
    pub(crate) fn narrow(&self, engine: &Engine, record: &Record, rights: &mut EffectiveKey) -> Result<(), StoreError> {
        match self {
            Self::Revoked | Self::KeptRevoked(_) => rights.allowance.revoked = true,
            Self::SecretsEnded(ended) => rights.secrets.retain(|secret| !ended.contains(&secret.digest)),
            Self::KeptRestricted(kept) => {
                let mut left = record.clone();
                kept.restrict(&mut left, engine.time.now_ms());
                let unused = std::mem::take(&mut rights.secrets);
                *rights = engine.effective(&left)?;
                for secret in &mut rights.secrets {
                    secret.unused |= unused.iter().any(|one| one.digest == secret.digest && one.unused);
                }
            }
        }
        Ok(())
    }
}
