//! Arguments that several commands share, and the parsers of their values.

use apikey_core::{Overlap, RotationPolicy};
use chrono::TimeDelta;
use clap::Args;

use crate::time;

#[derive(Debug, Args)]
pub(crate) struct KeyArg {
    /// The key's id, as `apikey list` shows it
    pub(crate) id: String,
}

/// The rotation policy of a key.
#[derive(Debug, Args)]
pub(crate) struct RotationArgs {
    /// Rotate the key at this interval, such as 30d; `run-due` or a rotator in the service does it
    #[arg(long, value_name = "SPAN", value_parser = time::span)]
    pub(crate) rotate_every: Option<TimeDelta>,
    /// How long the old secret stays valid: a span or `first-use`; by default 24h, or half of the interval if that is
    /// shorter
    #[arg(long, value_name = "SPAN|first-use", value_parser = overlap, requires = "rotate_every")]
    pub(crate) rotate_overlap: Option<Overlap>,
}

impl RotationArgs {
    pub(crate) fn policy(&self) -> Option<RotationPolicy> {
        let policy = RotationPolicy::every(self.rotate_every?);
        Some(self.rotate_overlap.map_or(policy, |overlap| policy.overlap(overlap)))
    }
}

/// The rate limit and the networks of a key.
#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    /// The rate limit of the key, such as 100/1m
    #[arg(long, value_name = "COUNT/SPAN", value_parser = limit)]
    pub(crate) limit: Option<(u32, TimeDelta)>,
    /// A network from which the key may be used, such as 10.0.0.0/8; repeat it for more
    #[arg(long = "network", value_name = "CIDR")]
    pub(crate) networks: Vec<String>,
}

impl LimitArgs {
    pub(crate) fn networks(self) -> Option<Vec<String>> {
        (!self.networks.is_empty()).then_some(self.networks)
    }
}

pub(super) fn overlap(text: &str) -> Result<Overlap, String> {
    match text {
        "none" => Ok(Overlap::None),
        "first-use" => Ok(Overlap::UntilFirstUse),
        other => time::span(other)
            .map(Overlap::For)
            .map_err(|_| "a span such as 24h, `first-use` or `none` is expected".to_owned()),
    }
}

fn limit(text: &str) -> Result<(u32, TimeDelta), String> {
    let parsed = text.split_once('/').and_then(|(count, per)| Some((count.parse().ok()?, time::span(per).ok()?)));
    parsed.ok_or_else(|| "a number, `/` and a span are expected, as in 100/1m".to_owned())
}

pub(super) fn entry(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a name, `=` and a value are expected, as in team=blue")?;
    Ok((name.to_owned(), value.to_owned()))
}
