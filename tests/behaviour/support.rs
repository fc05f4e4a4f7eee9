//! A time, a clock, and tokens made by hand.

use apikey::{AuthError, CreatedKey, KeyFilter, KeyInfo, KeyStore, ManualClock, NewKey};
use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use proptest::test_runner::Config as ProptestConfig;

/// The time at which every test with a clock begins, a whole second.
pub(crate) fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2031, 5, 4, 12, 0, 0).unwrap()
}

pub(crate) fn ms(count: i64) -> TimeDelta {
    TimeDelta::milliseconds(count)
}

pub(crate) fn hours(count: i64) -> TimeDelta {
    TimeDelta::hours(count)
}

/// A temporary store, and the clock it reads.
pub(crate) fn clocked() -> (KeyStore, ManualClock) {
    let clock = ManualClock::new(start());
    (KeyStore::builder().clock(clock.clone()).temporary().unwrap(), clock)
}

/// A share of the cases that PROPTEST_CASES sets (256 if it does not): what costs more gets fewer.
pub(crate) fn cases(share: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: (config.cases / share).max(1), failure_persistence: None, ..config }
}

pub(crate) fn alice() -> NewKey {
    NewKey::for_owner("alice")
}

/// `ok`, or the code of the refusal.
pub(crate) fn code(store: &KeyStore, token: &str) -> &'static str {
    store.verify(token).map_or_else(|error| error.code(), |_| "ok")
}

pub(crate) fn refusal(store: &KeyStore, token: &str) -> AuthError {
    store.verify(token).expect_err("this token must be refused")
}

/// What the store knows of a key that is there.
pub(crate) fn info(store: &KeyStore, created: &CreatedKey) -> KeyInfo {
    store.get(created.info.id()).unwrap().expect("the key is there")
}

/// Every key that a filter names, page by page.
pub(crate) fn all(store: &KeyStore, filter: &KeyFilter) -> Vec<KeyInfo> {
    let mut keys = Vec::new();
    let mut filter = filter.clone();
    loop {
        let page = store.list(&filter).unwrap();
        keys.extend(page.keys);
        let Some(next) = page.next else { return keys };
        filter = filter.after(next);
    }
}

pub(crate) const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A number in base62, left-padded with `0`.
pub(crate) fn base62(mut number: u128, width: usize) -> String {
    let mut digits = vec![b'0'; width];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(number % 62) as usize];
        number /= 62;
    }
    assert_eq!(number, 0, "the number needs more than {width} digits");
    String::from_utf8(digits).unwrap()
}

/// A token in its parts.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) prefix: String,
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Parts {
    pub(crate) fn of(token: &str) -> Self {
        let (before, _checksum) = token.split_at(token.len() - 6);
        let (before, secret) = before.split_at(before.len() - 32);
        let (prefix, id) = before.split_at(before.len() - 22);
        let prefix = prefix.strip_suffix('_').expect("an underscore ends the prefix").to_owned();
        Self { prefix, id: id.to_owned(), secret: secret.to_owned() }
    }

    /// The token again, with the checksum that is right for what the parts are now.
    pub(crate) fn sealed(&self) -> String {
        let before = format!("{}_{}{}", self.prefix, self.id, self.secret);
        let check = base62(crc32fast::hash(before.as_bytes()).into(), 6);
        before + &check
    }
}

/// A token of the same key with another secret: well-formed, checksum right.
pub(crate) fn with_wrong_secret(token: &str) -> String {
    let parts = Parts::of(token);
    let first = if parts.secret.starts_with('A') { "B" } else { "A" };
    Parts { secret: format!("{first}{}", &parts.secret[1..]), ..parts }.sealed()
}
