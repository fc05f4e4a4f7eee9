//! The field of a request that is not allowed, in a form for programs.

use serde::Serialize;

use crate::base::redact::redact;
use crate::key::error::StoreError;

/// The most characters of a name, and the most names and indices, in a pointer: the fields that exist need no more.
const MAX_PART: usize = 80;
const MAX_DEPTH: usize = 8;

/// A field that is not allowed: a member of `errors` in a problem (RFC 9457).
///
/// ```
/// use apikey::{KeyStore, NewKey};
///
/// let store = KeyStore::temporary()?;
/// let error = store.create(NewKey::for_owner("alice").permissions(["orders:read", "Orders"])).unwrap_err();
/// let field = error.field_error().expect("a field is out of bounds");
/// assert_eq!((field.pointer.as_str(), field.code), ("#/permissions/1", "invalid_permission"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FieldError {
    /// The path of the field in the JSON of a [`NewKey`](crate::NewKey), a [`KeyUpdate`](crate::KeyUpdate), a
    /// [`KeyFilter`](crate::KeyFilter) or a [`Role`](crate::Role): a JSON pointer as a URI fragment (RFC 6901 section 6), such as
    /// `#/permissions/1`. `#` is the whole document. A name that the caller invents has its [tokens](crate::redact)
    /// redacted and is cut to 80 characters; a path is cut to 8 names and indices.
    pub pointer: String,
    /// What is wrong, for programs: `not_allowed`, `invalid_permission`, `unknown_permission` (see
    /// [`StoreError::UnknownGrant`]), or `lives_too_long` (see [`StoreError::TooLong`]). `apikey::from_json` adds
    /// `unknown_field`, `missing_field`, `repeated_field` and `wrong_type`.
    pub code: &'static str,
    /// What is wrong, for people: it names the field, the value and what is allowed.
    pub detail: String,
}

impl FieldError {
    /// Creates an error of the field at this path: names of members and indices of lists, outermost first.
    #[must_use]
    pub fn new<T: AsRef<str>>(
        path: impl IntoIterator<Item = T>,
        code: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let mut pointer = "#".to_owned();
        for part in path.into_iter().take(MAX_DEPTH) {
            pointer.push('/');
            let part = redact(part.as_ref());
            let end = part.char_indices().nth(MAX_PART).map_or(part.len(), |(at, _)| at);
            push_escaped(&mut pointer, part.get(..end).unwrap_or_default());
        }
        Self { pointer, code, detail: detail.into() }
    }
}

impl StoreError {
    /// Returns the field that is not allowed, for an error whose [`code`](Self::code) is `invalid_field`; otherwise
    /// `None`.
    #[must_use]
    pub fn field_error(&self) -> Option<FieldError> {
        let (field, entry, code) = match self {
            Self::Invalid { field, entry, .. } => (*field, entry.clone(), "not_allowed"),
            Self::TooLong { field, .. } => (*field, None, "lives_too_long"),
            Self::Permission(error) => match error.place() {
                Some((list, index)) => (list, Some(index.to_string()), "invalid_permission"),
                None => ("permission", None, "invalid_permission"),
            },
            Self::UnknownGrant(error) => {
                let (list, index) = error.place();
                (list, Some(index.to_string()), "unknown_permission")
            }
            _ => return None,
        };
        let path = json_path(field).into_iter().map(str::to_owned).chain(entry);
        Some(FieldError::new(path, code, self.to_string()))
    }
}

impl StoreError {
    /// Names the list of grants, if it is another than `permissions`.
    pub(crate) fn of_list(self, list: &'static str) -> Self {
        match self {
            Self::Permission(error) => match error.place() {
                Some((_, index)) => Self::Permission(error.at(list, index)),
                None => Self::Permission(error),
            },
            Self::UnknownGrant(error) => Self::UnknownGrant(error.in_list(list)),
            Self::Invalid { entry, value, allowed, .. } => Self::Invalid { field: list, entry, value, allowed },
            other => other,
        }
    }
}

