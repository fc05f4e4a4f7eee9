//! What is known to be acknowledged: what a read may return without another commit.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use apikey_core::cluster::{Logged, Position};

/// How many heads are remembered: far more than are appended between a notification and the read that follows it.
const KEPT: usize = 64;

/// Heads that a log has had, each of which was on a standby when this node learnt of it: the newest ones.
///
/// An append that was not acknowledged can be visible all the same: after a restart of its server, or if somebody ended
/// its session while it waited. If a standby is promoted then, it is gone. What is in the log up to an acknowledged head
/// stays, whichever server shows it: a log grows by compare-and-swap at its head, so a server that has this head, by
/// number and digest, has what came before it, too.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged(Mutex<VecDeque<(u64, Position)>>);

impl Acknowledged {
    /// Remembers a head of the log of a generation.
    pub(crate) fn note(&self, generation: u64, head: Position) {
        let mut heads = self.heads();
        if heads.contains(&(generation, head)) {
            return;
        }
        if heads.len() == KEPT {
            heads.pop_front();
        }
        heads.push_back((generation, head));
    }

    /// Remembers the head in a [payload]; anything else says nothing.
    pub(crate) fn note_payload(&self, payload: &str) {
        if let Some((generation, head)) = parse(payload) {
            self.note(generation, head);
        }
    }

    /// How many of these entries, from the first on, were acknowledged.
    pub(crate) fn of(&self, generation: u64, entries: &[Logged]) -> usize {
        let heads = self.heads();
        entries.iter().rposition(|entry| heads.contains(&(generation, entry.last))).map_or(0, |last| last + 1)
    }

    /// Whether an acknowledged head is known that comes after this event.
    pub(crate) fn is_beyond(&self, generation: u64, after: u64) -> bool {
        self.heads().iter().any(|(of, head)| *of == generation && head.number > after)
    }

    fn heads(&self) -> MutexGuard<'_, VecDeque<(u64, Position)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a node that has appended tells the others: the generation, and the number and the digest of the head.
pub(crate) fn payload(generation: u64, head: &Position) -> String {
    let digest: String = head.digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{generation}:{}:{digest}", head.number)
}

fn parse(payload: &str) -> Option<(u64, Position)> {
    let mut parts = payload.split(':');
    let (generation, number, digest) = (parts.next()?, parts.next()?, parts.next()?);
    if digest.len() != 64 || !digest.is_ascii() || parts.next().is_some() {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digest.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some((generation.parse().ok()?, Position { number: number.parse().ok()?, digest: bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64, digest: u8) -> Logged {
        Logged { first: number, last: Position { number, digest: [digest; 32] }, op: [0; 16], bytes: Vec::new() }
    }

    #[test]
    fn entries_count_up_to_the_last_acknowledged_head() {
        let acknowledged = Acknowledged::default();
        let entries = [entry(1, 1), entry(2, 2), entry(3, 3)];
        assert_eq!(acknowledged.of(1, &entries), 0);
        acknowledged.note(1, entries[1].last);
        assert_eq!(acknowledged.of(1, &entries), 2);
        assert_eq!(acknowledged.of(2, &entries), 0, "of another generation");
        let beyond = [(1, 1), (1, 2), (2, 1)].map(|(generation, after)| acknowledged.is_beyond(generation, after));
        assert_eq!(beyond, [true, false, false]);
        assert_eq!(acknowledged.of(1, &[entry(1, 1), entry(2, 9)]), 0, "another history");
        for number in 10..1000 {
            acknowledged.note(1, entry(number, 5).last);
        }
        assert_eq!(acknowledged.of(1, &entries), 0, "it forgets the oldest");
    }

    #[test]
    fn a_payload_comes_back_and_anything_else_says_nothing() {
        let head = Position { number: 7, digest: std::array::from_fn(|at| at.to_le_bytes()[0] * 7) };
        let text = payload(3, &head);
        assert_eq!(parse(&text), Some((3, head)));
        let cut = &text[..text.len() - 1];
        let long = format!("{text}:");
        let odd = format!("3:7:{}", "\u{e9}".repeat(32));
        for wrong in ["", "test", "3:7", cut, &long, &odd, &text.replace("3:7:", "3:-7:"), &text.replace(":7:", ":x:")]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
