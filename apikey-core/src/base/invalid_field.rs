//! A field that is out of bounds.

use crate::base::redact::redact;

/// The most characters of a value that an error quotes.
const QUOTED: usize = 80;

/// A field whose value is not allowed. An operation converts it into its own error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {field} {value:?}: allowed are {allowed}")]
pub(crate) struct InvalidField {
    pub(crate) field: &'static str,
    /// The part of the field that is not allowed: an index of a list, or the name of an entry.
    pub(crate) entry: Option<String>,
    /// The value, shortened; never a secret.
    pub(crate) value: String,
    pub(crate) allowed: &'static str,
}

impl InvalidField {
    pub(crate) fn new(field: &'static str, value: &str, allowed: &'static str) -> Self {
        Self { field, entry: None, value: quoted(value), allowed }
    }

    /// Names the part of the field that is not allowed.
    pub(crate) fn at(self, entry: impl ToString) -> Self {
        Self { entry: Some(quoted(&entry.to_string())), ..self }
    }
}

/// A text from outside as an error may show it: without tokens, since a caller may put one into the wrong field, and
/// shortened.
fn quoted(text: &str) -> String {
    let shown = redact(text);
    let mut quoted: String = shown.chars().take(QUOTED).collect();
    if quoted.len() < shown.len() {
        quoted.push('…');
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_shortened() {
        let value = |text: &str| InvalidField::new("name", text, "").value;
        assert_eq!(value(&"é".repeat(80)), "é".repeat(80));
        assert_eq!(value(&"é".repeat(81)), format!("{}…", "é".repeat(80)));
    }

    #[test]
    fn a_token_in_the_wrong_field_is_not_shown() {
        let token = format!("ak_{}", "aB3".repeat(20));
        for given in [token.clone(), format!("{}{token}", "-".repeat(40))] {
            let error = InvalidField::new("name", &given, "").at(&given);
            assert!(!format!("{error:?}").contains("aB3"), "{error:?}");
        }
    }
}
