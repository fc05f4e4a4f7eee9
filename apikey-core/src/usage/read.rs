//! Reads counts: the rows of the disk, and what waits in memory.

use std::collections::{BTreeMap, HashMap};

use crate::access::identity::owner_of;
use crate::base::codec;
use crate::base::time::from_ms;
use crate::index::counts::pending::{KeyCount, MinuteCounts, Pending};
use crate::key::error::StoreError;
use crate::storage::database::disk::Disk;
use crate::usage::chunk::{Chunk, Counts};
use crate::usage::code;
use crate::usage::report::UsagePoint;
use crate::usage::row::{RowName, RowSpan, begin};
use crate::usage::step::Step;
use crate::usage::subject::UsageSubject;

/// The names of the rows that have the counts of a subject from one minute to another, and of all time.
pub(crate) fn rows_of(subject: UsageSubject, (first, last, step): Minutes) -> Vec<RowName> {
    let row = |minute: u32| minute / step.minutes() / step.steps_of_row();
    let steps = (row(first)..=row(last)).map(|number| RowName { span: RowSpan::Steps(step), number, subject });
    steps.chain([RowName { span: RowSpan::Ever, number: 0, subject }]).collect()
}

/// Reads the counts of a subject in every step from one minute to another, and its uses since the store counts. `others` are
/// rows of the same names that other stores have.
///
/// # Errors
/// The disk fails.
pub(crate) fn series(
    disk: &Disk,
    waiting: Vec<(u32, Counts)>,
    others: impl IntoIterator<Item = (RowName, Chunk)>,
    subject: UsageSubject,
    minutes: Minutes,
) -> Result<(Vec<UsagePoint>, u64), StoreError> {
    let mut rows = Vec::new();
    for name in rows_of(subject, minutes) {
        if let Some(row) = disk.usage_row(&name.bytes())? {
            rows.push((name, codec::decode(&row).unwrap_or_default()));
        }
    }
    let (first, last, step) = minutes;
    let (first, last) = (first / step.minutes(), last / step.minutes());
    let (mut total, mut steps): (u64, BTreeMap<u32, Counts>) = (0, BTreeMap::new());
    for (RowName { span, number, .. }, Chunk { steps: counted }) in rows.into_iter().chain(others) {
        for (at, counts) in counted {
            match span {
                RowSpan::Ever => total = total.saturating_add(counts.uses),
                RowSpan::Steps(_) => {
                    let at = number.saturating_mul(step.steps_of_row()).saturating_add(at.into());
                    steps.entry(at).or_default().add(&counts);
                }
            }
        }
    }
    for (minute, counts) in waiting {
        total = total.saturating_add(counts.uses);
        steps.entry(minute / step.minutes()).or_default().add(&counts);
    }
    let point = |at: u32| {
        let Counts { uses, refusals } = steps.remove(&at).unwrap_or_default();
        UsagePoint { at: from_ms(i64::from(at) * step.span().num_milliseconds()), uses, refusals: by_code(&refusals) }
    };
    Ok(((first..=last).map(point).collect(), total))
}

/// What waits of one subject, by minute.
pub(crate) fn waiting(pending: &Pending, subject: UsageSubject) -> Vec<(u32, Counts)> {
    pending.minutes.iter().map(|(minute, counts)| (*minute, of_subject(counts, subject))).collect()
}

fn of_subject(counts: &MinuteCounts, subject: UsageSubject) -> Counts {
    let mut sum = Counts::default();
    if let Some(key) = subject.as_key() {
        sum.uses = counts.uses.get(&key).map_or(0, |uses| uses.count);
        for ((_, code), refused) in counts.refusals.iter().filter(|((refused, _), _)| *refused == key) {
            sum.refuse(code::number(code), refused.count);
        }
        return sum;
    }
    // Many keys of an owner share an identity.
    let mut known = HashMap::new();
    let mut is_of = |count: &KeyCount| {
        *known.entry(count.identity).or_insert_with(|| {
            let owner = owner_of(count.identity);
            subject == UsageSubject::STORE
                || subject == UsageSubject::owner(owner)
                || owner.tenant.is_some_and(|tenant| subject == UsageSubject::tenant(tenant))
        })
    };
    sum.uses = counts.uses.values().filter(|count| is_of(count)).map(|count| count.count).sum();
    for ((_, code), refused) in counts.refusals.iter().filter(|(_, count)| is_of(count)) {
        sum.refuse(code::number(code), refused.count);
    }
    if subject == UsageSubject::STORE {
        sum.uses += counts.other_uses;
        counts.other_refusals.iter().for_each(|(code, count)| sum.refuse(code::number(code), *count));
    }
    sum
}

/// From one minute to another, and the step.
pub(crate) type Minutes = (u32, u32, Step);

/// What waits of each key from one minute to another, in whole steps.
pub(crate) fn waiting_by_key(pending: &Pending, (first, last, step): Minutes) -> HashMap<u128, Counts> {
    let (first, last) = (first / step.minutes(), last / step.minutes());
    let mut keys: HashMap<u128, Counts> = HashMap::new();
    for (_, counts) in pending.minutes.iter().filter(|(minute, _)| (first..=last).contains(&(*minute / step.minutes())))
    {
        for (key, uses) in &counts.uses {
            keys.entry(*key).or_default().add(&Counts::of_uses(uses.count));
        }
        for ((key, code), refused) in &counts.refusals {
            keys.entry(*key).or_default().refuse(code::number(code), refused.count);
        }
    }
    keys
}

/// Adds how often each key was used from one minute to another, in whole steps, as far as it is on the disk.
///
/// # Errors
/// The disk fails.
pub(crate) fn by_key(
    disk: &Disk,
    mut keys: HashMap<u128, Counts>,
    (first, last, step): Minutes,
) -> Result<HashMap<u128, Counts>, StoreError> {
    let (first, last) = (first / step.minutes(), last / step.minutes());
    let span = RowSpan::Steps(step);
    let rows = disk.usage_rows(&begin(span, first / step.steps_of_row()), &begin(span, last / step.steps_of_row() + 1));
    for item in rows {
        let (name, row) = item?;
        let Some((name, key)) = RowName::read(&name).and_then(|name| Some((name, name.subject.as_key()?))) else {
            continue;
        };
        let chunk: Chunk = codec::decode(&row).unwrap_or_default();
        for (at, counts) in chunk.steps {
            let at = name.number * step.steps_of_row() + u32::from(at);
            if (first..=last).contains(&at) {
                keys.entry(key).or_default().add(&counts);
            }
        }
    }
    Ok(keys)
}

/// Reads how often a subject was used since the store counts, as far as it is on the disk.
///
/// # Errors
/// The disk fails.
pub(crate) fn stored_total(disk: &Disk, subject: UsageSubject) -> Result<u64, StoreError> {
    let (name, at) = RowName::of(RowSpan::Ever, 0, subject);
    let chunk: Option<Chunk> = disk.usage_row(&name.bytes())?.and_then(|row| codec::decode(&row).ok());
    Ok(chunk.and_then(|chunk| chunk.steps.get(&at).map(|counts| counts.uses)).unwrap_or(0))
}

pub(crate) fn by_code(refusals: &BTreeMap<u8, u64>) -> BTreeMap<String, u64> {
    let mut by_code = BTreeMap::new();
    for (number, count) in refusals {
        *by_code.entry(code::code(*number).to_owned()).or_default() += *count;
    }
    by_code
}
