//! The names of rows, in the order in which they expire.

use crate::usage::step::Step;
use crate::usage::subject::UsageSubject;

/// The name of a row: a step, the number of the row among those of the step since 1970, and a subject. Rows of one step
/// follow each other by time, so that old ones are a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RowName {
    pub(crate) span: RowSpan,
    pub(crate) number: u32,
    pub(crate) subject: UsageSubject,
}

/// What a row spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum RowSpan {
    Steps(Step),
    /// All of the time; its number is 0.
    Ever,
}

const BEFORE: usize = 5;

impl RowName {
    /// The row of a subject that has this minute, and the number of the minute's step in it.
    pub(crate) fn of(span: RowSpan, minute: u32, subject: UsageSubject) -> (Self, u8) {
        let RowSpan::Steps(step) = span else { return (Self { span, number: 0, subject }, 0) };
        let at = minute / step.minutes();
        let offset = at % step.steps_of_row();
        (Self { span, number: at / step.steps_of_row(), subject }, u8::try_from(offset).unwrap_or(u8::MAX))
    }

    pub(crate) fn bytes(self) -> [u8; BEFORE + UsageSubject::BYTES] {
        let mut bytes = [0; BEFORE + UsageSubject::BYTES];
        let (before, subject) = bytes.split_at_mut(BEFORE);
        before.copy_from_slice(&begin(self.span, self.number));
        subject.copy_from_slice(&self.subject.bytes());
        bytes
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (&[code, one, two, three, four], subject) = bytes.split_first_chunk::<BEFORE>()?;
        Some(Self {
            span: RowSpan::ALL.into_iter().find(|span| span.code() == code)?,
            number: u32::from_be_bytes([one, two, three, four]),
            subject: UsageSubject::read(subject.try_into().ok()?)?,
        })
    }
}

/// How the names of all rows of this number begin.
pub(crate) fn begin(span: RowSpan, number: u32) -> [u8; BEFORE] {
    let [one, two, three, four] = number.to_be_bytes();
    [span.code(), one, two, three, four]
}

impl RowSpan {
    pub(crate) const ALL: [Self; 4] =
        [Self::Steps(Step::Minute), Self::Steps(Step::Hour), Self::Steps(Step::Day), Self::Ever];

    fn code(self) -> u8 {
        match self {
            Self::Steps(Step::Minute) => 1,
            Self::Steps(Step::Hour) => 2,
            Self::Steps(Step::Day) => 3,
            Self::Ever => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_its_place_in_each_row() {
        // 1970-03-03 05:07.
        let minute = 61 * 1440 + 5 * 60 + 7;
        let place = |span| {
            let (name, offset) = RowName::of(span, minute, UsageSubject::key(7));
            assert_eq!(RowName::read(&name.bytes()), Some(name));
            (name.number, offset)
        };
        assert_eq!(place(RowSpan::Steps(Step::Minute)), (61 * 24 + 5, 7));
        assert_eq!(place(RowSpan::Steps(Step::Hour)), (61, 5));
        assert_eq!(place(RowSpan::Steps(Step::Day)), (1, 29));
        assert_eq!(place(RowSpan::Ever), (0, 0));
    }
}
