//! Access for the fuzz targets in `fuzz/` to code that hostile bytes reach and callers do not. It exists only under
//! `--cfg fuzzing`, and in no released build.

use std::path::Path;

use crate::access::{grants, permission};
use crate::admin::frame;
use crate::admin::{Answer, Request, Session};
use crate::base::codec;
use crate::base::codec::Frame;
use crate::copies::archive::{Archive, Item, Trailer};
use crate::copies::backup_report::BackupError;
use crate::key::event::stored::{Checkpoint, Event, Head};
use crate::key::idempotency::RequestOutcome;
use crate::key::record::Record;
use crate::key::role::record::RoleRecord;
use crate::key::tenant::record::TenantRecord;
use crate::token::api_key;
use crate::token::digest::Digest;

use crate::storage::commit_mark::CommitMark;
use crate::storage::database::event_batch::EventBatch;
use crate::storage::database::spent::StoredSpent;
use crate::storage::meta::Meta;
use crate::storage::wal;
use crate::usage::chunk::Chunk;

type Entry = wal::Entry<'static>;

/// The longest frame.
pub const MAX_FRAME: usize = codec::MAX_FRAME;

/// Answers a message as it arrives on the socket; `None` for bytes that are not a message. It skips requests that would
/// reach files and programs outside of the store.
pub fn ask(session: &mut Session, frame: &[u8]) -> Option<Answer> {
    let request = frame::read::<Request>(&mut &*frame).ok()?;
    let again = frame::encode(&request).expect("what was read can be written");
    let same = frame::read::<Request>(&mut &again[..]).expect("what was written can be read");
    assert_eq!(frame::encode(&same).expect("as before")[..], again[..]);
    if matches!(request, Request::Backup { .. } | Request::RunDue { .. }) {
        return None;
    }
    let answer = session.ask(request);
    let sent = frame::encode(&answer).expect("every answer has room in a message");
    let read = frame::read::<Answer>(&mut &sent[..]).expect("every answer is understood");
    assert_eq!(frame::encode(&read).expect("as before")[..], sent[..]);
    Some(answer)
}

/// A stored value of any kind.
#[derive(Debug, PartialEq)]
pub struct Stored(Value);

#[derive(Debug, PartialEq)]
enum Value {
    Record(Record),
    Event(Event),
    Head(Head),
    Checkpoint(Checkpoint),
    Trailer(Trailer),
    CommitMark(CommitMark),
    Meta(Meta),
    RequestOutcome(RequestOutcome),
    Entry(Entry),
    EventBatch(EventBatch),
    RoleRecord(RoleRecord),
    TenantRecord(TenantRecord),
    Chunk(Chunk),
    StoredSpent(StoredSpent),
}

/// Runs `$work` with `$kind` as the type of this kind byte and `$value` as the variant of [`Value`] for it.
macro_rules! by_kind {
    ($byte:expr, |$kind:ident, $value:ident| $work:expr) => {
        match $byte {
            Record::KIND => by_kind!(@ Record, $kind, $value, $work),
            Event::KIND => by_kind!(@ Event, $kind, $value, $work),
            Head::KIND => by_kind!(@ Head, $kind, $value, $work),
            Checkpoint::KIND => by_kind!(@ Checkpoint, $kind, $value, $work),
            Trailer::KIND => by_kind!(@ Trailer, $kind, $value, $work),
            CommitMark::KIND => by_kind!(@ CommitMark, $kind, $value, $work),
            Meta::KIND => by_kind!(@ Meta, $kind, $value, $work),
            RequestOutcome::KIND => by_kind!(@ RequestOutcome, $kind, $value, $work),
            Entry::KIND => by_kind!(@ Entry, $kind, $value, $work),
            EventBatch::KIND => by_kind!(@ EventBatch, $kind, $value, $work),
            RoleRecord::KIND => by_kind!(@ RoleRecord, $kind, $value, $work),
            TenantRecord::KIND => by_kind!(@ TenantRecord, $kind, $value, $work),
            Chunk::KIND => by_kind!(@ Chunk, $kind, $value, $work),
            StoredSpent::KIND => by_kind!(@ StoredSpent, $kind, $value, $work),
            _ => None,
        }
    };
    (@ $name:ident, $kind:ident, $value:ident, $work:expr) => {{
        type $kind = $name;
        let $value = Value::$name;
        $work
    }};
}

impl Stored {
    /// The kind bytes.
    pub const KINDS: [u8; 14] = [
        Record::KIND,
        Event::KIND,
        Head::KIND,
        Checkpoint::KIND,
        Trailer::KIND,
        CommitMark::KIND,
        Meta::KIND,
        RequestOutcome::KIND,
        Entry::KIND,
        EventBatch::KIND,
        RoleRecord::KIND,
        TenantRecord::KIND,
        Chunk::KIND,
        StoredSpent::KIND,
    ];

