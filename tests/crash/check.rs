//! Compares a store with what is expected of it.

use std::collections::BTreeMap;
use std::path::Path;

use apikey::{AuthError, KeyFilter, KeyInfo, KeyStore, OpenError};
use apikey_testkit::database;
use apikey_testkit::stored_events::frames;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::{Expected, Key, Op, Used, ceiling_after, role_after};
use crate::work::{GRANTS, entries};

/// One fault: its kind, and the details.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// The store does not open, although nothing has damaged it.
    Unopenable,
    /// An acknowledged change is missing.
    Lost,
    /// Something that was revoked, disabled or removed works again.
    Resurrected,
    /// The store has something that no call made, or half of what one call made.
    Extra,
    /// The history has a gap, a broken chain, or too few events.
    History,
    /// An answer fits no possible state.
    Answer,
    /// The store opened with less than it had, and reported nothing.
    Silent,
    /// The open failed, but not with `Damaged`.
    WrongError,
    Hang,
    Abort,
}

pub(crate) fn fault<T>(kind: Kind, text: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { kind, text: text.into() })
}

/// Counts the faults by kind and prints each.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) counts: BTreeMap<Kind, usize>,
    first: Vec<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, fault: &Fault, place: &str) {
        eprintln!("FAULT {:?} {place}: {}", fault.kind, fault.text);
        *self.counts.entry(fault.kind).or_default() += 1;
        if self.first.len() < 20 {
            self.first.push(format!("{:?} {place}: {}", fault.kind, fault.text));
        }
    }

    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// Fails the test if it has counted any.
    pub(crate) fn assert_none(&self) {
        assert!(self.counts.is_empty(), "{:?}\n{}", self.counts, self.first.join("\n"));
    }
}

/// The answer to a token: the code of the refusal, or `ok` with the grants that it allows.
fn answer(store: &KeyStore, token: &str) -> String {
    match store.verify(token) {
        // It has ended as well; the store only knows by which rotation.
        Err(AuthError::Rotated) => ENDED.to_owned(),
        Err(error) => error.code().to_owned(),
        Ok(key) => {
            let held: Vec<&str> = GRANTS.into_iter().filter(|grant| key.allows(grant)).collect();
            format!("ok {}", held.join(" "))
        }
    }
}

const ENDED: &str = "invalid_api_key";

/// What roles grant; one that is not there, nothing.
type Roles = BTreeMap<String, Option<Vec<String>>>;

/// What tenants leave their keys; one that is not there, everything.
type Ceilings = BTreeMap<String, Vec<String>>;

fn good(key: &Key, Expected { roles, ceilings, .. }: &Expected) -> String {
    let ceiling = key.tenant.as_ref().and_then(|tenant| ceilings.get(tenant));
    let is_left = |grant: &str| ceiling.is_none_or(|ceiling| ceiling.iter().any(|left| left == grant));
    let of_role = key.role.as_ref().and_then(|role| roles.get(role)).and_then(Option::as_ref);
    match (key.revoked, key.disabled) {
        (true, _) => "revoked_api_key".to_owned(),
        (_, true) => "disabled_api_key".to_owned(),
        _ => {
            let all = key.permissions.iter().chain(of_role.into_iter().flatten());
            let held = GRANTS.into_iter().filter(|grant| is_left(grant) && all.clone().any(|held| held == grant));
            format!("ok {}", held.collect::<Vec<_>>().join(" "))
        }
    }
}

/// Every state that a key may be in: as acknowledged, with any of the operations that were not.
fn candidates(key: &Key, id: &str, unacknowledged: &[Op]) -> Vec<Option<Key>> {
    let mut states = vec![Some(key.clone())];
    if matches!(key.used, Used::InMemory(_)) {
        let mut confirmed = key.clone();
        confirmed.confirm_use();
        states.push(Some(confirmed));
    }
    for op in unacknowledged.iter().filter(|op| op.touches(id)) {
        let more: Vec<_> = states.iter().flatten().map(|state| state.after(op, None)).collect();
        states.extend(more);
    }
    states
}

fn fits(state: &Key, info: &KeyInfo) -> bool {
    info.name() == Some(&*state.name)
        && info.version() == state.version
        && info.disabled() == state.disabled
        && info.revoked().is_some() == state.revoked
        && info.permissions() == state.permissions
        && info.roles().first() == state.role.as_ref()
        && info.tenant() == state.tenant.as_deref()
        && *info.metadata() == entries(state.entries).collect()
}

