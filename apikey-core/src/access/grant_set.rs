//! Sets of grants by number. Most are a text in [`GRANTS`]. A key with roles, or one of a tenant, has a set that depends on
//! what the roles grant, and on the tenant's ceiling, so its number names an expression: the index [compiles](compile) it to
//! the number of a text whenever a role or the tenant changes.

use std::hash::{BuildHasher, RandomState};
use std::sync::{LazyLock, Mutex};

use hashbrown::HashTable;

use crate::access::grants;
use crate::access::named::NamedId;
use crate::base::interner::{Full, GRANTS};
use crate::base::lock::lock;

/// Set in the number of an expression. The texts of [`GRANTS`] have numbers below it.
const EXPRESSION: u32 = 1 << 31;

/// A set that depends on roles, or on a tenant.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Expression {
    /// Explicit grants, and those of roles.
    Union { explicit: u32, roles: Box<[NamedId]> },
    /// The most that keys of a tenant have.
    Ceiling(NamedId),
    /// What all of these sets give, sorted; at most one of them is a text, and none is a meet.
    Meet(Box<[u32]>),
}

/// Every expression that has ever been in use, by number.
static EXPRESSIONS: boxcar::Vec<Expression> = boxcar::Vec::new();

#[derive(Default)]
struct Numbers {
    table: HashTable<u32>,
    hasher: RandomState,
}

static NUMBERS: LazyLock<Mutex<Numbers>> = LazyLock::new(Mutex::default);

/// Whether the set depends on roles or on a tenant, and so is no text of [`GRANTS`].
#[inline]
pub(crate) fn is_expression(set: u32) -> bool {
    set & EXPRESSION != 0
}

/// The place of an expression among all of them.
#[inline]
pub(crate) fn place(expression: u32) -> usize {
    (expression & !EXPRESSION) as usize
}

/// The set of explicit grants and those of roles.
pub(crate) fn union(explicit: &[String], roles: impl IntoIterator<Item = NamedId>) -> Result<u32, Full> {
    let explicit = GRANTS.number(&grants::join(explicit))?;
    let mut roles: Vec<NamedId> = roles.into_iter().collect();
    if roles.is_empty() {
        return Ok(explicit);
    }
    roles.sort_unstable();
    roles.dedup();
    number(Expression::Union { explicit, roles: roles.into() })
}

/// The most that keys of a tenant have, as a set.
pub(crate) fn ceiling(tenant: NamedId) -> Result<u32, Full> {
    number(Expression::Ceiling(tenant))
}

/// The set of all that both sets give, whatever their roles will grant.
pub(crate) fn meet(one: u32, other: u32) -> Result<u32, Full> {
    if one == other {
        return Ok(one);
    }
    if !is_expression(one) && !is_expression(other) {
        return grants::meet(one, other);
    }
    let (mut expressions, mut text) = (Vec::new(), None::<u32>);
    for set in [one, other].into_iter().flat_map(met_sets) {
        if is_expression(set) {
            expressions.push(set);
        } else {
            text = Some(text.map_or(Ok(set), |text| grants::meet(text, set))?);
        }
    }
    expressions.sort_unstable();
    expressions.dedup();
    expressions.extend(text);
    match expressions.as_slice() {
        [only] => Ok(*only),
        _ => number(Expression::Meet(expressions.into())),
    }
}

/// Whether the old set may give something that the new one does not. For sets that depend on roles it may answer `true`
/// although it takes nothing away by what the roles grant now.
pub(crate) fn may_lose(old: u32, new: u32) -> bool {
    if old == new {
        return false;
    }
    met_sets(new).into_iter().any(|new| met_sets(old).into_iter().all(|old| one_may_lose(old, new)))
}

/// The same for sets that are no meets.
fn one_may_lose(old: u32, new: u32) -> bool {
    if old == new {
        return false;
    }
    if is_ceiling(old) || is_ceiling(new) {
        return true;
    }
    let (old, new) = (split(old), split(new));
    old.1.iter().any(|role| !new.1.contains(role)) || grants::lose(GRANTS.text(old.0), GRANTS.text(new.0))
}

