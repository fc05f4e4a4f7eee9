//! Making durable changes visible.

use std::sync::atomic::Ordering;

use crate::access::control_word;
use crate::access::control_word::{DISABLED, REVOKED, SECRET_ENDS, SIDE_ENTRY, SUPERSEDED, UNTIL_USE, UNUSED};
use crate::index::line::{Entry, Line, LineState, Usage};
use crate::index::locate::secret_home;
use crate::index::side_table::SideEntry;
use crate::index::table::{LiveLine, Table};
use crate::index::writer_state::{Shared, WriterState};
use crate::index::{DigesterSlot, Index};
use crate::key::allowance::Allowance;
use crate::key::effective_key::{EffectiveKey, EffectiveSecret};
use crate::key::record::SecretEnd;
use crate::token::digest::Digest;
use crate::token::imported::ImportForm;

impl Index {
    /// Makes a durable change visible: updates the secrets that `before` had, and inserts the others. A secret of
    /// `before` that the index lacks has ended meanwhile, and stays so.
    pub(crate) fn publish(&self, before: Option<&EffectiveKey>, after: Option<&EffectiveKey>) {
        let (mut writer, table) = self.write();
        let Some(after) = after else {
            if let Some(before) = before {
                writer.remove_all(table, before);
                // Nobody may take its uses for those of a key.
                self.idle_ends.set(&mut writer.idle_ends, before.id, None, 0);
                self.quotas.set(&mut writer.quotas, before.id, None);
                writer.give_back(before.id, Shared::default());
                self.remove_rotated(before.id);
            }
            return;
        };
        self.set_rotated(after);
        let shared = self.share(&mut writer, after, 0);
        if let Some(before) = before {
            self.update(&mut writer, table, after, before, shared);
        }
        let known = before.map(EffectiveKey::digests).unwrap_or_default();
        for secret in after.secrets.iter().filter(|secret| !known.contains(&secret.digest)) {
            self.insert(&mut writer, after, secret, 0, shared);
        }
        writer.give_back(after.id, shared);
    }

    /// Sets what all secrets of a key share, at once. `used` is the second of the last use of any of them, for a key whose
    /// idle end is new here.
    pub(super) fn share(&self, writer: &mut WriterState, key: &EffectiveKey, used: u32) -> Shared {
        let Allowance { limit, quota, idle, .. } = key.allowance;
        Shared {
            limiter: self.limiters.set(&mut writer.limiters, key.id, limit),
            quota: self.quotas.set(&mut writer.quotas, key.id, quota),
            idle: self.idle_ends.set(&mut writer.idle_ends, key.id, idle, used),
        }
    }

    /// Inserts a stored key while the store is opened.
    pub(crate) fn load(&self, key: &EffectiveKey, used: impl Fn(&Digest) -> u32) {
        let (mut writer, _) = self.write();
        let last = key.secrets.iter().map(|secret| used(&secret.digest)).max();
        let shared = self.share(&mut writer, key, last.unwrap_or(0));
        for secret in &key.secrets {
            let used = used(&secret.digest);
            self.insert(&mut writer, key, secret, used, shared);
        }
        self.set_rotated(key);
    }

    pub(super) fn insert(
        &self,
        writer: &mut WriterState,
        key: &EffectiveKey,
        secret: &EffectiveSecret,
        used: u32,
        Shared { limiter, quota, idle }: Shared,
    ) {
        self.make_readable(secret.pepper, secret.imported);
        if writer.filled >= self.table().room() {
            self.add_table(self.table().larger());
        }
        let mut control = secret_control(key, secret);
        let mut side = 0;
        let successor_of = predecessor(key, secret);
        let Allowance { grants, not_before, networks, .. } = key.allowance;
        let secret_end = secret_end(key, secret);
        let content = SideEntry { id: key.id, not_before, secret_end, networks, limiter, quota, idle };
        if secret.imported.is_some() || successor_of.is_some() || !content.is_empty() {
            control |= SIDE_ENTRY;
            side = self.side_table.add(&mut writer.free_list, content, successor_of);
        }
        self.compile(writer, grants);
        self.table().insert(&Entry {
            digest: secret.digest,
            state: LineState { control, identity: secret.identity, grants, version: secret.version, side },
            usage: Usage::new(secret_home(key.id, secret), used),
        });
        writer.filled += 1;
    }