    /// Decodes a frame as one of this kind.
    #[must_use]
    pub fn decode(kind: u8, frame: &[u8]) -> Option<Self> {
        by_kind!(kind, |Kind, value| codec::decode::<Kind>(frame).ok().map(value)).map(Self)
    }

    /// Looks for a frame of this kind at the beginning of the bytes.
    #[must_use]
    pub fn carve(kind: u8, bytes: &[u8]) -> Option<Self> {
        by_kind!(kind, |Kind, value| codec::carve::<Kind>(bytes).map(|(found, _)| value(found))).map(Self)
    }

    /// Reads the file of a commit mark.
    #[must_use]
    pub fn mark(sector: &[u8]) -> Option<Self> {
        CommitMark::parse(sector).ok().map(Value::CommitMark).map(Self)
    }

    /// Writes it; `None` if it is too long.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        match &self.0 {
            Value::Record(value) => codec::encode(value),
            Value::Event(value) => codec::encode(value),
            Value::Head(value) => codec::encode(value),
            Value::Checkpoint(value) => codec::encode(value),
            Value::Trailer(value) => codec::encode(value),
            Value::CommitMark(value) => codec::encode(value),
            Value::Meta(value) => codec::encode(value),
            Value::RequestOutcome(value) => codec::encode(value),
            Value::Entry(value) => codec::encode(value),
            Value::EventBatch(value) => codec::encode(value),
            Value::RoleRecord(value) => codec::encode(value),
            Value::TenantRecord(value) => codec::encode(value),
            Value::Chunk(value) => codec::encode(value),
            Value::StoredSpent(value) => codec::encode(value),
        }
        .ok()
    }

    /// The id of a record.
    #[must_use]
    pub fn id(&self) -> Option<u128> {
        if let Value::Record(record) = &self.0 { Some(record.id) } else { None }
    }

    /// The number of an event.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        if let Value::Event(event) = &self.0 { Some(event.number) } else { None }
    }

    /// Creates a trailer with these values for its backup.
    #[must_use]
    pub fn trailer_with(mut self, records: u64, sum: u128, scanned: u64, amendments: u64, events: u64) -> Option<Self> {
        let Value::Trailer(trailer) = &mut self.0 else { return None };
        (trailer.head.records, trailer.head.sum) = (records, sum);
        (trailer.scanned, trailer.amendments, trailer.events) = (scanned, amendments, events);
        Some(self)
    }
}

/// The content of a backup.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Contents {
    /// Records by id.
    pub records: Vec<(u128, Vec<u8>)>,
    /// Events in their order.
    pub events: Vec<(u64, Vec<u8>)>,
    /// Times of use.
    pub uses: Vec<([u8; 16], u32)>,
    /// Number of records and their sum.
    pub head: (u64, u128),
    /// The digest at the end.
    pub digest: Digest,
}

/// Checks a backup and reads everything in it, as a restore does.
///
/// # Errors
/// The file is not a whole backup.
pub fn read_backup(path: &Path) -> Result<Contents, BackupError> {
    let archive = Archive::check(path)?;
    crate::copies::restore::settings(&archive, path)?;
    let head = archive.trailer.head;
    let mut contents = Contents { head: (head.records, head.sum), digest: archive.digest, ..Contents::default() };
    archive.read(|item| {
        match item {
            Item::Meta(_) => {}
            Item::Record(record, frame) => contents.records.push((record.id, frame)),
            Item::Named(record, frame) => contents.records.push((record.id(), frame)),
            Item::Event(number, frame) => contents.events.push((number, frame)),
            Item::Used(secret, second) => contents.uses.push((secret, second)),
        }
        Ok(())
    })?;
    contents.records.sort();
    Ok(contents)
}

/// Returns the id and the secret of a token with one of these prefixes.
#[must_use]
pub fn parse_token<'a>(token: &'a [u8], prefixes: &[Box<str>]) -> Option<&'a [u8]> {
    let mut texts = prefixes.iter().map(|prefix| prefix.to_string());
    let known = api_key::Prefixes::new(texts.next()?, texts);
    known.parse(token).map(|tail| api_key::body(tail).as_slice())
}

/// Whether one of these grants gives a permission: as a list, and as the text that the index keeps.
#[must_use]
pub fn grants_give(grants: &[String], permission: &str) -> (bool, bool) {
    (grants::give(grants, permission), grants::joined_give(&grants::join(grants), permission))
}

/// Whether one grant covers another.
#[must_use]
pub fn covers(outer: &str, inner: &str) -> bool {
    permission::covers(outer, inner)
}

