//! An error as a response.

use std::fmt;

use apikey_core::{AuthError, CapViolation, ClusterError, FieldError, KeyIdError, PermissionError, StoreError};
use serde::Serialize;

use super::plain_response::PlainResponse;
use crate::ask::Rejection;

/// An error of a handler, which becomes the response to its caller: `application/problem+json` (RFC 9457), with
/// `Cache-Control: no-store`.
///
/// It converts from a [`StoreError`] and from a [`Rejection`], so a handler can use `?`; [`custom`](Self::custom) makes
/// one of the service's own; and it converts to the
/// response of each web framework: `IntoResponse` of axum and poem, `ResponseError` of actix-web and poem, `Responder`
/// of rocket, `Scribe` of salvo, `Reply` and `Reject` of warp, `Status` of tonic, `http::Response`.
///
/// ```
/// use apikey::{KeyId, KeyInfo, KeyStore, Problem, StoreError};
///
/// fn show(store: &KeyStore, id: &str) -> Result<KeyInfo, Problem> {
///     let id: KeyId = id.parse()?;
///     store.get(id)?.ok_or(StoreError::NotFound(id).into())
/// }
///
/// let problem = show(&KeyStore::temporary()?, "01931a4e-7c3b-7def-8123-456789abcdef").unwrap_err();
/// assert_eq!((problem.status(), problem.code()), (404, "not_found"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The body has `type`, `title`, `status`, `detail`, and the `code` of the [`StoreError`](StoreError::code) or the
/// [`AuthError`]. With `exceeds_actor` it also has the [`violation`](CapViolation), and with `invalid_field` `errors`,
/// a list of [`FieldError`]s.
///
/// The body of `unavailable` (503) does not mention the disk, paths or other processes: the conversion logs the error
/// for the operator. If a restriction is in force but not on disk ([`StoreError::NotDurable`]), the body has
/// `"in_force": true`: what the change takes away is in force, and what it gives, if anything, is not. A restart may
/// undo such a change, so the caller should repeat it later. The same holds while the engine of a cluster does not take a
/// restriction ([`ClusterError::OnlyHere`]): it is in force on this node.
#[derive(Clone, PartialEq, Eq)]
pub struct Problem(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Own(Box<Body>),
    /// A refusal, with the store's header, realm and renderer.
    Rejection(Rejection),
}

/// A problem's members in the order of RFC 9457.
#[derive(Clone, PartialEq, Eq, Serialize)]
struct Body {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    violation: Option<CapViolation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_force: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

impl Problem {
    /// Creates a problem of the service's own, so that all errors of its API have one form. The `type` is `about:blank`
    /// (RFC 9457 section 4.2.1); programs read `code`, so choose one that this crate does not have. The `detail` is the
    /// title unless [`detail`](Self::detail) sets it. A status that is none of an error, 400 to 599, becomes 500.
    ///
    /// ```
    /// use apikey::Problem;
    ///
    /// fn find(number: u32) -> Result<String, Problem> {
    ///     let missing = Problem::custom(404, "no_such_invoice", "No such invoice");
    ///     Err(missing.detail(format!("there is no invoice {number}")))
    /// }
    /// assert_eq!(find(7).unwrap_err().to_string(), "there is no invoice 7");
    /// ```
    #[must_use]
    pub fn custom(status: u16, code: &'static str, title: &'static str) -> Self {
        let status = if (400..600).contains(&status) { status } else { 500 };
        let mut problem = Self::titled(status, code, title, title);
        problem.with(|body| "about:blank".clone_into(&mut body.kind));
        problem
    }

    /// Sets the `detail`, what is special about this occurrence, for the caller to read. A refusal keeps its own.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.with(|body| body.detail = detail.into());
        self
    }

    pub(crate) fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Self {
        Self::titled(status, code, title(code), detail)
    }

