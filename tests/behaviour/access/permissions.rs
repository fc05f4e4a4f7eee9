//! Grants, requirements, and the cap of an acting key on what it hands out.

use apikey::{
    AuthError, CapViolation, KeyFilter, KeyStore, KeyUpdate, ManualClock, NewKey, Overlap, Requirement, StoreError,
    VerifiedKey,
};
use apikey_testkit::{alice, all, clocked, hours, start};
use proptest::prelude::*;

use crate::proptest_config::cases;

/// The rule of the design, implemented again: `*` in the middle matches one segment, at the end one or more.
fn gives(grant: &str, permission: &str) -> bool {
    fn segments(grant: &[&str], permission: &[&str]) -> bool {
        match (grant, permission) {
            (["*"], [_, ..]) => true,
            (["*", grant @ ..], [_, permission @ ..]) => segments(grant, permission),
            ([first, grant @ ..], [segment, permission @ ..]) => first == segment && segments(grant, permission),
            ([], []) => true,
            _ => false,
        }
    }
    segments(&grant.split(':').collect::<Vec<_>>(), &permission.split(':').collect::<Vec<_>>())
}

/// A key with these grants, verified.
fn verified(store: &KeyStore, grants: &[&str]) -> VerifiedKey {
    let created = store.create(alice().permissions(grants)).unwrap();
    store.verify(created.key.expose_secret()).unwrap()
}

#[test]
fn grants_give_what_the_design_lists() {
    let store = KeyStore::temporary().unwrap();
    for (grant, given, not_given) in [
        ("orders:read", &["orders:read"][..], &["orders", "orders:write", "orders:read:all", "orders:readx"][..]),
        ("orders:*", &["orders:read", "orders:items:read"], &["orders", "ordersx:read", "order:read", "x:orders:read"]),
        ("*:read", &["orders:read", "users:read"], &["read", "orders:items:read", "orders:write"]),
        ("*", &["a", "orders:read", "a:b:c:d:e:f:g:h"], &[]),
        ("a:*:c", &["a:b:c", "a:x.y:c"], &["a:c", "a:b:b:c", "a:b:c:d", "a:b"]),
        ("a:*:*", &["a:b:c", "a:b:c:d"], &["a", "a:b"]),
        ("*:*", &["a:b", "a:b:c"], &["a"]),
        ("chat:*", &["chat:read"], &["chatbot:read", "chat"]),
        ("a.b:c-d_e", &["a.b:c-d_e"], &["a:b", "a.b"]),
    ] {
        let key = verified(&store, &[grant]);
        for permission in given {
            assert!(key.allows(permission), "{grant} gives {permission}");
        }
        for permission in not_given {
            assert!(!key.allows(permission), "{grant} does not give {permission}");
        }
    }
}

#[test]
fn an_empty_set_gives_nothing() {
    let store = KeyStore::temporary().unwrap();
    for key in
        [alice(), alice().permissions::<&str>([]), alice().permissions(["orders:*"]).permissions(Vec::<String>::new())]
    {
        let created = store.create(key).unwrap();
        assert_eq!(created.info.permissions(), [""; 0]);
        let token = created.key.expose_secret();
        let key = store.verify(token).unwrap();
        for permission in ["a", "orders:read", "*", ""] {
            assert!(!key.allows(permission), "{permission:?}");
        }
        let need = Requirement::permission("a").unwrap();
        assert_eq!(store.authorize(token, &need).unwrap_err(), AuthError::InsufficientPermission { required: need });
        assert!(store.authorize(token, &Requirement::authenticated()).is_ok());
    }
}

#[test]
fn a_text_that_is_no_permission_is_never_allowed() {
    let store = KeyStore::temporary().unwrap();
    let key = verified(&store, &["*", "orders:*"]);
    for text in
        ["", "*", "orders:*", ":", "orders:", ":orders", "a::b", "Orders", "a b", "é", "-a", "a:b:c:d:e:f:g:h:i"]
    {
        assert!(!key.allows(text), "{text:?}");
        assert!(Requirement::permission(text).is_err(), "{text:?}");
    }
    assert!(!key.allows("a".repeat(65)));
    assert!(key.allows("a".repeat(64)));
}

