//! What must be true of a store, from what was begun and what was acknowledged.
//!
//! What was acknowledged must be there. What was begun and not acknowledged may be there or not, each operation whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Op {
    /// One key for each name, in one call, each with so many entries of metadata.
    Create {
        names: Vec<String>,
        permissions: Vec<String>,
        entries: usize,
    },
    Rotate {
        id: String,
        lap: Lap,
    },
    Revoke {
        id: String,
    },
    Disable {
        id: String,
        on: bool,
    },
    Permit {
        id: String,
        permissions: Vec<String>,
    },
    /// Of every revoked key. No revocation is under way at the time.
    Purge,
    /// The newest secret is verified. No change, so it may be lost until a later change is acknowledged.
    Use {
        id: String,
    },
}

/// An overlap, as the model tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Lap {
    None,
    /// A millisecond: over before anybody looks.
    Brief,
    /// An hour: longer than a run.
    Long,
    FirstUse,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// Id and token of each new key.
    Created(Vec<(String, String)>),
    Rotated(String),
    Done,
    /// `Conflict::Overlapping`: nothing changed.
    Overlapping,
    /// `StoreError::NotDurable`: in force until a restart, and maybe after.
    NotDurable,
    /// `StoreError::Io`: not in force, and maybe after a restart.
    Io(String),
    /// Anything else, which no operation here may meet.
    Other(String),
}

/// What a thread of the process under test says, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) thread: usize,
    pub(crate) said: Said,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Said {
    Begin(Op),
    End(Outcome),
}

/// Whether a successor was used, which ends a predecessor that was good until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Used {
    No,
    /// Since that line; on disk once a change that began later is acknowledged.
    InMemory(u64),
    /// Not known, and it makes no difference that can be seen.
    Unknown,
    Yes,
}

#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) permissions: Vec<String>,
    pub(crate) entries: usize,
    pub(crate) disabled: bool,
    pub(crate) revoked: bool,
    /// How many purges that are in doubt it was revoked before.
    pub(crate) purges: usize,
    pub(crate) version: u32,
    /// `None` where the call that made it was cut off, so that nobody has it.
    pub(crate) newest: Option<String>,
    pub(crate) used: Used,
    pub(crate) older: Option<Older>,
    /// Tokens that must never verify again.
    pub(crate) dead: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Older {
    pub(crate) token: Option<String>,
    pub(crate) until_first_use: bool,
}

impl Key {
    pub(crate) fn new(name: &str, permissions: &[String], entries: usize, token: Option<String>) -> Self {
        Self {
            name: name.to_owned(),
            permissions: permissions.to_vec(),
            entries,
            disabled: false,
            revoked: false,
            purges: 0,
            version: 1,
            newest: token,
            used: Used::Yes,
            older: None,
            dead: Vec::new(),
        }
    }

    pub(crate) fn end_older(&mut self) {
        self.dead.extend(self.older.take().and_then(|older| older.token));
    }

    /// The newest secret was used, and everybody knows.
    pub(crate) fn settle_use(&mut self) {
        self.used = Used::Yes;
        if self.older.as_ref().is_some_and(|older| older.until_first_use) {
            self.end_older();
        }
    }

    /// Whether a rotation with an overlap must, or may, be refused.
    fn refuses(&self) -> Option<bool> {
        match (&self.older, self.used) {
            (None, _) | (_, Used::No) => Some(false),
            (Some(older), Used::Yes | Used::InMemory(_)) => Some(!older.until_first_use),
            (Some(_), Used::Unknown) => None,
        }
    }

