//! Evidence of what keys have lost in a damaged store, so that a restored store does not give it back.

use std::collections::{BTreeMap, BTreeSet};

use crate::access::grants;
use crate::access::limit::Limit;
use crate::access::network;
use crate::access::quota::Quota;
use crate::base::time;
use crate::key::event::changes::Changes;
use crate::key::event::kind::EventKind;
use crate::key::event::stored::Event;
use crate::key::record::{Record, Revocation, SecretEnd, StoredSecret};
use crate::key::rotation::overlap::OverlapEnd;

/// The reason for revoking a key whose record was deleted.
pub(crate) const DELETED: &str = "deleted in the old store";

/// What a key has lost, by its events.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    revoked: Option<Revocation>,
    deleted: bool,
    /// Every secret below this version has ended.
    ended_below: u32,
    /// The end that each rotation gave the secret before, by the new version.
    ends: BTreeMap<u32, OverlapEnd>,
    used: BTreeSet<u32>,
    /// Pending secrets that became current ones.
    promoted: BTreeSet<u32>,
    /// Secrets that ended at once.
    ended: BTreeSet<u32>,
    /// The number of the last event that set a field.
    pub(crate) changed_at: u64,
}

impl Evidence {
    /// Notes an event of any time, as far as it is final: a key that was revoked stays so.
    pub(crate) fn note_final(&mut self, event: &Event) {
        let revoke = |reason: &str| Revocation { at: event.at, reason: reason.to_owned() };
        match &event.kind {
            EventKind::Revoked { reason } => self.revoked = Some(revoke(reason)),
            // Only a key that was revoked, or has expired, is deleted.
            EventKind::Purged => {
                self.deleted = true;
                self.revoked.get_or_insert_with(|| revoke(DELETED));
            }
            EventKind::Reapplied { revoked: true, .. } => {
                self.revoked.get_or_insert_with(|| revoke("revoked in the old store"));
            }
            _ => {}
        }
    }

    /// Notes an event that may be later than the records.
    pub(crate) fn note(&mut self, event: &Event) {
        self.note_final(event);
        match &event.kind {
            EventKind::Rotated { version, overlap: None } => self.ended_below = self.ended_below.max(*version),
            EventKind::Rotated { version, overlap: Some(end) } => drop(self.ends.insert(*version, *end)),
            EventKind::FirstUsed { version, ended } => {
                self.ended.extend(ended);
                self.used.insert(*version);
            }
            EventKind::Staged { ended, .. } => self.ended.extend(ended),
            EventKind::Promoted { version, overlap, ended, used } => {
                self.ended.extend(ended);
                self.promoted.insert(*version);
                self.ends.insert(*version, *overlap);
                if *used {
                    self.used.insert(*version);
                }
            }
            EventKind::Replaced { version, .. } => self.ended_below = self.ended_below.max(*version),
            EventKind::Reapplied { disabled, ended, shortened, changes, .. } => {
                self.ended_below = self.ended_below.max(ended.iter().max().map_or(0, |last| last.saturating_add(1)));
                if *disabled || !shortened.is_empty() || !changes.is_empty() {
                    self.changed_at = self.changed_at.max(event.number);
                }
            }
            EventKind::Updated { .. } | EventKind::Disabled { .. } | EventKind::Enabled { .. } => {
                self.changed_at = self.changed_at.max(event.number);
            }
            _ => {}
        }
    }

    /// Restricts a record to what the events leave of it.
    pub(crate) fn restrict(&self, record: &mut Record) {
        let held: BTreeSet<u32> = record.secrets.iter().map(|secret| secret.version).collect();
        if record.revoked.is_none() {
            record.revoked.clone_from(&self.revoked);
        }
        record.secrets.retain_mut(|secret| {
            let is_over = secret.version < self.ended_below || self.ended.contains(&secret.version);
            if is_over || self.was_replaced(secret) {
                return false;
            }
            if self.promoted.contains(&secret.version) && secret.is_pending() {
                secret.end = SecretEnd::Never;
            }
            let Some((version, end)) = self.end_of(secret) else { return true };
            if let OverlapEnd::At(end) = end {
                secret.end = earlier(secret.end, end.timestamp_millis());
            }
            !(end == OverlapEnd::FirstUse && self.used.contains(&version))
        });
        // One that the record lacks was replaced, and its event says what its use ended.
        let used = self.used.intersection(&held).last().copied().unwrap_or(0);
        record.secrets.retain(|secret| secret.version >= used || secret.end != SecretEnd::FirstUse);
    }

