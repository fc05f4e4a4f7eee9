//! The applier: makes changes visible in the index, the same way for whoever made them.
//!
//! It restricts first and gives last. What a change takes away is gone when it is [restricted](Pending::restrict), before it
//! is durable; what it gives is there when it is [published](Applier::publish), once it is durable. Between the two, later
//! changes of the same key may be waiting: a change is published only as far as they leave it.

use std::collections::{HashMap, VecDeque};
use std::io;

use crate::base::interner::Full;
use crate::index::Index;
use crate::key::change::{Action, Change, Overlap};
use crate::key::effective_key::EffectiveKey;
use crate::token::digest::Digest;

/// A change of one key, as the index sees it.
#[derive(Clone)]
pub(crate) struct Pending {
    pub(crate) id: u128,
    /// What the key gave before; `None` where the change creates it.
    pub(crate) before: Option<EffectiveKey>,
    /// What it gives after; `None` where the change deletes it.
    pub(crate) after: Option<EffectiveKey>,
}

impl Pending {
    /// Takes away what the change takes away. Whether that is anything.
    pub(crate) fn restrict(&self, index: &Index) -> Result<bool, Full> {
        let Some(before) = &self.before else { return Ok(false) };
        index.restrict(before, self.after.as_ref())?;
        Ok(self.after.as_ref().is_none_or(|after| before.loses(after)))
    }

    /// The digests of secrets that the key has no more.
    pub(crate) fn ended_digests(&self) -> impl Iterator<Item = Digest> + use<> {
        let kept = self.after.as_ref().map(EffectiveKey::digests).unwrap_or_default();
        let before = self.before.as_ref().map(EffectiveKey::digests).unwrap_or_default();
        before.into_iter().filter(move |digest| !kept.contains(digest))
    }
}

/// Ends the unused successors that a rotation replaces; `false` if one of them was used after all.
pub(crate) fn replace_unused<'a>(
    index: &Index,
    changes: &[Change],
    mut pending: impl Iterator<Item = &'a Pending>,
) -> bool {
    let replaces = |change: &Change| match &change.action {
        Action::Rotate { overlap, .. } => *overlap != Overlap::None,
        Action::Stage { .. } | Action::Promote { .. } | Action::Repeat { .. } => true,
        _ => false,
    };
    if !changes.iter().any(replaces) {
        return true;
    }
    pending.all(|one| {
        let (Some(before), Some(after)) = (&one.before, &one.after) else { return true };
        let mut replaced = before
            .secrets
            .iter()
            .filter(|secret| secret.unused && !after.secrets.iter().any(|kept| kept.digest == secret.digest));
        replaced.all(|secret| index.remove_unused(before, secret))
    })
}

/// Changes that are not visible yet, in their order.
#[derive(Default)]
pub(crate) struct Applier {
    queue: VecDeque<Pending>,
    /// How many changes of a key are in the queue.
    waiting: HashMap<u128, u32>,
}

impl Applier {
    /// Puts a change at the end. From now on nothing earlier of its key is published beyond what it leaves.
    pub(crate) fn enqueue(&mut self, change: Pending) {
        *self.waiting.entry(change.id).or_default() += 1;
        self.queue.push_back(change);
    }

    /// How many changes wait.
    pub(crate) fn len(&self) -> u64 {
        self.queue.len() as u64
    }

    /// Takes back all but the first changes.
    pub(crate) fn rollback(&mut self, keep: u64) {
        while self.len() > keep {
            let Some(change) = self.queue.pop_back() else { break };
            self.leave(change.id);
        }
    }

    /// Makes the first change visible, narrowed by what later ones of its key take away. `false` if none waits.
    pub(crate) fn publish(&mut self, index: &Index) -> io::Result<bool> {
        let Some(change) = self.queue.pop_front() else { return Ok(false) };
        let mut visible = change.after;
        if self.leave(change.id) {
            for later in self.queue.iter().filter(|later| later.id == change.id) {
                visible = match (visible, &later.after) {
                    (Some(rights), Some(later)) => Some(rights.meet(later)?),
                    _ => None,
                };
            }
        }
        index.publish(change.before.as_ref(), visible.as_ref());
        Ok(true)
    }

    /// Whether a key waits to be seen for the first time.
    pub(crate) fn is_unpublished(&self, id: u128) -> bool {
        self.waiting.contains_key(&id)
            && self.queue.iter().find(|change| change.id == id).is_some_and(|change| change.before.is_none())
    }

    /// Counts a change of the key out; whether others of it wait.
    fn leave(&mut self, id: u128) -> bool {
        let Some(count) = self.waiting.get_mut(&id) else { return false };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.waiting.remove(&id);
            return false;
        }
        true
    }
}
