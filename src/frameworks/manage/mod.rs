//! The API for managing keys, and the console, in the frameworks that take no tower service. Each turns the head of its request into one of the
//! `http` crate, and reads the body once that has passed.

#[cfg(feature = "actix-web")]
pub(super) mod actix_web;
#[cfg(feature = "poem")]
pub(super) mod poem;
#[cfg(feature = "rocket")]
pub(super) mod rocket;
#[cfg(feature = "salvo")]
pub(super) mod salvo;

use std::net::IpAddr;

use apikey_core::VerifiedKey;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Uri};

use crate::answer::Problem;
use crate::ask::{GuardLog, PeerAddr};
use crate::served::{FullPath, MAX_BODY};

/// The head of a request with this path below the mount.
fn head(method: Method, path: &str, query: Option<&str>, headers: HeaderMap) -> Parts {
    let slash = if path.starts_with('/') { "" } else { "/" };
    let target = query.map_or_else(|| format!("{slash}{path}"), |query| format!("{slash}{path}?{query}"));
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = method;
    // A path that is none names no operation.
    head.uri = target.parse().unwrap_or_else(|_| Uri::from_static("/%00"));
    head.headers = headers;
    head
}

/// The same with the path that the router has seen, and what layers outside know of the caller.
fn known(
    mut head: Parts,
    full_path: &str,
    peer: Option<IpAddr>,
    key: Option<VerifiedKey>,
    log: Option<GuardLog>,
) -> Parts {
    head.extensions.insert(FullPath(full_path.to_owned()));
    if let Some(peer) = peer {
        head.extensions.insert(PeerAddr(peer));
    }
    if let Some(key) = key {
        head.extensions.insert(key);
    }
    if let Some(log) = log {
        head.extensions.insert(log);
    }
    head
}

/// Header fields from another form of theirs. What HTTP does not allow is dropped.
#[cfg(any(feature = "actix-web", feature = "rocket"))]
fn headers<'f>(fields: impl Iterator<Item = (&'f str, &'f [u8])>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), http::HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

fn too_large() -> Problem {
    Problem::new(413, "body_too_large", format!("the body has more than {MAX_BODY} bytes"))
}

fn unreadable() -> Problem {
    Problem::new(400, "unreadable_body", "the body did not arrive whole")
}

/// The end of a path that decodes to this one: salvo and actix-web decode what a pattern has matched, and a name may have a
/// slash.
#[cfg(any(feature = "actix-web", feature = "salvo"))]
fn below<'p>(path: &'p str, decoded: &str) -> &'p str {
    // A request to the mount itself may end in a slash, or not.
    if decoded.is_empty() {
        return "";
    }
    let ends = path.match_indices('/').filter_map(|(at, _)| path.get(at + 1..));
    let is_it = |end: &&str| percent_decoded(end) == decoded;
    ends.into_iter().find(is_it).unwrap_or(path)
}

#[cfg(any(feature = "actix-web", feature = "salvo"))]
fn percent_decoded(text: &str) -> String {
    let escaped = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(escaped.as_bytes()).next().map(|(text, _)| text.into_owned()).unwrap_or_default()
}

#[cfg(all(test, any(feature = "actix-web", feature = "salvo")))]
mod tests {
    use super::*;

    #[test]
    fn the_path_below_the_mount_is_as_it_was_sent() {
        for (path, decoded, expected) in [
            ("/admin/v1/keys", "keys", "keys"),
            ("/admin/v1/owners/a%2Fb%20c/revoke", "owners/a/b c/revoke", "owners/a%2Fb%20c/revoke"),
            ("/v1/v1/keys", "keys", "keys"),
            ("/admin/v1/a+b&c=d", "a+b&c=d", "a+b&c=d"),
            ("/admin/v1/", "", ""),
            ("/admin/v1", "", ""),
        ] {
            assert_eq!(below(path, decoded), expected, "{path}");
        }
    }
}
