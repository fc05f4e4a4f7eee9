//! Requests of keys with quotas of their own, of their owners and of their tenants, against a model that adds up.

use std::collections::BTreeMap;

use apikey::{
    Attempt, AuthError, Charge, CreatedKey, KeyStore, ManualClock, NewKey, Owner, Quota, QuotaPeriod, Tenant,
};
use chrono::{DateTime, Datelike, TimeDelta, TimeZone, Utc};
use proptest::prelude::*;

const TENANTS: [&str; 2] = ["acme", "apex"];
const OWNERS: [&str; 2] = ["alice", "bob"];
/// The keys: one for each tenant, owner and number.
const KEYS: usize = 8;

/// The holder of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Key(usize),
    /// Of a tenant.
    Owner(usize, usize),
    Tenant(usize),
}

#[derive(Debug, Clone)]
enum Step {
    /// A request of a key, and what later guards of it cost; whether the handler's own guard refuses it in the end.
    Request {
        key: usize,
        costs: Vec<u32>,
        refused: bool,
    },
    Put(Whose, Option<(u64, u8)>),
    Advance(i64),
}

fn key_of(tenant: usize, owner: usize, number: usize) -> usize {
    tenant * 4 + owner * 2 + number
}

/// The quotas that a key may have, in the order in which they refuse.
fn quotas_of(key: usize) -> [Whose; 3] {
    [Whose::Key(key), Whose::Owner(key / 4, key / 2 % 2), Whose::Tenant(key / 4)]
}

fn quota((count, period): (u64, u8)) -> Quota {
    match period {
        0 => Quota::per_day(count),
        1 => Quota::per_month(count),
        _ => Quota::total(count),
    }
}

fn step() -> impl Strategy<Value = Step> {
    let whose = prop_oneof![
        (0..KEYS).prop_map(Whose::Key),
        (0..2usize, 0..2usize).prop_map(|(tenant, owner)| Whose::Owner(tenant, owner)),
        (0..2usize).prop_map(Whose::Tenant),
    ];
    let bound = prop::option::weighted(0.8, (1..40u64, 0..3u8));
    prop_oneof![
        8 => (0..KEYS, prop::collection::vec(1..9u32, 1..4), any::<bool>(), any::<bool>()).prop_map(
            |(key, costs, refused, rarely)| Step::Request { key, costs, refused: refused && rarely }
        ),
        1 => (whose, bound).prop_map(|(whose, bound)| Step::Put(whose, bound)),
        1 => (1..40i64).prop_map(Step::Advance),
    ]
}

/// The quotas, each with the period in which it was last used, and the uses of that.
#[derive(Default)]
struct Model(BTreeMap<Whose, (Quota, Period, u64)>);

/// The year, the month and the day in which it began, as far as it has them.
type Period = (i32, u32, u32);

fn period_of(quota: Quota, now: DateTime<Utc>) -> Period {
    match quota.period() {
        QuotaPeriod::Day => (now.year(), now.month(), now.day()),
        QuotaPeriod::Month => (now.year(), now.month(), 0),
        _ => (0, 0, 0),
    }
}

impl Model {
    fn used(&self, whose: Whose, now: DateTime<Utc>) -> Option<u64> {
        let (quota, period, used) = self.0.get(&whose)?;
        Some(if *period == period_of(*quota, now) { *used } else { 0 })
    }

    /// The first quota that has less left.
    fn lacking(&self, key: usize, uses: u32, now: DateTime<Utc>) -> Option<QuotaPeriod> {
        quotas_of(key).into_iter().find_map(|whose| {
            let left = self.0.get(&whose)?.0.count().saturating_sub(self.used(whose, now)?);
            (left < u64::from(uses)).then(|| self.0[&whose].0.period())
        })
    }

    fn take(&mut self, key: usize, uses: u32, now: DateTime<Utc>) {
        for whose in quotas_of(key) {
            let used = self.used(whose, now);
            if let Some((quota, period, held)) = self.0.get_mut(&whose) {
                (*period, *held) = (period_of(*quota, now), used.unwrap_or(0) + u64::from(uses));
            }
        }
    }
}

struct Fixture {
    store: KeyStore,
    clock: ManualClock,
    keys: Vec<CreatedKey>,
}

impl Fixture {
    fn new() -> Self {
        let clock = ManualClock::new(Utc.with_ymd_and_hms(2028, 2, 27, 12, 0, 0).unwrap());
        let store = KeyStore::builder().clock(clock.clone()).temporary().unwrap();
        let mut keys = Vec::new();
        for (tenant, owner, number) in (0..2).flat_map(|t| (0..4).map(move |at| (t, at / 2, at % 2))) {
            assert_eq!(keys.len(), key_of(tenant, owner, number));
            keys.push(store.tenant(TENANTS[tenant]).unwrap().create(NewKey::for_owner(OWNERS[owner])).unwrap());
        }
        Self { store, clock, keys }
    }