/// The answer that each token must get in a state.
fn expected_answer(state: &Key, now: &Expected, token: &str) -> String {
    let older = state.older.as_ref().and_then(|older| older.token.as_deref());
    if state.newest.as_deref() == Some(token) || older == Some(token) { good(state, now) } else { ENDED.to_owned() }
}

/// The roles as the store has them, each of which must be as acknowledged, or as an operation that was not would leave it.
fn roles(store: &KeyStore, expected: &Expected) -> Result<Roles, Fault> {
    let held = match store.roles() {
        Ok(held) => held,
        Err(error) => return fault(Kind::Lost, format!("the roles cannot be listed: {error}")),
    };
    let mut found: BTreeMap<_, _> =
        held.iter().map(|role| (role.name().to_owned(), role.permissions().to_vec())).collect();
    let mut names: Vec<&String> = expected.roles.keys().collect();
    names.extend(expected.unacknowledged.iter().filter_map(|op| match op {
        Op::PutRole { name, .. } => Some(name),
        _ => None,
    }));
    let mut roles = Roles::new();
    for name in names {
        let mut states = vec![expected.roles.get(name).cloned().flatten()];
        states.extend(expected.unacknowledged.iter().filter_map(|op| role_after(name, op)));
        let role = found.remove(name).or_else(|| roles.get(name).cloned().flatten());
        if !states.contains(&role) {
            let gives = |state: &Option<Vec<String>>, grant: &String| state.iter().flatten().any(|held| held == grant);
            let more = role.iter().flatten().any(|grant| !states.iter().any(|state| gives(state, grant)));
            let kind = if more { Kind::Resurrected } else { Kind::Lost };
            return fault(kind, format!("the role {name} is {role:?}, and should be one of {states:?}"));
        }
        roles.insert(name.clone(), role);
    }
    match found.first_key_value() {
        Some((name, grants)) => fault(Kind::Extra, format!("nobody made the role {name}: {grants:?}")),
        None => Ok(roles),
    }
}

pub(crate) fn all(store: &KeyStore) -> Result<BTreeMap<String, KeyInfo>, Fault> {
    let mut found = BTreeMap::new();
    let mut filter = KeyFilter::default();
    loop {
        let page = match store.list(&filter) {
            Ok(page) => page,
            Err(error) => return fault(Kind::Lost, format!("the keys cannot be listed: {error}")),
        };
        found.extend(page.keys.into_iter().map(|info| (info.id().to_string(), info)));
        let Some(next) = page.next else { return Ok(found) };
        filter = filter.after(next);
    }
}

/// The ceilings of tenants as the store has them, each of which must be as acknowledged, or as an operation that was not would
/// leave it.
fn ceilings(store: &KeyStore, expected: &Expected) -> Result<Ceilings, Fault> {
    let held = match store.tenants() {
        Ok(held) => held,
        Err(error) => return fault(Kind::Lost, format!("the tenants cannot be listed: {error}")),
    };
    let everything = vec!["*".to_owned()];
    let mut ceilings = Ceilings::new();
    for tenant in &held {
        let found = tenant.permissions().to_vec();
        let name = tenant.name();
        let mut states = vec![expected.ceilings.get(name).unwrap_or(&everything).clone()];
        states.extend(expected.unacknowledged.iter().filter_map(|op| ceiling_after(name, op)));
        if !states.contains(&found) {
            let more = found.iter().any(|grant| !states.iter().any(|state| state.contains(grant)));
            let kind = if more { Kind::Resurrected } else { Kind::Lost };
            return fault(kind, format!("the tenant {name} has {found:?}, and should have one of {states:?}"));
        }
        if found != everything {
            ceilings.insert(name.to_owned(), found);
        }
    }
    let lost = expected.ceilings.keys().find(|name| held.iter().all(|tenant| tenant.name() != *name));
    lost.map_or(Ok(ceilings), |name| fault(Kind::Resurrected, format!("the tenant {name} bounds nothing any more")))
}

