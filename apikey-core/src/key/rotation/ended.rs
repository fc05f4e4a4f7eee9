//! The newest secret of a key that has ended by a rotation. The store keeps its digest for some time, to tell its holder and
//! the operator that the key was rotated.

use crate::key::change::Action;
use crate::key::record::{Record, SecretEnd, StoredEnded, StoredSecret};
use crate::key::rotation::overlap::Overlap;

/// Keeps the newest superseded secret that a change has ended, for so many milliseconds, in the record after it. A change that
/// ends all secrets at once, because one may have leaked, keeps none.
pub(crate) fn keep_ended(before: &Record, after: &mut Record, action: &Action, now: i64, keep_ms: i64) {
    if let Action::Rotate { overlap: Overlap::None, .. } | Action::Replace { .. } = action {
        after.ended = None;
        return;
    }
    let is_gone = |secret: &&StoredSecret| !after.secrets.iter().any(|kept| kept.digest == secret.digest);
    // The first use of a secret that waited for its delivery ends one that had no end yet.
    let by_use = matches!(action, Action::FirstUse { .. } | Action::Promote { .. });
    let has_ended = |secret: &&StoredSecret| secret.is_superseded() || (by_use && secret.end == SecretEnd::Never);
    let gone = before.secrets.iter().filter(is_gone).filter(has_ended);
    let Some(newest) = gone.filter(|secret| secret.is_kept()).max_by_key(|secret| secret.version) else { return };
    let ended_at = match newest.end {
        SecretEnd::At(end) => end.min(now),
        _ => now,
    };
    let is_newer = after.ended.as_ref().is_none_or(|held| held.version < newest.version);
    let ended = StoredEnded::of(newest, ended_at, keep_ms);
    if is_newer && ended.until > now {
        after.ended = Some(ended);
    }
}

/// The newest superseded secret of a record that has a time to end, as one that has ended then.
pub(crate) fn upcoming(record: &Record, keep_ms: i64) -> Option<StoredEnded> {
    let ends = record.secrets.iter().filter(|secret| secret.is_kept()).filter_map(|secret| match secret.end {
        SecretEnd::At(end) => Some(StoredEnded::of(secret, end, keep_ms)),
        _ => None,
    });
    ends.filter(|_| keep_ms > 0).max_by_key(|ended| ended.version)
}
