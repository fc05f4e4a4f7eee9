//! What keys have used of their quotas: a cache line for each key that has one, without a lock.
//!
//! Most quotas are counted here, and written to the disk a little later. Those that are [strict](Quota::strict), and all of a
//! cluster, are used by blocks: a block is [reserved](Grant) first, on the disk or by the engine, and then used here.

mod of_key;
pub(super) mod owners;
#[cfg(feature = "cluster")]
mod shared;
pub(crate) mod slot;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::access::attempt::Taken;
use crate::access::named::NamedId;
use crate::access::quota::Quota;
use crate::access::quota::spent::{Row, Spent};
use crate::access::quota::status::QuotaStatus;
use crate::base::lock::lock;
use crate::index::limiters::KeyNumbers;
use crate::index::quotas::slot::{Grant, QuotaSlot, Refused};

/// How long before the end of a period the store reserves a block of the next one, so that its first request need not wait.
const AHEAD_MS: i64 = 10 * 60 * 1000;

/// Each so many looks a node asks again how much of a quota others have, if it refuses requests.
const AGAIN: u32 = 16;
/// Places of the smallest table of owners' quotas.
const SMALLEST: usize = 64;
/// Identities of which it is noted together whether their owners have a quota.
const CHUNK: usize = 1 << 12;

/// Numbered quotas, from 1; 0 means none. The writer reuses them. A reader that took a number from a line just before its key
/// was removed may use one of the next key's uses, once.
#[derive(Default)]
pub(super) struct Quotas {
    slots: boxcar::Vec<QuotaSlot>,
    /// Whether much was used since the store last wrote what was used.
    is_urgent: AtomicBool,
    /// Keys that have no quota any more.
    without: Mutex<Vec<u128>>,
    /// Whether all are used by blocks, which the nodes of a cluster reserve.
    is_shared: AtomicBool,
    /// The numbers of strict quotas that were set since the store last reserved blocks, and whether any of these has none yet.
    lacking: Mutex<Vec<u32>>,
    lacks_block: AtomicBool,
    /// Requests that were refused since the store last asked what quotas need, by the number of the quota.
    refused: Mutex<HashMap<u32, RefusedRequests>>,
    /// The numbers of quotas that had a block when a process was killed, and of which it may have used nothing: one that is
    /// killed again and again must not use them up. They get a block once a request is refused.
    cautious: Mutex<HashSet<u32>>,
    is_cautious: AtomicBool,
    /// How often a node has asked what its quotas need.
    looks: AtomicU32,
}

/// Requests of a quota that were refused.
#[derive(Debug, Clone, Copy, Default)]
struct RefusedRequests {
    /// The most that one of them costs.
    cost: u32,
    /// Whether one was refused only because nothing was reserved.
    waits: bool,
}

/// What was used of a key's quota, for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeySpent {
    pub(crate) key: u128,
    pub(crate) spent: Spent,
    ahead: Option<Spent>,
    number: u32,
}

/// A quota of which more should be reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) key: u128,
    pub(crate) quota: Quota,
    /// What should be reserved here in this period, used or not; at most the quota.
    pub(crate) here: Spent,
    /// What is reserved here already.
    pub(crate) reserved: u64,
    /// What should be, or is, reserved here in the next period, and whether it is not yet.
    pub(crate) ahead: Option<Spent>,
    pub(crate) is_ahead_new: bool,
    /// In a store of its own: what an earlier process has reserved in this period, or in the next one.
    earlier: Option<Spent>,
    /// What the words of the slot were.
    words: [u64; 2],
    number: u32,
}

impl KeySpent {
    /// What the disk has of it.
    pub(crate) fn row(&self) -> (u128, Row) {
        (self.key, Row { spent: self.spent, ahead: self.ahead })
    }
}

impl Need {
    /// What a store of its own writes before it lets requests have this.
    pub(crate) fn row(&self) -> (u128, Row) {
        (self.key, Row { spent: self.here, ahead: self.ahead }.with(self.earlier))
    }
}

