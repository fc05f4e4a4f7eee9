//! The records that a change is decided on.

use std::collections::BTreeSet;

use crate::access::named::{Kind, NamedId};
use crate::access::owner::{OwnerRef, Owners};
use crate::base::codec;
use crate::commit::writer::Writer;
use crate::key::error::StoreError;
use crate::key::event::stored::Head;
use crate::key::idempotency::RequestOutcome;
use crate::key::named::NamedRecord;
use crate::key::owner;
use crate::key::owner::record::OwnerRecord;
use crate::key::record::Record;
use crate::key::role::record::RoleRecord;
#[cfg(feature = "cluster")]
use crate::key::subject::Subject;
use crate::key::tenant::record::TenantRecord;
use crate::storage::database::disk::{Bytes, Disk};
#[cfg(feature = "cluster")]
use crate::storage::{batch::Batch, batch::NewId, batch::Write, database::memtable::Memtable};
use crate::token::digest::Digest;

/// The records that a change is decided on: those of the database, and in a cluster, before them, what other changes of
/// the same entry of the log leave.
pub(crate) struct Records<'d> {
    disk: &'d Disk,
    #[cfg(feature = "cluster")]
    decided: Option<&'d Decided>,
}

impl<'d> Records<'d> {
    pub(crate) fn of(disk: &'d Disk) -> Self {
        Self {
            disk,
            #[cfg(feature = "cluster")]
            decided: None,
        }
    }

    /// The head that the change follows.
    pub(crate) fn head(&self, writer: &Writer) -> Head {
        #[cfg(feature = "cluster")]
        if let Some(head) = self.decided.and_then(|decided| decided.head) {
            return head;
        }
        writer.head()
    }

    pub(crate) fn record(&self, id: u128) -> Result<Option<(Record, Bytes)>, StoreError> {
        #[cfg(feature = "cluster")]
        if let Some(record) =
            self.decided.filter(|_| Kind::of(id).is_none()).and_then(|decided| decided.table.record(id))
        {
            return Ok(record.map(|frame| codec::decode(&frame).map(|record| (record, frame.into()))).transpose()?);
        }
        self.disk.record(id)
    }

    /// The role, tenant or owner with this id, and its frame.
    pub(crate) fn named(&self, id: NamedId) -> Result<Option<(NamedRecord, Bytes)>, StoreError> {
        #[cfg(feature = "cluster")]
        if let Some((frame, kind)) = self.decided.and_then(|decided| decided.table.record(id)).zip(Kind::of(id)) {
            let decoded = |frame: Vec<u8>| NamedRecord::decode(kind, &frame).map(|record| (record, frame.into()));
            return Ok(frame.map(decoded).transpose()?);
        }
        self.disk.named(id)
    }

    /// The tenant of this name, if it was put, or has ended.
    pub(crate) fn tenant(&self, name: &str) -> Result<Option<TenantRecord>, StoreError> {
        Ok(self.named(Kind::Tenant.id(name))?.and_then(|(record, _)| record.tenant()))
    }

    /// The record of an owner, if it was put.
    pub(crate) fn owner(&self, owner: OwnerRef<'_>) -> Result<Option<OwnerRecord>, StoreError> {
        let record = self.named(owner::record::id(owner))?.and_then(|(record, _)| record.owner());
        Ok(record.filter(|record| record.owner() == owner))
    }

    /// Returns a record as readers see it: a key of a tenant that has ended is revoked. It is not to be written.
    pub(crate) fn with_end_of_tenant(&self, record: Record) -> Result<Record, StoreError> {
        let tenant = record.tenant.as_deref().filter(|_| record.revoked.is_none());
        let ended = tenant.map(|tenant| self.tenant(tenant)).transpose()?.flatten().and_then(|tenant| tenant.ended);
        Ok(if ended.is_some() { Record { revoked: ended, ..record } } else { record })
    }

    /// All roles, in no order.
    pub(crate) fn roles(&self) -> Result<Vec<RoleRecord>, StoreError> {
        let stored = self.disk.roles()?.into_iter().filter(|role| !self.is_decided(role.id()));
        #[cfg(feature = "cluster")]
        let stored = stored.chain(self.decided_roles()?);
        Ok(stored.collect())
    }

    /// The roles that are decided and not applied, without those that are deleted.
    #[cfg(feature = "cluster")]
    fn decided_roles(&self) -> Result<Vec<RoleRecord>, StoreError> {
        let waiting = self.decided.iter().flat_map(|decided| decided.table.waiting().records);
        let roles = waiting.filter(|(id, _)| Kind::of(*id) == Some(Kind::Role));
        roles.filter_map(|(_, frame)| frame).map(|frame| Ok(codec::decode(&frame)?)).collect()
    }