    /// A problem with a title of its own.
    pub(crate) fn titled(status: u16, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self(Kind::Own(Box::new(Body {
            kind: format!("urn:apikey:problem:{code}"),
            title,
            status,
            detail: detail.into(),
            code,
            violation: None,
            in_force: None,
            errors: Vec::new(),
        })))
    }

    /// A field that is not allowed.
    pub(crate) fn field(error: FieldError) -> Self {
        let mut problem = Self::new(422, "invalid_field", error.detail.clone());
        problem.with(|body| body.errors.push(error));
        problem
    }

    fn with(&mut self, change: impl FnOnce(&mut Body)) {
        if let Kind::Own(body) = &mut self.0 {
            change(body);
        }
    }

    /// Returns the HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match &self.0 {
            Kind::Own(body) => body.status,
            Kind::Rejection(rejection) => rejection.status(),
        }
    }

    /// Returns the stable name of the error: [`StoreError::code`], [`AuthError::code`], or for a body that is not JSON
    /// `invalid_json`, and where axum cannot read it `body_too_large` or `unreadable_body`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match &self.0 {
            Kind::Own(body) => body.code,
            Kind::Rejection(rejection) => rejection.error().code(),
        }
    }

    /// Returns the fields that are not allowed; empty if the error is not about fields.
    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
        match &self.0 {
            Kind::Own(body) => &body.errors,
            Kind::Rejection(_) => &[],
        }
    }

    /// Returns the refusal of the request, if the problem is one.
    #[must_use]
    pub fn rejection(&self) -> Option<&Rejection> {
        match &self.0 {
            Kind::Own(_) => None,
            Kind::Rejection(rejection) => Some(rejection),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let (status, code) = (error.status(), error.code());
        if let Some(field) = error.field_error() {
            return Self::field(field);
        }
        let (detail, in_force) = match &error {
            StoreError::NotDurable { .. } => (IN_FORCE.to_owned(), Some(true)),
            StoreError::Cluster(ClusterError::OnlyHere { .. }) => (IN_FORCE_HERE.to_owned(), Some(true)),
            // Whatever it is, it is the service's own trouble, and not the caller's to know.
            _ if status >= 500 => (UNAVAILABLE.to_owned(), None),
            error => (error.to_string(), None),
        };
        if status >= 500 {
            tracing::error!(name: "apikey.problem", target: "apikey", %error, "a handler's call of the key store failed");
        }
        let mut problem = Self::new(status, code, detail);
        problem.with(|body| body.in_force = in_force);
        if let StoreError::Exceeds(violation) = error {
            problem.with(|body| body.violation = Some(violation));
        }
        problem
    }
}

const UNAVAILABLE: &str = "Keys cannot be read or changed now; try again later";
const IN_FORCE: &str = "What the change takes away is in force, and a restart of the service may undo it; what it gives is not. \
                        Repeat it later";

const IN_FORCE_HERE: &str =
    "What the change takes away is in force on this node, and not on the others; what it gives is not. Repeat it later";

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        Self(Kind::Rejection(rejection))
    }
}

/// Uses the default header and realm, as [`Rejection`] does.
impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        Rejection::from(error).into()
    }
}

/// Converts to 404 `not_found`, since a text that is not a key id names no key.
impl From<KeyIdError> for Problem {
    fn from(_: KeyIdError) -> Self {
        Self::new(404, "not_found", "there is no key with this id")
    }
}

impl From<PermissionError> for Problem {
    fn from(error: PermissionError) -> Self {
        StoreError::from(error).into()
    }
}

impl From<Problem> for PlainResponse {
    fn from(problem: Problem) -> Self {
        match problem.0 {
            Kind::Rejection(rejection) => rejection.into(),
            Kind::Own(body) => {
                // Texts and numbers always serialise.
                let text = serde_json::to_string(&body).unwrap_or_default();
                Self::new(body.status, "application/problem+json", text)
            }
        }
    }
}

