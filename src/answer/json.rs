//! The JSON body of a request.

use apikey_core::{FieldError, redact};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use super::problem::Problem;

/// The most characters of a detail, which quotes what the caller has sent.
const MAX_DETAIL: usize = 300;

/// Reads a JSON body, such as a [`NewKey`](apikey_core::NewKey) or a [`KeyUpdate`](apikey_core::KeyUpdate). Its error
/// is a [`Problem`] that names the faulty field. Needs the feature `json`.
///
/// ```
/// use apikey::{NewKey, from_json};
///
/// let new: NewKey = from_json(r#"{"owner":"alice","permissions":["orders:read"],"expires_in_ms":86400000}"#)?;
/// let problem = from_json::<NewKey>(r#"{"owner":"alice","permissions":["orders:read",7]}"#).unwrap_err();
/// assert_eq!((problem.status(), problem.code()), (422, "invalid_field"));
/// assert_eq!((problem.errors()[0].pointer.as_str(), problem.errors()[0].code), ("#/permissions/1", "wrong_type"));
/// # Ok::<(), apikey::Problem>(())
/// ```
///
/// # Errors
/// `invalid_json` (400) for a body that is not JSON; `invalid_field` (422) for an unknown, missing or repeated field,
/// or a value of another type.
pub fn from_json<T: DeserializeOwned>(body: impl AsRef<[u8]>) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(body.as_ref());
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let text = error.inner().to_string();
        match error.inner().classify() {
            Category::Data => Problem::field(field_error(error.path(), &text)),
            Category::Syntax | Category::Eof | Category::Io => Problem::new(400, "invalid_json", detail(&text)),
        }
    })?;
    reader.end().map_err(|error| Problem::new(400, "invalid_json", detail(&error.to_string())))?;
    Ok(value)
}

/// The parser's text, without a token that the caller put into the wrong field.
fn detail(text: &str) -> String {
    redact(text).chars().take(MAX_DETAIL).collect()
}

pub(super) fn field_error(path: &Path, text: &str) -> FieldError {
    let mut path: Vec<String> = path.iter().filter_map(part).collect();
    let kinds = [
        ("unknown field `", "unknown_field"),
        ("missing field `", "missing_field"),
        ("duplicate field `", "repeated_field"),
        ("conflicting field `", "not_allowed"),
    ];
    for (begin, code) in kinds {
        let Some(rest) = text.strip_prefix(begin) else { continue };
        // The reader may stand before the field or at it. If at it, the path has the name, which may contain a backtick.
        let is_at_it = path.last().is_some_and(|last| rest.strip_prefix(last.as_str()).is_some_and(is_end));
        if !is_at_it && let Some((name, _)) = rest.split_once('`') {
            path.push(name.to_owned());
        }
        return FieldError::new(path, code, detail(text));
    }
    FieldError::new(path, "wrong_type", detail(text))
}

fn is_end(rest: &str) -> bool {
    rest.starts_with('`')
}

