//! Secrets that nobody has used: successors whose first use ends a predecessor, and secrets that a rotation may still
//! replace.

use crate::access::control_word::{SIDE_ENTRY, UNUSED};
use crate::access::verified_key::VerifiedKey;
use crate::index::Index;
use crate::index::locate::{secret_home, verified_home};
use crate::index::table::LiveLine;
use crate::key::effective_key::{EffectiveKey, EffectiveSecret};
use crate::key::record::SecretEnd;
use crate::token::digest::Digest;

/// The first use of a secret, as the index has taken it in.
#[derive(Clone, Copy)]
pub(crate) struct Promotion {
    /// The predecessor that it has ended.
    pub(crate) ended: Option<Digest>,
}

impl Index {
    /// Ends the predecessor that the first use of a secret ends, and keeps it until then as one that has ended. Returns `None`
    /// if another use was first.
    pub(crate) fn promote(&self, key: &VerifiedKey, until: Option<i64>) -> Option<Promotion> {
        let (mut writer, table) = self.write();
        let find = || table.find_again(verified_home(key), &key.digest);
        let LiveLine { state, .. } = find().filter(|live| live.state.control & UNUSED != 0)?;
        let has_entry = state.control & SIDE_ENTRY != 0;
        let ended = writer.free_list.ended_by(state.side).filter(|_| has_entry);
        if let Some((home, ended)) = ended {
            writer.remove(table, home, &ended);
            if let Some(until) = until {
                self.note_rotated(key, home, ended, until);
            }
        }
        // Its line may have moved.
        if let Some(live) = find() {
            live.line.clear_unused();
        }
        Some(Promotion { ended: ended.map(|(_, digest)| digest) })
    }

    /// Removes a secret unless it has been used since it succeeded another. Returns whether it was unused.
    pub(crate) fn remove_unused(&self, key: &EffectiveKey, secret: &EffectiveSecret) -> bool {
        let (mut writer, table) = self.write();
        let home = secret_home(key.id, secret);
        let live = table.find(home, &secret.digest);
        if live.is_some_and(|live| live.state.control & UNUSED == 0) {
            return false;
        }
        writer.remove(table, home, &secret.digest);
        true
    }

    /// Whether a secret has been used, if the index notes its first use; otherwise `true`. A secret that is not visible
    /// yet is unused.
    pub(crate) fn is_used(&self, id: u128, secret: &EffectiveSecret) -> bool {
        let (_writer, table) = self.write();
        let live = table.find(secret_home(id, secret), &secret.digest);
        live.is_some_and(|live| live.state.control & UNUSED == 0)
    }

    /// The secrets that the first use of their successor has ended.
    pub(crate) fn ended_by_use(&self, key: &EffectiveKey) -> Vec<Digest> {
        let table = self.table();
        let until_use = key.secrets.iter().filter(|secret| secret.end == SecretEnd::FirstUse);
        let ended = until_use.filter(|secret| table.find(secret_home(key.id, secret), &secret.digest).is_none());
        ended.map(|secret| secret.digest).collect()
    }
}