/// The grants of a set, once `granted` says what each role grants, and what a tenant's ceiling is.
pub(crate) fn compile(set: u32, granted: &impl Fn(NamedId) -> Result<u32, Full>) -> Result<u32, Full> {
    match expression(set) {
        None => Ok(set),
        Some(Expression::Ceiling(tenant)) => granted(*tenant),
        Some(Expression::Union { explicit, roles }) => {
            let of_roles = roles.iter().map(|role| granted(*role)).collect::<Result<Vec<u32>, _>>()?;
            let texts = of_roles.into_iter().chain([*explicit]).map(|set| GRANTS.text(set));
            let all = texts.flat_map(|text| text.split(' ')).filter(|grant| !grant.is_empty());
            GRANTS.number(&grants::join(&all.map(str::to_owned).collect::<Vec<_>>()))
        }
        Some(Expression::Meet(met_sets)) => {
            let mut met = None::<u32>;
            for set in met_sets {
                let set = compile(*set, granted)?;
                met = Some(met.map_or(Ok(set), |met| grants::meet(met, set))?);
            }
            met.map_or_else(|| GRANTS.number(""), Ok)
        }
    }
}

/// The roles and tenants on which a set depends.
pub(crate) fn names(set: u32) -> Vec<NamedId> {
    let of_one = |set: u32| match expression(set) {
        Some(Expression::Ceiling(tenant)) => vec![*tenant],
        _ => split(set).1.to_vec(),
    };
    let mut all: Vec<NamedId> = met_sets(set).into_iter().flat_map(of_one).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// What is left of a set whose key loses the roles that `keeps` does not keep.
pub(crate) fn retain_roles(set: u32, keeps: impl Fn(NamedId) -> bool) -> Result<u32, Full> {
    let left = |set: u32| match expression(set) {
        Some(Expression::Union { explicit, roles }) => {
            let kept: Box<[NamedId]> = roles.iter().copied().filter(|role| keeps(*role)).collect();
            if kept.is_empty() { Ok(*explicit) } else { number(Expression::Union { explicit: *explicit, roles: kept }) }
        }
        _ => Ok(set),
    };
    let mut met = None::<u32>;
    for set in met_sets(set) {
        let set = left(set)?;
        met = Some(met.map_or(Ok(set), |met| meet(met, set))?);
    }
    Ok(met.unwrap_or(set))
}

/// The tenant whose ceiling is over a set.
pub(crate) fn tenant(set: u32) -> Option<NamedId> {
    met_sets(set).into_iter().find_map(|set| match expression(set) {
        Some(Expression::Ceiling(tenant)) => Some(*tenant),
        _ => None,
    })
}

fn is_ceiling(set: u32) -> bool {
    matches!(expression(set), Some(Expression::Ceiling(_)))
}

/// The sets whose meet this one is: itself, if it is no meet.
fn met_sets(set: u32) -> Vec<u32> {
    match expression(set) {
        Some(Expression::Meet(met_sets)) => met_sets.to_vec(),
        _ => vec![set],
    }
}

/// The explicit grants and the roles of a set that is no meet.
fn split(set: u32) -> (u32, &'static [NamedId]) {
    match expression(set) {
        Some(Expression::Union { explicit, roles }) => (*explicit, roles),
        _ => (set, &[]),
    }
}

fn expression(set: u32) -> Option<&'static Expression> {
    if is_expression(set) { EXPRESSIONS.get(place(set)) } else { None }
}

