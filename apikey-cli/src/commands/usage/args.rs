//! The options of `apikey usage`.

use apikey_core::admin::MAX_MOST_USED;
use apikey_core::{Step, Usage};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};

use crate::time;

#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// The key's id, or the first characters of it or of the key's token, at least 4; without it and without --owner and
    /// --tenant, all keys of the store
    #[arg(conflicts_with_all = ["owner", "tenant", "most_used"])]
    pub(crate) id: Option<String>,
    /// All keys of this owner
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// All keys of this tenant, or with --owner those of its owner; without it the owner is one of no tenant
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    /// Counts since this time, such as 2027-01-31, or since a span ago, such as 7d; by default since a day ago
    #[arg(long, value_name = "TIME|SPAN", value_parser = time::past)]
    pub(crate) since: Option<DateTime<Utc>>,
    /// Counts until this time, or until a span ago; the step that it is in is the last
    #[arg(long, value_name = "TIME|SPAN", value_parser = time::past)]
    pub(crate) until: Option<DateTime<Utc>>,
    /// How long a step is: the store keeps minutes for a day, hours for 14 days and days for 400 days; by default hours, and
    /// days if --since is longer ago than 14 days
    #[arg(long, value_parser = PossibleValuesParser::new(STEPS.map(Step::name)).map(step))]
    pub(crate) step: Option<Step>,
    /// At most this many lines of steps, the newest ones
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: u64,
    /// The keys of the store that were used most, at most this many; by default 10
    #[arg(
        long,
        value_name = "COUNT",
        num_args = 0..=1,
        default_missing_value = "10",
        value_parser = clap::value_parser!(u64).range(1..=MAX_MOST_USED as u64),
        conflicts_with_all = ["owner", "tenant", "until", "step", "limit"]
    )]
    pub(crate) most_used: Option<u64>,
}

const STEPS: [Step; 3] = [Step::Minute, Step::Hour, Step::Day];
/// How long before its end a report begins by default, and `--most-used` before now.
pub(super) const DEFAULT_SPAN: TimeDelta = TimeDelta::days(1);
/// How much earlier than the oldest hour a report by the hour may begin: the store's clock is not this one.
const TOLERANCE: TimeDelta = TimeDelta::minutes(1);

/// The step with this name. clap has rejected every other name.
fn step(name: String) -> Step {
    STEPS.into_iter().find(|step| step.name() == name).unwrap_or(Step::Hour)
}

impl UsageArgs {
    /// Whether the report begins before the oldest hour that a store keeps.
    pub(super) fn is_before_hours(&self) -> bool {
        let since = self.since.or_else(|| self.until?.checked_sub_signed(DEFAULT_SPAN));
        since.is_some_and(|since| Utc::now().signed_duration_since(since) > Step::Hour.kept() + TOLERANCE)
    }

    /// The question about these keys.
    pub(super) fn question(&self, of: Usage, step: Step) -> Usage {
        let of = self.since.into_iter().fold(of, Usage::since);
        self.until.into_iter().fold(of, Usage::until).step(step)
    }
}
