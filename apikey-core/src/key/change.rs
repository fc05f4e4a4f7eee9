//! Every change to a key, as data, and the one function that applies it.
//!
//! A change contains its time, id and secret, which are chosen before, so that applying it to equal records gives equal
//! results everywhere.

use crate::access::idle::StoredIdle;
use crate::access::limit::StoredLimit;
use crate::access::quota::StoredQuota;
use crate::base::patch::Patch;
use crate::base::time;
use crate::key::applied::Applied;
use crate::key::applied::next_version;
use crate::key::entries_patch::EntriesPatch;
use crate::key::error::{Conflict, StoreError};
use crate::key::event::actor::Origin;
use crate::key::event::changes::Changes;
use crate::key::event::kind::EventKind;
#[cfg(feature = "cluster")]
use crate::key::evidence::reapplied;
use crate::key::idempotency::IdempotentRequest;
use crate::key::lifetime;
use crate::key::lifetime::{FIXED, Lifetime};
use crate::key::named::change::NamedAction;
use crate::key::record::{Record, Revocation, SecretEnd, SecretForm, StoredPolicy, StoredSecret};
use crate::key::rotation::overlap::Overlap;
use crate::key::rotation::overlap::OverlapEnd;
use crate::key::rotation::pending;
use crate::key::scope::Scope;
use crate::key::subject::Subject;
use crate::token::digest::Digest;

#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) id: u128,
    pub(crate) at: i64,
    /// The actor, for the event.
    pub(crate) origin: Origin,
    pub(crate) scope: Scope,
    pub(crate) action: Action,
    /// The idempotent request that this change carries out, if there is one.
    pub(crate) idempotency: Option<IdempotentRequest>,
}

#[derive(Debug, Clone)]
pub(crate) enum Action {
    Create(Box<Record>),
    Update(Box<Fields>),
    /// Adds a secret. Applying the change sets the secret's version.
    Rotate {
        secret: StoredSecret,
        overlap: Overlap,
    },
    /// Replaces the newest secret, which nobody has used.
    Repeat {
        secret: StoredSecret,
        overlap: Overlap,
    },
    FirstUse {
        version: u32,
        /// The secret that it has ended, whatever the record says of that by now.
        ended: Option<Digest>,
    },
    /// Adds a secret that waits for its delivery; see [`crate::key::rotation::pending`].
    Stage {
        secret: StoredSecret,
        overlap_ms: Option<i64>,
        /// Whether a secret that waits already may have been delivered.
        doubtful: bool,
    },
    /// Makes the secret of this version, which was delivered, the current one.
    Promote {
        version: u32,
    },
    /// Ends every secret of a key that leaked, and adds another. Applying the change sets the new secret's version.
    Replace {
        secret: StoredSecret,
        reason: String,
    },
    EraseEnded,
    /// Sets the store's time back. It concerns no key.
    AcceptClock {
        from: i64,
        to: i64,
    },
    /// Records that the store is about to delete the oldest events. It concerns no key.
    PurgeEvents {
        last: u64,
    },
    Revoke {
        reason: String,
    },
    /// Makes a use of a key with an idle end known to all that have the key.
    #[cfg(feature = "cluster")]
    InUse {
        used_at: i64,
    },
    /// Takes from a key again what the engine of its cluster has lost: this is what is left of it.
    #[cfg(feature = "cluster")]
    Reapply(Box<Record>),
    Purge,
    /// It concerns no key.
    Named(NamedAction),
}

impl Change {
    /// The subject that it changes.
    pub(crate) fn subject(&self) -> Subject {
        match self.action {
            Action::AcceptClock { .. } | Action::PurgeEvents { .. } => Subject::Store,
            Action::Named(_) => Subject::Named(self.id),
            _ => Subject::Key(self.id),
        }
    }
}

/// The fields to set, which the call has checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields {
    pub(crate) name: Patch<String>,
    pub(crate) permissions: Option<Vec<String>>,
    pub(crate) add_permissions: Vec<String>,
    pub(crate) remove_permissions: Vec<String>,
    pub(crate) roles: Option<Vec<String>>,
    pub(crate) add_roles: Vec<String>,
    pub(crate) remove_roles: Vec<String>,
    pub(crate) not_before: Patch<i64>,
    pub(crate) expires_at: Patch<i64>,
    pub(crate) disabled: Option<bool>,
    pub(crate) metadata: EntriesPatch,
    pub(crate) labels: EntriesPatch,
    pub(crate) limit: Patch<StoredLimit>,
    pub(crate) quota: Patch<StoredQuota>,
    /// `Clear` allows the key from anywhere.
    pub(crate) networks: Patch<Vec<String>>,
    pub(crate) policy: Patch<StoredPolicy>,
    /// In milliseconds.
    pub(crate) idle_after: Patch<i64>,
    pub(crate) lifetime: Lifetime,
}

