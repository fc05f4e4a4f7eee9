//! What a scope allows, by the records at the time when a change is decided.

mod bounded;
pub(crate) mod widening;

use std::sync::Arc;

use crate::access::catalog::{ANY_OWNER, ANY_TENANT, ANYWHERE, DELEGATE, OUTLIVE};
use crate::access::grants;
use crate::access::idle;
use crate::access::limit::{Limit, StoredLimit};
use crate::access::network;
use crate::access::owner::{OwnerRef, Seen, Tenants};
use crate::access::permission::{covers, manages};
use crate::access::quota::{Quota, StoredQuota};
use crate::base::time::{earlier, from_ms};
use crate::key::change::{Action, Change};
use crate::key::error::cap_violation::CapViolation;
use crate::key::error::{Conflict, StoreError};
use crate::key::named::NamedRecord;
use crate::key::named::change::NamedAction;
use crate::key::owner::change::OwnerAction;
use crate::key::owner::key_bounds::KeyBounds;
use crate::key::owner::record::OwnerRecord;
use crate::key::reach::widening::{gives, is_faster, is_larger, is_later};
use crate::key::record::{Record, SecretEnd, StoredPolicy};
use crate::key::role::change::RoleAction;
use crate::key::role::record::RoleRecord;
use crate::key::role::role_grants::RoleGrants;
use crate::key::tenant::change::TenantAction;
use crate::key::tenant::record::TenantRecord;
use crate::token::key_id::KeyId;

/// Lifts every bound except that of the grants. Only this grant lifts the bounds of labels, prefix and rate limit.
const EVERYTHING: &str = "*";

/// What a scope allows. It is read under the writer's lock, from the records at the time when a change is decided.
pub(crate) struct Reach {
    seen: Seen,
    bounds: Option<Arc<KeyBounds>>,
    actor: Option<ActingKey>,
    roles: RoleGrants,
}

/// An acting key in its current state.
pub(crate) struct ActingKey {
    record: Record,
    /// Its explicit grants and those of its roles.
    given: Vec<String>,
    /// What it has: its explicit grants and those of its roles, under the ceiling of its tenant.
    grants: Vec<String>,
    /// What exempts it from bounds, of these. In a tenant `*` exempts from nothing, whatever the ceiling names: its holder
    /// manages the tenant, and the bounds of its keys are those of the service.
    exempting: Vec<String>,
    /// The ceiling of its tenant.
    ceiling: Option<Vec<String>>,
    /// The quota that it shares with the other keys of its owner.
    shared: Option<Quota>,
    /// The number of the secret that the caller presented.
    secret: u32,
    /// The store's prefix of new tokens.
    default: &'static str,
}

impl Reach {
    pub(crate) fn new(seen: Seen, bounds: Option<Arc<KeyBounds>>, actor: Option<ActingKey>, roles: RoleGrants) -> Self {
        Self { seen, bounds, actor, roles }
    }

    /// Checks that the scope may change or create keys of this owner at all.
    pub(crate) fn owner(&self, owner: OwnerRef<'_>) -> Result<(), StoreError> {
        if !self.seen.has(owner) {
            return Err(StoreError::invalid(
                "owner",
                owner.name,
                "the one owner whose keys this part of the service manages",
            ));
        }
        self.actor.as_ref().map_or(Ok(()), |actor| actor.owner(owner))
    }

    /// The keys that its acting key may read.
    pub(crate) fn readable(&self) -> Seen {
        self.actor.as_ref().map(ActingKey::readable).unwrap_or_default()
    }

    /// Checks that a change may leave a key of this owner with these grants, of which it has `held` already.
    pub(crate) fn grants(&self, owner: OwnerRef<'_>, grants: &[String], held: &[String]) -> Result<(), StoreError> {
        self.owner(owner)?;
        self.actor.as_ref().map_or(Ok(()), |actor| actor.grants(grants, held))
    }

    /// Checks that a new key of this owner may have these grants and roles.
    pub(crate) fn new_key(&self, owner: OwnerRef<'_>, grants: &[String], roles: &[String]) -> Result<(), StoreError> {
        self.grants(owner, &self.roles.all(grants, roles), &[])?;
        self.bounds.as_ref().map_or(Ok(()), |bounds| bounded::new_key(bounds, grants, roles))
    }

    /// Checks that a new key may have this idle time and rotation policy, each given with the store's default.
    pub(crate) fn store_defaults(
        &self,
        idle_after: (Option<i64>, Option<i64>),
        policy: (Option<StoredPolicy>, Option<StoredPolicy>),
    ) -> Result<(), StoreError> {
        self.bounds.as_ref().map_or(Ok(()), |_| bounded::store_defaults(idle_after, policy))
    }

