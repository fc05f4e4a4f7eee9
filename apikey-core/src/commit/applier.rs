//! The applier, which makes changes visible in the index.
//!
//! It restricts first and gives last. The index loses what a change takes away when the change is
//! [restricted](Pending::restrict), before it is durable, and gets what the change gives when it is
//! [published](Applier::publish), once it is durable. In between, later changes of the same key may be waiting, and the
//! applier publishes no more of a change than they leave.

use std::collections::{HashMap, VecDeque};
use std::io;

use crate::access::named::{NamedAllowance, NamedId};
use crate::base::interner::Full;
use crate::index::Index;
use crate::key::change::{Action, Change};
use crate::key::effective_key::EffectiveKey;
use crate::key::named::NamedRecord;
use crate::key::rotation::overlap::Overlap;
use crate::token::digest::Digest;

/// A change of one key, role, tenant or owner, as the index sees it.
#[derive(Clone, Default)]
pub(crate) struct Pending {
    pub(crate) id: u128,
    /// The key before the change; `None` if the change creates it, or is not of a key.
    pub(crate) before: Option<EffectiveKey>,
    /// The key after the change; `None` if the change deletes it, or is not of a key.
    pub(crate) after: Option<EffectiveKey>,
    pub(crate) named: Option<NamedChange>,
}

/// What a role grants, or a tenant or an owner leaves, before and after a change.
#[derive(Clone, Copy)]
pub(crate) struct NamedChange {
    pub(crate) before: NamedAllowance,
    pub(crate) after: NamedAllowance,
}

impl NamedChange {
    pub(crate) fn of(id: NamedId, before: Option<&NamedRecord>, after: Option<&NamedRecord>) -> Result<Self, Full> {
        let rights = |record: Option<&NamedRecord>| match record {
            Some(record) => record.allowance(),
            None => NamedAllowance::without_record(id),
        };
        Ok(Self { before: rights(before)?, after: rights(after)? })
    }

    /// Whether it takes anything away.
    pub(crate) fn takes(self) -> bool {
        self.before.loses(self.after)
    }
}

impl Pending {
    /// Takes from the index what the change takes away, and returns whether that is anything.
    pub(crate) fn restrict(&self, index: &Index) -> Result<bool, Full> {
        if let Some(named) = self.named {
            index.restrict_named(self.id, named.after)?;
        } else if let Some(before) = &self.before {
            index.restrict(before, self.after.as_ref())?;
        }
        Ok(self.takes())
    }

    /// Whether the change takes anything away.
    pub(crate) fn takes(&self) -> bool {
        let of_key = |before: &EffectiveKey| self.after.as_ref().is_none_or(|after| before.loses(after));
        self.named.is_some_and(NamedChange::takes) || self.before.as_ref().is_some_and(of_key)
    }

    /// The digests of the secrets that the key has lost.
    pub(crate) fn ended_digests(&self) -> impl Iterator<Item = Digest> + use<> {
        let kept = self.after.as_ref().map(EffectiveKey::digests).unwrap_or_default();
        let before = self.before.as_ref().map(EffectiveKey::digests).unwrap_or_default();
        before.into_iter().filter(move |digest| !kept.contains(digest))
    }
}

/// Whether a change may replace a successor that nobody has used.
pub(crate) fn replaces_unused(change: &Change) -> bool {
    match &change.action {
        Action::Rotate { overlap, .. } => *overlap != Overlap::None,
        Action::Stage { .. } | Action::Promote { .. } | Action::Repeat { .. } => true,
        _ => false,
    }
}