/// A title, the same for every problem with this code.
fn title(code: &str) -> &'static str {
    match code {
        // A refusal has this code, too.
        "not_found" => AuthError::NotFound.title(),
        "exceeds_actor" => "The acting key may not do this",
        "invalid_field" => "A field is not allowed",
        "invalid_json" => "The body is not JSON",
        "body_too_large" => "The body is too large",
        "unreadable_body" => "The body cannot be read",
        "revoked_key" => "The key is revoked",
        "disabled_key" => "The key is disabled",
        "expired_key" => "The key has expired",
        "idle_key" => "The key is idle",
        "being_rotated" => "The key is being rotated",
        "already_made" => "The request was made before",
        "idempotency_key_reused" => "The idempotency key was used for another request",
        "digest_held" => "The key is held already",
        "invalid_cursor" => "The cursor is none of this filter",
        "method_not_allowed" => "The resource does not support this method",
        "unsupported_media_type" => "The body has another media type",
        "precondition_required" => "The request needs a precondition",
        "precondition_failed" => "It was changed meanwhile",
        "role_in_use" => "The role is in use",
        "tenant_ended" => "The tenant has ended",
        "too_many_keys" => "The owner has too many keys",
        "not_offered" => "The key has more than is offered",
        "cross_origin" => "Another site makes this request",
        "invalid_code" => "The link does not sign in",
        "no_sign_in_by_key" => "Nobody signs in with a key",
        "another_principal" => "The session is that of somebody else",
        "signed_in_elsewhere" => "The application signs in",
        "sign_in_again" => "A secret takes another sign-in",
        // Refusals have these codes, too.
        "insufficient_permission" => "API key lacks permission",
        _ => AuthError::Unavailable.title(),
    }
}

