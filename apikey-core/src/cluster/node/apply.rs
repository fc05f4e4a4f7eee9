//! Applying the log: entries become visible in order, each key is settled, and then the gate may stay open.

#[cfg(test)]
use std::io::Error;
use std::time::Instant;

use crate::base::codec::CodecError;
use crate::base::lock::lock;
use crate::cluster::format::entry::{EntryError, LOG_END, LogEntry};
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::ledger::{Logged, Position};
use crate::cluster::node::apply_entry::ApplyError;
use crate::cluster::node::here_only::{AllHereOnly, HereOnly};
use crate::cluster::node::shared::{FollowError, LOG_GONE, Node, PATIENCE, REPLACED, State};
use crate::commit::engine::Engine;
use crate::commit::local_log::OpenLog;
use crate::commit::writer::Writer;
use crate::key::error::StoreError;

/// The most bytes that a node reads of the log at a time, unless one entry has more.
const READ: usize = 1 << 20;

/// A read that is smaller ends where the log does, unless a large entry follows.
const SMALL: usize = READ / 2;

/// What a read of the log has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogRead {
    Nothing,
    /// One small entry, most likely the last one: another node has made a change.
    One,
    /// More: the node is behind, and reads on.
    Many,
}

impl LogRead {
    fn of(entries: &[Logged]) -> Self {
        match entries {
            [] => Self::Nothing,
            [entry] if entry.bytes.len() < SMALL => Self::One,
            _ => Self::Many,
        }
    }
}

/// How entries are applied.
type Apply = fn(&Node, &Engine, &[Logged]) -> Result<(), FollowError>;

impl Node {
    /// Reads and applies the log up to an event that it had when the caller asked, or as far as reads return it. There
    /// need not be an end of the log: others append to it meanwhile.
    pub(crate) fn catch_up(&self, engine: &Engine, to: u64, by: Instant) -> Result<(), FollowError> {
        self.check_in_step()?;
        self.read_on(engine, to, by, Self::apply)
    }

    /// The same up to the head that the log has now.
    pub(crate) fn catch_up_with_now(&self, engine: &Engine, by: Instant) -> Result<(), FollowError> {
        self.check_in_step()?;
        let head = self.noted(self.ledger.sight(self.generation(), by))?.head;
        let Some(head) = head else {
            self.stop(engine, LOG_GONE);
            return Err(FollowError::Entry(LOG_GONE.into()));
        };
        self.catch_up(engine, head.number, by)
    }

    pub(super) fn check_in_step(&self) -> Result<(), FollowError> {
        match self.state().recovery.clone() {
            Some(step) => Err(LedgerError::refused(step.to_string()).into()),
            None => Ok(()),
        }
    }

    /// The same as [`catch_up`](Self::catch_up), also while the node recovers.
    pub(crate) fn read_on(&self, engine: &Engine, to: u64, by: Instant, apply: Apply) -> Result<(), FollowError> {
        while self.head().number < to {
            if self.runtime.now() >= by {
                return Err(LedgerError::refused("the log is longer than the time for it").into());
            }
            if self.read_some(engine, apply)? == LogRead::Nothing {
                break;
            }
        }
        Ok(())
    }

    /// Reads what follows in the log, as much as a read returns, and applies it.
    pub(crate) fn read_some(&self, engine: &Engine, apply: Apply) -> Result<LogRead, FollowError> {
        if let Some(fault) = self.state().fault.clone() {
            return Err(FollowError::Entry(fault));
        }
        let after = self.head().number;
        let read = self.noted(self.ledger.read(self.generation(), after, READ, self.runtime.now() + PATIENCE));
        if let Err(LedgerError::BelowFloor { floor }) = read
            // The replica may have got it from an own entry meanwhile.
            && self.head().number < floor
        {
            self.fell_behind(engine);
        }
        let entries = read?;
        if !entries.is_empty() {
            apply(self, engine, &entries)?;
        }
        Ok(LogRead::of(&entries))
    }