#[test]
fn trees_require_what_they_say_and_print_as_they_were_written() {
    let store = KeyStore::temporary().unwrap();
    let created = store.create(alice().permissions(["a", "b:*"])).unwrap();
    let token = created.key.expose_secret();
    let any = |of: &[&str]| Requirement::any(of.iter().copied()).unwrap();
    let every = |of: &[&str]| Requirement::all(of.iter().copied()).unwrap();
    let one = |permission: &str| Requirement::permission(permission).unwrap();
    for (requirement, met, text) in [
        (one("a"), true, "a"),
        (one("c"), false, "c"),
        (any(&["c", "a"]), true, "any(c, a)"),
        (any(&["c", "d"]), false, "any(c, d)"),
        (every(&["a", "b:x"]), true, "all(a, b:x)"),
        (every(&["a", "b"]), false, "all(a, b)"),
        (any(&["c"]), false, "any(c)"),
        (Requirement::all([one("a"), any(&["c", "b:x:y"])]).unwrap(), true, "all(a, any(c, b:x:y))"),
        (Requirement::any([every(&["a", "c"]), one("d")]).unwrap(), false, "any(all(a, c), d)"),
    ] {
        assert_eq!(requirement.to_string(), text);
        match store.authorize(token, &requirement) {
            Ok(key) => assert!(met && key.id() == created.info.id(), "{text}"),
            Err(error) => {
                assert!(!met, "{text}");
                assert_eq!(error.to_string(), format!("API key lacks permission {text}"));
                assert_eq!((error.code(), error.status()), ("insufficient_permission", 403));
            }
        }
    }
    assert!(Requirement::any::<&str>([]).is_err());
    assert!(Requirement::all::<&str>([]).is_err());
    assert!(Requirement::any(["a", "B"]).is_err());
}

#[test]
fn two_to_the_n_and_two_to_the_n_minus_one_less_one_grants_satisfy_n_segments() {
    // A grant matches with each segment itself or `*`, or with a `*` at the end of a shorter prefix. The count is over
    // every grant of up to n segments of this alphabet.
    for n in 1..=6_usize {
        let permission = ["a", "b", "c", "d", "e", "f"][..n].join(":");
        let mut grants = vec![String::new()];
        let mut satisfying = 0;
        for at in 0..n {
            let segment = &permission[2 * at..=2 * at];
            grants = grants
                .iter()
                .flat_map(|grant| {
                    [segment, "*", "z"].map(|next| if at == 0 { next.into() } else { format!("{grant}:{next}") })
                })
                .collect();
            satisfying += grants.iter().filter(|grant| gives(grant, &permission)).count();
        }
        assert_eq!(satisfying, (1 << n) + (1 << (n - 1)) - 1, "n = {n}");
    }
}

fn segment() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "ab", "a.b", "a-b", "0"])
}

fn permission() -> impl Strategy<Value = String> {
    prop::collection::vec(segment(), 1..5).prop_map(|segments| segments.join(":"))
}

fn grant() -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof![3 => segment(), 2 => Just("*")], 1..5).prop_map(|segments| segments.join(":"))
}

#[derive(Debug, Clone)]
enum Tree {
    One(String),
    Any(Vec<Tree>),
    All(Vec<Tree>),
}

impl Tree {
    fn requirement(&self) -> Requirement {
        let list = |of: &[Tree]| of.iter().map(Tree::requirement).collect::<Vec<_>>();
        match self {
            Self::One(permission) => Requirement::permission(permission).unwrap(),
            Self::Any(of) => Requirement::any(list(of)).unwrap(),
            Self::All(of) => Requirement::all(list(of)).unwrap(),
        }
    }

