//! The pepper for new secrets: the cluster uses a newer one once every node has it.

use std::time::Instant;

use crate::cluster::format::presence::Presence;
use crate::cluster::format::settings::ClusterSettings;
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::ledger::{Cell, CellKind, CellName, Sight};
use crate::cluster::node::shared::Node;
use crate::commit::engine::Engine;
use crate::token::digest::Digester;

impl Node {
    /// Uses the pepper that the cluster uses. Returns why the node cannot; `None` if it does.
    pub(in crate::cluster::node) fn follow_pepper(
        &self,
        engine: &Engine,
        settings: &ClusterSettings,
    ) -> Option<String> {
        let mut writer = engine.writer();
        if writer.pepper == Some(settings.pepper) {
            return None;
        }
        // A lower one was retired, and without one anybody could write what this node would not believe.
        if writer.pepper.is_some_and(|current| settings.pepper < current) {
            return Some(format!(
                "the settings of the cluster name pepper {}, and it used a newer one: somebody has changed them",
                settings.pepper
            ));
        }
        if !writer.digesters.iter().any(|digester| digester.pepper() == settings.pepper) {
            return Some(format!(
                "the cluster uses pepper {} for new secrets, and this node does not have it",
                settings.pepper
            ));
        }
        writer.pepper = Some(settings.pepper);
        None
    }

    /// Raises the number of the cluster's pepper to the newest one that every listed node has. A node that registers
    /// meanwhile without it stops at its first look.
    pub(super) fn raise_pepper(
        &self,
        engine: &Engine,
        sight: &Sight,
        cells: &[Cell],
        by: Instant,
    ) -> Result<(), LedgerError> {
        let Some((value, Ok(settings))) = sight.meta.as_ref().map(|value| (value, ClusterSettings::decode(value)))
        else {
            return Ok(());
        };
        let listed = cells.iter().filter(|cell| cell.cell.kind == CellKind::Presence);
        // A presence that does not decode may have any.
        let newest = listed.map(|cell| Presence::decode(&cell.value).map_or(0, |presence| presence.pepper)).min();
        let digesters = engine.writer().digesters.clone();
        let Some(newest) = newest.filter(|newest| *newest > settings.pepper && settings.pepper > 0) else {
            return Ok(());
        };
        let Some(digester) = digesters.iter().find(|digester| digester.pepper() == newest) else { return Ok(()) };
        let mut raised = settings;
        raised.pepper = newest;
        let known = raised.peppers.entry(newest).or_insert_with(|| Digester::check_value(digester));
        if *known != digester.check_value() {
            return Ok(());
        }
        let next = raised.encode().map_err(|error| LedgerError::refused(error.to_string()))?;
        if self.ledger.swap(&CellName::meta(), Some(value), Some(&next), by)? {
            tracing::info!(name: "apikey.cluster", target: "apikey", pepper = newest, "every node has this pepper, and the cluster uses it for new secrets");
        }
        Ok(())
    }
}
