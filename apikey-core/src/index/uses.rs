//! The times at which keys were last used.

use std::sync::atomic::Ordering;

use crate::index::Index;
use crate::index::locate::secret_home;
use crate::key::effective_key::EffectiveKey;
use crate::token::digest::{DigestPrefix, digest_prefix};

/// The number of lines that one hold of the writer's state reads.
const CHUNK: usize = 4096;

impl Index {
    /// Returns the second in which any of the key's live secrets was last used, in milliseconds since 1970.
    pub(crate) fn last_used(&self, key: &EffectiveKey) -> Option<i64> {
        let table = self.table();
        let live = key.secrets.iter().filter_map(|secret| table.find(secret_home(key.id, secret), &secret.digest));
        let last = live.map(|live| live.line.usage().second()).max();
        last.filter(|second| *second > 0).map(|second| i64::from(second) * 1000)
    }

    /// Returns the last use of any secret of a key with an idle end, in milliseconds since 1970.
    pub(crate) fn last_use_of(&self, id: u128) -> Option<i64> {
        let (writer, _) = self.write();
        self.idle_ends.of(&writer.idle_ends, id)?.used_ms()
    }

    /// Lists the keys whose idle end is later by a use that only this index knows, each with that use in milliseconds.
    #[cfg(feature = "cluster")]
    pub(crate) fn extending_uses(&self) -> Vec<(u128, i64)> {
        self.idle_ends.extending_uses().collect()
    }

    /// Takes every live secret that was used since the last call, by its digest's prefix, with the second of use.
    pub(crate) fn take_uses(&self, mut each: impl FnMut(DigestPrefix, u32)) {
        let mut seen = None;
        let mut at = 0;
        loop {
            // Lock out writers, since a note that was taken from a table would reappear in its larger successor.
            // Release the lock between chunks, so that a revocation does not wait for all of them. An entry that moves
            // up between two chunks waits for the next call.
            let (writer, table) = self.write();
            let current = self.current.load(Ordering::Relaxed);
            if seen != Some(current) {
                seen = Some(current);
                at = 0;
            }
            let Some(chunk) = table.lines().get(at..).filter(|left| !left.is_empty()) else { return };
            for line in chunk.iter().take(CHUNK).filter(|line| line.take_note()) {
                if let Some(entry) = line.entry() {
                    each(digest_prefix(&entry.digest), entry.usage.second());
                }
            }
            at += CHUNK;
            drop(writer);
        }
    }
}
