//! The creation of a key whose first secret goes to the sink.

use crate::access::owner::Tenants;
use crate::base::time::from_ms;
use crate::key::change::{Action, Change};
use crate::key::error::StoreError;
use crate::key::event::actor::Actor;
use crate::key::new_key::NewKey;
use crate::key::record::SecretEnd;
use crate::rotation::report::{DeliveredKey, FailedDelivery, RunReport};
use crate::rotation::worker::Worker;
use crate::token::key_id::KeyId;

impl Worker {
    /// Creates a key whose secret waits for its delivery like one of a rotation, and delivers it.
    pub(super) fn create(&self, key: NewKey, tenants: Tenants) -> Result<DeliveredKey, StoreError> {
        self.check_actor()?;
        if key.imported.is_some() {
            return Err(StoreError::invalid("imported", "[REDACTED]", "keys with a secret that the store generates"));
        }
        if let Some(given) = &key.idempotency_key {
            return Err(StoreError::invalid("idempotency_key", given, "none where a sink gets the secret"));
        }
        let mut plan = self.lock_plan()?;
        self.watch_keys()?;
        let at = self.inner.engine.time.working(self.inner.engine.time.now_ms());
        let plan = self.plan_at(&mut plan, at)?;
        let new = self.inner.validate(key)?.in_tenants(tenants);
        let mut token = None;
        let outcomes = self.inner.engine.change(|writer, records| {
            let (key, mut change) = self.inner.assign(&new, writer, records)?;
            token = Some(key);
            if let Action::Create(record) = &mut change.action {
                let overlap_ms = record.policy.and_then(|policy| policy.overlap_ms);
                for secret in &mut record.secrets {
                    secret.end = SecretEnd::Pending { overlap_ms };
                }
            }
            let mut origin = self.origin.clone();
            if let Some(acting) = &change.scope.actor {
                origin.actor = Some(Actor::Key(acting.id()));
            }
            Ok(vec![Change { origin, ..change }])
        })?;
        let record = outcomes.into_iter().find_map(|outcome| outcome.after);
        let (Some(token), Some(record)) = (token, record) else { return Err(StoreError::Closed) };
        let id = record.id;
        plan.keep_secret(id, record.version, token);
        // For the next run, if an error of the disk ends this one.
        plan.times.insert((at.now, id));
        let mut report = RunReport::default();
        let next = self.rotate(plan, record, at, &mut report)?;
        plan.times.remove(&(at.now, id));
        plan.times.extend(next.map(|next| (next, id)));
        let key = KeyId::from_u128(id);
        let record = self.record(id)?.ok_or(StoreError::NotFound(key))?;
        // Somebody has rotated the key during the delivery of its first secret.
        let replaced = |reason| FailedDelivery { key, reason, retry_at: from_ms(at.now) };
        let failed = report.failed.pop().or_else(|| report.skipped.pop().map(|skipped| replaced(skipped.reason)));
        Ok(DeliveredKey { info: self.inner.info_of(record)?, failed })
    }
}
