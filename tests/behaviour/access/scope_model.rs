//! Which acting key may do what to which key or role: random acting keys, targets, roles of both, and operations, against
//! a model in which an end, an idle time, a set of networks and a rate limit are each a number, and a larger one gives
//! more. A label is a value, or none.

use apikey::{
    Attempt, CapViolation, Conflict, CreatedKey, KeyInfo, KeyStore, KeyUpdate, ManualClock, NewKey, Overlap, Role,
    StoreError, VerifiedKey,
};
use apikey_testkit::{hours, start};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use crate::proptest_config::cases;

/// No end, no networks or no rate limit is set, which gives the most.
const UNBOUNDED: usize = 2;
const GRANTS: [&str; 11] = [
    "orders:read",
    "orders:*",
    "stock:read",
    "*:read",
    "keys:create",
    "keys:delegate",
    "keys:any_owner",
    "keys:outlive",
    "keys:anywhere",
    "keys:*",
    "*",
];
const OWNERS: [&str; 2] = ["alice", "bob"];
const PLANS: [&str; 2] = ["free", "pro"];
/// The first is that of keys that name none.
const PREFIXES: [&str; 2] = ["live", "test"];

/// The store has the first two roles.
const ROLES: [&str; 3] = ["one", "two", "three"];

/// What each role grants; `None` if the store does not have it.
type Roles = [Option<Vec<&'static str>>; ROLES.len()];

/// A key in the model.
#[derive(Debug, Clone, PartialEq)]
struct Key {
    owner: &'static str,
    grants: Vec<&'static str>,
    roles: Vec<usize>,
    /// Its grants and those of its roles: see [`Key::with`].
    all: Vec<&'static str>,
    end: usize,
    idle: usize,
    networks: usize,
    limit: usize,
    plan: Option<&'static str>,
    prefix: Option<&'static str>,
}

#[derive(Debug, Clone)]
enum Operation {
    Create(Key),
    CreateMany(Key),
    Grants(Vec<&'static str>),
    Roles(Vec<usize>),
    AddRole(usize),
    PutRole(usize, Vec<&'static str>),
    DeleteRole(usize),
    End(usize),
    Idle(usize),
    Networks(usize),
    Limit(usize),
    Plan(Option<&'static str>),
    Rename,
    Disable(bool),
    Rotate(Overlap),
    RotateIdempotent,
    Replace,
    Revoke,
    RevokeOwner,
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Done,
    Missing,
    OtherOwner,
    Target,
    Owner,
    Grant,
    Delegation,
    Label,
    Prefix,
    End,
    Idle,
    Networks,
    Limit,
    Role,
    InUse,
}

fn end(rank: usize) -> Option<DateTime<Utc>> {
    [Some(start() + hours(1)), Some(start() + hours(2)), None][rank]
}

fn idle_after(rank: usize) -> Option<TimeDelta> {
    [Some(hours(1)), Some(hours(2)), None][rank]
}

fn networks(rank: usize) -> Option<[&'static str; 1]> {
    [Some(["10.1.0.0/16"]), Some(["10.0.0.0/8"]), None][rank]
}

fn limit(rank: usize) -> Option<(u32, TimeDelta)> {
    [Some((500, TimeDelta::seconds(1))), Some((1000, TimeDelta::seconds(1))), None][rank]
}

fn grants() -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(&GRANTS[..], 0..4)
}

/// Roles that the store has.
fn roles() -> impl Strategy<Value = Vec<usize>> {
    prop::sample::subsequence(vec![0, 1], 0..3)
}

fn plan() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::of(prop::sample::select(&PLANS[..]))
}

fn key() -> impl Strategy<Value = Key> {
    let prefix = prop::option::weighted(0.3, prop::sample::select(&PREFIXES[..]));
    let bounds = (0..3usize, 0..3usize, 0..3usize, 0..3usize);
    (prop::sample::select(&OWNERS[..]), grants(), roles(), bounds, plan(), prefix).prop_map(
        |(owner, grants, roles, (end, idle, networks, limit), plan, prefix)| Key {
            owner,
            grants,
            roles,
            all: Vec::new(),
            end,
            idle,
            networks,
            limit,
            plan,
            prefix,
        },
    )
}

fn operation() -> impl Strategy<Value = Operation> {
    let overlaps = [Overlap::None, Overlap::UntilFirstUse, Overlap::For(TimeDelta::minutes(1))];
    prop_oneof![
        3 => key().prop_map(Operation::Create),
        1 => key().prop_map(Operation::CreateMany),
        2 => grants().prop_map(Operation::Grants),
        2 => roles().prop_map(Operation::Roles),
        1 => (0..2usize).prop_map(Operation::AddRole),
        3 => (0..ROLES.len(), grants()).prop_map(|(role, grants)| Operation::PutRole(role, grants)),
        1 => (0..ROLES.len()).prop_map(Operation::DeleteRole),
        2 => (0..3usize).prop_map(Operation::End),
        2 => (0..3usize).prop_map(Operation::Idle),
        2 => (0..3usize).prop_map(Operation::Networks),
        2 => (0..3usize).prop_map(Operation::Limit),
        2 => plan().prop_map(Operation::Plan),
        1 => Just(Operation::Rename),
        1 => any::<bool>().prop_map(Operation::Disable),
        2 => prop::sample::select(overlaps.to_vec()).prop_map(Operation::Rotate),
        1 => Just(Operation::RotateIdempotent),
        1 => Just(Operation::Replace),
        1 => Just(Operation::Revoke),
        1 => Just(Operation::RevokeOwner),
    ]
}

fn names(roles: &[usize]) -> Vec<&'static str> {
    roles.iter().map(|role| ROLES[*role]).collect()
}

fn role(number: usize, grants: &[&str]) -> Role {
    Role::new(ROLES[number]).permissions(grants)
}

fn new(key: &Key) -> NewKey {
    let mut new = NewKey::for_owner(key.owner).permissions(&key.grants).roles(names(&key.roles));
    if let Some(end) = end(key.end) {
        new = new.expires_at(end);
    }
    if let Some(span) = idle_after(key.idle) {
        new = new.idle_after(span);
    }
    if let Some(networks) = networks(key.networks) {
        new = new.networks(networks);
    }
    if let Some((count, per)) = limit(key.limit) {
        new = new.limit(count, per);
    }
    if let Some(plan) = key.plan {
        new = new.label("plan", plan);
    }
    if let Some(prefix) = key.prefix {
        new = new.prefix(prefix);
    }
    new
}

/// A key of the store in the model's terms.
fn read(info: &KeyInfo) -> Key {
    let rank = |is: &dyn Fn(usize) -> bool| (0..3).find(|rank| is(*rank)).expect("a rank of the model");
    let known = |text: &str| *GRANTS.iter().find(|grant| **grant == text).expect("a grant of the model");
    let owner = *OWNERS.iter().find(|owner| **owner == info.owner()).expect("an owner of the model");
    let mut grants: Vec<_> = info.permissions().iter().map(|grant| known(grant)).collect();
    grants.sort_unstable();
    let number = |name: &String| ROLES.iter().position(|role| role == name).expect("a role of the model");
    let mut roles: Vec<usize> = info.roles().iter().map(number).collect();
    roles.sort_unstable();
    Key {
        owner,
        grants,
        roles,
        all: Vec::new(),
        end: rank(&|rank| info.expires_at() == end(rank)),
        idle: rank(&|rank| info.idle_after() == idle_after(rank)),
        networks: rank(&|rank| info.networks() == networks(rank).as_ref().map_or(&[][..], |nets| &nets[..])),
        limit: rank(&|rank| info.limit().map(|limit| (limit.count(), limit.per())) == limit(rank)),
        plan: info
            .labels()
            .get("plan")
            .map(|text| *PLANS.iter().find(|plan| *plan == text).expect("a plan of the model")),
        prefix: info.keeps_prefix().then(|| *PREFIXES.iter().find(|prefix| info.prefix() == Some(prefix)).unwrap()),
    }
}

fn sorted(mut key: Key) -> Key {
    key.grants.sort_unstable();
    key.roles.sort_unstable();
    key.all.clear();
    key
}

/// Whether one grant gives all that the other does.
fn covers(wide: &str, narrow: &str) -> bool {
    wide == narrow
        || wide == "*"
        || matches!((wide, narrow), ("orders:*" | "*:read", "orders:read") | ("*:read", "stock:read"))
        || (wide == "keys:*" && narrow.starts_with("keys:"))
}

impl Key {
    /// The key, if roles grant this.
    fn with(mut self, roles: &Roles) -> Self {
        let of_roles = self.roles.iter().filter_map(|role| roles[*role].as_ref()).flatten();
        self.all = self.grants.iter().chain(of_roles).copied().collect();
        self
    }

    fn may(&self, permission: &str) -> bool {
        self.covers(&[permission])
    }

    fn covers(&self, grants: &[&str]) -> bool {
        grants.iter().all(|narrow| self.all.iter().any(|wide| covers(wide, narrow)))
    }

    fn may_own(&self, owner: &str) -> bool {
        self.owner == owner || self.may("keys:any_owner")
    }

    /// The largest end, idle time, networks and rate limit that it may hand out.
    fn max(&self) -> [usize; 4] {
        let max = |may: bool, own: usize| if may { UNBOUNDED } else { own };
        [
            max(self.may("keys:outlive"), self.end),
            max(self.may("keys:outlive"), self.idle),
            max(self.may("keys:anywhere"), self.networks),
            max(self.may("*"), self.limit),
        ]
    }

    fn bounds(&self) -> [usize; 4] {
        [self.end, self.idle, self.networks, self.limit]
    }
}

/// Whether a key may do this, which no grant of the model need name.
fn gives(key: &Key, permission: &str) -> bool {
    key.may(permission) || permission == "orders:write" && key.all.contains(&"orders:*")
}

/// Whether a grant gives any permission by which keys are managed.
fn manages(grant: &str) -> bool {
    !matches!(grant, "orders:read" | "orders:*" | "stock:read")
}

/// The bounds that an acting key may leave a key with. A key keeps what it had before if it gets nothing more.
fn leaves(actor: &Key, before: Option<&Key>, after: &Key) -> Verdict {
    if !actor.may_own(after.owner) {
        return Verdict::Owner;
    }
    if !actor.covers(&after.all) {
        return Verdict::Grant;
    }
    let is_new = |grant: &&str| manages(grant) && before.is_none_or(|before| !before.may(grant));
    if after.all.iter().any(is_new) && !actor.may("keys:delegate") {
        return Verdict::Delegation;
    }
    if before.is_some_and(|before| before.plan.is_some() && after.plan.is_none()) && !actor.may("*") {
        return Verdict::Label;
    }
    let shrinks = |before: &Key| {
        before.covers(&after.all)
            && after.roles.iter().all(|role| before.roles.contains(role))
            && (0..4).all(|at| after.bounds()[at] <= before.bounds()[at])
            && (after.plan.is_none() || after.plan == before.plan)
    };
    if before.is_some_and(shrinks) {
        return Verdict::Done;
    }
    if !actor.may("*") {
        if after.plan.is_some() && after.plan != actor.plan {
            return Verdict::Label;
        }
        if after.prefix.unwrap_or(PREFIXES[0]) != actor.prefix.unwrap_or(PREFIXES[0]) {
            return Verdict::Prefix;
        }
    }
    beyond(actor, after.bounds())
}

/// The first of these bounds that lets through more than the acting key may hand out.
fn beyond(actor: &Key, bounds: [usize; 4]) -> Verdict {
    let verdicts = [Verdict::End, Verdict::Idle, Verdict::Networks, Verdict::Limit];
    let beyond = (0..4).find(|at| bounds[*at] > actor.max()[*at]);
    beyond.map_or(Verdict::Done, |at| verdicts.into_iter().nth(at).unwrap())
}

/// The model's answer to an edit of a role, and what the roles grant after it.
fn decide_role(actor: &Key, target: &Key, roles: &Roles, operation: &Operation) -> Option<(Verdict, Roles)> {
    let (number, wanted) = match operation {
        Operation::PutRole(number, grants) => (*number, Some(grants.clone())),
        Operation::DeleteRole(number) => (*number, None),
        _ => return None,
    };
    let held = roles[number].clone().unwrap_or_default();
    let is_new = |grant: &&str| manages(grant) && !held.iter().any(|held| covers(held, grant));
    let is_held = || actor.roles.contains(&number) || target.roles.contains(&number);
    let verdict = match &wanted {
        _ if !actor.covers(&held) => Verdict::Role,
        Some(grants) if !actor.covers(grants) => Verdict::Grant,
        Some(grants) if grants.iter().any(is_new) && !actor.may("keys:delegate") => Verdict::Delegation,
        None if roles[number].is_some() && is_held() => Verdict::InUse,
        // Any key may have the role, whatever its own bounds.
        Some(grants)
            if roles[number].is_some() && grants.iter().any(|grant| !held.iter().any(|held| covers(held, grant))) =>
        {
            beyond(actor, [UNBOUNDED; 4])
        }
        _ => Verdict::Done,
    };
    let mut after = roles.clone();
    if verdict == Verdict::Done {
        after[number] = wanted;
    }
    Some((verdict, after))
}

/// The model's answer, and the target, or the created key, after it.
fn decide(
    actor: &Key,
    target: &Key,
    is_own: bool,
    face: Option<&str>,
    operation: &Operation,
    roles: &Roles,
) -> (Verdict, Key) {
    let mut after = target.clone();
    if let Operation::Create(wanted) | Operation::CreateMany(wanted) = operation {
        let mut wanted = wanted.clone();
        let wants = [&mut wanted.end, &mut wanted.idle, &mut wanted.networks, &mut wanted.limit];
        for (own, max) in wants.into_iter().zip(actor.max()) {
            if *own == UNBOUNDED {
                *own = max;
            }
        }
        wanted.prefix = wanted.prefix.or(actor.prefix);
        let wanted = wanted.with(roles);
        let is_other = face.is_some_and(|face| face != wanted.owner);
        let verdict = if is_other { Verdict::OtherOwner } else { leaves(actor, None, &wanted) };
        return (verdict, wanted);
    }
    let covered = is_own || (actor.may_own(target.owner) && actor.covers(&target.all));
    if let Operation::RevokeOwner = operation {
        let owner = face.unwrap_or(target.owner);
        let verdict = match () {
            () if !actor.may_own(owner) => Verdict::Owner,
            () if owner == target.owner && !covered => Verdict::Target,
            () => Verdict::Done,
        };
        return (verdict, after);
    }
    if face.is_some_and(|face| face != target.owner) || !(is_own || actor.may_own(target.owner)) {
        return (Verdict::Missing, after);
    }
    if !covered {
        return (Verdict::Target, after);
    }
    match operation {
        Operation::Grants(grants) => after.grants.clone_from(grants),
        Operation::Roles(roles) => after.roles.clone_from(roles),
        Operation::AddRole(role) if !after.roles.contains(role) => after.roles.push(*role),
        Operation::End(rank) => after.end = *rank,
        Operation::Idle(rank) => after.idle = *rank,
        Operation::Networks(rank) => after.networks = *rank,
        Operation::Limit(rank) => after.limit = *rank,
        Operation::Plan(plan) => after.plan = *plan,
        _ => {}
    }
    let after = after.with(roles);
    let verdict = match operation {
        Operation::Revoke => Verdict::Done,
        Operation::Rotate(_) | Operation::RotateIdempotent | Operation::Replace if is_own => Verdict::Done,
        Operation::Rotate(_) | Operation::RotateIdempotent | Operation::Replace => leaves(actor, None, target),
        _ => leaves(actor, Some(target), &after),
    };
    (verdict, after)
}

/// Applies the operation to the store; the store's answer.
fn perform(
    store: &KeyStore,
    actor: &VerifiedKey,
    target: &KeyInfo,
    face: Option<&str>,
    operation: &Operation,
) -> (Verdict, Option<KeyInfo>) {
    // Each call goes to the store or to an owner's view of it, which have the same signatures.
    macro_rules! call {
        ($method:ident ( $($given:expr),* )) => {
            match face {
                Some(owner) => store.of_owner(owner).$method($($given),*),
                None => store.$method($($given),*),
            }
        };
    }
    let id = target.id();
    let update = |update: KeyUpdate| call!(update(id, update.within(actor))).map(Some);
    let made = |made: Result<CreatedKey, StoreError>| made.map(|created| Some(created.info));
    let done = match operation {
        Operation::Create(key) => made(call!(create(new(key).within(actor)))),
        Operation::CreateMany(key) => {
            let keys = [new(key).within(actor), new(key).within(actor)];
            call!(create_many(keys)).map(|mut created| created.pop().map(|created| created.info))
        }
        Operation::Grants(grants) => update(KeyUpdate::new().permissions(grants)),
        Operation::Roles(roles) => update(KeyUpdate::new().roles(names(roles))),
        Operation::AddRole(role) => update(KeyUpdate::new().add_roles([ROLES[*role]])),
        Operation::PutRole(number, grants) => store.put_role_within(role(*number, grants), actor).map(|_| None),
        Operation::DeleteRole(number) => store.delete_role_within(ROLES[*number], actor).map(|_| None),
        Operation::End(rank) => update(KeyUpdate::new().expires_at(end(*rank))),
        Operation::Idle(rank) => update(match idle_after(*rank) {
            Some(span) => KeyUpdate::new().idle_after(span),
            None => KeyUpdate::new().no_idle_after(),
        }),
        Operation::Networks(rank) => update(match networks(*rank) {
            Some(networks) => KeyUpdate::new().networks(networks),
            None => KeyUpdate::new().any_network(),
        }),
        Operation::Limit(rank) => update(match limit(*rank) {
            Some((count, per)) => KeyUpdate::new().limit(count, per),
            None => KeyUpdate::new().no_limit(),
        }),
        Operation::Plan(Some(plan)) => update(KeyUpdate::new().label("plan", *plan)),
        Operation::Plan(None) => update(KeyUpdate::new().remove_label("plan")),
        Operation::Rename => update(KeyUpdate::new().name("renamed")),
        Operation::Disable(disabled) => update(KeyUpdate::new().disabled(*disabled)),
        Operation::Rotate(overlap) => made(call!(rotate_within(id, *overlap, actor))),
        Operation::RotateIdempotent => {
            let options = apikey::RotateOptions::new(Overlap::UntilFirstUse).within(actor);
            made(call!(rotate_with(id, &options.idempotency_key(id.to_string()))))
        }
        Operation::Replace => made(call!(replace_leaked_within(id, "leaked", actor))),
        Operation::Revoke => call!(revoke_within(id, "left", actor)).map(|_| None),
        Operation::RevokeOwner => match face {
            Some(owner) => store.of_owner(owner).revoke_all_within("left", actor),
            None => store.revoke_owner_within(target.owner(), "left", actor),
        }
        .map(|_| None),
    };
    let error = match done {
        Ok(info) => return (Verdict::Done, info),
        Err(error) => error,
    };
    let verdict = match error {
        StoreError::NotFound(_) => Verdict::Missing,
        StoreError::Invalid { field: "owner", .. } => Verdict::OtherOwner,
        StoreError::Exceeds(CapViolation::Target(_)) => Verdict::Target,
        StoreError::Exceeds(CapViolation::Owner { .. }) => Verdict::Owner,
        StoreError::Exceeds(CapViolation::Grant(_)) => Verdict::Grant,
        StoreError::Exceeds(CapViolation::Delegation(_)) => Verdict::Delegation,
        StoreError::Exceeds(CapViolation::Label { .. }) => Verdict::Label,
        StoreError::Exceeds(CapViolation::Prefix { .. }) => Verdict::Prefix,
        StoreError::Exceeds(CapViolation::End { .. }) => Verdict::End,
        StoreError::Exceeds(CapViolation::Idle { .. }) => Verdict::Idle,
        StoreError::Exceeds(CapViolation::Networks(_)) => Verdict::Networks,
        StoreError::Exceeds(CapViolation::Limit { .. }) => Verdict::Limit,
        StoreError::Exceeds(CapViolation::Role(_)) => Verdict::Role,
        StoreError::Conflict(Conflict::RoleInUse { .. }) => Verdict::InUse,
        other => panic!("{other:?}"),
    };
    (verdict, None)
}

proptest! {
    #![proptest_config(cases(1))]

    #[test]
    fn actor_target_and_operation(
        actor in key(),
        target in key(),
        is_own in prop::bool::weighted(0.2),
        face in prop::option::weighted(0.3, prop::sample::select(&OWNERS[..])),
        granted in [grants(), grants()],
        edited in prop::option::weighted(0.3, (0..2usize, grants())),
        operation in operation(),
    ) {
        let store = KeyStore::builder().clock(ManualClock::new(start())).prefixes(PREFIXES).temporary().unwrap();
        for (number, grants) in granted.iter().enumerate() {
            store.put_role(role(number, grants)).unwrap();
        }
        let created = store.create(new(&actor)).unwrap();
        let attempt = Attempt::new(created.key.expose_secret()).peer(std::net::IpAddr::from([10, 1, 2, 3]));
        let verified = store.check(&attempt).unwrap();
        let [one, two] = granted;
        let mut roles: Roles = [Some(one), Some(two), None];
        // What counts is what a role grants when the store decides, and not when the caller was verified.
        if let Some((number, grants)) = edited {
            store.put_role(role(number, &grants)).unwrap();
            roles[number] = Some(grants);
        }
        let actor = actor.with(&roles);
        let (target, info) = if is_own {
            (actor.clone(), store.get(created.info.id()).unwrap().unwrap())
        } else {
            let info = store.create(new(&target)).unwrap().info;
            (target.with(&roles), info)
        };
        let of_role = decide_role(&actor, &target, &roles, &operation);
        let is_of_role = of_role.is_some();
        let (expected, after, roles) = match of_role {
            Some((expected, roles)) => (expected, target.clone(), roles),
            None => {
                let (expected, after) = decide(&actor, &target, is_own, face, &operation, &roles);
                (expected, after, roles)
            }
        };
        let (verdict, left) = perform(&store, &verified, &info, face, &operation);
        prop_assert_eq!(&verdict, &expected);
        let creates = matches!(operation, Operation::Create(_) | Operation::CreateMany(_));
        let is_changed = is_own && verdict == Verdict::Done && !creates;
        let now = if is_changed { after.clone() } else { actor }.with(&roles);
        if let Some(left) = left {
            prop_assert_eq!(read(&left), sorted(after));
        } else if verdict != Verdict::Done || is_of_role {
            prop_assert_eq!(store.get(info.id()).unwrap().unwrap(), info, "what is refused changes nothing");
        }
        for (number, grants) in roles.iter().enumerate() {
            let held = store.role(ROLES[number]).unwrap();
            let held = held.as_ref().map(|role| role.permissions().iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(&held, grants);
        }
        // What the index gives is what the model says, unless the actor has just ended itself.
        if let Ok(key) = store.check(&attempt) {
            for permission in ["orders:read", "orders:write", "stock:read", "keys:create", "keys:any_owner"] {
                prop_assert_eq!(key.allows(permission), gives(&now, permission), "{}", permission);
            }
        }
    }
}
