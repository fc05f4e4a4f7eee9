//! The query string of a request.

use serde::de::DeserializeOwned;

use super::json::field_error;
use super::problem::Problem;

/// Reads a query string, such as a [`KeyFilter`](apikey_core::KeyFilter). Its error is a [`Problem`] that names the faulty
/// parameter. Needs the feature `json`.
///
/// ```
/// use apikey::{KeyFilter, from_query};
///
/// let filter: KeyFilter = from_query("state=active&limit=20")?;
/// let problem = from_query::<KeyFilter>("state=good").unwrap_err();
/// assert_eq!((problem.status(), problem.code()), (422, "invalid_field"));
/// assert_eq!(problem.errors()[0].pointer, "#/state");
/// # Ok::<(), apikey::Problem>(())
/// ```
///
/// The query is what follows the question mark, percent-encoded as it arrives; in axum `RawQuery` has it, and
/// `Uri::query` in every framework over `http` types. A request without one is the empty query.
///
/// # Errors
/// `invalid_field` (422) for an unknown, missing or repeated parameter, or a value of another type.
pub fn from_query<T: DeserializeOwned>(query: impl AsRef<str>) -> Result<T, Problem> {
    let pairs = form_urlencoded::parse(query.as_ref().as_bytes());
    serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs))
        .map_err(|error| Problem::field(field_error(error.path(), &error.inner().to_string())))
}

#[cfg(test)]
mod tests {
    use apikey_core::KeyFilter;

    use super::*;

    #[test]
    fn a_parameter_that_is_wrong_is_named() {
        for query in
            ["", "limit=20&owner=a%20b&never_used=true", "state=active&text=x", "expiring_before=2030-01-01T00:00:00Z"]
        {
            assert!(from_query::<KeyFilter>(query).is_ok(), "{query}");
        }
        for (query, pointer, code) in [
            ("limit=x", "#/limit", "wrong_type"),
            ("state=good", "#/state", "wrong_type"),
            ("colour=blue", "#/colour", "unknown_field"),
            ("owner=a&owner=b", "#/owner", "repeated_field"),
            ("metadata=x", "#/metadata", "wrong_type"),
            ("after=zz", "#/after", "wrong_type"),
            ("expiring_before=tomorrow", "#/expiring_before", "wrong_type"),
            ("never_used=perhaps", "#/never_used", "wrong_type"),
        ] {
            let problem = from_query::<KeyFilter>(query).err().unwrap();
            assert_eq!((problem.status(), problem.code()), (422, "invalid_field"), "{query}: {problem}");
            let error = problem.errors().first().unwrap();
            assert_eq!((error.pointer.as_str(), error.code), (pointer, code), "{query}: {problem}");
        }
    }
}
