//! External keys, under each scheme and digest.

use apikey::{
    Conflict, ImportScheme, Imported, KeyFilter, KeyStore, KeyStoreBuilder, NewKey, Overlap, Pepper, StoreError,
};
use apikey_testkit::{alice, all, clocked, code, hex, ms, start, with_wrong_secret};
use sha2::{Digest, Sha256, Sha512};

const SECRET: &str = "Zk3vQ9xW7tLr2bNc8mHy5pJd";

fn sha256(text: &str) -> Imported {
    Imported::sha256_hex(hex(Sha256::digest(text)))
}

fn sha512(text: &str) -> Imported {
    Imported::sha512_hex(hex(Sha512::digest(text)))
}

fn pepper(number: u32) -> Pepper {
    Pepper::new(number, format!("the pepper with number {number}"))
}

fn builders() -> [KeyStoreBuilder; 2] {
    [KeyStore::builder(), KeyStore::builder().pepper(pepper(1))]
}

/// A key as its owner presents it under a scheme, and the part its issuer hashed.
fn presented(scheme: ImportScheme) -> (String, &'static str) {
    match scheme {
        ImportScheme::AfterPipe => (format!("17|{SECRET}"), SECRET),
        ImportScheme::AfterLastUnderscore => (format!("my_company_BRTRKFsL_{SECRET}"), SECRET),
        _ => (SECRET.into(), SECRET),
    }
}

const SCHEMES: [ImportScheme; 3] = [ImportScheme::Whole, ImportScheme::AfterPipe, ImportScheme::AfterLastUnderscore];

#[test]
fn each_scheme_and_digest_verifies_with_and_without_a_pepper() {
    for scheme in SCHEMES {
        let (key, secret) = presented(scheme);
        for (kind, imported) in [Imported::raw(&key), sha256(secret), sha512(secret)].into_iter().enumerate() {
            for builder in builders() {
                let store = builder.temporary().unwrap();
                let new = alice().permissions(["orders:read"]).imported(imported.clone(), scheme);
                let created = store.create(new).unwrap();
                let verified = store.verify(&key).unwrap();
                assert_eq!((verified.id(), verified.owner()), (created.info.id(), "alice"), "{scheme:?} {kind}");
                assert!(verified.allows("orders:read") && !verified.allows("orders:write"));
                assert_eq!(verified.secret_version(), 1);
                // A creation returns the raw key as it returns any other; for a digest there is none.
                assert_eq!(created.key.expose_secret(), if kind == 0 { key.as_str() } else { "" });
                for other in [format!("{key} "), key.to_lowercase(), key[..key.len() - 1].into(), format!("{key}x")] {
                    assert_eq!(code(&store, &other), "invalid_api_key", "{scheme:?} {kind} {other:?}");
                }
                if scheme == ImportScheme::Whole {
                    assert_eq!(code(&store, &format!(" {key}")), "invalid_api_key");
                }
                // The digest itself is no key.
                assert_eq!(code(&store, &hex(Sha256::digest(secret))), "invalid_api_key");
                assert_eq!(code(&store, ""), "invalid_api_key");
            }
        }
    }
}

#[test]
fn hexadecimal_digits_may_be_capitals() {
    let store = KeyStore::temporary().unwrap();
    let digest = hex(Sha256::digest(SECRET)).to_uppercase();
    store.create(alice().imported(Imported::sha256_hex(digest), ImportScheme::Whole)).unwrap();
    assert_eq!(code(&store, SECRET), "ok");
}

#[test]
fn a_known_sanctum_row_verifies() {
    // As in `personal_access_tokens.token`: printf %s 0123456789abcdefghij0123456789abcdefghij | sha256sum
    let row = "3476ec49905f41bacc63fd0db9eccf73617dbdbdf4916bab3c18385bc343e6cc";
    let store = KeyStore::temporary().unwrap();
    store.create(alice().imported(Imported::sha256_hex(row), ImportScheme::AfterPipe)).unwrap();
    assert_eq!(code(&store, "3|0123456789abcdefghij0123456789abcdefghij"), "ok");
    assert_eq!(code(&store, "0123456789abcdefghij0123456789abcdefghij"), "invalid_api_key", "it has no `|`");
}

