//! Loading the replica anew while the node runs: its records become those of the cluster's state, and its history begins
//! there. The node serves no key meanwhile, and makes no change.
//!
//! What is loaded is checked as a whole, in a file, before the replica changes. From then on a crash leaves a replica that
//! the next open loads anew.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write as _};

use crate::access::named::{Kind, NamedAllowance, NamedId};
use crate::base::codec;
use crate::base::files::parent;
use crate::base::lock::lock;
use crate::cluster::format::entry::position;
use crate::cluster::join::LOAD_TIMEOUT;
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::node::shared::{FollowError, Node};
use crate::cluster::protocol::chain::Chain;
use crate::cluster::state_load::{StatePart, load_state};
use crate::commit::applier::{Applier, Pending};
use crate::commit::engine::Engine;
use crate::commit::local_log::OpenLog;
use crate::commit::stage::write;
use crate::commit::writer::Writer;
use crate::key::error::StoreError;
use crate::key::event::stored::{Checkpoint, Head};
use crate::key::idempotency::{NEVER_EXPIRES, RequestOutcome};
use crate::key::named::NamedRecord;
use crate::key::record::Record;
use crate::key::subject::Subject;
use crate::storage::batch::{Batch, Write};
use crate::storage::database::disk::{Load, NO_EVENT};
use crate::storage::meta::{Meta, ReplicaOf};
use crate::token::key_id::KeyId;

/// The most records of one transaction.
const CHUNK: usize = 256;
const NAMED: u8 = 1;
const RECORD: u8 = 2;
const OUTCOME: u8 = 3;

/// The state of the cluster, in a file without a name.
struct Spool {
    file: BufWriter<File>,
}

impl Node {
    /// Loads the replica anew. The caller has the turn, and the gate is closed.
    pub(super) fn reload(&self, engine: &Engine) -> Result<(), FollowError> {
        let (digesters, directory) = {
            let log = engine.log.open()?;
            let digesters = engine.writer().digesters.clone();
            (digesters, parent(&log.directory).to_owned())
        };
        let mut spool = Spool::in_directory(&directory).map_err(StoreError::from)?;
        let by = self.runtime.now() + LOAD_TIMEOUT;
        let head = self.noted(load_state(&*self.ledger, self.generation(), &digesters, by, &mut |part| {
            let spooled = match part {
                StatePart::Begin => spool.clear(),
                StatePart::Record(record, frame) => spool.put(RECORD, &record.id.to_be_bytes(), frame),
                StatePart::Named(record, frame) => spool.put(NAMED, &record.id().to_be_bytes(), frame),
                StatePart::Outcome(name, frame) => spool.put(OUTCOME, name, frame),
            };
            spooled.map_err(|error| LedgerError::refused(format!("the state cannot be written to a file: {error}")))
        }))?;
        let replaced = self.replace(engine, spool, head);
        if let Err(error) = &replaced {
            self.stop(engine, &format!("its replica could not be loaded anew: {error}; open the node again"));
        }
        Ok(replaced?)
    }

