//! A secret that waits for its delivery.
//!
//! A new secret can be read only once. If it became the current one at once, and its delivery failed or the process
//! died in between, the key's user would be locked out when the old secret ends. So a secret of automatic rotation
//! passes through these states:
//!
//! ```text
//!             Stage                Promote (its delivery, or its first use)
//! (made) ------------> pending ------------------------------------------> current
//!                         |                                                   |
//!                         | replaced, or the key is rotated by hand           | the next secret is promoted
//!                         v                                                   v
//!                       ended <---------------------------------------- superseded
//!                               its time (`At`), or the successor's first use (`FirstUse`)
//! ```
//!
//! | state | `SecretEnd` | verifies | responses mention a successor |
//! |---|---|---|---|
//! | pending | `Pending` | yes, and that makes it the current one | no |
//! | current | `Never` | yes | no, also while another one is pending |
//! | superseded | `At`, `FirstUse` | until its end | yes |
//! | ended | (erased) | no | |
//!
//! - The predecessor's overlap begins when the new secret becomes the current one, not when it is made: a delivery that
//!   takes days shortens no overlap.
//! - Staging waits for the end of an overlap, and lets at most [`MAX_PENDING`] secrets wait, so at most three are valid
//!   at any time. Two secrets wait only if a process died during a delivery, and the sink cannot report which secret it
//!   holds: the key's user may have the *doubtful* one.
//! - A delivery ends every other secret that waits: the sink holds this one now. A first use does not: another reader
//!   may have a secret that was delivered earlier, so that one ends as the predecessor does.
//! - Before the store ends a pending secret, it checks whether a caller has just used it; then the secret becomes the
//!   current one.

use crate::base::time::{LAST_MS, from_ms};
use crate::key::applied::{Applied, next_version};
use crate::key::error::{Conflict, StoreError};
use crate::key::event::kind::EventKind;
use crate::key::record::{Record, SecretEnd, StoredSecret};
use crate::key::rotation::overlap::OverlapEnd;

/// The most secrets of a key that wait at the same time.
const MAX_PENDING: usize = 2;

/// Adds a secret that waits. The newest of those that wait already stays if it is `doubtful`; the others end.
pub(crate) fn stage(
    record: &Record,
    secret: &StoredSecret,
    overlap_ms: Option<i64>,
    doubtful: bool,
    now: i64,
) -> Result<Applied, StoreError> {
    if let Some(conflict) = hindrance(record, now) {
        return Err(StoreError::Conflict(conflict));
    }
    let kept = if doubtful { MAX_PENDING - 1 } else { 0 };
    let waiting = record.live(now).filter(|secret| secret.is_pending()).count();
    let mut too_many = waiting.saturating_sub(kept);
    let mut ended = Vec::new();
    let mut secrets = Vec::new();
    for held in record.live(now) {
        if held.is_pending() && too_many > 0 {
            too_many -= 1;
            ended.push(held.version);
        } else {
            secrets.push(held.clone());
        }
    }
    let version = next_version(record)?;
    let end = SecretEnd::Pending { overlap_ms };
    secrets.push(StoredSecret { version, end, ..secret.clone() });
    let after = Record { version, secrets, ..record.clone() };
    Ok(Applied::changed(after, EventKind::Staged { version, ended }))
}

/// Returns the reason for which automatic rotation cannot give a key a new secret now.
pub(crate) fn hindrance(record: &Record, now: i64) -> Option<Conflict> {
    if record.revoked.is_some() {
        return Some(Conflict::Revoked);
    }
    if record.disabled {
        return Some(Conflict::Disabled);
    }
    if record.expired(now) {
        return Some(Conflict::Expired);
    }
    // While one secret waits, another may have been used and superseded the first, as a part of this rotation.
    let waiting = record.live(now).any(StoredSecret::is_pending);
    let newest = record.live(now).rfind(|secret| !secret.is_pending())?;
    let older = record.live(now).find(|secret| secret.is_superseded() && secret.version < newest.version)?;
    (!waiting).then_some(Conflict::Overlapping {
        until: match older.end {
            SecretEnd::At(end) => Some(from_ms(end)),
            _ => None,
        },
    })
}

/// Makes a secret that waits the current one.
pub(crate) fn promote(record: &Record, version: u32, now: i64, used: bool) -> Applied {
    let found = record.secrets.iter().find(|secret| secret.version == version);
    let Some(SecretEnd::Pending { overlap_ms }) = found.map(|secret| secret.end) else { return Applied::Unchanged };
    let (end, overlap) = match overlap_ms {
        Some(span) => {
            let end = now.saturating_add(span).min(LAST_MS);
            (SecretEnd::At(end), OverlapEnd::At(from_ms(end)))
        }
        None => (SecretEnd::FirstUse, OverlapEnd::FirstUse),
    };
    let mut ended = Vec::new();
    let mut secrets = Vec::new();
    for held in &record.secrets {
        let mut held = held.clone();
        if held.version == version {
            held.end = SecretEnd::Never;
            held.used |= used;
        } else if held.is_pending() && !used {
            ended.push(held.version);
            continue;
        } else if held.version < version {
            held.end = sooner(held.end, end);
            if used && held.end == SecretEnd::FirstUse {
                continue;
            }
        }
        secrets.push(held);
    }
    let after = Record { secrets, ..record.clone() };
    Applied::changed(after, EventKind::Promoted { version, overlap, ended, used })
}

/// Returns the sooner end: a secret's end is never postponed.
fn sooner(held: SecretEnd, end: SecretEnd) -> SecretEnd {
    match (held, end) {
        (SecretEnd::Never | SecretEnd::Pending { .. }, end) => end,
        (SecretEnd::At(held), SecretEnd::At(end)) => SecretEnd::At(held.min(end)),
        (held, _) => held,
    }
}
