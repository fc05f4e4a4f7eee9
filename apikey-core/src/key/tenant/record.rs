//! A tenant in its stored form.

use crate::access::grants;
use crate::access::limit::{Limit, StoredLimit};
use crate::access::named::{Kind, NamedAllowance, NamedId};
use crate::access::quota::{Quota, StoredQuota};
use crate::base::codec::payload::{Reader, Writer};
use crate::base::codec::tail::{Tag, TailReader, TailWriter, Unknown, critical};
use crate::base::codec::{CodecError, Frame, entries};
use crate::base::interner::{Full, GRANTS};
use crate::key::record::Revocation;

use serde::{Deserialize, Serialize};

/// A tenant that was put, or that has ended. The fixed fields are name, ceiling, and the time of the last change in
/// milliseconds since 1970 UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TenantRecord {
    pub(crate) name: String,
    /// The most that its keys have; `*` for everything.
    pub(crate) ceiling: Vec<String>,
    /// The limit that its keys share.
    pub(crate) limit: Option<StoredLimit>,
    /// The quota that its keys share.
    pub(crate) quota: Option<StoredQuota>,
    pub(crate) ended: Option<Revocation>,
    pub(crate) changed_at: i64,
    /// Fields of later versions.
    pub(crate) unknown: Unknown,
}

const LIMIT: Tag = critical(1);
const ENDED: Tag = critical(2);
const QUOTA: Tag = critical(3);

#[derive(Serialize)]
struct Fixed<'a> {
    name: &'a str,
    #[serde(serialize_with = "entries::list::serialize")]
    ceiling: &'a Vec<String>,
    changed_at: i64,
}

#[derive(Deserialize)]
struct FixedRead {
    name: String,
    #[serde(with = "entries::list")]
    ceiling: Vec<String>,
    changed_at: i64,
}

impl Frame for TenantRecord {
    const KIND: u8 = b'V';

    fn put(&self, payload: &mut Writer) -> Result<(), CodecError> {
        let Self { name, ceiling, limit, quota, ended, changed_at, unknown } = self;
        payload.put(&Fixed { name, ceiling, changed_at: *changed_at })?;
        let mut tail = TailWriter::new(unknown);
        tail.put_some(LIMIT, limit.as_ref())?;
        tail.put_some(ENDED, ended.as_ref())?;
        tail.put_some(QUOTA, quota.as_ref())?;
        tail.end(payload)
    }

    fn take(payload: &mut Reader<'_>) -> Result<Self, CodecError> {
        let FixedRead { name, ceiling, changed_at } = payload.take()?;
        let mut tail = TailReader::new(payload)?;
        let (limit, ended, quota) = (tail.take(LIMIT)?, tail.take(ENDED)?, tail.take(QUOTA)?);
        Ok(Self { name, ceiling, limit, quota, ended, changed_at, unknown: tail.end("a tenant")? })
    }
}

impl TenantRecord {
    /// A tenant that bounds nothing.
    pub(crate) fn unbounded(name: &str, at: i64) -> Self {
        Self {
            name: name.to_owned(),
            ceiling: vec!["*".to_owned()],
            limit: None,
            quota: None,
            ended: None,
            changed_at: at,
            unknown: Unknown::default(),
        }
    }

    pub(crate) fn id(&self) -> NamedId {
        Kind::Tenant.id(&self.name)
    }

    /// The quota that its keys share.
    pub(crate) fn quota(&self) -> Option<Quota> {
        self.quota.as_ref().map(Quota::stored)
    }

    /// What it leaves its keys.
    pub(crate) fn allowance(&self) -> Result<NamedAllowance, Full> {
        Ok(NamedAllowance {
            grants: GRANTS.number(&grants::join(&self.ceiling))?,
            ended: self.ended.is_some(),
            limit: self.limit.as_ref().map(Limit::stored),
            quota: self.quota(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::tail::ignorable;
    use crate::base::codec::{Newer, decode, encode, golden};

    fn full() -> TenantRecord {
        TenantRecord {
            name: "acme".into(),
            ceiling: vec!["orders:*".into(), "stock:read".into()],
            limit: Some(StoredLimit { count: 10, per_ms: 1000 }),
            quota: None,
            ended: Some(Revocation { at: 1_750_000_000_000, reason: "left".into() }),
            changed_at: 1_700_000_000_000,
            unknown: Unknown::default(),
        }
    }

    #[test]
    fn golden_bytes() {
        let bare = TenantRecord::unbounded("acme", 1_700_000_000_000);
        let later = TenantRecord { unknown: Unknown::field(ignorable(120), b"later"), ..full() };
        for (name, record) in [("tenant-bare.bin", bare), ("tenant-all.bin", full()), ("tenant-ignorable.bin", later)] {
            let frame = encode(&record).unwrap();
            assert_eq!(decode::<TenantRecord>(&frame).unwrap(), record);
            golden::check(name, &frame);
        }
        let quota = Some(StoredQuota { count: 300, period: 2, offset_minutes: 60 });
        let frame = encode(&TenantRecord { quota, ..full() }).unwrap();
        assert_eq!(decode::<TenantRecord>(&frame).unwrap().quota().unwrap().count(), 300);
        golden::check("tenant-quota.bin", &frame);
        let newer = TenantRecord { unknown: Unknown::field(critical(120), b"later"), ..full() };
        let frame = encode(&newer).unwrap();
        golden::check("tenant-critical.bin", &frame);
        let error = decode::<TenantRecord>(&frame).unwrap_err();
        assert!(matches!(error, CodecError::Newer(Newer::Field { of: "a tenant", tag: 241 })), "{error}");
    }
}
