//! Quotas in a cluster: a node reserves blocks of them in the ledger, and lets requests have these.
//!
//! The ledger has one reservation for each quota in use: what all nodes have reserved of it in a period, used or not. A node
//! raises it by compare-and-swap, and only then lets requests have more; so all nodes together never have more than the
//! quota, but for what a node lets through while the engine is away: of a strict quota nothing, and of any other one block.

use std::time::{Duration, Instant};

use crate::access::quota::spent::{Row, Spent};
use crate::base::codec;
use crate::base::lock::lock;
use crate::base::signal::Wake;
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::ledger::{Reserved, Swap};
use crate::cluster::node::admission::MAX_SKEW_MS;
use crate::cluster::node::shared::{Node, PATIENCE};
use crate::commit::cluster::propagation::Hold;
use crate::commit::engine::Engine;
use crate::index::quotas::Need;
use crate::index::quotas::slot::Grant;
use crate::storage::database::spent::StoredSpent;

/// How often the node looks at what its quotas need, and the shortest time between two looks, if they need much.
const EACH: Duration = Duration::from_secs(1);
const MUCH: Duration = Duration::from_millis(100);
/// How often a swap is tried that other nodes keep winning, before the next look.
const TRIES: usize = 8;
/// The reservations whose values a node remembers, to change them in one call.
const REMEMBERED: usize = 100_000;

impl Node {
    /// Reserves what quotas need until the node closes.
    pub(crate) fn reserve_until_closed(&self, engine: &Engine) {
        let mut due = self.runtime.now();
        let mut is_behind = false;
        loop {
            let is_waited_for = engine.index.is_spent_fast() || engine.index.lacks_block();
            let next = due + if is_waited_for { MUCH } else { EACH };
            if self.runtime.wait(&self.reserving, Some(next)) == Wake::Closed {
                return;
            }
            // However often it is woken.
            let pause = if is_behind { EACH } else { MUCH };
            self.runtime.sleep((due + pause).saturating_duration_since(self.runtime.now()));
            if self.reserving.is_closed() {
                return;
            }
            due = self.runtime.now();
            let reserved = self.reserve(engine, self.runtime.now() + PATIENCE);
            match &reserved {
                Err(error) if !is_behind => tracing::warn!(
                    name: "apikey.quotas", target: "apikey", %error,
                    "this node can reserve no more of the quotas, and refuses requests once what it has is used"
                ),
                Ok(()) if is_behind => {
                    tracing::info!(name: "apikey.quotas", target: "apikey", "this node reserves quotas again")
                }
                _ => {}
            }
            is_behind = reserved.is_err();
        }
    }

    /// Reserves what all quotas need, and deletes the reservations of those that are gone.
    pub(crate) fn reserve(&self, engine: &Engine, by: Instant) -> Result<(), LedgerError> {
        // A node that does not serve needs nothing, and its clock may be wrong.
        if !engine.index.has_quotas() || !engine.is_ready() {
            return Ok(());
        }
        let Some(_one) = self.reserved.take(&self.runtime, by) else { return Ok(()) };
        engine.index.begin_reserving();
        // What was just set is among all.
        let now = engine.time.now_ms();
        let _ = engine.index.needed_of_new_quotas(now);
        let reserved = self.reserve_all(engine, &engine.index.needed_quotas(now), by);
        engine.index.reserved_new_quotas();
        reserved?;
        self.forget_reservations(engine, by)
    }

    /// Reserves the first blocks of strict quotas that were just set.
    pub(crate) fn reserve_first(&self, engine: &Engine, by: Instant) -> Result<(), LedgerError> {
        // The thread may be reserving them already.
        let one = self.reserved.take(&self.runtime, by);
        let _one = one.ok_or_else(|| LedgerError::refused("what quotas need is being reserved"))?;
        let reserved = self.reserve_all(engine, &engine.index.needed_of_new_quotas(engine.time.now_ms()), by);
        engine.index.reserved_new_quotas();
        reserved
    }

    fn reserve_all(&self, engine: &Engine, needs: &[Need], by: Instant) -> Result<(), LedgerError> {
        // By a wrong clock it would reserve of a period in which the others are not.
        if needs.is_empty() || !engine.is_ready() || self.is_clock_wrong() {
            return Ok(());
        }
        let plan = |need: &Need, held: Option<&Vec<u8>>| Plan::new(*need, held, engine.time.now_ms());
        let grant = |plan: &Plan| engine.index.grant_quota(&plan.need, plan.grant);
        needs.chunks(Swap::MAX).try_for_each(|needs| self.swap_until_done(needs, plan, grant, by))
    }

