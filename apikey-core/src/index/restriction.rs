//! Taking rights away from keys whose record cannot be read.
//!
//! On a disk that refuses, sled can refuse to read as well; a revocation must hold all the same. The lines know less of
//! their keys than the records do, so this looks at each of them, and errs on the side of ending too much: an own key
//! without extras is known by 31 bits of a hash of its id.

use crate::access::grants;
use crate::access::limit::Limit;
use crate::access::network;
use crate::access::network::ANYWHERE;
use crate::base::interner::{Full, GRANTS, OWNERS};

use crate::access::control_word;
use crate::access::control_word::{DISABLED, EXTRA, REVOKED};
use crate::index::Index;
use crate::index::extras::Extra;
use crate::index::line::{Entry, Standing};
use crate::index::table::{Found, own_spot};

/// Which keys.
pub(crate) enum Target<'a> {
    /// One key, if it is this owner's; `None`: whoever's it is.
    Key {
        id: u128,
        owner: Option<&'a str>,
    },
    Owner(&'a str),
}

/// What is taken away from every secret of a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Restriction {
    pub(crate) revoke: bool,
    pub(crate) disable: bool,
    /// Ends the secrets themselves: they are as unknown as any other.
    pub(crate) end_secrets: bool,
    pub(crate) expires_at: Option<i64>,
    /// Nothing beyond these grants is left; a number in [`GRANTS`].
    pub(crate) grants: Option<u32>,
    /// It is good from no other networks than these.
    pub(crate) networks: Option<u32>,
    /// It may be used no faster.
    pub(crate) limit: Option<Limit>,
}

impl Index {
    /// Takes away, and gives nothing. How many secrets have less now, or are revoked or disabled as was asked.
    pub(crate) fn restrict_without_record(&self, target: &Target<'_>, what: &Restriction) -> Result<usize, Full> {
        let owner = match target {
            Target::Owner(name) | Target::Key { owner: Some(name), .. } => Some(OWNERS.number(name)?),
            Target::Key { owner: None, .. } => None,
        };
        let is_meant = |entry: &Entry| {
            let is_of_owner = owner.is_none_or(|owner| entry.standing.owner == owner);
            match *target {
                Target::Owner(_) => is_of_owner,
                Target::Key { id, .. } => is_of_owner && self.is_of(entry, id),
            }
        };
        let (mut shelf, table) = self.lock();
        // First all of them: ending one can move others.
        let meant: Vec<Entry> = table.lines().iter().filter_map(|line| line.entry().filter(is_meant)).collect();
        let mut taken = 0;
        for Entry { digest, usage, .. } in &meant {
            if what.end_secrets {
                shelf.kill(table, usage.spot(), digest);
                taken += 1;
                continue;
            }
            let Some(Found { line, standing }) = table.find(usage.spot(), digest) else { continue };
            let flags = if what.revoke { REVOKED } else { 0 } | if what.disable { DISABLED } else { 0 };
            let control = control_word::stricter(standing.control, control_word::with_time(flags, what.expires_at));
            let grants = match what.grants {
                Some(left) => GRANTS.number(&grants::common(GRANTS.text(standing.grants), GRANTS.text(left)))?,
                None => standing.grants,
            };
            let held = self.extra_of(&standing);
            let networks =
                network::common(held.map_or(ANYWHERE, |extra| extra.networks), what.networks.unwrap_or(ANYWHERE))?;
            let id = match (held, target) {
                (Some(extra), _) => extra.id,
                // The best that is known; nothing but this looks at the id of an own key's extra.
                (None, Target::Key { id, .. }) => *id,
                (None, Target::Owner(_)) => 0,
            };
            let mut content = held.unwrap_or(Extra { id, not_before: None, secret_end: None, networks, limiter: 0 });
            content.networks = networks;
            let limit = self.limiters.limit(&shelf.held, id);
            let slower = Limit::common_of(limit, what.limit) != limit;
            if what.limit.is_some() {
                // Also for the second secret of a key.
                content.limiter = self.tighten(&mut shelf, id, what.limit);
            }
            let less = grants != standing.grants
                || control_word::time(control) != control_word::time(standing.control)
                || held.map_or(ANYWHERE, |extra| extra.networks) != networks
                || slower;
            taken += usize::from(what.revoke || what.disable || less);
            self.set_line(&mut shelf, line, &Standing { control, grants, ..standing }, content, None);
        }
        Ok(taken)
    }

    fn is_of(&self, entry: &Entry, id: u128) -> bool {
        let Standing { control, extra, .. } = entry.standing;
        match self.extras.read(extra).filter(|_| control & EXTRA != 0) {
            Some(extra) => extra.id == id,
            None => entry.usage.spot() == own_spot(&crate::base::base62::encode_u128(id)),
        }
    }
}
