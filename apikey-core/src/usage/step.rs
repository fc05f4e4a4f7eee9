//! The steps in which uses are counted.

use std::fmt;
use std::str::FromStr;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::key::error::StoreError;

/// A span of time in which a store counts uses, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// A minute, kept for a day: of the store, of tenants and owners, and of the thousand busiest keys of each half minute.
    Minute,
    /// An hour, kept for 14 days.
    Hour,
    /// A day, kept for 400 days.
    Day,
}

impl Step {
    pub(crate) const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// Returns how long the step is.
    #[must_use]
    pub fn span(self) -> TimeDelta {
        TimeDelta::minutes(self.minutes().into())
    }

    /// Returns how long a store keeps counts in this step.
    #[must_use]
    pub fn kept(self) -> TimeDelta {
        TimeDelta::minutes(i64::from(self.minutes()) * i64::from(self.kept_steps()))
    }

    /// Returns the name, as in JSON: `minute`, `hour`, `day`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    pub(crate) fn minutes(self) -> u32 {
        match self {
            Self::Minute => 1,
            Self::Hour => 60,
            Self::Day => 24 * 60,
        }
    }

    /// The steps that one row has: an hour of minutes, a day of hours, 32 days.
    pub(crate) fn steps_of_row(self) -> u32 {
        match self {
            Self::Minute => 60,
            Self::Hour => 24,
            Self::Day => 32,
        }
    }

    pub(crate) fn kept_steps(self) -> u32 {
        match self {
            Self::Minute => 24 * 60,
            Self::Hour => 14 * 24,
            Self::Day => 400,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Step {
    type Err = StoreError;

    fn from_str(name: &str) -> Result<Self, StoreError> {
        let step = Self::ALL.into_iter().find(|step| step.name() == name);
        step.ok_or_else(|| StoreError::invalid("step", name, "minute, hour, day"))
    }
}
