//! Holds a store against what must be true of it.

use std::collections::BTreeMap;
use std::path::Path;

use apikey::{KeyFilter, KeyInfo, KeyStore, OpenError};
use apikey_testkit::database;
use apikey_testkit::stored_events::frames;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::{Key, Op, Used, World};
use crate::work::{GRANTS, entries};

/// What is wrong, and what to call it.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// The store does not open, and nothing was done to it that would be a reason.
    Unopenable,
    /// Something acknowledged is not there.
    Lost,
    /// Something that was taken away is good again.
    Resurrected,
    /// Something is there that nobody asked for, or half of what was asked for in one call.
    Extra,
    /// History has a gap, a broken chain, or too few events.
    History,
    /// An answer that fits no state at all.
    Answer,
    /// It opened with less than there was, and said nothing.
    Silent,
    /// Refused, and not as damaged.
    WrongError,
    Hang,
    Abort,
}

pub(crate) fn fault<T>(kind: Kind, text: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { kind, text: text.into() })
}

/// How often each fault was found; prints itself.
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

    /// Fails the test if there was any.
    pub(crate) fn settle(&self) {
        assert!(self.counts.is_empty(), "{:?}\n{}", self.counts, self.first.join("\n"));
    }
}

/// What the answer to a token is: the code of the refusal, or `ok` with the grants it allows.
fn answer(store: &KeyStore, token: &str) -> String {
    match store.verify(token) {
        Err(error) => error.code().to_owned(),
        Ok(key) => {
            let held: Vec<&str> = GRANTS.into_iter().filter(|grant| key.allows(grant)).collect();
            format!("ok {}", held.join(" "))
        }
    }
}

const ENDED: &str = "invalid_api_key";

fn good(key: &Key) -> String {
    match (key.revoked, key.disabled) {
        (true, _) => "revoked_api_key".to_owned(),
        (_, true) => "disabled_api_key".to_owned(),
        _ => {
            let held = GRANTS.into_iter().filter(|grant| key.permissions.iter().any(|held| held == grant));
            format!("ok {}", held.collect::<Vec<_>>().join(" "))
        }
    }
}

