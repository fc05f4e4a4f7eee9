//! Taking away, at once, what a change takes away; what it gives waits for the disk.
//!
//! With the record of a key each of its secrets is found. Where a disk refuses, sled can refuse to read as well, and a
//! revocation must hold all the same: then the lines alone must do. They know less of their keys than records do, so the
//! search reads all of them and errs on the side of ending too much: an own key without a side entry is known by 31 bits
//! of a hash of its id.

use crate::access::control_word;
use crate::access::control_word::{DISABLED, REVOKED};
use crate::access::limit::Limit;
use crate::access::network::ANYWHERE;
use crate::base::interner::{Full, OWNERS};
use crate::index::Index;
use crate::index::line::{Entry, Line, LineState};
use crate::index::locate::{id_home, secret_home};
use crate::index::side_table::SideEntry;
use crate::index::table::LiveLine;
use crate::index::writer_state::WriterState;
use crate::key::allowance::Allowance;
use crate::key::effective_key::EffectiveKey;

/// The keys that a restriction is for.
pub(crate) enum Target<'a> {
    /// One key, if it is this owner's; `None`: whoever's it is.
    Key {
        id: u128,
        owner: Option<&'a str>,
    },
    Owner(&'a str),
}

/// What to take away from every secret of a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Restriction {
    pub(crate) revoke: bool,
    pub(crate) disable: bool,
    /// Ends the secrets themselves: they become as unknown as any other token.
    pub(crate) end_secrets: bool,
    pub(crate) expires_at: Option<i64>,
    /// The only grants that may be left; a number in [`GRANTS`](crate::base::interner::GRANTS).
    pub(crate) grants: Option<u32>,
    /// The only networks that it may be used from.
    pub(crate) networks: Option<u32>,
    /// The limit that it may not exceed.
    pub(crate) limit: Option<Limit>,
}

impl Index {
    /// Takes away at once what a change takes away, and gives nothing.
    pub(crate) fn restrict(&self, before: &EffectiveKey, after: Option<&EffectiveKey>) -> Result<(), Full> {
        let (mut writer, table) = self.write();
        let limiter = after.map_or(0, |after| self.tighten(&mut writer, before.id, after.allowance.limit));
        for old in &before.secrets {
            let home = secret_home(before.id, old);
            let Some(LiveLine { line, state }) = table.find(home, &old.digest) else { continue };
            let kept =
                after.and_then(|after| Some((after, after.secrets.iter().find(|new| new.digest == old.digest)?)));
            let Some((after, secret)) = kept else {
                writer.remove(table, home, &old.digest);
                continue;
            };
            // A rotation that the disk refuses must not end the old secret: nobody has the new one. So the secret's own
            // end stays as it is visible, and only its key's end counts.
            let bound = Allowance { expires_at: after.end_for(secret), ..after.allowance };
            let side = self.side_entry(&state).unwrap_or_else(|| SideEntry::none(after.id));
            // With what is visible, not with the record: that may be ahead of the disk.
            let met = self.visible(&writer, &state, &side).meet(&bound)?;
            self.narrow(&mut writer, line, &state, SideEntry { limiter, ..side }, &met);
        }
        Ok(())
    }

    /// Takes away without the record, and gives nothing. The number of secrets that have less now, or are revoked or
    /// disabled as the restriction says.
    pub(crate) fn restrict_without_record(
        &self,
        target: &Target<'_>,
        restriction: &Restriction,
    ) -> Result<usize, Full> {
        let owner = match target {
            Target::Owner(name) | Target::Key { owner: Some(name), .. } => Some(OWNERS.number(name)?),
            Target::Key { owner: None, .. } => None,
        };
        let is_meant = |entry: &Entry| {
            let is_of_owner = owner.is_none_or(|owner| entry.state.owner == owner);
            match *target {
                Target::Owner(_) => is_of_owner,
                Target::Key { id, .. } => is_of_owner && self.is_of(entry, id),
            }
        };
        let (mut writer, table) = self.write();
        // First all of them: removing one can move others.
        let meant: Vec<Entry> = table.lines().iter().filter_map(|line| line.entry().filter(is_meant)).collect();
        let mut restricted = 0;
        for Entry { digest, usage, .. } in &meant {
            if restriction.end_secrets {
                writer.remove(table, usage.home(), digest);
                restricted += 1;
                continue;
            }
            let Some(LiveLine { line, state }) = table.find(usage.home(), digest) else { continue };
            let mut side = self.side_entry(&state).unwrap_or_else(|| {
                SideEntry::none(match target {
                    // The best that is known; nothing but this reads the id in an own key's side entry.
                    Target::Key { id, .. } => *id,
                    Target::Owner(_) => 0,
                })
            });
            let visible = self.visible(&writer, &state, &side);
            let met = visible.meet(&restriction.on(&visible))?;
            if restriction.limit.is_some() {
                // Also for the second secret of a key.
                side.limiter = self.tighten(&mut writer, side.id, restriction.limit);
            }
            restricted += usize::from(restriction.revoke || restriction.disable || visible.loses(&met));
            self.narrow(&mut writer, line, &state, side, &met);
        }
        Ok(restricted)
    }

    /// What a line and its side entry allow now.
    fn visible(&self, writer: &WriterState, state: &LineState, side: &SideEntry) -> Allowance {
        Allowance {
            grants: state.grants,
            revoked: state.control & REVOKED != 0,
            disabled: state.control & DISABLED != 0,
            // The secret's end, where that comes first.
            expires_at: control_word::time(state.control),
            not_before: side.not_before,
            limit: self.limiters.limit(&writer.limiters, side.id),
            networks: side.networks,
        }
    }

    /// Brings a line and its side entry down to an allowance that is within theirs.
    fn narrow(
        &self,
        writer: &mut WriterState,
        line: &Line,
        state: &LineState,
        side: SideEntry,
        Allowance { grants, revoked, disabled, expires_at, not_before, limit: _, networks }: &Allowance,
    ) {
        let flags = if *revoked { REVOKED } else { 0 } | if *disabled { DISABLED } else { 0 };
        // The word has flags of the secret, too, and says whose end its time is.
        let control = control_word::meet(state.control, control_word::with_time(flags, *expires_at));
        let content = SideEntry { not_before: *not_before, networks: *networks, ..side };
        self.set_line(writer, line, &LineState { control, grants: *grants, ..*state }, content, None);
    }

    /// Makes the limit of a key no wider than this, at once; the number of its limiter.
    fn tighten(&self, writer: &mut WriterState, id: u128, limit: Option<Limit>) -> u32 {
        let limit = Limit::meet_of(self.limiters.limit(&writer.limiters, id), limit);
        self.limiters.set(&mut writer.limiters, id, limit)
    }

    fn is_of(&self, entry: &Entry, id: u128) -> bool {
        match self.side_entry(&entry.state) {
            Some(side) => side.id == id,
            None => entry.usage.home() == id_home(id),
        }
    }
}

impl Restriction {
    /// The most that it leaves of what is visible; only [`meet`](Allowance::meet) with that makes it less.
    fn on(&self, visible: &Allowance) -> Allowance {
        Allowance {
            grants: self.grants.unwrap_or(visible.grants),
            revoked: self.revoke,
            disabled: self.disable,
            expires_at: self.expires_at,
            not_before: None,
            limit: self.limit,
            networks: self.networks.unwrap_or(ANYWHERE),
        }
    }
}
