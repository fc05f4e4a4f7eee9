//! Outcomes of idempotent requests that no longer count: the janitor deletes them from the cluster's state.
//!
//! No entry of the log does that, so every node forgets its own. The others keep theirs for longer than the janitor, so
//! that any of them can become the janitor and still knows what the state has.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use crate::base::codec;
use crate::cluster::format::image::ImageKind;
use crate::cluster::ledger::{Fence, Step};
use crate::cluster::node::shared::{FollowError, Node};
use crate::commit::engine::Engine;
use crate::key::error::StoreError;
use crate::key::idempotency::RequestOutcome;
use crate::token::digest::Digest;

/// How often the janitor looks for them.
const INTERVAL_MS: i64 = 10 * 60 * 1000;
const NOT_A_NAME: &str = "the replica has an outcome of a request under a name that is no digest";

impl Node {
    pub(super) fn forget_outcomes(&self, engine: &Engine, fence: &Fence, by: Instant) -> Result<(), FollowError> {
        let now = engine.time.now_ms();
        // A clock that is set back must not put it off for long.
        if self.state().outcomes_forgotten.is_some_and(|last| (last..last + INTERVAL_MS).contains(&now)) {
            return Ok(());
        }
        let Some(at) = self.ledger.sight(self.generation(), by)?.state else { return Ok(()) };
        // What the state has and this replica lacks may be a newer outcome of the same name.
        if at.number > self.head().number {
            return Ok(());
        }
        let log = engine.log.open()?;
        let mut over = Vec::new();
        for item in log.outcome_frames() {
            let (name, frame) = item?;
            let holds = |outcome: RequestOutcome| outcome.holds(now);
            if holds(codec::decode(&frame).map_err(StoreError::from)?) {
                continue;
            }
            // A newer request may have the name, which is in the database with the next checkpoint.
            let name = Digest::try_from(&*name).map_err(|_| StoreError::from(io::Error::other(NOT_A_NAME)))?;
            if !log.request_outcome(&name)?.is_some_and(holds) {
                over.push(name);
            }
        }
        if !over.is_empty() {
            let head = self.state_head(engine, at, by)?;
            let digester = engine.writer().digester();
            for names in over.chunks(Step::MAX_IMAGES) {
                let images: BTreeMap<_, _> =
                    names.iter().map(|name| ((ImageKind::Outcome.code(), name.to_vec()), None)).collect();
                if !self.step(fence, &digester, &head, &head, &images, by)? {
                    return Ok(());
                }
            }
            log.forget_outcomes(|outcome| !outcome.holds(now))?;
        }
        self.state().outcomes_forgotten = Some(now);
        Ok(())
    }
}
