//! Events as they are stored: one for each change, numbered without gaps and chained.

use std::io;

use serde::{Deserialize, Serialize};

use crate::base::codec::payload::{Reader, Writer};
use crate::base::codec::tail::{TailReader, TailWriter, Unknown};
use crate::base::codec::{CodecError, Frame, plain_frame};
use crate::key::event::actor::Origin;
use crate::key::event::kind::EventKind;
use crate::key::record::record_hash;
use crate::key::subject::Subject;
use crate::token::digest::Digest;

/// A change as the history stores it.
///
/// The fixed fields are number, time, subject, the number of the kind, the digest of the event before, and the number
/// of the pepper. The tail has the fields of the kind, and the actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// 1 for the first change of the store.
    pub(crate) number: u64,
    /// Milliseconds since 1970 UTC.
    pub(crate) at: i64,
    pub(crate) subject: Subject,
    pub(crate) kind: EventKind,
    pub(crate) origin: Origin,
    /// The digest of the event before, zeros for the first.
    pub(crate) previous: Digest,
    /// The pepper under which this event is digested for the next, 0 for none.
    pub(crate) pepper: u32,
    pub(crate) unknown: Unknown,
}

impl Frame for Event {
    const KIND: u8 = b'E';

    fn put(&self, payload: &mut Writer) -> Result<(), CodecError> {
        payload.put(&(self.number, self.at))?;
        self.subject.put(payload)?;
        payload.put(&(self.kind.code(), self.previous, self.pepper))?;
        let mut tail = TailWriter::new(&self.unknown);
        self.origin.put(&mut tail)?;
        self.kind.put(&mut tail)?;
        tail.end(payload)
    }

    fn take(payload: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (number, at) = payload.take()?;
        let subject = Subject::take(payload)?;
        let (code, previous, pepper) = payload.take()?;
        let mut tail = TailReader::new(payload)?;
        let origin = Origin::take(&mut tail)?;
        let kind = EventKind::take(code, &mut tail)?;
        Ok(Self { number, at, subject, kind, origin, previous, pepper, unknown: tail.end("an event")? })
    }
}

/// The state of the store after its last event; written in the same transaction as the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Head {
    /// Number of the last event.
    pub(crate) number: u64,
    /// Its digest.
    pub(crate) digest: Digest,
    /// The number of records, of every kind.
    pub(crate) records: u64,
    /// The sum, modulo 2^128, of the first 16 bytes of the SHA-256 of every stored record, of every kind.
    pub(crate) sum: u128,
    /// The highest id ever given to anything.
    pub(crate) last_id: u128,
}

plain_frame!(Head, b'H', "the head");

impl Head {
    /// Counts one more event. It fails only if somebody wrote the highest number into the files.
    pub(crate) fn count(&mut self) -> io::Result<()> {
        let next = self.number.checked_add(1);
        self.number =
            next.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no number is left for another event"))?;
        Ok(())
    }

    /// Counts a record that is stored as this frame.
    pub(crate) fn add_record(&mut self, frame: &[u8]) {
        self.sum = self.sum.wrapping_add(record_hash(frame));
        self.records += 1;
    }

    /// Counts the change of a record from one frame to another; `None` is that of a record that is not there.
    pub(crate) fn replace_record(&mut self, old: Option<impl AsRef<[u8]>>, new: Option<impl AsRef<[u8]>>) {
        if let Some(old) = old {
            self.sum = self.sum.wrapping_sub(record_hash(old.as_ref()));
            self.records = self.records.saturating_sub(1);
        }
        if let Some(new) = new {
            self.add_record(new.as_ref());
        }
    }
}

/// The last event that was purged: the chain of the remaining events begins after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) number: u64,
    pub(crate) digest: Digest,
}

