//! Arguments that several commands share, and the parsers of their values.

use std::convert::Infallible;

use apikey_core::admin::{Request, has_token};
use apikey_core::{Overlap, Quota, RotationPolicy};
use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use clap::Args;

use crate::failure::{Failure, shortened};
use crate::time;

#[derive(Debug, Args)]
pub(crate) struct KeyArg {
    /// The key's id, or the first characters of it or of the key's token, at least 4
    pub(crate) id: String,
}

/// The tenant of the keys that a command is about.
#[derive(Debug, Args)]
pub(crate) struct TenantArg {
    /// The tenant of the owner; without it the owner is one of no tenant
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
}

impl TenantArg {
    /// Refuses a tenant where no owner is named. clap cannot: it waives an option's requirement if the required option
    /// conflicts with one that was given.
    pub(super) fn check_used(&self, has_owner: bool) -> Result<(), Failure> {
        if self.tenant.is_none() || has_owner {
            return Ok(());
        }
        Err(Failure::usage("--tenant is for the keys of an owner, whom --owner names: an id needs no tenant"))
    }

    /// The request, about the keys of the tenant if there is one.
    pub(super) fn request(&self, request: Request) -> Request {
        in_tenant(self.tenant.as_deref(), request)
    }
}

/// The request, about the keys of this tenant if there is one.
pub(super) fn in_tenant(tenant: Option<&str>, request: Request) -> Request {
    match tenant {
        Some(tenant) => Request::InTenant { tenant: tenant.to_owned(), request: Box::new(request) },
        None => request,
    }
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

/// The rate limit, the quota and the networks of a key.
#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    /// The rate limit of the key, such as 100/1m
    #[arg(long, value_name = "COUNT/SPAN", value_parser = limit)]
    pub(crate) limit: Option<(u32, TimeDelta)>,
    /// The quota of the key: how much it may use in each calendar day or month, or in all, such as 10000/day, 10000/month
    /// or 500/total. Days and months are of UTC, or of an offset from it, such as 10000/day+01:00. Of a strict one, such as
    /// 500/total,strict, a crash gives nothing back
    #[arg(long, value_name = "COUNT/PERIOD", value_parser = quota)]
    pub(crate) quota: Option<Quota>,
    /// Networks from which the key may be used, such as 10.0.0.0/8, separated by commas
    #[arg(long = "network", value_name = "CIDR", value_delimiter = ',', value_parser = part)]
    pub(crate) networks: Vec<String>,
}

impl LimitArgs {
    pub(crate) fn networks(self) -> Option<Vec<String>> {
        (!self.networks.is_empty()).then_some(self.networks)
    }
}

/// One of several values that commas separate, without the space that people write after a comma.
pub(super) fn part(text: &str) -> Result<String, Infallible> {
    Ok(text.trim().to_owned())
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

pub(super) fn limit(text: &str) -> Result<(u32, TimeDelta), String> {
    let parsed = text.split_once('/').and_then(|(count, per)| Some((count.parse().ok()?, time::span(per).ok()?)));
    parsed.ok_or_else(|| "a number, `/` and a span are expected, as in 100/1m".to_owned())
}

pub(super) fn quota(text: &str) -> Result<Quota, String> {
    let (periods, is_strict) = text.strip_suffix(",strict").map_or((text, false), |periods| (periods, true));
    let parsed = periods.split_once('/').and_then(|(count, per)| {
        let count = count.parse().ok()?;
        if per == "total" {
            return Some(Quota::total(count));
        }
        let (quota, offset) = match per.split_at_checked("day".len())? {
            ("day", offset) => (Quota::per_day(count), offset),
            _ => (Quota::per_month(count), per.strip_prefix("month")?),
        };
        match offset {
            "" => Some(quota),
            // `+01:00`, and no shorter form.
            offset if offset.len() == "+01:00".len() => Some(quota.offset(offset.parse::<FixedOffset>().ok()?)),
            _ => None,
        }
    });
    parsed.map(|quota| if is_strict { quota.strict() } else { quota }).ok_or_else(|| {
        "a number, `/` and `day`, `month` or `total` are expected, as in 10000/day; days and months take an offset, as in \
         10000/day+01:00, and each may be strict, as in 500/total,strict"
            .to_owned()
    })
}

/// The time this long after now, for the option of this name.
pub(super) fn from_now(option: &str, span: TimeDelta) -> Result<DateTime<Utc>, Failure> {
    Utc::now().checked_add_signed(span).ok_or_else(|| Failure::usage(format!("{option}: the span is too long")))
}

/// Refuses two values for one name, of which one would be lost.
pub(super) fn check_entries(option: &str, entries: &[(String, String)], removed: &[String]) -> Result<(), Failure> {
    let names = || entries.iter().map(|(name, _)| name);
    let twice =
        names().enumerate().find(|(at, name)| names().take(*at).any(|other| other == *name)).map(|(_, name)| name);
    if let Some(name) = twice.filter(|name| !has_token(name)) {
        return Err(Failure::usage(format!("--{option} {} is given twice: give one value for it", shortened(name))));
    }
    match names().find(|name| removed.contains(name) && !has_token(name)) {
        Some(name) => Err(Failure::usage(format!(
            "--{option} and --without-{option} both name {}: give one of them",
            shortened(name)
        ))),
        None => Ok(()),
    }
}

pub(super) fn entry(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a name, `=` and a value are expected, as in team=blue")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_as_people_write_them() {
        let east = |minutes: i32| FixedOffset::east_opt(minutes * 60).unwrap();
        for (text, expected) in [
            ("10000/day", Quota::per_day(10_000)),
            ("1/month", Quota::per_month(1)),
            ("500/total", Quota::total(500)),
            ("10000/day+01:00", Quota::per_day(10_000).offset(east(60))),
            ("500/total,strict", Quota::total(500).strict()),
            ("1/day+01:00,strict", Quota::per_day(1).offset(east(60)).strict()),
            ("7/month-05:30", Quota::per_month(7).offset(east(-330))),
        ] {
            assert_eq!(quota(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "10000",
            "/day",
            "day/1",
            "-1/day",
            "1/week",
            "1/days",
            "1/day+1",
            "1/day+01",
            "1/day+25:00",
            "1/total+01:00",
            "1/day,",
            "1/day, strict",
            "1/day,strict,strict",
            "1/day,strict+01:00",
            ",strict",
            "1/day 01:00",
            "1.5/day",
            "1/d",
            "1/dä",
            "99999999999999999999/day",
        ] {
            assert!(quota(text).unwrap_err().contains("10000/day"), "{text}");
        }
    }
}
