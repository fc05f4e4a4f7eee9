//! Answers requests for an open store.

use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::access::refusal_count::RefusalCount;
use crate::access::requirement::Requirement;
use crate::base::panics::catch_panic;
use crate::copies::named_lines::NamedLines;
use crate::copies::transfer_report::{ImportOptions, LineFault};
use crate::key::error::{Conflict, StoreError};
use crate::key::event::filter::EventFilter;
use crate::key::key_filter::KeyFilter;
use crate::key::key_info::KeyState;
use crate::key::key_update::KeyUpdate;
use crate::key::new_key::{CreatedKey, NewKey};
use crate::key::role::role_info::RoleInfo;
use crate::key::tenant::tenant_info::TenantInfo;
use crate::rotation::report::RunReport;
use crate::rotation::rotator::Rotator;
use crate::rotation::sink::CommandSink;
use crate::rotation::sink::SecretSink;
use crate::store::key_store::KeyStore;
use crate::token::digest::Digest;
use crate::token::key_id::KeyId;

use crate::admin::frame::{self, MAX_FRAME};
use crate::admin::{
    Answer, Changed, Diagnosis, EventsToPurge, ExternalKeys, Fault, FaultKind, Imports, Lines, NewSecret, RefusedEntry,
    RefusedRequests, Request, RolePage, RolePut, SinkForm, TenantChanged, TenantPage, Verdict,
};

/// The most bytes of the lines in one answer: as JSON in JSON they may take twice that.
const MAX_LINES: usize = MAX_FRAME / 4;
/// The most keys that a session remembers of those that it has only checked.
const MAX_CHECKED: usize = 4_000_000;

/// Answers requests for a store that this process has open.
///
/// ```
/// use apikey::admin::{Answer, Request, Session};
/// use apikey::{KeyStore, NewKey};
///
/// let store = KeyStore::temporary()?;
/// let mut session = Session::new(store.as_actor("operator"));
/// let create = Request::Create(Box::new(NewKey::for_owner("alice")));
/// let Answer::NewSecret(new) = session.ask(create) else { panic!("no key was created") };
/// assert!(store.verify(new.secret.expose_secret()).is_ok());
/// assert_eq!(store.events(&Default::default())?.events[0].actor(), Some(&"operator".into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Session {
    pub(super) store: KeyStore,
    /// Stops long work when the store closes.
    ending: Arc<AtomicBool>,
    /// The digests of keys that were checked only, to refuse the second of two equal keys.
    checked: HashSet<Digest>,
    /// The roles, tenants and owners in the lines that were imported, which come in parts.
    lines: NamedLines,
}

impl Session {
    /// Creates a session with the store of this handle. Its events name the handle's [actor](KeyStore::as_actor).
    pub fn new(store: KeyStore) -> Self {
        Self::ending(store, Arc::default())
    }

    pub(super) fn ending(store: KeyStore, ending: Arc<AtomicBool>) -> Self {
        Self { store, ending, checked: HashSet::new(), lines: NamedLines::default() }
    }

    /// Answers a request, after its changes are on disk.
    pub fn ask(&mut self, request: Request) -> Answer {
        // A damaged database can panic.
        let answer = catch_panic(|| self.answer(request));
        let answer = answer.unwrap_or_else(|panic| {
            Err(Fault::new(
                FaultKind::Refused,
                format!("the database panicked: {panic}; look at it with `apikey doctor`"),
            ))
        });
        answer.unwrap_or_else(Answer::Fault)
    }