plain_frame!(Checkpoint, b'P', "the checkpoint of history");

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::{DateTime, Utc};

    use super::*;
    use crate::access::named::Kind;
    use crate::access::owner::OwnerRef;
    use crate::base::codec::tail::{critical, ignorable};
    use crate::base::codec::{Newer, decode, encode, golden};
    use crate::base::time::from_ms;
    use crate::key::event::actor::Actor;
    use crate::key::event::changes::{Changes, FromTo};
    use crate::key::rotation::overlap::OverlapEnd;
    use crate::token::key_id::KeyId;
    use crate::{Limit, Quota, RotationPolicy};

    const KEY: u128 = 0x0193_1a4e_7c3b_7def_8123_4567_89ab_cdef;

    /// An event without a tail.
    fn bare() -> Event {
        Event {
            number: 1,
            at: 1_700_000_000_000,
            subject: Subject::Key(KEY),
            kind: EventKind::Created,
            origin: Origin::default(),
            previous: [9; 32],
            pepper: 0,
            unknown: Unknown::default(),
        }
    }

    fn by(actor: &str) -> Origin {
        Origin { actor: Some(actor.into()), peer: None }
    }

    fn time() -> Option<DateTime<Utc>> {
        Some(from_ms(1_800_000_000_000))
    }

    fn all_changes() -> Changes {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let limit = Limit::checked(10, chrono::TimeDelta::seconds(1)).unwrap();
        Changes {
            name: true,
            metadata: list(&["team"]),
            permissions: Some(FromTo { from: list(&["orders:*"]), to: list(&["orders:read", "stock:*"]) }),
            roles: Some(FromTo { from: Vec::new(), to: list(&["reader"]) }),
            not_before: Some(FromTo { from: None, to: time() }),
            expires_at: Some(FromTo { from: time(), to: None }),
            limit: Some(FromTo { from: None, to: Some(limit) }),
            networks: Some(FromTo { from: list(&["10.0.0.0/8"]), to: Vec::new() }),
            rotation: Some(FromTo { from: Some(RotationPolicy::every(chrono::TimeDelta::days(30))), to: None }),
            // These have golden files of their own.
            labels: None,
            quota: None,
            idle_after: None,
        }
    }

    fn frame(event: &Event) -> Vec<u8> {
        let frame = encode(event).unwrap();
        assert_eq!(decode::<Event>(&frame).unwrap(), *event);
        frame
    }

    #[test]
    fn golden_bytes_of_no_tail_one_field_and_all() {
        golden::check("event-bare.bin", &frame(&bare()));
        let one = Event { origin: by("deploy-bot"), ..bare() };
        golden::check("event-one.bin", &frame(&one));
        let peer = Some(std::net::IpAddr::from([203, 0, 113, 7]));
        let origin = Origin { actor: Some(Actor::Key(KeyId::from_u128(KEY))), peer };
        let kind = EventKind::Updated { changes: all_changes() };
        golden::check("event-all.bin", &frame(&Event { number: 300, pepper: 7, kind, origin, ..bare() }));
    }

    #[test]
    fn golden_bytes_of_labels() {
        let label = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let labels = |plan: &str| BTreeMap::from([("plan", plan), ("region", "eu")].map(label));
        let changed = |from, to| EventKind::Updated {
            changes: Changes { labels: Some(FromTo { from, to }), ..Changes::default() },
        };
        let first = Event { kind: changed(BTreeMap::new(), labels("free")), ..bare() };
        let next = Event { number: 301, kind: changed(labels("free"), labels("pro")), ..bare() };
        golden::check("event-labels.bin", &[frame(&first), frame(&next)].concat());
    }

    #[test]
    fn golden_bytes_of_unknown_fields() {
        let later = Event { unknown: Unknown::field(ignorable(120), b"later"), origin: by("uid:1000"), ..bare() };
        golden::check("event-ignorable.bin", &frame(&later));
        let newer = Event { unknown: Unknown::field(critical(120), b"later"), ..bare() };
        let frame = encode(&newer).unwrap();
        golden::check("event-critical.bin", &frame);
        let error = decode::<Event>(&frame).unwrap_err();
        assert!(matches!(error, CodecError::Newer(Newer::Field { of: "an event", tag: 241 })), "{error}");
    }

    /// Every kind, one after the other.
    #[test]
    fn golden_bytes_of_every_kind() {
        let (version, reason, ended) = (300, "leaked".to_owned(), vec![2, 299]);
        let at = OverlapEnd::At(from_ms(1_800_000_000_000));
        let changes = Changes { name: true, ..Changes::default() };
        let kinds = [
            EventKind::Created,
            EventKind::Imported,
            EventKind::Updated { changes: changes.clone() },
            EventKind::Disabled { changes: Changes::default() },
            EventKind::Enabled { changes },
            EventKind::Rotated { version, overlap: None },
            EventKind::Rotated { version, overlap: Some(OverlapEnd::FirstUse) },
            EventKind::FirstUsed { version, ended: Vec::new() },
            EventKind::SecretsErased,
            EventKind::Revoked { reason: reason.clone() },
            EventKind::Purged,
            EventKind::Restored { backup: 300, old: Some(301) },
            EventKind::Restored { backup: 300, old: None },
            EventKind::Reapplied {
                revoked: true,
                disabled: false,
                ended: ended.clone(),
                shortened: vec![3],
                changes: all_changes(),
            },
            EventKind::Salvaged { records: 5, events: 6 },
            EventKind::Staged { version, ended: ended.clone() },
            EventKind::Promoted { version, overlap: at, ended, used: true },
            EventKind::Promoted { version, overlap: OverlapEnd::FirstUse, ended: Vec::new(), used: false },
            EventKind::Replaced { version, reason },
            EventKind::ClockAccepted { from: from_ms(2_000_000_000_000), to: from_ms(1_700_000_000_000) },
            EventKind::EventsPurged { last: 299 },
            EventKind::InUse { used_at: from_ms(1_800_000_000_000) },
            EventKind::RolePut {
                role: "reader".into(),
                created: true,
                from: Vec::new(),
                to: vec!["orders:read".into()],
            },
            EventKind::RoleDeleted { role: "reader".into(), from: vec!["orders:read".into()] },
            EventKind::TenantPut {
                tenant: "acme".into(),
                created: true,
                from: vec!["*".into()],
                to: vec!["orders:*".into()],
                limit_from: None,
                limit_to: Some(Limit::checked(10, chrono::TimeDelta::seconds(1)).unwrap()),
                quota_from: None,
                quota_to: None,
            },
            EventKind::TenantEnded { tenant: "acme".into(), reason: "left".into() },
        ];
        let mut codes: Vec<u8> = kinds.iter().map(EventKind::code).collect();
        codes.dedup();
        // The later ones have golden files of their own.
        assert!(codes.iter().copied().eq(1..=23), "{codes:?}");
        assert_eq!(codes.len() + 1, EventKind::NAMES.len());
        let mut all = Vec::new();
        for (number, kind) in (1..).zip(kinds) {
            let of_store = matches!(kind.code(), 11 | 13 | 17 | 18);
            let subject = match kind.code() {
                20 | 21 => Subject::Named(Kind::Role.id("reader")),
                22 | 23 => Subject::Named(Kind::Tenant.id("acme")),
                _ if of_store => Subject::Store,
                _ => Subject::Key(KEY),
            };
            all.extend(frame(&Event { number, subject, kind, ..bare() }));
        }
        golden::check("events-of-every-kind.bin", &all);
    }

    #[test]
    fn golden_bytes_of_a_changed_idle_time() {
        let spans = FromTo { from: Some(chrono::TimeDelta::days(90)), to: Some(chrono::TimeDelta::hours(1)) };
        let kind = EventKind::Updated { changes: Changes { idle_after: Some(spans), ..Changes::default() } };
        golden::check("event-idle.bin", &frame(&Event { kind, ..bare() }));
    }

    #[test]
    fn golden_bytes_of_a_changed_quota() {
        let month = Quota::per_month(300).offset(chrono::FixedOffset::east_opt(3600).unwrap());
        let changed = |from, to| EventKind::Updated {
            changes: Changes { quota: Some(FromTo { from, to }), ..Changes::default() },
        };
        let first = Event { kind: changed(None, Some(Quota::per_day(10_000))), ..bare() };
        let next = Event { number: 301, kind: changed(Some(month), Some(Quota::total(5))), ..bare() };
        golden::check("event-quota.bin", &[frame(&first), frame(&next)].concat());
    }

    #[test]
    fn golden_bytes_of_shared_quotas() {
        let (day, month) = (Some(Quota::per_day(300)), Some(Quota::per_month(10_000)));
        let of_tenant = |quota_from, quota_to| EventKind::TenantPut {
            tenant: "acme".into(),
            created: false,
            from: vec!["*".into()],
            to: vec!["*".into()],
            limit_from: None,
            limit_to: None,
            quota_from,
            quota_to,
        };
        let of_owner = |tenant: Option<&str>, quota_from, quota_to| {
            let tenant = tenant.map(str::to_owned);
            EventKind::OwnerPut { owner: "alice".into(), tenant, quota_from, quota_to }
        };
        let of_acme = OwnerRef { tenant: Some("acme"), name: "alice" };
        let all = [
            (Kind::Tenant.id("acme"), of_tenant(None, day)),
            (Kind::Tenant.id("acme"), of_tenant(day, month)),
            (Kind::Owner.id("alice"), of_owner(None, None, day)),
            (crate::key::owner::record::id(of_acme), of_owner(Some("acme"), month, None)),
        ];
        let events = (300..)
            .zip(all)
            .map(|(number, (id, kind))| frame(&Event { number, subject: Subject::Named(id), kind, ..bare() }));
        golden::check("events-of-shared-quotas.bin", &events.collect::<Vec<_>>().concat());
    }

    #[test]
    fn golden_bytes_of_a_first_use_that_lists_what_it_ended() {
        let kind = EventKind::FirstUsed { version: 300, ended: vec![299] };
        golden::check("event-first-used-ended.bin", &frame(&Event { kind, ..bare() }));
    }

    #[test]
    fn golden_bytes_of_the_head_and_the_checkpoint() {
        let head = Head { number: 8, digest: [1; 32], records: 2, sum: u128::MAX, last_id: 1 << 100 };
        golden::check("head.bin", &encode(&head).unwrap());
        golden::check("checkpoint.bin", &encode(&Checkpoint { number: 3, digest: [7; 32] }).unwrap());
    }

    #[test]
    fn kinds_and_subjects_of_later_versions_are_newer() {
        let sealed = |place: usize, byte: u8| {
            let mut frame = encode(&bare()).unwrap();
            frame[place] = byte;
            let end = frame.len() - 4;
            let check = crc32fast::hash(&frame[..end]).to_le_bytes();
            frame[end..].copy_from_slice(&check);
            decode::<Event>(&frame).unwrap_err()
        };
        // The subject, of 18 bytes, and the kind follow the head, one byte of the number and nine of the time.
        assert!(matches!(sealed(13, 6), CodecError::Newer(Newer::Subject(6))));
        assert!(matches!(sealed(31, 25), CodecError::Newer(Newer::Event(25))));
        assert!(matches!(sealed(31, 0), CodecError::Payload(None)));
    }
}
