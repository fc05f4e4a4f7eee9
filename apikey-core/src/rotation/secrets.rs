//! The changes that automatic rotation makes.

use constant_time_eq::constant_time_eq_32;

use crate::base::store_time::Working;
use crate::commit::cluster::propagation::{Hold, Lane, Propagation, Terms};
use crate::key::change::{Action, Change};
use crate::key::error::StoreError;
use crate::key::event::actor::Origin;
use crate::key::record::{Record, SecretEnd, SecretForm, StoredSecret};
use crate::key::rotation::policy::due;
use crate::token::api_key::ApiKey;
use crate::token::key_id::KeyId;

use crate::store::inner::Inner;

/// Only the rotator that works makes these changes.
const AS_ROTATOR: Terms = Terms { propagation: Propagation::Everywhere, hold: Some(Hold::Rotator), lane: Lane::Shared };

impl Inner {
    /// Gives a key a pending secret if it is due, or has a pending one already; `None` if neither. `keep_newest` keeps
    /// the newest pending secret beside it.
    pub(super) fn stage_secret(
        &self,
        id: KeyId,
        keep_newest: bool,
        at: Working,
        origin: &Origin,
    ) -> Result<Option<(ApiKey, Record)>, StoreError> {
        let mut token = None;
        let outcomes = self.engine.change_on(AS_ROTATOR, |writer, records| {
            token = None;
            let now = self.engine.time.of(at);
            let Some((record, _)) = records.record(id.as_u128())? else { return Ok(Vec::new()) };
            let waiting = record.secrets.iter().rev().find_map(|secret| match secret.end {
                SecretEnd::Pending { overlap_ms } => Some(overlap_ms),
                _ => None,
            });
            // Read again under the writer's lock: somebody may have removed the policy.
            let due = record.policy.filter(|_| due(&record).is_some_and(|due| due <= now));
            let Some(overlap_ms) = due.map(|policy| policy.overlap_ms).or(waiting) else { return Ok(Vec::new()) };
            let (key, secret) = self.next_secret(id, writer, records)?;
            token = Some(key);
            let secret = StoredSecret { created_at: now, ..secret };
            let action = Action::Stage { secret, overlap_ms, doubtful: keep_newest };
            Ok(vec![Change { at: now, origin: origin.clone(), ..self.engine.change_of(id.as_u128(), action) }])
        })?;
        let after = outcomes.into_iter().find_map(|outcome| outcome.after);
        Ok(token.zip(after))
    }

    /// Makes a delivered secret the current one; returns whether it was still pending.
    pub(super) fn promote_secret(
        &self,
        id: KeyId,
        version: u32,
        at: Working,
        origin: &Origin,
    ) -> Result<bool, StoreError> {
        let promote = || self.engine.change_of(id.as_u128(), Action::Promote { version });
        let change = || Change { at: self.engine.time.of(at), origin: origin.clone(), ..promote() };
        let outcomes = self.engine.change_on(AS_ROTATOR, |_, _| Ok(vec![change()]))?;
        Ok(outcomes.iter().any(|outcome| outcome.changed))
    }

    /// Erases the ended secrets of these keys, whose ids are distinct.
    pub(super) fn erase_ended_of(&self, ids: &[u128], at: Working, origin: &Origin) -> Result<(), StoreError> {
        let erase = |id: &u128| {
            let change = self.engine.change_of(*id, Action::EraseEnded);
            Change { at: self.engine.time.of(at), origin: origin.clone(), ..change }
        };
        self.engine.change_on(AS_ROTATOR, |_, _| Ok(ids.iter().map(erase).collect())).map(|_| ())
    }

    /// Returns the version of the live secret in this token.
    pub(super) fn version_of(&self, record: &Record, token: &str, now: i64) -> Option<u32> {
        let tail = self.prefixes.parse(token.as_bytes());
        let digesters = self.engine.writer().digesters.clone();
        let is_it = |secret: &&StoredSecret| {
            let Some(digester) = digesters.iter().find(|digester| digester.pepper() == secret.pepper) else {
                return false;
            };
            let digest = match &secret.form {
                SecretForm::Own { .. } => tail.map(|tail| digester.presented(tail)),
                SecretForm::Imported(form) => form.digest(token.as_bytes()).map(|given| digester.imported(&given)),
            };
            digest.is_some_and(|digest| constant_time_eq_32(&digest, &secret.digest))
        };
        record.live(now).find(is_it).map(|secret| secret.version)
    }
}