/// Compares an open store with what is expected of it; returns what it is now known to be. A check verifies, which may
/// end older secrets: [`used_by_check`] accounts for that.
pub(crate) fn check(store: &KeyStore, expected: &Expected) -> Result<Expected, Fault> {
    if let Some(text) = expected.faults.first() {
        return fault(Kind::Answer, text);
    }
    let mut found = all(store)?;
    let mut now = Expected::default();
    now.roles = roles(store, expected)?;
    now.ceilings = ceilings(store, expected)?;
    (now.events, now.acknowledged) = (expected.events, expected.acknowledged);
    // A purge removes everything it finds, or nothing: which unacknowledged purge may have removed a key.
    let mut purged = BTreeMap::new();
    for (id, key) in &expected.keys {
        let answers: Vec<_> = key.tokens().map(|token| (token, answer(store, token))).collect();
        let states = candidates(key, id, &expected.unacknowledged);
        let info = found.remove(id);
        let fitting = states.iter().filter(|state| match (state, &info) {
            (None, None) => answers.iter().all(|(_, answer)| answer == ENDED),
            (Some(state), Some(info)) => {
                fits(state, info)
                    && answers.iter().all(|(token, answer)| *answer == expected_answer(state, &now, token))
            }
            _ => false,
        });
        let Some(state) = fitting.into_iter().next() else {
            // An answer that no state allows is worse than a refusal.
            let more = answers.iter().any(|(token, answer)| {
                let allowed = states
                    .iter()
                    .map(|state| state.as_ref().map_or(ENDED.to_owned(), |state| expected_answer(state, &now, token)));
                answer.starts_with("ok") && !allowed.into_iter().any(|allowed| allowed == *answer)
            });
            let kind = if more { Kind::Resurrected } else { Kind::Lost };
            let answers: Vec<_> = answers.iter().map(|(_, answer)| answer).collect();
            return fault(kind, format!("key {id} is {info:?} with {answers:?}, and should be one of {states:?}"));
        };
        if key.purges > 0 && *purged.entry(key.purges).or_insert(state.is_none()) != state.is_none() {
            return fault(Kind::Extra, "half a purge");
        }
        match state {
            Some(state) => {
                let mut state = state.clone();
                state.purges = 0;
                if matches!(state.used, Used::InMemory(_)) {
                    let ends = state.older.as_ref().is_some_and(|older| older.until_first_use);
                    // An older secret that still works was never superseded, as far as the disk shows.
                    state.used = if ends { Used::No } else { Used::Unknown };
                }
                now.keys.insert(id.clone(), state);
            }
            None => now.gone.extend(key.tokens().cloned()),
        }
    }
    for token in &expected.gone {
        let answer = answer(store, token);
        if answer != ENDED {
            return fault(Kind::Resurrected, format!("a purged key is {answer}"));
        }
        now.gone.push(token.clone());
    }
    for op in &expected.unacknowledged {
        let Op::Create { names, permissions, role, tenant, entries } = op else { continue };
        let made: Vec<_> = found
            .iter()
            .filter(|(_, info)| info.name().is_some_and(|name| names.iter().any(|of| of == name)))
            .map(|(id, info)| (id.clone(), info.clone()))
            .collect();
        if !(made.is_empty() || made.len() == names.len()) {
            return fault(Kind::Extra, format!("{} of {} keys of one call", made.len(), names.len()));
        }
        for (id, info) in made {
            found.remove(&id);
            let key = Key::new(info.name().unwrap_or_default(), permissions, *entries, None);
            let key = Key { role: role.clone(), tenant: tenant.clone(), ..key };
            if !fits(&key, &info) {
                return fault(Kind::Answer, format!("{info:?} is not what the call said"));
            }
            now.keys.insert(id, key);
        }
    }
    match found.first_key_value() {
        Some((id, info)) => fault(Kind::Extra, format!("nobody made key {id}: {info:?}")),
        None => Ok(now),
    }
}

/// The state after [`check`], which has used the newest secrets.
pub(crate) fn used_by_check(store: &KeyStore, mut expected: Expected) -> Result<Expected, Fault> {
    for (id, key) in &mut expected.keys {
        let Some(newest) = &key.newest else { continue };
        if key.revoked || key.disabled || !answer(store, newest).starts_with("ok") {
            continue;
        }
        let ended = key.older.as_ref().filter(|older| older.until_first_use).and_then(|older| older.token.clone());
        key.confirm_use();
        if let Some(token) = ended
            && answer(store, &token) != ENDED
        {
            return fault(Kind::Resurrected, format!("key {id}: the old secret outlives the first use of the new one"));
        }
    }
    Ok(expected)
}