    /// Makes the swaps that `plan` returns, by what the reservations hold, and plans those anew that are lost.
    fn swap_until_done(
        &self,
        needs: &[Need],
        plan: impl Fn(&Need, Option<&Vec<u8>>) -> Option<Plan>,
        done: impl Fn(&Plan),
        by: Instant,
    ) -> Result<(), LedgerError> {
        let mut needs = needs.to_vec();
        for _ in 0..TRIES {
            let plans: Vec<Plan> = {
                let seen = lock(&self.seen_reservations);
                needs.iter().filter_map(|need| plan(need, seen.get(&need.key))).collect()
            };
            let lost = self.swap_all(&plans, by)?;
            plans.iter().filter(|plan| !lost.contains(&plan.need.key)).for_each(&done);
            needs.retain(|need| lost.contains(&need.key));
            if needs.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Makes these swaps, and remembers what the reservations hold after them. Returns the keys of those that are lost.
    fn swap_all(&self, plans: &[Plan], by: Instant) -> Result<Vec<u128>, LedgerError> {
        if plans.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<[u8; 16]> = plans.iter().map(|plan| plan.need.key.to_be_bytes()).collect();
        let swaps = plans.iter().zip(&names).map(|(plan, name)| Swap {
            name,
            old: plan.old.as_deref(),
            new: plan.new.as_deref(),
        });
        let answers = self.noted(self.ledger.reserve(self.generation(), &swaps.collect::<Vec<_>>(), by));
        let mut seen = lock(&self.seen_reservations);
        if answers.is_err() || seen.len() > REMEMBERED {
            // Any of them may have been done.
            seen.clear();
        }
        let mut lost = Vec::new();
        for (plan, answer) in plans.iter().zip(answers?) {
            let held = match answer {
                Reserved::Done => plan.new.clone(),
                Reserved::Lost { held } => {
                    lost.push(plan.need.key);
                    held
                }
            };
            match held {
                Some(held) => drop(seen.insert(plan.need.key, held)),
                None => drop(seen.remove(&plan.need.key)),
            }
        }
        Ok(lost)
    }

    /// Gives back what this node has reserved and not used. Requests have nothing more from now on.
    pub(crate) fn give_back_reserved(&self, engine: &Engine, by: Instant) {
        if !engine.index.has_quotas() {
            return;
        }
        // Without its turn another call goes on, and gets what requests do not have any more.
        let one = self.reserved.take(&self.runtime, by);
        let now = engine.time.now_ms();
        let needs = engine.index.end_shared_quotas(now);
        let plan = |need: &Need, held: Option<&Vec<u8>>| Plan::giving_back(*need, held, now);
        let mut given_back = needs.chunks(Swap::MAX).map(|needs| self.swap_until_done(needs, plan, |_| {}, by));
        if one.is_none() || given_back.any(|given_back| given_back.is_err()) {
            tracing::info!(name: "apikey.quotas", target: "apikey", "what this node has reserved of quotas and not used counts as used");
        }
    }

    /// Deletes the reservations of quotas that were removed, or whose keys were deleted, if this node keeps house. One that is
    /// given again meanwhile, and used, stays.
    fn forget_reservations(&self, engine: &Engine, by: Instant) -> Result<(), LedgerError> {
        if !self.state().holds.contains_key(&Hold::Janitor) {
            return Ok(());
        }
        for gone in engine.index.take_without_quota().chunks(Swap::MAX) {
            let gone: Vec<Seen> = gone.iter().map(|key| (*key, None)).collect();
            let held = self.delete_reservations(&gone, by)?;
            if held.is_empty() {
                continue;
            }
            // A quota that is given again after this begins with a reservation that is not the one that was seen.
            if self.catch_up_with_now(engine, by).is_err() {
                return Err(LedgerError::refused("the log cannot be followed"));
            }
            let held: Vec<_> = held.into_iter().filter(|(key, _)| engine.index.lacks_quota(*key)).collect();
            self.delete_reservations(&held, by)?;
        }
        Ok(())
    }

    /// Deletes these reservations, and returns those that hold something else.
    fn delete_reservations(&self, seen: &[Seen], by: Instant) -> Result<Vec<Seen>, LedgerError> {
        if seen.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<_> = seen.iter().map(|(key, _)| key.to_be_bytes()).collect();
        let swaps = seen.iter().zip(&names).map(|((_, old), name)| Swap { name, old: old.as_deref(), new: None });
        let answers = self.noted(self.ledger.reserve(self.generation(), &swaps.collect::<Vec<_>>(), by))?;
        let others = seen.iter().zip(answers).filter_map(|((key, _), answer)| match answer {
            Reserved::Lost { held: Some(held) } => Some((*key, Some(held))),
            _ => None,
        });
        Ok(others.collect())
    }
}

/// A key, and what its reservation has.
type Seen = (u128, Option<Vec<u8>>);

/// A swap of a reservation, and what it gives this node.
struct Plan {
    need: Need,
    old: Option<Vec<u8>>,
    new: Option<Vec<u8>>,
    grant: Grant,
}

impl Plan {
    /// Plans to reserve what a quota needs, by what the reservation holds; `None` if that is of a period which soon begins here,
    /// too.
    fn new(need: Need, held: Option<&Vec<u8>>, now: i64) -> Option<Self> {
        let Spent { period, used: wanted } = need.here;
        let count = need.quota.count();
        let used_up = Row { spent: Spent { period, used: count }, ahead: None };
        let row = held.map_or_else(Row::default, |held| read(need.key, held).unwrap_or(used_up));
        let mut row = row.at(need.quota, now);
        if row.spent.period != period {
            // This clock agrees with those of the others, so a later period was a mistake of one of them. What was used of the
            // present one before that is not known any more.
            let begins = need.quota.end_of(row.spent.period.saturating_sub(1))?.timestamp_millis();
            if begins <= now.saturating_add(MAX_SKEW_MS) {
                return None;
            }
            row = if need.quota.is_strict() {
                used_up
            } else {
                Row { spent: Spent { period, ..row.spent }, ahead: None }
            };
        }
        // An engine that went back has less than this node alone.
        row.spent.used = row.spent.used.max(need.reserved);
        let more = wanted.saturating_sub(need.reserved).min(count.saturating_sub(row.spent.used));
        // What is reserved ahead is part of the reservation already.
        let ahead = need.ahead.filter(|_| need.is_ahead_new).map(|ahead| {
            let held = row.ahead.filter(|held| held.period == ahead.period).map_or(0, |held| held.used);
            (held, Spent { used: ahead.used.min(count.saturating_sub(held)), ..ahead })
        });
        let after = Row {
            spent: Spent { period, used: row.spent.used.saturating_add(more) },
            ahead: ahead.map_or(row.ahead, |(held, new)| Some(Spent { used: held.saturating_add(new.used), ..new })),
        };
        let grant = Grant {
            here: Spent { period, used: need.reserved.saturating_add(more) },
            elsewhere: Some(row.spent.used.saturating_sub(need.reserved)),
            ahead: ahead.map_or(need.ahead, |(_, new)| Some(new)),
        };
        Some(Self { need, old: held.cloned(), new: Some(write(after)?), grant })
    }

    /// Plans to give back what is reserved here and not used: `need.here` is what was used. If the node does not know what
    /// the reservation holds, it only finds that out.
    fn giving_back(need: Need, held: Option<&Vec<u8>>, now: i64) -> Option<Self> {
        let grant = Grant { here: need.here, elsewhere: None, ahead: None };
        let Some(held) = held else { return Some(Self { need, old: None, new: None, grant }) };
        let mut row = read(need.key, held)?.at(need.quota, now);
        if row.spent.period == need.here.period {
            let unused = need.reserved.saturating_sub(need.here.used);
            row.spent.used = row.spent.used.saturating_sub(unused);
        }
        if let (Some(ahead), Some(own)) = (&mut row.ahead, need.ahead)
            && ahead.period == own.period
        {
            ahead.used = ahead.used.saturating_sub(own.used);
        }
        Some(Self { need, old: Some(held.clone()), new: Some(write(row)?), grant })
    }
}

/// Reads a reservation. One that is damaged counts as used up in the present period.
fn read(key: u128, held: &[u8]) -> Option<Row> {
    let row = codec::decode::<StoredSpent>(held).inspect_err(|error| {
        let key = crate::token::key_id::KeyId::from_u128(key);
        tracing::error!(%error, %key, "what the cluster has reserved of a quota is damaged: nothing is left of it");
    });
    row.ok().map(Row::from)
}

fn write(row: Row) -> Option<Vec<u8>> {
    codec::encode(&StoredSpent::from(row)).ok()
}
