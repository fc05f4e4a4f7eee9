//! What a request names below the mount.

use http::Method;

use super::assets;
use crate::answer::{PlainResponse, Problem};

/// What a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A file of the page, by its number.
    File(usize),
    ReadSession,
    SignIn,
    /// Signing in again in a session.
    Confirm,
    SignOut,
    ListSessions,
    EndSessions,
    /// An operation of the API at this path below it.
    Api(String),
}

/// The methods of a path, and what each names.
type Methods = &'static [(&'static str, Target)];

const SESSION: Methods = &[
    ("GET", Target::ReadSession),
    ("HEAD", Target::ReadSession),
    ("POST", Target::SignIn),
    ("DELETE", Target::SignOut),
];
const CONFIRM: Methods = &[("POST", Target::Confirm)];
const SESSIONS: Methods =
    &[("GET", Target::ListSessions), ("HEAD", Target::ListSessions), ("DELETE", Target::EndSessions)];

/// Finds what a request names.
///
/// # Errors
/// The answer to a path that names nothing, or a method that it does not have.
pub(super) fn find(method: &Method, path: &str) -> Result<Target, Box<PlainResponse>> {
    // The API has its own methods.
    if let Some(rest) = path.strip_prefix("/api").filter(|rest| rest.starts_with('/')) {
        return Ok(Target::Api(rest.to_owned()));
    }
    if let Some(file) = assets::find(path) {
        return match *method {
            Method::GET | Method::HEAD => Ok(Target::File(file)),
            _ => Err(not_allowed(method, ["GET", "HEAD"].into_iter())),
        };
    }
    let methods = match path {
        "/session" => SESSION,
        "/session/confirm" => CONFIRM,
        "/sessions" => SESSIONS,
        _ => return Err(Box::new(Problem::new(404, "not_found", "there is no such resource").into())),
    };
    let found = methods.iter().find(|(name, _)| *name == method.as_str());
    found.map(|(_, target)| target.clone()).ok_or_else(|| not_allowed(method, methods.iter().map(|(name, _)| *name)))
}

fn not_allowed<'m>(method: &Method, allowed: impl Iterator<Item = &'m str>) -> Box<PlainResponse> {
    let problem = Problem::new(405, "method_not_allowed", format!("the resource does not support {method}"));
    let allowed: Vec<&str> = allowed.collect();
    Box::new(PlainResponse::from(problem).with("allow", allowed.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_a_method_name_one_thing() {
        let found = |method: Method, path| {
            find(&method, path).map_err(|answer| {
                let allow = answer.headers.iter().find(|(name, _)| name == "allow").map(|(_, value)| value.clone());
                (answer.status, allow.unwrap_or_default())
            })
        };
        let refused = |status, allow: &str| Err((status, allow.to_owned()));
        for (method, path, expected) in [
            (Method::GET, "/", Ok(Target::File(0))),
            (Method::HEAD, "/", Ok(Target::File(0))),
            (Method::POST, "/", refused(405, "GET, HEAD")),
            (Method::GET, "/session", Ok(Target::ReadSession)),
            (Method::POST, "/session", Ok(Target::SignIn)),
            (Method::DELETE, "/session", Ok(Target::SignOut)),
            (Method::PUT, "/session", refused(405, "GET, HEAD, POST, DELETE")),
            (Method::POST, "/session/confirm", Ok(Target::Confirm)),
            (Method::GET, "/session/confirm", refused(405, "POST")),
            (Method::GET, "/sessions", Ok(Target::ListSessions)),
            (Method::OPTIONS, "/sessions", refused(405, "GET, HEAD, DELETE")),
            (Method::PATCH, "/api/keys/1", Ok(Target::Api("/keys/1".into()))),
            (Method::GET, "/api/", Ok(Target::Api("/".into()))),
            (Method::GET, "/api", refused(404, "")),
            (Method::GET, "/apis", refused(404, "")),
            (Method::GET, "/session/", refused(404, "")),
            (Method::GET, "/assets/../session", refused(404, "")),
            (Method::GET, "/assets/", refused(404, "")),
            (Method::GET, "", refused(404, "")),
        ] {
            assert_eq!(found(method.clone(), path), expected, "{method} {path}");
        }
    }
}
