//! Taking rights away from keys whose record cannot be read.
//!
//! On a disk that refuses, sled can refuse to read as well; a revocation must hold all the same. The lines know less of
//! their keys than the records do, so this looks at each of them, and errs on the side of ending too much: an own key
//! without extras is known by 32 bits of a hash of its id.

use crate::grants;
use crate::intern::{Full, GRANTS, OWNERS};

use super::line::{self, DISABLED, EXTRA, Entry, REVOKED, Standing};
use super::table::{Table, own_spot};
use super::{Index, Shelf};

/// Which keys.
pub(crate) enum Target<'a> {
    Key(u128),
    Owner(&'a str),
}

/// What is taken away from every secret of a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) revoke: bool,
    pub(crate) disable: bool,
    /// Ends the secrets themselves: they are as unknown as any other.
    pub(crate) end_secrets: bool,
    pub(crate) expires_at: Option<i64>,
    /// Nothing beyond these grants is left; a number in [`GRANTS`].
    pub(crate) grants: Option<u32>,
}

impl Index {
    /// Takes away, and gives nothing. How many secrets have less now, or are revoked or disabled as was asked.
    pub(crate) fn cut(&self, target: &Target<'_>, cut: &Cut) -> Result<usize, Full> {
        let owner = match target {
            Target::Owner(name) => Some(OWNERS.number(name)?),
            Target::Key(_) => None,
        };
        let is_meant = |table: &Table, entry: &Entry| match *target {
            Target::Owner(_) => Some(entry.owner) == owner,
            Target::Key(id) => is_of(table, entry, id),
        };
        let shelf: &Shelf = &self.lock();
        let mut taken = 0;
        for line in shelf.table.lines() {
            if !line.entry().is_some_and(|entry| is_meant(&shelf.table, &entry)) {
                continue;
            }
            if cut.end_secrets {
                line.kill();
                taken += 1;
                continue;
            }
            let standing = line.standing();
            let flags = if cut.revoke { REVOKED } else { 0 } | if cut.disable { DISABLED } else { 0 };
            let control = line::stricter(standing.control, line::with_time(flags, cut.expires_at));
            let grants = match cut.grants {
                Some(left) => GRANTS.number(&grants::common(GRANTS.text(standing.grants), GRANTS.text(left)))?,
                None => standing.grants,
            };
            let less = grants != standing.grants || line::time(control) != line::time(standing.control);
            taken += usize::from(cut.revoke || cut.disable || less);
            line.update(Standing { control, grants, ..standing });
        }
        Ok(taken)
    }
}

fn is_of(table: &Table, entry: &Entry, id: u128) -> bool {
    let named = table.extra(entry.extra).filter(|_| entry.control & EXTRA != 0).map_or(0, |extra| extra.id);
    // The extra of an own key may not name it.
    if named == 0 { entry.spot == own_spot(&crate::base62::encode_u128(id)) } else { named == id }
}
