//! The HTTP response for an `AuthError`: headers, challenge and body. The status is that of [`AuthError::status`].

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::access::auth_error::AuthError;
use crate::access::limit::{LimitStatus, RateLimitFields, joined, whole_seconds};
use crate::http::header_config::HeaderConfig;
use crate::http::refusal::Refusal;

impl Refusal {
    /// Creates the refusal that a store with the default header configuration returns, for a request that has no store.
    #[must_use]
    pub fn new(error: &AuthError) -> Self {
        HeaderConfig::default().refuse(error)
    }
}

impl HeaderConfig {
    /// Returns the response for an error.
    #[must_use]
    pub fn refuse(&self, error: &AuthError) -> Refusal {
        self.refuse_beside(error, None)
    }

    /// The same for a key that is over its limit and has a quota, or the reverse: with the fields of the other one, too.
    pub(crate) fn refuse_beside(&self, error: &AuthError, other: Option<RateLimitFields>) -> Refusal {
        let status = error.status();
        let challenge = self.challenge(error);
        let mut headers = vec![("Content-Type".into(), "application/problem+json".into())];
        headers.extend(challenge.iter().cloned());
        headers.push(("Cache-Control".into(), "no-store".into()));
        let retry_after = |after: Duration| ("Retry-After".into(), whole_seconds(after).to_string());
        let fields = match error {
            AuthError::RateLimited { retry_after: after, limit } => {
                headers.push(retry_after(*after));
                let status = limit.map(|limit| LimitStatus { limit, remaining: 0, next: *after });
                status.map(|status| joined(Some(status.fields()), other))
            }
            AuthError::QuotaExceeded { retry_after: after, status } => {
                headers.push(retry_after(*after));
                let now = status.resets_at().map(|end| end - *after).unwrap_or_default();
                Some(joined(other, Some(status.fields(now))))
            }
            _ => None,
        };
        let fields = fields.flatten().into_iter().flatten();
        headers.extend(fields.map(|(name, value)| (name.to_owned(), value)));
        let plain = Refusal { status, headers, body: problem(error) };
        let Some(render) = &self.render else { return plain };
        // A renderer that drops these fields would make caches keep the refusal, or leave the client without a time to
        // retry.
        let kept = ["Cache-Control", "Retry-After", "RateLimit-Policy", "RateLimit"];
        let kept = kept.map(|name| (name.to_owned(), plain.header(name).map(str::to_owned)));
        let kept: Vec<_> = kept.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let mut rendered = render(error, plain);
        // A renderer can change neither: a client without the status or the challenge does not know what to do.
        rendered.status = status;
        rendered.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("www-authenticate"));
        rendered.headers.extend(challenge);
        for (name, value) in kept {
            if rendered.header(&name).is_none() {
                rendered.headers.push((name, value));
            }
        }
        rendered
    }

    fn challenge(&self, error: &AuthError) -> Vec<(String, String)> {
        let mut values = Vec::new();
        if error.status() == 401 {
            values.push(format!("ApiKey realm={}, header=\"{}\"", quoted(self.realm()), self.header()));
        }
        if self.bearer() {
            let realm = quoted(self.realm());
            // RFC 6750 section 3: the challenge has no error code if the request has no credentials.
            match error {
                AuthError::Missing => values.push(format!("Bearer realm={realm}")),
                AuthError::InsufficientPermission { required } => values.push(format!(
                    "Bearer realm={realm}, error=\"insufficient_scope\", scope=\"{}\"",
                    required.permissions().join(" ")
                )),
                _ if error.status() == 401 => values.push(format!("Bearer realm={realm}, error=\"invalid_token\"")),
                _ => {}
            }
        }
        values.into_iter().map(|value| ("WWW-Authenticate".into(), value)).collect()
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// An RFC 9457 problem, its members in the order of the RFC.
#[derive(serde::Serialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    required: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resets_at: Option<DateTime<Utc>>,
}

