//! Helpers of the benches: stores full of keys, and how a service would check a key without this library.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::len_without_is_empty,
    missing_docs,
    missing_debug_implementations,
    reason = "a bench that fails shall stop, and nobody else uses this"
)]

use std::collections::HashMap;
use std::sync::RwLock;

use apikey::{KeyStore, NewKey};
use apikey_testkit::TokenParts;
pub use apikey_testkit::with_wrong_secret;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

pub const PERMISSION: &str = "orders:read";

/// Tokens of one length in one buffer, in the order in which the benches visit them.
pub struct Tokens {
    buffer: String,
    length: usize,
}

impl Tokens {
    /// Every token once, in an order that no prefetcher predicts.
    pub fn shuffled(tokens: &[String]) -> Self {
        let count = tokens.len();
        let length = tokens[0].len();
        // A stride without a common factor with the count visits each once.
        let stride = (count / 2..).map(|near| near * 2 + 1).find(|stride| gcd(*stride, count) == 1).unwrap();
        let mut order: Vec<usize> = (0..count).map(|at| at * stride % count).collect();
        // Then a fixed shuffle (xorshift), the same in every run.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for at in (1..count).rev() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            order.swap(at, usize::try_from(state % (at as u64 + 1)).unwrap());
        }
        Self { buffer: order.into_iter().map(|at| tokens[at].as_str()).collect(), length }
    }

    pub fn len(&self) -> usize {
        self.buffer.len() / self.length
    }

    pub fn get(&self, at: usize) -> &str {
        &self.buffer[at * self.length..(at + 1) * self.length]
    }

    /// The same tokens, each changed.
    pub fn map(&self, change: impl Fn(&str) -> String) -> Self {
        let all: Vec<String> = (0..self.len()).map(|at| change(self.get(at))).collect();
        Self { length: all[0].len(), buffer: all.concat() }
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Creates keys in a store; their tokens.
pub fn fill(store: &KeyStore, keys: usize) -> Vec<String> {
    fill_from(store, 0, keys)
}

/// The same, with owners numbered from `first` on.
pub fn fill_from(store: &KeyStore, first: usize, keys: usize) -> Vec<String> {
    let mut tokens = Vec::with_capacity(keys);
    while tokens.len() < keys {
        let batch = (keys - tokens.len()).min(10_000);
        let from = first + tokens.len();
        let new = (from..from + batch).map(|at| NewKey::for_owner(format!("owner-{at:010}")).permissions([PERMISSION]));
        tokens
            .extend(store.create_many(new).unwrap().into_iter().map(|created| created.key.expose_secret().to_owned()));
    }
    tokens
}

/// The token with another id, which no key has, and a right checksum.
pub fn unknown_id(token: &str) -> String {
    let mut parts = TokenParts::of(token);
    let other = if parts.id.as_bytes()[14] == b'0' { "1" } else { "0" };
    parts.id.replace_range(14..15, other);
    parts.token()
}

/// The token with a wrong checksum.
pub fn malformed(token: &str) -> String {
    format!("{}{}", &token[..token.len() - 1], if token.ends_with('0') { '1' } else { '0' })
}

/// The check a developer writes by hand: a digest, a map behind a lock, the fields compared.
pub struct HandWritten(RwLock<HashMap<String, Row>>);

struct Row {
    owner: String,
    permissions: String,
    revoked: bool,
    expires_at: i64,
}

impl HandWritten {
    pub fn with(tokens: &[String]) -> Self {
        let rows = tokens.iter().enumerate().map(|(at, token)| {
            let owner = format!("owner-{at:010}");
            (hex(token), Row { owner, permissions: PERMISSION.into(), revoked: false, expires_at: i64::MAX })
        });
        Self(RwLock::new(rows.collect()))
    }

    /// 200, 401 or 403, and the owner's length, so that the check reads the owner.
    pub fn check(&self, token: &str, permission: &str) -> (u16, usize) {
        let rows = self.0.read().unwrap();
        let Some(row) = rows.get(&hex(token)) else { return (401, 0) };
        let now = chrono::Utc::now().timestamp_millis();
        if row.revoked || row.expires_at <= now {
            return (401, 0);
        }
        let allowed = row.permissions.split(',').any(|held| held == permission);
        (if allowed { 200 } else { 403 }, row.owner.len())
    }
}

/// The shape of the usual Flask decorator: a digest and a prepared SELECT, here on an in-memory database.
pub struct Sqlite(Connection);

impl Sqlite {
    pub fn with(tokens: &[String]) -> Self {
        let mut connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE keys (digest TEXT PRIMARY KEY, owner TEXT, permissions TEXT, revoked INT, expires_at INT) \
                 WITHOUT ROWID",
            )
            .unwrap();
        let transaction = connection.transaction().unwrap();
        {
            let mut insert = transaction.prepare("INSERT INTO keys VALUES (?1, ?2, ?3, 0, NULL)").unwrap();
            for (at, token) in tokens.iter().enumerate() {
                insert.execute(params![hex(token), format!("owner-{at:010}"), PERMISSION]).unwrap();
            }
        }
        transaction.commit().unwrap();
        Self(connection)
    }

    pub fn check(&self, token: &str, permission: &str) -> (u16, usize) {
        let mut select = self
            .0
            .prepare_cached("SELECT owner, permissions, revoked, expires_at FROM keys WHERE digest = ?1")
            .unwrap();
        let row = select.query_row([hex(token)], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, bool>(2)?,
                row.get::<_, Option<i64>>(3)?,
            ))
        });
        let Some((owner, permissions, revoked, expires_at)) = row.optional().unwrap() else { return (401, 0) };
        let now = chrono::Utc::now().timestamp_millis();
        if revoked || expires_at.is_some_and(|end| end <= now) {
            return (401, 0);
        }
        let allowed = permissions.split(',').any(|held| held == permission);
        (if allowed { 200 } else { 403 }, owner.len())
    }
}

fn hex(token: &str) -> String {
    use std::fmt::Write;
    Sha256::digest(token).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
