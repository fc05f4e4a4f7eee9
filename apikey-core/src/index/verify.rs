//! The steps of a verification: find the line of a token, check the key's state, count the use.

use std::net::IpAddr;
use std::ptr;
use std::sync::atomic::Ordering;

use crate::access::attempt::Taken;
use crate::access::auth_error::AuthError;
use crate::access::control_word::{
    ControlWord, DEAD, DISABLED, REVOKED, SECRET_ENDS, SIDE_ENTRY, UNUSED, time as end_of,
};
use crate::access::grant_set::is_expression;
use crate::access::identity;
use crate::access::limit::LimitStatus;
use crate::access::network;
use crate::access::quota::spent::Row;
use crate::access::quota::status::{QuotaStatus, WAIT};
use crate::access::verified_key::{IdForm, VerifiedKey};
use crate::base::interner::IDENTITIES;
use crate::base::store_time::Moment;
use crate::index::Index;
use crate::index::compiled::{ENDED, Given, OfTenant};
use crate::index::home::{imported_home, own_home};
use crate::index::line::LineState;
use crate::index::locate::verified_home;
use crate::index::quotas::slot::{Grant, Refused};
use crate::index::quotas::{KeySpent, Need};
use crate::index::side_table::SideEntry;
use crate::index::table::{LiveLine, Table};
use crate::token::api_key;
use crate::token::api_key::Tail;
use crate::token::digest::{Digest, DigestPrefix, digest_prefix};
use crate::token::imported::MAX_IMPORTED_BYTES;
use crate::token::key_id::KeyId;

/// A line whose digest is the token's.
pub(crate) struct Match<'t> {
    live: LiveLine<'t>,
    side: Option<SideEntry>,
    prefix: DigestPrefix,
    home: u32,
    of_tenant: OfTenant,
}