    /// The rotation that ended a secret: the next one, or the one that replaced its unused successor.
    fn end_of(&self, secret: &StoredSecret) -> Option<(u32, OverlapEnd)> {
        let mut found = None;
        for (version, end) in self.ends.range(secret.version.saturating_add(1)..) {
            found = Some((*version, *end));
            if self.used.contains(version) || self.promoted.contains(version) {
                break;
            }
        }
        found
    }

    /// Whether a rotation replaced the secret before anyone used it.
    fn was_replaced(&self, secret: &StoredSecret) -> bool {
        let unused = secret.version > 1 && !secret.used && !self.used.contains(&secret.version);
        let by_hand = |version: &u32| *version > secret.version && !self.promoted.contains(version);
        unused && !self.promoted.contains(&secret.version) && self.ends.keys().any(by_hand)
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted
    }

    /// Notes that another state of the record is revoked.
    pub(crate) fn revoke(&mut self, record: &Record) {
        if self.revoked.is_none() {
            self.revoked.clone_from(&record.revoked);
        }
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked.is_some()
    }
}

/// Restricts a record to what another state of the same key leaves of it. What a key can get back (being enabled,
/// permissions, labels, time, limit and networks) counts only if that state is, or may be, the later one.
pub(crate) fn restrict_by_state(record: &mut Record, other: &Record, later: bool) {
    if record.revoked.is_none() {
        record.revoked.clone_from(&other.revoked);
    }
    // A secret that the other state lacks has ended, unless it is newer than that state.
    record.secrets.retain_mut(|secret| {
        let Some(same) = other.secrets.iter().find(|same| same.digest == secret.digest) else {
            return secret.version > other.version;
        };
        if let SecretEnd::At(end) = same.end {
            secret.end = earlier(secret.end, end);
        }
        true
    });
    if !later {
        return;
    }
    record.disabled |= other.disabled;
    record.roles.retain(|role| other.roles.contains(role));
    record.not_before = record.not_before.max(other.not_before);
    record.expires_at = time::earlier(record.expires_at, other.expires_at);
    record.idle = match (record.idle, other.idle) {
        (Some(held), Some(known)) => Some(held.meet(known)),
        (held, known) => held.or(known),
    };
    let limit = |record: &Record| record.limit.as_ref().map(Limit::stored);
    let stricter = Limit::meet_of(limit(record), limit(other));
    if stricter != limit(record) {
        record.limit = stricter.map(Limit::to_stored);
    }
    let quota = |record: &Record| record.quota.as_ref().map(Quota::stored);
    let stricter = Quota::meet_of(quota(record), quota(other));
    if stricter != quota(record) {
        record.quota = stricter.map(Quota::to_stored);
    }
    match network::meet_names(&record.networks, &other.networks) {
        Some(networks) => record.networks = networks,
        // A record cannot say "nowhere".
        None => record.disabled = true,
    }
    record.labels.retain(|name, value| other.labels.get(name) == Some(value));
    let (held, known) = (grants::join(&record.permissions), grants::join(&other.permissions));
    if grants::lose(&held, &known) {
        let met = grants::joined_meet(&held, &known);
        record.permissions = met.split(' ').filter(|grant| !grant.is_empty()).map(str::to_owned).collect();
    }
}

/// The event of a record that becomes one that allows less; `None` if it stays as it is.
pub(crate) fn reapplied(before: &Record, after: &Record) -> Option<EventKind> {
    if before == after {
        return None;
    }
    let kept = |version| after.secrets.iter().any(|secret| secret.version == version);
    let end_before = |version| before.secrets.iter().find(|secret| secret.version == version).map(|secret| secret.end);
    let is_shorter = |secret: &&StoredSecret| end_before(secret.version).is_some_and(|end| end != secret.end);
    Some(EventKind::Reapplied {
        revoked: after.revoked != before.revoked,
        disabled: after.disabled != before.disabled,
        ended: before.secrets.iter().map(|secret| secret.version).filter(|one| !kept(*one)).collect(),
        shortened: after.secrets.iter().filter(is_shorter).map(|secret| secret.version).collect(),
        changes: Changes::between(before, after),
    })
}

