//! The keys in memory: all that a verification looks at.
//!
//! Readers take no lock: they hold the current table for the time of one look-up. Changes are made by one writer at a
//! time (the shelf), in place, or by putting a larger table in front.

mod cut;
mod line;
mod table;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::auth_error::AuthError;
use crate::digest::{Digest, Digester};
use crate::grants;
use crate::imported::{ImportForm, MAX_IMPORTED_BYTES};
use crate::intern::{Full, GRANTS};
use crate::key_id::KeyId;
use crate::record::SecretEnd;
use crate::rights::{Rights, SecretRights};
use crate::token::{self, BODY_CHARS};
use crate::verified::{IdForm, Superseded, VerifiedKey};

pub(crate) use cut::{Cut, Target};
use line::{DISABLED, EXTRA, Entry, Line, REVOKED, SECRET_ENDS, SUPERSEDED, Standing, UNTIL_USE, UNUSED};
use table::{Extra, Table};

pub(crate) struct Index {
    table: ArcSwap<Table>,
    shelf: Mutex<Shelf>,
    /// Names the store in what it has verified.
    store: u64,
    /// Without a pepper, and one for each.
    digesters: Vec<Digester>,
    track_use: bool,
    /// Set with the first imported key, for good: until then what is not in the store's own form is not hashed.
    holds_imported: AtomicBool,
    closed: AtomicBool,
}

/// What the one writer knows beside the table.
struct Shelf {
    table: Arc<Table>,
    /// Lines that are not empty, dead ones included.
    filled: usize,
}

/// A verified key, and whether this is the first use of a secret that succeeded another.
pub(crate) type Verdict = Result<(VerifiedKey, bool), AuthError>;

impl Index {
    /// An empty index with room for `keys`. The last of `digesters` is the one for new secrets.
    pub(crate) fn new(store: u64, keys: usize, digesters: Vec<Digester>, track_use: bool) -> Self {
        let own = digesters.last().cloned().into_iter().collect();
        let table = Arc::new(Table::for_keys(keys, own, Vec::new()));
        let shelf = Mutex::new(Shelf { table: table.clone(), filled: 0 });
        Self {
            table: ArcSwap::new(table),
            shelf,
            store,
            digesters,
            track_use,
            holds_imported: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// Verifies one of the store's own secrets.
    #[inline]
    pub(crate) fn verify_own(&self, body: &[u8; BODY_CHARS], now: i64) -> Verdict {
        let table = self.table.load();
        let id = token::id_chars(body);
        let spot = table::own_spot(id);
        // The line travels from memory while the hash runs.
        table.first(spot).touch();
        for digester in &table.own {
            let digest = digester.own(body);
            if let Some(line) = table.find(spot, &digest) {
                return self.judge(&table, line, spot, digest, Some(IdForm::Written(*id)), now);
            }
        }
        Err(AuthError::Invalid)
    }

    /// Whether a token that is not in the store's own form can be one of its keys at all.
    #[inline]
    pub(crate) fn may_be_imported(&self, token: &[u8]) -> bool {
        self.holds_imported.load(Ordering::Acquire) && token.len() <= MAX_IMPORTED_BYTES
    }

    /// Verifies a key issued elsewhere.
    pub(crate) fn verify_imported(&self, token: &[u8], now: i64) -> Verdict {
        let table = self.table.load();
        for (form, digester) in &table.imported {
            let Some(given) = form.digest(token) else { continue };
            let digest = digester.imported(&given);
            let spot = table::imported_spot(&digest);
            if let Some(line) = table.find(spot, &digest) {
                return self.judge(&table, line, spot, digest, None, now);
            }
        }
        Err(AuthError::Invalid)
    }

    /// Whether a key verified earlier is still good, with the same secret.
    pub(crate) fn recheck(&self, key: &VerifiedKey, now: i64) -> Result<(), AuthError> {
        let table = self.table.load();
        let line = table.find(key.spot, &key.digest).ok_or(AuthError::Invalid)?;
        self.state(&table, line.standing(), now).map(|_| ())
    }

    #[inline]
    fn judge(&self, table: &Table, line: &Line, spot: u32, digest: Digest, id: Option<IdForm>, now: i64) -> Verdict {
        let standing = line.standing();
        let extra = self.state(table, standing, now)?;
        let Standing { control, owner, grants, .. } = standing;
        let id = match (id, extra) {
            (Some(id), _) => id,
            (None, Some(extra)) => IdForm::Known(KeyId::from_u128(extra.id)),
            (None, None) => return Err(AuthError::Invalid),
        };
        let version = line.version();
        if self.track_use {
            line.note_use(u32::try_from(now / 1000).unwrap_or(0));
        }
        let superseded = match line::time(control) {
            _ if control & SUPERSEDED == 0 => Superseded::No,
            Some(end) if control & UNTIL_USE == 0 => Superseded::Until(end),
            _ => Superseded::UntilUse,
        };
        let key = VerifiedKey { id, digest, spot, store: self.store, owner, grants, version, superseded };
        Ok((key, control & UNUSED != 0))
    }

    /// The order in which a state is told. Nothing of it is looked at before the digest has matched.
    #[inline]
    fn state<'t>(&self, table: &'t Table, standing: Standing, now: i64) -> Result<Option<&'t Extra>, AuthError> {
        let Standing { control, extra, .. } = standing;
        let extra = match control & EXTRA {
            0 => None,
            _ => Some(table.extra(extra).ok_or(AuthError::Unavailable)?),
        };
        let over = line::time(control).is_some_and(|end| end <= now);
        let ended = || extra.and_then(|extra| extra.secret_end).is_some_and(|end| end <= now);
        if control & line::DEAD != 0 || (over && (control & SECRET_ENDS != 0 || ended())) {
            return Err(AuthError::Invalid);
        }
        if control & (REVOKED | DISABLED) != 0 {
            return Err(if control & REVOKED != 0 { AuthError::Revoked } else { AuthError::Disabled });
        }
        if over {
            return Err(AuthError::Expired);
        }
        let Some(extra) = extra else { return Ok(None) };
        if extra.not_before.is_some_and(|start| now < start) {
            return Err(AuthError::Inactive);
        }
        Ok(Some(extra))
    }

