//! What to expect of a store, from the operations that began and those that were acknowledged.
//!
//! Acknowledged operations are in force. An operation that began and was not acknowledged is in force or not, as a whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Op {
    /// One key for each name, in one call, each with so many entries of metadata.
    Create {
        names: Vec<String>,
        permissions: Vec<String>,
        /// The role that each of them has.
        role: Option<String>,
        /// Their tenant.
        tenant: Option<String>,
        entries: usize,
    },
    Rotate {
        id: String,
        overlap: OverlapKind,
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
    /// Sets the only role of a key, or takes it away.
    SetRole {
        id: String,
        role: Option<String>,
    },
    PutRole {
        name: String,
        permissions: Vec<String>,
    },
    DeleteRole {
        name: String,
    },
    /// Sets the ceiling of a tenant.
    PutTenant {
        name: String,
        permissions: Vec<String>,
    },
    /// Ends every key of a tenant. No purge is under way at the time.
    EndTenant {
        name: String,
    },
    /// Removes every revoked key. No revocation is under way at the time.
    Purge,
    /// Verifies the newest secret. That is no change, so it may be lost until a later change is acknowledged.
    Use {
        id: String,
    },
}

/// The overlaps that the model distinguishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OverlapKind {
    None,
    /// A millisecond: over before the next check.
    Brief,
    /// An hour: longer than a run.
    Long,
    FirstUse,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// The id and token of each new key.
    Created(Vec<(String, String)>),
    Rotated(String),
    Done,
    /// `Conflict::Overlapping`: nothing has changed.
    Overlapping,
    /// `Conflict::RoleInUse`: nothing has changed.
    InUse,
    /// `StoreError::NotDurable`: in force until a restart, and perhaps after it.
    NotDurable,
    /// `StoreError::Io`: not in force, but perhaps after a restart.
    Io(String),
    /// Any other result, which is a fault.
    Other(String),
}

/// One line of the log: a thread of the process under test begins or ends an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) thread: usize,
    pub(crate) progress: Progress,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Progress {
    Begin(Op),
    End(Outcome),
}

/// Whether the newest secret was used, which ends an older one that was good until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Used {
    No,
    /// Since that line. It is on disk once a change that began later is acknowledged.
    InMemory(u64),
    /// Unknown, and nothing shows the difference.
    Unknown,
    Yes,
}

#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) permissions: Vec<String>,
    pub(crate) role: Option<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) entries: usize,
    pub(crate) disabled: bool,
    pub(crate) revoked: bool,
    /// The number of unacknowledged purges that began after it was revoked.
    pub(crate) purges: usize,
    pub(crate) version: u32,
    /// `None` where the call that created it did not return, so that nobody has it.
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
            role: None,
            tenant: None,
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

    /// Records that the newest secret was used, for certain.
    pub(crate) fn confirm_use(&mut self) {
        self.used = Used::Yes;
        if self.older.as_ref().is_some_and(|older| older.until_first_use) {
            self.end_older();
        }
    }

    /// Whether the store refuses a rotation with an overlap; `None` if it may or may not.
    fn refuses(&self) -> Option<bool> {
        match (&self.older, self.used) {
            (None, _) | (_, Used::No) => Some(false),
            (Some(older), Used::Yes | Used::InMemory(_)) => Some(!older.until_first_use),
            (Some(_), Used::Unknown) => None,
        }
    }

    fn rotate(&mut self, overlap: OverlapKind, token: Option<String>) {
        if matches!(self.used, Used::Yes | Used::InMemory(_)) {
            self.confirm_use();
        }
        let newest = self.newest.take();
        let older = match self.older.take() {
            // A rotation replaces an unused secret; the one before it stays.
            Some(older) => {
                self.dead.extend(newest);
                older.token
            }
            None => newest,
        };
        match overlap {
            OverlapKind::None | OverlapKind::Brief => self.dead.extend(older),
            OverlapKind::Long | OverlapKind::FirstUse => {
                self.older = Some(Older { token: older, until_first_use: overlap == OverlapKind::FirstUse });
            }
        }
        self.newest = token;
        self.used = Used::No;
        self.version += 1;
    }

    /// The key after an operation; `None` if the operation removes it.
    pub(crate) fn after(&self, op: &Op, token: Option<String>) -> Option<Self> {
        let mut key = self.clone();
        match op {
            Op::Rotate { overlap, .. } => key.rotate(*overlap, token),
            Op::Revoke { .. } => key.revoked = true,
            Op::EndTenant { name } => key.revoked |= key.tenant.as_ref() == Some(name),
            Op::Disable { on, .. } => key.disabled = *on,
            Op::Permit { permissions, .. } => key.permissions.clone_from(permissions),
            Op::SetRole { role, .. } => key.role.clone_from(role),
            Op::Use { .. } => key.confirm_use(),
            Op::Purge if key.revoked => return None,
            Op::Purge | Op::Create { .. } | Op::PutRole { .. } | Op::DeleteRole { .. } | Op::PutTenant { .. } => {}
        }
        Some(key)
    }

    pub(crate) fn tokens(&self) -> impl Iterator<Item = &String> {
        // Oldest first: the verification of a newer one may end those before.
        self.dead.iter().chain(self.older.as_ref().and_then(|older| older.token.as_ref())).chain(&self.newest)
    }
}