    fn met(&self, allows: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::One(permission) => allows(permission),
            Self::Any(of) => of.iter().any(|tree| tree.met(allows)),
            Self::All(of) => of.iter().all(|tree| tree.met(allows)),
        }
    }

    fn text(&self) -> String {
        let list = |of: &[Tree]| of.iter().map(Tree::text).collect::<Vec<_>>().join(", ");
        match self {
            Self::One(permission) => permission.clone(),
            Self::Any(of) => format!("any({})", list(of)),
            Self::All(of) => format!("all({})", list(of)),
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    permission().prop_map(Tree::One).prop_recursive(3, 12, 3, |inner| {
        let list = prop::collection::vec(inner, 1..4);
        prop_oneof![list.clone().prop_map(Tree::Any), list.prop_map(Tree::All)]
    })
}

proptest! {
    #![proptest_config(cases(2))]

    #[test]
    fn allows_authorize_require_and_the_filter_agree_with_the_rule(
        grants in prop::collection::vec(grant(), 0..5),
        permissions in prop::collection::vec(permission(), 1..6),
        tree in tree(),
    ) {
        let store = shared();
        let created = store.create(alice().permissions(&grants)).unwrap();
        let token = created.key.expose_secret();
        let key = store.verify(token).unwrap();
        let rule = |permission: &str| grants.iter().any(|grant| gives(grant, permission));
        for permission in &permissions {
            let need = Requirement::permission(permission).unwrap();
            let given = rule(permission);
            prop_assert_eq!(key.allows(permission), given, "{:?} {}", grants, permission);
            prop_assert_eq!(key.require(&need).is_ok(), given);
            prop_assert_eq!(store.authorize(token, &need).is_ok(), given);
            let found = store.list(&KeyFilter::owner("alice").permission(permission)).unwrap();
            prop_assert_eq!(found.keys.iter().any(|info| info.id() == created.info.id()), given);
        }
        let requirement = tree.requirement();
        prop_assert_eq!(requirement.to_string(), tree.text());
        let met = tree.met(&rule);
        prop_assert_eq!(key.require(&requirement).is_ok(), met, "{:?} {}", grants, tree.text());
        prop_assert_eq!(store.authorize(token, &requirement).is_ok(), met);
        prop_assert_eq!(tree.met(&|permission| key.allows(permission)), met);
        store.revoke(created.info.id(), "").unwrap();
        store.purge(chrono::Utc::now() + hours(1)).unwrap();
    }

    /// Each grant of the target is covered by one of the actor's: the actor's allows all that the target's allows.
    #[test]
    fn a_capped_key_gets_nothing_that_its_maker_lacks(
        held in prop::collection::vec(short_grant(), 0..4),
        wanted in prop::collection::vec(short_grant(), 0..3),
    ) {
        let store = shared();
        let maker = || NewKey::for_owner("maker");
        let delegating = held.iter().map(String::as_str).chain(["keys:delegate"]);
        let acting = store.create(maker().permissions(delegating)).unwrap();
        let acting = store.verify(acting.key.expose_secret()).unwrap();
        let covered = |wanted: &String| held.iter().any(|held| everything().all(|p| !gives(wanted, p) || gives(held, p)));
        let allowed = wanted.iter().all(covered);
        let made = store.create(maker().permissions(&wanted).within(&acting));
        prop_assert_eq!(made.is_ok(), allowed, "{:?} within {:?}", wanted, held);
        // The same rule holds for an update that grants, and for a rotation.
        let target = store.create(maker()).unwrap();
        let update = store.update(target.info.id(), KeyUpdate::new().permissions(&wanted).within(&acting));
        prop_assert_eq!(update.is_ok(), allowed);
        let target = store.create(maker().permissions(&wanted)).unwrap();
        let rotated = store.rotate_within(target.info.id(), Overlap::None, &acting);
        prop_assert_eq!(rotated.is_ok(), allowed);
        if let Err(error) = rotated {
            prop_assert!(matches!(error, StoreError::Exceeds(CapViolation::Target(_))), "{:?}", error);
            prop_assert!(store.verify(target.key.expose_secret()).is_ok());
        }
    }
}

/// One store for all cases: opening one takes longer than a case.
fn shared() -> &'static KeyStore {
    static STORE: std::sync::LazyLock<KeyStore> = std::sync::LazyLock::new(|| KeyStore::temporary().unwrap());
    &STORE
}

fn short_grant() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "*"]), 1..4).prop_map(|segments| segments.join(":"))
}

/// Every permission of up to five segments over `a`, `b` and one segment that no grant names.
fn everything() -> impl Iterator<Item = &'static String> {
    static ALL: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| {
        let mut all: Vec<String> = Vec::new();
        let mut last = vec![String::new()];
        for length in 0..5 {
            let longer = |text: &String| {
                ["a", "b", "z"].map(|next| if length == 0 { next.into() } else { format!("{text}:{next}") })
            };
            last = last.iter().flat_map(longer).collect();
            all.extend(last.iter().cloned());
        }
        all
    });
    ALL.iter()
}

