//! The keys in memory: all that a verification looks at.
//!
//! Readers take no lock and count nothing: they read the current table, and believe what they read if no writer made a
//! step meanwhile. Changes are made by one writer at a time (the shelf), in place. A table that has become too small
//! stays where it is, since a reader may be in it, until the index is dropped; tables double, so all of those together
//! are no larger than the present one. `docs/performance.md` says what that saves.
//!
//! The file is long because what writers do and what readers may then believe is to be read side by side.

pub(crate) mod charge;

pub(crate) mod extras;
pub(crate) mod failed_attempts;
pub(crate) mod hints;
pub(crate) mod limiter;
pub(crate) mod limiters;
pub(crate) mod line;
pub(crate) mod no_address;
pub(crate) mod refusals;
pub(crate) mod refused_attempt;
pub(crate) mod restriction;
pub(crate) mod table;
#[cfg(test)]
mod tests;

mod atomic {
    //! A module of its own so that tests/loom can put Loom's atomics in its place.
    pub(super) use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering, fence};
}

use std::net::IpAddr;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

use crate::access::auth_error::AuthError;
use crate::access::grants;
use crate::access::limit::{Limit, LimitStatus};
use crate::access::network;
use crate::access::verified_key::{IdForm, VerifiedKey};
use crate::base::interner::{Full, GRANTS};
use crate::base::lock::lock;
use crate::base::store_time::Moment;
use crate::key::effective_key::{EffectiveKey, EffectiveSecret};
use crate::key::record::SecretEnd;
use crate::token::api_key;
use crate::token::api_key::Tail;
use crate::token::digest::{Digest, Digester, Half, half};
use crate::token::imported::{ImportForm, MAX_IMPORTED_BYTES};
use crate::token::key_id::KeyId;

pub(crate) use crate::access::control_word::Word;
use crate::access::control_word::{DEAD, DISABLED, EXTRA, REVOKED, SECRET_ENDS, SUPERSEDED, UNTIL_USE, UNUSED};
use crate::index::extras::{Extra, Extras, Spare};
use crate::index::limiters::{Held, Limiters};
use crate::index::line::{Entry, Line, Standing, Usage};
pub(crate) use crate::index::restriction::{Restriction, Target};
use crate::index::table::{Found, Table};

const _: () = assert!(size_of::<Line>() == 64, "a line is one cache line");

/// Doublings of the smallest table: more than memory has room for.
const DOUBLINGS: usize = 48;

pub(crate) struct Index {
    first: Table,
    /// The tables that came after the first.
    later: [OnceLock<Table>; DOUBLINGS],
    /// How many of those there are.
    current: AtomicUsize,
    extras: Extras,
    limiters: Limiters,
    shelf: Mutex<Shelf>,
    /// Names the store in what it has verified.
    store: u64,
    /// One for each pepper, the newest first, and one without.
    digesters: Box<[Way]>,
    /// The forms that imported keys are held in, and which digester each goes by. Until there is one, what is not in the
    /// store's own form is not hashed.
    imported: boxcar::Vec<(ImportForm, usize)>,
    track_use: bool,
    closed: AtomicBool,
}

struct Way {
    digester: Digester,
    /// Whether own secrets are held under it: one is, but for the time in which a pepper is changed.
    own: AtomicBool,
}

/// A line that has matched.
pub(crate) struct Match<'t> {
    found: Found<'t>,
    extra: Option<Extra>,
    half: Half,
    spot: u32,
}

/// What the one writer knows beside the table.
#[derive(Default)]
struct Shelf {
    /// Lines that are not empty.
    filled: usize,
    spare: Spare,
    held: Held,
}

impl Index {
    /// An empty index with room for `keys`. The last of `digesters` is the one for new secrets.
    pub(crate) fn new(store: u64, keys: usize, digesters: Vec<Digester>, track_use: bool) -> Self {
        let ways = digesters.into_iter().rev().enumerate();
        let digesters = ways.map(|(at, digester)| Way { digester, own: AtomicBool::new(at == 0) }).collect();
        Self {
            first: Table::for_keys(keys),
            later: [const { OnceLock::new() }; DOUBLINGS],
            current: AtomicUsize::new(0),
            extras: Extras::default(),
            limiters: Limiters::default(),
            shelf: Mutex::default(),
            store,
            digesters,
            imported: boxcar::Vec::new(),
            track_use,
            closed: AtomicBool::new(false),
        }
    }

