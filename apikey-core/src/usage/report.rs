//! What a store answers about usage.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::token::key_id::KeyId;
use crate::usage::step::Step;

/// How often keys were used and refused, in steps that follow each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageReport {
    step: Step,
    #[serde(default)]
    covers: Covers,
    uses: u64,
    #[serde(default)]
    uses_total: u64,
    refusals: BTreeMap<String, u64>,
    points: Vec<UsagePoint>,
}

impl UsageReport {
    pub(crate) fn new(step: Step, covers: Covers, uses_total: u64, points: Vec<UsagePoint>) -> Self {
        let mut refusals = BTreeMap::new();
        for (code, count) in points.iter().flat_map(|point| &point.refusals) {
            let held: &mut u64 = refusals.entry(code.clone()).or_default();
            *held = held.saturating_add(*count);
        }
        let uses = points.iter().fold(0, |sum: u64, point| sum.saturating_add(point.uses));
        Self { step, covers, uses, uses_total, refusals, points }
    }

    /// Returns the step.
    #[must_use]
    pub fn step(&self) -> Step {
        self.step
    }

    /// Returns what has made these counts: in a cluster, all nodes or one.
    #[must_use]
    pub fn covers(&self) -> Covers {
        self.covers
    }

    /// Returns the number of successful verifications in all steps.
    #[must_use]
    pub fn uses(&self) -> u64 {
        self.uses
    }

    /// Returns the number of successful verifications since the store counts, also those before the first step, and of steps
    /// that are gone.
    #[must_use]
    pub fn uses_total(&self) -> u64 {
        self.uses_total
    }

    /// Returns the refusals in all steps, by their [code](crate::AuthError::code).
    #[must_use]
    pub fn refusals(&self) -> &BTreeMap<String, u64> {
        &self.refusals
    }

    /// Returns every step from the first to the last, also those in which nothing was counted.
    #[must_use]
    pub fn points(&self) -> &[UsagePoint] {
        &self.points
    }
}

/// The part of a cluster that has made the counts of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Covers {
    /// The store's, which is in no cluster.
    #[default]
    Store,
    /// Those of all nodes of a cluster: everything that this node had counted before the call, and what the others had
    /// made known by then, which is half a minute behind, or more if very many owners call.
    AllNodes,
    /// Those of this node alone. So it is with counts of one key, and of minutes; and with others while the engine of the cluster
    /// does not answer.
    ThisNode,
}

impl Covers {
    /// Returns the name, as in JSON: `store`, `all_nodes`, `this_node`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::AllNodes => "all_nodes",
            Self::ThisNode => "this_node",
        }
    }
}

/// The uses and refusals of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UsagePoint {
    /// The time at which the step begins.
    pub at: DateTime<Utc>,
    /// The number of successful verifications.
    pub uses: u64,
    /// The refusals, by their [code](crate::AuthError::code).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refusals: BTreeMap<String, u64>,
}

/// How often one key was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeyUse {
    /// The key.
    pub key: KeyId,
    /// Its tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Its owner.
    pub owner: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The number of successful verifications.
    pub uses: u64,
    /// The refusals, by their [code](crate::AuthError::code).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refusals: BTreeMap<String, u64>,
}
