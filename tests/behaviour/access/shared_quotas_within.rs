//! What acting keys may do to the quotas that keys share: none gives itself, or those like it, more.

use apikey::{CapViolation, CreatedKey, KeyStore, NewKey, Owner, Quota, StoreError, Tenant, VerifiedKey};
use apikey_testkit::hours;

fn verified(store: &KeyStore, key: &CreatedKey) -> VerifiedKey {
    store.verify(key.key.expose_secret()).unwrap()
}

fn day(uses: u64) -> Quota {
    Quota::per_day(uses)
}

fn owner(name: &str, uses: u64) -> Owner {
    Owner::new(name).quota(day(uses))
}

/// What keeps a call from an actor; `put` if nothing does.
fn kind(result: Result<bool, StoreError>) -> &'static str {
    match result {
        Ok(true) => "put",
        Ok(false) => "unchanged",
        Err(StoreError::Exceeds(violation)) => violation.kind(),
        Err(StoreError::Invalid { field, .. }) => field,
        Err(other) => panic!("{other:?}"),
    }
}

/// Each actor gives an owner a quota, a smaller one, a larger one, and none.
#[test]
fn an_actor_puts_owners_as_far_as_it_covers_all_of_their_keys() {
    let store = KeyStore::temporary().unwrap();
    let acme = store.tenant("acme").unwrap();
    let new = |grants: &[&str]| NewKey::for_owner("admin").permissions(grants);
    store.put_tenant(Tenant::new("acme").permissions(["orders:*", "keys:*"])).unwrap();
    store.put_owner(owner("shared", 100)).unwrap();
    let none = |new: NewKey| verified(&store, &store.create(new).unwrap());
    let in_acme = |new: NewKey| verified(&store, &acme.create(new).unwrap());
    let of_shared = |grants: &[&str]| NewKey::for_owner("shared").permissions(grants);
    // Each actor, and what it is answered: of no tenant, and in `acme`.
    let rows = [
        ("everything", none(new(&["*"])), ["put"; 5], ["put"; 5]),
        ("everything, with bounds", none(new(&["*"]).expires_in(hours(1)).quota(day(9))), ["put"; 5], ["put"; 5]),
        ("everything, of an owner with a quota", none(of_shared(&["*"])), ["put"; 5], ["put"; 5]),
        ("some", none(new(&["orders:*", "keys:*"])), ["grant"; 5], ["grant"; 5]),
        ("no other owners", none(new(&["orders:*", "keys:create"])), ["owner"; 5], ["tenant"; 5]),
        ("the ceiling", in_acme(new(&["orders:*", "keys:*"])), ["tenant"; 5], ["put"; 5]),
        ("everything in a tenant", in_acme(new(&["*"])), ["tenant"; 5], ["owner"; 5]),
        ("that and the owners", in_acme(new(&["*", "keys:*"])), ["tenant"; 5], ["put"; 5]),
        ("less than the ceiling", in_acme(new(&["orders:read", "keys:*"])), ["tenant"; 5], ["grant"; 5]),
        (
            "with an end",
            in_acme(new(&["orders:*", "keys:any_owner", "keys:create", "*"]).expires_in(hours(1))),
            ["tenant"; 5],
            ["put", "put", "end", "put", "end"],
        ),
        (
            "with a quota",
            in_acme(new(&["orders:*", "keys:*"]).quota(day(50))),
            ["tenant"; 5],
            ["put", "put", "quota", "put", "quota"],
        ),
    ];
    for (who, actor, outside, inside) in rows {
        for (handle, expected) in [(None, outside), (Some(&acme), inside)] {
            let put = |owner: Owner, actor: Option<&VerifiedKey>| match (handle, actor) {
                (None, None) => store.put_owner(owner),
                (None, Some(actor)) => store.put_owner_within(owner, actor),
                (Some(acme), None) => acme.put_owner(owner),
                (Some(acme), Some(actor)) => acme.put_owner_within(owner, actor),
            };
            let steps = [owner("bob", 10), owner("bob", 5), owner("bob", 20), owner("bob", 4), Owner::new("bob")];
            put(Owner::new("bob"), None).unwrap();
            for (step, expected) in steps.into_iter().zip(expected) {
                assert_eq!(kind(put(step.clone(), Some(&actor))), expected, "{who}: {step:?}");
                if expected != "put" && expected != "end" && expected != "quota" {
                    put(step, None).unwrap();
                }
            }
        }
        store.put_owner(owner("shared", 100)).unwrap();
    }
}