    #[inline]
    fn table(&self) -> &Table {
        let later = self.current.load(Ordering::Acquire).checked_sub(1);
        later.and_then(|at| self.later.get(at)?.get()).unwrap_or(&self.first)
    }

    /// The number of the store that it is the index of.
    pub(crate) fn store(&self) -> u64 {
        self.store
    }

    /// The line of one of the store's own secrets. In line also where it is called from two places: a call costs a
    /// verification a tenth.
    #[inline(always)]
    pub(crate) fn find_own(&self, token: &Tail) -> Option<Match<'_>> {
        let spot = crate::index::table::own_spot(api_key::id_chars(api_key::body(token)));
        let table = self.table();
        // The lines travel from memory while the hash runs.
        table.touch(spot);
        for way in self.digesters.iter().filter(|way| way.own.load(Ordering::Acquire)) {
            let digest = way.digester.presented(token);
            if let Some((found, extra)) = self.look(table, |table| table.find(spot, &digest)) {
                return Some(Match { found, extra, half: half(&digest), spot });
            }
        }
        None
    }

    /// Whether a token that is not in the store's own form can be one of its keys at all.
    #[inline]
    pub(crate) fn may_be_imported(&self, token: &[u8]) -> bool {
        self.imported.count() > 0 && token.len() <= MAX_IMPORTED_BYTES
    }

    /// The line of a key issued elsewhere, and the key's id.
    #[cold]
    pub(crate) fn find_imported(&self, token: &[u8]) -> Option<(Match<'_>, KeyId)> {
        let table = self.table();
        self.imported.iter().find_map(|(_, (form, by))| {
            let digest = self.digesters.get(*by)?.digester.imported(&form.digest(token)?);
            let half = half(&digest);
            let spot = crate::index::table::imported_spot(&half);
            let (found, extra) = self.look(table, |table| table.find(spot, &digest))?;
            Some((Match { found, extra, half, spot }, KeyId::from_u128(extra?.id)))
        })
    }

    /// The state of the key that has matched, whether it is good for this peer, and whether its limit is used up. A key
    /// that is good is counted as used.
    ///
    /// # Errors
    /// The key is not good now.
    #[inline]
    pub(crate) fn check_use(&self, matched: &Match<'_>, at: Moment, peer: Option<&IpAddr>) -> Result<(), AuthError> {
        state(matched.found.standing.control, matched.extra, at.now)?;
        // By value: an extra whose address is taken is put together in memory, also where there is none.
        if let Some(Extra { networks, limiter, .. }) = matched.extra {
            self.admit(networks, limiter, at.raw, peer)?;
        }
        if self.track_use {
            matched.found.line.note_use(matched.spot, u32::try_from(at.now / 1000).unwrap_or(0));
        }
        Ok(())
    }

    /// The state alone, for who only asks: it is no use of the key, and neither its address nor its limit is looked at.
    ///
    /// # Errors
    /// The key is not good now.
    pub(crate) fn check_state(&self, matched: &Match<'_>, now: i64) -> Result<(), AuthError> {
        state(matched.found.standing.control, matched.extra, now)
    }

    #[cold]
    fn admit(&self, networks: u32, limiter: u32, raw: i64, peer: Option<&IpAddr>) -> Result<(), AuthError> {
        if !network::admits(networks, peer.copied()) {
            return Err(AuthError::AddressNotAllowed);
        }
        match (limiter, self.limiters.get(limiter)) {
            (0, _) => Ok(()),
            (_, Some(limiter)) => limiter
                .admit(raw)
                .map_err(|(limit, retry_after)| AuthError::RateLimited { retry_after, limit: Some(limit) }),
            (_, None) => Err(AuthError::Unavailable),
        }
    }

    /// Where the key stands with its limit, by the raw clock; `None` if it has none, or is not here any more.
    pub(crate) fn limit_status(&self, key: &VerifiedKey, raw: impl FnOnce() -> i64) -> Option<LimitStatus> {
        if !key.word.has_extra() {
            return None;
        }
        let (_, extra) = self.look(self.table(), |table| table.find_again(spot_of(key), &key.half))?;
        self.limiters.get(extra?.limiter)?.status(raw())
    }

    /// The proof, for a line that was judged good.
    #[inline]
    pub(crate) fn verified_key(&self, matched: &Match<'_>, id: IdForm) -> VerifiedKey {
        let Standing { control, owner, grants, version, .. } = matched.found.standing;
        VerifiedKey { id, half: matched.half, store: self.store, word: Word(control), owner, grants, version }
    }

    /// Whether a key verified earlier is still good, with the same secret.
    ///
    /// # Errors
    /// As [`check_state`](Self::check_state), and [`AuthError::Invalid`] if its secret has ended.
    pub(crate) fn recheck(&self, key: &VerifiedKey, now: i64) -> Result<(), AuthError> {
        let (found, extra) =
            self.look(self.table(), |table| table.find_again(spot_of(key), &key.half)).ok_or(AuthError::Invalid)?;
        state(found.standing.control, extra, now)
    }

    /// A line and its extra, as they stood together at one moment.
    #[inline(always)]
    fn look<'t>(
        &'t self,
        mut table: &'t Table,
        find: impl Fn(&'t Table) -> Option<Found<'t>>,
    ) -> Option<(Found<'t>, Option<Extra>)> {
        loop {
            let found = find(table)?;
            if found.standing.control & EXTRA == 0 {
                return Some((found, None));
            }
            let extra = self.extras.read(found.standing.extra);
            // The lines of a table that was left stay as they were, whoever has their extras now.
            let still = found.line.is_still(found.standing.control);
            let current = self.table();
            if still && ptr::eq(current, table) {
                return Some((found, extra));
            }
            table = current;
        }
    }

    /// Ends what the first use of a secret ends. `false` if somebody else was first.
    pub(crate) fn promote(&self, key: &VerifiedKey) -> bool {
        let (mut shelf, table) = self.lock();
        let find = || table.find_again(spot_of(key), &key.half);
        let Some(Found { standing, .. }) = find().filter(|found| found.standing.control & UNUSED != 0) else {
            return false;
        };
        if standing.control & EXTRA != 0
            && let Some((spot, ended)) = shelf.spare.ended_by(standing.extra)
        {
            shelf.kill(table, spot, &ended);
        }
        // Its line may have moved.
        if let Some(found) = find() {
            found.line.clear_unused();
        }
        true
    }

    /// Ends a secret unless it has been used since it succeeded another; whether that was so.
    pub(crate) fn remove_unused(&self, rights: &EffectiveKey, secret: &EffectiveSecret) -> bool {
        let (mut shelf, table) = self.lock();
        let spot = spot(rights.id, secret);
        let found = table.find(spot, &secret.digest);
        if found.is_some_and(|found| found.standing.control & UNUSED == 0) {
            return false;
        }
        shelf.kill(table, spot, &secret.digest);
        true
    }

    /// Whether a secret whose first use is noted has been used; `true` for one whose first use is not noted. One that is
    /// not visible yet is unused.
    pub(crate) fn is_used(&self, id: u128, secret: &EffectiveSecret) -> bool {
        let (_shelf, table) = self.lock();
        let found = table.find(spot(id, secret), &secret.digest);
        found.is_some_and(|found| found.standing.control & UNUSED == 0)
    }

    /// Takes away at once what a change takes away, and gives nothing.
    pub(crate) fn restrict(&self, before: &EffectiveKey, after: Option<&EffectiveKey>) -> Result<(), Full> {
        let (mut shelf, table) = self.lock();
        let limiter = after.map_or(0, |after| self.tighten(&mut shelf, before.id, after.limit));
        for old in &before.secrets {
            let spot = spot(before.id, old);
            let Some(Found { line, standing: visible }) = table.find(spot, &old.digest) else { continue };
            let kept =
                after.and_then(|after| Some((after, after.secrets.iter().find(|new| new.digest == old.digest)?)));
            let Some((after, secret)) = kept else {
                shelf.kill(table, spot, &old.digest);
                continue;
            };
            // A rotation that the disk refuses must not end the old secret: nobody has the new one. So ends stay as
            // they are visible.
            let secret = EffectiveSecret { end: SecretEnd::Never, unused: false, ..secret.clone() };
            // Against what is visible, not against the record: that may be ahead of the disk.
            let grants = match visible.grants == after.grants {
                true => visible.grants,
                false => GRANTS.number(&grants::common(GRANTS.text(visible.grants), GRANTS.text(after.grants)))?,
            };
            let control = crate::access::control_word::stricter(visible.control, control_word(after, &secret));
            let held = self.extra_of(&visible);
            let mut content = held.unwrap_or_else(|| Extra::none(after.id));
            content.networks = network::common(content.networks, after.networks)?;
            content.limiter = limiter;
            self.set_line(&mut shelf, line, &Standing { control, grants, ..visible }, content, None);
        }
        Ok(())
    }

    /// Makes the limit of a key no wider than this, at once; the number of its limiter.
    fn tighten(&self, shelf: &mut Shelf, id: u128, limit: Option<Limit>) -> u32 {
        let limit = Limit::common_of(self.limiters.limit(&shelf.held, id), limit);
        self.limiters.set(&mut shelf.held, id, limit)
    }

    fn extra_of(&self, standing: &Standing) -> Option<Extra> {
        if standing.control & EXTRA == 0 { None } else { self.extras.read(standing.extra) }
    }

    /// Brings a line to a standing, and its extra to a content; one that was there already stays if it is the same.
    fn set_line(&self, shelf: &mut Shelf, line: &Line, new: &Standing, content: Extra, ends: Option<(u32, Digest)>) {
        let was = Standing { control: line.control(), ..*new };
        let held = was.control & EXTRA != 0;
        let before = self.extra_of(&was);
        let held_ends = shelf.spare.ended_by(new.extra).filter(|_| held);
        let ends = ends.or(held_ends);
        let same = before == Some(content) && ends == held_ends;
        // A line without an extra needs none for what every key has.
        if same || (!held && content.is_empty() && ends.is_none()) {
            line.update(Standing { control: new.control & !EXTRA | was.control & EXTRA, ..*new });
            return;
        }
        let extra = self.extras.add(&mut shelf.spare, content, ends);
        line.update(Standing { control: new.control | EXTRA, extra, ..*new });
        if held {
            shelf.spare.give_back(new.extra);
        }
    }

    /// Makes a durable change visible: updates the secrets that were there before it, puts in the others. One that
    /// was there before and is gone has ended meanwhile, and stays so.
    pub(crate) fn publish(&self, before: Option<&EffectiveKey>, after: Option<&EffectiveKey>) {
        let (mut shelf, table) = self.lock();
        let Some(after) = after else {
            if let Some(before) = before {
                shelf.kill_all(table, before);
                shelf.held.give_back(before.id);
            }
            return;
        };
        let limiter = self.limiters.set(&mut shelf.held, after.id, after.limit);
        if let Some(before) = before {
            self.update(&mut shelf, table, after, before, limiter);
        }
        let known = before.map(EffectiveKey::digests).unwrap_or_default();
        for secret in after.secrets.iter().filter(|secret| !known.contains(&secret.digest)) {
            self.insert(&mut shelf, after, secret, 0, limiter);
        }
        if limiter == 0 {
            shelf.held.give_back(after.id);
        }
    }

    /// Puts a stored key in while the store is opened.
    pub(crate) fn load(&self, rights: &EffectiveKey, used: impl Fn(&Digest) -> u32) {
        let (mut shelf, _) = self.lock();
        let limiter = self.limiters.set(&mut shelf.held, rights.id, rights.limit);
        for secret in &rights.secrets {
            let used = used(&secret.digest);
            self.insert(&mut shelf, rights, secret, used, limiter);
        }
    }

    fn insert(&self, shelf: &mut Shelf, rights: &EffectiveKey, secret: &EffectiveSecret, used: u32, limiter: u32) {
        self.make_readable(secret);
        if shelf.filled >= self.table().room() {
            self.add_table(self.table().larger());
        }
        let mut control = control_word(rights, secret);
        let mut extra = 0;
        let ends = ends_of(rights, secret);
        let secret_end = secret_end(rights, secret);
        let (id, not_before, networks) = (rights.id, rights.not_before, rights.networks);
        let content = Extra { id, not_before, secret_end, networks, limiter };
        if secret.imported.is_some() || ends.is_some() || !content.is_empty() {
            control |= EXTRA;
            extra = self.extras.add(&mut shelf.spare, content, ends);
        }
        self.table().insert(&Entry {
            digest: secret.digest,
            standing: Standing { control, owner: rights.owner, grants: rights.grants, version: secret.version, extra },
            usage: Usage::new(spot(rights.id, secret), used),
        });
        shelf.filled += 1;
    }

    /// Sees to it that readers know the way this secret is read. Before its line is there.
    fn make_readable(&self, secret: &EffectiveSecret) {
        let held = |way: &Way| way.digester.pepper() == secret.pepper;
        let Some((by, way)) = self.digesters.iter().enumerate().find(|(_, way)| held(way)) else { return };
        match secret.imported {
            None if !way.own.load(Ordering::Relaxed) => way.own.store(true, Ordering::Release),
            Some(form) if !self.imported.iter().any(|(_, known)| *known == (form, by)) => {
                self.imported.push((form, by));
            }
            _ => {}
        }
    }

    /// Puts a table in front.
    fn add_table(&self, table: Table) {
        let at = self.current.load(Ordering::Relaxed);
        if let Some(place) = self.later.get(at) {
            place.get_or_init(|| table);
            self.current.store(at + 1, Ordering::Release);
        }
    }

    /// Forgets everything: every verification fails from now on.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let (mut shelf, _) = self.lock();
        shelf.filled = 0;
        self.add_table(Table::for_keys(0));
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The last second in which any of the key's live secrets was used.
    pub(crate) fn last_used(&self, rights: &EffectiveKey) -> Option<i64> {
        let table = self.table();
        let found = rights.secrets.iter().filter_map(|secret| table.find(spot(rights.id, secret), &secret.digest));
        let last = found.map(|found| found.line.usage().second()).max();
        last.filter(|second| *second > 0).map(|second| i64::from(second) * 1000)
    }

    /// Every live secret used since the last call, by the first half of its digest, with the second of use.
    pub(crate) fn take_uses(&self, mut each: impl FnMut(Half, u32)) {
        const CHUNK: usize = 4096;
        let mut seen = None;
        let mut at = 0;
        loop {
            // No table may grow meanwhile: a note taken from the old one would stand in the new. In chunks, so that a
            // revocation does not wait for the whole. An entry that moves up between two chunks waits for the next call.
            let (shelf, table) = self.lock();
            let current = self.current.load(Ordering::Relaxed);
            if seen != Some(current) {
                seen = Some(current);
                at = 0;
            }
            let Some(chunk) = table.lines().get(at..).filter(|left| !left.is_empty()) else { return };
            for line in chunk.iter().take(CHUNK).filter(|line| line.take_note()) {
                if let Some(entry) = line.entry() {
                    each(half(&entry.digest), entry.usage.second());
                }
            }
            at += CHUNK;
            drop(shelf);
        }
    }

    /// Whether one of the key's secrets is not here, or not any more.
    pub(crate) fn lacks_any(&self, rights: &EffectiveKey) -> bool {
        let table = self.table();
        rights.secrets.iter().any(|secret| table.find(spot(rights.id, secret), &secret.digest).is_none())
    }

    /// The secrets that the first use of their successor has ended.
    pub(crate) fn ended_by_use(&self, rights: &EffectiveKey) -> Vec<Digest> {
        let table = self.table();
        let until_use = rights.secrets.iter().filter(|secret| secret.end == SecretEnd::FirstUse);
        let ended = until_use.filter(|secret| table.find(spot(rights.id, secret), &secret.digest).is_none());
        ended.map(|secret| secret.digest).collect()
    }

    /// The right to write, and the table that is current for as long as that is held.
    fn lock(&self) -> (MutexGuard<'_, Shelf>, &Table) {
        // A panic between two stores leaves the table readable: every single store does.
        let shelf = lock(&self.shelf);
        (shelf, self.table())
    }

    /// Brings the lines of `before` to what `rights` says; a secret that is not in `rights` ends.
    fn update(&self, shelf: &mut Shelf, table: &Table, rights: &EffectiveKey, before: &EffectiveKey, limiter: u32) {
        for old in &before.secrets {
            let spot = spot(before.id, old);
            let Some(Found { line, standing }) = table.find(spot, &old.digest) else { continue };
            let Some(secret) = rights.secrets.iter().find(|secret| secret.digest == old.digest) else {
                shelf.kill(table, spot, &old.digest);
                continue;
            };
            // Whether it was used is known better here than in the record.
            let control = control_word(rights, secret) & !UNUSED | standing.control & UNUSED;
            let not_before = self.extra_of(&standing).and_then(|extra| extra.not_before);
            let secret_end = secret_end(rights, secret);
            let content = Extra { id: rights.id, not_before, secret_end, networks: rights.networks, limiter };
            // Which secret its first use ends may be another one now: one that waited for its delivery can have become
            // the current one meanwhile.
            let ends = ends_of(rights, secret).filter(|_| control & UNUSED != 0);
            self.set_line(shelf, line, &Standing { control, grants: rights.grants, ..standing }, content, ends);
        }
    }
}

