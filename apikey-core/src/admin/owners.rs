//! Answers about owners, and about the quotas that keys share.

use crate::access::quota::status::QuotaStatus;
use crate::admin::session::{Session, fitting};
use crate::admin::{Answer, Fault, FaultKind, OwnerChanged, OwnerName, OwnerPage};
use crate::key::owner::owner::Owner;
use crate::key::owner::owner_info::OwnerInfo;
use crate::store::handle::owner::OwnerStore;
use crate::store::handle::tenant::TenantStore;

/// The keys that share a quota.
enum Sharing {
    Owner(OwnerStore),
    Tenant(TenantStore),
}

impl Session {
    pub(super) fn put_owner(&self, owner: Owner) -> Result<Answer, Fault> {
        let name = owner.name().to_owned();
        let changed = self.store.put_owner(owner)?;
        let info = self.store.of_owner(&name).info()?;
        let owner = OwnerName { tenant: self.store.seen().tenant().map(str::to_owned), name };
        Ok(Answer::OwnerChanged(Box::new(OwnerChanged { owner, info, changed })))
    }

    pub(super) fn owners(&self, after: Option<&OwnerName>) -> Result<OwnerPage, Fault> {
        let mut owners = self.store.owners()?;
        let name = |owner: &OwnerInfo| (owner.tenant().map(str::to_owned), owner.name().to_owned());
        owners.retain(|owner| after.is_none_or(|after| name(owner) > (after.tenant.clone(), after.name.clone())));
        fitting(owners.len(), |limit| {
            let page: Vec<OwnerInfo> = owners.iter().take(limit).cloned().collect();
            let last = page.last().filter(|_| page.len() < owners.len()).map(name);
            Ok(OwnerPage { owners: page, next: last.map(|(tenant, name)| OwnerName { tenant, name }) })
        })
    }

    /// Those that share a quota: an owner of this session's tenant, or of none; or all of its tenant.
    fn sharing(&self, owner: Option<String>) -> Result<Sharing, Fault> {
        match (owner, self.store.seen().tenant()) {
            (Some(owner), _) => Ok(Sharing::Owner(self.store.of_owner(owner))),
            (None, Some(tenant)) => Ok(Sharing::Tenant(self.store.tenant(tenant)?)),
            (None, None) => Err(Fault::new(FaultKind::Invalid, "it needs an owner, or a tenant")),
        }
    }

    pub(super) fn shared_quota(&self, owner: Option<String>) -> Result<Option<QuotaStatus>, Fault> {
        Ok(match self.sharing(owner)? {
            Sharing::Owner(owner) => owner.quota_status()?,
            Sharing::Tenant(tenant) => tenant.quota_status()?,
        })
    }

    pub(super) fn add_shared_uses(&self, owner: Option<String>, uses: u64) -> Result<QuotaStatus, Fault> {
        Ok(match self.sharing(owner)? {
            Sharing::Owner(owner) => owner.add_shared_uses(uses)?,
            Sharing::Tenant(tenant) => tenant.add_shared_uses(uses)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Request;
    use crate::{KeyStore, Quota, Tenant};

    fn in_tenant(tenant: &str, request: Request) -> Request {
        Request::InTenant { tenant: tenant.to_owned(), request: Box::new(request) }
    }

    #[test]
    fn owners_are_put_and_listed_and_what_they_share_is_read() {
        let store = KeyStore::temporary().unwrap();
        let mut session = Session::new(store.clone());
        let put = |uses: Option<u64>| {
            let owner = Owner::new("alice");
            Request::PutOwner(uses.map_or(owner.clone(), |uses| owner.quota(Quota::total(uses))))
        };
        let mut changed = |request| match session.ask(request) {
            Answer::OwnerChanged(of) => (of.owner.tenant, of.info.and_then(|info| info.quota()), of.changed),
            answer => panic!("{answer:?}"),
        };
        assert_eq!(changed(put(Some(5))), (None, Some(Quota::total(5)), true));
        assert_eq!(changed(put(Some(5))), (None, Some(Quota::total(5)), false));
        assert_eq!(changed(in_tenant("acme", put(Some(6)))), (Some("acme".into()), Some(Quota::total(6)), true));
        let page = |session: &mut Session, request| match session.ask(request) {
            Answer::Owners(page) => page,
            answer => panic!("{answer:?}"),
        };
        let all = page(&mut session, Request::Owners { after: None });
        assert_eq!((&all.owners, all.next), (&store.owners().unwrap(), None));
        let after = Some(OwnerName { tenant: None, name: "alice".into() });
        assert_eq!(page(&mut session, Request::Owners { after }).owners, all.owners[1..]);
        assert_eq!(page(&mut session, in_tenant("acme", Request::Owners { after: None })).owners, all.owners[1..]);
        store.put_tenant(Tenant::new("acme").quota(Quota::total(9))).unwrap();
        let quota = |owner: Option<&str>| Request::SharedQuota { owner: owner.map(str::to_owned) };
        let add = |owner: Option<&str>| Request::AddSharedUses { owner: owner.map(str::to_owned), uses: 10 };
        let mut left = |request| match session.ask(request) {
            Answer::Quota(status) => status.map(|status| status.remaining()),
            Answer::Fault(fault) if fault.kind == FaultKind::Invalid => None,
            answer => panic!("{answer:?}"),
        };
        assert_eq!([left(quota(Some("alice"))), left(in_tenant("acme", quota(Some("alice"))))], [Some(5), Some(6)]);
        assert_eq!(
            [left(in_tenant("acme", quota(None))), left(quota(None)), left(quota(Some("bob")))],
            [Some(9), None, None]
        );
        assert_eq!([left(add(Some("alice"))), left(in_tenant("acme", add(None)))], [Some(15), Some(19)]);
        assert_eq!([left(add(None)), left(add(Some("bob")))], [None, None]);
        let mut changed = |request| match session.ask(request) {
            Answer::OwnerChanged(of) => (of.info, of.changed),
            answer => panic!("{answer:?}"),
        };
        assert_eq!([changed(put(None)), changed(put(None))], [(None, true), (None, false)]);
    }
}
