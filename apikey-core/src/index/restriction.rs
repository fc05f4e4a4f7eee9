//! Restricting keys at once. What a change gives waits for the disk.
//!
//! The record of a key leads to each of its secrets. But if the disk fails, sled may fail to read as well, and a
//! revocation must take effect all the same: then the lines alone must suffice. They have less data than records, so
//! the search reads all of them, and may restrict too much: an own key without a side entry is identified by 31 bits of
//! a hash of its id.

use crate::access::control_word;
use crate::access::control_word::{DISABLED, REVOKED};
use crate::access::grant_set;
use crate::access::identity;
use crate::access::idle::IdleEnd;
use crate::access::limit::Limit;
use crate::access::named::NamedId;
use crate::access::network::ANYWHERE;
use crate::access::owner::{OwnerRef, Seen};
use crate::access::quota::Quota;
use crate::base::interner::Full;
use crate::index::Index;
use crate::index::line::{Entry, Line, LineState};
use crate::index::locate::{id_home, secret_home};
use crate::index::side_table::SideEntry;
use crate::index::table::LiveLine;
use crate::index::writer_state::{Shared, WriterState};
use crate::key::allowance::Allowance;
use crate::key::effective_key::EffectiveKey;
use crate::key::entries_patch::EntriesPatch;

/// The keys that a restriction is for.
pub(crate) enum Target<'a> {
    /// One key, if it is among those that the call sees.
    Key {
        id: u128,
        seen: &'a Seen,
    },
    Owner(OwnerRef<'a>),
}

/// The restriction of every secret of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Restriction {
    pub(crate) revoke: bool,
    pub(crate) disable: bool,
    /// Whether it ends the secrets themselves, so that the index no longer finds them.
    pub(crate) end_secrets: bool,
    pub(crate) expires_at: Option<i64>,
    pub(crate) not_before: Option<i64>,
    /// The number in [`GRANTS`](crate::base::interner::GRANTS) of the grants that may remain.
    pub(crate) grants: Option<u32>,
    /// The roles that may remain.
    pub(crate) roles: RolesLeft,
    /// The networks that may remain.
    pub(crate) networks: Option<u32>,
    /// The highest limit that may remain.
    pub(crate) limit: Option<Limit>,
    /// The largest quota that may remain.
    pub(crate) quota: Option<Quota>,
    /// The latest idle end that may remain.
    pub(crate) idle: Option<IdleEnd>,
    /// The change of the labels: of those that it names, what it sets may remain.
    pub(crate) labels: EntriesPatch,
}

/// The roles that a change leaves a key: only these, if it names them, and none of those that it removes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RolesLeft {
    pub(crate) only: Option<Vec<NamedId>>,
    pub(crate) without: Vec<NamedId>,
}

impl RolesLeft {
    fn keeps(&self, role: NamedId) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&role)) && !self.without.contains(&role)
    }
}

impl Index {
    /// Restricts a key at once to what a change leaves, and gives it nothing.
    pub(crate) fn restrict(&self, before: &EffectiveKey, after: Option<&EffectiveKey>) -> Result<(), Full> {
        let (mut writer, table) = self.write();
        let shared = after.map(|after| self.tighten(&mut writer, before.id, &after.allowance)).unwrap_or_default();
        let Shared { limiter, quota, idle } = shared;
        for old in &before.secrets {
            let home = secret_home(before.id, old);
            let Some(LiveLine { line, state }) = table.find(home, &old.digest) else { continue };
            let kept =
                after.and_then(|after| Some((after, after.secrets.iter().find(|new| new.digest == old.digest)?)));
            let Some((after, secret)) = kept else {
                writer.remove(table, home, &old.digest);
                continue;
            };
            // A rotation that cannot be written must not end the old secret, since nobody has the new one. So the
            // visible end of the secret stays, and only the key's end counts.
            let bound = Allowance { expires_at: after.end_for(secret), identity: secret.identity, ..after.allowance };
            let side = self.side_entry(&state).unwrap_or_else(|| SideEntry::none(after.id));
            // Meet what is visible, and not the record, which may be ahead of the disk.
            let met = self.visible(&writer, &state, &side).meet(&bound)?;
            self.narrow(&mut writer, line, &state, SideEntry { limiter, quota, idle, ..side }, &met);
        }
        Ok(())
    }

