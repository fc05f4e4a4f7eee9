//! What a key allows, whichever of its secrets a caller presents.

use crate::access::idle::IdleEnd;
use crate::access::limit::Limit;
use crate::access::named::Kind;
use crate::access::quota::Quota;
use crate::access::{grant_set, identity, network};
use crate::base::interner::Full;
use crate::base::time::earlier;
use crate::key::lifetime::Lifetime;
use crate::key::record::Record;

/// What a key allows: its labels, grants, networks, times and rate limit.
///
/// The allowances of a key are a lattice under [`meet`](Self::meet), but for the rounding of rate limits, and for the
/// name in the identity, which is no right. A meet of idle ends is no later than either for every time of use, and
/// exactly the earlier one for a key that nobody uses meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// The number of its identity, with the prefix of the newest secret. Of this, the labels are rights, owner and prefix
    /// stay as they are, and a meet has the name of the first.
    pub(crate) identity: u32,
    /// The number of its [set](grant_set) of grants.
    pub(crate) grants: u32,
    pub(crate) revoked: bool,
    pub(crate) disabled: bool,
    pub(crate) expires_at: Option<i64>,
    pub(crate) not_before: Option<i64>,
    pub(crate) limit: Option<Limit>,
    pub(crate) quota: Option<Quota>,
    /// The number of its set of networks.
    pub(crate) networks: u32,
    pub(crate) idle: Option<IdleEnd>,
}

impl Allowance {
    pub(crate) fn of(record: &Record, lifetime: Lifetime, identity: u32) -> Result<Self, Full> {
        Ok(Self {
            identity,
            grants: grants_of(record)?,
            revoked: record.revoked.is_some(),
            disabled: record.disabled,
            expires_at: record.expires_at,
            not_before: record.not_before,
            limit: record.limit.as_ref().map(Limit::stored),
            quota: record.quota.as_ref().map(Quota::stored),
            networks: network::number(&record.networks)?,
            idle: record.idle_end(lifetime.is_shared),
        })
    }

    /// Returns the allowance of what both allow.
    pub(crate) fn meet(&self, other: &Self) -> Result<Self, Full> {
        Ok(Self {
            identity: identity::meet(self.identity, other.identity)?,
            grants: grant_set::meet(self.grants, other.grants)?,
            revoked: self.revoked || other.revoked,
            disabled: self.disabled || other.disabled,
            expires_at: earlier(self.expires_at, other.expires_at),
            not_before: self.not_before.max(other.not_before),
            limit: Limit::meet_of(self.limit, other.limit),
            quota: Quota::meet_of(self.quota, other.quota),
            networks: network::meet(self.networks, other.networks)?,
            idle: IdleEnd::meet_of(self.idle, other.idle),
        })
    }

    /// Whether this allows anything that `after` does not.
    pub(crate) fn loses(&self, after: &Self) -> bool {
        (after.revoked && !self.revoked)
            || (after.disabled && !self.disabled)
            || earlier(self.expires_at, after.expires_at) != self.expires_at
            || after.not_before > self.not_before
            || Limit::meet_of(self.limit, after.limit) != self.limit
            || Quota::meet_of(self.quota, after.quota) != self.quota
            || network::lose(self.networks, after.networks)
            || IdleEnd::meet_of(self.idle, after.idle) != self.idle
            || grant_set::may_lose(self.grants, after.grants)
            || identity::loses(self.identity, after.identity)
    }
}

