//! Joining a cluster: what a node does with its directory before it opens it as a replica.

use std::time::{Duration, Instant};

use crate::base::codec;
use crate::cluster::config::Cluster;
use crate::cluster::format::settings::ClusterSettings;
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::ledger::{CellName, Position, Sight};
use crate::cluster::node::probe::random;
use crate::cluster::state_load::{StatePart, load_state};
use crate::key::error::StoreError;
use crate::key::event::stored::{Checkpoint, Head};
use crate::storage::database::disk::{Disk, Load};
use crate::storage::meta::{Meta, ReplicaOf};
use crate::storage::replica_note::ReplicaNote;
use crate::token::digest::Digester;

/// How long opening a replica tries to reach the ledger.
pub(crate) const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// How much longer a load of all keys may take.
pub(crate) const LOAD_TIMEOUT: Duration = Duration::from_secs(600);
/// The most logs that foundings which were cut off may have left.
const MAX_LEFT: u64 = 1000;
/// The most images that one write to the replica's database has.
const LOADED: usize = 1000;

/// Why a node cannot join its cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    #[error("{0}: {1}")]
    Ledger(String, LedgerError),
    #[error("{0}")]
    Disagreement(String),
    #[error(transparent)]
    Replica(#[from] StoreError),
}

/// A cluster that a node has found, and its own replica of it.
pub(crate) struct Joined {
    pub(crate) settings: ClusterSettings,
    pub(crate) replica: ReplicaOf,
    /// Whether the database was loaded just now. Its settings say that it is being loaded until the caller replaces
    /// them.
    pub(crate) is_loaded: bool,
}

/// What a node that may join a cluster knows of it.
struct ClusterView {
    settings: ClusterSettings,
    /// What the ledger has of the settings' generation.
    sight: Sight,
    log_head: Position,
}

impl Cluster {
    /// Finds the cluster, or founds one that is empty, and makes the database its replica: it loads the state if the
    /// database is new, or lacks what the log no longer has.
    pub(crate) fn join(
        &self,
        disk: &Disk,
        meta: &Meta,
        prefixes: &[String],
        digesters: &[Digester],
    ) -> Result<Joined, JoinError> {
        let by = self.runtime.now() + OPEN_TIMEOUT;
        let head = disk.head()?.unwrap_or_default();
        let directory = disk.store_directory();
        let note = directory.map_or(Ok(None), ReplicaNote::read).map_err(StoreError::from)?;
        let note = note.transpose().map_err(StoreError::from)?;
        // A replica that is being rebuilt has a note, and an empty database.
        let of_note = note.filter(|_| head.number == 0);
        let held = meta.replica.clone().or_else(|| of_note.map(ReplicaOf::unloaded));
        let first = self.ledger.sight(0, by).map_err(|error| JoinError::Ledger(self.ledger.name(), error))?;
        if first.meta.is_none() {
            self.found_empty(held.as_ref(), &head, prefixes, digesters, &first, by)?;
        }
        let ClusterView { settings, sight, .. } = self.view(prefixes, digesters, by)?;
        let replica = ReplicaOf { cluster: settings.uuid, generation: settings.generation, is_loading: false };
        if held.is_none() && head.number > 0 {
            return Err(JoinError::Disagreement(
                "the directory is a store of its own, and no replica; to make a cluster of its keys, close it and run \
                 `apikey cluster found`"
                    .into(),
            ));
        }
        let seen = note.filter(|note| note.cluster == replica.cluster && note.generation == replica.generation);
        let timeline = seen.map_or(0, |note| note.timeline);
        if let Some(held) = &held {
            self.check_history(held, timeline, &settings, &sight)?;
        }
        let now = ReplicaNote {
            cluster: replica.cluster,
            generation: replica.generation,
            timeline: sight.identity.timeline.max(timeline),
        };
        if let Some(directory) = directory.filter(|_| note != Some(now)) {
            now.write(directory).map_err(StoreError::from)?;
        }
        let is_loaded = match &held {
            // If the log ends before it, the node brings back what the engine lost.
            Some(held) if *held == replica && head.number >= sight.floor => false,
            // A new directory, one whose load was cut off, one of an earlier generation, or one behind the log.
            _ => {
                self.load(disk, meta, &replica, digesters, by)?;
                true
            }
        };
        Ok(Joined { settings, replica, is_loaded })
    }

