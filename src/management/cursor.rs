//! The place in a list at which its next page begins, as text: letters and digits alone, good for the same filter only.

use super::call::{Call, field};
use super::tags::fnv;
use crate::answer::Problem;

/// The parameters that a cursor does not depend on.
const OTHERS: [&str; 2] = ["cursor", "limit"];

/// A place in a list: after the item with this value and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cursor {
    /// What the list is sorted by; 0 in order of the numbers.
    pub(super) value: i64,
    pub(super) number: u128,
}

impl Cursor {
    /// The cursor of a request, if it has one.
    ///
    /// # Errors
    /// `invalid_cursor` (400) for a text that is none, or one of another filter.
    pub(super) fn of(call: &Call) -> Result<Option<Self>, Problem> {
        let Some(text) = call.query.get("cursor") else { return Ok(None) };
        let cursor = Self::read(text, filter(call));
        let detail = "the cursor is none of this filter: take `next` of a page of the same filter, or none";
        cursor.map(Some).ok_or_else(|| Problem::new(400, "invalid_cursor", detail))
    }

    /// Writes the cursor for the filter of a request.
    pub(super) fn write(self, call: &Call) -> String {
        self.text(filter(call))
    }

    fn text(self, filter: u64) -> String {
        // The sign in the highest bit would make another form of each number.
        format!("{filter:016x}{:016x}{:032x}", self.value.cast_unsigned(), self.number)
    }

    fn read(text: &str, filter: u64) -> Option<Self> {
        let part = |range: std::ops::Range<usize>| text.get(range);
        let value = u64::from_str_radix(part(16..32)?, 16).ok()?.cast_signed();
        let cursor = Self { value, number: u128::from_str_radix(part(32..64)?, 16).ok()? };
        // One form for each, and for this filter.
        (cursor.text(filter) == text).then_some(cursor)
    }
}

/// A number of the filter of a request: 64-bit FNV-1a of the operation and the parameters.
fn filter(call: &Call) -> u64 {
    let text = format!("{} {}", call.operation, call.query.canonical(&OTHERS));
    fnv(&text)
}

/// The limit of a page.
///
/// # Errors
/// It is none, or not from 1 to 1000.
pub(super) fn limit(call: &Call) -> Result<Option<usize>, Problem> {
    let Some(text) = call.query.get("limit") else { return Ok(None) };
    let limit = text.parse::<usize>().ok().filter(|limit| (1..=apikey_core::MAX_PAGE).contains(limit));
    let detail = || format!("invalid limit {text:?}: allowed are 1 to 1000");
    let code = if text.parse::<i64>().is_ok() { "not_allowed" } else { "wrong_type" };
    limit.map(Some).ok_or_else(|| field(["limit"], code, &detail()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_has_one_form_and_one_filter() {
        for cursor in [
            Cursor { value: 0, number: 0 },
            Cursor { value: -1, number: u128::MAX },
            Cursor { value: i64::MAX, number: 1 << 100 },
        ] {
            let text = cursor.text(7);
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            assert_eq!(Cursor::read(&text, 7), Some(cursor));
            assert_eq!(Cursor::read(&text, 8), None);
            let upper = text.to_uppercase();
            assert_eq!(Cursor::read(&upper, 7), Some(cursor).filter(|_| upper == text));
            for wrong in ["", "7", &text[1..], &format!("{text}0"), &format!("+{}", &text[1..]), &"ü".repeat(32)] {
                assert_eq!(Cursor::read(wrong, 7), None, "{wrong}");
            }
        }
    }
}
