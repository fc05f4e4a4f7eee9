//! The form of a token, and where no token is ever printed.

use std::collections::HashSet;

use apikey::{
    ApiKey, Attempt, ImportScheme, Imported, KeyFilter, KeyStore, KeyUpdate, NewKey, OpenError, Overlap, Pepper,
};
use apikey_testkit::{BASE62, TokenParts, alice, base62, code, with_wrong_secret};
use proptest::prelude::*;
use regex::Regex;

fn key(store: &KeyStore) -> ApiKey {
    store.create(alice()).unwrap().key
}

#[test]
fn a_token_is_prefix_and_sixty_characters_of_base62() {
    let store = KeyStore::temporary().unwrap();
    let form = Regex::new(r"^ak_[0-9A-Za-z]{60}$").unwrap();
    let search = Regex::new(r"\bak_[0-9A-Za-z]{60}\b").unwrap();
    for created in store.create_many((0..50).map(|_| alice())).unwrap() {
        let token = created.key.expose_secret();
        assert!(form.is_match(token), "{token}");
        let line = format!("X-API-Key: {token}, in a log.");
        assert_eq!(search.find(&line).unwrap().as_str(), token);
    }
}

#[test]
fn its_id_is_the_uuid_v7_of_the_key_in_base62() {
    let store = KeyStore::temporary().unwrap();
    for created in store.create_many((0..20).map(|_| alice())).unwrap() {
        let id = created.info.id();
        assert_eq!(TokenParts::of(created.key.expose_secret()).id, base62(id.as_uuid().as_u128(), 22));
        assert_eq!(id.as_uuid().get_version_num(), 7);
        assert_eq!(id.to_string().parse::<apikey::KeyId>().unwrap(), id);
        assert_eq!(id.to_string(), id.as_uuid().hyphenated().to_string());
    }
}

#[test]
fn its_checksum_is_the_crc_32_of_all_before_it() {
    let store = KeyStore::temporary().unwrap();
    let key = key(&store);
    let token = key.expose_secret();
    assert_eq!(TokenParts::of(token).token(), token);
    // The CRC-32 itself is zlib's: its check value is part of the standard.
    assert_eq!(crc32fast::hash(b"123456789"), 0xCBF4_3926);
}

#[test]
fn no_secret_repeats_and_every_digit_occurs_at_every_place() {
    let store = KeyStore::temporary().unwrap();
    let created = store.create_many((0..2000).map(|_| alice())).unwrap();
    let secrets: HashSet<String> =
        created.iter().map(|created| TokenParts::of(created.key.expose_secret()).secret).collect();
    assert_eq!(secrets.len(), created.len());
    for place in 0..32 {
        // 2000 draws miss one of 62 digits with a chance below 10^-14.
        let seen: HashSet<u8> = secrets.iter().map(|secret| secret.as_bytes()[place]).collect();
        assert_eq!(seen.len(), 62, "place {place}");
    }
}

#[test]
fn the_prefix_is_the_stores() {
    for prefix in ["a", "acme", "acme_live", "acme_test", "a1_2b_c", "abcdefghijklmnop", "k9"] {
        let store = KeyStore::builder().prefix(prefix).temporary().unwrap();
        let created = store.create(alice()).unwrap();
        let token = created.key.expose_secret();
        let form = Regex::new(&format!("^{prefix}_[0-9A-Za-z]{{60}}$")).unwrap();
        assert!(form.is_match(token), "{token}");
        assert_eq!(code(&store, token), "ok");
        assert!(created.info.hint().starts_with(prefix), "{}", created.info.hint());
        assert!(created.info.hint().ends_with(&TokenParts::of(token).id[18..]), "{}", created.info.hint());
    }
}

#[test]
fn other_prefixes_are_refused_by_name() {
    for prefix in ["", "_", "_a", "a_", "a__b", "1a", "Acme", "a-b", "a.b", "a b", "é", "abcdefghijklmnopq", "*"] {
        let error = KeyStore::builder().prefix(prefix).temporary().unwrap_err();
        assert!(matches!(error, OpenError::Config(_)), "{prefix:?}: {error:?}");
        assert!(error.to_string().contains("prefix"), "{error}");
        assert!(KeyStore::builder().prefixes(["ak", prefix]).temporary().is_err(), "{prefix:?}");
    }
}

#[test]
fn a_token_of_another_prefix_or_another_store_is_invalid() {
    let live = KeyStore::builder().prefix("acme_live").temporary().unwrap();
    let test = KeyStore::builder().prefix("acme_test").temporary().unwrap();
    let key = key(&live);
    let token = key.expose_secret();
    assert_eq!(code(&test, token), "invalid_api_key");
    let renamed = TokenParts { prefix: "acme_test".into(), ..TokenParts::of(token) }.token();
    assert_eq!(code(&live, &renamed), "invalid_api_key");
    let other_live = KeyStore::builder().prefix("acme_live").temporary().unwrap();
    assert_eq!(code(&other_live, token), "invalid_api_key");
}