    /// Applies entries of the log, as far as the replica lacks them, and settles them.
    pub(crate) fn apply(&self, engine: &Engine, entries: &[Logged]) -> Result<(), FollowError> {
        let applied = self.try_apply(engine, entries);
        match &applied {
            // A node that cannot apply the log must not serve by what it has.
            Err(FollowError::Entry(what)) => self.stop(engine, what),
            Err(FollowError::Unusable { op, what }) => self.cannot_use(engine, *op, what.clone()),
            Err(FollowError::Elsewhere(_)) => self.went_back(engine),
            _ => {}
        }
        applied
    }

    /// Applies them, and leaves to the caller what to do if that cannot be.
    pub(crate) fn try_apply(&self, engine: &Engine, entries: &[Logged]) -> Result<(), FollowError> {
        let _applying = lock(&self.applying);
        let log = engine.log.open()?;
        let here = self.state().here.clone();
        let mut keys = Vec::new();
        let mut writer = engine.writer();
        let mut result = Ok(());
        for logged in entries {
            if logged.last.number <= writer.head().number {
                continue;
            }
            match self.append_here(engine, &mut writer, &log, &here, logged) {
                Ok(changed) => keys.extend(changed),
                // Those before it are settled all the same.
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        let ticket = engine.group.appended();
        drop(writer);
        self.state().unsettled.extend(&keys);
        engine.wait(ticket, &log).map_err(StoreError::from)?;
        #[cfg(test)]
        self.runtime.observe();
        self.settle_rest(engine, &log, &here)?;
        let mut state = self.state();
        let State { membership, chain, .. } = &mut *state;
        chain.settle();
        if !membership.applied(|position| chain.place(position)) {
            return Err(FollowError::Elsewhere(chain.head().number));
        }
        drop(state);
        self.set_gate(engine);
        result
    }

    /// Settles keys outside the application of an entry.
    pub(super) fn settle(&self, engine: &Engine, keys: &[u128]) -> Result<(), StoreError> {
        self.settle_again(engine, keys, &[])
    }

    /// The same after a change that did not come about. `unused` are the secrets that it had removed, by key and version:
    /// nobody has used them, which no record says of a first secret.
    pub(super) fn settle_again(
        &self,
        engine: &Engine,
        keys: &[u128],
        unused: &[(u128, u32)],
    ) -> Result<(), StoreError> {
        // The records must not change between the read and the index.
        let _applying = lock(&self.applying);
        let log = engine.log.open()?;
        let here = self.state().here.clone();
        self.settle_in(engine, keys, &log, &here, unused)
    }

    /// Settles what is not settled: the keys of the last entries, and those of an earlier try that failed. Without it the
    /// node may have less in force than its replica.
    pub(super) fn settle_rest(&self, engine: &Engine, log: &OpenLog<'_>, here: &AllHereOnly) -> Result<(), StoreError> {
        let keys: Vec<u128> = self.state().unsettled.iter().copied().collect();
        if keys.is_empty() || !self.settings.safeguards.settles_each_entry {
            return Ok(());
        }
        self.settle_in(engine, &keys, log, here, &[])
    }

    /// Settles keys, under the lock of what applies. Those that it could not settle are settled before anything else is
    /// applied or decided.
    pub(super) fn settle_in(
        &self,
        engine: &Engine,
        keys: &[u128],
        log: &OpenLog<'_>,
        here: &AllHereOnly,
        unused: &[(u128, u32)],
    ) -> Result<(), StoreError> {
        let counts = self.settings.safeguards.counts_waiting_first_uses;
        let waiting = counts.then_some(&engine.first_uses);
        let settle = || engine.settle(keys, log, here, unused, waiting);
        #[cfg(test)]
        let settle = || {
            if !keys.is_empty() && self.runtime.is_unreadable() {
                Err(Error::other("simulated").into())
            } else {
                settle()
            }
        };
        let settled = settle();
        let mut state = self.state();
        if settled.is_err() && self.settings.safeguards.settles_what_failed {
            state.unsettled.extend(keys);
        } else {
            for id in keys {
                state.unsettled.remove(id);
            }
        }
        settled
    }

    /// Changes what is in force on this node alone, and settles these keys.
    pub(super) fn take_here<T>(
        &self,
        engine: &Engine,
        taken: &[(u128, T)],
        take: impl Fn(&mut HereOnly, &T),
    ) -> Result<(), StoreError> {
        self.put_here(taken, take);
        self.settle(engine, &taken.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    }

    /// Notes what is to be in force on this node once its keys are settled.
    pub(crate) fn put_here<T>(&self, taken: &[(u128, T)], take: impl Fn(&mut HereOnly, &T)) {
        let mut state = self.state();
        for (id, taken) in taken {
            let here = state.here.entry(*id).or_default();
            take(here, taken);
            if here.is_empty() {
                state.here.remove(id);
            }
        }
    }

    /// Checks an entry of the log, and appends it to the replica. Returns the keys that it changes.
    fn append_here(
        &self,
        engine: &Engine,
        writer: &mut Writer,
        log: &OpenLog<'_>,
        here: &AllHereOnly,
        logged: &Logged,
    ) -> Result<Vec<u128>, FollowError> {
        if logged.bytes == LOG_END {
            return Err(FollowError::Entry(REPLACED.into()));
        }
        let named = || {
            let op = u128::from_be_bytes(logged.op);
            format!("the entry {} to {} of the log (operation {op:032x})", logged.first, logged.last.number)
        };
        let unusable = |what: String| FollowError::Unusable { op: logged.op, what: format!("{} {what}", named()) };
        let entry = LogEntry::decode(&logged.bytes, &writer.digesters).map_err(|error| match error {
            EntryError::Codec(error @ CodecError::Newer(_)) => newer(&named(), &error),
            other => unusable(format!("cannot be used: {other}")),
        })?;
        if entry.generation != self.generation()
            || entry.last() != logged.last
            || entry.base.number.checked_add(1) != Some(logged.first)
            || entry.op.to_be_bytes() != logged.op
        {
            return Err(unusable("is in another place than its own".into()));
        }
        let base = entry.base;
        let none = AllHereOnly::new();
        let here = if self.settings.safeguards.narrows_while_applying { here } else { &none };
        let changed = engine.apply_entry(writer, log, here, entry).map_err(|error| match error {
            ApplyError::Replica(error) => FollowError::Replica(error),
            ApplyError::Chain(after) => FollowError::Elsewhere(after),
            ApplyError::Codec(error @ CodecError::Newer(_)) => newer(&named(), &error),
            other => unusable(format!("cannot be applied: {other}")),
        })?;
        self.state().chain.append(logged.last);
        self.keep_entry(base, logged);
        Ok(changed)
    }

    /// Keeps an entry that the replica has applied, for an engine that loses it.
    fn keep_entry(&self, base: Position, logged: &Logged) {
        let kept = lock(&self.kept).append(base.place(), logged.last.place(), logged.op, &logged.bytes);
        if let Err(error) = kept {
            tracing::warn!(%error, "an entry of the cluster's log is not kept, and could not be brought back if the engine lost it");
        }
    }

    /// Opens the gate for as long as the node is fresh. Everything that it has seen is settled.
    pub(crate) fn set_gate(&self, engine: &Engine) {
        let state = self.state();
        if state.fault.is_some() || state.recovery.is_some() {
            return engine.gate.close();
        }
        // Under the lock of the state, so that no older deadline follows a newer one.
        match state.membership.gate(self.clock.now()) {
            Some((until, wall)) => engine.gate.open_until(until, wall),
            None => engine.gate.close(),
        }
    }
}

/// An entry that this version must not pass over.
fn newer(entry: &str, error: &CodecError) -> FollowError {
    FollowError::Entry(format!("{entry} has {error}: a newer version wrote it; upgrade this node"))
}