/// The order in which a state is told. Nothing of it is looked at before the digest has matched.
#[inline]
fn state(control: u64, extra: Option<Extra>, now: i64) -> Result<(), AuthError> {
    if control & EXTRA != 0 && extra.is_none() {
        return Err(AuthError::Unavailable);
    }
    let over = crate::access::control_word::time(control).is_some_and(|end| end <= now);
    let ended = || extra.and_then(|extra| extra.secret_end).is_some_and(|end| end <= now);
    if control & DEAD != 0 || (over && (control & SECRET_ENDS != 0 || ended())) {
        return Err(AuthError::Invalid);
    }
    if control & (REVOKED | DISABLED) != 0 {
        return Err(if control & REVOKED != 0 { AuthError::Revoked } else { AuthError::Disabled });
    }
    if over {
        return Err(AuthError::Expired);
    }
    match extra.and_then(|extra| extra.not_before) {
        Some(start) if now < start => Err(AuthError::NotYetValid),
        _ => Ok(()),
    }
}

impl Match<'_> {
    /// The number of the key's set of grants.
    #[inline]
    pub(crate) fn grants(&self) -> u32 {
        self.found.standing.grants
    }

    /// Whether the key may be used from this address.
    pub(crate) fn admits(&self, peer: IpAddr) -> bool {
        self.extra.is_none_or(|extra| network::admits(extra.networks, Some(peer)))
    }

    /// The number of the key's owner.
    pub(crate) fn owner(&self) -> u32 {
        self.found.standing.owner
    }

    /// Whether the secret succeeds another and was never used.
    #[inline]
    pub(crate) fn is_first_use(&self) -> bool {
        self.found.standing.control & UNUSED != 0
    }
}