#[test]
fn an_imported_key_is_disabled_and_revoked_as_any_other() {
    let (store, clock) = clocked();
    let new = || alice().imported(Imported::raw(SECRET), ImportScheme::Whole);
    let created = store.create(new().not_before(start() + ms(1)).expires_at(start() + ms(2))).unwrap();
    assert_eq!(code(&store, SECRET), "inactive_api_key");
    clock.advance(ms(1));
    assert_eq!(code(&store, SECRET), "ok");
    assert!(store.get(created.info.id()).unwrap().unwrap().last_used_at().is_some());
    clock.advance(ms(1));
    assert_eq!(code(&store, SECRET), "expired_api_key");
    store.revoke(created.info.id(), "").unwrap();
    assert_eq!(code(&store, SECRET), "revoked_api_key");
    // The store remembers revoked keys: the same key cannot be imported again.
    let error = store.create(new()).unwrap_err();
    assert!(
        matches!(error, StoreError::Conflict(Conflict::DigestHeld(Some(id))) if id == created.info.id()),
        "{error:?}"
    );
    clock.advance(ms(1));
    assert_eq!(store.purge(start() + ms(3)).unwrap(), 1);
    assert_eq!(code(&store, SECRET), "invalid_api_key");
    store.create(new()).unwrap();
    assert_eq!(code(&store, SECRET), "ok");
}

#[test]
fn a_known_digest_is_a_conflict() {
    for builder in builders() {
        let store = builder.temporary().unwrap();
        let new = |imported| NewKey::for_owner("bob").imported(imported, ImportScheme::Whole);
        let held = store.create(alice().imported(Imported::raw(SECRET), ImportScheme::Whole)).unwrap().info.id();
        for again in [Imported::raw(SECRET), sha256(SECRET)] {
            for error in [
                store.create(new(again.clone())).unwrap_err(),
                store.create_many([NewKey::for_owner("bob"), new(again)]).unwrap_err(),
            ] {
                assert!(
                    matches!(error, StoreError::Conflict(Conflict::DigestHeld(Some(id))) if id == held),
                    "{error:?}"
                );
                assert!(error.to_string().contains(&held.to_string()), "{error}");
            }
        }
        assert_eq!(all(&store, &KeyFilter::default()).len(), 1, "all or none");
        assert_eq!(store.verify(SECRET).unwrap().owner(), "alice");
    }
}

#[test]
fn a_conflict_names_no_key_that_the_caller_does_not_see() {
    let store = KeyStore::temporary().unwrap();
    let import = |owner: &str| NewKey::for_owner(owner).imported(Imported::raw(SECRET), ImportScheme::Whole);
    let held = store.create(import("alice")).unwrap().info.id();
    let key_of = |owner: &str, grant: &str| {
        let created = store.create(NewKey::for_owner(owner).permissions([grant])).unwrap();
        store.verify(created.key.expose_secret()).unwrap()
    };
    let (bob, admin) = (key_of("bob", "orders:read"), key_of("bob", "keys:any_owner"));
    for (error, named) in [
        (store.of_owner("alice").create(import("alice")), Some(held)),
        (store.create(import("bob").within(&admin)), Some(held)),
        (store.of_owner("bob").create(import("bob")), None),
        (store.create(import("bob").within(&bob)), None),
    ] {
        let error = error.unwrap_err();
        assert!(matches!(error, StoreError::Conflict(Conflict::DigestHeld(id)) if id == named), "{error:?}");
        assert_eq!(error.to_string().contains(&held.to_string()), named.is_some(), "{error}");
    }
}

#[test]
fn a_known_digest_is_a_conflict_under_another_scheme_too() {
    let store = KeyStore::temporary().unwrap();
    store.create(alice().imported(sha256(SECRET), ImportScheme::AfterPipe)).unwrap();
    for scheme in SCHEMES {
        let error = store.create(alice().imported(sha256(SECRET), scheme)).unwrap_err();
        assert!(matches!(error, StoreError::Conflict(Conflict::DigestHeld(_))), "{error:?}");
    }
    assert_eq!(code(&store, SECRET), "invalid_api_key", "the scheme it was taken under stays");
}

