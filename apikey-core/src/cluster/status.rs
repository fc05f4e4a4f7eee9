//! The state of a cluster, read from its ledger without being a node of it.

use std::time::{Duration, Instant};

use crate::cluster::config::Cluster;
use crate::cluster::format::settings::ClusterSettings;
use crate::cluster::ledger::CellKind;
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::listed_nodes::listed_nodes;
use crate::commit::cluster::health::NodeHealth;

/// How long each call to the ledger may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The state of a cluster, as its ledger has it: [`Cluster::status`] returns it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct ClusterStatus {
    /// The engine that holds the log.
    pub engine: String,
    /// The generation of the log: 1 at first, and one more after each restore.
    pub generation: u64,
    /// Whether the keys are being replaced: no node opens meanwhile. If the program that replaces them was cut off, it has
    /// to be run again.
    pub replacing: bool,
    /// How old a replica may be that still serves.
    pub max_staleness: Duration,
    /// The prefixes of the cluster's tokens; new tokens have the first.
    pub prefixes: Vec<String>,
    /// The number of the pepper for new secrets, 0 for none.
    pub pepper: u32,
    /// The number of the log's last event.
    pub head: u64,
    /// The number of the event at which the state stands, from which new nodes load.
    pub state: u64,
    /// The log has every event after this one.
    pub floor: u64,
    /// The bytes that the engine holds, and those at which it refuses writes, where it tells.
    pub space: Option<(u64, u64)>,
    /// The nodes that may serve.
    pub nodes: Vec<NodeHealth>,
}

impl Cluster {
    /// Reads the state of the cluster from the ledger; `None` if there is no cluster. It opens no store and takes no part:
    /// for tools.
    ///
    /// # Errors
    /// What [`Ledger::sight`](crate::cluster::Ledger::sight) and [`Ledger::cells`](crate::cluster::Ledger::cells) say, and
    /// [`LedgerError::Damaged`] if the settings of the cluster do not decode, or its log is missing.
    pub fn status(&self) -> Result<Option<ClusterStatus>, LedgerError> {
        let by = Instant::now() + PATIENCE;
        let damaged = |what: String| LedgerError::Damaged { what };
        let Some(value) = self.ledger.sight(0, by)?.meta else { return Ok(None) };
        let settings = ClusterSettings::decode(&value)
            .map_err(|error| damaged(format!("the settings of the cluster do not decode: {error}")))?;
        let generation = settings.generation;
        let sight = self.ledger.sight(generation, by)?;
        let head = sight.head.ok_or_else(|| damaged(format!("the log of generation {generation} is missing")))?;
        let cells = self.ledger.cells(generation, &[CellKind::Presence, CellKind::Acknowledgement], by)?;
        Ok(Some(ClusterStatus {
            engine: self.ledger.name(),
            generation,
            replacing: settings.is_sealed,
            max_staleness: settings.bound(),
            prefixes: [settings.prefix].into_iter().chain(settings.accepted).collect(),
            pepper: settings.pepper,
            head: head.number,
            state: sight.state.map_or(0, |state| state.number),
            floor: sight.floor,
            space: sight.space.map(|space| (space.used, space.quota)),
            nodes: listed_nodes(&cells),
        }))
    }
}
