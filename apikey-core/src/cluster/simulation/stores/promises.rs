//! What calls have promised, as their callers know.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::ledger::Position;
use crate::cluster::simulation::stores::scheduler::Process;
use crate::{CreatedKey, KeyId, StoreError};

/// A key, as its callers know it.
pub(super) struct KnownKey {
    pub(super) id: KeyId,
    pub(super) owner: usize,
    pub(super) tokens: Vec<KnownToken>,
    /// The name of its role.
    pub(super) role: Option<String>,
    /// The call that revoked it everywhere.
    pub(super) revoked: Option<u64>,
    /// Whether a call may have purged it.
    pub(super) may_be_purged: bool,
    /// The call by which it is disabled everywhere, and so for the permission that it lacks.
    pub(super) disabled: Option<u64>,
    pub(super) narrowed: Option<u64>,
    /// Calls under way that give something back, and how many there were.
    pub(super) giving: u64,
    pub(super) gave: u64,
    /// A call that gives something back had no answer.
    pub(super) is_unclear: bool,
    /// Whether its requests were idempotent: the index then has first uses that no record has.
    pub(super) is_idempotent: bool,
    /// The machines on which a replacement ended its secrets that the log did not get.
    pub(super) replaced_here: BTreeSet<usize>,
}

/// A role, as those know it who edit it.
#[derive(Default)]
pub(super) struct KnownRole {
    pub(super) exists: bool,
    /// The call by which it grants less everywhere.
    pub(super) narrowed: Option<u64>,
    /// Calls under way that let it grant more, and how many there were.
    pub(super) giving: u64,
    pub(super) gave: u64,
    /// A call that lets it grant more had no answer.
    pub(super) is_unclear: bool,
}

pub(super) struct KnownToken {
    pub(super) text: String,
    pub(super) version: u32,
    /// Whether its first use ends the secrets before it.
    pub(super) ends_by_use: bool,
    /// The call that ended it everywhere.
    pub(super) ended: Option<u64>,
    /// Where it ended without the others, by machine: until its life ends, or for good.
    pub(super) ended_here: BTreeMap<usize, Here>,
}

/// What holds on one machine alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    /// In this life.
    Life(u64),
    /// As long as the machine keeps its directory.
    Directory,
}

/// A call that may have changed something.
#[derive(Default)]
pub(super) struct KnownCall {
    /// The entry that has its changes.
    pub(super) entry: Option<Position>,
    /// The caller knows that it changed nothing, and never will.
    pub(super) is_refused: bool,
    /// It may change something in several entries.
    pub(super) has_parts: bool,
    /// The key that it revokes or replaces: in force on its machine from the moment at which it is sent.
    pub(super) takes_at_once: Option<usize>,
    /// The hold of a rotator that makes it.
    pub(super) held: Option<Vec<u8>>,
    /// The process that has sent its revocation, until that loses a race.
    pub(super) sent: Option<Process>,
    /// The number of the event that its entry follows, when it was sent.
    pub(super) base: u64,
}

#[derive(Default)]
pub(super) struct Promises {
    pub(super) keys: Vec<KnownKey>,
    /// The roles by name, since the engine went back last: others come after that.
    pub(super) roles: BTreeMap<String, KnownRole>,
    pub(super) calls: BTreeMap<u64, KnownCall>,
    next_call: u64,
    /// Purges under way.
    pub(super) purging: u64,
    /// Purges that have ended.
    pub(super) purges: u64,
    /// How often the engine went back.
    pub(super) times_back: u64,
    /// The newest change that holds everywhere.
    pub(super) everywhere: Position,
    /// Calls that have changed something, as their callers know.
    pub(super) acknowledged: BTreeSet<u64>,
    /// Ids of keys by the names of their idempotent requests.
    pub(super) requests: BTreeMap<String, KeyId>,
}

impl Promises {
    /// A process sends changes of these calls; `None` if they have lost a race.
    pub(super) fn sends(&mut self, process: Option<Process>, calls: &BTreeSet<u64>, base: u64) {
        for call in calls {
            let call = self.calls.entry(*call).or_default();
            (call.sent, call.base) = (process, base);
        }
    }

    /// An entry with changes of these calls is in the log. Returns what is wrong with that.
    pub(super) fn appended(&mut self, calls: &BTreeSet<u64>, last: Position) -> Option<String> {
        for number in calls {
            let call = self.calls.entry(*number).or_default();
            if call.is_refused {
                return Some(format!("the log has call {number}, which was refused"));
            }
            if let Some(before) = call.entry.replace(last)
                && !call.has_parts
            {
                return Some(format!("the log has call {number} twice, at {before:?} and at {last:?}"));
            }
        }
        None
    }