/// Ends the unused successors that a rotation replaces; `false` if one of them was used after all.
pub(crate) fn replace_unused<'a>(
    index: &Index,
    changes: &[Change],
    mut pending: impl Iterator<Item = &'a Pending>,
) -> bool {
    if !changes.iter().any(replaces_unused) {
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
    /// The number of changes of each key in the queue.
    waiting: HashMap<u128, u32>,
}

impl Applier {
    /// Appends a change to the queue. From now on the applier publishes no more of earlier changes of its key than it
    /// leaves.
    pub(crate) fn enqueue(&mut self, change: Pending) {
        *self.waiting.entry(change.id).or_default() += 1;
        self.queue.push_back(change);
    }

    /// The number of changes that wait.
    pub(crate) fn len(&self) -> u64 {
        self.queue.len() as u64
    }

    /// Removes all changes except the first `keep`.
    pub(crate) fn rollback(&mut self, keep: u64) {
        while self.len() > keep {
            let Some(change) = self.queue.pop_back() else { break };
            self.leave(change.id);
        }
    }

    /// Makes the first change visible, narrowed by what later ones of its key take away. `false` if none waits.
    pub(crate) fn publish(&mut self, index: &Index) -> io::Result<bool> {
        let Some(change) = self.queue.pop_front() else { return Ok(false) };
        if let Some(named) = change.named {
            self.publish_named(index, change.id, named.after)?;
            return Ok(true);
        }
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

    /// Makes what a role grants, or a tenant or an owner leaves, visible, narrowed by what later changes of it take away.
    fn publish_named(&mut self, index: &Index, id: NamedId, after: NamedAllowance) -> io::Result<()> {
        let mut visible = after;
        if self.leave(id) {
            for later in self.queue.iter().filter(|later| later.id == id).filter_map(|later| later.named) {
                visible = visible.meet(later.after)?;
            }
        }
        Ok(index.publish_named(id, visible)?)
    }

    /// Whether a key has not been published yet.
    pub(crate) fn is_unpublished(&self, id: u128) -> bool {
        self.waiting.contains_key(&id)
            && self.queue.iter().find(|change| change.id == id).is_some_and(|change| change.before.is_none())
    }

    /// Removes a change of the key from the count, and returns whether others of it wait.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::access::grants;
    use crate::access::identity::{self, Identity};
    use crate::access::network::ANYWHERE;
    use crate::base::interner::{GRANTS, IDENTITIES};
    use crate::base::store_time::Moment;
    use crate::key::allowance::Allowance;
    use crate::key::effective_key::EffectiveSecret;
    use crate::key::record::SecretEnd;
    use crate::token::api_key::{self, Prefixes, Secret};
    use crate::token::digest::Digester;
    use crate::token::key_id::KeyId;

    const NOW: i64 = 100;
    const KEYS: usize = 3;
    const PERMISSIONS: [&str; 2] = ["orders:read", "orders:write"];

    /// What a key is after a change: which permissions it grants, whether it is disabled, when it ends, and its label.
    type State = ([bool; 2], bool, Option<i64>, Option<&'static str>);
    /// The permissions and the label that a caller has.
    type Visible = ([bool; 2], Option<&'static str>);

    const PLANS: [&str; 2] = ["free", "pro"];

    #[derive(Debug, Clone)]
    enum Step {
        /// Changes or deletes a key, or creates it if it never existed.
        Change(usize, Option<State>),
        /// Publishes the first change that waits.
        Publish,
    }

    fn step() -> impl Strategy<Value = Step> {
        let end = prop_oneof![Just(None), Just(Some(NOW - 50)), Just(Some(NOW + 50))];
        let plan = prop::option::of(prop::sample::select(&PLANS[..]));
        let state = (any::<[bool; 2]>(), any::<bool>(), end, plan);
        prop_oneof![
            3 => (0..KEYS, prop::option::weighted(0.9, state)).prop_map(|(key, state)| Step::Change(key, state)),
            2 => Just(Step::Publish),
        ]
    }

    fn body(key: usize) -> zeroize::Zeroizing<[u8; api_key::BODY_CHARS]> {
        Secret::from_text(b"0123456789ABCDEFGHIJKLMNOPQRSTUV").body(KeyId::from_u128(1 + key as u128))
    }

    fn effective(key: usize, (granted, disabled, expires_at, plan): State) -> EffectiveKey {
        let granted = PERMISSIONS.iter().zip(granted).filter(|(_, granted)| *granted);
        let granted: Vec<String> = granted.map(|(permission, _)| (*permission).to_owned()).collect();
        let labels = plan.map(|plan| ("plan".to_owned(), plan.to_owned())).into_iter().collect();
        // The name changes with the label, and waits as well.
        let identity = Identity {
            owner: crate::access::owner::OwnerRef { tenant: None, name: "alice" },
            prefix: None,
            name: plan,
            labels: &labels,
        };
        let identity = IDENTITIES.number(&identity.text()).unwrap();
        let secret = EffectiveSecret {
            digest: Digester::plain().own(&body(key)),
            pepper: 0,
            imported: None,
            identity,
            version: 1,
            end: SecretEnd::Never,
            latest: None,
            unused: false,
            ends: None,
        };
        EffectiveKey {
            ended: Vec::new(),
            id: 1 + key as u128,
            allowance: Allowance {
                identity,
                grants: GRANTS.number(&grants::join(&granted)).unwrap(),
                revoked: false,
                disabled,
                expires_at,
                not_before: None,
                limit: None,
                quota: None,
                networks: ANYWHERE,
                idle: None,
            },
            secrets: vec![secret],
        }
    }

    /// Returns what a caller with the key's token has; `None` if the index refuses the token.
    fn visible(index: &Index, key: usize) -> Option<Visible> {
        let token = api_key::format("ak", &body(key));
        let prefixes = Prefixes::new("ak".into(), []);
        let matched = index.find_own(prefixes.parse(token.expose_secret().as_bytes()).unwrap())?;
        index.check_use(&matched, Moment { now: NOW, raw: NOW }, None).ok()?;
        let granted = GRANTS.text(matched.grants());
        let permissions = PERMISSIONS.map(|wanted| grants::joined_give(granted, wanted));
        Some((permissions, identity::label(IDENTITIES.text(matched.identity()), "plan")))
    }

    /// What is common to states of a key; `None` if one of them allows nothing.
    fn common(states: impl IntoIterator<Item = Option<State>>) -> Option<Visible> {
        let common = states.into_iter().try_fold(None, |common: Option<Visible>, state| {
            let (granted, disabled, end, plan) = state?;
            let refused = disabled || end.is_some_and(|end| end <= NOW);
            let (held, label) = common.unwrap_or(([true; 2], plan));
            (!refused).then(|| Some(([held[0] && granted[0], held[1] && granted[1]], label.filter(|_| label == plan))))
        });
        common.flatten()
    }

    fn index() -> Index {
        Index::new(0, 0, vec![Digester::plain()], true)
    }

    proptest! {
        /// At every moment a key allows what the published state and all waiting ones have in common. A follower that
        /// gets the same changes one by one, as they are published, ends in the same state.
        #[test]
        fn nothing_is_visible_beyond_what_waiting_changes_leave(steps in prop::collection::vec(step(), 1..60)) {
            let (own, follower) = (index(), index());
            let mut applier = Applier::default();
            let mut waiting: VecDeque<(usize, Option<State>, Pending)> = VecDeque::new();
            // The last decided and the last published state of each key; at first no key has ever existed.
            let (mut decided, mut published) = ([None::<Option<State>>; KEYS], [None::<Option<State>>; KEYS]);
            let publishes = steps.iter().filter(|step| matches!(step, Step::Change(..))).count();
            for step in steps.into_iter().chain(vec![Step::Publish; publishes]) {
                match step {
                    Step::Change(key, state) => {
                        let before = match (decided[key], state) {
                            // A key that never existed cannot be deleted, and a deleted one stays so.
                            (None, None) | (Some(None), _) => continue,
                            (before, _) => before.flatten(),
                        };
                        let [before, after] = [before, state].map(|state| state.map(|state| effective(key, state)));
                        let pending = Pending { id: 1 + key as u128, before, after, named: None };
                        applier.enqueue(pending.clone());
                        pending.restrict(&own).unwrap();
                        waiting.push_back((key, state, pending));
                        decided[key] = Some(state);
                    }
                    Step::Publish => {
                        prop_assert_eq!(applier.publish(&own).unwrap(), !waiting.is_empty());
                        let Some((key, state, pending)) = waiting.pop_front() else { continue };
                        published[key] = Some(state);
                        let mut one = Applier::default();
                        one.enqueue(pending.clone());
                        pending.restrict(&follower).unwrap();
                        prop_assert!(one.publish(&follower).unwrap());
                        prop_assert_eq!(visible(&follower, key), common([state]));
                    }
                }
                for (key, last) in published.iter().enumerate() {
                    let waits = waiting.iter().filter(|(of, ..)| *of == key).map(|(_, state, _)| *state);
                    let expected = common([last.flatten()].into_iter().chain(waits));
                    prop_assert_eq!(visible(&own, key), expected, "key {}", key);
                }
            }
            for key in 0..KEYS {
                prop_assert_eq!(visible(&own, key), visible(&follower, key));
            }
        }
    }

    #[test]
    fn what_is_rolled_back_narrows_nothing() {
        let index = index();
        let mut applier = Applier::default();
        let (wide, none) = (effective(0, ([true; 2], false, None, None)), effective(0, ([false; 2], true, None, None)));
        applier.enqueue(Pending { id: 1, after: Some(wide.clone()), ..Pending::default() });
        assert!(applier.is_unpublished(1));
        applier.enqueue(Pending { id: 1, before: Some(wide), after: Some(none), named: None });
        applier.rollback(1);
        assert_eq!(applier.len(), 1);
        assert!(applier.publish(&index).unwrap());
        assert_eq!((visible(&index, 0), applier.is_unpublished(1)), (Some(([true; 2], None)), false));
        assert!(!applier.publish(&index).unwrap());
    }
}