impl Index {
    /// Finds the line of one of the store's own secrets. It is inlined into both callers: a call would add a tenth to a
    /// verification.
    #[inline(always)]
    pub(crate) fn find_own(&self, token: &Tail) -> Option<Match<'_>> {
        let home = own_home(api_key::id_chars(api_key::body(token)));
        let table = self.table();
        // The lines arrive from memory while the hash runs.
        table.prefetch(home);
        for slot in self.digesters.iter().filter(|slot| slot.own.load(Ordering::Acquire)) {
            let digest = slot.digester.presented(token);
            if let Some((live, side, of_tenant)) =
                self.read_consistent(table, |table| table.search(home, |line| line.holds(&digest)))
            {
                return Some(Match { live, side, prefix: digest_prefix(&digest), home, of_tenant });
            }
        }
        None
    }

    /// Whether a token that is not in the store's own form can be one of its keys at all.
    #[inline]
    pub(crate) fn may_be_imported(&self, token: &[u8]) -> bool {
        self.imported.count() > 0 && token.len() <= MAX_IMPORTED_BYTES
    }

    /// Finds the line of an imported secret, and its key's id.
    #[cold]
    pub(crate) fn find_imported(&self, token: &[u8]) -> Option<(Match<'_>, KeyId)> {
        let table = self.table();
        self.imported_digests(token).find_map(|digest| {
            let prefix = digest_prefix(&digest);
            let home = imported_home(&prefix);
            let (live, side, of_tenant) = self.read_consistent(table, |table| table.find(home, &digest))?;
            Some((Match { live, side, prefix, home, of_tenant }, KeyId::from_u128(side?.id)))
        })
    }

    /// The digests of a token in each form that an imported key has.
    pub(super) fn imported_digests(&self, token: &[u8]) -> impl Iterator<Item = Digest> {
        self.imported
            .iter()
            .filter_map(|(_, (form, by))| Some(self.digesters.get(*by)?.digester.imported(&form.digest(token)?)))
    }

    /// Checks the state of the matched key, its networks against this peer, and its limit. Notes the use of a key that
    /// passes, and returns the number of its own quota; 0 for none.
    ///
    /// # Errors
    /// The key is not valid now.
    #[inline]
    pub(crate) fn check_use(&self, matched: &Match<'_>, at: Moment, peer: Option<&IpAddr>) -> Result<u32, AuthError> {
        check_state(matched.live.state.control, matched.side, at.now)?;
        // Take the entry by value: a side entry whose address is taken is built in memory, even if there is none.
        let mut number = 0;
        if let Some(SideEntry { networks, limiter, quota, idle, .. }) = matched.side {
            self.check_side_entry(networks, [limiter, matched.of_tenant.limiter()], idle, at, peer)?;
            number = quota;
        } else if matched.of_tenant.limiter() != 0 {
            self.admit(matched.of_tenant.limiter(), at)?;
        }
        if self.track_use {
            matched.live.line.note_use(matched.home, u32::try_from(at.now / 1000).unwrap_or(0));
        }
        Ok(number)
    }

    /// Takes uses of a request from a quota, by its number. Returns the number of its period; 0 if there is no quota any more.
    ///
    /// # Errors
    /// It is used up, or more of it must be reserved first. Nothing is taken, and what the request took before is given back, as far as that was in the same period.
    #[cold]
    #[inline(never)]
    pub(crate) fn charge(&self, number: u32, uses: u32, before: Option<Taken>, now: i64) -> Result<u32, AuthError> {
        let charged = self.quotas.charge(number, uses, before, now).ok_or(AuthError::Unavailable)?;
        charged.map_err(|refused| refusal(refused, now))
    }

    /// Refuses a request as [`charge`](Self::charge) does, and takes nothing where that would.
    pub(crate) fn refuse(&self, number: u32, uses: u32, before: Option<Taken>, now: i64) -> Result<(), AuthError> {
        let refused = self.quotas.refuse(number, uses, before, now).ok_or(AuthError::Unavailable)?;
        refused.map_err(|refused| refusal(refused, now))
    }

    /// Gives back what a request took from a quota, unless the period of that is over.
    pub(crate) fn give_back(&self, taken: Taken) {
        self.quotas.give_back(taken);
    }

    /// What is left of the quota of the key, the tenant or the owner with this id; `None` if it has none.
    pub(crate) fn quota_status_of(&self, id: u128, now: i64) -> Option<QuotaStatus> {
        let (writer, _) = self.write();
        self.quotas.status_of(&writer.quotas, id, now)
    }

    /// Whether any key has, or had, a quota.
    pub(crate) fn has_quotas(&self) -> bool {
        self.quotas.is_any()
    }

    /// Whether the store should soon write what was used of quotas, or reserve more.
    pub(crate) fn is_spent_fast(&self) -> bool {
        self.quotas.is_urgent()
    }

    /// What was used of quotas and is not on the disk.
    pub(crate) fn unwritten_quotas(&self) -> Vec<KeySpent> {
        self.quotas.unwritten()
    }

    /// The quotas of which more should be reserved at a time.
    pub(crate) fn needed_quotas(&self, now: i64) -> Vec<Need> {
        self.quotas.needs(now)
    }

    /// Lets requests have what is reserved.
    pub(crate) fn grant_quota(&self, need: &Need, reserved: Grant) {
        self.quotas.grant(need, reserved);
    }

    /// Whether a strict quota was set whose first block is not reserved yet.
    pub(crate) fn lacks_block(&self) -> bool {
        self.quotas.lacks_block()
    }

    /// Whether the process before this one was killed: strict quotas that are loaded from now on get a block once a request is
    /// refused, so that one which is killed again and again uses nothing up. `false` ends that.
    pub(crate) fn be_cautious_with_quotas(&self, is_cautious: bool) {
        self.quotas.be_cautious(is_cautious);
    }

    /// What strict quotas need that were set since the last call.
    pub(crate) fn needed_of_new_quotas(&self, now: i64) -> Vec<Need> {
        self.quotas.needs_of_new(now)
    }

    /// What [`needed_of_new_quotas`](Self::needed_of_new_quotas) returned is reserved, or cannot be.
    pub(crate) fn reserved_new_quotas(&self) {
        self.quotas.reserved_new();
    }

    /// Lets no request have anything any more of strict quotas. Returns what was used of each, if the disk has something else.
    pub(crate) fn end_strict_quotas(&self) -> Vec<KeySpent> {
        self.quotas.end_strict()
    }

    pub(crate) fn note_quotas_written(&self, all: &[KeySpent]) {
        self.quotas.note_written(all);
    }

    /// The clock has run evenly for some minutes up to this time.
    pub(crate) fn trust_clock(&self, now: i64) {
        self.quotas.trust_clock(now);
    }

    /// The keys that lost their quotas since the last call.
    pub(crate) fn take_without_quota(&self) -> Vec<u128> {
        let (writer, _) = self.write();
        self.quotas.take_without(&writer.quotas)
    }

    /// Takes what the disk has of a key's quota while the store is opened; `None` if that is damaged. Returns whether the key
    /// has a quota.
    pub(crate) fn restore_quota(&self, key: u128, row: Option<Row>, now: i64) -> bool {
        let (writer, _) = self.write();
        self.quotas.restore(&writer.quotas, key, row, now)
    }

    /// Checks only the state and the idle end, and neither the peer nor the limit: this is not a use of the key.
    ///
    /// # Errors
    /// The key is not valid now.
    pub(crate) fn check_state(&self, matched: &Match<'_>, now: i64) -> Result<(), AuthError> {
        check_state(matched.live.state.control, matched.side, now)?;
        self.check_idle(matched.side.map_or(0, |side| side.idle), now)
    }

    /// Checks the idle end, the networks and the limits, and notes the use of a key with an idle end.
    #[cold]
    fn check_side_entry(
        &self,
        networks: u32,
        limiters: [u32; 2],
        idle: u32,
        at: Moment,
        peer: Option<&IpAddr>,
    ) -> Result<(), AuthError> {
        self.check_idle(idle, at.now)?;
        if !network::set_contains(networks, peer.copied()) {
            return Err(AuthError::AddressNotAllowed);
        }
        // Its own limit comes first: a key that is over it takes nothing from the others of its tenant.
        limiters.into_iter().filter(|limiter| *limiter != 0).try_for_each(|limiter| self.admit(limiter, at))?;
        if let Some(slot) = self.idle_ends.get(idle) {
            slot.note_use(u32::try_from(at.now / 1000).unwrap_or(0));
        }
        Ok(())
    }

    /// Counts a request on a limit.
    #[cold]
    fn admit(&self, limiter: u32, at: Moment) -> Result<(), AuthError> {
        let limiter = self.limiters.get(limiter).ok_or(AuthError::Unavailable)?;
        let over = |(limit, retry_after)| AuthError::RateLimited { retry_after, limit: Some(limit) };
        limiter.admit(at.raw).map_err(over)
    }

    /// The number of the identity of a line whose key is good now.
    pub(super) fn good_identity(&self, home: u32, digest: &DigestPrefix, now: i64) -> Option<u32> {
        let (live, side, _) = self.read_consistent(self.table(), |table| table.find_again(home, digest))?;
        check_state(live.state.control, side, now).ok()?;
        self.check_idle(side.map_or(0, |side| side.idle), now).ok()?;
        Some(live.state.identity)
    }

    /// A key that is idle is past its `not_before`, so this may follow the check of the state.
    fn check_idle(&self, idle: u32, now: i64) -> Result<(), AuthError> {
        match (idle, self.idle_ends.get(idle)) {
            (0, _) => Ok(()),
            (_, Some(slot)) if slot.end() <= now => Err(AuthError::Idle),
            (_, Some(_)) => Ok(()),
            (_, None) => Err(AuthError::Unavailable),
        }
    }

    /// Returns what is left, by the raw clock, of a key's own limit or of that which it shares, whichever has less left;
    /// `None` if the key has none, or is no longer in the index.
    pub(crate) fn limit_status(&self, key: &VerifiedKey, raw: impl FnOnce() -> i64) -> Option<LimitStatus> {
        let is_limited = key.control.has_side_entry() || identity::tenant(IDENTITIES.text(key.identity)).is_some();
        if !is_limited {
            return None;
        }
        let (_, side, of_tenant) =
            self.read_consistent(self.table(), |table| table.find_again(verified_home(key), &key.digest))?;
        self.status_of_limiters(side, of_tenant, raw)
    }

    /// The same for a matched key.
    pub(crate) fn limit_status_of_match(&self, matched: &Match<'_>, raw: impl FnOnce() -> i64) -> Option<LimitStatus> {
        self.status_of_limiters(matched.side, matched.of_tenant, raw)
    }

    fn status_of_limiters(
        &self,
        side: Option<SideEntry>,
        of_tenant: OfTenant,
        raw: impl FnOnce() -> i64,
    ) -> Option<LimitStatus> {
        let limiters =
            [side.map_or(0, |side| side.limiter), of_tenant.limiter()].map(|number| self.limiters.get(number));
        let raw = if limiters.iter().any(Option::is_some) { raw() } else { return None };
        let all = limiters.into_iter().flatten().filter_map(|limiter| limiter.status(raw));
        all.min_by_key(|status| status.remaining())
    }

    /// Creates the verified key of a line that passed the check.
    #[inline]
    pub(crate) fn verified_key(&self, matched: &Match<'_>, id: IdForm) -> VerifiedKey {
        let LineState { control, identity, grants, version, .. } = matched.live.state;
        let (digest, control) = (matched.prefix, ControlWord(control));
        VerifiedKey { id, digest, store: self.store, control, identity, grants, version }
    }

    /// Checks that a key that was verified earlier is still valid, with the same secret.
    ///
    /// # Errors
    /// Those of [`check_state`](Self::check_state), and [`AuthError::Invalid`] if its secret has ended.
    pub(crate) fn recheck(&self, key: &VerifiedKey, now: i64) -> Result<(), AuthError> {
        let again = self.read_consistent(self.table(), |table| table.find_again(verified_home(key), &key.digest));
        let (live, side, _) = again.ok_or(AuthError::Invalid)?;
        check_state(live.state.control, side, now)?;
        self.check_idle(side.map_or(0, |side| side.idle), now)
    }

    /// The same from this address; returns the key as it is now.
    pub(crate) fn refresh(&self, key: &VerifiedKey, now: i64, peer: Option<IpAddr>) -> Result<VerifiedKey, AuthError> {
        let home = verified_home(key);
        let again = self.read_consistent(self.table(), |table| table.find_again(home, &key.digest));
        let (live, side, of_tenant) = again.ok_or(AuthError::Invalid)?;
        check_state(live.state.control, side, now)?;
        self.check_idle(side.map_or(0, |side| side.idle), now)?;
        if side.is_some_and(|side| !network::set_contains(side.networks, peer)) {
            return Err(AuthError::AddressNotAllowed);
        }
        let matched = Match { live, side, prefix: key.digest, home, of_tenant };
        Ok(self.verified_key(&matched, key.id))
    }

    /// Reads a consistent state of a line, its side entry, what its set of grants gives, and what the keys of its tenant share. A
    /// line whose tenant has ended is revoked.
    #[inline(always)]
    pub(super) fn read_consistent<'t>(
        &'t self,
        mut table: &'t Table,
        find: impl Fn(&'t Table) -> Option<LiveLine<'t>>,
    ) -> Option<(LiveLine<'t>, Option<SideEntry>, OfTenant)> {
        loop {
            let live = find(table)?;
            let has_side_entry = live.state.control & SIDE_ENTRY != 0;
            if !has_side_entry && !is_expression(live.state.grants) {
                return Some((live, None, OfTenant::NOTHING));
            }
            let side = if has_side_entry { self.side_table.read(live.state.side) } else { None };
            // What a set gives counts only if the line named it all the while.
            let Given { grants, of_tenant } = self.compiled.get(live.state.grants);
            // The lines of a replaced table stay as they were, even if other lines have their side entries now.
            let still = live.line.is_still(live.state.control);
            let current = self.table();
            if still && ptr::eq(current, table) {
                let ended = if grants == ENDED { REVOKED } else { 0 };
                let state = LineState { grants, control: live.state.control | ended, ..live.state };
                return Some((LiveLine { state, ..live }, side, of_tenant));
            }
            table = current;
        }
    }
}