/// Opens a store, which must open, checks it, closes it, and checks its history. Returns the state that it found, and the
/// state after the check.
pub(crate) fn open_and_check(directory: &Path, expected: &Expected) -> Result<(Expected, Expected), Fault> {
    let store = open(directory)?;
    let found = check(&store, expected)?;
    let looked = used_by_check(&store, found.clone())?;
    if let Err(error) = store.close() {
        return fault(Kind::Unopenable, format!("it does not close: {error}"));
    }
    drop(store);
    history(directory, &looked)?;
    Ok((found, looked))
}

pub(crate) fn open(directory: &Path) -> Result<KeyStore, Fault> {
    match KeyStore::open(directory) {
        Ok(store) => Ok(store),
        Err(error) => {
            let source = match &error {
                OpenError::Damaged { source: Some(source), .. } => format!(" ({source:?})"),
                _ => String::new(),
            };
            fault(Kind::Unopenable, format!("{error}{source}"))
        }
    }
}

/// Checks the events in the database of a closed store and returns the last number. They are numbered without a gap from
/// the first that was not purged up to the one that the head names, each has the digest of the one before, and there are
/// no fewer than were acknowledged.
pub(crate) fn history(directory: &Path, expected: &Expected) -> Result<u64, Fault> {
    let database = database(directory)?;
    let gap = |text: String| fault(Kind::History, text);
    let read = |error: sled::Error| Fault { kind: Kind::History, text: error.to_string() };
    let meta = database.open_tree("meta").map_err(read)?;
    let mut number = 0_u64;
    let mut previous = [0_u8; 32];
    if let Some(checkpoint) = meta.get("checkpoint").map_err(read)? {
        number = varint(&checkpoint[3..]);
        // Behind the digest the tail, with nothing in it, and the checksum.
        previous = checkpoint[checkpoint.len() - 37..checkpoint.len() - 5].try_into().unwrap();
    }
    for item in &database.open_tree("events").map_err(read)? {
        let (key, value) = item.map_err(read)?;
        if *key != (number + 1).to_be_bytes() {
            return gap(format!("event {} is missing: there is {key:?}", number + 1));
        }
        let Some(frames) = frames(&value) else {
            return gap(format!("the batch of event {} is damaged", number + 1));
        };
        for frame in frames {
            number += 1;
            let (framed, check) = frame.split_at(frame.len() - 4);
            if crc32fast::hash(framed).to_le_bytes() != *check {
                return gap(format!("event {number} has a wrong checksum"));
            }
            // Behind the head, number, time, subject and kind: the digest of the event before, and the pepper's number, 0.
            let time = 3 + varint_bytes(framed[3]);
            let subject = time + varint_bytes(framed[time]);
            let fixed = subject + 2 + usize::from(framed[subject + 1]) + 1;
            if framed[fixed..fixed + 32] != previous || framed[fixed + 32] != 0 {
                return gap(format!("event {number} does not follow from the one before"));
            }
            previous = Sha256::digest(frame).into();
        }
    }
    let head = meta.get("head").map_err(read)?;
    let last = head.map_or(0, |head| varint(&head[3..]));
    if last != number {
        return gap(format!("there are {number} events, and the head says {last}"));
    }
    if number < expected.events {
        return gap(format!("there are {number} events, and {} changes were acknowledged", expected.events));
    }
    Ok(number)
}

/// How many bytes a number has, by its first.
fn varint_bytes(first: u8) -> usize {
    match first {
        251 => 3,
        252 => 5,
        253 => 9,
        _ => 1,
    }
}

/// An unsigned number as bincode 2 writes it.
fn varint(bytes: &[u8]) -> u64 {
    let wide = |length: usize| {
        let mut wide = [0; 8];
        wide[..length].copy_from_slice(&bytes[1..=length]);
        u64::from_le_bytes(wide)
    };
    match bytes[0] {
        251 => wide(2),
        252 => wide(4),
        253 => wide(8),
        small => small.into(),
    }
}

