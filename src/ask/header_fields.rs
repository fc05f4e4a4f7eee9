//! The header fields of a response, in the types of one framework.

#[cfg(any(
    feature = "management",
    feature = "tower",
    feature = "actix-web",
    feature = "poem",
    feature = "rocket",
    feature = "salvo"
))]
use std::borrow::Cow;

/// The header in which a store reads keys by default. Guards use a prepared `HeaderName` for it.
pub(crate) const DEFAULT_HEADER: &str = "X-API-Key";

/// What a guard reads and writes in the headers of a response.
#[cfg(any(
    feature = "management",
    feature = "tower",
    feature = "actix-web",
    feature = "poem",
    feature = "rocket",
    feature = "salvo"
))]
pub(crate) trait HeaderFields {
    /// The values of a field that are text.
    fn texts(&self, name: &'static str) -> impl Iterator<Item = &str>;

    /// Appends a field. Drops a value that HTTP cannot carry.
    fn add(&mut self, name: &'static str, value: Cow<'static, str>);

    fn lacks(&self, name: &'static str) -> bool {
        self.texts(name).next().is_none()
    }
}

#[cfg(all(
    feature = "http",
    any(
        feature = "management",
        feature = "tower",
        feature = "actix-web",
        feature = "poem",
        feature = "rocket",
        feature = "salvo"
    )
))]
impl HeaderFields for http::HeaderMap {
    fn texts(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.get_all(header_name(name)).into_iter().filter_map(|value| value.to_str().ok())
    }

    fn add(&mut self, name: &'static str, value: Cow<'static, str>) {
        let value = match value {
            Cow::Borrowed(text) => Ok(http::HeaderValue::from_static(text)),
            Cow::Owned(text) => http::HeaderValue::try_from(text),
        };
        if let Ok(value) = value {
            self.append(header_name(name), value);
        }
    }
}

/// Parsing a name costs more than comparing it with the two that are on every response.
#[cfg(all(
    feature = "http",
    any(
        feature = "management",
        feature = "tower",
        feature = "actix-web",
        feature = "poem",
        feature = "rocket",
        feature = "salvo"
    )
))]
fn header_name(name: &'static str) -> http::HeaderName {
    match name {
        "vary" => http::header::VARY,
        "cache-control" => http::header::CACHE_CONTROL,
        other => http::HeaderName::from_static(other),
    }
}

/// Appends the headers of a refusal. A renderer may have made a name or a value that HTTP cannot carry: drops that
/// field.
#[cfg(feature = "http")]
pub(crate) fn append_all<N: AsRef<str>, V: AsRef<str>>(
    headers: &mut http::HeaderMap,
    fields: impl IntoIterator<Item = (N, V)>,
) {
    for (name, value) in fields {
        if let (Ok(name), Ok(value)) =
            (http::HeaderName::try_from(name.as_ref()), http::HeaderValue::try_from(value.as_ref()))
        {
            headers.append(name, value);
        }
    }
}