    /// Checks that a damaged replica may be set aside: that the cluster which it was of is here, and has all that the
    /// replica is known to have had.
    pub(crate) fn check_expendable(
        &self,
        note: &ReplicaNote,
        marked: u64,
        prefixes: &[String],
        digesters: &[Digester],
    ) -> Result<(), JoinError> {
        let ClusterView { settings, sight, log_head } =
            self.view(prefixes, digesters, self.runtime.now() + OPEN_TIMEOUT)?;
        self.check_history(&ReplicaOf::unloaded(*note), note.timeline, &settings, &sight)?;
        if note.generation == settings.generation && log_head.number < marked {
            return Err(JoinError::Disagreement(format!(
                "it had event {marked}, and the log of {} ends at event {}: the engine went back in time, and this \
                 replica may be the only one that knows what was revoked since; open another replica first, which \
                 brings that back, or restore the cluster (`apikey cluster restore`)",
                self.ledger.name(),
                log_head.number,
            )));
        }
        Ok(())
    }

    /// Reads what a node needs to know of the cluster, if one with these options may join it.
    fn view(&self, prefixes: &[String], digesters: &[Digester], by: Instant) -> Result<ClusterView, JoinError> {
        let ledger = |error| JoinError::Ledger(self.ledger.name(), error);
        let any = self.ledger.sight(0, by).map_err(ledger)?;
        if any.meta.is_none() {
            return Err(JoinError::Disagreement(format!(
                "there is no cluster in this namespace of {}: check the namespace",
                self.ledger.name()
            )));
        }
        let settings = self.settings_of(&any)?;
        if settings.is_sealed && !self.opens_while_replaced {
            return Err(JoinError::Disagreement(format!(
                "the keys of the cluster in {} are being replaced: try again in {} seconds; if the program that replaces \
                 them has ended, run it again",
                self.ledger.name(),
                settings.bound().as_secs() + 1
            )));
        }
        if !(ClusterSettings::MIN_BOUND..=ClusterSettings::MAX_BOUND).contains(&settings.bound()) {
            let what = format!("the cluster has a max_staleness of {:?}", settings.bound());
            return Err(JoinError::Ledger(self.ledger.name(), LedgerError::Damaged { what }));
        }
        if let Some(what) = settings.disagreement(prefixes, digesters) {
            return Err(JoinError::Disagreement(what));
        }
        if settings.system != any.identity.system {
            return Err(JoinError::Disagreement(format!(
                "{} is a copy of the engine {:?}, and the cluster was founded on {:?}: point every node at the one that \
                 the cluster uses; to move the cluster on purpose, restore it there from a backup",
                self.ledger.name(),
                any.identity.system,
                settings.system,
            )));
        }
        let sight = self.ledger.sight(settings.generation, by).map_err(ledger)?;
        let Some(log_head) = sight.head else {
            return Err(JoinError::Disagreement(format!(
                "{} has the settings of a cluster, and not its log of generation {}",
                self.ledger.name(),
                settings.generation
            )));
        };
        Ok(ClusterView { settings, sight, log_head })
    }

    /// Checks that the cluster is the one of a replica, and not an earlier one.
    fn check_history(
        &self,
        held: &ReplicaOf,
        timeline: u64,
        settings: &ClusterSettings,
        sight: &Sight,
    ) -> Result<(), JoinError> {
        if held.cluster != settings.uuid {
            return Err(JoinError::Disagreement(format!(
                "the directory is a replica of another cluster than the one in {}: give each cluster's node a directory of \
                 its own, or remove this one",
                self.ledger.name()
            )));
        }
        if held.generation > settings.generation {
            return Err(JoinError::Disagreement(format!(
                "this replica is of generation {}, and the cluster in {} of generation {}: the engine went back in time; \
                 restore the cluster from this replica or from a backup (`apikey cluster restore`)",
                held.generation,
                self.ledger.name(),
                settings.generation,
            )));
        }
        if sight.identity.timeline < timeline {
            return Err(JoinError::Disagreement(format!(
                "{} is at timeline {}, and this replica has seen timeline {timeline}: it is a former primary, or was set \
                 back to before a promotion; point every node at the primary, or restore the cluster (`apikey cluster \
                 restore`)",
                self.ledger.name(),
                sight.identity.timeline,
            )));
        }
        Ok(())
    }

