//! The operations of a document, and a test that each of them refuses a caller without a key.

use std::fmt;

use serde_json::Value;

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// An operation of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The method, in upper case.
    pub method: String,
    /// The path as in the document: `/orders/{id}`.
    pub template: String,
    /// The path with `1` for each parameter: `/orders/1`.
    pub path: String,
    /// The `operationId`, if there is one.
    pub id: Option<String>,
}

/// `GET /orders/{id}`
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.template)
    }
}

/// Returns every operation of an OpenAPI document, in the document's order.
#[must_use]
pub fn operations(document: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    let paths = document.get("paths").and_then(Value::as_object);
    for (template, item) in paths.into_iter().flatten() {
        for method in METHODS {
            let Some(operation) = item.get(method) else { continue };
            let id = operation.get("operationId").and_then(Value::as_str).map(str::to_owned);
            let path = filled(template);
            found.push(Operation { method: method.to_uppercase(), template: template.clone(), path, id });
        }
    }
    found
}

/// A path with `1` in place of each `{parameter}`.
fn filled(template: &str) -> String {
    let mut path = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        path.push_str(before);
        path.push('1');
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    path + rest
}

/// Calls, in a test, every operation of a document without a key, and expects 401 from all but the open ones.
///
/// `send` sends the request with the test's own client and returns the status of the response. `open` lists the open
/// operations by their `operationId`, or as `GET /health`. An operation in that list that is guarded, or does not
/// exist, is a fault, too, so that the list stays true.
///
/// ```
/// use apikey::openapi::assert_guarded;
/// # async fn test() {
/// let document = serde_json::json!({ "paths": { "/orders": { "get": {} }, "/health": { "get": {} } } });
/// assert_guarded(&document, &["GET /health"], async |operation| {
///     // let response = client.request(operation.method.parse()?, base.join(&operation.path)?).send().await?;
///     // response.status().as_u16()
///     if operation.path == "/health" { 200 } else { 401 }
/// })
/// .await;
/// # }
/// ```
///
/// # Panics
/// If an operation answers differently; the message lists every such operation.
#[allow(clippy::panic, reason = "a test fails by a panic")]
pub async fn assert_guarded(document: &Value, open: &[&str], mut send: impl AsyncFnMut(&Operation) -> u16) {
    let operations = operations(document);
    let mut faults = Vec::new();
    if operations.is_empty() {
        faults.push("the document has no operations".to_owned());
    }
    let is = |operation: &Operation, name: &str| operation.id.as_deref() == Some(name) || operation.to_string() == name;
    for name in open {
        if !operations.iter().any(|operation| is(operation, name)) {
            faults.push(format!("{name} is listed as open, and the document has no such operation"));
        }
    }
    for operation in &operations {
        let status = send(operation).await;
        match (open.iter().any(|name| is(operation, name)), status) {
            (true, 401) => faults.push(format!("{operation} is listed as open, and answered 401")),
            (false, 401) | (true, _) => {}
            (false, _) => faults.push(format!("{operation} answered {status} without a key")),
        }
    }
    if !faults.is_empty() {
        panic!("the guards do not match the document:\n{}", faults.join("\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::panic::AssertUnwindSafe;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn document() -> Value {
        let get = |id: &str| json!({ "get": { "operationId": id } });
        json!({ "paths": { "/a/{id}/b/{other}": get("one"), "/health": { "get": {}, "summary": "x" }, "/new": get("new") } })
    }

    /// The message of the panic, if it panics. The futures here are ready at once.
    fn fault(open: &[&str], statuses: &[(&str, u16)]) -> Option<String> {
        let document = document();
        let send = async |operation: &Operation| {
            let known = statuses.iter().find(|(template, _)| *template == operation.template);
            known.map_or(401, |(_, status)| *status)
        };
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let polled = pin!(assert_guarded(&document, open, send)).poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(polled, Poll::Ready(()));
        }));
        outcome.err().map(|panic| panic.downcast_ref::<String>().unwrap().clone())
    }

    #[test]
    fn parameters_are_filled_in() {
        let found = operations(&document());
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["GET /a/{id}/b/{other}", "GET /health", "GET /new"]
        );
        assert_eq!(found[0].path, "/a/1/b/1");
        assert_eq!(found[0].id.as_deref(), Some("one"));
    }

    #[test]
    fn an_operation_without_its_guard_is_reported() {
        assert_eq!(fault(&["GET /health"], &[("/health", 200)]), None);
        assert!(
            fault(&["GET /health"], &[("/health", 200), ("/new", 200)])
                .unwrap()
                .ends_with("GET /new answered 200 without a key")
        );
        assert!(fault(&["GET /health"], &[]).unwrap().ends_with("GET /health is listed as open, and answered 401"));
        assert!(
            fault(&["old", "new"], &[("/new", 204)])
                .unwrap()
                .contains("old is listed as open, and the document has no")
        );
    }
}