    /// Checks that a change of a role, a tenant or an owner may be made: what it granted or left before and what it does after
    /// must be the actor's. A key of a tenant changes no role and no tenant.
    pub(crate) fn named(&self, before: Option<&NamedRecord>, action: &NamedAction) -> Result<(), StoreError> {
        if let NamedAction::Owner(action) = action {
            self.owner(action.record().owner())?;
        }
        let Some(actor) = &self.actor else { return Ok(()) };
        match action {
            NamedAction::Role(action) => actor.role(before.and_then(NamedRecord::as_role), action),
            NamedAction::Tenant(action) => actor.tenant(before.and_then(NamedRecord::as_tenant), action),
            NamedAction::Owner(action) => actor.put_owner(before.and_then(NamedRecord::as_owner), action),
        }
    }

    /// Whether keys of this owner exist, as far as the scope may know: to an acting key without `keys:any_owner`, those of
    /// other owners do not, so that ids are no oracle.
    pub(crate) fn sees(&self, owner: OwnerRef<'_>) -> bool {
        self.seen.has(owner) && self.actor.as_ref().is_none_or(|actor| actor.is_owner(owner))
    }

    /// Checks that the scope may change an existing key, before any error discloses something about the key.
    pub(crate) fn target(&self, id: u128, record: Option<&Record>) -> Result<(), StoreError> {
        let id = KeyId::from_u128(id);
        let record = record.filter(|record| self.sees(record.owner())).ok_or(StoreError::NotFound(id))?;
        match &self.actor {
            Some(actor) if !actor.covers(record, &self.roles.of(record)) => {
                Err(StoreError::Exceeds(CapViolation::Target(id)))
            }
            _ => Ok(()),
        }
    }

    /// Checks that a change may apply to its key, if the key exists already.
    pub(crate) fn before(&self, change: &Change, record: Option<&Record>) -> Result<(), StoreError> {
        match change.action {
            Action::Create(_) => Ok(()),
            _ => self.target(change.id, record),
        }
    }

    /// Checks that a change may leave its key in this state; `None` if it deletes the key.
    pub(crate) fn after(
        &self,
        change: &Change,
        before: Option<&Record>,
        after: Option<&Record>,
    ) -> Result<(), StoreError> {
        let Some(after) = after else { return Ok(()) };
        if let Some(bounds) = &self.bounds {
            bounded::change(bounds, &change.action, before, after, &self.roles)?;
        }
        let given = match (&change.action, &self.actor) {
            (Action::Create(_), _) => None,
            (Action::Update(_), _) => before,
            (Action::Rotate { .. } | Action::Replace { .. }, Some(actor)) if actor.is(after) => {
                return actor.may_succeed(before);
            }
            // A repeat replaces one secret of the acting key with another.
            (Action::Repeat { .. }, Some(actor)) if actor.is(after) => return Ok(()),
            // The caller gets a secret of this key, and with it everything that the key has.
            (Action::Rotate { .. } | Action::Replace { .. } | Action::Repeat { .. }, _) => None,
            _ => return Ok(()),
        };
        let held = given.map(|given| self.roles.of(given)).unwrap_or_default();
        self.grants(after.owner(), &self.roles.of(after), &held)?;
        self.actor.as_ref().map_or(Ok(()), |actor| actor.bounds(given, after, &self.roles))
    }

    /// Returns the tenant of a new key, where the call names none.
    pub(crate) fn default_tenant(&self) -> Option<&str> {
        self.actor.as_ref().and_then(|actor| actor.record.tenant.as_deref())
    }

    /// Returns the prefix that a new key keeps which names none.
    pub(crate) fn default_prefix(&self) -> Option<String> {
        self.actor.as_ref().and_then(|actor| actor.record.prefix.clone())
    }

    /// Returns the end of a new key that names none.
    pub(crate) fn default_end(&self, now: i64) -> Option<i64> {
        let bound = self.bounds.as_ref().and_then(|bounds| bounds.latest_end(now));
        earlier(bound, self.actor.as_ref().and_then(ActingKey::end))
    }

    /// Returns the idle time of a new key that names none, in milliseconds.
    pub(crate) fn default_idle_after(&self) -> Option<i64> {
        self.actor.as_ref().and_then(ActingKey::idle_after)
    }