    /// The engine has lost some of what it had acknowledged.
    pub(super) fn forget(&mut self) {
        for key in &mut self.keys {
            (key.revoked, key.disabled, key.narrowed) = (None, None, None);
            (key.may_be_purged, key.is_unclear) = (true, true);
            for token in &mut key.tokens {
                (token.ended, token.ended_here) = (None, BTreeMap::new());
            }
        }
        self.roles.clear();
        // A node may make again what a call of several parts did.
        for call in self.calls.values_mut() {
            *call = KnownCall { has_parts: call.has_parts, ..KnownCall::default() };
        }
        self.acknowledged.clear();
        self.requests.clear();
        self.everywhere = Position::default();
        self.times_back += 1;
    }
}

/// A call that has begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    pub(super) call: u64,
    /// The log's head then.
    head: Position,
    /// How often the engine had gone back; another number if nothing that the call answers is a promise.
    pub(super) times_back: u64,
    /// How many purges had ended.
    pub(super) purges: u64,
}

impl Promises {
    pub(super) fn begin(&mut self, head: Position, is_safe: bool) -> Begun {
        self.next_call += 1;
        let times_back = if is_safe { self.times_back } else { u64::MAX };
        self.calls.insert(self.next_call, KnownCall::default());
        Begun { call: self.next_call, head, times_back, purges: self.purges }
    }

    /// A call returned `Ok`. Returns what is wrong with that.
    pub(super) fn succeeded(&mut self, begun: &Begun, name: &str, takes: bool, changed: bool) -> Option<String> {
        let entry = self.calls.get(&begun.call).and_then(|call| call.entry);
        if takes {
            // An answer that changes nothing speaks of what was in the log before.
            let at = entry.unwrap_or(begun.head);
            if at.number > self.everywhere.number {
                self.everywhere = at;
            }
        }
        if !changed {
            return None;
        }
        self.acknowledged.insert(begun.call);
        entry.is_none().then(|| format!("call {} ({name}) has changed something, and the log lacks it", begun.call))
    }

    /// A call returned an error that says that it has changed nothing. Returns what is wrong with that.
    pub(super) fn was_refused(&mut self, begun: &Begun, name: &str, error: &StoreError) -> Option<String> {
        let call = self.calls.get_mut(&begun.call)?;
        if call.has_parts {
            return None;
        }
        call.is_refused = true;
        call.entry.map(|at| format!("call {} ({name}) is in the log at {at:?}, and returned {error:?}", begun.call))
    }

    pub(super) fn find(&self, id: KeyId) -> Option<&KnownKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    pub(super) fn find_mut(&mut self, id: KeyId) -> Option<&mut KnownKey> {
        self.keys.iter_mut().find(|key| key.id == id)
    }
}

impl KnownKey {
    pub(super) fn new(created: &CreatedKey, owner: usize, is_idempotent: bool) -> Self {
        Self {
            id: created.info.id(),
            owner,
            tokens: vec![KnownToken::new(created, true)],
            role: created.info.roles().first().cloned(),
            revoked: None,
            may_be_purged: false,
            disabled: None,
            narrowed: None,
            giving: 0,
            gave: 0,
            is_unclear: false,
            is_idempotent,
            replaced_here: BTreeSet::new(),
        }
    }

    /// A call has ended every secret before this version.
    pub(super) fn end_before(&mut self, version: u32, call: u64) {
        for token in self.tokens.iter_mut().filter(|token| token.version < version) {
            token.ended = Some(call);
        }
    }

    /// The secrets before this version have ended on a machine alone.
    pub(super) fn end_here(&mut self, machine: usize, here: Here, before: u32) {
        for token in self.tokens.iter_mut().filter(|token| token.version < before) {
            let held = token.ended_here.entry(machine).or_insert(here);
            if here == Here::Directory {
                *held = here;
            }
        }
    }
}

impl KnownToken {
    pub(super) fn new(created: &CreatedKey, ends_by_use: bool) -> Self {
        Self::of(created.key.expose_secret(), created.info.version(), ends_by_use)
    }

    pub(super) fn of(text: &str, version: u32, ends_by_use: bool) -> Self {
        Self { text: text.to_owned(), version, ends_by_use, ended: None, ended_here: BTreeMap::new() }
    }
}