impl Match<'_> {
    /// The number of the key's set of grants.
    #[inline]
    pub(crate) fn grants(&self) -> u32 {
        self.live.state.grants
    }

    /// Whether the key may be used from this address.
    pub(crate) fn allows_peer(&self, peer: IpAddr) -> bool {
        self.side.is_none_or(|side| network::set_contains(side.networks, Some(peer)))
    }

    /// A number that spreads secrets evenly.
    #[inline]
    pub(crate) fn home(&self) -> u32 {
        self.home
    }

    /// The number of the key's identity.
    #[inline]
    pub(crate) fn identity(&self) -> u32 {
        self.live.state.identity
    }

    /// The number of the key's own quota; 0 for none.
    pub(crate) fn own_quota(&self) -> u32 {
        self.side.map_or(0, |side| side.quota)
    }

    /// The number of the quota that the keys of its tenant share; 0 for none.
    #[inline]
    pub(crate) fn quota_of_tenant(&self) -> u32 {
        self.of_tenant.quota()
    }

    /// Whether the secret succeeds another and was never used.
    #[inline]
    pub(crate) fn is_first_use(&self) -> bool {
        self.live.state.control & UNUSED != 0
    }
}

fn refusal(refused: Refused, now: i64) -> AuthError {
    match refused {
        Refused::UsedUp(status) => AuthError::used_up(status, now),
        Refused::Waits(status) => AuthError::QuotaExceeded { retry_after: WAIT, status },
        Refused::Ended => AuthError::Unavailable,
    }
}

/// Checks a state; the order decides which error a caller gets. The digest has matched before, so only callers with the
/// secret learn the state.
#[inline]
fn check_state(control: u64, side: Option<SideEntry>, now: i64) -> Result<(), AuthError> {
    if control & SIDE_ENTRY != 0 && side.is_none() {
        return Err(AuthError::Unavailable);
    }
    let over = end_of(control).is_some_and(|end| end <= now);
    let ended = || side.and_then(|side| side.secret_end).is_some_and(|end| end <= now);
    if control & DEAD != 0 || (over && (control & SECRET_ENDS != 0 || ended())) {
        return Err(AuthError::Invalid);
    }
    if control & (REVOKED | DISABLED) != 0 {
        return Err(if control & REVOKED != 0 { AuthError::Revoked } else { AuthError::Disabled });
    }
    if over {
        return Err(AuthError::Expired);
    }
    match side.and_then(|side| side.not_before) {
        Some(start) if now < start => Err(AuthError::NotYetValid),
        _ => Ok(()),
    }
}
