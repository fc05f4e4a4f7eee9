//! A role in its stored form.

use crate::access::grants;
use crate::access::named::{NamedAllowance, NamedId};
use crate::base::codec::payload::{Reader, Writer};
use crate::base::codec::tail::{Field, Tag, TailReader, TailWriter, Unknown, ignorable};
use crate::base::codec::{CodecError, Frame, entries};
use crate::base::interner::{Full, GRANTS};
use crate::key::role;

use serde::{Deserialize, Serialize};

/// A role. The fixed fields are name, permissions, and the time of the last change in milliseconds since 1970 UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoleRecord {
    pub(crate) name: String,
    pub(crate) permissions: Vec<String>,
    pub(crate) description: Option<String>,
    pub(crate) changed_at: i64,
    /// Fields of later versions.
    pub(crate) unknown: Unknown,
}

const DESCRIPTION: Tag = ignorable(1);

#[derive(Serialize)]
struct Fixed<'a> {
    name: &'a str,
    #[serde(serialize_with = "entries::list::serialize")]
    permissions: &'a Vec<String>,
    changed_at: i64,
}

#[derive(Deserialize)]
struct FixedRead {
    name: String,
    #[serde(with = "entries::list")]
    permissions: Vec<String>,
    changed_at: i64,
}

impl Frame for RoleRecord {
    const KIND: u8 = b'O';

    fn put(&self, payload: &mut Writer) -> Result<(), CodecError> {
        let Self { name, permissions, description, changed_at, unknown } = self;
        payload.put(&Fixed { name, permissions, changed_at: *changed_at })?;
        let mut tail = TailWriter::new(unknown);
        description.put(DESCRIPTION, &mut tail)?;
        tail.end(payload)
    }

    fn take(payload: &mut Reader<'_>) -> Result<Self, CodecError> {
        let FixedRead { name, permissions, changed_at } = payload.take()?;
        let mut tail = TailReader::new(payload)?;
        let description = Field::take(DESCRIPTION, &mut tail)?;
        Ok(Self { name, permissions, description, changed_at, unknown: tail.end("a role")? })
    }
}

impl RoleRecord {
    pub(crate) fn id(&self) -> NamedId {
        role::id(&self.name)
    }

    /// What it gives.
    pub(crate) fn allowance(&self) -> Result<NamedAllowance, Full> {
        let grants = GRANTS.number(&grants::join(&self.permissions))?;
        Ok(NamedAllowance { grants, ended: false, limit: None, quota: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::tail::critical;
    use crate::base::codec::{Newer, decode, encode, golden};

    fn full() -> RoleRecord {
        RoleRecord {
            name: "reader".into(),
            permissions: vec!["orders:read".into(), "stock:*".into()],
            description: Some("reads orders".into()),
            changed_at: 1_700_000_000_000,
            unknown: Unknown::default(),
        }
    }

    #[test]
    fn golden_bytes() {
        let bare = RoleRecord { description: None, permissions: Vec::new(), ..full() };
        let later = RoleRecord { unknown: Unknown::field(ignorable(120), b"later"), ..full() };
        for (name, record) in [("role-bare.bin", bare), ("role-all.bin", full()), ("role-ignorable.bin", later)] {
            let frame = encode(&record).unwrap();
            assert_eq!(decode::<RoleRecord>(&frame).unwrap(), record);
            golden::check(name, &frame);
        }
        let newer = RoleRecord { unknown: Unknown::field(critical(120), b"later"), ..full() };
        let frame = encode(&newer).unwrap();
        golden::check("role-critical.bin", &frame);
        let error = decode::<RoleRecord>(&frame).unwrap_err();
        assert!(matches!(error, CodecError::Newer(Newer::Field { of: "a role", tag: 241 })), "{error}");
    }
}
