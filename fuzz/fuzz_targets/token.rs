//! Tokens: any text, and changed tokens of the golden store.
#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use apikey_core::fuzzing::parse_token;
use apikey_core::{
    AuthError, ImportScheme, Imported, KeyId, KeyStore, NewKey, Pepper, Presented, VerifiedKey, check_grant,
};
use apikey_fuzz::golden;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

const LEGACY: &str = "legacy-0123456789abcdefghij";
/// External keys, and the scheme of each.
const IMPORTED: [(&str, ImportScheme); 3] = [
    ("whole-0123456789-0123456789", ImportScheme::Whole),
    ("17|0123456789-piped-0123456789", ImportScheme::AfterPipe),
    ("pre_short_0123456789-underscore", ImportScheme::AfterLastUnderscore),
];

/// Their secret parts.
const SECRETS: [&str; 3] = ["whole-0123456789-0123456789", "0123456789-piped-0123456789", "0123456789-underscore"];

struct Fixture {
    _directory: TempDir,
    golden: KeyStore,
    good: [String; 2],
    revoked: String,
    imported: KeyStore,
    prefixes: Vec<Box<str>>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let directory = TempDir::new().expect("a temporary directory");
    copy(&golden("store"), directory.path());
    let token = |name: &str| fs::read_to_string(golden(name)).expect("a golden file").trim().to_owned();
    let pepper = Pepper::new(1, b"a pepper for golden files");
    let golden = KeyStore::builder().prefix("acme_live").pepper(pepper).open(directory.path()).expect("a golden store");
    let imported = KeyStore::temporary().expect("a temporary store");
    for (key, scheme) in IMPORTED {
        imported.create(NewKey::for_owner("dave").imported(Imported::raw(key), scheme)).expect("a key");
    }
    Fixture {
        _directory: directory,
        golden,
        good: [token("token-good.txt"), token("token-rotated.txt")],
        revoked: token("token-revoked.txt"),
        imported,
        prefixes: ["ak", "acme_live", "a", "acme"].map(Into::into).into(),
    }
});

fuzz_target!(|data: &[u8]| {
    let fixture = &*FIXTURE;
    parsing(data, fixture);
    headers(data, fixture);
    if let Ok(text) = std::str::from_utf8(data) {
        verification(text, fixture);
        key_ids(text);
    }
    // The input as edits: a place and a byte, in one of the tokens; then the same with a right checksum.
    let Some((which, edits)) = data.split_first() else { return };
    for (at, original) in [&fixture.good[0], &fixture.good[1], &fixture.revoked].into_iter().enumerate() {
        if at != usize::from(*which) % 3 {
            continue;
        }
        let mut edited = original.as_bytes().to_vec();
        for edit in edits.chunks_exact(2).take(8) {
            let length = edited.len();
            edited[usize::from(edit[0]) % length] = edit[1];
        }
        for token in [edited.clone(), heal(edited)] {
            parsing(&token, fixture);
            if let Ok(text) = std::str::from_utf8(&token) {
                verification(text, fixture);
            }
        }
    }
});

/// A text that parses as a token is the text that its parts make.
fn parsing(token: &[u8], fixture: &Fixture) {
    let Some(body) = parse_token(token, &fixture.prefixes) else { return };
    let written = |prefix: &str| heal([prefix.as_bytes(), b"_", body, b"......"].concat());
    assert!(fixture.prefixes.iter().any(|prefix| written(prefix) == token), "a token that is never written");
}

/// Only issued tokens verify, and no answer contains a secret.
fn verification(token: &str, fixture: &Fixture) {
    let issued = fixture.good.iter().any(|good| good == token) || token == LEGACY;
    let result = fixture.golden.verify(token);
    hidden(token, &result, &fixture.golden);
    match result {
        Ok(_) => assert!(issued, "a token that was never issued"),
        Err(AuthError::Revoked) => assert_eq!(token, fixture.revoked, "the state of a key, told to a stranger"),
        Err(AuthError::Invalid) => assert!(!issued && token != fixture.revoked, "an issued token is not known"),
        Err(other) => panic!("{other:?}"),
    }
    // The secret part decides. A store with keys of several schemes reads a token by each of them, whichever scheme a key
    // has: the bare secret of one key also verifies as a whole key.
    let parts =
        [Some(token), token.split_once('|').map(|(_, part)| part), token.rsplit_once('_').map(|(_, part)| part)];
    let issued = token.len() <= 256 && parts.into_iter().flatten().any(|part| SECRETS.contains(&part));
    let result = fixture.imported.verify(token);
    hidden(token, &result, &fixture.imported);
    assert_eq!(result.is_ok(), issued, "imported keys");
}

fn hidden(token: &str, result: &Result<VerifiedKey, AuthError>, store: &KeyStore) {
    let told = |result: &Result<VerifiedKey, AuthError>| match result {
        Ok(key) => format!("{key:?} {store:?}"),
        Err(error) => format!("{error} {error:?} {:?} {store:?}", store.refuse(error)),
    };
    match result {
        // The same text for all.
        Err(AuthError::Invalid) => assert_eq!(told(result), told(&Err(AuthError::Invalid))),
        // The issued tokens: the last characters are of the secret.
        _ => assert!(!told(result).contains(&token[token.len() - 10..]), "an answer repeats the token"),
    }
}

/// A request with several keys is refused.
fn headers(data: &[u8], fixture: &Fixture) {
    let config = fixture.golden.header_config();
    let values: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let presented = config.presented(values.iter().copied(), [data]);
    match values.as_slice() {
        [one] => assert!(matches!(presented, Presented::One(token) if token == *one)),
        _ => assert!(matches!(presented, Presented::Many)),
    }
    if data.len() >= 24
        && let Ok(text) = std::str::from_utf8(data)
    {
        assert!(!format!("{presented:?}").contains(text));
    }
    let _ = presented.token();
}

fn key_ids(text: &str) {
    if let Ok(id) = text.parse::<KeyId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    // A token is no permission.
    assert!(!text.contains(' ') || check_grant(text).is_err());
}

/// Puts the right checksum at the end: base62 of the CRC-32 of all before it.
fn heal(mut token: Vec<u8>) -> Vec<u8> {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    if let Some((before, check)) = token.split_last_chunk_mut::<6>() {
        let mut number = crc32fast::hash(before);
        for digit in check.iter_mut().rev() {
            *digit = DIGITS[(number % 62) as usize];
            number /= 62;
        }
    }
    token
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a golden store") {
        let entry = entry.expect("a golden store");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).expect("a copy");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