impl Op {
    pub(crate) fn touches(&self, id: &str) -> bool {
        match self {
            Self::Create { .. } | Self::PutRole { .. } | Self::DeleteRole { .. } | Self::PutTenant { .. } => false,
            Self::Purge | Self::EndTenant { .. } => true,
            Self::Rotate { id: of, .. }
            | Self::Revoke { id: of }
            | Self::Disable { id: of, .. }
            | Self::Permit { id: of, .. }
            | Self::SetRole { id: of, .. }
            | Self::Use { id: of } => of == id,
        }
    }
}

/// What a role of this name grants, or `None` if there is none, after an operation.
pub(crate) fn role_after(name: &str, op: &Op) -> Option<Option<Vec<String>>> {
    match op {
        Op::PutRole { name: of, permissions } if of == name => Some(Some(permissions.clone())),
        Op::DeleteRole { name: of } if of == name => Some(None),
        _ => None,
    }
}

/// What a tenant of this name leaves its keys, after an operation that sets it.
pub(crate) fn ceiling_after(name: &str, op: &Op) -> Option<Vec<String>> {
    match op {
        Op::PutTenant { name: of, permissions } if of == name => Some(permissions.clone()),
        _ => None,
    }
}

/// Everything that the log shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    pub(crate) keys: BTreeMap<String, Key>,
    /// What each role grants that anybody has put, or `None` if it is deleted.
    pub(crate) roles: BTreeMap<String, Option<Vec<String>>>,
    /// What each tenant leaves its keys that anybody has put.
    pub(crate) ceilings: BTreeMap<String, Vec<String>>,
    /// Tokens of purged keys.
    pub(crate) gone: Vec<String>,
    /// Operations that ended without an acknowledgement, in order.
    pub(crate) unacknowledged: Vec<Op>,
    /// The number of acknowledged changes, and so of events, at least.
    pub(crate) events: u64,
    pub(crate) acknowledged: usize,
    under_way: BTreeMap<usize, (u64, Op)>,
    line: u64,
    /// Answers that no disk can excuse.
    pub(crate) faults: Vec<String>,
}