impl Quotas {
    fn get(&self, number: u32) -> Option<&QuotaSlot> {
        self.slots.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// Whether any key has, or had, a quota.
    pub(super) fn is_any(&self) -> bool {
        self.slots.count() > 0
    }

    /// Whether much was used, or a request was refused for which nothing was reserved, since the last call of
    /// [`unwritten`](Self::unwritten).
    pub(super) fn is_urgent(&self) -> bool {
        self.is_urgent.load(Ordering::Relaxed)
    }

    /// Returns the quota that is in force for a key.
    pub(super) fn quota(&self, numbers: &KeyNumbers, id: u128) -> Option<Quota> {
        numbers.of(id).and_then(|number| self.get(number)).and_then(QuotaSlot::quota)
    }

    /// Sets the quota of a key, at once, and returns its number. After `None` the caller removes the number from the key's
    /// lines, and then calls [`KeyNumbers::give_back`].
    pub(super) fn set(&self, numbers: &mut KeyNumbers, id: u128, quota: Option<Quota>) -> u32 {
        if quota.is_none() {
            if let Some(slot) = numbers.of(id).and_then(|number| self.get(number)) {
                slot.set(None, self.is_shared.load(Ordering::Relaxed));
                lock(&self.without).push(id);
            }
            return 0;
        }
        // Above 2^32 quotas the number leads to none, and the index rejects the key.
        let new = || u32::try_from(self.slots.push(QuotaSlot::default()) + 1).unwrap_or(u32::MAX);
        let number = numbers.number(id, new, |number| self.get(number).into_iter().for_each(|slot| slot.reset(id)));
        let is_shared = self.is_shared.load(Ordering::Relaxed);
        let has_changed = self.get(number).is_some_and(|slot| slot.set(quota, is_shared));
        if self.is_cautious.load(Ordering::Relaxed) {
            lock(&self.cautious).insert(number);
            return number;
        }
        if has_changed && quota.is_some_and(|quota| quota.is_strict()) {
            lock(&self.lacking).push(number);
            self.lacks_block.store(true, Ordering::Release);
        }
        number
    }

    /// Whether a strict quota was set whose first block is not reserved yet, as far as [`reserved_new`](Self::reserved_new)
    /// says.
    pub(super) fn lacks_block(&self) -> bool {
        self.lacks_block.load(Ordering::Acquire)
    }

    /// Whether the process before this one was killed: what is set from now on gets a block once a request is refused. `false`
    /// ends that, for what is set later.
    pub(super) fn be_cautious(&self, is_cautious: bool) {
        self.is_cautious.store(is_cautious, Ordering::Relaxed);
    }

    /// What strict quotas need that were set since the last call.
    pub(super) fn needs_of_new(&self, now: i64) -> Vec<Need> {
        let lacking = std::mem::take(&mut *lock(&self.lacking));
        lacking.into_iter().filter_map(|number| self.need(number, None, now)).collect()
    }

    /// Sets the quota that the keys of a tenant or an owner share, at once, and returns its number, which stays the same from
    /// the first quota on; 0 if there has been none. A quota that was removed begins at nothing.
    pub(super) fn set_named(&self, numbers: &mut KeyNumbers, id: NamedId, quota: Option<Quota>) -> u32 {
        let held = self.quota(numbers, id);
        let number = numbers.of(id).unwrap_or(0);
        if held == quota {
            return number;
        }
        if let Some(slot) = self.get(number).filter(|_| held.is_none()) {
            slot.reset(id);
        }
        self.set(numbers, id, quota).max(number)
    }

    /// The id of the key, tenant or owner that has the quota with this number.
    fn id_of(&self, number: u32) -> Option<u128> {
        self.get(number).map(QuotaSlot::id)
    }

    /// Uses some of a quota at a time, and returns the number of its period, which is 0 if the key has no quota any more; `None`
    /// if there is no quota of this number. If it is too much, it gives back what the same request took before.
    pub(super) fn charge(
        &self,
        number: u32,
        cost: u32,
        before: Option<Taken>,
        now: i64,
    ) -> Option<Result<u32, Refused>> {
        let is_shared = self.is_shared.load(Ordering::Relaxed);
        let charged = self.get(number)?.charge(cost, before, now, is_shared);
        let charged = charged.inspect_err(|refused| self.note_refused(number, cost, refused));
        Some(charged.map(|(period, is_urgent)| {
            if is_urgent {
                self.is_urgent.store(true, Ordering::Relaxed);
            }
            period
        }))
    }

    /// Refuses a request as [`charge`](Self::charge) does, and takes nothing where that would.
    pub(super) fn refuse(
        &self,
        number: u32,
        cost: u32,
        before: Option<Taken>,
        now: i64,
    ) -> Option<Result<(), Refused>> {
        let refused = self.get(number)?.refuse(cost, before, now, self.is_shared.load(Ordering::Relaxed));
        Some(refused.inspect_err(|refused| self.note_refused(number, cost, refused)))
    }

    fn note_refused(&self, number: u32, cost: u32, refused: &Refused) {
        let waits = matches!(refused, Refused::Waits(_));
        if waits {
            self.is_urgent.store(true, Ordering::Relaxed);
        }
        // Other nodes may have given something back.
        if waits || self.is_shared.load(Ordering::Relaxed) {
            // A request never waits: its caller comes again, and then it may be noted.
            if let Ok(mut refused) = self.refused.try_lock() {
                let noted = refused.entry(number).or_default();
                *noted = RefusedRequests { cost: cost.max(noted.cost), waits: waits || noted.waits };
            }
        }
    }

    /// Gives back what a request took of a quota.
    pub(super) fn give_back(&self, taken: Taken) {
        self.get(taken.quota).into_iter().for_each(|slot| slot.give_back(taken));
    }

    /// What a key has left.
    pub(super) fn status(&self, number: u32, now: i64) -> Option<QuotaStatus> {
        let slot = self.get(number)?;
        let quota = slot.quota()?;
        let Spent { period, used } = Some(slot.spent()).filter(|spent| spent.period != quota.last_period())?;
        let (period, used) = quota.counted(period, used, now);
        let used = used.saturating_add(slot.elsewhere(period));
        Some(QuotaStatus { quota, used, resets_at: quota.end_of(period), waits: false })
    }

    /// The same by the key's id.
    pub(super) fn status_of(&self, numbers: &KeyNumbers, id: u128, now: i64) -> Option<QuotaStatus> {
        self.status(numbers.of(id)?, now)
    }

    /// What is not on the disk of quotas that are not used by blocks.
    pub(super) fn unwritten(&self) -> Vec<KeySpent> {
        self.is_urgent.store(false, Ordering::Relaxed);
        if self.is_shared.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let slots = self.slots.iter().filter_map(|(at, slot)| {
            let (key, word) = (slot.id(), slot.spent.load(Ordering::Relaxed));
            let is_news =
                slot.quota().is_some_and(|quota| !quota.is_strict()) && word != slot.written.load(Ordering::Relaxed);
            let number = u32::try_from(at + 1).ok()?;
            // Another key may have the number by now; what is read then is written the next time.
            (is_news && slot.id() == key).then(|| KeySpent { key, spent: Spent::unpacked(word), ahead: None, number })
        });
        slots.collect()
    }

    /// Notes what is on the disk.
    pub(super) fn note_written(&self, all: &[KeySpent]) {
        for KeySpent { key, spent, number, .. } in all {
            if let Some(slot) = self.get(*number).filter(|slot| slot.id() == *key) {
                slot.written.store(spent.packed(), Ordering::Relaxed);
            }
        }
    }

    /// What [`needs_of_new`](Self::needs_of_new) returned is reserved, or cannot be.
    pub(super) fn reserved_new(&self) {
        let lacking = lock(&self.lacking);
        self.lacks_block.store(!lacking.is_empty(), Ordering::Release);
    }

    /// What all quotas that are used by blocks need at a time.
    pub(super) fn needs(&self, now: i64) -> Vec<Need> {
        // The node asks now and then whether others have given something back: these refusals stay until then.
        let looks_again = self.looks.load(Ordering::Relaxed).is_multiple_of(AGAIN);
        let refused = {
            let mut refused = lock(&self.refused);
            let all = refused.clone();
            refused.retain(|_, noted| !noted.waits && !looks_again);
            all
        };
        let numbers = self.slots.iter().filter_map(|(at, _)| u32::try_from(at + 1).ok());
        numbers.filter_map(|number| self.need(number, refused.get(&number).copied(), now)).collect()
    }

    /// What should be reserved of a quota, if more should be, after these requests were refused.
    fn need(&self, number: u32, refused: Option<RefusedRequests>, now: i64) -> Option<Need> {
        let slot = self.get(number)?;
        let (key, quota) = (slot.id(), slot.quota()?);
        let is_shared = self.is_shared.load(Ordering::Relaxed);
        if !quota.is_strict() && !is_shared {
            return None;
        }
        let spent = Some(slot.spent()).filter(|spent| spent.period != quota.last_period())?;
        let (period, used) = quota.counted(spent.period, spent.used, now);
        // Other nodes need what is reserved here and nobody uses.
        if !quota.is_strict() && used == 0 && refused.is_none() {
            return None;
        }
        let words = slot.reserved_words();
        let held = slot.reserved_by(quota, period, now);
        if held.is_none() && !self.may_have_first_block(number, refused.is_some()) {
            return None;
        }
        let cost = refused.map_or(0, |refused| refused.cost.into());
        // Others may use what a large request waits for, while it waits.
        let block = quota.block() + if cost > quota.block() { cost } else { 0 };
        let reserved = held.unwrap_or(0);
        let left = reserved.saturating_sub(used);
        let is_short = held.is_none() || left <= quota.block() / 2 || left < cost;
        let looks_again = refused.is_some() && self.looks.load(Ordering::Relaxed).is_multiple_of(AGAIN);
        let elsewhere = if looks_again && is_shared { 0 } else { slot.elsewhere(period) };
        let most = quota.count().saturating_sub(elsewhere);
        let top = if is_short { used.saturating_add(block).min(most).max(reserved) } else { reserved };
        let ahead = slot.ahead(period);
        let wanted = ahead.or_else(|| if quota.is_strict() { next_block(quota, period, now) } else { None });
        let is_needed = held.is_none() || top > reserved || wanted != ahead;
        let need = Need {
            key,
            quota,
            here: Spent { period, used: top },
            reserved,
            ahead: wanted,
            is_ahead_new: wanted != ahead,
            earlier: if is_shared { None } else { slot.earlier(period) },
            words,
            number,
        };
        // Another key may have the number by now.
        (is_needed && slot.id() == key).then_some(need)
    }

    fn may_have_first_block(&self, number: u32, is_refused: bool) -> bool {
        let mut cautious = lock(&self.cautious);
        if is_refused {
            cautious.remove(&number);
        }
        !cautious.contains(&number)
    }

    /// Lets requests have what is reserved, unless the quota has begun anew meanwhile.
    pub(super) fn grant(&self, need: &Need, reserved: Grant) {
        let slot = self.get(need.number).filter(|slot| slot.id() == need.key && slot.reserved_words() == need.words);
        if let Some(slot) = slot {
            slot.grant(reserved);
            // Requests that were refused meanwhile find this.
            lock(&self.refused).remove(&need.number);
            slot.written.store(reserved.here.packed(), Ordering::Relaxed);
        }
    }

    /// Lets no request have anything any more of strict quotas, and returns what was used of each, if the disk has something
    /// else.
    pub(super) fn end_strict(&self) -> Vec<KeySpent> {
        let slots = self.slots.iter().filter_map(|(at, slot)| {
            let quota = slot.quota().filter(|quota| quota.is_strict())?;
            let (key, written, spent) = (slot.id(), slot.written.load(Ordering::Relaxed), slot.end(quota)?);
            let (ahead, earlier) = (slot.ahead(spent.period), slot.earlier(spent.period));
            let number = u32::try_from(at + 1).ok()?;
            let Row { spent: all, ahead: left } = Row { spent, ahead: None }.with(earlier);
            let is_news = spent.packed() != written || ahead.is_some();
            is_news.then_some(KeySpent { key, spent: all, ahead: left, number })
        });
        slots.collect()
    }

    /// The clock has run evenly for some minutes, so a period after this time was a mistake of the clock: what was used in it
    /// counts now.
    pub(super) fn trust_clock(&self, now: i64) {
        for (_, slot) in &self.slots {
            let (Some(quota), word) = (slot.quota(), slot.spent.load(Ordering::Relaxed)) else { continue };
            let Spent { period: last, used } = Spent::unpacked(word);
            let at = quota.period_at(now);
            if quota.counted(last, used, now) == (last, used) && last > at {
                // It may be used up already: what was used in it before the mistake is not known any more.
                let used = if quota.is_strict() { quota.count() } else { used };
                let new = Spent { period: at, used }.packed();
                let _ = slot.spent.compare_exchange(word, new, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }

    /// The keys that lost their quotas since the last call, and have none again.
    pub(super) fn take_without(&self, numbers: &KeyNumbers) -> Vec<u128> {
        let mut without = std::mem::take(&mut *lock(&self.without));
        without.retain(|key| self.quota(numbers, *key).is_none());
        without
    }

    /// Takes what the disk has of a key while the store is opened; `None` if that is damaged: then nothing is left in this
    /// period. What was reserved is used. Returns whether the key has a quota.
    pub(super) fn restore(&self, numbers: &KeyNumbers, key: u128, row: Option<Row>, now: i64) -> bool {
        let Some(slot) = numbers.of(key).and_then(|number| self.get(number)) else { return false };
        let Some(quota) = slot.quota() else { return false };
        let used_up = || Row { spent: Spent { period: quota.period_at(now), used: quota.count() }, ahead: None };
        // Without any uses ahead it counts when it is used.
        let row_at = |row: Row| if row.ahead.is_some() { row.at(quota, now) } else { row };
        let spent = row.map_or_else(used_up, row_at).spent;
        slot.spent.store(spent.packed(), Ordering::Relaxed);
        let written = row.filter(|row| row.spent == spent).map_or(u64::MAX, |row| row.spent.packed());
        slot.written.store(written, Ordering::Relaxed);
        if let Some(ahead) = row.and_then(|row| row.at(quota, now).ahead) {
            slot.note_earlier(ahead);
        }
        true
    }
}

/// The first block of the next period, if that begins soon.
fn next_block(quota: Quota, period: u32, now: i64) -> Option<Spent> {
    let end = quota.end_of(period)?.timestamp_millis();
    // A clock that is set back is not in this period.
    let is_soon = (1..=AHEAD_MS).contains(&(end - now));
    is_soon.then(|| Spent { period: quota.period_at(end), used: quota.block() })
}