    /// Returns the networks of a new key that names none.
    pub(crate) fn default_networks(&self) -> Vec<String> {
        self.actor.as_ref().map(|actor| actor.networks().to_vec()).unwrap_or_default()
    }

    /// Returns the rate limit of a new key that names none.
    pub(crate) fn default_limit(&self) -> Option<StoredLimit> {
        self.actor.as_ref().and_then(|actor| actor.limit().cloned())
    }

    /// Returns the quota of a new key that names none.
    pub(crate) fn default_quota(&self) -> Option<StoredQuota> {
        self.actor.as_ref().and_then(|actor| actor.quota().cloned())
    }
}

impl ActingKey {
    pub(crate) fn new(
        record: Record,
        secret: u32,
        default: &'static str,
        roles: &RoleGrants,
        tenant: Option<&TenantRecord>,
        owner: Option<&OwnerRecord>,
    ) -> Self {
        let given = roles.of(&record).into_owned();
        let left =
            |given: &[String]| tenant.map_or_else(|| given.to_vec(), |tenant| grants::met(given, &tenant.ceiling));
        let named = |grant: &&String| record.tenant.is_none() || *grant != EVERYTHING;
        let exempting = left(&given.iter().filter(named).cloned().collect::<Vec<_>>());
        let ceiling = tenant.map(|tenant| tenant.ceiling.clone());
        let shared = owner.and_then(OwnerRecord::quota);
        Self { grants: left(&given), given, exempting, ceiling, shared, record, secret, default }
    }

    /// Whether it is exempt by this permission.
    fn may(&self, permission: &str) -> bool {
        self.exempting.iter().any(|grant| covers(grant, permission))
    }

    fn is_unbounded(&self) -> bool {
        self.record.tenant.is_none() && self.grants.iter().any(|grant| grant == EVERYTHING)
    }

    fn is(&self, record: &Record) -> bool {
        self.record.id == record.id
    }

    /// Returns the latest end for keys that this key creates or changes.
    fn end(&self) -> Option<i64> {
        self.record.expires_at.filter(|_| !self.may(OUTLIVE))
    }

    /// Returns the longest idle time for such keys, in milliseconds.
    fn idle_after(&self) -> Option<i64> {
        self.record.idle.map(|idle| idle.after_ms).filter(|_| !self.may(OUTLIVE))
    }

    /// Returns the networks that bound those of such keys; an empty list means anywhere.
    fn networks(&self) -> &[String] {
        if self.may(ANYWHERE) { &[] } else { &self.record.networks }
    }

    fn limit(&self) -> Option<&StoredLimit> {
        self.record.limit.as_ref().filter(|_| !self.is_unbounded())
    }

    fn quota(&self) -> Option<&StoredQuota> {
        self.record.quota.as_ref().filter(|_| !self.is_unbounded())
    }

    fn is_owner(&self, owner: OwnerRef<'_>) -> bool {
        self.is_tenant(owner.tenant) && (self.record.owner() == owner || self.may(ANY_OWNER))
    }

    /// Whether it may manage keys of this tenant, or of none. A key in a tenant manages that one, whatever its grants.
    fn is_tenant(&self, tenant: Option<&str>) -> bool {
        self.record.tenant.as_deref() == tenant || (self.record.tenant.is_none() && self.may(ANY_TENANT))
    }

    fn readable(&self) -> Seen {
        let owner = (!self.may(ANY_OWNER)).then(|| Arc::from(self.record.owner.as_str()));
        let tenants = match &self.record.tenant {
            Some(tenant) => Tenants::One(tenant.as_str().into()),
            None if owner.is_none() && self.may(ANY_TENANT) => Tenants::All,
            None => Tenants::None,
        };
        Seen { tenants, owner }
    }

    fn owner(&self, owner: OwnerRef<'_>) -> Result<(), StoreError> {
        if self.is_owner(owner) {
            return Ok(());
        }
        if !self.is_tenant(owner.tenant) {
            let (wanted, actor) = (owner.tenant.map(str::to_owned), self.record.tenant.clone());
            return Err(StoreError::Exceeds(CapViolation::Tenant { wanted, actor }));
        }
        let (wanted, actor) = (owner.name.to_owned(), self.record.owner.clone());
        Err(StoreError::Exceeds(CapViolation::Owner { wanted, actor }))
    }