impl Expected {
    pub(crate) fn after<'a>(lines: impl IntoIterator<Item = &'a Line>) -> Self {
        let mut expected = Self::default();
        lines.into_iter().for_each(|line| expected.apply(line));
        expected
    }

    pub(crate) fn apply(&mut self, line: &Line) {
        self.line += 1;
        match &line.progress {
            Progress::Begin(op) => {
                let before = self.under_way.insert(line.thread, (self.line, op.clone()));
                assert!(before.is_none(), "a thread does one operation at a time");
            }
            Progress::End(outcome) => {
                let (begun, op) = self.under_way.remove(&line.thread).expect("an end has a beginning");
                self.end(begun, op, outcome);
            }
        }
    }

    /// The process is gone: operations under way stay unacknowledged.
    pub(crate) fn crash(&mut self) {
        std::mem::take(&mut self.under_way).into_values().for_each(|(_, op)| self.leave_unacknowledged(op));
    }

    fn leave_unacknowledged(&mut self, op: Op) {
        if matches!(op, Op::Purge) {
            self.keys.values_mut().filter(|key| key.revoked).for_each(|key| key.purges += 1);
        }
        self.unacknowledged.push(op);
    }

    fn end(&mut self, begun: u64, op: Op, outcome: &Outcome) {
        let key = |id: &String, keys: &BTreeMap<String, Key>| keys.get(id).expect("a key that is known").clone();
        match (&op, outcome) {
            (_, Outcome::NotDurable | Outcome::Io(_)) => return self.leave_unacknowledged(op),
            (Op::Create { names, permissions, role, tenant, entries }, Outcome::Created(created)) => {
                assert_eq!(names.len(), created.len());
                for (name, (id, token)) in names.iter().zip(created) {
                    let key = Key::new(name, permissions, *entries, Some(token.clone()));
                    let key = Key { role: role.clone(), tenant: tenant.clone(), ..key };
                    let fresh = self.keys.insert(id.clone(), key);
                    if fresh.is_some() {
                        self.faults.push(format!("the id {id} was given twice"));
                    }
                }
                self.events += names.len() as u64;
            }
            (Op::Rotate { id, overlap }, Outcome::Rotated(token)) => {
                let before = key(id, &self.keys);
                if *overlap != OverlapKind::None && before.refuses() == Some(true) {
                    self.faults.push(format!("{op:?} was done during an overlap"));
                }
                self.replace(id, before.after(&op, Some(token.clone())));
                self.events += 1;
            }
            (Op::Rotate { id, overlap }, Outcome::Overlapping) => {
                if *overlap == OverlapKind::None || key(id, &self.keys).refuses() == Some(false) {
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
            (Op::PutRole { name, .. } | Op::DeleteRole { name }, Outcome::Done) => {
                let after = role_after(name, &op).expect("an operation of this role");
                if after.is_none() && self.keys.values().any(|key| key.role.as_ref() == Some(name)) {
                    self.faults.push(format!("{op:?} was done, and keys have the role"));
                }
                let before = self.roles.insert(name.clone(), after.clone()).flatten();
                self.events += u64::from(before != after);
            }
            (Op::PutTenant { name, permissions }, Outcome::Done) => {
                let before = self.ceilings.insert(name.clone(), permissions.clone());
                self.events += u64::from(before.as_ref() != Some(permissions));
            }
            (Op::EndTenant { .. }, Outcome::Done) => {
                for id in self.keys.keys().cloned().collect::<Vec<_>>() {
                    let after = key(&id, &self.keys).after(&op, None);
                    self.replace(&id, after);
                }
                self.events += 1;
            }
            (Op::DeleteRole { name }, Outcome::InUse) => {
                if !self.keys.values().any(|key| key.role.as_ref() == Some(name)) && self.unacknowledged.is_empty() {
                    self.faults.push(format!("{op:?} was refused, and no key has the role"));
                }
                return;
            }
            (
                Op::Revoke { id } | Op::Disable { id, .. } | Op::Permit { id, .. } | Op::SetRole { id, .. },
                Outcome::Done,
            ) => {
                let before = key(id, &self.keys);
                let after = before.after(&op, None).expect("only a purge deletes");
                let state = |key: &Key| (key.revoked, key.disabled, key.permissions.clone(), key.role.clone());
                self.events += u64::from(state(&before) != state(&after));
                self.replace(id, Some(after));
            }
            (op, outcome) => return self.faults.push(format!("{op:?} ended with {outcome:?}")),
        }
        self.acknowledged += 1;
        // A use before the beginning of this change is on disk with it, at the latest.
        for key in self.keys.values_mut() {
            if matches!(key.used, Used::InMemory(used) if used < begun) {
                key.confirm_use();
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

    fn apply(expected: &mut Expected, op: Op, outcome: Option<Outcome>) {
        expected.apply(&Line { thread: 0, progress: Progress::Begin(op) });
        if let Some(outcome) = outcome {
            expected.apply(&Line { thread: 0, progress: Progress::End(outcome) });
        }
    }

    #[test]
    fn a_use_is_certain_after_a_change_that_began_later() {
        let mut expected = Expected::default();
        let created = Outcome::Created(vec![("a".into(), "a1".into())]);
        apply(
            &mut expected,
            Op::Create { names: vec!["n".into()], permissions: vec![], role: None, tenant: None, entries: 0 },
            Some(created),
        );
        let rotate = Op::Rotate { id: "a".into(), overlap: OverlapKind::FirstUse };
        apply(&mut expected, rotate, Some(Outcome::Rotated("a2".into())));
        apply(&mut expected, Op::Use { id: "a".into() }, Some(Outcome::Done));
        assert!(expected.keys["a"].older.is_some());
        apply(&mut expected, Op::Disable { id: "a".into(), on: true }, Some(Outcome::Done));
        assert!(expected.keys["a"].older.is_none());
        assert_eq!(expected.keys["a"].dead, ["a1"]);
        assert_eq!(expected.events, 3);
        apply(&mut expected, Op::Revoke { id: "a".into() }, None);
        expected.crash();
        assert_eq!(expected.unacknowledged, [Op::Revoke { id: "a".into() }]);
        assert!(expected.faults.is_empty());
    }
}