    fn now(&self) -> DateTime<Utc> {
        apikey::Clock::now(&self.clock)
    }

    fn put(&self, whose: Whose, bound: Option<Quota>) {
        match whose {
            Whose::Key(key) => {
                let update = apikey::KeyUpdate::new();
                let update = bound.map_or(update.clone().no_quota(), |quota| update.quota(quota));
                self.store.update(self.keys[key].info.id(), update).unwrap();
            }
            Whose::Owner(tenant, owner) => {
                let owner = Owner::new(OWNERS[owner]);
                let owner = bound.map_or(owner.clone(), |quota| owner.quota(quota));
                self.store.tenant(TENANTS[tenant]).unwrap().put_owner(owner).unwrap();
            }
            Whose::Tenant(tenant) => {
                let tenant = Tenant::new(TENANTS[tenant]);
                self.store.put_tenant(bound.map_or(tenant.clone(), |quota| tenant.quota(quota))).unwrap();
            }
        }
    }

    fn used(&self, whose: Whose) -> Option<u64> {
        let status = match whose {
            Whose::Key(key) => self.store.quota_status_of(self.keys[key].info.id()),
            Whose::Owner(tenant, owner) => {
                self.store.tenant(TENANTS[tenant]).unwrap().of_owner(OWNERS[owner]).quota_status()
            }
            Whose::Tenant(tenant) => self.store.tenant(TENANTS[tenant]).unwrap().quota_status(),
        };
        status.unwrap().map(|status| status.used())
    }
}

/// The period of the quota that refused.
fn period_of_refusal(error: &AuthError) -> QuotaPeriod {
    match error {
        AuthError::QuotaExceeded { status, .. } => status.quota().period(),
        AuthError::NoUsesLeft => QuotaPeriod::Total,
        other => panic!("{other}"),
    }
}

proptest! {
    #![proptest_config(crate::proptest_config::cases(2))]

    /// A request takes the largest of its costs from each quota, or nothing from any; the first that has too little left
    /// answers; and every sum is exact.
    #[test]
    fn requests_take_from_all_quotas_or_from_none(steps in prop::collection::vec(step(), 1..80)) {
        let fixture = Fixture::new();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Put(whose, bound) => {
                    let bound = bound.map(quota);
                    // A change of the period has its own rules, which another test has: here it begins anew.
                    let keeps = bound.zip(model.0.get(&whose)).is_some_and(|(new, held)| new.period() == held.0.period());
                    if !keeps {
                        fixture.put(whose, None);
                        model.0.remove(&whose);
                    }
                    fixture.put(whose, bound);
                    match bound {
                        Some(new) => drop(model.0.entry(whose).and_modify(|held| held.0 = new).or_insert((new, (0, 0, 1), 0))),
                        None => drop(model.0.remove(&whose)),
                    }
                }
                Step::Advance(hours) => fixture.clock.advance(TimeDelta::hours(hours)),
                Step::Request { key, costs, refused } => {
                    let (now, charge, mut paid) = (fixture.now(), Charge::default(), 0);
                    let attempt = Attempt::new(fixture.keys[key].key.expose_secret()).cost(costs[0]).charge(&charge);
                    let mut answer = fixture.store.check(&attempt).map(Some);
                    let mut verified = None;
                    for (at, cost) in costs.iter().enumerate() {
                        if at > 0 {
                            let key = verified.as_ref().unwrap();
                            answer = fixture.store.charge_more(key, &charge, *cost).map(|()| None);
                        }
                        let lacking = model.lacking(key, cost.saturating_sub(paid), now);
                        match &mut answer {
                            Ok(new) => {
                                prop_assert_eq!(lacking, None);
                                verified = new.take().or(verified);
                                model.take(key, cost.saturating_sub(paid), now);
                                paid = paid.max(*cost);
                            }
                            Err(error) => {
                                prop_assert_eq!(Some(period_of_refusal(error)), lacking);
                                break;
                            }
                        }
                    }
                    if answer.is_err() || refused {
                        if let Some(verified) = &verified {
                            fixture.store.give_back(verified, &charge);
                        }
                        for whose in quotas_of(key) {
                            if let Some((_, _, used)) = model.0.get_mut(&whose) {
                                *used -= u64::from(paid);
                            }
                        }
                    }
                }
            }
            for whose in (0..KEYS).flat_map(quotas_of) {
                prop_assert_eq!(fixture.used(whose), model.used(whose, fixture.now()), "{:?}", whose);
            }
        }
    }
}