/// The path of a field in the JSON, where names of numbers include their units.
fn json_path(field: &'static str) -> Vec<&'static str> {
    match field {
        // Errors of no single field.
        "update" | "record" | "keys" => Vec::new(),
        "expires_in" => vec!["expires_in_ms"],
        "idle_after" => vec!["idle_after_ms"],
        "limit.count" => vec!["limit", "count"],
        "limit.per" => vec!["limit", "per_ms"],
        "quota.count" => vec!["quota", "count"],
        "quota.offset" => vec!["quota", "offset_minutes"],
        "rotation.every" => vec!["rotation", "every_ms"],
        "rotation.overlap" => vec!["rotation", "overlap_ms"],
        "metadata key" | "metadata value" => vec!["metadata"],
        "label name" | "label value" => vec!["labels"],
        other => vec![other],
    }
}

/// RFC 6901 escapes `~` and `/`, and a fragment (RFC 3986) carries few other characters as they are.
fn push_escaped(pointer: &mut String, part: &str) {
    for byte in part.bytes() {
        match byte {
            b'~' => pointer.push_str("~0"),
            b'/' => pointer.push_str("~1"),
            byte if byte.is_ascii_alphanumeric() || b"-._!$&'()*+,;=:@?".contains(&byte) => {
                pointer.push(char::from(byte));
            }
            byte => pointer.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use crate::{FieldError, KeyFilter, KeyId, KeyStore, KeyUpdate, NewKey, Overlap, RotationPolicy};

    #[test]
    fn a_pointer_shows_no_token_and_is_bounded() {
        let token = format!("ak_{}", "aB3".repeat(20));
        let error = FieldError::new([&format!("{}{token}", "-".repeat(40))], "unknown_field", "");
        assert_eq!(error.pointer, format!("#/{}ak_%5BREDACTED%5D", "-".repeat(40)));
        let deep = FieldError::new((0..1000).map(|_| "🔑".repeat(1000)), "unknown_field", "");
        assert_eq!(deep.pointer, format!("#{}", format!("/{}", "%F0%9F%94%91".repeat(80)).repeat(8)));
    }

    #[test]
    fn no_error_of_a_field_shows_a_token() {
        let store = KeyStore::temporary().unwrap();
        let token = store.create(NewKey::for_owner("alice")).unwrap().key.expose_secret().to_owned();
        let secret = token.get(40..).unwrap();
        let key = || NewKey::for_owner("alice");
        let long = format!("{token}\n");
        for new in [
            key().name(&long),
            NewKey::for_owner(&long),
            key().permissions([&token]),
            key().permissions([&token.to_lowercase(), "A"]),
            key().networks([&token]),
            key().metadata(&long, "x"),
            key().metadata(&token, "\n"),
            key().metadata("x", &long),
            key().label(&token, "x"),
            key().label("x", &token),
            key().prefix(&token),
            key().idempotency_key(&long),
        ] {
            let error = store.create(new).unwrap_err();
            let text = format!("{error} {error:?} {:?}", error.field_error()).to_lowercase();
            assert!(!text.contains(&secret.to_lowercase()), "{text}");
        }
    }

    #[test]
    fn a_pointer_leads_to_the_field_of_the_json() {
        let store = KeyStore::builder().max_lifetime(TimeDelta::days(90)).temporary().unwrap();
        let key = || NewKey::for_owner("alice").expires_in(TimeDelta::days(1));
        let id = store.create(key()).unwrap().info.id();
        let every = RotationPolicy::every;
        for (new, pointer, code) in [
            (NewKey::for_owner(""), "#/owner", "not_allowed"),
            (key().name("\n"), "#/name", "not_allowed"),
            (key().permissions(["a:b", "a b"]), "#/permissions/1", "invalid_permission"),
            (key().permissions((0..65).map(|at| format!("a:p{at}"))), "#/permissions", "not_allowed"),
            (key().metadata("a/b ~ü", "\n"), "#/metadata/a~1b%20~0%C3%BC", "not_allowed"),
            (key().metadata("", "x"), "#/metadata", "not_allowed"),
            (key().label("Plan", "pro"), "#/labels", "not_allowed"),
            (key().label("plan", "\n"), "#/labels/plan", "not_allowed"),
            ((0..5).fold(key(), |key, at| key.label(format!("l{at}"), "x")), "#/labels", "not_allowed"),
            (key().prefix("acme"), "#/prefix", "not_allowed"),
            (key().networks(["10.0.0.0/8", "ten"]), "#/networks/1", "not_allowed"),
            (key().networks([""; 0]), "#/networks", "not_allowed"),
            (key().limit(0, TimeDelta::seconds(1)), "#/limit/count", "not_allowed"),
            (key().limit(1, TimeDelta::zero()), "#/limit/per_ms", "not_allowed"),
            (key().expires_in(TimeDelta::zero()), "#/expires_in_ms", "not_allowed"),
            (key().idle_after(TimeDelta::minutes(59)), "#/idle_after_ms", "not_allowed"),
            (key().expires_in(TimeDelta::days(91)), "#/expires_at", "lives_too_long"),
            (key().rotation(every(TimeDelta::zero())), "#/rotation/every_ms", "not_allowed"),
            (key().rotation(every(TimeDelta::days(1)).overlap(Overlap::None)), "#/rotation/overlap_ms", "not_allowed"),
            (key().idempotency_key(""), "#/idempotency_key", "not_allowed"),
        ] {
            let error = store.create(new).unwrap_err();
            let field = error.field_error().unwrap();
            assert_eq!((field.pointer.as_str(), field.code), (pointer, code), "{error}");
            assert_eq!((field.detail, error.code(), error.status()), (error.to_string(), "invalid_field", 422));
        }
        let orders = KeyStore::builder().catalog(["orders:read"]).temporary().unwrap();
        let unknown = key().permissions(["orders:read", "orders:read", "orders:raed"]);
        let field = orders.create(unknown).unwrap_err().field_error().unwrap();
        assert_eq!((field.pointer.as_str(), field.code), ("#/permissions/2", "unknown_permission"));
        let id_of_orders = orders.create(key().permissions(["orders:read"])).unwrap().info.id();
        for (update, pointer) in [
            (KeyUpdate::new().add_permissions(["orders:read", "A:B"]), "#/add_permissions/1"),
            (KeyUpdate::new().add_permissions(["orders:read", "orders:raed"]), "#/add_permissions/1"),
            (KeyUpdate::new().permissions(["orders:raed"]), "#/permissions/0"),
            (KeyUpdate::new().remove_permissions(["orders:raed"]), "#/remove_permissions"),
        ] {
            assert_eq!(orders.update(id_of_orders, update).unwrap_err().field_error().unwrap().pointer, pointer);
        }
        let nothing = store.update(id, KeyUpdate::new()).unwrap_err().field_error().unwrap();
        assert_eq!(nothing.pointer, "#");
        let filter = KeyFilter::default().permission("a:*");
        assert_eq!(store.list(&filter).unwrap_err().field_error().unwrap().pointer, "#/permission");
        assert_eq!(store.rotate(KeyId::from_u128(1), Overlap::None).unwrap_err().field_error(), None);
    }
}