    fn answer(&mut self, request: Request) -> Result<Answer, Fault> {
        let store = &self.store;
        let new_secret = |created: CreatedKey| {
            Answer::NewSecret(Box::new(NewSecret { secret: (&created.key).into(), key: created.info }))
        };
        let count = |count| Answer::Count(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(match request {
            Request::Health => Answer::Health(store.health()),
            Request::Diagnose => Answer::Diagnosis(self.diagnose()?),
            Request::Create(key) => new_secret(store.create(*key)?),
            Request::Get { id } => Answer::Key(Box::new(store.get(id)?.ok_or(StoreError::NotFound(id))?)),
            Request::List(filter) => Answer::Keys(self.keys(&filter)?),
            Request::Update { id, change } => {
                // An operator that changes nothing has made a mistake, over the socket as on the store itself.
                let change = KeyUpdate { from_json: false, ..*change };
                let (key, changed) = store.try_update(id, &change)?;
                Answer::Changed(Box::new(Changed { key, changed }))
            }
            Request::Quota { id } => Answer::Quota(store.quota_status_of(id)?),
            Request::AddUses { id, uses } => {
                Answer::Changed(Box::new(Changed { key: store.add_uses(id, uses)?, changed: true }))
            }
            Request::Rotate { id, overlap } => new_secret(store.rotate(id, overlap)?),
            Request::Revoke { id, reason } => {
                let changed = store.revoke(id, reason)?;
                let key = store.get(id)?.ok_or(StoreError::NotFound(id))?;
                Answer::Changed(Box::new(Changed { key, changed }))
            }
            Request::RevokeOwner { owner, reason } => count(store.revoke_owner(&owner, reason)?),
            Request::PutRole(role) => {
                let name = role.name().to_owned();
                let changed = store.put_role(role)?;
                let text = "the role was put, and another call has deleted it since";
                let role = store.role(&name)?.ok_or_else(|| Fault::new(FaultKind::NotFound, text))?;
                Answer::RolePut(Box::new(RolePut { role, changed }))
            }
            Request::Roles { after } => Answer::Roles(self.roles(after.as_deref())?),
            Request::DeleteRole { name } => count(usize::from(store.delete_role(&name)?)),
            Request::InTenant { tenant, request } => return self.in_tenant(&tenant, *request),
            Request::PutTenant(tenant) => {
                let name = tenant.name().to_owned();
                let changed = store.put_tenant(tenant)?;
                self.tenant_changed(&name, changed)?
            }
            Request::Tenants { after } => Answer::Tenants(self.tenants(after.as_deref())?),
            Request::EndTenant { name, reason } => {
                let changed = store.end_tenant(&name, reason)?;
                self.tenant_changed(&name, changed)?
            }
            Request::PutOwner(owner) => self.put_owner(owner)?,
            Request::Owners { after } => Answer::Owners(self.owners(after.as_ref())?),
            Request::SharedQuota { owner } => Answer::Quota(self.shared_quota(owner)?),
            Request::AddSharedUses { owner, uses } => Answer::Quota(Some(self.add_shared_uses(owner, uses)?)),
            Request::Check { token, permissions, peer } => {
                Answer::Verdict(Box::new(self.verdict(token.expose_secret(), &permissions, peer)?))
            }
            Request::Import(keys) => Answer::Imports(self.import(&keys)?),
            Request::ImportLines { lines, check_only } => {
                Answer::Imports(self.import_lines(lines.expose_secret(), check_only)?)
            }
            Request::Export { after, digests } => {
                let part = store.export_part(after, digests, MAX_LINES)?;
                Answer::Lines(Lines { lines: part.lines.into(), count: part.count, next: part.next })
            }
            Request::Backup { path } if !path.is_absolute() => {
                return Err(StoreError::invalid("path", &path.to_string_lossy(), "absolute paths").into());
            }
            Request::Backup { path } => {
                Answer::BackedUp(store.backup_while(&path, &|| !self.ending.load(Ordering::Relaxed))?)
            }
            Request::Events(filter) => Answer::Events(self.events(&filter)?),
            Request::RunDue { to } => Answer::Run(self.run_due(to)?),
            Request::Purge { before } => count(store.purge(before)?),
            Request::PurgeEvents { before } => count(store.purge_events(before)?),
            Request::EventsToPurge { before } => {
                let (events, ends) = store.events_to_purge(before)?;
                let (first, last) = ends.unzip();
                Answer::EventsToPurge(Box::new(EventsToPurge { events, first, last }))
            }
            Request::Refusals { key, code, limit } => Answer::Refusals(self.refusals(key, code.as_deref(), limit)?),
            Request::Usage(usage) => self.usage(&usage)?,
            Request::MostUsed { since, limit } => self.most_used(since, limit)?,
            Request::AcceptClock => Answer::Clock(store.accept_clock()?),
            Request::ConsoleLink => Answer::ConsoleLink(self.console_link()?),
            Request::EndConsoleSessions => count(self.end_console_sessions()?),
            Request::LeaveCluster => self.leave_cluster()?,
        })
    }

    fn leave_cluster(&self) -> Result<Answer, Fault> {
        if self.store.health().cluster.is_none() {
            return Err(Fault::new(FaultKind::Conflict, "this store is no node of a cluster"));
        }
        #[cfg(feature = "cluster")]
        let unlisted = self.store.leave_cluster();
        #[cfg(not(feature = "cluster"))]
        let unlisted = false;
        Ok(Answer::Left { unlisted, health: Box::new(self.store.health()) })
    }

    fn run_due(&self, to: SinkForm) -> Result<RunReport, Fault> {
        let sink: Box<dyn SecretSink> = match to {
            SinkForm::Directory(path) if !path.is_absolute() => {
                return Err(StoreError::invalid("path", &path.to_string_lossy(), "absolute paths").into());
            }
            #[cfg(unix)]
            SinkForm::Directory(path) => Box::new(crate::rotation::sink::DirectorySink::new(path)),
            #[cfg(not(unix))]
            SinkForm::Directory(_) => {
                let text = "on this system secrets are not delivered into files: give a program";
                return Err(Fault::new(FaultKind::Invalid, text));
            }
            SinkForm::Command { program, arguments, environment } => {
                Box::new(CommandSink::new(program).args(arguments).inherit(environment))
            }
        };
        Ok(Rotator::new(self.store.clone(), sink).ending(self.ending.clone()).run_due(self.store.now())?)
    }

    fn diagnose(&self) -> Result<Diagnosis, Fault> {
        let mut keys = BTreeMap::from(KeyState::ALL.map(|state| (state.name().to_owned(), 0)));
        let mut filter = KeyFilter::default().limit(crate::MAX_PAGE);
        loop {
            let (page, now) = (self.store.list(&filter)?, self.store.now());
            for key in &page.keys {
                *keys.entry(key.state(now).name().to_owned()).or_default() += 1;
            }
            let Some(next) = page.next else { break };
            filter = filter.after(next);
        }
        Ok(Diagnosis { health: self.store.health(), events: self.store.verify_events()?, keys })
    }

    fn keys(&self, filter: &KeyFilter) -> Result<crate::Page, Fault> {
        fitting(filter.page_size()?, |limit| Ok(self.store.list(&filter.clone().limit(limit))?))
    }

    fn events(&self, filter: &EventFilter) -> Result<crate::EventPage, Fault> {
        fitting(filter.page_size()?, |limit| Ok(self.store.events(&filter.clone().limit(limit))?))
    }

    fn roles(&self, after: Option<&str>) -> Result<RolePage, Fault> {
        let mut roles = self.store.roles()?;
        roles.retain(|role| after.is_none_or(|after| role.name() > after));
        fitting(roles.len(), |limit| {
            let page: Vec<RoleInfo> = roles.iter().take(limit).cloned().collect();
            let next = page.last().filter(|_| page.len() < roles.len()).map(|last| last.name().to_owned());
            Ok(RolePage { roles: page, next })
        })
    }

    /// Answers a request with the handle of a tenant, which sees the tenant's keys alone.
    fn in_tenant(&self, tenant: &str, request: Request) -> Result<Answer, Fault> {
        let handle = self.store.tenant(tenant)?;
        if !request.is_of_keys() {
            let text = format!("a tenant does not answer {}: it answers what is about its keys", request.name());
            return Err(Fault::new(FaultKind::Invalid, text));
        }
        Self::ending(handle.store().clone(), Arc::clone(&self.ending)).answer(request)
    }

    fn tenant_changed(&self, name: &str, changed: bool) -> Result<Answer, Fault> {
        // The record of a tenant is never deleted.
        let tenant = self.store.tenant(name)?.info()?;
        let tenant = tenant.ok_or_else(|| Fault::new(FaultKind::NotFound, "the tenant has no record"))?;
        Ok(Answer::TenantChanged(Box::new(TenantChanged { tenant, changed })))
    }

    fn tenants(&self, after: Option<&str>) -> Result<TenantPage, Fault> {
        let mut tenants = self.store.tenants()?;
        tenants.retain(|tenant| after.is_none_or(|after| tenant.name() > after));
        fitting(tenants.len(), |limit| {
            let page: Vec<TenantInfo> = tenants.iter().take(limit).cloned().collect();
            let next = page.last().filter(|_| page.len() < tenants.len()).map(|last| last.name().to_owned());
            Ok(TenantPage { tenants: page, next })
        })
    }

    fn refusals(&self, key: Option<KeyId>, code: Option<&str>, limit: usize) -> Result<RefusedRequests, Fault> {
        let mut counts = self.store.refusal_counts();
        let is_named = |count: &RefusalCount| {
            key.is_none_or(|key| count.key == Some(key)) && code.is_none_or(|code| count.code == code)
        };
        counts.retain(is_named);
        let total = counts.iter().map(|count| count.count).sum();
        fitting(limit.min(counts.len()), |limit| {
            let left_out = u64::try_from(counts.len().saturating_sub(limit)).unwrap_or(u64::MAX);
            Ok(RefusedRequests { counts: counts.iter().take(limit).cloned().collect(), total, left_out })
        })
    }

    fn verdict(&self, token: &str, permissions: &[String], peer: Option<IpAddr>) -> Result<Verdict, Fault> {
        let requirement = match permissions {
            [] => Requirement::authenticated(),
            [permission] => Requirement::permission(permission)?,
            permissions => Requirement::all(permissions.iter().map(String::as_str))?,
        };
        Ok(self.store.examine(token, &requirement, peer)?)
    }

    fn import(&mut self, keys: &ExternalKeys) -> Result<Imports, Fault> {
        let new: Vec<NewKey> = keys.entries.iter().map(|entry| keys.new_key(entry)).collect();
        if self.checked.len().saturating_add(new.len()) > MAX_CHECKED {
            return Err(Fault::new(
                FaultKind::Invalid,
                "at most 4,000,000 keys are checked in one go: check them in parts",
            ));
        }
        let taken = self.store.import_many(new, keys.check_only, &mut self.checked)?;
        let mut imports = Imports::default();
        for (entry, taken) in keys.entries.iter().zip(taken) {
            match taken {
                Ok(id) => {
                    imports.imported += 1;
                    imports.ids.extend((!keys.check_only).then_some(id));
                }
                Err(error) => {
                    let existing = held_by(&error);
                    imports.refused.push(RefusedEntry { line: entry.line, text: of_entry(error), existing });
                }
            }
        }
        Ok(imports)
    }

    fn import_lines(&mut self, lines: &str, check_only: bool) -> Result<Imports, Fault> {
        let options = ImportOptions::default().check_only(check_only);
        let report = self.store.import_part(lines.as_bytes(), &options, &mut self.lines)?;
        let refused = |line: crate::RefusedLine| {
            let existing = match &line.fault {
                LineFault::Exists(key) => Some(*key),
                LineFault::Key(error) => held_by(error),
                _ => None,
            };
            RefusedEntry { line: line.line, text: line.fault.to_string(), existing }
        };
        Ok(Imports {
            imported: report.imported,
            ids: Vec::<KeyId>::new(),
            awaiting_rotation: report.awaiting_rotation,
            refused: report.refused.into_iter().map(refused).collect(),
        })
    }
}

/// Reads a page that fits into a message.
pub(super) fn fitting<P: Serialize>(mut limit: usize, page: impl Fn(usize) -> Result<P, Fault>) -> Result<P, Fault> {
    // The answer's name surrounds the page.
    const AROUND: usize = 64;
    loop {
        let page = page(limit)?;
        let length = frame::length(&page).map_err(|error| Fault::new(FaultKind::Protocol, error.to_string()))?;
        if length + AROUND <= MAX_FRAME || limit <= 1 {
            return Ok(page);
        }
        // As many as fit if all are as long as these, less a tenth.
        limit = (limit.saturating_mul(MAX_FRAME - MAX_FRAME / 10) / length).clamp(1, limit - 1);
    }
}

/// The key that an entry's secret belongs to already.
fn held_by(error: &StoreError) -> Option<KeyId> {
    match error {
        StoreError::Conflict(Conflict::DigestHeld(key)) => *key,
        _ => None,
    }
}

/// Says what is wrong with an entry, without its value: that may be a key in the wrong column.
fn of_entry(error: StoreError) -> String {
    match error {
        StoreError::Invalid { field: "imported", allowed, .. } => allowed.to_owned(),
        StoreError::Invalid { field, allowed, .. } => format!("invalid {field}: allowed are {allowed}"),
        StoreError::Conflict(conflict) => conflict.to_string(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tenant::tenant::Tenant;

    fn in_tenant(tenant: &str, request: Request) -> Request {
        Request::InTenant { tenant: tenant.to_owned(), request: Box::new(request) }
    }

    #[test]
    fn a_request_in_a_tenant_sees_the_keys_of_the_tenant_alone() {
        let store = KeyStore::temporary().unwrap();
        let mut session = Session::new(store.as_actor("operator"));
        let mut create = |tenant| {
            let request = in_tenant(tenant, Request::Create(Box::new(NewKey::for_owner("alice"))));
            let Answer::NewSecret(new) = session.ask(request) else { panic!("no key was created") };
            assert_eq!(new.key.tenant(), Some(tenant));
            new.key.id()
        };
        let [acme, apex] = ["acme", "apex"].map(&mut create);
        let Answer::Keys(page) = session.ask(in_tenant("acme", Request::List(KeyFilter::default()))) else { panic!() };
        assert_eq!(page.keys.iter().map(crate::KeyInfo::id).collect::<Vec<_>>(), [acme]);
        let change = || Box::new(KeyUpdate::new().disabled(true));
        for request in [
            Request::Get { id: apex },
            Request::Update { id: apex, change: change() },
            Request::Quota { id: apex },
            Request::AddUses { id: apex, uses: 1 },
            Request::Rotate { id: apex, overlap: crate::Overlap::None },
            Request::Revoke { id: apex, reason: String::new() },
        ] {
            let answer = session.ask(in_tenant("acme", request));
            assert!(matches!(&answer, Answer::Fault(fault) if fault.kind == FaultKind::NotFound), "{answer:?}");
        }
        let Answer::Events(page) = session.ask(in_tenant("acme", Request::Events(EventFilter::default()))) else {
            panic!()
        };
        assert_eq!(page.events.iter().filter_map(crate::Event::key).collect::<Vec<_>>(), [acme]);
        assert_eq!(page.events[0].actor(), Some(&"operator".into()));
        let revoke = Request::RevokeOwner { owner: "alice".into(), reason: String::new() };
        assert!(matches!(session.ask(in_tenant("acme", revoke)), Answer::Count(1)));
        assert!(store.get(apex).unwrap().unwrap().revoked().is_none());
    }

    #[test]
    fn a_tenant_answers_nothing_about_the_whole_store() {
        let mut session = Session::new(KeyStore::temporary().unwrap());
        let nested = || in_tenant("acme", in_tenant("apex", Request::List(KeyFilter::default())));
        for request in [
            in_tenant("acme", Request::Health),
            in_tenant("acme", Request::PutTenant(Tenant::new("apex"))),
            in_tenant("acme", Request::EndTenant { name: "acme".into(), reason: String::new() }),
            in_tenant("acme", Request::Export { after: None, digests: true }),
            in_tenant("acme", Request::Purge { before: chrono::Utc::now() }),
            in_tenant("Acme", Request::List(KeyFilter::default())),
            nested(),
        ] {
            let answer = session.ask(request);
            assert!(matches!(&answer, Answer::Fault(fault) if fault.kind == FaultKind::Invalid), "{answer:?}");
        }
        let text = serde_json::to_string(&nested()).unwrap();
        assert!(text.starts_with(r#"{"in_tenant":{"tenant":"acme","request":{"in_tenant":"#), "{text}");
        // A message of many requests in each other ends in an error.
        let deep = r#"{"in_tenant":{"tenant":"a","request":"#.repeat(10_000);
        assert!(serde_json::from_str::<Request>(&deep).is_err());
    }

    #[test]
    fn tenants_are_put_ended_and_listed() {
        let store = KeyStore::temporary().unwrap();
        let mut session = Session::new(store.clone());
        let mut changed = |request| match session.ask(request) {
            Answer::TenantChanged(of) => (of.tenant.name().to_owned(), of.changed),
            answer => panic!("{answer:?}"),
        };
        let put = |name: &str| Request::PutTenant(Tenant::new(name).permissions(["orders:*"]));
        let end = || Request::EndTenant { name: "apex".into(), reason: "left".into() };
        assert_eq!(changed(put("acme")), ("acme".to_owned(), true));
        assert_eq!(changed(put("acme")), ("acme".to_owned(), false));
        assert_eq!(changed(end()), ("apex".to_owned(), true));
        assert_eq!(changed(end()), ("apex".to_owned(), false));
        let Answer::Tenants(page) = session.ask(Request::Tenants { after: None }) else { panic!() };
        assert_eq!((page.tenants, page.next), (store.tenants().unwrap(), None));
        let after = Some("acme".to_owned());
        let Answer::Tenants(page) = session.ask(Request::Tenants { after }) else { panic!() };
        assert_eq!(page.tenants.iter().map(TenantInfo::name).collect::<Vec<_>>(), ["apex"]);
        assert!(matches!(session.ask(put("apex")), Answer::Fault(fault) if fault.kind == FaultKind::Conflict));
    }
}