fn database(store: &Path) -> Result<sled::Db, Fault> {
    database::open(store).or_else(|error| fault(Kind::Unopenable, format!("sled does not open: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use apikey_testkit::stored_events::{self, split_batches};

    use crate::work::make_store;

    /// A sound store, and what is expected of it.
    fn store() -> (tempfile::TempDir, Expected) {
        let directory = crate::child::scratch();
        let lines = make_store(directory.path(), 7, 40, || {});
        let (_, expected) = open_and_check(directory.path(), &Expected::after(&lines)).unwrap();
        (directory, expected)
    }

    fn kind(directory: &Path, expected: &Expected) -> Kind {
        open_and_check(directory, expected).map(drop).unwrap_err().kind
    }

    #[test]
    fn a_missing_key_is_lost() {
        let (directory, mut expected) = store();
        let never = Key::new("never", &[], 0, Some("a token".into()));
        expected.keys.insert("018f0000-0000-7000-8000-000000000000".into(), never);
        assert_eq!(kind(directory.path(), &expected), Kind::Lost);
    }

    #[test]
    fn a_revoked_key_or_ended_secret_that_verifies_is_resurrected() {
        let (directory, expected) = store();
        let good = expected.keys.iter().find(|(_, key)| !key.revoked && !key.disabled && key.newest.is_some()).unwrap();
        let mut revoked = expected.clone();
        revoked.keys.get_mut(good.0).unwrap().revoked = true;
        assert_eq!(kind(directory.path(), &revoked), Kind::Resurrected);
        let mut ended = expected.clone();
        let key = ended.keys.get_mut(good.0).unwrap();
        key.dead.extend(key.newest.take());
        assert_eq!(kind(directory.path(), &ended), Kind::Resurrected);
    }

    #[test]
    fn a_role_that_grants_more_or_less_than_it_was_left_is_resurrected_or_lost() {
        let (directory, expected) = store();
        let changed = |change: fn(&mut Vec<String>)| {
            let mut changed = expected.clone();
            let mut roles = changed.roles.values_mut().flatten();
            change(roles.find(|role| !role.is_empty()).expect("a role that grants something"));
            kind(directory.path(), &changed)
        };
        assert_eq!(changed(|role| drop(role.pop())), Kind::Resurrected);
        assert_eq!(changed(|role| role.push("stock:read".into())), Kind::Lost);
    }

    #[test]
    fn a_tenant_that_leaves_more_or_less_than_it_was_left_or_goes_on_is_resurrected_or_lost() {
        let (directory, expected) = store();
        let changed = |change: fn(&mut Vec<String>)| {
            let mut changed = expected.clone();
            let mut ceilings = changed.ceilings.values_mut();
            change(ceilings.find(|ceiling| !ceiling.is_empty()).expect("a tenant that leaves something"));
            kind(directory.path(), &changed)
        };
        assert_eq!(changed(|ceiling| drop(ceiling.pop())), Kind::Resurrected);
        assert_eq!(changed(|ceiling| ceiling.push("stock:read".into())), Kind::Lost);
        let mut forgotten = expected.clone();
        forgotten.ceilings.insert("nobody".into(), Vec::new());
        assert_eq!(kind(directory.path(), &forgotten), Kind::Resurrected);
        // A key whose tenant was to end, and goes on.
        let mut ended = expected.clone();
        let of_tenant = ended.keys.values_mut().find(|key| key.tenant.is_some() && !key.revoked && !key.disabled);
        of_tenant.expect("a good key of a tenant").revoked = true;
        assert_eq!(kind(directory.path(), &ended), Kind::Resurrected);
    }

    #[test]
    fn a_key_that_nobody_created_is_extra() {
        let (directory, mut expected) = store();
        expected.keys.pop_last().unwrap();
        assert_eq!(kind(directory.path(), &expected), Kind::Extra);
    }

    #[test]
    fn a_missing_event_is_a_gap() {
        let (directory, expected) = store();
        let events = history(directory.path(), &expected).unwrap();
        assert!(events >= expected.events);
        for place in [usize::MAX, 0, 10] {
            let database = database(directory.path()).unwrap();
            split_batches(&database);
            let all = stored_events::events(&database);
            let (number, _) = all[place.min(all.len() - 1)];
            database.open_tree("events").unwrap().remove(number.to_be_bytes()).unwrap().unwrap();
            drop(database);
            assert_eq!(history(directory.path(), &expected).unwrap_err().kind, Kind::History, "event {number}");
        }
    }
}