    /// Ends what the first use of a secret ends. `false` if somebody else was first.
    pub(crate) fn promote(&self, key: &VerifiedKey) -> bool {
        let shelf = self.lock();
        let Some(line) = shelf.table.find(key.spot, &key.digest) else { return false };
        if line.control() & UNUSED == 0 {
            return false;
        }
        let extra = shelf.table.extra(line.extra()).filter(|_| line.control() & EXTRA != 0);
        if let Some((spot, ended)) = extra.and_then(|extra| extra.ends) {
            shelf.kill(spot, &ended);
        }
        line.clear_unused();
        true
    }

    /// Ends a secret unless it has been used since it succeeded another; whether that was so.
    pub(crate) fn kill_unused(&self, rights: &Rights, secret: &SecretRights) -> bool {
        let shelf = self.lock();
        match shelf.table.find(spot(rights.id, secret), &secret.digest) {
            Some(line) if line.control() & UNUSED == 0 => false,
            Some(line) => {
                line.kill();
                true
            }
            None => true,
        }
    }

    /// Takes away at once what a change takes away, and gives nothing.
    pub(crate) fn restrict(&self, before: &Rights, after: Option<&Rights>) -> Result<(), Full> {
        let shelf = self.lock();
        for old in &before.secrets {
            let Some(line) = shelf.table.find(spot(before.id, old), &old.digest) else { continue };
            let kept =
                after.and_then(|after| Some((after, after.secrets.iter().find(|new| new.digest == old.digest)?)));
            let Some((after, secret)) = kept else {
                line.kill();
                continue;
            };
            // A rotation that the disk refuses must not end the old secret: nobody has the new one. So ends stay as
            // they are visible.
            let secret = SecretRights { end: SecretEnd::Never, unused: false, ..secret.clone() };
            // Against what is visible, not against the record: that may be ahead of the disk.
            let visible = line.standing();
            let grants = match visible.grants == after.grants {
                true => visible.grants,
                false => GRANTS.number(&grants::common(GRANTS.text(visible.grants), GRANTS.text(after.grants)))?,
            };
            let control = line::stricter(visible.control, control(after, &secret));
            line.update(Standing { control, grants, ..visible });
        }
        Ok(())
    }