#[test]
fn the_same_digest_twice_in_one_call_is_a_conflict() {
    for builder in builders() {
        let store = builder.temporary().unwrap();
        for [one, two] in [
            [Imported::raw(SECRET), Imported::raw(SECRET)],
            [sha256(SECRET), Imported::raw(SECRET)],
            [sha512(SECRET), sha512(SECRET)],
        ] {
            let new = |imported| alice().imported(imported, ImportScheme::Whole);
            let error = store.create_many([new(one), alice(), new(two)]).unwrap_err();
            assert!(matches!(error, StoreError::Conflict(_)), "{error:?}");
            assert_eq!(all(&store, &KeyFilter::default()), []);
        }
    }
}

#[test]
fn a_digest_under_another_pepper_is_a_conflict_and_goes_on_working() {
    let directory = tempfile::tempdir().unwrap();
    let secrets: Vec<String> = (0..3).map(|n| format!("{SECRET}{n}")).collect();
    let peppers: [&[u32]; 3] = [&[], &[1], &[1, 2]];
    let open = |numbers: &[u32]| {
        numbers
            .iter()
            .fold(KeyStore::builder(), |builder, n| builder.pepper(pepper(*n)))
            .open(directory.path())
            .unwrap()
    };
    for (now, numbers) in peppers.iter().enumerate() {
        let store = open(numbers);
        store.create(alice().imported(Imported::raw(&secrets[now]), ImportScheme::Whole)).unwrap();
        for secret in &secrets[..=now] {
            assert_eq!(code(&store, secret), "ok", "{numbers:?}");
            for again in [Imported::raw(secret), sha256(secret)] {
                let error = store.create(NewKey::for_owner("bob").imported(again, ImportScheme::Whole)).unwrap_err();
                assert!(matches!(error, StoreError::Conflict(Conflict::DigestHeld(_))), "{numbers:?}: {error:?}");
            }
        }
        store.close().unwrap();
    }
}

#[test]
fn a_weak_key_is_refused_unless_that_is_allowed() {
    let store = KeyStore::temporary().unwrap();
    for weak in ["a", "letmein", &SECRET[..19]] {
        let new = || alice().imported(Imported::raw(weak), ImportScheme::Whole);
        let error = store.create(new()).unwrap_err();
        assert!(matches!(error, StoreError::Invalid { field: "imported", .. }), "{error:?}");
        assert!(error.to_string().contains("allow_weak"), "{error}");
        assert_eq!(code(&store, weak), "invalid_api_key");
        store.create(new().allow_weak()).unwrap();
        assert_eq!(code(&store, weak), "ok");
    }
    store.create(alice().imported(Imported::raw(&SECRET[..20]), ImportScheme::Whole)).unwrap();
}

#[test]
fn a_key_that_is_too_long_is_neither_imported_nor_hashed() {
    let store = KeyStore::temporary().unwrap();
    let (longest, longer) = ("x".repeat(256), "x".repeat(257));
    let new = |imported| alice().imported(imported, ImportScheme::Whole);
    store.create(new(Imported::raw(&longest))).unwrap();
    assert_eq!(code(&store, &longest), "ok");
    let error = store.create(new(Imported::raw(&longer)).allow_weak()).unwrap_err();
    assert!(matches!(error, StoreError::Invalid { field: "imported", .. }), "{error:?}");
    // The store may have its digest, but does not find it: no caller can make it hash a megabyte.
    store.create(new(sha256(&longer))).unwrap();
    assert_eq!(code(&store, &longer), "invalid_api_key");
    let long = format!("{}|{SECRET}", "x".repeat(256));
    store.create(alice().imported(sha256(SECRET), ImportScheme::AfterPipe)).unwrap();
    assert_eq!(code(&store, &long), "invalid_api_key");
    assert_eq!(code(&store, &format!("1|{SECRET}")), "ok");
}

