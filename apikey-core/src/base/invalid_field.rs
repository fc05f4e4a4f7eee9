//! A field that is out of bounds.

/// Characters of a value that an error quotes.
const QUOTED: usize = 80;

/// A field whose value is not allowed; the operation that was called puts it into its own error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {field} {value:?}: allowed are {allowed}")]
pub(crate) struct InvalidField {
    pub(crate) field: &'static str,
    /// The value, shortened; never a secret.
    pub(crate) value: String,
    pub(crate) allowed: &'static str,
}

impl InvalidField {
    pub(crate) fn new(field: &'static str, value: &str, allowed: &'static str) -> Self {
        let mut quoted: String = value.chars().take(QUOTED).collect();
        if quoted.len() < value.len() {
            quoted.push('…');
        }
        Self { field, value: quoted, allowed }
    }
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
}