/// Applies a change to the current record.
pub(crate) fn apply(current: Option<&Record>, change: &Change) -> Result<Applied, StoreError> {
    let found = current.ok_or(StoreError::NotFound(crate::KeyId::from_u128(change.id)));
    match &change.action {
        Action::Create(record) => Ok(Applied::Changed {
            event: Box::new(match record.secrets.last().map(|secret| &secret.form) {
                Some(SecretForm::Imported(_)) => EventKind::Imported,
                _ => EventKind::Created,
            }),
            after: Some(record.clone()),
        }),
        Action::Update(fields) => update(found?, fields, change.at),
        Action::Rotate { secret, overlap } => rotate(found?, secret, *overlap, false, change.at),
        Action::FirstUse { version, ended } => {
            Ok(current.map_or(Applied::Unchanged, |record| first_use(record, *version, ended.as_ref(), change.at)))
        }
        Action::Stage { secret, overlap_ms, doubtful } => {
            pending::stage(found?, secret, *overlap_ms, *doubtful, change.at)
        }
        Action::Promote { version } => {
            Ok(current.map_or(Applied::Unchanged, |record| pending::promote(record, *version, change.at, false)))
        }
        Action::Replace { secret, reason } => replace(found?, secret, reason),
        Action::Repeat { secret, overlap } => rotate(found?, secret, *overlap, true, change.at),
        Action::EraseEnded => Ok(current.map_or(Applied::Unchanged, |record| erase_ended(record, change.at))),
        Action::AcceptClock { from, to } => {
            Ok(Applied::none(EventKind::ClockAccepted { from: time::from_ms(*from), to: time::from_ms(*to) }))
        }
        // Roles have an `apply` of their own.
        Action::Named(_) => Ok(Applied::Unchanged),
        Action::PurgeEvents { last } => Ok(Applied::none(EventKind::EventsPurged { last: *last })),
        Action::Revoke { reason } => Ok(revoke(found?, reason, change.at)),
        #[cfg(feature = "cluster")]
        Action::InUse { used_at } => Ok(current.map_or(Applied::Unchanged, |record| in_use(record, *used_at))),
        #[cfg(feature = "cluster")]
        Action::Reapply(after) => {
            Ok(reapplied(found?, after).map_or(Applied::Unchanged, |event| Applied::changed((**after).clone(), event)))
        }
        Action::Purge => Ok(current.map_or(Applied::Unchanged, |_| Applied::none(EventKind::Purged))),
    }
}

fn update(record: &Record, fields: &Fields, now: i64) -> Result<Applied, StoreError> {
    if record.revoked.is_some() {
        return Err(StoreError::Conflict(Conflict::Revoked));
    }
    let mut after = record.clone();
    after.name = fields.name.clone().apply(after.name);
    if let Some(permissions) = &fields.permissions {
        after.permissions.clone_from(permissions);
    }
    change_grants(&mut after.permissions, fields)?;
    change_roles(&mut after.roles, fields)?;
    after.not_before = fields.not_before.apply(after.not_before);
    if let Patch::Set(start) = fields.not_before
        && fields.expires_at.apply(record.expires_at).is_some_and(|end| end <= start)
    {
        return Err(StoreError::invalid("not_before", &time::from_ms(start).to_string(), "times before expires_at"));
    }
    if let Patch::Set(end) = fields.expires_at {
        if after.not_before.is_some_and(|start| end <= start) {
            return Err(StoreError::invalid("expires_at", &time::from_ms(end).to_string(), "times after not_before"));
        }
        if end <= now && record.expires_at != Some(end) {
            return Err(time::has_come("expires_at", end).into());
        }
    }
    after.expires_at = fields.expires_at.apply(after.expires_at);
    if let Some(disabled) = fields.disabled {
        after.disabled = disabled;
    }
    fields.metadata.apply(&mut after.metadata);
    let mark = record.metadata.get(FIXED);
    // A caller may send back what it has read.
    if fields.metadata.names(FIXED) && after.metadata.get(FIXED) != mark {
        return Err(lifetime::reserved());
    }
    // It stays when a caller removes all metadata.
    after.metadata.extend(mark.map(|mark| (FIXED.to_owned(), mark.clone())));
    after.policy = fields.policy.apply(after.policy);
    if !fields.expires_at.is_keep() || !fields.policy.is_keep() {
        fields.lifetime.check(&after)?;
    }
    if !fields.metadata.is_keep() {
        crate::key::bounds::metadata(&after.metadata)?;
    }
    fields.labels.apply(&mut after.labels);
    if !fields.labels.is_keep() {
        crate::key::bounds::labels(&after.labels)?;
    }
    after.limit = fields.limit.clone().apply(after.limit);
    after.quota = fields.quota.clone().apply(after.quota);
    match &fields.networks {
        Patch::Keep => {}
        Patch::Clear => after.networks.clear(),
        // A caller may send back that the key has none, and must not lift its bound by an empty list.
        Patch::Set(networks) if networks.is_empty() => {
            if !record.networks.is_empty() {
                crate::key::bounds::networks(networks)?;
            }
        }
        Patch::Set(networks) => after.networks.clone_from(networks),
    }
    after.idle = idle_after(record, &after, fields, now);
    if after == *record {
        return Ok(Applied::Unchanged);
    }
    let changes = Changes::between(record, &after);
    let event = match (record.disabled, after.disabled) {
        (false, true) => EventKind::Disabled { changes },
        (true, false) => EventKind::Enabled { changes },
        _ => EventKind::Updated { changes },
    };
    Ok(Applied::changed(after, event))
}

