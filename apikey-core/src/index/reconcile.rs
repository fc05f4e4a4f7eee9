//! Setting everything that the index has of a key, whatever it had before.

use crate::access::control_word::UNUSED;
use crate::index::Index;
use crate::index::line::LineState;
use crate::index::locate::secret_home;
use crate::index::publish::{predecessor, secret_control, secret_end};
use crate::index::side_table::SideEntry;
use crate::index::table::LiveLine;
use crate::index::writer_state::Shared;
use crate::key::allowance::Allowance;
use crate::key::effective_key::{EffectiveKey, EffectiveSecret};
use crate::token::digest::Digest;

impl Index {
    /// Sets every line of a key to what its record gives, and inserts those that are missing.
    /// [`publish`](Self::publish) trusts the index to have what the record before had; this does not. A node of a cluster
    /// changes its index before a change is in the log, and the change may not get there.
    ///
    /// A secret of which the index knows a first use stays used, and so does one that is among the `used` ones.
    pub(crate) fn reconcile(&self, key: &EffectiveKey, used: &[Digest]) {
        let (mut writer, table) = self.write();
        let shared = self.share(&mut writer, key, 0);
        let Shared { limiter, quota, idle } = shared;
        let Allowance { grants, not_before, networks, .. } = key.allowance;
        let mut missing: Vec<&EffectiveSecret> = Vec::new();
        for secret in &key.secrets {
            let Some(LiveLine { line, state }) = table.find(secret_home(key.id, secret), &secret.digest) else {
                missing.push(secret);
                continue;
            };
            let unused = if used.contains(&secret.digest) { 0 } else { state.control & UNUSED };
            let control = secret_control(key, secret) & !UNUSED | unused;
            let secret_end = secret_end(key, secret);
            let content = SideEntry { id: key.id, not_before, secret_end, networks, limiter, quota, idle };
            let successor_of = predecessor(key, secret).filter(|_| control & UNUSED != 0);
            let new = LineState { control, identity: secret.identity, grants, ..state };
            self.set_line(&mut writer, line, &new, content, successor_of);
        }
        // Inserting may make a larger table.
        for secret in missing {
            self.insert(&mut writer, key, secret, 0, shared);
        }
        writer.give_back(key.id, shared);
        self.set_rotated(key);
    }
}

#[cfg(test)]
impl Index {
    /// What a role grants, or a tenant leaves, by the index.
    #[cfg(feature = "cluster")]
    pub(crate) fn allowance_of(
        &self,
        name: crate::access::named::NamedId,
    ) -> Result<crate::access::named::NamedAllowance, crate::base::interner::Full> {
        self.write().0.named.allowance(name)
    }

    /// What is wrong with a secret, compared with the state of its key that the index should have; `None` if the index
    /// has what it should. With `may_be_unused` the index may have a secret as unused that the key has as used.
    pub(crate) fn fault_of(&self, key: &EffectiveKey, digest: &Digest, may_be_unused: bool) -> Option<String> {
        use crate::access::control_word::{OCCUPIED, SIDE_ENTRY, counted};
        use crate::index::idle_ends::IdleSlot;
        let table = self.table();
        let Some(secret) = key.secrets.iter().find(|secret| secret.digest == *digest) else {
            // Own secrets of a key have one home.
            let ended = EffectiveSecret { digest: *digest, ..key.secrets.first().cloned().unwrap_or(NO_SECRET) };
            let has = table.find(secret_home(key.id, &ended), digest).is_some();
            return has.then(|| "it has a secret that has ended".to_owned());
        };
        let Some(LiveLine { state, .. }) = table.find(secret_home(key.id, secret), digest) else {
            return Some(format!("it lacks secret {}", secret.version));
        };
        let of_line = |control: u64| counted(0, 0, control) & !(OCCUPIED | SIDE_ENTRY);
        let (found, expected) = (of_line(state.control), of_line(secret_control(key, secret)));
        let differ = if may_be_unused { (found ^ expected) & !UNUSED } else { found ^ expected };
        if differ != 0 {
            return Some(format!("secret {} has the control word {found:x}, and not {expected:x}", secret.version));
        }
        if state.grants != key.allowance.grants {
            return Some(format!("secret {} has other grants than its record", secret.version));
        }
        if state.identity != secret.identity {
            return Some(format!("secret {} has another identity than its record", secret.version));
        }
        let entry = self.side_entry(&state);
        let networks = entry.map_or(crate::access::network::ANYWHERE, |entry| entry.networks);
        let (limiter, quota) = entry.map_or((0, 0), |entry| (entry.limiter, entry.quota));
        let bounds = (limiter != 0, quota != 0);
        if networks != key.allowance.networks
            || bounds != (key.allowance.limit.is_some(), key.allowance.quota.is_some())
        {
            return Some(format!("secret {} has other networks, limits or quotas than its record", secret.version));
        }
        let idle = entry.and_then(|entry| self.idle_ends.get(entry.idle)).and_then(IdleSlot::get);
        if idle != key.allowance.idle {
            return Some(format!("secret {} has another idle end than its record", secret.version));
        }
        None
    }
}

#[cfg(test)]
const NO_SECRET: EffectiveSecret = EffectiveSecret {
    digest: [0; 32],
    pepper: 0,
    imported: None,
    identity: 0,
    version: 0,
    end: crate::key::record::SecretEnd::Never,
    latest: None,
    unused: false,
    ends: None,
};