    fn settings_of(&self, sight: &Sight) -> Result<ClusterSettings, JoinError> {
        let value = sight.meta.as_deref().unwrap_or_default();
        ClusterSettings::decode(value).map_err(|error| {
            let what = format!("the settings of the cluster do not decode: {error}");
            JoinError::Ledger(self.ledger.name(), LedgerError::Damaged { what })
        })
    }

    /// Founds a cluster without keys, unless another node is first.
    fn found_empty(
        &self,
        held: Option<&ReplicaOf>,
        head: &Head,
        prefixes: &[String],
        digesters: &[Digester],
        sight: &Sight,
        by: Instant,
    ) -> Result<(), JoinError> {
        let ledger = |error| JoinError::Ledger(self.ledger.name(), error);
        let what = match held {
            Some(_) => {
                "the directory is a replica of a cluster, and there is none in this namespace: check the namespace"
            }
            None if head.number > 0 => {
                "there is no cluster in this namespace, and the directory is a store with keys: `apikey cluster found` \
                 makes a cluster of them"
            }
            None => {
                let uuid = random(&self.runtime).map_err(ledger)?;
                let system = sight.identity.system.clone();
                let of_node = ClusterSettings::of(uuid, self.bound(), prefixes, digesters, system);
                let generation = self.begin_empty(by)?;
                let value = ClusterSettings { generation, ..of_node }.encode().map_err(StoreError::from)?;
                // Whoever is first has founded it.
                self.ledger.swap(&CellName::meta(), None, Some(&value), by).map_err(ledger)?;
                return Ok(());
            }
        };
        Err(JoinError::Disagreement(format!("{}: {what}", self.ledger.name())))
    }

    /// Begins an empty log, or finds the one of another node that founds the same cluster now. A founding that was cut off
    /// may have left logs that are not empty.
    fn begin_empty(&self, by: Instant) -> Result<u64, JoinError> {
        let ledger = |error| JoinError::Ledger(self.ledger.name(), error);
        for generation in 1..MAX_LEFT {
            if self.ledger.begin(generation, &Position::default(), by).map_err(ledger)? {
                return Ok(generation);
            }
            let left = self.ledger.sight(generation, by).map_err(ledger)?;
            if (left.head, left.state) == (Some(Position::default()), Some(Position::default())) {
                return Ok(generation);
            }
        }
        Err(ledger(LedgerError::refused(format!("it has {MAX_LEFT} logs of no cluster"))))
    }

    /// Replaces everything in the database by the state of the cluster.
    fn load(
        &self,
        disk: &Disk,
        meta: &Meta,
        replica: &ReplicaOf,
        digesters: &[Digester],
        by: Instant,
    ) -> Result<(), JoinError> {
        // After a crash from here on, the next open begins the load again.
        let loading = Meta { replica: Some(ReplicaOf { is_loading: true, ..replica.clone() }), ..meta.clone() };
        disk.set_meta(codec::encode(&loading).map_err(StoreError::from)?)?;
        disk.discard_wal().map_err(StoreError::from)?;
        disk.clear()?;
        let mut load = Load::default();
        let (mut images, mut has_begun) = (0, false);
        // A million keys take a minute.
        let by = by + LOAD_TIMEOUT;
        let loaded = load_state(&*self.ledger, replica.generation, digesters, by, &mut |part| {
            let unwritten = |error| LedgerError::refused(format!("the replica cannot be written: {error}"));
            match part {
                StatePart::Begin if std::mem::replace(&mut has_begun, true) => {
                    (load, images) = (Load::default(), 0);
                    return disk.clear().map_err(unwritten);
                }
                StatePart::Begin => return Ok(()),
                StatePart::Record(record, frame) => load.record(record, frame),
                StatePart::Named(record, frame) => load.named(record.id(), frame),
                StatePart::Outcome(name, frame) => load.outcome(name, frame),
            }
            images += 1;
            if images % LOADED == 0 {
                disk.load(std::mem::take(&mut load)).map_err(unwritten)?;
            }
            Ok(())
        });
        let head = loaded.map_err(|error| JoinError::Ledger(self.ledger.name(), error))?;
        disk.load(load)?;
        let checkpoint = Checkpoint { number: head.number, digest: head.digest };
        disk.set_head(
            &codec::encode(&head).map_err(StoreError::from)?,
            &codec::encode(&checkpoint).map_err(StoreError::from)?,
        )?;
        disk.checkpoint().map_err(StoreError::from)?;
        Ok(())
    }
}