    fn rotate(&mut self, lap: Lap, token: Option<String>) {
        if matches!(self.used, Used::Yes | Used::InMemory(_)) {
            self.settle_use();
        }
        let newest = self.newest.take();
        let older = match self.older.take() {
            // An unused successor is replaced; its predecessor stays.
            Some(older) => {
                self.dead.extend(newest);
                older.token
            }
            None => newest,
        };
        match lap {
            Lap::None | Lap::Brief => self.dead.extend(older),
            Lap::Long | Lap::FirstUse => {
                self.older = Some(Older { token: older, until_first_use: lap == Lap::FirstUse });
            }
        }
        self.newest = token;
        self.used = Used::No;
        self.version += 1;
    }

    /// The key after an operation; `None` if it is deleted.
    pub(crate) fn after(&self, op: &Op, token: Option<String>) -> Option<Self> {
        let mut key = self.clone();
        match op {
            Op::Rotate { lap, .. } => key.rotate(*lap, token),
            Op::Revoke { .. } => key.revoked = true,
            Op::Disable { on, .. } => key.disabled = *on,
            Op::Permit { permissions, .. } => key.permissions.clone_from(permissions),
            Op::Use { .. } => key.settle_use(),
            Op::Purge if key.revoked => return None,
            Op::Purge | Op::Create { .. } => {}
        }
        Some(key)
    }

    pub(crate) fn tokens(&self) -> impl Iterator<Item = &String> {
        // Oldest first: to verify a newer one may end those before.
        self.dead.iter().chain(self.older.as_ref().and_then(|older| older.token.as_ref())).chain(&self.newest)
    }
}

impl Op {
    pub(crate) fn touches(&self, id: &str) -> bool {
        match self {
            Self::Create { .. } => false,
            Self::Purge => true,
            Self::Rotate { id: of, .. }
            | Self::Revoke { id: of }
            | Self::Disable { id: of, .. }
            | Self::Permit { id: of, .. }
            | Self::Use { id: of } => of == id,
        }
    }
}

/// Everything that is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) keys: BTreeMap<String, Key>,
    /// Tokens of purged keys.
    pub(crate) gone: Vec<String>,
    /// Operations that ended without an acknowledgement, in order.
    pub(crate) doubts: Vec<Op>,
    /// Acknowledged changes: so many events there are, at least.
    pub(crate) events: u64,
    pub(crate) acknowledged: usize,
    under_way: BTreeMap<usize, (u64, Op)>,
    line: u64,
    /// What must not have happened, whatever the disk did.
    pub(crate) faults: Vec<String>,
}