fn earlier(end: SecretEnd, other: i64) -> SecretEnd {
    match end {
        SecretEnd::At(end) => SecretEnd::At(end.min(other)),
        SecretEnd::Never | SecretEnd::FirstUse | SecretEnd::Pending { .. } => SecretEnd::At(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::tail::Unknown;
    use crate::base::time::from_ms;
    use crate::key::event::actor::Origin;
    use crate::key::record::SecretForm;
    use crate::key::subject::Subject;

    fn secret(version: u32, end: SecretEnd, used: bool) -> StoredSecret {
        let digest = [u8::try_from(version).unwrap(); 32];
        let form = SecretForm::Own { prefix: "ak".into() };
        StoredSecret {
            version,
            digest,
            pepper: 0,
            form,
            created_at: 0,
            end,
            used,
            is_strong: false,
            unknown: Unknown::default(),
        }
    }

    fn record(secrets: Vec<StoredSecret>) -> Record {
        Record {
            id: 1,
            tenant: None,
            owner: "alice".into(),
            name: None,
            permissions: vec!["a:*".into(), "b".into()],
            roles: Vec::new(),
            metadata: BTreeMap::new(),
            created_at: 0,
            not_before: None,
            expires_at: None,
            disabled: false,
            revoked: None,
            version: secrets.last().map_or(1, |secret| secret.version),
            secrets,
            used_before: None,
            policy: None,
            limit: None,
            quota: None,
            networks: Vec::new(),
            idle: None,
            labels: BTreeMap::new(),
            prefix: None,
            ended: None,
            last_event: 0,
            unknown: Unknown::default(),
        }
    }

    fn after(held: &Record, kinds: &[EventKind]) -> Record {
        let mut evidence = Evidence::default();
        for (number, kind) in (1..).zip(kinds) {
            evidence.note(&Event {
                number,
                at: 5,
                subject: Subject::Key(1),
                kind: kind.clone(),
                origin: Origin::default(),
                previous: [0; 32],
                pepper: 0,
                unknown: Unknown::default(),
            });
        }
        let mut record = held.clone();
        evidence.restrict(&mut record);
        record
    }

    fn ends(record: &Record) -> Vec<(u32, SecretEnd)> {
        record.secrets.iter().map(|secret| (secret.version, secret.end)).collect()
    }

    #[test]
    fn events_say_how_secrets_ended() {
        let rotated = |version, overlap: Option<SecretEnd>| EventKind::Rotated {
            version,
            overlap: overlap.and_then(OverlapEnd::of),
        };
        let used = |version| EventKind::FirstUsed { version, ended: Vec::new() };
        let (at, until_use) = (SecretEnd::At, SecretEnd::FirstUse);
        let one = record(vec![secret(1, SecretEnd::Never, false)]);
        assert_eq!(ends(&after(&one, &[rotated(2, None)])), []);
        assert_eq!(ends(&after(&one, &[rotated(2, Some(at(9)))])), [(1, at(9))]);
        assert_eq!(ends(&after(&one, &[rotated(2, Some(until_use))])), [(1, SecretEnd::Never)]);
        assert_eq!(ends(&after(&one, &[rotated(2, Some(until_use)), used(2)])), []);
        // A successor that nobody used was replaced: the last rotation counts.
        assert_eq!(ends(&after(&one, &[rotated(2, Some(at(9))), rotated(3, Some(at(20)))])), [(1, at(20))]);
        // It was used: the next rotation gave it an end.
        assert_eq!(ends(&after(&one, &[rotated(2, Some(at(9))), used(2), rotated(3, Some(at(20)))])), [(1, at(9))]);
        // The backup has a rotation whose first use came after it.
        let two = record(vec![secret(1, until_use, true), secret(2, SecretEnd::Never, false)]);
        assert_eq!(ends(&after(&two, &[used(2)])), [(2, SecretEnd::Never)]);
        assert_eq!(ends(&after(&two, &[rotated(3, Some(until_use))])), [(1, until_use)]);
        // Another node had replaced the secret, and given the one before it an end, before it knew of the use.
        let replaced =
            Record { version: 3, ..record(vec![secret(1, at(9), true), secret(3, SecretEnd::Never, false)]) };
        assert_eq!(ends(&after(&replaced, &[used(2)])), ends(&replaced));
        let by_next =
            Record { version: 3, ..record(vec![secret(1, until_use, true), secret(3, SecretEnd::Never, false)]) };
        assert_eq!(ends(&after(&by_next, &[used(2)])), ends(&by_next));
        let used_and_ended = EventKind::FirstUsed { version: 2, ended: vec![1] };
        for record in [replaced, by_next] {
            assert_eq!(ends(&after(&record, std::slice::from_ref(&used_and_ended))), [(3, SecretEnd::Never)]);
        }
    }

    #[test]
    fn events_say_what_became_of_secrets_that_waited() {
        let staged = |version, ended: &[u32]| EventKind::Staged { version, ended: ended.to_vec() };
        let promoted = |version, end, ended: &[u32], used| EventKind::Promoted {
            version,
            overlap: OverlapEnd::of(end).unwrap(),
            ended: ended.to_vec(),
            used,
        };
        let (at, until_use, never) = (SecretEnd::At, SecretEnd::FirstUse, SecretEnd::Never);
        let waits = SecretEnd::Pending { overlap_ms: Some(4) };
        let two = record(vec![secret(1, never, false), secret(2, waits, false)]);
        assert_eq!(ends(&after(&two, &[promoted(2, at(9), &[], false)])), [(1, at(9)), (2, never)]);
        assert_eq!(ends(&after(&two, &[promoted(2, until_use, &[], false)])), [(1, never), (2, never)]);
        assert_eq!(ends(&after(&two, &[promoted(2, until_use, &[], true)])), [(2, never)]);
        // Another secret replaced it, or came beside it.
        assert_eq!(ends(&after(&two, &[staged(3, &[2])])), [(1, never)]);
        assert_eq!(ends(&after(&two, &[staged(3, &[])])), [(1, never), (2, waits)]);
        assert_eq!(ends(&after(&two, &[staged(3, &[]), promoted(3, at(9), &[2], false)])), [(1, at(9))]);
        // The key was rotated by hand, or had leaked.
        assert_eq!(
            ends(&after(&two, &[EventKind::Rotated { version: 3, overlap: Some(OverlapEnd::At(from_ms(9))) }])),
            [(1, at(9))]
        );
        assert_eq!(ends(&after(&two, &[EventKind::Replaced { version: 3, reason: String::new() }])), []);
        // Two automatic rotations came after the backup: the first of them ended the secret.
        let one = record(vec![secret(1, never, false)]);
        let kinds = [staged(2, &[]), promoted(2, at(9), &[], false), staged(3, &[]), promoted(3, at(20), &[], false)];
        assert_eq!(ends(&after(&one, &kinds)), [(1, at(9))]);
    }

    #[test]
    fn events_revoke() {
        let one = record(vec![secret(1, SecretEnd::Never, false)]);
        let reason = |kind| after(&one, &[kind]).revoked.map(|revoked| (revoked.at, revoked.reason));
        assert_eq!(reason(EventKind::Revoked { reason: "leaked".into() }), Some((5, "leaked".into())));
        assert_eq!(reason(EventKind::Purged), Some((5, DELETED.into())));
        assert_eq!(reason(EventKind::Created), None);
        assert_eq!(reason(EventKind::Disabled { changes: Changes::default() }), None);
    }

    #[test]
    fn another_state_takes_away_what_it_lacks() {
        let held = record(vec![secret(1, SecretEnd::At(50), true), secret(2, SecretEnd::Never, true)]);
        let restricted = |old: &Record, later| {
            let mut record = held.clone();
            restrict_by_state(&mut record, old, later);
            record
        };
        let restrict = |held: &Record, other: &Record| {
            let mut record = held.clone();
            restrict_by_state(&mut record, other, true);
            record
        };
        assert_eq!(restricted(&held, true), held);
        // An older state does not know the newer secret, and takes nothing.
        let older = record(vec![secret(1, SecretEnd::Never, true)]);
        assert_eq!(restricted(&older, true), held);
        let newer = record(vec![secret(2, SecretEnd::At(70), true), secret(3, SecretEnd::Never, false)]);
        assert_eq!(ends(&restricted(&newer, false)), [(2, SecretEnd::At(70))]);
        let less = Record { disabled: true, expires_at: Some(9), permissions: vec!["a:read".into()], ..held.clone() };
        assert_eq!(restricted(&less, true), less);
        assert_eq!(restricted(&less, false), held, "all that can come back");
        let idle = |after_ms, since| Some(crate::access::idle::StoredIdle { after_ms, since });
        let idles = Record { idle: idle(100, 5), ..held.clone() };
        assert_eq!(restricted(&idles, true), idles);
        let ends_sooner = restrict(&idles, &Record { idle: idle(10, 50), ..held.clone() });
        assert_eq!(ends_sooner.idle, idle(10, 50));
        assert_eq!(restrict(&idles, &held).idle, idles.idle, "it does not get back what it has lost");
        let more = Record { permissions: vec!["*".into()], ..held.clone() };
        assert_eq!(restricted(&more, true).permissions.len(), 2);
        let labelled = |plan: &str| Record {
            labels: [("plan".to_owned(), plan.to_owned()), ("region".to_owned(), "eu".to_owned())].into(),
            ..held.clone()
        };
        let mut labels = labelled("pro");
        restrict_by_state(&mut labels, &labelled("free"), false);
        assert_eq!(labels, labelled("pro"), "all that can come back");
        restrict_by_state(&mut labels, &labelled("free"), true);
        assert_eq!(labels.labels, BTreeMap::from([("region".to_owned(), "eu".to_owned())]));
        let revoked = Record { revoked: Some(Revocation { at: 1, reason: "left".into() }), ..held.clone() };
        assert_eq!(restricted(&revoked, false), revoked);
    }
}
