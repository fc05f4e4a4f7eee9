//! The response with a key's new secret.

use std::fmt;

use apikey_core::{CreatedKey, wiped};

use super::plain_response::PlainResponse;

/// The response to a caller that gets a key's new secret: the key as JSON with `key`, its token, and
/// `Cache-Control: no-store`. No other response contains the token, so a caller that loses it must rotate the key.
///
/// It converts to the response of the same web frameworks as [`Problem`](crate::Problem), except for tonic, whose
/// messages the service defines. [`CreatedKey::reveal`] returns the JSON alone.
///
/// ```
/// use apikey::{KeyStore, NewKey, Problem, SecretResponse};
///
/// fn create(store: &KeyStore, new: NewKey) -> Result<SecretResponse, Problem> {
///     Ok(SecretResponse::created(store.create(new)?))
/// }
/// # assert_eq!(create(&KeyStore::temporary()?, NewKey::for_owner("alice"))?.status(), 201);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the caller has no other way to get the secret"]
pub struct SecretResponse {
    created: CreatedKey,
    status: u16,
    location: Option<String>,
}

impl SecretResponse {
    /// Creates the response for a new key, with status 201.
    pub fn created(created: CreatedKey) -> Self {
        Self { created, status: 201, location: None }
    }

    /// Creates the response for a key with another secret, with status 200.
    pub fn rotated(created: CreatedKey) -> Self {
        Self { created, status: 200, location: None }
    }

    /// Sets the header `Location`, such as `/keys/{id}`, by which a client finds the new key (RFC 9110 section 15.3.2).
    /// What a URI cannot have, such as a space, a line break or `ü`, is percent-encoded.
    pub fn location(self, location: impl AsRef<str>) -> Self {
        Self { location: Some(encoded(location.as_ref())), ..self }
    }

    /// Returns the HTTP status: 201 or 200.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the key, without its secret.
    #[must_use]
    pub fn info(&self) -> &apikey_core::KeyInfo {
        &self.created.info
    }
}

/// Encodes the bytes that no URI has: a header with one of them could not be sent.
fn encoded(location: &str) -> String {
    let mut uri = String::with_capacity(location.len());
    for byte in location.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

impl From<SecretResponse> for PlainResponse {
    fn from(response: SecretResponse) -> Self {
        let SecretResponse { created, status, location } = response;
        // A string that grows leaves copies of the secret in memory. Texts and numbers always serialise.
        let body = wiped::json(&created.reveal()).map(|mut text| std::mem::take(&mut *text)).unwrap_or_default();
        let plain = Self::new(status, "application/json", body);
        match location {
            Some(location) => plain.with("location", location),
            None => plain,
        }
    }
}

/// Without the secret.
impl fmt::Debug for SecretResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.created.info.id();
        f.debug_struct("SecretResponse").field("id", &id).field("status", &self.status).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use apikey_core::{KeyStore, NewKey, Overlap};

    use super::*;

    #[test]
    fn the_body_is_the_key_with_its_token_and_nothing_else_shows_it() {
        let store = KeyStore::temporary().unwrap();
        let created = store.create(NewKey::for_owner("alice")).unwrap();
        let (id, token) = (created.info.id(), created.key.expose_secret().to_owned());
        let response = SecretResponse::created(created).location(format!("/keys/{id}"));
        assert!(!format!("{response:?}").contains(&token[10..]));
        let mut expected = serde_json::to_value(response.info()).unwrap();
        expected["key"] = token.into();
        let plain = PlainResponse::from(response);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&plain.body).unwrap(), expected);
        assert_eq!(plain.status, 201);
        let header = |name: &str, value: String| (name.to_owned(), value);
        let headers = [
            header("content-type", "application/json".into()),
            header("cache-control", "no-store".into()),
            header("location", format!("/keys/{id}")),
        ];
        assert_eq!(plain.headers, headers);
        let rotated = SecretResponse::rotated(store.rotate(id, Overlap::None).unwrap());
        assert_eq!((rotated.status(), rotated.info().version()), (200, 2));
    }

    #[test]
    fn a_location_can_always_be_sent() {
        for (given, sent) in [
            ("https://api.test/keys/1?a=b%20c&d#e", "https://api.test/keys/1?a=b%20c&d#e"),
            ("/schlüssel 1", "/schl%C3%BCssel%201"),
            ("/keys\r\nSet-Cookie: a\u{7f}", "/keys%0D%0ASet-Cookie:%20a%7F"),
            ("/{id}", "/%7Bid%7D"),
        ] {
            assert_eq!(encoded(given), sent);
            assert!(::http::HeaderValue::from_str(&encoded(given)).is_ok());
        }
    }
}