/// The idle end that an update leaves. Its time begins anew if the update sets it, or makes the key valid.
fn idle_after(record: &Record, after: &Record, fields: &Fields, now: i64) -> Option<StoredIdle> {
    match fields.idle_after {
        Patch::Clear => None,
        Patch::Set(after_ms) => Some(StoredIdle { after_ms, since: now }),
        Patch::Keep => {
            let was_early = record.not_before.is_some_and(|start| now < start);
            let begins = (record.disabled && !after.disabled) || (was_early && record.not_before != after.not_before);
            record.idle.map(|idle| if begins { idle.begun_anew(now) } else { idle })
        }
    }
}

/// Removes grants from those that the key has now, and adds others.
fn change_grants(grants: &mut Vec<String>, fields: &Fields) -> Result<(), StoreError> {
    for grant in &fields.remove_permissions {
        let Some(at) = grants.iter().position(|held| held == grant) else {
            let allowed = "permissions of the key, written as the key has them";
            return Err(StoreError::invalid("remove_permissions", grant, allowed));
        };
        grants.remove(at);
    }
    if fields.add_permissions.is_empty() {
        return Ok(());
    }
    grants.extend_from_slice(&fields.add_permissions);
    *grants = crate::key::bounds::grants(grants)?;
    Ok(())
}

/// Sets the roles, or removes roles from those that the key has now, and adds others.
fn change_roles(roles: &mut Vec<String>, fields: &Fields) -> Result<(), StoreError> {
    if let Some(given) = &fields.roles {
        roles.clone_from(given);
    }
    for role in &fields.remove_roles {
        let Some(at) = roles.iter().position(|held| held == role) else {
            return Err(StoreError::invalid("remove_roles", role, "roles of the key"));
        };
        roles.remove(at);
    }
    if !fields.add_roles.is_empty() {
        let new: Vec<String> = fields.add_roles.iter().filter(|role| !roles.contains(role)).cloned().collect();
        roles.extend(new);
        *roles = crate::key::bounds::roles(roles)?;
    }
    Ok(())
}

fn rotate(
    record: &Record,
    secret: &StoredSecret,
    overlap: Overlap,
    replace: bool,
    now: i64,
) -> Result<Applied, StoreError> {
    let refused = |conflict| Err(StoreError::Conflict(conflict));
    if record.revoked.is_some() {
        return refused(Conflict::Revoked);
    }
    // One that ends every secret so far works on a disabled key, too: a leaked secret need not become valid again for it.
    if record.disabled && (overlap != Overlap::None || replace) {
        return refused(Conflict::Disabled);
    }
    if record.expired(now) {
        return refused(Conflict::Expired);
    }
    // The rotation drops a secret that waits for its delivery: nobody has used it, or it would be the current one.
    let mut live: Vec<StoredSecret> = record.live(now).filter(|secret| !secret.is_pending()).cloned().collect();
    let end = match overlap {
        Overlap::None => {
            live.clear();
            None
        }
        Overlap::For(span) => Some(SecretEnd::At(time::after("overlap", now, span)?)),
        Overlap::UntilFirstUse => Some(SecretEnd::FirstUse),
    };
    let overlapping = live.len() > 1;
    if replace {
        live.pop_if(|newest| newest.version == record.version);
    } else if overlapping {
        let until = live.first().and_then(|older| match older.end {
            SecretEnd::At(end) => Some(time::from_ms(end)),
            SecretEnd::FirstUse | SecretEnd::Never | SecretEnd::Pending { .. } => None,
        });
        if live.last().is_some_and(|newest| newest.used) {
            return refused(Conflict::Overlapping { until });
        }
        // Nobody has used the newest secret, whose delivery may have failed, so the new one replaces it.
        live.pop();
    }
    if let (Some(end), Some(newest)) = (end, live.last_mut()) {
        // In a restored store the newest secret may have an end already; this does not postpone it.
        newest.end = match (newest.end, end) {
            // A repeat of the same request postpones nothing.
            (_, end) if overlapping && !replace => end,
            (SecretEnd::At(held), SecretEnd::At(end)) => SecretEnd::At(held.min(end)),
            (held @ SecretEnd::At(_), _) => held,
            (_, end) => end,
        };
    }
    let version = next_version(record)?;
    let end = end.map(|end| live.last().map_or(end, |older| older.end));
    live.push(StoredSecret { version, ..secret.clone() });
    let after = Record { version, secrets: live, ..record.clone() };
    Ok(Applied::changed(after, EventKind::Rotated { version, overlap: end.and_then(OverlapEnd::of) }))
}