fn problem(error: &AuthError) -> String {
    let problem = Problem {
        kind: format!("urn:apikey:problem:{}", error.code()),
        title: error.title(),
        status: error.status(),
        detail: error.to_string(),
        code: error.code(),
        required: match error {
            AuthError::InsufficientPermission { required } => Some(required.to_string()),
            _ => None,
        },
        resets_at: match error {
            AuthError::QuotaExceeded { status, .. } => status.again_at(),
            _ => None,
        },
    };
    // Texts and numbers always serialise.
    serde_json::to_string(&problem).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::access::requirement::Requirement;
    use std::time::Duration;

    fn forbidden() -> AuthError {
        AuthError::InsufficientPermission { required: Requirement::any(["orders:write", "admin"]).unwrap() }
    }

    #[test]
    fn every_401_has_a_challenge_and_nothing_else_has() {
        for error in [AuthError::Missing, AuthError::Invalid, AuthError::Revoked, AuthError::Disabled] {
            let refusal = Refusal::new(&error);
            assert_eq!(refusal.status, 401);
            assert_eq!(refusal.header("www-authenticate"), Some("ApiKey realm=\"api\", header=\"X-API-Key\""));
            assert_eq!(refusal.header("cache-control"), Some("no-store"));
        }
        for error in [forbidden(), AuthError::NotFound, AuthError::Unavailable, AuthError::AddressNotAllowed] {
            assert_eq!(Refusal::new(&error).header("www-authenticate"), None);
        }
    }

    #[test]
    fn the_body_is_a_problem() {
        let refusal = Refusal::new(&forbidden());
        let body: serde_json::Value = serde_json::from_str(&refusal.body).unwrap();
        assert_eq!(body["type"], "urn:apikey:problem:insufficient_permission");
        assert_eq!(body["title"], "API key lacks permission");
        assert_eq!(body["status"], 403);
        assert_eq!(body["detail"], "API key lacks permission any(orders:write, admin)");
        assert_eq!(body["code"], "insufficient_permission");
        assert_eq!(body["required"], "any(orders:write, admin)");
    }

    #[test]
    fn bearer_challenges_follow_rfc_6750() {
        let mut config = HeaderConfig::default();
        config.set_bearer(true);
        config.set_realm("a \"b\"".into());
        let challenges = |error: &AuthError| -> Vec<String> {
            let all = config.refuse(error).headers;
            all.into_iter().filter(|(name, _)| name == "WWW-Authenticate").map(|(_, value)| value).collect()
        };
        let own = r#"ApiKey realm="a \"b\"", header="X-API-Key""#;
        assert_eq!(challenges(&AuthError::Missing), [own, r#"Bearer realm="a \"b\"""#]);
        assert_eq!(challenges(&AuthError::Expired), [own, r#"Bearer realm="a \"b\"", error="invalid_token""#]);
        let scope = r#"Bearer realm="a \"b\"", error="insufficient_scope", scope="orders:write admin""#;
        assert_eq!(challenges(&forbidden()), [scope]);
        assert_eq!(challenges(&AuthError::NotFound), [""; 0]);
        assert_eq!(challenges(&AuthError::Unavailable), [""; 0]);
    }

    #[test]
    fn retry_after_is_whole_seconds_rounded_up() {
        let after = |retry_after| {
            let refusal = Refusal::new(&AuthError::RateLimited { retry_after, limit: None });
            assert_eq!(refusal.status, 429);
            refusal.header("retry-after").map(str::to_owned)
        };
        assert_eq!(after(Duration::from_millis(1)).as_deref(), Some("1"));
        assert_eq!(after(Duration::from_millis(2001)).as_deref(), Some("3"));
        assert_eq!(after(Duration::from_secs(2)).as_deref(), Some("2"));
    }

    #[test]
    fn a_renderer_changes_neither_status_nor_challenge() {
        let mut config = HeaderConfig::default();
        config.set_render(Arc::new(|error, _| Refusal {
            status: 200,
            headers: vec![("Content-Type".into(), "text/plain".into()), ("WWW-Authenticate".into(), "Basic".into())],
            body: error.to_string(),
        }));
        let refusal = config.refuse(&AuthError::Missing);
        assert_eq!(refusal.status, 401);
        assert_eq!(refusal.body, "API key missing");
        assert_eq!(refusal.headers.len(), 3);
        assert_eq!(refusal.header("cache-control"), Some("no-store"));
        assert_eq!(refusal.header("WWW-Authenticate"), Some("ApiKey realm=\"api\", header=\"X-API-Key\""));
    }
}
