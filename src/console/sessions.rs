//! The sessions of this node, in memory.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apikey_core::admin::SecretText;
use apikey_core::random_text;
use chrono::{DateTime, Utc};

use super::moment::Moment;
use super::principal::{Identity, Principal};

/// The most sessions of a node, and of one principal: the one that nobody has used for the longest time makes room. Those of
/// keys do so first: whoever has a key that creates keys has many.
const MAX_SESSIONS: usize = 1000;
const MAX_OF_ONE: usize = 16;
/// How long nobody has to use a session that ends by itself.
pub(super) const IDLE: Duration = Duration::from_secs(15 * 60);
/// How long a session lasts at most.
const LONGEST: Duration = Duration::from_secs(8 * 60 * 60);
/// How long after a sign-in secrets are shown.
pub(super) const FRESH: Duration = Duration::from_secs(15 * 60);
/// The random bytes of a token.
const BYTES: usize = 32;

type Digest = [u8; 32];

/// The sessions, by the digests of their tokens.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<Digest, Session>>);

/// A session.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) principal: Principal,
    /// Where it began.
    pub(super) peer: Option<IpAddr>,
    /// Whether its cookie is one of plain HTTP on this machine.
    is_plain: bool,
    began: Moment,
    signed_in: Moment,
    used: Moment,
}

impl Session {
    fn is_over(&self, now: Moment) -> bool {
        now.since(self.used) >= IDLE || now.since(self.began) >= LONGEST
    }

    /// Whether the last sign-in was a short while ago.
    pub(super) fn is_fresh(&self, now: Moment) -> bool {
        now.since(self.signed_in) < FRESH
    }

    /// What is left until it ends for want of use.
    pub(super) fn idle_left(&self, now: Moment) -> Duration {
        IDLE.saturating_sub(now.since(self.used))
    }

    pub(super) fn signed_in_at(&self) -> DateTime<Utc> {
        self.signed_in.at
    }

    pub(super) fn used_at(&self) -> DateTime<Utc> {
        self.used.at
    }

    /// The latest end.
    pub(super) fn ends_at(&self) -> DateTime<Utc> {
        self.began.after(LONGEST)
    }
}

impl Sessions {
    /// Begins a session, and returns its token.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub(super) fn begin(
        &self,
        principal: Principal,
        peer: Option<IpAddr>,
        is_plain: bool,
        now: Moment,
    ) -> io::Result<(SecretText, Session)> {
        let session = Session { principal, peer, is_plain, began: now, signed_in: now, used: now };
        let token = self.add(session.clone(), now)?;
        Ok((token, session))
    }

    /// Notes that the principal of a session has signed in again. The session has another token from now on.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub(super) fn confirm(
        &self,
        token: &str,
        session: Session,
        principal: Principal,
        now: Moment,
    ) -> io::Result<(SecretText, Session)> {
        let session = Session { principal, signed_in: now, used: now, ..session };
        let new = self.add(session.clone(), now)?;
        self.end(token);
        Ok((new, session))
    }

    fn add(&self, session: Session, now: Moment) -> io::Result<SecretText> {
        let token = SecretText::from(random_text::generate::<BYTES>()?);
        let digest = random_text::digest(token.expose_secret());
        let mut all = self.lock();
        all.retain(|_, held| !held.is_over(now));
        make_room(&mut all, &session.principal.identity());
        all.insert(digest, session);
        Ok(token)
    }

    /// The session of a token, if it has not ended.
    pub(super) fn find(&self, token: &str, is_plain: bool, now: Moment) -> Option<Session> {
        let digest = random_text::digest(token);
        let mut all = self.lock();
        let session = all.get(&digest)?;
        if session.is_over(now) {
            all.remove(&digest);
            return None;
        }
        (session.is_plain == is_plain).then(|| session.clone())
    }

    /// Notes the use of a session.
    pub(super) fn note_use(&self, token: &str, now: Moment) {
        if let Some(session) = self.lock().get_mut(&random_text::digest(token)) {
            session.used = now;
        }
    }

    pub(super) fn end(&self, token: &str) -> bool {
        self.lock().remove(&random_text::digest(token)).is_some()
    }

    /// Ends all, and returns their number.
    pub(super) fn end_all(&self) -> usize {
        let mut all = self.lock();
        let count = all.len();
        all.clear();
        count
    }

    /// All that have not ended, the newest first, each with whether it is that of this token.
    pub(super) fn list(&self, token: &str, now: Moment) -> Vec<(Session, bool)> {
        let own = random_text::digest(token);
        let all = self.lock();
        let held = all.iter().filter(|(_, session)| !session.is_over(now));
        let mut list: Vec<_> = held.map(|(digest, session)| (session.clone(), *digest == own)).collect();
        list.sort_by_key(|(session, _)| std::cmp::Reverse(session.began.at));
        list
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the session that nobody has used for the longest time, if there are too many: one of this principal, if it has many.
fn make_room(all: &mut HashMap<Digest, Session>, identity: &Identity) {
    let of_one = all.values().filter(|session| session.principal.identity() == *identity).count();
    if of_one < MAX_OF_ONE && all.len() < MAX_SESSIONS {
        return;
    }
    let may_go = |session: &Session| of_one < MAX_OF_ONE || session.principal.identity() == *identity;
    let held = all.iter().filter(|(_, session)| may_go(session));
    if let Some(oldest) =
        held.min_by_key(|(_, session)| (session.principal.is_operator(), session.used.at)).map(|(digest, _)| *digest)
    {
        all.remove(&oldest);
    }
}
