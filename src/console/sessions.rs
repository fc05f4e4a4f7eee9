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

/// The sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<Table>);

/// The sessions by the digests of their tokens, and how many times all were ended.
#[derive(Debug, Default)]
struct Table {
    all: HashMap<Digest, Session>,
    era: u64,
}

/// The time between two ends of all sessions. What began to sign in before such an end gets no session after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Era(u64);

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
    pub(super) fn era(&self) -> Era {
        Era(self.lock().era)
    }

    /// Begins a session, and returns its token; `None` if all sessions were ended since this era.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub(super) fn begin(
        &self,
        principal: Principal,
        peer: Option<IpAddr>,
        is_plain: bool,
        now: Moment,
        era: Era,
    ) -> io::Result<Option<(SecretText, Session)>> {
        let session = Session { principal, peer, is_plain, began: now, signed_in: now, used: now };
        let (token, digest) = new_token()?;
        let mut table = self.lock();
        if Era(table.era) != era {
            return Ok(None);
        }
        table.add(digest, session.clone(), now);
        Ok(Some((token, session)))
    }

    /// Notes that the principal of a session has signed in again. The session has another token from now on; `None` if it has ended.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub(super) fn confirm(
        &self,
        token: &str,
        principal: Principal,
        now: Moment,
    ) -> io::Result<Option<(SecretText, Session)>> {
        let (new, digest) = new_token()?;
        let mut table = self.lock();
        let Some(session) = table.all.remove(&random_text::digest(token)).filter(|session| !session.is_over(now))
        else {
            return Ok(None);
        };
        let session = Session { principal, signed_in: now, used: now, ..session };
        table.add(digest, session.clone(), now);
        Ok(Some((new, session)))
    }

    /// The session of a token, if it has not ended.
    pub(super) fn find(&self, token: &str, is_plain: bool, now: Moment) -> Option<Session> {
        let digest = random_text::digest(token);
        let mut table = self.lock();
        let session = table.all.get(&digest)?;
        if session.is_over(now) {
            table.all.remove(&digest);
            return None;
        }
        (session.is_plain == is_plain).then(|| session.clone())
    }

    /// Notes the use of a session.
    pub(super) fn note_use(&self, token: &str, now: Moment) {
        if let Some(session) = self.lock().all.get_mut(&random_text::digest(token)) {
            session.used = now;
        }
    }

    pub(super) fn end(&self, token: &str) -> bool {
        self.lock().all.remove(&random_text::digest(token)).is_some()
    }

    /// Ends all, and returns their number.
    pub(super) fn end_all(&self) -> usize {
        let mut table = self.lock();
        table.era = table.era.wrapping_add(1);
        std::mem::take(&mut table.all).len()
    }

    /// All that have not ended, the newest first, each with whether it is that of this token.
    pub(super) fn list(&self, token: &str, now: Moment) -> Vec<(Session, bool)> {
        let own = random_text::digest(token);
        let table = self.lock();
        let present = table.all.iter().filter(|(_, session)| !session.is_over(now));
        let mut list: Vec<_> = present.map(|(digest, session)| (session.clone(), *digest == own)).collect();
        list.sort_by_key(|(session, _)| std::cmp::Reverse(session.began.at));
        list
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn add(&mut self, digest: Digest, session: Session, now: Moment) {
        self.all.retain(|_, held| !held.is_over(now));
        self.make_room(&session.principal.identity());
        self.all.insert(digest, session);
    }

    /// Ends the session that nobody has used for the longest time, if there are too many: one of this principal, if it has many.
    fn make_room(&mut self, identity: &Identity) {
        let of_one = self.all.values().filter(|session| session.principal.identity() == *identity).count();
        if of_one < MAX_OF_ONE && self.all.len() < MAX_SESSIONS {
            return;
        }
        let may_go = |session: &Session| of_one < MAX_OF_ONE || session.principal.identity() == *identity;
        let may_go = self.all.iter().filter(|(_, session)| may_go(session));
        let oldest = may_go.min_by_key(|(_, session)| (session.principal.is_operator(), session.used.at));
        if let Some(digest) = oldest.map(|(digest, _)| *digest) {
            self.all.remove(&digest);
        }
    }
}

fn new_token() -> io::Result<(SecretText, Digest)> {
    let token = SecretText::from(random_text::generate::<BYTES>()?);
    let digest = random_text::digest(token.expose_secret());
    Ok((token, digest))
}

#[cfg(test)]
mod tests {
    use apikey_core::{Actor, KeyStore};

    use super::*;

    #[test]
    fn what_began_before_all_sessions_were_ended_begins_none() {
        let (sessions, now) = (Sessions::default(), Moment::now(&KeyStore::temporary().unwrap()));
        let operator = Principal::Operator(Actor::from("alice"));
        let era = sessions.era();
        let (token, _) = sessions.begin(operator.clone(), None, false, now, era).unwrap().unwrap();
        assert_eq!(sessions.end_all(), 1);
        assert!(sessions.begin(operator.clone(), None, false, now, era).unwrap().is_none());
        assert!(sessions.confirm(token.expose_secret(), operator.clone(), now).unwrap().is_none());
        assert!(sessions.list("", now).is_empty());
        assert!(sessions.begin(operator, None, false, now, sessions.era()).unwrap().is_some());
    }
}
