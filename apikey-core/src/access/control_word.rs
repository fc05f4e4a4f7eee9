//! The word that says what a key may do now: a time, flags, and a count of writes.

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
/// The time is the secret's end, not the key's: past it the secret is as unknown as any other.
pub(crate) const SECRET_ENDS: u64 = 1 << 53;
/// Its first use is to be recorded.
pub(crate) const UNUSED: u64 = 1 << 54;
/// Its line names an entry in the table of extras.
pub(crate) const EXTRA: u64 = 1 << 55;
/// The secret ends with the first use of its successor.
pub(crate) const UNTIL_USE: u64 = 1 << 56;
/// The top seven bits count writes, so that a word that has come back to what it was is told apart.
pub(crate) const COUNT: u64 = 1 << 57;
const FLAGS: u64 = (COUNT - 1) & !TIME;

/// The word `new`, with the count of `old` and some steps more.
pub(crate) fn counted(old: u64, steps: u64, new: u64) -> u64 {
    (new & (COUNT - 1)) | (old & !(COUNT - 1)).wrapping_add(steps.wrapping_mul(COUNT))
}

/// A control word with the earlier end (or none) among its flags.
pub(crate) fn with_time(flags: u64, end: Option<i64>) -> u64 {
    // Ends lie in 1970..=9999, which 48 bits hold; what lies outside came from tampered data and is cut to "ended".
    flags | end.map_or(TIME, |end| u64::try_from(end).unwrap_or(0).min(TIME - 1))
}

/// The end in a control word.
#[inline]
pub(crate) fn time(control: u64) -> Option<i64> {
    match control & TIME {
        TIME => None,
        end => i64::try_from(end).ok(),
    }
}

/// Flags of both and the earlier time; a time that ends the secret only if that one is the earlier.
pub(crate) fn stricter(one: u64, other: u64) -> u64 {
    let earlier = if one & TIME <= other & TIME { one } else { other };
    ((one | other) & FLAGS & !SECRET_ENDS) | (earlier & (TIME | SECRET_ENDS))
}

/// What a verified key keeps of the word it was verified by.
#[derive(Clone, Copy)]
pub(crate) struct Word(pub(crate) u64);

impl Word {
    /// Whether its line names an entry in the table of extras.
    #[inline]
    pub(crate) fn has_extra(self) -> bool {
        self.0 & EXTRA != 0
    }

    /// Whether the secret has a successor.
    #[inline]
    pub(crate) fn superseded(self) -> bool {
        self.0 & SUPERSEDED != 0
    }

    /// When a superseded secret ends; `None` if that is with the first use of its successor.
    pub(crate) fn superseded_until(self) -> Option<i64> {
        time(self.0).filter(|_| self.superseded() && self.0 & UNTIL_USE == 0)
    }
}
