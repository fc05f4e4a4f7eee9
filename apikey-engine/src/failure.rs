use std::error::Error;

use apikey_core::cluster::LedgerError;

/// Returns the error of a call of which an earlier try may have been done: that it is refused now says nothing about the
/// earlier one, so it stays unknown.
#[must_use]
pub fn after_unknown(earlier: Option<LedgerError>, error: LedgerError) -> LedgerError {
    earlier.filter(|_| matches!(error, LedgerError::Refused { .. })).unwrap_or(error)
}

/// Creates a [`LedgerError::Damaged`]: a value of the engine does not decode.
#[must_use]
pub fn damaged(what: impl Into<String>) -> LedgerError {
    LedgerError::Damaged { what: what.into() }
}

/// Creates the [`LedgerError::Foreign`] of calls that need a log where there is none.
#[must_use]
pub fn no_log(generation: u64) -> LedgerError {
    LedgerError::Foreign { what: format!("it has no log of generation {generation}") }
}

/// Returns the text of an error, and those of its sources that it does not end with: clients say at the top only which step
/// failed.
#[must_use]
pub fn with_sources(text: impl Into<String>, mut source: Option<&(dyn Error + 'static)>) -> String {
    let mut text = text.into();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_no_verdict_on_an_earlier_try() {
        let (unknown, refused) = (LedgerError::unknown("first"), LedgerError::refused("second"));
        assert_eq!(after_unknown(Some(unknown.clone()), refused.clone()), unknown);
        assert_eq!(after_unknown(None, refused.clone()), refused);
        let floor = LedgerError::BelowFloor { floor: 3 };
        assert_eq!(after_unknown(Some(unknown), floor.clone()), floor);
    }

    #[test]
    fn a_text_has_each_source_once() {
        #[derive(Debug)]
        struct Nested(&'static str, Option<Box<Nested>>);
        impl std::fmt::Display for Nested {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.0)
            }
        }
        impl Error for Nested {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                self.1.as_deref().map(|inner| inner as _)
            }
        }
        let inner = Nested("outer: middle", Some(Box::new(Nested("middle", Some(Box::new(Nested("inner", None)))))));
        assert_eq!(with_sources(inner.to_string(), inner.source()), "outer: middle: inner");
        assert_eq!(with_sources("", inner.source()), "middle: inner");
    }
}