#[test]
fn nothing_is_trimmed() {
    let store = KeyStore::temporary().unwrap();
    let key = key(&store);
    let token = key.expose_secret();
    assert_eq!(code(&store, token), "ok");
    for around in [" ", "\n", "\t", "\r\n", "\0", "\u{a0}", "\u{200b}", "\"", "'", "=", ","] {
        for changed in [format!("{around}{token}"), format!("{token}{around}"), format!("{around}{token}{around}")] {
            assert_eq!(code(&store, &changed), "invalid_api_key", "{around:?}");
        }
    }
    assert_eq!(code(&store, &format!("Bearer {token}")), "invalid_api_key");
    assert_eq!(code(&store, &token.to_uppercase()), "invalid_api_key");
    assert_eq!(code(&store, &token.to_lowercase()), "invalid_api_key");
}

#[test]
fn every_changed_character_and_every_truncation_is_invalid() {
    let store = KeyStore::temporary().unwrap();
    let key = key(&store);
    let token = key.expose_secret();
    for at in 0..token.len() {
        for digit in BASE62.iter().chain(b"_- ") {
            let mut changed = token.as_bytes().to_vec();
            changed[at] = *digit;
            let changed = String::from_utf8(changed).unwrap();
            let expected = if changed == token { "ok" } else { "invalid_api_key" };
            assert_eq!(code(&store, &changed), expected, "place {at}");
        }
        assert_eq!(code(&store, &token[..at]), "invalid_api_key", "the first {at}");
        assert_eq!(code(&store, &token[at + 1..]), "invalid_api_key", "without the first {}", at + 1);
        let doubled = format!("{}{}", &token[..=at], &token[at..]);
        assert_eq!(code(&store, &doubled), "invalid_api_key", "place {at} doubled");
    }
}

#[test]
fn a_right_checksum_does_not_make_a_key() {
    let store = KeyStore::temporary().unwrap();
    let [one, two]: [_; 2] = store.create_many([alice(), alice()]).unwrap().try_into().unwrap();
    let (one, two) = (TokenParts::of(one.key.expose_secret()), TokenParts::of(two.key.expose_secret()));
    let forged = [
        TokenParts { secret: two.secret.clone(), ..one.clone() }, // the secret of another key
        TokenParts { id: base62(0, 22), ..one.clone() },          // nobody's id
        TokenParts { id: "z".repeat(22), ..one.clone() },         // more than 128 bits
        TokenParts { id: base62(u128::MAX, 22), ..one.clone() },  // the greatest id
        TokenParts { id: two.id.clone(), ..one.clone() },         // the id of another key
        TokenParts { secret: "!".repeat(32), ..one.clone() },     // foreign characters
        TokenParts { secret: "é".repeat(16), ..one.clone() },     // foreign, and as many bytes
        TokenParts { id: "é".repeat(11), ..one.clone() },         // the same in the id
        TokenParts { id: format!(" {}", &one.id[1..]), ..one.clone() }, // a blank instead of a leading zero
        TokenParts { secret: "0".repeat(32), ..two.clone() },
    ];
    for parts in forged {
        assert_eq!(code(&store, &parts.token()), "invalid_api_key", "{parts:?}");
    }
    assert_eq!(code(&store, &one.token()), "ok");
}

#[test]
fn hostile_texts_are_invalid_and_nothing_else() {
    let store = KeyStore::temporary().unwrap();
    key(&store);
    let long = format!("ak_{}", "a".repeat(1 << 20));
    for text in ["", "ak", "ak_", "_", "a", "\0", "é", "🔑", "ak_é", &"é".repeat(40), &"_".repeat(63), &long] {
        assert_eq!(code(&store, text), "invalid_api_key", "{:.20}", text);
    }
}

