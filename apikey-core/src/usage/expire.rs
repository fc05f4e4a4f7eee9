//! Deletes rows that are old, or for which there is no room.

use std::ops::RangeInclusive;

use crate::key::error::StoreError;
use crate::storage::database::disk::Disk;
use crate::usage::row::{RowName, RowSpan, begin};
use crate::usage::step::Step;
use crate::usage::subject::UsageSubject;

/// Deletes the rows of every step that are older than the store keeps them at the minute `floor`, which is no later than the
/// present one even if the clock is ahead; then, as long as all rows take more than `bound` bytes, the oldest minutes, the
/// oldest hours, and the oldest days, but for the rows that still grow at the minute `now`. What is deleted is part of the rows
/// of coarser steps. Sums of all time stay, whatever they take.
///
/// # Errors
/// The disk fails.
pub(crate) fn expire(disk: &Disk, [floor, now]: [u32; 2], bound: u64) -> Result<(), StoreError> {
    for step in Step::ALL {
        let span = RowSpan::Steps(step);
        disk.delete_usage(&begin(span, 0), &begin(span, *rows_kept(step, floor).start()))?;
    }
    for step in Step::ALL {
        let (span, growing) = (RowSpan::Steps(step), *rows_kept(step, now).end());
        while disk.usage_bytes() > bound {
            let first = disk.usage_rows(&begin(span, 0), &begin(span, growing)).next().transpose()?;
            let Some(number) = first.and_then(|(name, _)| RowName::read(&name)).map(|name| name.number) else { break };
            disk.delete_usage(&begin(span, 0), &begin(span, number + 1))?;
        }
    }
    Ok(())
}

/// Deletes all rows of a key that was deleted.
///
/// # Errors
/// The disk fails.
pub(crate) fn forget(disk: &Disk, minute: u32, key: u128) -> Result<(), StoreError> {
    let subject = UsageSubject::key(key);
    let names = RowSpan::ALL.into_iter().flat_map(|span| {
        let numbers = match span {
            RowSpan::Ever => 0..=0,
            RowSpan::Steps(step) => rows_kept(step, minute),
        };
        numbers.map(move |number| RowName { span, number, subject }.bytes())
    });
    disk.delete_usage_rows(names)
}

/// The numbers of the rows of a step that a store may have.
pub(crate) fn rows_kept(step: Step, minute: u32) -> RangeInclusive<u32> {
    let at = minute / step.minutes();
    at.saturating_sub(step.kept_steps()) / step.steps_of_row()..=at / step.steps_of_row()
}
