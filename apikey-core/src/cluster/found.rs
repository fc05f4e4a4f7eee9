//! Founding a cluster of the keys of a store: its state goes into the ledger, and its directory becomes a replica.

use std::time::Duration;

use crate::base::codec;
use crate::cluster::config::Cluster;
use crate::cluster::format::entry::{LOG_END, position};
use crate::cluster::format::image::{ImageKind, seal};
use crate::cluster::format::settings::ClusterSettings;
use crate::cluster::join::JoinError;
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::ledger::{Appended, CellName, Entry, Image, Position, Reserved, Step, Swap};
use crate::cluster::node::probe::random;
use crate::cluster::protocol::safeguards::stretched;
use crate::key::error::StoreError;
use crate::key::event::stored::Head;
use crate::storage::database::disk::Disk;
use crate::storage::meta::ReplicaOf;
use crate::token::digest::Digester;

/// How long each call to the ledger may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most generations to try, of which earlier attempts may have left some behind.
const ATTEMPTS: u64 = 1000;

/// Whether a cluster may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Founding {
    /// There must be none.
    New,
    /// The keys replace those of the cluster: its nodes stop, and load these when they are opened again.
    Replace,
}

impl Cluster {
    /// Writes everything of a store into the ledger, and then makes it the cluster.
    pub(crate) fn found(
        &self,
        founding: Founding,
        disk: &Disk,
        head: &Head,
        prefixes: &[String],
        digesters: &[Digester],
    ) -> Result<ReplicaOf, JoinError> {
        let by = || self.runtime.now() + PATIENCE;
        let ledger = |error| JoinError::Ledger(self.ledger.name(), error);
        let sight = self.ledger.sight(0, by()).map_err(ledger)?;
        let before = match (&sight.meta, founding) {
            (Some(_), Founding::New) => {
                return Err(JoinError::Disagreement(format!(
                    "{} has a cluster already: open a node of it, name another namespace, or replace its keys with \
                     `apikey cluster restore`",
                    self.ledger.name()
                )));
            }
            (None, Founding::Replace) => {
                return Err(JoinError::Disagreement(format!(
                    "{} has no cluster whose keys could be replaced: check the namespace, or found one with `apikey \
                     cluster found`",
                    self.ledger.name()
                )));
            }
            (None, Founding::New) => None,
            (Some(value), Founding::Replace) => Some(self.decoded(value)?),
        };
        let first = before.as_ref().map_or(1, |before| before.generation.saturating_add(1));
        let generation = self.begin(first, head)?;
        self.publish(generation, disk, head, digesters)?;
        let bound = before.as_ref().map_or_else(|| self.bound(), |before| self.bound_after(before.bound()));
        let uuid = before.as_ref().map_or_else(|| random(&self.runtime), |before| Ok(before.uuid)).map_err(ledger)?;
        let of_store = ClusterSettings::of(uuid, bound, prefixes, digesters, sight.identity.system.clone());
        let settings = ClusterSettings { generation, ..of_store };
        let value = settings.encode().map_err(StoreError::from)?;
        let swap = |from: Option<&[u8]>, to: &[u8]| match self.ledger.swap(&CellName::meta(), from, Some(to), by()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(JoinError::Disagreement(format!(
                "{}: another program founded or restored the cluster meanwhile; nothing was replaced",
                self.ledger.name()
            ))),
            Err(error) => Err(ledger(error)),
        };
        let Some(before) = before else {
            // Only now does any node see it.
            swap(None, &value)?;
            return Ok(ReplicaOf { cluster: settings.uuid, generation, is_loading: false });
        };
        // A node of the former keys serves them for the bound after its last look, and a change on a node of the new ones
        // knows nothing of it: so none opens before that.
        // What is sealed has the longer bound: who goes on after this was cut off waits for the former nodes, too.
        let longer = settings.bound.max(before.bound);
        let sealed = ClusterSettings { is_sealed: true, bound: longer, ..settings.clone() };
        let sealed = sealed.encode().map_err(StoreError::from)?;
        swap(sight.meta.as_deref(), &sealed)?;
        // An attempt that was cut off may have sealed the settings of its own generation, and ended no log.
        for former in (1..generation).rev() {
            self.end_log(former)?;
        }
        self.sleep(stretched(before.bound()));
        swap(Some(&sealed), &value)?;
        Ok(ReplicaOf { cluster: settings.uuid, generation, is_loading: false })
    }

    /// Appends the end of a log: no node can append after it, and each that reads it stops. So no change of the former
    /// keys is acknowledged after they were replaced.
    fn end_log(&self, generation: u64) -> Result<(), JoinError> {
        let ledger = |error| JoinError::Ledger(self.ledger.name(), error);
        let by = || self.runtime.now() + PATIENCE;
        let ended = self.runtime.now() + PATIENCE;
        loop {
            let sight = self.ledger.sight(generation, by()).map_err(ledger)?;
            let Some(base) = sight.head else { return Ok(()) };
            let random = random(&self.runtime).map_err(ledger)?.to_be_bytes();
            let mut digest = [0; 32];
            digest.iter_mut().zip(random.iter().chain(&random)).for_each(|(to, from)| *to = *from);
            let last = Position { number: base.number.saturating_add(1), digest };
            let entry = Entry { generation, op: random, base, last, bytes: LOG_END };
            match self.ledger.append(&entry, None, by()).map_err(ledger)? {
                Appended::Here => return Ok(()),
                Appended::Lost { .. } if self.runtime.now() < ended => {}
                Appended::Lost { .. } => {
                    return Err(ledger(LedgerError::refused(
                        "other nodes append all the time: stop them, and try again",
                    )));
                }
            }
        }
    }

