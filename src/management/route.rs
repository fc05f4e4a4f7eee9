//! Which operation a request names.

use http::Method;

use super::operation::Operation;
use super::operations::OPERATIONS;
use crate::answer::{PlainResponse, Problem};

/// An operation, and what the path says in place of its parameters.
pub(super) struct Route {
    pub(super) operation: &'static Operation,
    pub(super) parameters: Vec<String>,
}

/// Finds the operation of a request to this path below the mount. `HEAD` is `GET` without a body (RFC 9110 section 9.3.2).
///
/// # Errors
/// The answer to a path that no operation has, or a method that none has there.
pub(super) fn route(method: &Method, path: &str) -> Result<Route, Box<PlainResponse>> {
    let wanted = if method == Method::HEAD { "GET" } else { method.as_str() };
    let mut allowed: Vec<&str> = Vec::new();
    // What a path names as it is, no parameter stands for.
    let is_named = OPERATIONS.iter().any(|operation| operation.path == path);
    for operation in OPERATIONS.iter().filter(|operation| !is_named || operation.path == path) {
        let Some(parameters) = parameters(operation.path, path) else { continue };
        if operation.method == wanted {
            return Ok(Route { operation, parameters });
        }
        allowed.push(operation.method);
        if operation.method == "GET" {
            allowed.push("HEAD");
        }
    }
    if allowed.is_empty() {
        return Err(Box::new(Problem::new(404, "not_found", "there is no such resource").into()));
    }
    // A method is any word that the caller sends, a token for one.
    let problem = Problem::new(405, "method_not_allowed", "the resource does not support this method");
    let problem = PlainResponse::from(problem);
    Err(Box::new(problem.with("allow", allowed.join(", "))))
}

/// What a path has in place of the parameters of a template; `None` if it does not fit.
fn parameters(template: &str, path: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(found),
            (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => found.push(decoded(given)),
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return None,
        }
    }
}

/// Decodes a segment of a path. What a query string has for a separator or a space is a character here.
fn decoded(segment: &str) -> String {
    let escaped = segment.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(escaped.as_bytes()).next().map(|(text, _)| text.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A status, and `Allow`.
    type NotFound = (u16, Option<String>);

    fn found(method: &Method, path: &str) -> Result<(&'static str, Vec<String>), NotFound> {
        route(method, path).map(|route| (route.operation.id, route.parameters)).map_err(|answer| {
            let allow = answer.headers.iter().find(|(name, _)| name == "allow");
            (answer.status, allow.map(|(_, value)| value.clone()))
        })
    }

    #[test]
    fn a_path_names_one_operation() {
        for (method, path, id, parameters) in [
            (Method::GET, "/keys", "listKeys", &[][..]),
            (Method::HEAD, "/keys", "listKeys", &[]),
            (Method::POST, "/keys", "createKey", &[]),
            (Method::POST, "/keys/revoke", "revokeKeys", &[]),
            (Method::GET, "/keys/17", "getKey", &["17"]),
            (Method::POST, "/keys/a%2Fb/revoke", "revokeKey", &["a/b"]),
            (Method::POST, "/owners/a+b%20&c=d%C3%BC/revoke", "revokeOwner", &["a+b &c=dü"]),
        ] {
            let parameters: Vec<String> = parameters.iter().map(ToString::to_string).collect();
            assert_eq!(found(&method, path), Ok((id, parameters)), "{method} {path}");
        }
    }

    #[test]
    fn another_path_or_method_names_none() {
        for path in ["", "/", "/keys/", "//keys", "/keys/1/2/3", "/Keys", "/keys//revoke"] {
            assert_eq!(found(&Method::GET, path), Err((404, None)), "{path}");
        }
        for (method, path, allow) in [
            (Method::PUT, "/keys", "GET, HEAD, POST"),
            (Method::OPTIONS, "/keys/1", "GET, HEAD, PATCH, DELETE"),
            (Method::GET, "/verify", "POST"),
            (Method::PATCH, "/keys/revoke", "POST"),
        ] {
            assert_eq!(found(&method, path), Err((405, Some(allow.to_owned()))), "{method} {path}");
        }
    }
}
