//! A request that has passed the checks of its key: what the functions of the operations read.

use std::collections::BTreeSet;
use std::sync::Arc;

use apikey_core::{FieldError, KeyId, KeyStore, StoreError};
use http::{HeaderMap, HeaderName};
use serde::de::DeserializeOwned;

use super::caller::Caller;
use super::parameter::{Body, Kind, Parameter};
use super::parts::Parts;
use crate::answer::{PlainResponse, Problem, from_json, from_query};
use crate::served::media_type;

/// The longest `Idempotency-Key` header, in bytes.
const MAX_IDEMPOTENCY_KEY: usize = 128;

/// What the function of an operation returns.
pub(super) type Answer = Result<PlainResponse, Problem>;

/// A request.
pub(super) struct Call {
    pub(super) parts: Arc<Parts>,
    /// The store, with the caller as the actor of its changes.
    pub(super) store: KeyStore,
    pub(super) caller: Caller,
    /// Whether a session of the console makes the request.
    pub(super) in_session: bool,
    /// The name of the operation.
    pub(super) operation: &'static str,
    /// What its body is.
    pub(super) content: Body,
    /// What the path has in place of the parameters of its template.
    pub(super) path: Vec<String>,
    pub(super) query: Query,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Call {
    /// The parameter of the path.
    pub(super) fn name(&self) -> &str {
        self.path.first().map(String::as_str).unwrap_or_default()
    }

    /// The key that the path names. A text that is no id names none.
    pub(super) fn id(&self) -> Result<KeyId, Problem> {
        Ok(self.name().parse()?)
    }

    /// Reads the body. One that may be missing reads as an empty object.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        if self.body.is_empty() && matches!(self.content, Body::MaybeJson(_)) {
            return from_json("{}");
        }
        self.check_media_type()?;
        from_json(&self.body)
    }

    /// Checks that the body is of the operation's media type.
    pub(super) fn check_media_type(&self) -> Result<(), Problem> {
        let Some((wanted, _)) = self.content.content() else { return Ok(()) };
        if media_type(&self.headers).as_deref() == Some(wanted) {
            return Ok(());
        }
        Err(Problem::new(415, "unsupported_media_type", format!("the body must be {wanted}")))
    }

    /// Reads the filter of the query string, from all of its parameters but these.
    pub(super) fn filter<T: DeserializeOwned>(&self, others: &[&str]) -> Result<T, Problem> {
        let mut text = form_urlencoded::Serializer::new(String::new());
        let is_own = |name: &str| !others.contains(&name) && !name.starts_with(METADATA);
        text.extend_pairs(self.query.0.iter().filter(|(name, _)| is_own(name)));
        from_query(text.finish())
    }

    /// The idempotency key of the store for the one that the caller has sent, if it has. The id keeps those of callers apart.
    pub(super) fn idempotency_key(&self) -> Result<Option<String>, Problem> {
        let given = self.headers.get_all(HeaderName::from_static("idempotency-key"));
        let mut given = given.iter().map(|value| value.to_str().unwrap_or_default());
        let key = match (given.next(), given.next()) {
            (None, _) => return Ok(None),
            (Some(key), None) => key,
            (Some(_), Some(_)) => "",
        };
        if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY {
            return Err(StoreError::Invalid {
                field: "idempotency_key",
                entry: None,
                value: format!("{} bytes", key.len()),
                allowed: "1 to 128 bytes without control characters",
            }
            .into());
        }
        Ok(Some(format!("{}:{key}", self.caller.idempotency())))
    }

    /// The URL of the API, if the request came to it: where the console is, the answer's links are relative.
    pub(super) fn base_url(&self) -> Option<&str> {
        self.parts.base_url.as_deref().filter(|_| !self.in_session)
    }

    /// The problem of a store's error. An actor that is not valid any more gets what its next request would get.
    pub(super) fn problem(&self, error: StoreError) -> Problem {
        match error {
            StoreError::Exceeds(apikey_core::CapViolation::Actor(error)) => {
                crate::ask::Rejection::of(&self.store, error).into()
            }
            StoreError::Closed => crate::ask::Rejection::of(&self.store, apikey_core::AuthError::Unavailable).into(),
            error => error.into(),
        }
    }
}

/// The name of a parameter that filters by an entry of metadata begins so.
pub(super) const METADATA: &str = "metadata.";

/// The parameters of a query string, each a name and a value, in order.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query string, and checks that the operation has each name, and that none comes twice.
    pub(super) fn read(text: &str, parameters: &[Parameter]) -> Result<Self, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        // A query string may have thousands of entries of metadata.
        let mut names = BTreeSet::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()).into_owned() {
            let has = |name: &str| {
                parameters.iter().any(|parameter| match parameter.kind {
                    Kind::Metadata => name.strip_prefix(METADATA).is_some_and(|name| !name.is_empty()),
                    _ => parameter.name == name,
                })
            };
            if !has(&name) {
                let names: Vec<_> = parameters.iter().map(|parameter| parameter.name).collect();
                let detail = match names.as_slice() {
                    [] => format!("unknown field `{name}`, this operation has no parameters"),
                    names => format!("unknown field `{name}`, expected one of {}", names.join(", ")),
                };
                return Err(field([&name], "unknown_field", &detail));
            }
            if !names.insert(name.clone()) {
                return Err(field([&name], "repeated_field", &format!("duplicate field `{name}`")));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    /// Whether a flag is set.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(_) => Err(field([name], "wrong_type", "expected no value, or `true`")),
        }
    }

    pub(super) fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, value)| Some((name.strip_prefix(METADATA)?, value.as_str())))
    }

    /// All of them but these, in one form whatever their order.
    pub(super) fn canonical(&self, others: &[&str]) -> String {
        let mut pairs: Vec<_> = self.0.iter().filter(|(name, _)| !others.contains(&name.as_str())).collect();
        pairs.sort_unstable();
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }
}

/// The problem of a field.
pub(super) fn field<'p>(
    path: impl IntoIterator<Item = &'p (impl AsRef<str> + ?Sized + 'p)>,
    code: &'static str,
    detail: &str,
) -> Problem {
    let detail: String = apikey_core::redact(detail).chars().take(300).collect();
    Problem::field(FieldError::new(path.into_iter().map(AsRef::as_ref), code, detail))
}