    fn grants(&self, grants: &[String], held: &[String]) -> Result<(), StoreError> {
        // What the key has already may be beyond the ceiling, which is over both keys.
        let keeps = |grant: &String| held.contains(grant) && covered(&self.given, grant);
        if let Some(grant) = grants.iter().find(|grant| !covered(&self.grants, grant) && !keeps(grant)) {
            return Err(StoreError::Exceeds(CapViolation::Grant(grant.clone())));
        }
        // In a tenant `*` is none of the grants that it covers: these would exempt from bounds.
        let has = |held: &String, grant: &String| {
            held == grant || (covers(held, grant) && (self.record.tenant.is_none() || held != EVERYTHING))
        };
        let handed_on = grants.iter().find(|grant| manages(grant) && !held.iter().any(|held| has(held, grant)));
        match handed_on.filter(|_| !self.may(DELEGATE)) {
            Some(grant) => Err(StoreError::Exceeds(CapViolation::Delegation(grant.clone()))),
            None => Ok(()),
        }
    }

    /// Checks that it may change a role.
    fn role(&self, before: Option<&RoleRecord>, action: &RoleAction) -> Result<(), StoreError> {
        let refused = || StoreError::Exceeds(CapViolation::Role(action.name().to_owned()));
        let held = before.map(|role| role.permissions.as_slice()).unwrap_or_default();
        if self.record.tenant.is_some() || grants::uncovered(&self.grants, held).is_some() {
            return Err(refused());
        }
        let RoleAction::Put(role) = action else { return Ok(()) };
        self.grants(&role.permissions, held)?;
        let widens = before.is_some() && grants::uncovered(held, &role.permissions).is_some();
        if widens { self.without_bounds() } else { Ok(()) }
    }

    /// Checks that it may change a tenant, which concerns all of the tenant's keys: what these have at most must be its own.
    fn tenant(&self, before: Option<&TenantRecord>, action: &TenantAction) -> Result<(), StoreError> {
        let wanted = Some(action.name().to_owned());
        if self.record.tenant.is_some() || !self.may(ANY_OWNER) || !self.may(ANY_TENANT) {
            return Err(StoreError::Exceeds(CapViolation::Tenant { wanted, actor: self.record.tenant.clone() }));
        }
        let everything = [EVERYTHING.to_owned()];
        let held = before.map_or(everything.as_slice(), |tenant| &tenant.ceiling);
        // To narrow a tenant, or to end it, is to change keys that may have all that its ceiling lets through.
        if let Some(grant) = grants::uncovered(&self.grants, held) {
            return Err(StoreError::Exceeds(CapViolation::Grant(grant.clone())));
        }
        let TenantAction::Put(tenant) = action else { return Ok(()) };
        self.grants(&tenant.ceiling, held)?;
        let limit = |tenant: &TenantRecord| tenant.limit.as_ref().map(Limit::stored);
        let is_faster = before.is_some_and(|before| is_faster(limit(tenant), limit(before)));
        let is_larger = before.is_some_and(|before| is_larger(tenant.quota(), before.quota()));
        let widens = is_faster || is_larger || grants::uncovered(held, &tenant.ceiling).is_some();
        if widens { self.without_bounds() } else { Ok(()) }
    }

    /// Checks that it may change the bounds of an owner, which concerns all of the owner's keys: what these have at most must be
    /// its own. One that shares a quota with the keys of its own owner gives no owner a larger one.
    fn put_owner(&self, before: Option<&OwnerRecord>, action: &OwnerAction) -> Result<(), StoreError> {
        let OwnerAction::Put(owner) = action;
        if !self.may(ANY_OWNER) {
            let (wanted, actor) = (owner.name.clone(), self.record.owner.clone());
            return Err(StoreError::Exceeds(CapViolation::Owner { wanted, actor }));
        }
        let everything = [EVERYTHING.to_owned()];
        let own = self.ceiling.as_deref().filter(|_| self.record.tenant == owner.tenant);
        if let Some(grant) = grants::uncovered(&self.grants, own.unwrap_or(&everything)) {
            return Err(StoreError::Exceeds(CapViolation::Grant(grant.clone())));
        }
        if !before.is_some_and(|before| is_larger(owner.quota(), before.quota())) {
            return Ok(());
        }
        match self.shared.filter(|_| !self.is_unbounded()) {
            Some(max) => Err(StoreError::Exceeds(CapViolation::Quota { wanted: owner.quota(), max })),
            None => self.without_bounds(),
        }
    }