    /// Registers the digester and the form of a secret for readers, before they can find it.
    pub(super) fn make_readable(&self, pepper: u32, imported: Option<ImportForm>) {
        let has_pepper = |slot: &DigesterSlot| slot.digester.pepper() == pepper;
        let Some((by, slot)) = self.digesters.iter().enumerate().find(|(_, slot)| has_pepper(slot)) else { return };
        match imported {
            None if !slot.own.load(Ordering::Relaxed) => slot.own.store(true, Ordering::Release),
            Some(form) if !self.imported.iter().any(|(_, known)| *known == (form, by)) => {
                self.imported.push((form, by));
            }
            _ => {}
        }
    }

    /// Updates the lines of `before` to `after`, and removes the secrets that `after` does not have.
    fn update(
        &self,
        writer: &mut WriterState,
        table: &Table,
        after: &EffectiveKey,
        before: &EffectiveKey,
        Shared { limiter, quota, idle }: Shared,
    ) {
        let Allowance { grants, not_before, networks, .. } = after.allowance;
        for old in &before.secrets {
            let home = secret_home(before.id, old);
            let Some(LiveLine { line, state }) = table.find(home, &old.digest) else { continue };
            let Some(secret) = after.secrets.iter().find(|secret| secret.digest == old.digest) else {
                writer.remove(table, home, &old.digest);
                continue;
            };
            // The index knows of uses that the record does not have yet.
            let control = secret_control(after, secret) & !UNUSED | state.control & UNUSED;
            let secret_end = secret_end(after, secret);
            let content = SideEntry { id: after.id, not_before, secret_end, networks, limiter, quota, idle };
            // Its first use may end another secret now: one that waited for its delivery can have become the current
            // one meanwhile.
            let successor_of = predecessor(after, secret).filter(|_| control & UNUSED != 0);
            let new = LineState { control, identity: secret.identity, grants, ..state };
            self.set_line(writer, line, &new, content, successor_of);
        }
    }

    pub(super) fn side_entry(&self, state: &LineState) -> Option<SideEntry> {
        if state.control & SIDE_ENTRY == 0 { None } else { self.side_table.read(state.side) }
    }

    /// Sets the state of a line and the content of its side entry. An entry that has this content already stays.
    pub(super) fn set_line(
        &self,
        writer: &mut WriterState,
        line: &Line,
        new: &LineState,
        content: SideEntry,
        successor_of: Option<(u32, Digest)>,
    ) {
        self.compile(writer, new.grants);
        let current = LineState { control: line.control(), ..*new };
        let has_entry = current.control & SIDE_ENTRY != 0;
        let entry = self.side_entry(&current);
        let known_predecessor = writer.free_list.ended_by(new.side).filter(|_| has_entry);
        let successor_of = successor_of.or(known_predecessor);
        let same = entry == Some(content) && successor_of == known_predecessor;
        // A line needs no side entry for default values.
        if same || (!has_entry && content.is_empty() && successor_of.is_none()) {
            line.update(LineState { control: new.control & !SIDE_ENTRY | current.control & SIDE_ENTRY, ..*new });
            return;
        }
        let side = self.side_table.add(&mut writer.free_list, content, successor_of);
        line.update(LineState { control: new.control | SIDE_ENTRY, side, ..*new });
        if has_entry {
            writer.free_list.give_back(new.side);
        }
    }
}

/// The home and the digest of the secret that the first use of this one ends.
pub(super) fn predecessor(key: &EffectiveKey, secret: &EffectiveSecret) -> Option<(u32, Digest)> {
    let digest = secret.ends?;
    let older = key.secrets.iter().find(|older| older.digest == digest)?;
    Some((secret_home(key.id, older), digest))
}

/// The secret's end, if its key ends earlier: the line has room for one time.
pub(super) fn secret_end(key: &EffectiveKey, secret: &EffectiveSecret) -> Option<i64> {
    match (secret.end, key.end_for(secret)) {
        (SecretEnd::At(end), Some(expires)) if expires < end => Some(end),
        _ => None,
    }
}

pub(super) fn secret_control(key: &EffectiveKey, secret: &EffectiveSecret) -> u64 {
    let flag = |flag, on| if on { flag } else { 0 };
    let (end, ends) = match (secret.end, key.end_for(secret)) {
        (SecretEnd::At(end), expires) if expires.is_none_or(|expires| end <= expires) => (Some(end), true),
        (_, expires) => (expires, false),
    };
    let flags = flag(REVOKED, key.allowance.revoked)
        | flag(DISABLED, key.allowance.disabled)
        | flag(SUPERSEDED, matches!(secret.end, SecretEnd::At(_) | SecretEnd::FirstUse))
        | flag(UNTIL_USE, secret.end == SecretEnd::FirstUse)
        | flag(UNUSED, secret.unused)
        | flag(SECRET_ENDS, ends);
    control_word::with_time(flags, end)
}
