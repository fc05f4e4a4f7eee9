//! The views of how often keys were used: a report with its steps, and a list of keys.

use std::collections::BTreeMap;

use apikey_core::{Covers, KeyUse, UsagePoint, UsageReport};
use chrono::{DateTime, Utc};

use super::print::{note, text};
use super::sparkline::sparkline;
use super::table::{self, Cell, counted};
use super::width::{self, LeavingOut, Narrowing};
use crate::failure::Failure;
use crate::time::{absolute, both};

const STEPS: [(&str, Narrowing); 3] =
    [("TIME", Narrowing::Short), ("USES", Narrowing::Never), ("REFUSALS", Narrowing::Text)];

const KEYS: [(&str, Narrowing); 6] = [
    ("ID", Narrowing::Id),
    ("OWNER", Narrowing::Text),
    ("TENANT", Narrowing::Text),
    ("NAME", Narrowing::Text),
    ("USES", Narrowing::Never),
    ("REFUSALS", Narrowing::Text),
];

/// The place of the tenant, which is left out if no key has one.
const TENANT: usize = 2;

/// A narrow terminal shows which key it is, and how often it was used, as long as it can.
const LEAVING_OUT: LeavingOut =
    LeavingOut { order: &["NAME", "TENANT", "REFUSALS", "OWNER"], dispensable: 0, advice: "--json shows all" };

/// Prints the sums, on a terminal a curve of the uses, and of the steps in which something was counted the newest.
pub(crate) fn print(report: &UsageReport, limit: usize) -> Result<(), Failure> {
    let now = Utc::now();
    text(&table::block(&sums(report, now), width::terminal()))?;
    let uses: Vec<u64> = report.points().iter().map(|point| point.uses).collect();
    if let Some(curve) = width::terminal().and_then(|width| sparkline(&uses, width)) {
        text(&curve)?;
    }
    let is_counted = |point: &&UsagePoint| point.uses > 0 || !point.refusals.is_empty();
    let mut points: Vec<&UsagePoint> = report.points().iter().rev().filter(is_counted).collect();
    let left_out = points.len().saturating_sub(limit);
    points.truncate(limit);
    if points.is_empty() {
        return Ok(());
    }
    let row = |point: &&UsagePoint| {
        let at = Cell::from(both(point.at, now)).or_short(absolute(point.at));
        vec![at, point.uses.to_string().into(), codes(&point.refusals).into()]
    };
    width::print(&STEPS, points.iter().map(row).collect(), None)?;
    if left_out > 0 {
        note(&format!("{left_out} earlier lines are left out: --limit"));
    }
    Ok(())
}

fn sums(report: &UsageReport, now: DateTime<Utc>) -> Vec<Vec<Cell>> {
    let row = |label: &str, value: String| vec![table::title(label), value.into()];
    let steps = u64::try_from(report.points().len()).unwrap_or(u64::MAX);
    let mut rows = vec![row("uses", report.uses().to_string()), row("refusals", refused(report.refusals()))];
    let ends = report.points().first().zip(report.points().last());
    if let Some((first, last)) = ends {
        let until = last.at + report.step().span();
        let until = if until < now { format!(" until {}", both(until, now)) } else { String::new() };
        let steps = counted(steps, report.step().name());
        rows.push(row("time", format!("{steps}, from {}{until}", both(first.at, now))));
    }
    rows.push(row("uses of all time", report.uses_total().to_string()));
    match report.covers() {
        Covers::AllNodes => rows.push(row("counted by", "all nodes".to_owned())),
        Covers::ThisNode => rows.push(row("counted by", "this node alone".to_owned())),
        _ => {}
    }
    rows
}

/// Prints the keys that were used most.
pub(crate) fn print_keys(keys: &[KeyUse]) -> Result<(), Failure> {
    let row = |key: &KeyUse| {
        let or = |text: &Option<String>| text.as_deref().unwrap_or("-").into();
        let (id, uses, refusals) = (key.key.to_string(), key.uses.to_string(), codes(&key.refusals));
        vec![id.into(), key.owner.as_str().into(), or(&key.tenant), or(&key.name), uses.into(), refusals.into()]
    };
    let mut columns = KEYS.to_vec();
    let mut rows: Vec<Vec<Cell>> = keys.iter().map(row).collect();
    if keys.iter().all(|key| key.tenant.is_none()) {
        columns.remove(TENANT);
        rows.iter_mut().for_each(|row| drop(row.remove(TENANT)));
    }
    width::print(&columns, rows, Some(&LEAVING_OUT))
}

/// `3 (2 rate_limited, 1 disabled_api_key)`.
fn refused(refusals: &BTreeMap<String, u64>) -> String {
    let sum: u64 = refusals.values().fold(0, |sum, count| sum.saturating_add(*count));
    if refusals.is_empty() { sum.to_string() } else { format!("{sum} ({})", codes(refusals)) }
}

/// `2 rate_limited, 1 disabled_api_key`, the most frequent first.
fn codes(refusals: &BTreeMap<String, u64>) -> String {
    let mut codes: Vec<_> = refusals.iter().collect();
    codes.sort_by(|(_, one), (_, other)| other.cmp(one));
    let codes: Vec<String> = codes.into_iter().map(|(code, count)| format!("{count} {code}")).collect();
    if codes.is_empty() { "-".to_owned() } else { codes.join(", ") }
}