/// The text that the caller may see.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Own(body) => f.write_str(&body.detail),
            Kind::Rejection(rejection) => rejection.fmt(f),
        }
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {self}", self.status(), self.code())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use std::io;

    use apikey_core::{Conflict, KeyId};

    use super::*;

    fn body(problem: Problem) -> serde_json::Value {
        serde_json::from_str(&PlainResponse::from(problem).body).unwrap()
    }

    #[test]
    fn the_code_and_the_status_are_those_of_the_error() {
        let id: KeyId = "01931a4e-7c3b-7def-8123-456789abcdef".parse().unwrap();
        let io = || io::Error::other("/var/lib/acme/keys.db: no space left");
        for (error, status, code) in [
            (StoreError::NotFound(id), 404, "not_found"),
            (StoreError::Conflict(Conflict::Revoked), 409, "revoked_key"),
            (StoreError::Conflict(Conflict::Disabled), 409, "disabled_key"),
            (StoreError::Conflict(Conflict::Expired), 409, "expired_key"),
            (StoreError::Conflict(Conflict::Idle), 409, "idle_key"),
            (StoreError::Conflict(Conflict::Overlapping { until: None }), 409, "being_rotated"),
            (StoreError::Conflict(Conflict::Repeated { id }), 409, "already_made"),
            (StoreError::Conflict(Conflict::OtherRequest), 409, "idempotency_key_reused"),
            (StoreError::Conflict(Conflict::DigestHeld(Some(id))), 409, "digest_held"),
            (StoreError::Conflict(Conflict::DigestTwice), 409, "digest_held"),
            (StoreError::Conflict(Conflict::RoleInUse { keys: 2 }), 409, "role_in_use"),
            (StoreError::Conflict(Conflict::TenantEnded), 409, "tenant_ended"),
            (StoreError::Conflict(Conflict::TooManyKeys { max: 20 }), 409, "too_many_keys"),
            (StoreError::Conflict(Conflict::TooManyEnded { keys: 1000 }), 409, "too_many_keys"),
            (StoreError::Conflict(Conflict::NotOffered { grant: "a:b".into() }), 409, "not_offered"),
            (StoreError::Conflict(Conflict::Changed { last_event: 7 }), 412, "precondition_failed"),
            (StoreError::Conflict(Conflict::Outdated), 412, "precondition_failed"),
            (StoreError::Conflict(Conflict::Rotator), 503, "unavailable"),
            (StoreError::Conflict(Conflict::RotatorWaits), 503, "unavailable"),
            (StoreError::Exceeds(CapViolation::Grant("a:b".into())), 403, "exceeds_actor"),
            (StoreError::Closed, 503, "unavailable"),
            (StoreError::Io { source: io() }, 503, "unavailable"),
            (StoreError::NotDurable { source: io() }, 503, "unavailable"),
        ] {
            assert_eq!((error.status(), error.code()), (status, code));
            let (hidden, text) = (status == 503, error.to_string());
            let problem = Problem::from(error);
            assert_eq!((problem.status(), problem.code()), (status, code));
            assert_eq!(problem.to_string() == text, !hidden, "{text}");
            assert!(!format!("{problem} {problem:?}").contains("acme"), "{problem:?}");
            let body = body(problem);
            assert_eq!((&body["status"], &body["code"]), (&status.into(), &code.into()));
            assert_eq!(body["type"], format!("urn:apikey:problem:{code}"));
            assert_ne!(body["title"] == "API keys are unavailable", !hidden, "{code} has a title of its own");
        }
    }

    #[test]
    fn a_code_has_one_title() {
        let id: KeyId = "01931a4e-7c3b-7def-8123-456789abcdef".parse().unwrap();
        for (refusal, problem) in
            [(AuthError::Unavailable, StoreError::Closed), (AuthError::NotFound, StoreError::NotFound(id))]
        {
            let [refusal, problem] = [Problem::from(refusal), problem.into()].map(body);
            let same = |name: &str| assert_eq!(refusal[name], problem[name]);
            ["type", "title", "status", "code"].into_iter().for_each(same);
        }
    }

    #[test]
    fn a_caller_learns_what_is_in_force_and_what_is_not_allowed() {
        let not_durable = body(StoreError::NotDurable { source: io::Error::other("disk") }.into());
        assert_eq!(not_durable["in_force"], true);
        let only_here = ClusterError::OnlyHere { what: "host-7 is away".into(), is_kept: true };
        let only_here = body(StoreError::Cluster(only_here).into());
        assert_eq!(only_here["in_force"], true);
        assert!(!only_here.to_string().contains("host-7"), "{only_here}");
        assert_eq!(body(StoreError::Closed.into()).get("in_force"), None);
        let exceeds = body(StoreError::Exceeds(CapViolation::Grant("orders:*".into())).into());
        assert_eq!(exceeds["violation"], serde_json::json!({ "kind": "grant", "grant": "orders:*" }));
        let invalid = body(apikey_core::Requirement::permission("Orders").unwrap_err().into());
        assert_eq!(invalid["errors"][0]["pointer"], "#/permission");
        assert_eq!(invalid["errors"][0]["code"], "invalid_permission");
        assert_eq!(invalid["errors"][0]["detail"], invalid["detail"]);
    }

    #[test]
    fn a_problem_of_the_service_has_the_same_form() {
        let own = Problem::custom(404, "no_such_invoice", "No such invoice");
        let expected = |detail: &str| {
            serde_json::json!({
                "type": "about:blank", "title": "No such invoice", "status": 404, "detail": detail, "code": "no_such_invoice",
            })
        };
        assert_eq!(body(own.clone()), expected("No such invoice"));
        assert_eq!(body(own.detail("there is no invoice 7")), expected("there is no invoice 7"));
        for status in [0, 200, 399, 600, u16::MAX] {
            assert_eq!(Problem::custom(status, "wrong", "Wrong").status(), 500);
        }
        let refusal = Problem::from(AuthError::Missing);
        assert_eq!(refusal.clone().detail("another"), refusal);
    }

    #[test]
    fn a_refused_request_keeps_its_answer() {
        let rejection = Rejection::from(AuthError::Missing);
        let problem = Problem::from(rejection.clone());
        assert_eq!((problem.status(), problem.code()), (401, "missing_api_key"));
        assert_eq!(PlainResponse::from(problem), PlainResponse::from(rejection));
    }
}