    /// Makes a durable change visible: updates the secrets that were there before it, puts in the others. One that
    /// was there before and is gone has ended meanwhile, and stays so.
    pub(crate) fn settle(&self, before: Option<&Rights>, after: Option<&Rights>) {
        let mut shelf = self.lock();
        let Some(after) = after else {
            before.into_iter().for_each(|before| shelf.kill_all(before));
            return;
        };
        if let Some(before) = before {
            shelf.update(after, before);
        }
        let known = before.map(Rights::digests).unwrap_or_default();
        for secret in after.secrets.iter().filter(|secret| !known.contains(&secret.digest)) {
            self.insert(&mut shelf, after, secret, 0);
        }
    }

    /// Puts a stored key in while the store is opened.
    pub(crate) fn load(&self, rights: &Rights, used: impl Fn(&Digest) -> u32) {
        let mut shelf = self.lock();
        for secret in &rights.secrets {
            let used = used(&secret.digest);
            self.insert(&mut shelf, rights, secret, used);
        }
    }

    fn insert(&self, shelf: &mut Shelf, rights: &Rights, secret: &SecretRights, used: u32) {
        self.make_readable(shelf, secret);
        if shelf.filled >= shelf.table.room() {
            let live = shelf.table.lines().iter().filter(|line| line.entry().is_some()).count();
            self.replace(shelf, live + 1, shelf.table.own.clone(), shelf.table.imported.clone());
        }
        let spot = spot(rights.id, secret);
        let mut control = control(rights, secret);
        let mut extra = 0;
        let ends = secret.ends.and_then(|digest| {
            let older = rights.secrets.iter().find(|older| older.digest == digest)?;
            Some((self::spot(rights.id, older), digest))
        });
        let secret_end = secret_end(rights, secret);
        if secret.imported.is_some() || rights.not_before.is_some() || ends.is_some() || secret_end.is_some() {
            control |= EXTRA;
            extra = shelf.table.add_extra(Extra { id: rights.id, not_before: rights.not_before, ends, secret_end });
        }
        shelf.table.insert(&Entry {
            digest: secret.digest,
            control,
            owner: rights.owner,
            grants: rights.grants,
            version: secret.version,
            used,
            noted: false,
            extra,
            spot,
        });
        shelf.filled += 1;
    }

    /// Sees to it that the table names the way this secret is read.
    fn make_readable(&self, shelf: &mut Shelf, secret: &SecretRights) {
        let Some(digester) = self.digesters.iter().find(|digester| digester.pepper() == secret.pepper) else { return };
        let (mut own, mut imported) = (shelf.table.own.clone(), shelf.table.imported.clone());
        match secret.imported {
            None if !own.iter().any(|held| held.pepper() == secret.pepper) => own.push(digester.clone()),
            Some(form) if !imported.iter().any(|(held, by)| *held == form && by.pepper() == secret.pepper) => {
                imported.push((form, digester.clone()));
            }
            _ => return,
        }
        let room = shelf.table.room();
        self.replace(shelf, room, own, imported);
        // After the table that can read it.
        self.holds_imported.fetch_or(secret.imported.is_some(), Ordering::Release);
    }

    fn replace(&self, shelf: &mut Shelf, keys: usize, own: Vec<Digester>, imported: Vec<(ImportForm, Digester)>) {
        let larger = Arc::new(Table::for_keys(keys, own, imported));
        shelf.table.copy_to(&larger);
        shelf.filled = larger.lines().iter().filter(|line| line.entry().is_some()).count();
        shelf.table = larger.clone();
        self.table.store(larger);
    }

    /// Forgets everything: every verification fails from now on.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let mut shelf = self.lock();
        shelf.table = Arc::new(Table::for_keys(0, Vec::new(), Vec::new()));
        shelf.filled = 0;
        self.table.store(shelf.table.clone());
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The last second in which any of the key's live secrets was used.
    pub(crate) fn last_used(&self, rights: &Rights) -> Option<i64> {
        let table = self.table.load();
        let lines = rights.secrets.iter().filter_map(|secret| table.find(spot(rights.id, secret), &secret.digest));
        lines.map(Line::used).max().filter(|second| *second > 0).map(|second| i64::from(second) * 1000)
    }