impl Shelf {
    fn kill_all(&mut self, table: &Table, rights: &EffectiveKey) {
        rights.secrets.iter().for_each(|secret| self.kill(table, spot(rights.id, secret), &secret.digest));
    }

    fn kill(&mut self, table: &Table, spot: u32, digest: &Digest) {
        let Some(slot) = table.slot_of(spot, digest) else { return };
        let extra = table.lines().get(slot).filter(|line| line.control() & EXTRA != 0).map(Line::extra);
        table.remove(slot);
        self.filled = self.filled.saturating_sub(1);
        if let Some(extra) = extra {
            self.spare.give_back(extra);
        }
    }
}

fn spot(id: u128, secret: &EffectiveSecret) -> u32 {
    match secret.imported {
        None => crate::index::table::own_spot(&crate::base::base62::encode_u128(id)),
        Some(_) => crate::index::table::imported_spot(&half(&secret.digest)),
    }
}

fn spot_of(key: &VerifiedKey) -> u32 {
    match &key.id {
        IdForm::Written(id) => crate::index::table::own_spot(id),
        IdForm::Known(_) => crate::index::table::imported_spot(&key.half),
    }
}

/// Where the secret is that the first use of this one ends, and its digest.
fn ends_of(rights: &EffectiveKey, secret: &EffectiveSecret) -> Option<(u32, Digest)> {
    let digest = secret.ends?;
    let older = rights.secrets.iter().find(|older| older.digest == digest)?;
    Some((spot(rights.id, older), digest))
}

/// The secret's end, if its key ends earlier.
fn secret_end(rights: &EffectiveKey, secret: &EffectiveSecret) -> Option<i64> {
    match (secret.end, rights.end_for(secret)) {
        (SecretEnd::At(end), Some(expires)) if expires < end => Some(end),
        _ => None,
    }
}

fn control_word(rights: &EffectiveKey, secret: &EffectiveSecret) -> u64 {
    let flag = |flag, on| if on { flag } else { 0 };
    let (end, ends) = match (secret.end, rights.end_for(secret)) {
        (SecretEnd::At(end), expires) if expires.is_none_or(|expires| end <= expires) => (Some(end), true),
        (_, expires) => (expires, false),
    };
    let flags = flag(REVOKED, rights.revoked)
        | flag(DISABLED, rights.disabled)
        | flag(SUPERSEDED, matches!(secret.end, SecretEnd::At(_) | SecretEnd::FirstUse))
        | flag(UNTIL_USE, secret.end == SecretEnd::FirstUse)
        | flag(UNUSED, secret.unused)
        | flag(SECRET_ENDS, ends);
    crate::access::control_word::with_time(flags, end)
}