#[test]
fn a_cap_names_the_grant_that_exceeds_and_not_those_of_a_key_it_does_not_cover() {
    let store = KeyStore::temporary().unwrap();
    let actor = verified(&store, &["orders:*"]);
    let target = store.create(alice().permissions(["orders:read", "users:read"])).unwrap();
    let id = target.info.id();
    let error = store.create(alice().permissions(["orders:read", "admin"]).within(&actor)).unwrap_err();
    assert!(matches!(error, StoreError::Exceeds(CapViolation::Grant(ref grant)) if grant == "admin"), "{error:?}");
    for error in [
        store.update(id, KeyUpdate::new().name("mine").within(&actor)).unwrap_err(),
        store.update(id, KeyUpdate::new().permissions(["orders:read"]).within(&actor)).unwrap_err(),
        store.rotate_within(id, Overlap::UntilFirstUse, &actor).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Exceeds(CapViolation::Target(key)) if key == id), "{error:?}");
        assert!(!error.to_string().contains("users:read"), "{error}");
    }
    assert_eq!(store.get(id).unwrap().unwrap(), target.info);
    let created = store.create(alice().permissions(["orders:read", "orders:items:*"]).within(&actor)).unwrap();
    store.update(created.info.id(), KeyUpdate::new().permissions(["orders:*"]).within(&actor)).unwrap();
    store.rotate_within(created.info.id(), Overlap::None, &actor).unwrap();
    let grown = KeyUpdate::new().permissions(["orders:read", "admin"]).within(&actor);
    let error = store.update(created.info.id(), grown).unwrap_err();
    assert!(matches!(error, StoreError::Exceeds(CapViolation::Grant(ref grant)) if grant == "admin"), "{error:?}");
}

/// The store checks the acting key as it is when the change is made, not as it was when it was verified.
#[test]
fn a_cap_reads_the_actor_as_it_is_now() {
    type Spoil = fn(&KeyStore, &ManualClock, &VerifiedKey);
    let spoils: [(&str, Spoil); 7] = [
        ("revoked", |store, _, actor| assert!(store.revoke(actor.id(), "leaked").unwrap())),
        ("disabled", |store, _, actor| drop(store.update(actor.id(), KeyUpdate::new().disabled(true)).unwrap())),
        ("expired", |store, clock, actor| {
            store.update(actor.id(), KeyUpdate::new().expires_at(start() + hours(1))).unwrap();
            clock.advance(hours(1));
        }),
        ("rotated", |store, _, actor| drop(store.rotate(actor.id(), Overlap::None).unwrap())),
        ("narrowed", |store, _, actor| {
            drop(store.update(actor.id(), KeyUpdate::new().permissions(["orders:list"])).unwrap())
        }),
        ("emptied", |store, _, actor| {
            drop(store.update(actor.id(), KeyUpdate::new().permissions::<&str>([])).unwrap())
        }),
        ("purged", |store, _, actor| {
            store.revoke(actor.id(), "").unwrap();
            assert_eq!(store.purge(start() + hours(1)).unwrap(), 1);
        }),
    ];
    for (case, spoil) in spoils {
        let (store, clock) = clocked();
        let actor = verified(&store, &["orders:*"]);
        let target = store.create(alice().permissions(["orders:read"])).unwrap();
        let id = target.info.id();
        let update = || KeyUpdate::new().name("ci").within(&actor);
        store.update(id, update()).unwrap();
        let before = all(&store, &KeyFilter::owner("alice")).len();
        spoil(&store, &clock, &actor);
        for error in [
            store.create(alice().permissions(["orders:read"]).within(&actor)).unwrap_err(),
            store.create_many([alice(), alice().permissions(["orders:read"]).within(&actor)]).unwrap_err(),
            store.update(id, update()).unwrap_err(),
            store.rotate_within(id, Overlap::None, &actor).unwrap_err(),
        ] {
            assert!(matches!(error, StoreError::Exceeds(_)), "{case}: {error:?}");
        }
        assert!(store.verify(target.key.expose_secret()).is_ok(), "{case}");
        let after = all(&store, &KeyFilter::owner("alice")).len();
        // A purged actor is one of alice's keys too.
        assert_eq!(after + usize::from(case == "purged"), before, "{case}");
    }
}

#[test]
fn a_key_of_another_store_caps_nothing() {
    let (store, other) = (KeyStore::temporary().unwrap(), KeyStore::temporary().unwrap());
    let actor = verified(&other, &["*"]);
    let target = store.create(alice().permissions(["orders:read"])).unwrap();
    assert!(matches!(store.create(alice().within(&actor)).unwrap_err(), StoreError::Exceeds(_)));
    let rotated = store.rotate_within(target.info.id(), Overlap::None, &actor).unwrap_err();
    assert!(matches!(rotated, StoreError::Exceeds(_)), "{rotated:?}");
    assert!(store.verify(target.key.expose_secret()).is_ok());
}
