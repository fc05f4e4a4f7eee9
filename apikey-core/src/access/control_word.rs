//! The control word of a secret: a time, flags, and a count of writes, which together say whether the secret is valid.

/// The low 48 bits are a time in milliseconds. All ones: no end.
const TIME: u64 = (1 << 48) - 1;
/// The line holds a secret, or did a moment ago.
pub(crate) const OCCUPIED: u64 = 1 << 48;
/// The secret has ended. A search goes on past this line.
pub(crate) const DEAD: u64 = 1 << 49;
pub(crate) const REVOKED: u64 = 1 << 50;
pub(crate) const DISABLED: u64 = 1 << 51;
/// The secret is not the newest.
pub(crate) const SUPERSEDED: u64 = 1 << 52;
/// The time is the end of the secret, not of its key. After it, the store treats the secret as unknown.
pub(crate) const SECRET_ENDS: u64 = 1 << 53;
/// The history does not have the secret's first use yet.
pub(crate) const UNUSED: u64 = 1 << 54;
/// Its line names an entry in the side table.
pub(crate) const SIDE_ENTRY: u64 = 1 << 55;
/// The secret ends with the first use of its successor.
pub(crate) const UNTIL_USE: u64 = 1 << 56;
/// The top seven bits count writes, so that a reader notices a word that has come back to what it was.
const COUNT: u64 = 1 << 57;
const FLAGS: u64 = (COUNT - 1) & !TIME;

/// Returns the word `new` with the count of `old`, increased by `steps`.
pub(crate) fn counted(old: u64, steps: u64, new: u64) -> u64 {
    (new & (COUNT - 1)) | (old & !(COUNT - 1)).wrapping_add(steps.wrapping_mul(COUNT))
}

/// Returns a control word with these flags and this end.
pub(crate) fn with_time(flags: u64, end: Option<i64>) -> u64 {
    // Ends lie in 1970..=9999, which 48 bits hold; what lies outside came from tampered data and is cut to "ended".
    flags | end.map_or(TIME, |end| u64::try_from(end).unwrap_or(0).min(TIME - 1))
}

/// Returns the end in a control word.
#[inline]
pub(crate) fn time(control: u64) -> Option<i64> {
    match control & TIME {
        TIME => None,
        end => i64::try_from(end).ok(),
    }
}

/// Returns a word that allows what both allow: it has the flags of both, and the earlier time. If the times are equal
/// and one of them ends the secret, the secret ends.
///
/// [`Allowance::meet`](crate::key::allowance::Allowance::meet) is the same for what a key allows; a word has the flags
/// of its secret, too, and no grants.
pub(crate) fn meet(one: u64, other: u64) -> u64 {
    let rank = |word: u64| (word & TIME, word & SECRET_ENDS == 0);
    let earlier = if rank(one) <= rank(other) { one } else { other };
    ((one | other) & FLAGS & !SECRET_ENDS) | (earlier & (TIME | SECRET_ENDS))
}

/// The control word at the time of a verification.
#[derive(Clone, Copy)]
pub(crate) struct ControlWord(pub(crate) u64);

impl ControlWord {
    /// Whether its line names an entry in the side table.
    #[inline]
    pub(crate) fn has_side_entry(self) -> bool {
        self.0 & SIDE_ENTRY != 0
    }

    /// Whether the secret has a successor.
    #[inline]
    pub(super) fn superseded(self) -> bool {
        self.0 & SUPERSEDED != 0
    }

    /// When a superseded secret ends; `None` if the first use of its successor ends it.
    pub(super) fn superseded_until(self) -> Option<i64> {
        time(self.0).filter(|_| self.superseded() && self.0 & UNTIL_USE == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_a_lattice() {
        let flags = [0, SECRET_ENDS, REVOKED, REVOKED | SECRET_ENDS];
        let words = flags.map(|flags| [None, Some(0), Some(1), Some(2)].map(|end| with_time(flags, end))).concat();
        for &one in &words {
            assert_eq!(meet(one, one), one);
            for &other in &words {
                assert_eq!(meet(one, other), meet(other, one));
                for &third in &words {
                    assert_eq!(meet(meet(one, other), third), meet(one, meet(other, third)));
                }
            }
        }
    }
}
