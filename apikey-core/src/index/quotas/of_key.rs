//! Which quotas a key has: its own, and those that it shares with the other keys of its owner, and of its tenant.

use crate::access::attempt::QuotaNumbers;
use crate::access::identity;
use crate::access::named::{Kind, NamedId};
use crate::access::quota::Quota;
use crate::access::quota::status::QuotaStatus;
use crate::access::verified_key::VerifiedKey;
use crate::base::interner::IDENTITIES;
use crate::index::Index;
use crate::index::locate::verified_home;
use crate::index::verify::Match;
use crate::index::writer_state::WriterState;

impl Index {
    /// Whether any owner has, or had, a quota.
    #[inline]
    pub(crate) fn has_owner_quotas(&self) -> bool {
        self.owner_quotas.is_any()
    }

    /// The number of the quota that the keys of the owner in an identity share; 0 for none.
    pub(crate) fn quota_of_owner(&self, identity: u32) -> u32 {
        self.owner_quotas.find(identity, |number| self.quotas.id_of(number))
    }

    /// The quotas of a verified key; `None` if it has none, or the key is not there any more.
    pub(crate) fn quotas_of(&self, key: &VerifiedKey) -> Option<QuotaNumbers> {
        let shares = || {
            let is_of_tenant = || identity::tenant(IDENTITIES.text(key.identity)).is_some();
            self.owner_quotas.is_any() || (self.quotas.is_any() && is_of_tenant())
        };
        if !key.control.has_side_entry() && !shares() {
            return None;
        }
        let (_, side, of_tenant) =
            self.read_consistent(self.table(), |table| table.find_again(verified_home(key), &key.digest))?;
        let all = [side.map_or(0, |side| side.quota), self.quota_of_owner(key.identity), of_tenant.quota()];
        Some(all).filter(|all| *all != [0; 3])
    }

    /// What a verified key has left of that of its quotas of which the fewest uses are left; `None` if it has none, or the key is
    /// not there any more.
    pub(crate) fn quota_status(&self, key: &VerifiedKey, now: impl Fn() -> i64) -> Option<QuotaStatus> {
        self.quotas_of(key).and_then(|quotas| self.status_of_quotas(quotas, now()))
    }

    /// The same for a matched key.
    pub(crate) fn quota_status_of_match(&self, matched: &Match<'_>, now: i64) -> Option<QuotaStatus> {
        let of_owner = self.quota_of_owner(matched.identity());
        self.status_of_quotas([matched.own_quota(), of_owner, matched.quota_of_tenant()], now)
    }

    fn status_of_quotas(&self, quotas: QuotaNumbers, now: i64) -> Option<QuotaStatus> {
        quotas.into_iter().filter_map(|number| self.quotas.status(number, now)).min_by_key(QuotaStatus::remaining)
    }

    /// Sets the quota that the keys of a tenant or an owner share. The caller notes the number for keys of a tenant.
    pub(in crate::index) fn set_shared_quota(
        &self,
        writer: &mut WriterState,
        name: NamedId,
        quota: Option<Quota>,
    ) -> u32 {
        let number = self.quotas.set_named(&mut writer.quotas, name, quota);
        if number != 0 && Kind::of(name) == Some(Kind::Owner) {
            self.owner_quotas.add(name, number, |number| self.quotas.id_of(number));
        }
        number
    }
}
