//! The codes of refusals as numbers, as rows have them.

/// The codes in the order of their numbers, which begin with 1. The list only grows at its end.
const CODES: [&str; 15] = [
    "missing_api_key",
    "invalid_api_key",
    "rotated_api_key",
    "revoked_api_key",
    "disabled_api_key",
    "expired_api_key",
    "idle_api_key",
    "inactive_api_key",
    "address_not_allowed",
    "rate_limited",
    "insufficient_permission",
    "not_found",
    "unavailable",
    "quota_exceeded",
    "no_uses_left",
];
const OTHER: &str = "other";

/// The number of a code; 0 for one that is not in the list.
pub(crate) fn number(code: &str) -> u8 {
    let at = CODES.iter().position(|known| *known == code);
    at.and_then(|at| u8::try_from(at + 1).ok()).unwrap_or(0)
}

/// The code of a number. Those of later versions are `other`.
pub(crate) fn code(number: u8) -> &'static str {
    usize::from(number).checked_sub(1).and_then(|at| CODES.get(at)).copied().unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::auth_error::AuthError;

    #[test]
    fn every_code_has_a_number() {
        for known in AuthError::CODES {
            assert_eq!(code(number(known)), known, "a new code belongs at the end of the list");
        }
        assert_eq!((number("made_up"), code(0), code(200)), (0, OTHER, OTHER));
    }
}
