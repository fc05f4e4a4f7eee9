//! How many keys have a role. A deletion counts them before other changes have to wait for it, and then reads only those
//! that have changed meanwhile.

use std::collections::BTreeSet;

use crate::access::named::Kind;
use crate::base::codec;
use crate::commit::engine::Engine;
use crate::commit::records::Records;
use crate::commit::writer::Writer;
use crate::key::error::StoreError;
use crate::key::event::stored::Event;
use crate::key::record::Record;
use crate::key::role::change::Counted;

/// With more changes meanwhile, every key is counted again.
const MAX_EVENTS: u64 = 100_000;

impl Engine {
    /// Counts the keys that have a role, while changes go on.
    pub(crate) fn count_role(&self, role: &str) -> Result<Counted, StoreError> {
        let head = self.writer().head();
        let log = self.log.open()?;
        let exists = log.named(Kind::Role.id(role))?.is_some();
        // Every key that a later change does not concern is read as it was after this event.
        let keys = if exists { count(role, &Records::of(&log))? } else { 0 };
        Ok(Counted { keys, number: head.number, digest: head.digest })
    }
}

/// The number of keys that have a role, of which so many were counted.
pub(super) fn keys_with(
    role: &str,
    counted: &Counted,
    records: &Records<'_>,
    writer: &Writer,
) -> Result<u64, StoreError> {
    if counted.keys > 0 {
        return Ok(counted.keys);
    }
    let Some(changed) = changed_since(counted, records, writer)? else { return count(role, records) };
    let mut keys = 0;
    for id in changed {
        keys += u64::from(records.record(id)?.is_some_and(|(record, _)| has(&record, role)));
    }
    Ok(keys)
}

/// The keys that have changed since a count; `None` if the events do not show it.
fn changed_since(
    counted: &Counted,
    records: &Records<'_>,
    writer: &Writer,
) -> Result<Option<BTreeSet<u128>>, StoreError> {
    let head = writer.head();
    let mut changed = records.decided_keys();
    match head.number.checked_sub(counted.number) {
        Some(0) => return Ok((head.digest == counted.digest).then_some(changed)),
        Some(..=MAX_EVENTS) => {}
        _ => return Ok(None),
    }
    let mut last = counted.number;
    for item in records.events(last + 1) {
        let (number, frame) = item?;
        if number > head.number {
            break;
        }
        let event: Event = codec::decode(&frame)?;
        // Events may be purged, and a node that has loaded its replica anew may have another history.
        let follows = last != counted.number || event.previous == counted.digest;
        if number != last + 1 || !follows {
            return Ok(None);
        }
        last = number;
        changed.extend(event.subject.key());
    }
    Ok((last == head.number).then_some(changed))
}

fn count(role: &str, records: &Records<'_>) -> Result<u64, StoreError> {
    let mut keys = 0;
    records.each(|record| keys += u64::from(has(&record, role)))?;
    Ok(keys)
}

fn has(record: &Record, role: &str) -> bool {
    record.roles.iter().any(|name| name == role)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyStore, KeyUpdate, NewKey, Role};

    #[test]
    fn what_was_counted_is_brought_up_to_date_by_the_changes_since() {
        let store = KeyStore::temporary().unwrap();
        let engine = &store.inner().engine;
        let now = |counted: &Counted| {
            let log = engine.log.open().unwrap();
            let writer = engine.writer();
            let is_known = changed_since(counted, &Records::of(&log), &writer).unwrap().is_some();
            (is_known, keys_with("reader", counted, &Records::of(&log), &writer).unwrap())
        };
        store.put_role(Role::new("reader")).unwrap();
        store.create(NewKey::for_owner("alice")).unwrap();
        let counted = engine.count_role("reader").unwrap();
        assert_eq!((counted.keys, now(&counted)), (0, (true, 0)));
        let with = || store.create(NewKey::for_owner("bob").roles(["reader"])).unwrap().info.id();
        let (one, other) = (with(), with());
        assert_eq!(now(&counted), (true, 2));
        assert_eq!(now(&Counted::default()), (true, 2));
        store.update(one, KeyUpdate::new().roles([""; 0])).unwrap();
        assert_eq!(now(&counted), (true, 1));
        assert_eq!(engine.count_role("reader").unwrap().keys, 1);
        assert_eq!(engine.count_role("writer").unwrap().keys, 0);
        // Another history, and one whose beginning is gone, do not show it.
        assert_eq!(now(&Counted { digest: [1; 32], ..counted }), (false, 1));
        assert_eq!(now(&Counted { number: u64::MAX, ..counted }), (false, 1));
        store.purge_events(store.now() + chrono::TimeDelta::hours(1)).unwrap();
        assert_eq!(now(&counted), (false, 1));
        store.revoke(other, "left").unwrap();
        assert_eq!(store.purge(store.now() + chrono::TimeDelta::hours(1)).unwrap(), 1);
        assert_eq!(now(&counted), (false, 0));
    }
}