    /// Every live secret used since the last call, by the first half of its digest, with the second of use.
    pub(crate) fn take_uses(&self, mut each: impl FnMut([u8; 16], u32)) {
        const CHUNK: usize = 4096;
        let mut seen: Option<Arc<Table>> = None;
        let mut at = 0;
        loop {
            // No table may grow meanwhile: a note taken from the old one would stand in the new. In chunks, so that a
            // revocation does not wait for the whole.
            let shelf = self.lock();
            if seen.as_ref().is_none_or(|seen| !Arc::ptr_eq(seen, &shelf.table)) {
                seen = Some(shelf.table.clone());
                at = 0;
            }
            let Some(chunk) = shelf.table.lines().get(at..).filter(|left| !left.is_empty()) else { return };
            for line in chunk.iter().take(CHUNK).filter(|line| line.take_note()) {
                if let Some(entry) = line.entry()
                    && let Some((half, _)) = entry.digest.split_first_chunk()
                {
                    each(*half, entry.used);
                }
            }
            at += CHUNK;
        }
    }

    /// Whether one of the key's secrets is not here, or not any more.
    pub(crate) fn lacks_any(&self, rights: &Rights) -> bool {
        let table = self.table.load();
        rights.secrets.iter().any(|secret| table.find(spot(rights.id, secret), &secret.digest).is_none())
    }

    /// The secrets that the first use of their successor has ended.
    pub(crate) fn ended_by_use(&self, rights: &Rights) -> Vec<Digest> {
        let table = self.table.load();
        let until_use = rights.secrets.iter().filter(|secret| secret.end == SecretEnd::FirstUse);
        let ended = until_use.filter(|secret| table.find(spot(rights.id, secret), &secret.digest).is_none());
        ended.map(|secret| secret.digest).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        // A panic between two stores leaves the table readable: every single store does.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    /// Brings the lines of `before` to what `rights` says; a secret that is not in `rights` ends.
    fn update(&self, rights: &Rights, before: &Rights) {
        for old in &before.secrets {
            let spot = spot(before.id, old);
            let Some(line) = self.table.find(spot, &old.digest) else { continue };
            let Some(secret) = rights.secrets.iter().find(|secret| secret.digest == old.digest) else {
                line.kill();
                continue;
            };
            // Whether it was used is known better here than in the record.
            let (extra, flag) = self.extra_for(line, secret_end(rights, secret));
            let kept = line.control() & (EXTRA | UNUSED);
            let control = control(rights, secret) & !UNUSED | kept | flag;
            line.update(Standing { control, owner: rights.owner, grants: rights.grants, extra });
        }
    }

    /// The number of the line's extra with this end, and the flag that says there is one.
    fn extra_for(&self, line: &Line, secret_end: Option<i64>) -> (u32, u64) {
        let number = line.extra();
        let held = self.table.extra(number).filter(|_| line.control() & EXTRA != 0);
        if held.and_then(|extra| extra.secret_end) == secret_end {
            return (number, 0);
        }
        // Extras are never written again: a reader may be looking.
        let none = Extra { id: 0, not_before: None, ends: None, secret_end };
        let extra = held.map_or(none, |held| Extra { secret_end, ..held.clone() });
        (self.table.add_extra(extra), EXTRA)
    }

    fn kill_all(&self, rights: &Rights) {
        rights.secrets.iter().for_each(|secret| self.kill(spot(rights.id, secret), &secret.digest));
    }

    fn kill(&self, spot: u32, digest: &Digest) {
        if let Some(line) = self.table.find(spot, digest) {
            line.kill();
        }
    }
}

fn spot(id: u128, secret: &SecretRights) -> u32 {
    match secret.imported {
        None => table::own_spot(&crate::base62::encode_u128(id)),
        Some(_) => table::imported_spot(&secret.digest),
    }
}

/// The secret's end, if its key ends earlier.
fn secret_end(rights: &Rights, secret: &SecretRights) -> Option<i64> {
    match (secret.end, rights.expires_at) {
        (SecretEnd::At(end), Some(expires)) if expires < end => Some(end),
        _ => None,
    }
}

fn control(rights: &Rights, secret: &SecretRights) -> u64 {
    let flag = |flag, on| if on { flag } else { 0 };
    let (end, ends) = match (secret.end, rights.expires_at) {
        (SecretEnd::At(end), expires) if expires.is_none_or(|expires| end <= expires) => (Some(end), true),
        (_, expires) => (expires, false),
    };
    let flags = flag(REVOKED, rights.revoked)
        | flag(DISABLED, rights.disabled)
        | flag(SUPERSEDED, secret.end != SecretEnd::Never)
        | flag(UNTIL_USE, secret.end == SecretEnd::FirstUse)
        | flag(UNUSED, secret.unused)
        | flag(SECRET_ENDS, ends);
    line::with_time(flags, end)
}