    /// Makes the replica what the file has.
    fn replace(&self, engine: &Engine, spool: Spool, head: Head) -> Result<(), StoreError> {
        let _applying = lock(&self.applying);
        let log = engine.log.open()?;
        let mut writer = engine.writer();
        engine.wait(engine.group.appended(), &log)?;
        self.mark_loading(&log, true)?;
        log.empty_wal()?;
        let here = self.state().here.clone();
        let mut replacing = Replacing {
            engine,
            log: &log,
            head: codec::encode(&head)?,
            seen: HashSet::new(),
            changed: Vec::new(),
            waiting: Vec::new(),
            unused: BTreeMap::new(),
            outcomes: Load::default(),
        };
        spool.read(|kind, name, frame| match kind {
            NAMED => replacing.named(name, frame),
            RECORD => replacing.record(&mut writer, frame),
            _ => replacing.outcome(name, frame),
        })?;
        replacing.delete_others()?;
        let Replacing { mut changed, unused, outcomes, .. } = replacing;
        log.replace_outcomes(outcomes)?;
        let checkpoint = codec::encode(&Checkpoint { number: head.number, digest: head.digest })?;
        log.forget_events(u64::MAX, &checkpoint)?;
        log.set_head(&codec::encode(&head)?, &checkpoint)?;
        writer.replace(head);
        if head.last_id > 0 {
            writer.ids.pass(KeyId::from_u128(head.last_id));
        }
        engine.group.replace(head);
        engine.log.reset_mark(head)?;
        self.mark_loading(&log, false)?;
        drop(writer);
        engine.changes.note(&changed);
        changed.extend(here.keys());
        let unused: Vec<_> = unused.into_iter().collect();
        engine.settle(&changed, &log, &here, &unused, Some(&engine.first_uses))?;
        self.state().chain = Chain::new(position(&head), self.settings.safeguards);
        Ok(())
    }

    /// Says in the settings whether the replica is being loaded, durably.
    fn mark_loading(&self, log: &OpenLog<'_>, is_loading: bool) -> Result<(), StoreError> {
        let meta = log.meta()?.map(|frame| codec::decode::<Meta>(&frame)).transpose()?.unwrap_or_default();
        let replica = ReplicaOf { cluster: self.settings.cluster, generation: self.settings.generation, is_loading };
        log.set_meta(codec::encode(&Meta { replica: Some(replica), ..meta })?)
    }
}

/// The records of a replica, while others take their place.
struct Replacing<'e> {
    engine: &'e Engine,
    log: &'e OpenLog<'e>,
    /// The head of what comes.
    head: Vec<u8>,
    seen: HashSet<u128>,
    changed: Vec<u128>,
    waiting: Vec<Write>,
    /// Secrets whose first use would be recorded.
    unused: BTreeMap<u128, u32>,
    outcomes: Load,
}