#[test]
fn an_import_that_cannot_be_a_key_is_refused() {
    let store = KeyStore::temporary().unwrap();
    let sha = hex(Sha256::digest(SECRET));
    for (imported, scheme) in [
        (Imported::raw(""), ImportScheme::Whole),
        (Imported::raw(SECRET), ImportScheme::AfterPipe), // there is no `|`
        (Imported::raw(format!("{SECRET}|")), ImportScheme::AfterPipe),
        (Imported::raw(SECRET), ImportScheme::AfterLastUnderscore),
        (Imported::raw(format!("{SECRET}_")), ImportScheme::AfterLastUnderscore),
        (Imported::raw(format!("{SECRET}\n")), ImportScheme::Whole), // no header could carry it
        (Imported::sha256_hex(""), ImportScheme::Whole),
        (Imported::sha256_hex(&sha[..63]), ImportScheme::Whole),
        (Imported::sha256_hex(format!("{sha}0")), ImportScheme::Whole),
        (Imported::sha256_hex(sha.replacen(|_: char| true, "g", 1)), ImportScheme::Whole),
        (Imported::sha512_hex(&sha), ImportScheme::Whole),
        (Imported::sha256_hex(hex(Sha512::digest(SECRET))), ImportScheme::Whole),
    ] {
        let error = store.create(alice().imported(imported.clone(), scheme).allow_weak()).unwrap_err();
        assert!(matches!(error, StoreError::Invalid { field: "imported", .. }), "{imported:?} {scheme:?}: {error:?}");
    }
    assert_eq!(all(&store, &KeyFilter::default()), []);
}

#[test]
fn a_key_of_the_stores_own_form_is_refused() {
    let store = KeyStore::builder().prefixes(["acme", "old"]).temporary().unwrap();
    let own = store.create(alice()).unwrap();
    let never_issued = with_wrong_secret(own.key.expose_secret());
    for token in [own.key.expose_secret(), &never_issued] {
        for scheme in [ImportScheme::Whole, ImportScheme::AfterLastUnderscore] {
            let error = store.create(alice().imported(Imported::raw(token), scheme)).unwrap_err();
            assert!(matches!(error, StoreError::Invalid { field: "imported", .. }), "{error:?}");
        }
    }
    assert_eq!(code(&store, &never_issued), "invalid_api_key");
}

#[test]
fn imported_keys_do_not_get_in_the_way_of_the_stores_own() {
    let store = KeyStore::temporary().unwrap();
    for (n, scheme) in SCHEMES.into_iter().enumerate() {
        let imported = [sha256(&format!("{SECRET}{n}")), sha512(&format!("{SECRET}{n}"))];
        store.create_many(imported.map(|imported| alice().imported(imported, scheme))).unwrap();
    }
    let own = store.create(NewKey::for_owner("bob")).unwrap();
    let token = own.key.expose_secret();
    assert_eq!(store.verify(token).unwrap().owner(), "bob");
    assert_eq!(code(&store, &with_wrong_secret(token)), "invalid_api_key");
    let rotated = store.rotate(own.info.id(), Overlap::None).unwrap();
    assert_eq!(code(&store, token), "invalid_api_key");
    assert_eq!(store.verify(rotated.key.expose_secret()).unwrap().owner(), "bob");
}

#[test]
fn many_are_imported_at_once_and_survive_a_reopen() {
    let directory = tempfile::tempdir().unwrap();
    let secrets: Vec<String> = (0..200).map(|n| format!("{SECRET}{n:03}")).collect();
    let store = KeyStore::open(directory.path()).unwrap();
    let new = |secret: &String| NewKey::for_owner(secret).imported(sha512(secret), ImportScheme::AfterLastUnderscore);
    store.create_many(secrets.iter().map(new)).unwrap();
    store.close().unwrap();
    let store = KeyStore::open(directory.path()).unwrap();
    for secret in &secrets {
        assert_eq!(store.verify(&format!("pk_{secret}")).unwrap().owner(), secret);
    }
    assert!(matches!(store.create(new(&secrets[7])), Err(StoreError::Conflict(Conflict::DigestHeld(_)))));
}