/// One whose own owner has a quota raises nobody's: it could become the holder of another owner's key.
#[test]
fn an_actor_that_shares_a_quota_raises_none() {
    let store = KeyStore::temporary().unwrap();
    let acme = store.tenant("acme").unwrap();
    store.put_tenant(Tenant::new("acme").permissions(["orders:*", "keys:*"])).unwrap();
    let admin = NewKey::for_owner("admin").permissions(["orders:*", "keys:*"]);
    let admin = verified(&store, &acme.create(admin).unwrap());
    let put = |owner: Owner| kind(acme.put_owner_within(owner, &admin));
    acme.put_owner(owner("bob", 10)).unwrap();
    assert_eq!((put(owner("bob", 20)), put(owner("admin", 100))), ("put", "put"));
    let all = [put(owner("admin", 101)), put(Owner::new("admin")), put(owner("bob", 21)), put(Owner::new("bob"))];
    assert_eq!(all, ["quota"; 4]);
    assert_eq!((put(owner("bob", 19)), put(owner("admin", 99)), put(owner("new", 5000))), ("put", "put", "put"));
    let error = acme.put_owner_within(owner("admin", 101), &admin).unwrap_err();
    let StoreError::Exceeds(CapViolation::Quota { wanted, max }) = error else { panic!("{error:?}") };
    assert_eq!((wanted, max), (Some(day(101)), day(99)));
    // The tenant's quota is over all of them: it keeps nobody from sharing it out.
    acme.put_owner(Owner::new("admin")).unwrap();
    store.put_tenant(Tenant::new("acme").permissions(["orders:*", "keys:*"]).quota(day(100))).unwrap();
    assert_eq!(put(owner("bob", 1000)), "put");
}

#[test]
fn an_actor_with_bounds_of_its_own_raises_no_quota_of_a_tenant() {
    let store = KeyStore::temporary().unwrap();
    let ceiling = ["orders:*"];
    let put = |quota: Option<Quota>, actor: Option<&VerifiedKey>| {
        let tenant = Tenant::new("acme").permissions(ceiling);
        let tenant = quota.map_or(tenant.clone(), |quota| tenant.quota(quota));
        kind(match actor {
            Some(actor) => store.put_tenant_within(tenant, actor),
            None => store.put_tenant(tenant),
        })
    };
    put(Some(day(10)), None);
    let grants = ["orders:*", "keys:any_owner", "keys:any_tenant"];
    let admin = || NewKey::for_owner("admin").permissions(grants);
    let free = verified(&store, &store.create(admin()).unwrap());
    let bound = verified(&store, &store.create(admin().quota(day(1000))).unwrap());
    let inside = verified(&store, &store.tenant("acme").unwrap().create(admin()).unwrap());
    assert_eq!(put(Some(day(11)), Some(&bound)), "quota");
    assert_eq!(put(None, Some(&bound)), "quota");
    assert_eq!(put(Some(Quota::per_month(9)), Some(&bound)), "put");
    assert_eq!(put(Some(day(9)), Some(&bound)), "quota", "a shorter period gives more");
    assert_eq!(put(Some(Quota::total(9)), Some(&bound)), "put");
    assert_eq!(put(Some(day(11)), Some(&inside)), "tenant");
    assert_eq!((put(Some(day(11)), Some(&free)), put(None, Some(&free))), ("put", "put"));
}