/// Replaces the secrets of a leaked key, even while it is disabled or expired: the key may become valid again, and its
/// leaked secret must not.
fn replace(record: &Record, secret: &StoredSecret, reason: &str) -> Result<Applied, StoreError> {
    if record.revoked.is_some() {
        return Err(StoreError::Conflict(Conflict::Revoked));
    }
    let version = next_version(record)?;
    let secrets = vec![StoredSecret { version, ..secret.clone() }];
    let after = Record { version, secrets, ..record.clone() };
    Ok(Applied::changed(after, EventKind::Replaced { version, reason: reason.to_owned() }))
}

/// `predecessor` is the secret that the use has ended. A rotation of another node may have replaced the used secret before
/// that knew of the use, and may have given the predecessor another end. What the use has ended stays so.
fn first_use(record: &Record, version: u32, predecessor: Option<&Digest>, now: i64) -> Applied {
    // A record that never had the used secret is of another history than the use.
    let predecessor = predecessor.filter(|_| record.version >= version);
    let remove = |secrets: &mut Vec<StoredSecret>| -> Vec<u32> {
        secrets.extract_if(.., |secret| Some(&secret.digest) == predecessor).map(|secret| secret.version).collect()
    };
    if record.secrets.iter().any(|secret| secret.version == version && secret.is_pending()) {
        let mut applied = pending::promote(record, version, now, true);
        if let Applied::Changed { after: Some(after), event } = &mut applied
            && let EventKind::Promoted { ended, .. } = &mut **event
        {
            ended.extend(remove(&mut after.secrets));
        }
        return applied;
    }
    let mut after = record.clone();
    // One that was replaced has not ended what ends by the first use of another.
    if record.secrets.iter().any(|secret| secret.version == version) {
        after.secrets.retain(|secret| secret.version >= version || secret.end != SecretEnd::FirstUse);
    }
    let ended = remove(&mut after.secrets);
    if let Some(secret) = after.secrets.iter_mut().find(|secret| secret.version == version) {
        secret.used = true;
    }
    if after == *record { Applied::Unchanged } else { Applied::changed(after, EventKind::FirstUsed { version, ended }) }
}

fn erase_ended(record: &Record, now: i64) -> Applied {
    let live: Vec<StoredSecret> = record.live(now).cloned().collect();
    let kept = record.ended.clone().filter(|ended| now < ended.until);
    if live.len() == record.secrets.len() && kept == record.ended {
        return Applied::Unchanged;
    }
    Applied::changed(Record { secrets: live, ended: kept, ..record.clone() }, EventKind::SecretsErased)
}

/// A use within the first quarter of the idle time changes nothing: those who do not know it wait for as much longer.
#[cfg(feature = "cluster")]
fn in_use(record: &Record, used_at: i64) -> Applied {
    let Some(idle) = record.idle.filter(|idle| used_at > idle.since.saturating_add(idle.step())) else {
        return Applied::Unchanged;
    };
    let after = Record { idle: Some(idle.begun_anew(used_at)), ..record.clone() };
    Applied::changed(after, EventKind::InUse { used_at: time::from_ms(used_at) })
}

fn revoke(record: &Record, reason: &str, now: i64) -> Applied {
    if record.revoked.is_some() {
        return Applied::Unchanged;
    }
    let revoked = Some(Revocation { at: now, reason: reason.to_owned() });
    Applied::changed(Record { revoked, ..record.clone() }, EventKind::Revoked { reason: reason.to_owned() })
}