    /// Checks that it has no end, idle time, networks, rate limit or quota that bind what it gives: the keys that get more by a role
    /// or a tenant have theirs, and a change of one of them alone could not give it that.
    fn without_bounds(&self) -> Result<(), StoreError> {
        let end = self.end().map(|latest| CapViolation::End { wanted: None, latest: from_ms(latest) });
        let idle = || self.idle_after().map(|max| CapViolation::Idle { wanted: None, max: idle::span(max) });
        let networks = || network::beyond(&[], self.networks()).map(|all| CapViolation::Networks(all.to_owned()));
        let limit = || self.limit().map(|max| CapViolation::Limit { wanted: None, max: Limit::stored(max) });
        let quota = || self.quota().map(|max| CapViolation::Quota { wanted: None, max: Quota::stored(max) });
        let bound = end.or_else(idle).or_else(networks).or_else(limit).or_else(quota);
        bound.map_or(Ok(()), |bound| Err(StoreError::Exceeds(bound)))
    }

    /// Whether it may change a key: its own, or one that has nothing that it lacks.
    fn covers(&self, target: &Record, granted: &[String]) -> bool {
        // The ceiling is over both keys, or over neither, whenever it changes.
        let covers = || grants::uncovered(&self.given, granted).is_none();
        self.is(target) || (self.is_owner(target.owner()) && covers())
    }

    /// Checks that it may give itself another secret: a superseded secret could outlive its end in this way.
    fn may_succeed(&self, before: Option<&Record>) -> Result<(), StoreError> {
        let mut secrets = before.iter().flat_map(|record| &record.secrets);
        match secrets.find(|secret| secret.version == self.secret).map(|secret| secret.end) {
            Some(SecretEnd::At(end)) => Err(StoreError::Conflict(Conflict::Overlapping { until: Some(from_ms(end)) })),
            _ => Ok(()),
        }
    }

    /// Checks that a change may leave a key with these labels, prefix, end, idle time, networks, rate limit and quota,
    /// and removes no label. If the key exceeds these bounds already, in `given`, the change may leave it so, provided that it
    /// gives the key nothing: anything more that it gives would go to a caller who has all of these, too.
    fn bounds(&self, given: Option<&Record>, after: &Record, roles: &RoleGrants) -> Result<(), StoreError> {
        let refused = |violation| Err(StoreError::Exceeds(violation));
        // A handler may read the absence of a label as more.
        let lost = given.and_then(|given| given.labels.keys().find(|name| !after.labels.contains_key(*name)));
        if let Some(name) = lost.filter(|_| !self.is_unbounded()) {
            return refused(self.label(name, None));
        }
        if given.is_some_and(|given| !gives(given, after, roles)) {
            return Ok(());
        }
        if !self.is_unbounded() {
            let mut labels = after.labels.iter();
            if let Some((name, value)) = labels.find(|(name, value)| self.record.labels.get(*name) != Some(*value)) {
                return refused(self.label(name, Some(value)));
            }
            let [wanted, held] = [after, &self.record].map(|key| key.prefix.as_deref().unwrap_or(self.default));
            if wanted != held {
                return refused(CapViolation::Prefix { wanted: wanted.to_owned(), held: held.to_owned() });
            }
        }
        if let Some(latest) = self.end().filter(|latest| is_later(after.expires_at, Some(*latest))) {
            let wanted = after.expires_at.map(from_ms);
            return refused(CapViolation::End { wanted, latest: from_ms(latest) });
        }
        let wanted = after.idle.map(|idle| idle.after_ms);
        if let Some(max) = self.idle_after().filter(|max| is_later(wanted, Some(*max))) {
            return refused(CapViolation::Idle { wanted: wanted.map(idle::span), max: idle::span(max) });
        }
        if let Some(beyond) = network::beyond(&after.networks, self.networks()) {
            return refused(CapViolation::Networks(beyond.to_owned()));
        }
        let wanted = after.limit.as_ref().map(Limit::stored);
        if let Some(max) = self.limit().map(Limit::stored).filter(|max| is_faster(wanted, Some(*max))) {
            return refused(CapViolation::Limit { wanted, max });
        }
        let wanted = after.quota.as_ref().map(Quota::stored);
        match self.quota().map(Quota::stored).filter(|max| is_larger(wanted, Some(*max))) {
            Some(max) => refused(CapViolation::Quota { wanted, max }),
            None => Ok(()),
        }
    }

    /// The violation of a key that would have another label than this one.
    fn label(&self, name: &str, wanted: Option<&String>) -> CapViolation {
        let held = self.record.labels.get(name).cloned();
        CapViolation::Label { name: name.to_owned(), wanted: wanted.cloned(), held }
    }
}

/// Whether one of these grants covers another.
fn covered(outer: &[String], grant: &str) -> bool {
    outer.iter().any(|wide| covers(wide, grant))
}