fn number(expression: Expression) -> Result<u32, Full> {
    let Numbers { table, hasher } = &mut *lock(&NUMBERS);
    let known = |number: &u32| EXPRESSIONS.get(place(*number));
    let hash = hasher.hash_one(Some(&expression));
    if let Some(number) = table.find(hash, |number| known(number) == Some(&expression)) {
        return Ok(*number);
    }
    // The lock is held, so only this thread adds one.
    let number = u32::try_from(EXPRESSIONS.count()).ok().filter(|number| *number < EXPRESSION).ok_or(Full)?;
    EXPRESSIONS.push(expression);
    table.insert_unique(hash, number | EXPRESSION, |number| hasher.hash_one(known(number)));
    Ok(number | EXPRESSION)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::access::named::Kind;

    const ROLES: [NamedId; 3] = [1, 2, 3];

    /// A set, and what it gives for every choice of what the roles grant.
    fn sets() -> impl Strategy<Value = u32> {
        let grants = proptest::collection::vec("[ab*](:[ab*]){0,1}", 0..3);
        let roles = proptest::collection::vec(proptest::sample::select(ROLES.to_vec()), 0..3);
        let unions = (grants, roles).prop_map(|(grants, roles)| union(&grants, roles).unwrap());
        (proptest::collection::vec(unions, 1..4), any::<bool>()).prop_map(|(unions, in_tenant)| {
            let ceiling = in_tenant.then(|| ceiling(Kind::Tenant.id("acme")).unwrap());
            unions.into_iter().chain(ceiling).reduce(|one, other| meet(one, other).unwrap()).unwrap()
        })
    }

    fn granted() -> impl Strategy<Value = [Option<u32>; 3]> {
        let grants = proptest::collection::vec("[ab*](:[ab*]){0,1}", 0..3);
        let role =
            proptest::option::of(grants).prop_map(|grants| Some(GRANTS.number(&grants::join(&grants?)).unwrap()));
        [role.clone(), role.clone(), role]
    }

    fn gives(set: u32, roles: &[Option<u32>; 3], permission: &str) -> bool {
        let nothing = || GRANTS.number("");
        let granted = |role: NamedId| match usize::try_from(role) {
            Ok(role) => roles[role - 1].map_or_else(nothing, Ok),
            Err(_) => GRANTS.number("a:* b"),
        };
        grants::joined_give(GRANTS.text(compile(set, &granted).unwrap()), permission)
    }

    const PERMISSIONS: [&str; 6] = ["a", "b", "a:a", "a:b", "b:b", "c:a"];

    proptest! {
        #[test]
        fn a_meet_gives_what_both_give_whatever_roles_grant(one in sets(), other in sets(), roles in granted()) {
            let met = meet(one, other).unwrap();
            for permission in PERMISSIONS {
                let both = gives(one, &roles, permission) && gives(other, &roles, permission);
                prop_assert_eq!(gives(met, &roles, permission), both, "{}", permission);
                if !may_lose(one, other) && gives(one, &roles, permission) {
                    prop_assert!(gives(other, &roles, permission), "{}", permission);
                }
            }
            prop_assert!(!may_lose(met, one) && !may_lose(met, other));
        }

        #[test]
        fn sets_are_a_lattice(one in sets(), other in sets(), third in sets()) {
            prop_assert_eq!(meet(one, one).unwrap(), one);
            prop_assert_eq!(meet(one, other).unwrap(), meet(other, one).unwrap());
            let left = meet(meet(one, other).unwrap(), third).unwrap();
            prop_assert_eq!(left, meet(one, meet(other, third).unwrap()).unwrap());
        }
    }

    #[test]
    fn a_set_without_roles_is_its_text() {
        let plain = union(&["b".to_owned(), "a".to_owned()], []).unwrap();
        assert_eq!((is_expression(plain), GRANTS.text(plain)), (false, "a b"));
        assert_eq!(compile(plain, &|_| Err(Full)).unwrap(), plain);
        assert!(names(plain).is_empty());
    }

    #[test]
    fn a_set_that_loses_roles_keeps_the_others_and_its_own_grants() {
        let set = |roles: &[NamedId]| union(&["a".to_owned()], roles.iter().copied()).unwrap();
        let acme = ceiling(Kind::Tenant.id("acme")).unwrap();
        assert_eq!(retain_roles(set(&[1, 2]), |role| role == 2).unwrap(), set(&[2]));
        assert_eq!(retain_roles(set(&[1, 2]), |_| false).unwrap(), set(&[]));
        assert_eq!(retain_roles(set(&[1]), |_| true).unwrap(), set(&[1]));
        let bounded = meet(set(&[1, 2]), acme).unwrap();
        assert_eq!(retain_roles(bounded, |role| role == 1).unwrap(), meet(set(&[1]), acme).unwrap());
    }

    #[test]
    fn a_set_has_one_number_and_knows_its_roles() {
        let set = |roles: &[NamedId]| union(&["a".to_owned()], roles.iter().copied()).unwrap();
        assert_eq!(set(&[2, 1, 2]), set(&[1, 2]));
        assert_eq!(names(meet(set(&[1]), set(&[2])).unwrap()), [1, 2]);
        let reader = GRANTS.number("orders:read").unwrap();
        let granted = |role| if role == 1 { Ok(reader) } else { GRANTS.number("") };
        assert_eq!(GRANTS.text(compile(set(&[1, 2]), &granted).unwrap()), "a orders:read");
        let acme = Kind::Tenant.id("acme");
        let bounded = meet(set(&[1]), ceiling(acme).unwrap()).unwrap();
        assert_eq!((tenant(bounded), tenant(set(&[1]))), (Some(acme), None));
        assert_eq!(names(bounded), [1, acme]);
    }
}