fn part(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use apikey_core::{EventFilter, KeyFilter, KeyUpdate, NewKey, Overlap};
    use serde_json::json;

    use super::*;

    fn error<T: DeserializeOwned>(body: &serde_json::Value) -> FieldError {
        let problem = from_json::<T>(body.to_string()).err().unwrap();
        assert_eq!((problem.status(), problem.code()), (422, "invalid_field"), "{problem}");
        problem.errors().first().unwrap().clone()
    }

    #[test]
    fn the_name_of_an_unknown_field_is_whole_bounded_and_without_tokens() {
        let token = format!("ak_{}", "aB3".repeat(20));
        for (name, pointer) in [
            ("colour".to_owned(), "#/colour".to_owned()),
            ("a`b".to_owned(), "#/a%60b".to_owned()),
            ("`".to_owned(), "#/%60".to_owned()),
            (token, "#/ak_%5BREDACTED%5D".to_owned()),
            ("x".repeat(100_000), format!("#/{}", "x".repeat(80))),
        ] {
            let error = error::<NewKey>(&json!({ "owner": "a", &name: 1 }));
            assert_eq!((error.pointer, error.code), (pointer, "unknown_field"));
            assert!(error.detail.chars().count() <= MAX_DETAIL && !error.detail.contains("aB3"), "{}", error.detail);
        }
        let error = error::<KeyUpdate>(&json!({ "metadata": { "é".repeat(200_000): 1 } }));
        assert_eq!((error.pointer, error.code), (format!("#/metadata/{}", "%C3%A9".repeat(80)), "wrong_type"));
    }

    fn refused<T: DeserializeOwned>(body: &str) -> (String, &'static str, String) {
        let problem = from_json::<T>(body).err().unwrap_or_else(|| panic!("{body} is accepted"));
        assert_eq!(problem.code(), "invalid_field", "{body}: {problem}");
        let FieldError { pointer, code, detail, .. } = problem.errors().first().unwrap().clone();
        let text = detail.rsplit_once(" at line ").map_or(detail.as_str(), |(text, _)| text).to_owned();
        (pointer, code, text)
    }

    fn field(pointer: &str, code: &'static str, text: &str) -> (String, &'static str, String) {
        (pointer.to_owned(), code, text.to_owned())
    }

    #[test]
    fn a_list_is_no_object() {
        let text = "invalid type: sequence, expected an object";
        let new = r#"["a",null,["*"],{},null,null,null,null,null,null]"#;
        assert_eq!(refused::<NewKey>(new), field("#", "wrong_type", text));
        for empty in [refused::<KeyUpdate>, refused::<KeyFilter>, refused::<EventFilter>] {
            assert_eq!(empty("[]"), field("#", "wrong_type", text));
        }
        let limit = r#"{"limit":[100,60000]}"#;
        assert_eq!(refused::<KeyUpdate>(limit), field("#/limit", "wrong_type", text));
        let rotation = r#"{"owner":"a","rotation":[1000,null]}"#;
        assert_eq!(refused::<NewKey>(rotation), field("#/rotation", "wrong_type", text));
        let metadata = r#"{"owner":"a","metadata":["b"]}"#;
        assert_eq!(refused::<NewKey>(metadata), field("#/metadata", "wrong_type", text));
    }

    #[test]
    fn an_overlap_has_one_form() {
        for (body, overlap) in [
            (r#""none""#, Overlap::None),
            (r#""first_use""#, Overlap::UntilFirstUse),
            (r#"{"ms":3600000}"#, Overlap::For(chrono::TimeDelta::hours(1))),
        ] {
            assert_eq!(from_json::<Overlap>(body).unwrap(), overlap);
        }
        let text = "unknown field `x`, expected `ms`";
        assert_eq!(refused::<Overlap>(r#"{"ms":1,"x":1}"#), field("#/x", "unknown_field", text));
        assert_eq!(refused::<Overlap>("{}"), field("#/ms", "missing_field", "missing field `ms`"));
        for wrong in [r#""ever""#, "[1]", "1", "null", r#"{"ms":"1"}"#] {
            assert_eq!(refused::<Overlap>(wrong).1, "wrong_type", "{wrong}");
        }
    }

    #[test]
    fn an_entry_of_metadata_is_given_once() {
        let text = "duplicate field `a`";
        for metadata in [r#"{"a":"1","a":"2"}"#, r#"{"a":"1","b":"","a":"1"}"#] {
            let new = format!(r#"{{"owner":"o","metadata":{metadata}}}"#);
            let update = format!(r#"{{"metadata":{metadata}}}"#);
            for error in [refused::<NewKey>(&new), refused::<KeyUpdate>(&update), refused::<KeyFilter>(&update)] {
                assert_eq!(error, field("#/metadata/a", "repeated_field", text));
            }
        }
    }

    #[test]
    fn an_error_names_no_type_of_the_program() {
        let number = "a whole number, 0 or more";
        let time = "a time as in RFC 3339, such as 2030-01-31T12:00:00Z";
        for (body, pointer, text) in [
            (r#"{"limit":"x"}"#, "#/limit", format!("invalid type: string \"x\", expected {number}")),
            (r#"{"limit":-1}"#, "#/limit", "-1 is out of bounds".to_owned()),
            (r#"{"limit":1.5}"#, "#/limit", format!("invalid type: floating point `1.5`, expected {number}")),
            (r#"{"idle_since":"may"}"#, "#/idle_since", format!("invalid value: string \"may\", expected {time}")),
            (r#"{"idle_since":7}"#, "#/idle_since", format!("invalid type: integer `7`, expected {time}")),
        ] {
            assert_eq!(refused::<KeyFilter>(body), field(pointer, "wrong_type", &text));
        }
        let both = r#"{"owner":"a","expires_at":"2030-01-31T12:00:00Z","expires_in_ms":1}"#;
        let text = "conflicting field `expires_in_ms`: give either this or expires_at";
        assert_eq!(refused::<NewKey>(both), field("#/expires_in_ms", "not_allowed", text));
        assert_eq!(refused::<EventFilter>(r#"{"colour":1}"#).1, "unknown_field");
    }
}