/// Every state that a key may be in: as acknowledged, with any of what is in doubt.
fn candidates(key: &Key, id: &str, doubts: &[Op]) -> Vec<Option<Key>> {
    let mut states = vec![Some(key.clone())];
    if matches!(key.used, Used::InMemory(_)) {
        let mut settled = key.clone();
        settled.settle_use();
        states.push(Some(settled));
    }
    for op in doubts.iter().filter(|op| op.touches(id)) {
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
        && *info.metadata() == entries(state.entries).collect()
}

/// The answer that each token must get in a state.
fn expected(state: &Key, token: &str) -> String {
    let older = state.older.as_ref().and_then(|older| older.token.as_deref());
    if state.newest.as_deref() == Some(token) || older == Some(token) { good(state) } else { ENDED.to_owned() }
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

/// Holds an open store against the world; returns the world as it is now known to be, before this look at it changed
/// anything. To look is to verify: see [`looked_at`].
pub(crate) fn check(store: &KeyStore, world: &World) -> Result<World, Fault> {
    if let Some(text) = world.faults.first() {
        return fault(Kind::Answer, text);
    }
    let mut found = all(store)?;
    let mut now = World::default();
    (now.events, now.acknowledged) = (world.events, world.acknowledged);
    // A purge takes all that it finds, or nothing: by which of those in doubt a key may be gone.
    let mut purged = BTreeMap::new();
    for (id, key) in &world.keys {
        let answers: Vec<_> = key.tokens().map(|token| (token, answer(store, token))).collect();
        let states = candidates(key, id, &world.doubts);
        let info = found.remove(id);
        let fitting = states.iter().filter(|state| match (state, &info) {
            (None, None) => answers.iter().all(|(_, answer)| answer == ENDED),
            (Some(state), Some(info)) => {
                fits(state, info) && answers.iter().all(|(token, answer)| *answer == expected(state, token))
            }
            _ => false,
        });
        let Some(state) = fitting.into_iter().next() else {
            // More than any state allows is worse than less.
            let more = answers.iter().any(|(token, answer)| {
                let allowed =
                    states.iter().map(|state| state.as_ref().map_or(ENDED.to_owned(), |state| expected(state, token)));
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
                    // An older secret that is still good was never superseded, as far as the disk knows.
                    state.used = if ends { Used::No } else { Used::Unknown };
                }
                now.keys.insert(id.clone(), state);
            }
            None => now.gone.extend(key.tokens().cloned()),
        }
    }
    for token in &world.gone {
        let answer = answer(store, token);
        if answer != ENDED {
            return fault(Kind::Resurrected, format!("a purged key is {answer}"));
        }
        now.gone.push(token.clone());
    }
    for op in &world.doubts {
        let Op::Create { names, permissions, entries } = op else { continue };
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
            if !fits(&key, &info) {
                return fault(Kind::Answer, format!("{info:?} is not what was asked for"));
            }
            now.keys.insert(id, key);
        }
    }
    match found.first_key_value() {
        Some((id, info)) => fault(Kind::Extra, format!("nobody made key {id}: {info:?}")),
        None => Ok(now),
    }
}

/// What [`check`] itself changed: the newest secrets were used.
pub(crate) fn looked_at(store: &KeyStore, mut world: World) -> Result<World, Fault> {
    for (id, key) in &mut world.keys {
        let Some(newest) = &key.newest else { continue };
        if key.revoked || key.disabled || !answer(store, newest).starts_with("ok") {
            continue;
        }
        let ended = key.older.as_ref().filter(|older| older.until_first_use).and_then(|older| older.token.clone());
        key.settle_use();
        if let Some(token) = ended
            && answer(store, &token) != ENDED
        {
            return fault(Kind::Resurrected, format!("key {id}: the old secret outlives the first use of the new one"));
        }
    }
    Ok(world)
}

/// Opens a store that must open, and checks it. Closes it, and checks its history. The world as it was found, and as it
/// is then.
pub(crate) fn open_and_check(directory: &Path, world: &World) -> Result<(World, World), Fault> {
    let store = open(directory)?;
    let found = check(&store, world)?;
    let looked = looked_at(&store, found.clone())?;
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

/// Reads the events of a closed store as they lie in the database: numbers without a gap from the first that was not let
/// go, each with the digest of the one before, up to the one that the head names, and no fewer than were acknowledged. How
/// many there ever were.
pub(crate) fn history(directory: &Path, world: &World) -> Result<u64, Fault> {
    let database = database(directory)?;
    let gap = |text: String| fault(Kind::History, text);
    let read = |error: sled::Error| Fault { kind: Kind::History, text: error.to_string() };
    let meta = database.open_tree("meta").map_err(read)?;
    let mut number = 0_u64;
    let mut previous = [0_u8; 32];
    if let Some(checkpoint) = meta.get("checkpoint").map_err(read)? {
        number = varint(&checkpoint[2..]);
        previous = checkpoint[checkpoint.len() - 36..checkpoint.len() - 4].try_into().unwrap();
    }
    for item in &database.open_tree("events").map_err(read)? {
        let (key, value) = item.map_err(read)?;
        if *key != (number + 1).to_be_bytes() {
            return gap(format!("event {} is missing: there is {key:?}", number + 1));
        }
        let Some(frames) = frames(&value) else {
            return gap(format!("the block of event {} is not whole", number + 1));
        };
        for frame in frames {
            number += 1;
            let (framed, check) = frame.split_at(frame.len() - 4);
            if crc32fast::hash(framed).to_le_bytes() != *check {
                return gap(format!("event {number} has a wrong checksum"));
            }
            // The last fields are the digest of the event before, and the number of the pepper: 0.
            let (_, tail) = framed.split_at(framed.len() - 33);
            if tail[..32] != previous || tail[32] != 0 {
                return gap(format!("event {number} does not follow from the one before"));
            }
            previous = Sha256::digest(frame).into();
        }
    }
    let head = meta.get("head").map_err(read)?;
    let last = head.map_or(0, |head| varint(&head[2..]));
    if last != number {
        return gap(format!("there are {number} events, and the head says {last}"));
    }
    if number < world.events {
        return gap(format!("there are {number} events, and {} changes were acknowledged", world.events));
    }
    Ok(number)
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

    use crate::work::made;

    /// A sound store, and what is true of it.
    fn store() -> (tempfile::TempDir, World) {
        let directory = crate::child::scratch();
        let lines = made(directory.path(), 7, 40, || {});
        let (_, world) = open_and_check(directory.path(), &World::heard(&lines)).unwrap();
        (directory, world)
    }

    fn kind(directory: &Path, world: &World) -> Kind {
        open_and_check(directory, world).map(drop).unwrap_err().kind
    }

    #[test]
    fn what_is_not_there_is_lost() {
        let (directory, mut world) = store();
        let never = Key::new("never", &[], 0, Some("a token".into()));
        world.keys.insert("018f0000-0000-7000-8000-000000000000".into(), never);
        assert_eq!(kind(directory.path(), &world), Kind::Lost);
    }

    #[test]
    fn what_was_taken_away_and_verifies_is_resurrected() {
        let (directory, world) = store();
        let good = world.keys.iter().find(|(_, key)| !key.revoked && !key.disabled && key.newest.is_some()).unwrap();
        let mut revoked = world.clone();
        revoked.keys.get_mut(good.0).unwrap().revoked = true;
        assert_eq!(kind(directory.path(), &revoked), Kind::Resurrected);
        let mut ended = world.clone();
        let key = ended.keys.get_mut(good.0).unwrap();
        key.dead.extend(key.newest.take());
        assert_eq!(kind(directory.path(), &ended), Kind::Resurrected);
    }

    #[test]
    fn what_nobody_made_is_extra() {
        let (directory, mut world) = store();
        world.keys.pop_last().unwrap();
        assert_eq!(kind(directory.path(), &world), Kind::Extra);
    }

    #[test]
    fn a_missing_event_is_a_gap() {
        let (directory, world) = store();
        let events = history(directory.path(), &world).unwrap();
        assert!(events >= world.events);
        for place in [usize::MAX, 0, 10] {
            let database = database(directory.path()).unwrap();
            split_batches(&database);
            let all = stored_events::events(&database);
            let (number, _) = all[place.min(all.len() - 1)];
            database.open_tree("events").unwrap().remove(number.to_be_bytes()).unwrap().unwrap();
            drop(database);
            assert_eq!(history(directory.path(), &world).unwrap_err().kind, Kind::History, "event {number}");
        }
    }
}