/// The set of grants that gives what both sets give, and whether the second loses something of the first.
#[must_use]
pub fn compare(one: &[String], other: &[String]) -> (Vec<String>, bool) {
    let (one, other) = (grants::join(one), grants::join(other));
    let met = grants::joined_meet(&one, &other);
    (met.split(' ').filter(|grant| !grant.is_empty()).map(str::to_owned).collect(), grants::lose(&one, &other))
}

/// What a node of a cluster reads from its engine, and what it keeps beside its replica.
#[cfg(feature = "cluster")]
pub mod cluster {
    use crate::base::codec::{self, Frame};
    use crate::cluster::format::entry::LogEntry;
    use crate::cluster::format::here_only::{KeptHereOnly, KeptRestriction, KeptRevocation};
    use crate::cluster::format::image::{ImageKind, seal, unseal};
    use crate::cluster::format::presence::{Acknowledgement, Presence};
    use crate::cluster::format::settings::ClusterSettings;
    use crate::key::owner::record::OwnerRecord;
    use crate::key::role::record::RoleRecord;
    use crate::key::tenant::record::TenantRecord;
    use crate::storage::only_here::KeptHere;
    use crate::storage::replica_note::ReplicaNote;
    use crate::token::digest::{Digester, Pepper};
    use crate::usage::mirror::MirrorNote;

    /// The digesters of a node without a pepper, or with one.
    fn digesters(with_pepper: bool) -> Vec<Digester> {
        let pepper = with_pepper.then(|| Digester::peppered(&Pepper::new(2, [9; 32])));
        [Digester::plain()].into_iter().chain(pepper).collect()
    }

    /// Whether this is a frame of one of the kinds. What decodes, encodes to bytes that decode to the same, and that are
    /// no longer.
    #[must_use]
    pub fn is_frame(bytes: &[u8]) -> bool {
        let kept = KeptHereOnly::decode(bytes).ok();
        let of_key = is::<KeptRevocation>(bytes) || is::<KeptRestriction>(bytes);
        let of_many = is::<RoleRecord>(bytes) || is::<TenantRecord>(bytes) || is::<OwnerRecord>(bytes);
        assert_eq!(kept.is_some(), of_key || of_many);
        if let Some(kept) = &kept {
            assert_eq!(KeptHereOnly::decode(&kept.encode().expect("as before")).as_ref().ok(), Some(kept));
        }
        let others = [
            is::<Presence>(bytes),
            is::<Acknowledgement>(bytes),
            is::<ClusterSettings>(bytes),
            is::<KeptHere>(bytes),
            is::<ReplicaNote>(bytes),
            is::<MirrorNote>(bytes),
        ];
        let count = others.iter().filter(|is| **is).count() + usize::from(kept.is_some());
        assert!(count <= 1, "a frame of two kinds");
        count == 1
    }

    fn is<T: Frame + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> bool {
        let Ok(value) = codec::decode::<T>(bytes) else { return false };
        let again = codec::encode(&value).expect("what was decoded is short enough to be written");
        assert!(again.len() <= bytes.len());
        assert_eq!(codec::decode::<T>(&again).expect("what was written can be read"), value);
        true
    }

    /// Puts the code of an entry behind these bytes.
    #[must_use]
    pub fn with_code(covered: &[u8], with_pepper: bool) -> Vec<u8> {
        let digester = digesters(with_pepper).pop().unwrap_or_else(Digester::plain);
        [covered, &crate::cluster::format::entry::code(&digester, covered)].concat()
    }

    /// Whether this is an entry of the log, for a node without a pepper, or with one.
    #[must_use]
    pub fn is_entry(bytes: &[u8], with_pepper: bool) -> bool {
        let all = digesters(with_pepper);
        let Ok(entry) = LogEntry::decode(bytes, &all) else { return false };
        let newest = all.last().expect("there is one");
        let again = entry.encode(newest).expect("what was decoded is short enough to be written");
        let same = LogEntry::decode(&again, &all).expect("what was written can be read");
        assert_eq!(
            (same.generation, same.op, same.base, same.head),
            (entry.generation, entry.op, entry.base, entry.head)
        );
        assert_eq!(same.writes, entry.writes);
        true
    }

    /// Checks an image of the state, under a name. What is under its code is what was put there.
    #[must_use]
    pub fn is_image(value: &[u8], with_pepper: bool) -> bool {
        let all = digesters(with_pepper);
        let newest = all.last().expect("there is one");
        let mut is_any = false;
        for (kind, name) in
            [(ImageKind::Record, &[1; 16][..]), (ImageKind::Outcome, &[1; 32]), (ImageKind::Head, &[1; 8])]
        {
            let sealed = seal(kind, name, value, newest);
            assert_eq!(unseal(kind, name, &sealed, &all).expect("what was sealed is whole"), value);
            let Ok(frame) = unseal(kind, name, value, &all) else { continue };
            assert!(value.ends_with(frame));
            is_any = true;
        }
        is_any
    }
}