impl World {
    pub(crate) fn heard<'a>(lines: impl IntoIterator<Item = &'a Line>) -> Self {
        let mut world = Self::default();
        lines.into_iter().for_each(|line| world.hear(line));
        world
    }

    pub(crate) fn hear(&mut self, line: &Line) {
        self.line += 1;
        match &line.said {
            Said::Begin(op) => {
                let before = self.under_way.insert(line.thread, (self.line, op.clone()));
                assert!(before.is_none(), "a thread does one thing at a time");
            }
            Said::End(outcome) => {
                let (begun, op) = self.under_way.remove(&line.thread).expect("an end has a beginning");
                self.end(begun, op, outcome);
            }
        }
    }

    /// The process is gone: what is under way stays in doubt.
    pub(crate) fn crash(&mut self) {
        std::mem::take(&mut self.under_way).into_values().for_each(|(_, op)| self.doubt(op));
    }

    fn doubt(&mut self, op: Op) {
        if matches!(op, Op::Purge) {
            self.keys.values_mut().filter(|key| key.revoked).for_each(|key| key.purges += 1);
        }
        self.doubts.push(op);
    }

    fn end(&mut self, begun: u64, op: Op, outcome: &Outcome) {
        let key = |id: &String, keys: &BTreeMap<String, Key>| keys.get(id).expect("a key that is known").clone();
        match (&op, outcome) {
            (_, Outcome::NotDurable | Outcome::Io(_)) => return self.doubt(op),
            (Op::Create { names, permissions, entries }, Outcome::Created(created)) => {
                assert_eq!(names.len(), created.len());
                for (name, (id, token)) in names.iter().zip(created) {
                    let key = Key::new(name, permissions, *entries, Some(token.clone()));
                    let fresh = self.keys.insert(id.clone(), key);
                    if fresh.is_some() {
                        self.faults.push(format!("the id {id} was given twice"));
                    }
                }
                self.events += names.len() as u64;
            }
            (Op::Rotate { id, lap }, Outcome::Rotated(token)) => {
                let before = key(id, &self.keys);
                if *lap != Lap::None && before.refuses() == Some(true) {
                    self.faults.push(format!("{op:?} was done during an overlap"));
                }
                self.replace(id, before.after(&op, Some(token.clone())));
                self.events += 1;
            }
            (Op::Rotate { id, lap }, Outcome::Overlapping) => {
                if *lap == Lap::None || key(id, &self.keys).refuses() == Some(false) {
                    self.faults.push(format!("{op:?} was refused without an overlap"));
                }
                return;
            }
            (Op::Use { id }, Outcome::Done) => {
                let used = self.line;
                let key = self.keys.get_mut(id).expect("a key that is known");
                if key.used != Used::Yes {
                    key.used = Used::InMemory(used);
                }
                return;
            }
            (Op::Purge, Outcome::Done) => {
                for id in self.keys.keys().cloned().collect::<Vec<_>>() {
                    let after = key(&id, &self.keys).after(&op, None);
                    self.events += u64::from(after.is_none());
                    self.replace(&id, after);
                }
            }
            (Op::Revoke { id } | Op::Disable { id, .. } | Op::Permit { id, .. }, Outcome::Done) => {
                let before = key(id, &self.keys);
                let after = before.after(&op, None).expect("only a purge deletes");
                let state = |key: &Key| (key.revoked, key.disabled, key.permissions.clone());
                self.events += u64::from(state(&before) != state(&after));
                self.replace(id, Some(after));
            }
            (op, outcome) => return self.faults.push(format!("{op:?} ended with {outcome:?}")),
        }
        self.acknowledged += 1;
        // Uses that were noted before this change began went to disk with it, at the latest.
        for key in self.keys.values_mut() {
            if matches!(key.used, Used::InMemory(used) if used < begun) {
                key.settle_use();
            }
        }
    }

    fn replace(&mut self, id: &str, after: Option<Key>) {
        match after {
            Some(key) => {
                self.keys.insert(id.to_owned(), key);
            }
            None => {
                let key = self.keys.remove(id).expect("a key that is known");
                self.gone.extend(key.tokens().cloned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(world: &mut World, op: Op, outcome: Option<Outcome>) {
        world.hear(&Line { thread: 0, said: Said::Begin(op) });
        if let Some(outcome) = outcome {
            world.hear(&Line { thread: 0, said: Said::End(outcome) });
        }
    }

    #[test]
    fn a_use_is_certain_after_a_change_that_began_later() {
        let mut world = World::default();
        let created = Outcome::Created(vec![("a".into(), "a1".into())]);
        hear(&mut world, Op::Create { names: vec!["n".into()], permissions: vec![], entries: 0 }, Some(created));
        let rotate = Op::Rotate { id: "a".into(), lap: Lap::FirstUse };
        hear(&mut world, rotate, Some(Outcome::Rotated("a2".into())));
        hear(&mut world, Op::Use { id: "a".into() }, Some(Outcome::Done));
        assert!(world.keys["a"].older.is_some());
        hear(&mut world, Op::Disable { id: "a".into(), on: true }, Some(Outcome::Done));
        assert!(world.keys["a"].older.is_none());
        assert_eq!(world.keys["a"].dead, ["a1"]);
        assert_eq!(world.events, 3);
        hear(&mut world, Op::Revoke { id: "a".into() }, None);
        world.crash();
        assert_eq!(world.doubts, [Op::Revoke { id: "a".into() }]);
        assert!(world.faults.is_empty());
    }
}
