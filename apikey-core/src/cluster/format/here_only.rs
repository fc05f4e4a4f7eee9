//! What is in force on one node, which keeps it beside its replica until the log has it.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::access::named::Kind;
use crate::base::codec::payload::{Reader, Writer};
use crate::base::codec::tail::{TailReader, TailWriter, Unknown};
use crate::base::codec::{self, CodecError, Frame, plain_frame};
use crate::key::evidence::{DELETED, restrict_by_state};
use crate::key::named::NamedRecord;
use crate::key::owner::record::OwnerRecord;
use crate::key::record::{Record, Revocation};
use crate::key::role::record::RoleRecord;
use crate::key::tenant::record::TenantRecord;

/// A revocation to make again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptRevocation {
    pub(crate) reason: String,
    /// The actor, as the name of an application or the form of another actor has it.
    pub(crate) actor: Option<String>,
}

plain_frame!(KeptRevocation, b'R', "a revocation on this node alone");

/// What a key had left when the engine lost what took the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptRestriction {
    /// The key's record then; `None` if it was deleted.
    pub(crate) record: Option<Box<Record>>,
    /// Whether what the engine lost had set fields: that it was disabled, its permissions, ends, limit or networks.
    pub(crate) sets_fields: bool,
}

impl Frame for KeptRestriction {
    const KIND: u8 = b'Y';

    fn put(&self, payload: &mut Writer) -> Result<(), CodecError> {
        let record = self.record.as_deref().map(codec::encode).transpose()?;
        payload.put(&(record.map(ByteBuf::from), self.sets_fields))?;
        TailWriter::new(&Unknown::default()).end(payload)
    }

    fn take(payload: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (record, sets_fields): (Option<ByteBuf>, bool) = payload.take()?;
        TailReader::new(payload)?.end("a restriction on this node alone")?;
        let record = record.map(|frame| codec::decode::<Record>(&frame).map(Box::new)).transpose()?;
        Ok(Self { record, sets_fields })
    }
}

impl KeptRestriction {
    /// Takes from a record what the key had lost. `now` is for a key that was deleted.
    pub(crate) fn restrict(&self, record: &mut Record, now: i64) {
        match &self.record {
            Some(left) => restrict_by_state(record, left, self.sets_fields),
            // Only a key that was revoked, or had expired, was deleted.
            None => drop(record.revoked.get_or_insert_with(|| Revocation { at: now, reason: DELETED.to_owned() })),
        }
    }
}

/// What a node keeps of one key, role, tenant or owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeptHereOnly {
    Revocation(KeptRevocation),
    Restriction(KeptRestriction),
    /// What a role granted, or a tenant or an owner left, when the engine lost what took the rest. Nothing is left of a role that
    /// was deleted.
    Named(NamedRecord),
}

impl KeptHereOnly {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        match self {
            Self::Revocation(kept) => codec::encode(kept),
            Self::Restriction(kept) => codec::encode(kept),
            Self::Named(kept) => kept.encode(),
        }
    }

    pub(crate) fn decode(frame: &[u8]) -> Result<Self, CodecError> {
        match codec::decode(frame) {
            Err(CodecError::Kind(KeptRestriction::KIND)) => codec::decode(frame).map(Self::Restriction),
            Err(CodecError::Kind(RoleRecord::KIND)) => NamedRecord::decode(Kind::Role, frame).map(Self::Named),
            Err(CodecError::Kind(TenantRecord::KIND)) => NamedRecord::decode(Kind::Tenant, frame).map(Self::Named),
            Err(CodecError::Kind(OwnerRecord::KIND)) => NamedRecord::decode(Kind::Owner, frame).map(Self::Named),
            kept => kept.map(Self::Revocation),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::golden;
    use crate::key::record::{SecretEnd, SecretForm, StoredSecret};

    fn sample() -> Record {
        let form = SecretForm::Own { prefix: "ak".into() };
        let (unknown, end) = (Unknown::default(), SecretEnd::At(9));
        let secret = StoredSecret {
            version: 2,
            digest: [2; 32],
            pepper: 0,
            form,
            created_at: 0,
            end,
            used: true,
            is_strong: false,
            unknown,
        };
        Record {
            id: 1 << 100,
            tenant: None,
            owner: "alice".into(),
            name: None,
            permissions: vec!["orders:read".into()],
            roles: Vec::new(),
            metadata: std::collections::BTreeMap::new(),
            created_at: 0,
            not_before: None,
            expires_at: Some(1_800_000_000_000),
            disabled: true,
            quota: None,
            revoked: Some(Revocation { at: 5, reason: "leaked".into() }),
            version: 2,
            secrets: vec![secret],
            used_before: None,
            policy: None,
            limit: None,
            networks: Vec::new(),
            idle: None,
            labels: std::collections::BTreeMap::new(),
            prefix: None,
            ended: None,
            last_event: 0,
            unknown: Unknown::default(),
        }
    }

    #[test]
    fn golden_bytes() {
        let revocation = KeptRevocation { reason: "leaked".into(), actor: Some("uid:1000".into()) };
        let deleted = KeptRestriction { record: None, sets_fields: false };
        let restricted = KeptRestriction { record: Some(Box::new(sample())), sets_fields: true };
        for (name, kept) in [
            ("cluster-kept-revocation.bin", KeptHereOnly::Revocation(revocation)),
            ("cluster-kept-deleted.bin", KeptHereOnly::Restriction(deleted)),
            ("cluster-kept-restriction.bin", KeptHereOnly::Restriction(restricted)),
        ] {
            let frame = kept.encode().unwrap();
            golden::check(name, &frame);
            assert_eq!(KeptHereOnly::decode(&frame).unwrap(), kept);
        }
        assert!(KeptHereOnly::decode(b"R").is_err());
    }

    #[test]
    fn roles_tenants_and_owners_are_kept_as_their_records() {
        let tenant = NamedRecord::Tenant(TenantRecord::unbounded("acme", 5));
        let unknown = Unknown::default();
        let role = RoleRecord { name: "reader".into(), permissions: vec![], description: None, changed_at: 5, unknown };
        let owner = NamedRecord::with_nothing(Kind::Owner, "alice", 5);
        for kept in [NamedRecord::Role(role), tenant, owner].map(KeptHereOnly::Named) {
            assert_eq!(KeptHereOnly::decode(&kept.encode().unwrap()).unwrap(), kept);
        }
    }

    #[test]
    fn a_key_that_was_deleted_is_revoked() {
        let mut record = Record { revoked: None, ..sample() };
        let deleted = KeptRestriction { record: None, sets_fields: false };
        deleted.restrict(&mut record, 7);
        assert_eq!(record.revoked, Some(Revocation { at: 7, reason: DELETED.into() }));
    }
}