    /// The key that has this imported digest.
    pub(crate) fn imported(&self, digest: &Digest) -> Result<Option<u128>, StoreError> {
        #[cfg(feature = "cluster")]
        if let Some(holder) = self.decided.and_then(|decided| decided.table.imported(digest)) {
            return Ok(holder);
        }
        self.disk.imported(digest)
    }

    /// The outcome of the idempotent request with this name.
    pub(crate) fn request_outcome(&self, name: &Digest) -> Result<Option<RequestOutcome>, StoreError> {
        #[cfg(feature = "cluster")]
        if let Some(frame) = self.decided.and_then(|decided| decided.table.request_outcome(name)) {
            return Ok(Some(codec::decode(&frame)?));
        }
        self.disk.request_outcome(name)
    }

    /// The ids of up to `max` keys of these owners, after one, in their order.
    pub(crate) fn ids_of(&self, owners: Owners<'_>, after: Option<u128>, max: usize) -> Result<Vec<u128>, StoreError> {
        let stored = self.disk.ids_of(owners, after)?;
        #[cfg(feature = "cluster")]
        if let Some(decided) = self.decided {
            let is_gone = |id: &u128| matches!(decided.table.record(*id), Some(None));
            let stored = stored.filter(|id| !id.as_ref().is_ok_and(is_gone));
            let mut ids = stored.take(max).collect::<Result<Vec<u128>, _>>()?;
            let new =
                decided.new.iter().filter(|new| owners.has(new.owner()) && after.is_none_or(|after| new.id > after));
            ids.extend(new.map(|new| new.id).filter(|id| !is_gone(id)));
            ids.sort_unstable();
            ids.truncate(max);
            return Ok(ids);
        }
        stored.take(max).collect()
    }

    /// Passes every record of a key to `visit`, in no order.
    pub(crate) fn each(&self, mut visit: impl FnMut(Record)) -> Result<(), StoreError> {
        for item in self.disk.records(None) {
            let (id, frame) = item?;
            if !self.is_decided(id) {
                visit(codec::decode(&frame)?);
            }
        }
        #[cfg(feature = "cluster")]
        for (id, frame) in self.decided.iter().flat_map(|decided| decided.table.waiting().records) {
            if let (Subject::Key(_), Some(frame)) = (Subject::of_record(id), frame) {
                visit(codec::decode(&frame)?);
            }
        }
        Ok(())
    }

    /// The events of the database, from this number on.
    pub(crate) fn events(&self, first: u64) -> impl Iterator<Item = Result<(u64, Bytes), StoreError>> + use<> {
        self.disk.events(first)
    }

    /// The keys whose records are those that changes before leave.
    pub(crate) fn decided_keys(&self) -> BTreeSet<u128> {
        #[cfg(feature = "cluster")]
        if let Some(decided) = self.decided {
            let ids = decided.table.waiting().records.into_keys();
            return ids.filter(|id| Kind::of(*id).is_none()).collect();
        }
        BTreeSet::new()
    }

    /// Whether the record is one that a change before leaves.
    #[cfg_attr(not(feature = "cluster"), allow(unused_variables, reason = "only an entry of a cluster has several"))]
    fn is_decided(&self, id: u128) -> bool {
        #[cfg(feature = "cluster")]
        return self.decided.is_some_and(|decided| decided.table.record(id).is_some());
        #[cfg(not(feature = "cluster"))]
        false
    }
}

/// What changes leave that are decided, and not in the log: another change of the same entry is decided on it.
#[cfg(feature = "cluster")]
#[derive(Default)]
pub(crate) struct Decided {
    /// The head after them; `None` if there are none.
    head: Option<Head>,
    table: Memtable,
    /// The keys that they create.
    new: Vec<NewId>,
}

#[cfg(feature = "cluster")]
impl Decided {
    /// The records after them.
    pub(crate) fn records<'d>(&'d self, disk: &'d Disk) -> Records<'d> {
        Records { disk, decided: Some(self) }
    }

    /// The head after them; `None` if there are none.
    pub(crate) fn head(&self) -> Option<Head> {
        self.head
    }

    /// Notes the head after changes on which nothing else is decided.
    pub(crate) fn ends_at(&mut self, head: Head) {
        self.head = Some(head);
    }

    pub(crate) fn add(&mut self, writes: &[Write], head: Head) {
        let new = writes.iter().filter(|write| write.is_new);
        self.new.extend(new.filter_map(|write| Some(NewId::of(write, write.subject.key()?))));
        self.table.add(Batch { writes: writes.to_vec(), ..Batch::default() });
        self.head = Some(head);
    }
}