impl Replacing<'_> {
    fn record(&mut self, writer: &mut Writer, frame: &[u8]) -> Result<(), StoreError> {
        let record: Record = codec::decode(frame)?;
        self.seen.insert(record.id);
        let before = self.log.record(record.id)?;
        if before.as_ref().is_some_and(|(_, held)| held.as_ref() == frame) {
            return Ok(());
        }
        writer.note_ends(&record);
        let id = record.id;
        let mut write = self.change(id, before.map(|(record, _)| record), Some(record))?;
        // Byte for byte, also with what this version does not know.
        write.record = Some(frame.to_vec().into());
        self.write(write)
    }

    fn named(&mut self, name: &[u8], frame: &[u8]) -> Result<(), StoreError> {
        let id = name.try_into().map(u128::from_be_bytes).unwrap_or(0);
        let Some(kind) = Kind::of(id) else { return Ok(()) };
        let record = NamedRecord::decode(kind, frame)?;
        self.seen.insert(id);
        let before = self.log.named(id)?;
        if before.as_ref().is_some_and(|(_, held)| held.as_ref() == frame) {
            return Ok(());
        }
        let write = self.change_named(id, Some(&record), before.is_none())?;
        self.write(Write { record: Some(frame.to_vec().into()), ..write })
    }

    /// Makes visible what a role grants, or a tenant or an owner leaves, and returns what is written for it.
    fn change_named(&mut self, id: NamedId, after: Option<&NamedRecord>, is_new: bool) -> Result<Write, StoreError> {
        let rights = after.map_or_else(|| NamedAllowance::without_record(id), NamedRecord::allowance);
        let published = rights.and_then(|rights| self.engine.index.publish_named(id, rights));
        published.map_err(io::Error::from)?;
        Ok(Write { is_new, ..write(Subject::Named(id), None, None, (NO_EVENT, Vec::new()))? })
    }

    fn outcome(&mut self, name: &[u8], frame: &[u8]) -> Result<(), StoreError> {
        let outcome: RequestOutcome = codec::decode(frame)?;
        if outcome.at != NEVER_EXPIRES && outcome.holds(self.engine.time.now_ms()) {
            self.flush()?;
            let record = self.log.record(outcome.key)?;
            let newest = record.as_ref().and_then(|(record, _)| record.secrets.last());
            if newest.is_some_and(|newest| newest.version == outcome.version && !newest.used) {
                self.unused.insert(outcome.key, outcome.version);
            }
        }
        self.outcomes.outcome(name, frame);
        Ok(())
    }

    /// Deletes the records that the cluster does not have.
    fn delete_others(&mut self) -> Result<(), StoreError> {
        self.flush()?;
        let named = self.log.named_frames().map(|item| Ok(item?.0)).collect::<Result<Vec<u128>, StoreError>>()?;
        for id in named.into_iter().filter(|id| !self.seen.contains(id)).collect::<Vec<_>>() {
            let write = self.change_named(id, None, false)?;
            self.write(write)?;
        }
        let ids = self.log.records(None).map(|item| Ok(item?.0)).collect::<Result<Vec<u128>, StoreError>>()?;
        for id in ids {
            if self.seen.contains(&id) {
                continue;
            }
            let Some((record, _)) = self.log.record(id)? else { continue };
            self.engine.forget_counts(id);
            let write = self.change(id, Some(record), None)?;
            self.write(write)?;
        }
        self.flush()
    }

    /// Makes a change visible, and returns what is written for it.
    fn change(&mut self, id: u128, before: Option<Record>, after: Option<Record>) -> Result<Write, StoreError> {
        let rights = |record: &Option<Record>| record.as_ref().map(|one| self.engine.effective(one)).transpose();
        let pending = Pending { id, before: rights(&before)?, after: rights(&after)?, named: None };
        let mut applier = Applier::default();
        applier.enqueue(pending.clone());
        pending.restrict(&self.engine.index).map_err(io::Error::from)?;
        applier.publish(&self.engine.index)?;
        self.changed.push(id);
        write(Subject::Key(id), before.as_ref(), after.as_ref(), (NO_EVENT, Vec::new()))
    }

    fn write(&mut self, write: Write) -> Result<(), StoreError> {
        self.waiting.push(write);
        if self.waiting.len() < CHUNK { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let writes = std::mem::take(&mut self.waiting);
        if writes.is_empty() {
            return Ok(());
        }
        Ok(self.log.write(&Batch { writes, head: self.head.clone(), ended: Vec::new() })?)
    }
}

impl Spool {
    fn in_directory(directory: &std::path::Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::new(tempfile::tempfile_in(directory)?) })
    }

    fn clear(&mut self) -> io::Result<()> {
        self.file.rewind()?;
        self.file.get_ref().set_len(0)
    }

    fn put(&mut self, kind: u8, name: &[u8], frame: &[u8]) -> io::Result<()> {
        self.file.write_all(&[kind])?;
        for bytes in [name, frame] {
            self.file.write_all(&u32::try_from(bytes.len()).map_err(io::Error::other)?.to_le_bytes())?;
            self.file.write_all(bytes)?;
        }
        Ok(())
    }

    /// Passes everything on: roles, tenants and owners first, then the records of keys, which may have them, and then outcomes, which speak of keys.
    fn read(self, mut each: impl FnMut(u8, &[u8], &[u8]) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        for wanted in [NAMED, RECORD, OUTCOME] {
            file.rewind()?;
            let mut reader = BufReader::new(&file);
            let mut kind = [0];
            while reader.read(&mut kind)? == 1 {
                let name = take(&mut reader)?;
                let frame = take(&mut reader)?;
                if kind == [wanted] {
                    each(wanted, &name, &frame)?;
                }
            }
        }
        Ok(())
    }
}

fn take(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}