#[test]
fn debug_of_everything_hides_the_secret() {
    let pepper = "a pepper that nobody may read";
    let store = KeyStore::builder().pepper(Pepper::new(1, pepper)).temporary().unwrap();
    let created = store.create(alice().name("ci").permissions(["orders:read"]).metadata("team", "blue")).unwrap();
    let token = created.key.expose_secret();
    let verified = store.verify(token).unwrap();
    let parts = TokenParts::of(token);
    let foreign = "legacy_0123456789abcdefghij";
    let imported = NewKey::for_owner("bob").imported(Imported::raw(foreign), ImportScheme::Whole);
    let digest = "5f".repeat(32);
    let hashed = NewKey::for_owner("bob").imported(Imported::sha256_hex(&digest), ImportScheme::Whole);
    let taken = store.create(imported.clone()).unwrap();
    let builder = KeyStore::builder().pepper(Pepper::new(1, pepper));
    let mut shown = vec![
        format!("{:?}", created.key),
        format!("{created:?}"),
        format!("{verified:?}"),
        format!("{:?}", created.info),
        serde_json::to_string(&created.info).unwrap(),
        format!("{:?}", store.list(&KeyFilter::default()).unwrap()),
        serde_json::to_string(&store.list(&KeyFilter::default()).unwrap()).unwrap(),
        format!("{store:?}"),
        format!("{builder:?}"),
        format!("{:?}", Attempt::new(token)),
        format!("{imported:?} {hashed:?} {taken:?}"),
        format!("{:?}", KeyUpdate::new().within(&verified)),
        format!("{:?}", alice().within(&verified)),
        format!("{:?}", Pepper::new(1, pepper)),
    ];
    let mut error = |error: &dyn std::error::Error| {
        let mut next = Some(error);
        while let Some(error) = next {
            shown.push(format!("{error} {error:?}"));
            next = error.source();
        }
    };
    error(&store.verify(&with_wrong_secret(token)).unwrap_err());
    error(&store.create(imported).unwrap_err());
    error(&store.create(NewKey::for_owner("bob").imported(Imported::raw(token), ImportScheme::Whole)).unwrap_err());
    error(
        &store.create(NewKey::for_owner("bob").imported(Imported::raw("weak-key"), ImportScheme::Whole)).unwrap_err(),
    );
    store.create(hashed.clone()).unwrap();
    error(&store.create(hashed).unwrap_err());
    let next = store.rotate(created.info.id(), Overlap::UntilFirstUse).unwrap();
    store.revoke(created.info.id(), "leaked").unwrap();
    error(&store.verify(token).unwrap_err());
    error(&store.rotate(created.info.id(), Overlap::None).unwrap_err());

    let digests = stored_digests(&parts, pepper);
    let next = TokenParts::of(next.key.expose_secret());
    for text in shown {
        let hidden = [&parts.secret, &next.secret, foreign, pepper, "weak-key", &digest];
        for hidden in hidden.into_iter().chain(digests.iter().map(String::as_str)) {
            assert!(!text.contains(hidden), "{hidden:?} in {text}");
        }
    }
}

/// The stored digest of a secret, in the forms in which it might be printed.
fn stored_digests(parts: &TokenParts, pepper: &str) -> Vec<String> {
    use sha2::{Digest, Sha256};
    let message = [b"\x01", parts.id.as_bytes(), parts.secret.as_bytes()].concat();
    let inner = |pad: u8| -> Vec<u8> {
        let mut block = [0; 64];
        block[..pepper.len()].copy_from_slice(pepper.as_bytes());
        block.iter().map(|byte| byte ^ pad).collect()
    };
    let keyed =
        Sha256::digest([inner(0x5c), Sha256::digest([inner(0x36), message.clone()].concat()).to_vec()].concat());
    let plain = Sha256::digest(&message);
    let forms = |digest: &[u8]| {
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let list = digest.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        [hex.clone(), hex.to_uppercase(), list.clone(), list.replace(' ', "")]
    };
    forms(&keyed).into_iter().chain(forms(&plain)).collect()
}

/// Compiles only while each type lacks each trait: with the trait, the call would be ambiguous.
#[test]
fn a_secret_cannot_be_printed_copied_or_constructed() {
    macro_rules! lacks {
        ($type:ty: $($bound:tt)+) => {{
            trait Ambiguous<A> {
                fn of() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct Has;
            impl<T: ?Sized + $($bound)+> Ambiguous<Has> for T {}
            <$type as Ambiguous<_>>::of();
        }};
    }
    lacks!(ApiKey: std::fmt::Display);
    lacks!(ApiKey: serde::Serialize);
    lacks!(ApiKey: AsRef<str>);
    lacks!(ApiKey: std::ops::Deref);
    lacks!(ApiKey: Default);
    lacks!(apikey::CreatedKey: serde::Serialize);
    lacks!(apikey::VerifiedKey: Default);
    lacks!(apikey::VerifiedKey: serde::Serialize);
    lacks!(apikey::VerifiedKey: serde::de::DeserializeOwned);
    lacks!(Pepper: serde::Serialize);
    lacks!(Imported: serde::Serialize);
    lacks!(Imported: std::fmt::Display);
}

#[test]
fn a_serialised_key_has_all_that_callers_may_know() {
    let store = KeyStore::temporary().unwrap();
    let created = store.create(alice().name("ci").permissions(["orders:read"]).metadata("team", "blue")).unwrap();
    let json = serde_json::to_value(&created.info).unwrap();
    assert_eq!(json["id"], created.info.id().to_string());
    assert_eq!(json["owner"], "alice");
    assert_eq!(json["name"], "ci");
    assert_eq!(json["permissions"], serde_json::json!(["orders:read"]));
    assert_eq!(json["metadata"], serde_json::json!({"team": "blue"}));
    assert_eq!(json["version"], 1);
    assert_eq!(json["hint"], created.info.hint());
}

proptest! {
    /// Of `redact` and `TOKEN_PATTERN`.
    #[test]
    fn the_pattern_finds_what_redact_replaces(text in "([a-z0-9_A-Zé ]{0,12}_?[0-9A-Za-z]{55,64}){0,4}") {
        let pattern = regex::Regex::new(apikey::TOKEN_PATTERN).unwrap();
        let by_pattern = pattern.replace_all(&text, |found: &regex::Captures<'_>| {
            let (prefix, _) = found[0].rsplit_once('_').unwrap();
            format!("{prefix}_[REDACTED]")
        });
        prop_assert_eq!(apikey::redact(&text), by_pattern);
    }
}
