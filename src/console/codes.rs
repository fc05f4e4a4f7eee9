//! The codes of links that sign operators in.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apikey_core::admin::SecretText;
use apikey_core::{Actor, random_text};

use super::moment::Moment;

/// How long a code is good for.
const LIFE: Duration = Duration::from_secs(60);
/// The most codes at a time: a newer one takes the place of the oldest.
const MAX_CODES: usize = 16;
/// The random bytes of a code.
const BYTES: usize = 16;

/// The codes that nobody has used yet.
#[derive(Debug, Default)]
pub(super) struct Codes(Mutex<VecDeque<Code>>);

#[derive(Debug)]
struct Code {
    digest: [u8; 32],
    operator: Actor,
    created: Moment,
}

impl Codes {
    /// Makes a code for an operator.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub(super) fn make(&self, operator: Actor, now: Moment) -> io::Result<SecretText> {
        let code = SecretText::from(random_text::generate::<BYTES>()?);
        let mut all = self.lock();
        if all.len() >= MAX_CODES {
            all.pop_front();
        }
        all.push_back(Code { digest: random_text::digest(code.expose_secret()), operator, created: now });
        Ok(code)
    }

    /// Takes a code, which is good once; returns whose it is.
    pub(super) fn take(&self, code: &str, now: Moment) -> Option<Actor> {
        let digest = random_text::digest(code);
        let mut all = self.lock();
        all.retain(|held| now.since(held.created) < LIFE);
        // Each is compared, in a time that does not depend on the digests.
        let mut found = None;
        for (at, held) in all.iter().enumerate() {
            if random_text::is_same(&held.digest, &digest) {
                found = Some(at);
            }
        }
        all.remove(found?).map(|code| code.operator)
    }

    pub(super) fn end_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Code>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