    /// Sleeps by the clock that runs on while the machine does.
    fn sleep(&self, span: Duration) {
        let begun = self.clock.now();
        while self.clock.now().since(begun) < span {
            self.runtime.sleep(Duration::from_millis(50));
        }
    }

    fn decoded(&self, value: &[u8]) -> Result<ClusterSettings, JoinError> {
        ClusterSettings::decode(value).map_err(|error| {
            let what = format!("the settings of the cluster do not decode: {error}");
            JoinError::Ledger(self.ledger.name(), LedgerError::Damaged { what })
        })
    }

    /// Begins the log of a generation that has none. An attempt that was cut off leaves one without a cluster.
    fn begin(&self, first: u64, head: &Head) -> Result<u64, JoinError> {
        let ledger = |error| JoinError::Ledger(self.ledger.name(), error);
        for generation in first..first.saturating_add(ATTEMPTS) {
            if self.ledger.begin(generation, &position(head), self.runtime.now() + PATIENCE).map_err(ledger)? {
                return Ok(generation);
            }
        }
        Err(ledger(LedgerError::refused(format!("it has {ATTEMPTS} logs from generation {first} on"))))
    }

    fn publish(&self, generation: u64, disk: &Disk, head: &Head, digesters: &[Digester]) -> Result<(), JoinError> {
        let plain = Digester::plain();
        let digester = digesters.last().unwrap_or(&plain);
        let head_frame = codec::encode(head).map_err(StoreError::from)?;
        let head_frame = seal(ImageKind::Head, &generation.to_be_bytes(), &head_frame, digester);
        let mut images: Vec<(ImageKind, Vec<u8>, Vec<u8>)> = Vec::new();
        let step = |images: &mut Vec<(ImageKind, Vec<u8>, Vec<u8>)>| -> Result<(), JoinError> {
            let list: Vec<Image<'_>> = images
                .iter()
                .map(|(kind, name, value)| Image { kind: kind.code(), name, value: Some(value) })
                .collect();
            let at = position(head);
            let step = Step { generation, from: at, to: at, head: &head_frame, images: &list };
            let moved = self.ledger.advance(&step, None, self.runtime.now() + PATIENCE);
            if !moved.map_err(|error| JoinError::Ledger(self.ledger.name(), error))? {
                let what = format!("something else moved the state of generation {generation}");
                return Err(JoinError::Ledger(self.ledger.name(), LedgerError::Damaged { what }));
            }
            images.clear();
            Ok(())
        };
        let records = disk.frames().map(|item| {
            let (id, frame) = item?;
            let name = id.to_be_bytes().to_vec();
            let value = seal(ImageKind::Record, &name, &frame, digester);
            Ok::<_, StoreError>((ImageKind::Record, name, value))
        });
        let outcomes = disk.outcome_frames().map(|item| {
            let (name, frame) = item?;
            let value = seal(ImageKind::Outcome, &name, &frame, digester);
            Ok((ImageKind::Outcome, name.to_vec(), value))
        });
        let mut bytes = 0;
        for image in records.chain(outcomes) {
            let image = image?;
            let more = image.1.len() + image.2.len();
            if !Step::fits(images.len() + 1, bytes + more) {
                step(&mut images)?;
                bytes = 0;
            }
            bytes += more;
            images.push(image);
        }
        // Also without images: the state has its head now.
        step(&mut images)?;
        self.publish_quotas(generation, disk)
    }

    /// Writes what was used of quotas into the ledger.
    fn publish_quotas(&self, generation: u64, disk: &Disk) -> Result<(), JoinError> {
        let rows = disk.spent().map(|item| item.map(|(key, frame)| (key.to_be_bytes(), frame)));
        let rows: Vec<_> = rows.collect::<Result<_, StoreError>>()?;
        for rows in rows.chunks(Swap::MAX) {
            let swaps: Vec<_> = rows.iter().map(|(name, frame)| Swap { name, old: None, new: Some(frame) }).collect();
            let answers = self.ledger.reserve(generation, &swaps, self.runtime.now() + PATIENCE);
            let answers = answers.map_err(|error| JoinError::Ledger(self.ledger.name(), error))?;
            if answers.iter().any(|answer| *answer != Reserved::Done) {
                let what = format!("something else reserves quotas of generation {generation}");
                return Err(JoinError::Ledger(self.ledger.name(), LedgerError::Damaged { what }));
            }
        }
        Ok(())
    }
}