/// The number of a key's set of grants: its own and those of its roles, under the ceiling of its tenant.
fn grants_of(record: &Record) -> Result<u32, Full> {
    let given = grant_set::union(&record.permissions, record.roles.iter().map(|role| Kind::Role.id(role)))?;
    match &record.tenant {
        None => Ok(given),
        Some(tenant) => grant_set::meet(given, grant_set::ceiling(Kind::Tenant.id(tenant))?),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;
    use crate::access::grants;
    use crate::access::identity::Identity;
    use crate::access::quota::StoredQuota;
    use crate::base::interner::{GRANTS, IDENTITIES};

    /// One request: its time, its permission, its address, the use before it, and the label that its handler wants.
    type Request = (i64, String, IpAddr, Option<i64>, (&'static str, &'static str));

    fn allows(key: &Allowance, (now, permission, peer, used, (name, value)): &Request) -> bool {
        !key.revoked
            && !key.disabled
            && key.expires_at.is_none_or(|end| *now < end)
            && key.not_before.is_none_or(|start| start <= *now)
            && grants::joined_give(GRANTS.text(key.grants), permission)
            && network::set_contains(key.networks, Some(*peer))
            && key.idle.is_none_or(|idle| *now < idle.with_use(*used))
            && identity::label(IDENTITIES.text(key.identity), name) == Some(value)
    }

    /// Whether a limit lets through no more than the other, by count and by rate.
    fn is_no_faster(limit: Option<Limit>, than: Option<Limit>) -> bool {
        let rate = |one: Limit, by: Limit| i128::from(one.count()) * i128::from(by.per().num_milliseconds());
        match (limit, than) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(one), Some(than)) => one.count() <= than.count() && rate(one, than) <= rate(than, one),
        }
    }

    fn sometimes(of: impl Strategy<Value = i64>) -> impl Strategy<Value = Option<i64>> {
        proptest::option::of(of)
    }

    const LABELS: [&str; 2] = ["plan", "region"];
    const VALUES: [&str; 2] = ["a", "b"];

    /// The identities of one key, which has one owner and one prefix.
    fn identities(named: bool) -> impl Strategy<Value = u32> {
        let values = [0usize..3, 0..3];
        (values, any::<bool>()).prop_map(move |(values, name)| {
            let labels = LABELS.into_iter().zip(values).filter_map(|(name, value)| Some((name, *VALUES.get(value)?)));
            let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let name = (named && name).then_some("ci");
            let identity = Identity {
                owner: crate::access::owner::OwnerRef { tenant: None, name: "alice" },
                prefix: Some("acme"),
                name,
                labels: &labels,
            };
            IDENTITIES.number(&identity.text()).unwrap()
        })
    }

    /// Few labels, times, segments and networks, so that allowances overlap.
    fn allowances(named: bool) -> impl Strategy<Value = Allowance> {
        let grants = proptest::collection::vec("[ab*](:[ab*]){0,2}", 0..4);
        let networks = proptest::collection::vec(0usize..5, 0..3);
        let limit = proptest::option::of((1u32..20, 1i64..5000));
        // In one offset: days or months that begin at different times have no exact meet.
        let quota = proptest::option::of((1u64..20, 1u8..=3));
        let limits = (limit, quota);
        let rarely = || proptest::bool::weighted(0.1);
        let times = (sometimes(0i64..4), sometimes(0i64..4));
        let idle = proptest::option::of((0i64..4, 0i64..4).prop_map(|(at, after_ms)| IdleEnd { at, after_ms }));
        (identities(named), grants, rarely(), rarely(), times, limits, networks, idle).prop_map(
            |(identity, grants, revoked, disabled, (expires_at, not_before), (limit, quota), networks, idle)| {
                let known = ["10.0.0.0/8", "10.1.0.0/16", "10.1.1.1", "::/0", "::1"];
                let networks: Vec<String> = networks.iter().map(|at| known[*at].to_owned()).collect();
                Allowance {
                    identity,
                    grants: GRANTS.number(&grants::join(&grants)).unwrap(),
                    revoked,
                    disabled,
                    expires_at,
                    not_before,
                    limit: limit.map(|(count, ms)| Limit::checked(count, TimeDelta::milliseconds(ms)).unwrap()),
                    quota: quota
                        .map(|(count, period)| Quota::stored(&StoredQuota { count, period, offset_minutes: 0 })),
                    networks: network::number(&networks).unwrap(),
                    idle,
                }
            },
        )
    }

    fn requests() -> impl Strategy<Value = Request> {
        let peers = ["10.0.0.1", "10.1.0.1", "10.1.1.1", "11.0.0.1", "::1", "::2"];
        let peers = prop::sample::select(peers.map(|peer| peer.parse::<IpAddr>().unwrap()).to_vec());
        let labels = (prop::sample::select(&LABELS[..]), prop::sample::select(&VALUES[..]));
        (0i64..4, "[abc](:[abc]){0,3}", peers, sometimes(0i64..4), labels)
    }

    proptest! {
        #[test]
        fn a_meet_allows_what_both_allow(
            one in allowances(true),
            other in allowances(true),
            requests in proptest::collection::vec(requests(), 1..40),
        ) {
            let met = one.meet(&other).unwrap();
            for request in &requests {
                let both = allows(&one, request) && allows(&other, request);
                // Uses may lie between the idle ends of the two.
                let is_exact = request.3.is_none() || one.idle.is_none() || other.idle.is_none() || !both;
                prop_assert!(allows(&met, request) == both || !is_exact, "{:?}", request);
                if !one.loses(&other) && allows(&one, request) {
                    prop_assert!(allows(&other, request));
                }
            }
            prop_assert!(is_no_faster(met.limit, one.limit) && is_no_faster(met.limit, other.limit));
            prop_assert!(!met.loses(&one) && !met.loses(&other));
        }

        #[test]
        fn allowances_are_a_lattice(
            one in allowances(false),
            other in allowances(false),
            third in allowances(false),
        ) {
            prop_assert_eq!(one.meet(&one).unwrap(), one);
            prop_assert_eq!(one.meet(&other).unwrap(), other.meet(&one).unwrap());
            let left = one.meet(&other).unwrap().meet(&third).unwrap();
            let right = one.meet(&other.meet(&third).unwrap()).unwrap();
            prop_assert_eq!(Allowance { limit: None, ..left }, Allowance { limit: None, ..right });
            // Periods are rounded up, once for each meet.
            let per = |limit: Option<Limit>| limit.map(|limit| (limit.count(), limit.per().num_milliseconds()));
            match (per(left.limit), per(right.limit)) {
                (Some((one, left)), Some((other, right))) => prop_assert!(one == other && (left - right).abs() <= 1),
                (one, other) => prop_assert_eq!(one, other),
            }
        }
    }
}
