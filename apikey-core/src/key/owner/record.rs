//! An owner in its stored form.

use crate::access::identity;
use crate::access::named::{Kind, NamedAllowance, NamedId};
use crate::access::owner::OwnerRef;
use crate::access::quota::{Quota, StoredQuota};
use crate::base::codec::payload::{Reader, Writer};
use crate::base::codec::tail::{Field, Tag, TailReader, TailWriter, Unknown, critical};
use crate::base::codec::{CodecError, Frame};
use crate::base::interner::Full;

/// An owner that was put. The fixed fields are its name, and the time of the last change in milliseconds since 1970 UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnerRecord {
    pub(crate) tenant: Option<String>,
    pub(crate) name: String,
    /// The quota that its keys share.
    pub(crate) quota: Option<StoredQuota>,
    pub(crate) changed_at: i64,
    /// Fields of later versions.
    pub(crate) unknown: Unknown,
}

const TENANT: Tag = critical(1);
const QUOTA: Tag = critical(2);

impl Frame for OwnerRecord {
    const KIND: u8 = b'F';

    fn put(&self, payload: &mut Writer) -> Result<(), CodecError> {
        let Self { tenant, name, quota, changed_at, unknown } = self;
        payload.put(&(name, *changed_at))?;
        let mut tail = TailWriter::new(unknown);
        tenant.put(TENANT, &mut tail)?;
        tail.put_some(QUOTA, quota.as_ref())?;
        tail.end(payload)
    }

    fn take(payload: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (name, changed_at) = payload.take()?;
        let mut tail = TailReader::new(payload)?;
        let (tenant, quota) = (Field::take(TENANT, &mut tail)?, tail.take(QUOTA)?);
        Ok(Self { tenant, name, quota, changed_at, unknown: tail.end("an owner")? })
    }
}

impl OwnerRecord {
    /// An owner that bounds nothing.
    pub(crate) fn unbounded(owner: OwnerRef<'_>, at: i64) -> Self {
        Self {
            tenant: owner.tenant.map(str::to_owned),
            name: owner.name.to_owned(),
            quota: None,
            changed_at: at,
            unknown: Unknown::default(),
        }
    }

    pub(crate) fn owner(&self) -> OwnerRef<'_> {
        OwnerRef { tenant: self.tenant.as_deref(), name: &self.name }
    }

    pub(crate) fn id(&self) -> NamedId {
        id(self.owner())
    }

    /// The quota that its keys share.
    pub(crate) fn quota(&self) -> Option<Quota> {
        self.quota.as_ref().map(Quota::stored)
    }

    /// Whether it bounds nothing, and so needs no record.
    pub(crate) fn is_unbounded(&self) -> bool {
        self.quota.is_none() && self.unknown == Unknown::default()
    }

    /// What it leaves its keys.
    pub(crate) fn allowance(&self) -> Result<NamedAllowance, Full> {
        Ok(NamedAllowance { quota: self.quota(), ..NamedAllowance::without_record(self.id())? })
    }
}

/// The id of an owner's record.
pub(crate) fn id(owner: OwnerRef<'_>) -> NamedId {
    Kind::Owner.id(&identity::owner_text(owner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::tail::ignorable;
    use crate::base::codec::{Newer, decode, encode, golden};

    const ALICE: OwnerRef<'static> = OwnerRef { tenant: None, name: "alice" };

    fn full() -> OwnerRecord {
        let quota = Some(StoredQuota { count: 300, period: 2, offset_minutes: 60 });
        OwnerRecord { tenant: Some("acme".into()), quota, ..OwnerRecord::unbounded(ALICE, 1_700_000_000_000) }
    }

    #[test]
    fn golden_bytes() {
        let bare = OwnerRecord::unbounded(ALICE, 1_700_000_000_000);
        let later = OwnerRecord { unknown: Unknown::field(ignorable(120), b"later"), ..full() };
        for (name, record) in [("owner-bare.bin", bare), ("owner-all.bin", full()), ("owner-ignorable.bin", later)] {
            let frame = encode(&record).unwrap();
            assert_eq!(decode::<OwnerRecord>(&frame).unwrap(), record);
            golden::check(name, &frame);
        }
        let newer = OwnerRecord { unknown: Unknown::field(critical(120), b"later"), ..full() };
        let frame = encode(&newer).unwrap();
        golden::check("owner-critical.bin", &frame);
        let error = decode::<OwnerRecord>(&frame).unwrap_err();
        assert!(matches!(error, CodecError::Newer(Newer::Field { of: "an owner", tag: 241 })), "{error}");
    }

    #[test]
    fn owners_of_the_same_name_have_records_of_their_own() {
        let owners = [
            ALICE,
            OwnerRef { tenant: Some("acme"), ..ALICE },
            OwnerRef { tenant: Some("apex"), ..ALICE },
            OwnerRef { tenant: None, name: "acme" },
            OwnerRef { tenant: Some("alice"), name: "acme" },
        ];
        let mut ids = owners.map(id).to_vec();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), owners.len());
    }
}