    /// Restricts without the record. Returns the number of secrets that have less now, or that are revoked or disabled
    /// as the restriction requires.
    pub(crate) fn restrict_without_record(
        &self,
        target: &Target<'_>,
        restriction: &Restriction,
    ) -> Result<usize, Full> {
        let owner_of = |entry: &Entry| identity::owner_of(entry.state.identity);
        let is_meant = |entry: &Entry| match *target {
            Target::Owner(owner) => owner_of(entry) == owner,
            Target::Key { id, seen } => self.is_of(entry, id) && seen.has(owner_of(entry)),
        };
        let (mut writer, table) = self.write();
        // Collect all of them first: removing one can move others.
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
                    // Use this id for want of a better one; nothing else reads the id in an own key's side entry.
                    Target::Key { id, .. } => *id,
                    Target::Owner(_) => 0,
                })
            });
            let visible = self.visible(&writer, &state, &side);
            let met = visible.meet(&restriction.on(&visible)?)?;
            if restriction.limit.is_some() || restriction.quota.is_some() || restriction.idle.is_some() {
                // Also for the second secret of a key.
                let Shared { limiter, quota, idle } = self.tighten(&mut writer, side.id, &met);
                side = SideEntry { limiter, quota, idle, ..side };
            }
            restricted += usize::from(restriction.revoke || restriction.disable || visible.loses(&met));
            self.narrow(&mut writer, line, &state, side, &met);
        }
        Ok(restricted)
    }

    /// Returns what a line and its side entry allow now.
    fn visible(&self, writer: &WriterState, state: &LineState, side: &SideEntry) -> Allowance {
        Allowance {
            identity: state.identity,
            grants: state.grants,
            revoked: state.control & REVOKED != 0,
            disabled: state.control & DISABLED != 0,
            // This is the end of the secret, if that is earlier.
            expires_at: control_word::time(state.control),
            not_before: side.not_before,
            limit: self.limiters.limit(&writer.limiters, side.id),
            quota: self.quotas.quota(&writer.quotas, side.id),
            networks: side.networks,
            idle: self.idle_ends.end(&writer.idle_ends, side.id),
        }
    }

    /// Restricts a line and its side entry to an allowance within theirs.
    fn narrow(
        &self,
        writer: &mut WriterState,
        line: &Line,
        state: &LineState,
        side: SideEntry,
        Allowance {
            identity,
            grants,
            revoked,
            disabled,
            expires_at,
            not_before,
            limit: _,
            quota: _,
            networks,
            idle: _,
        }: &Allowance,
    ) {
        let flags = if *revoked { REVOKED } else { 0 } | if *disabled { DISABLED } else { 0 };
        // The word also has flags of the secret, and one that says whether its time is the end of the secret or of the
        // key.
        let control = control_word::meet(state.control, control_word::with_time(flags, *expires_at));
        let content = SideEntry { not_before: *not_before, networks: *networks, ..side };
        let new = LineState { control, identity: *identity, grants: *grants, ..*state };
        self.set_line(writer, line, &new, content, None);
    }

    /// Lowers the limit and the quota of a key, and its idle end, to those of this allowance, at once.
    fn tighten(&self, writer: &mut WriterState, id: u128, to: &Allowance) -> Shared {
        let limit = Limit::meet_of(self.limiters.limit(&writer.limiters, id), to.limit);
        let quota = Quota::meet_of(self.quotas.quota(&writer.quotas, id), to.quota);
        let idle = IdleEnd::meet_of(self.idle_ends.end(&writer.idle_ends, id), to.idle);
        Shared {
            limiter: self.limiters.set(&mut writer.limiters, id, limit),
            quota: self.quotas.set(&mut writer.quotas, id, quota),
            idle: self.idle_ends.set(&mut writer.idle_ends, id, idle, 0),
        }
    }

    fn is_of(&self, entry: &Entry, id: u128) -> bool {
        match self.side_entry(&entry.state) {
            Some(side) => side.id == id,
            None => entry.usage.home() == id_home(id),
        }
    }
}

impl Restriction {
    /// Returns the most that it leaves of what is visible. The caller [meets](Allowance::meet) both.
    fn on(&self, visible: &Allowance) -> Result<Allowance, Full> {
        let with_roles = grant_set::retain_roles(visible.grants, |role| self.roles.keeps(role))?;
        Ok(Allowance {
            identity: identity::retain(visible.identity, |name, value| self.labels.leaves(name, value))?,
            grants: self.grants.map_or(Ok(with_roles), |grants| grant_set::meet(grants, with_roles))?,
            revoked: self.revoke,
            disabled: self.disable,
            expires_at: self.expires_at,
            not_before: self.not_before,
            limit: self.limit,
            quota: self.quota,
            networks: self.networks.unwrap_or(ANYWHERE),
            idle: self.idle,
        })
    }
}
