//! Whether a request comes from the console's own page.

use http::header::{HOST, ORIGIN};
use http::request::Parts as Head;
use http::{HeaderMap, HeaderName, Method};

use crate::answer::Problem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Checks that no other site makes the request: `Sec-Fetch-Site`, which no script can set, or `Origin` must say that it is the
/// console's own page. A browser that sends neither changes nothing; a read it may, whose answer no other site can see.
///
/// `url` is where the console is, if it was said.
///
/// # Errors
/// `cross_origin` (403).
pub(super) fn check(head: &Head, url: Option<&str>) -> Result<(), Problem> {
    let is_read = matches!(head.method, Method::GET | Method::HEAD);
    let refused = |detail: &str| Err(Problem::new(403, "cross_origin", detail));
    let (site, origin) = (one(&head.headers, &SEC_FETCH_SITE), one(&head.headers, &ORIGIN));
    let vouched = match site {
        Ok(None) => false,
        Ok(Some("same-origin")) => true,
        // Somebody has typed the address.
        Ok(Some("none")) if is_read => true,
        Ok(Some(_)) | Err(()) => return refused("another site makes this request: Sec-Fetch-Site says so"),
    };
    match (origin, url.and_then(origin_of)) {
        (Err(()), _) => refused("the request names more than one origin"),
        (Ok(None), _) if vouched || is_read => Ok(()),
        (Ok(None), _) => refused("the request says neither in Sec-Fetch-Site nor in Origin where it comes from"),
        // Also a page on this machine under another name.
        (Ok(Some(origin)), Some(own)) if origin.eq_ignore_ascii_case(own) => Ok(()),
        (Ok(Some(_)), Some(_)) => {
            refused("another site makes this request: the console has the URL that the service says")
        }
        (Ok(Some(_)), None) if vouched => Ok(()),
        (Ok(Some(origin)), None) => match (authority(origin), host(head)) {
            (Some(origin), Some(host)) if origin.eq_ignore_ascii_case(host) => Ok(()),
            _ => refused("another site makes this request: Origin and Host differ"),
        },
    }
}

/// Whether a page on this machine makes the request over plain HTTP, where browsers keep no cookie that is for HTTPS alone. A
/// browser says in `Origin` what it sees itself, whatever a proxy makes of the host.
pub(super) fn is_plain(head: &Head, url: Option<&str>) -> bool {
    may_be_plain(head, url) && matches!(one(&head.headers, &ORIGIN), Ok(Some(origin)) if is_plain_loopback(origin))
}

/// Whether the console may be on this machine over plain HTTP, by its URL, and without one by the host of the request. Elsewhere
/// nobody has a session of plain HTTP: a caller that is no browser can say any origin.
pub(super) fn may_be_plain(head: &Head, url: Option<&str>) -> bool {
    match url {
        Some(url) => is_plain_loopback(url),
        None => host(head).is_some_and(is_loopback),
    }
}

fn is_plain_loopback(url: &str) -> bool {
    let has_scheme = url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
    has_scheme && authority(url).is_some_and(is_loopback)
}

/// The value of a field that a request has at most once.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(drop),
        (Some(_), Some(_)) => Err(()),
    }
}

/// The origin of a URL: its scheme, host and port, without one that is the scheme's own, as browsers write it.
pub(super) fn origin_of(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let authority = authority.strip_suffix(port).unwrap_or(authority);
    if authority.is_empty() {
        return None;
    }
    url.get(..scheme.len() + "://".len() + authority.len())
}

fn authority(origin: &str) -> Option<&str> {
    origin_of(origin).and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority)
}

fn host(head: &Head) -> Option<&str> {
    match one(&head.headers, &HOST) {
        Ok(Some(host)) => Some(host),
        Ok(None) => head.uri.authority().map(http::uri::Authority::as_str),
        Err(()) => None,
    }
}

/// Whether the host of an authority is this machine.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let is_named = |host: &str| host == "localhost" || host.ends_with(".localhost");
    is_named(&host.to_ascii_lowercase()) || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Field<'f> = (&'f str, &'f str);

    fn head(method: Method, fields: &[Field<'_>]) -> Head {
        let mut request = http::Request::builder().method(method).uri("/session");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    const HOST: Field<'static> = ("host", "keys.example:8443");

    #[test]
    fn only_the_consoles_own_page_changes_anything() {
        let site = |value| ("sec-fetch-site", value);
        let origin = |value| ("origin", value);
        let own = origin("https://keys.example:8443");
        // The request, and whether a read and a change are let through.
        let rows: &[(&[Field<'_>], bool, bool)] = &[
            (&[HOST], true, false),
            (&[HOST, site("same-origin")], true, true),
            (&[HOST, site("none")], true, false),
            (&[HOST, site("same-site")], false, false),
            (&[HOST, site("cross-site")], false, false),
            (&[HOST, site("Same-Origin")], false, false),
            (&[HOST, site("")], false, false),
            (&[HOST, site("same-origin"), site("cross-site")], false, false),
            (&[HOST, own], true, true),
            (&[HOST, own, site("same-origin")], true, true),
            (&[HOST, own, site("cross-site")], false, false),
            (&[HOST, origin("HTTPS://KEYS.example:8443")], true, true),
            (&[HOST, origin("https://keys.example")], false, false),
            (&[HOST, origin("https://keys.example:8443.evil.example")], false, false),
            (&[HOST, origin("https://evil.example")], false, false),
            (&[HOST, origin("null")], false, false),
            (&[HOST, origin("")], false, false),
            (&[HOST, own, origin("https://evil.example")], false, false),
            (&[own], false, false),
        ];
        for (fields, reads, changes) in rows {
            assert_eq!(check(&head(Method::GET, fields), None).is_ok(), *reads, "GET {fields:?}");
            assert_eq!(check(&head(Method::HEAD, fields), None).is_ok(), *reads, "HEAD {fields:?}");
            for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
                assert_eq!(check(&head(method, fields), None).is_ok(), *changes, "{fields:?}");
            }
        }
    }

    #[test]
    fn a_console_with_a_url_takes_that_origin_and_no_other() {
        let url = Some("https://keys.example/console");
        let post = |fields: &[(&str, &str)]| check(&head(Method::POST, fields), url).is_ok();
        assert!(post(&[("host", "10.0.0.7:8080"), ("origin", "https://keys.example")]), "a proxy has its own host");
        // A name that leads to this machine, and says of itself that it is its own origin.
        let rebound = ("origin", "http://evil.example:8080");
        assert!(!post(&[("host", "evil.example:8080"), rebound, ("sec-fetch-site", "same-origin")]));
        assert!(!post(&[("host", "keys.example"), ("origin", "http://keys.example")]));
        assert!(post(&[("host", "keys.example"), ("sec-fetch-site", "same-origin")]));
    }

    #[test]
    fn a_url_may_name_the_port_that_browsers_leave_out() {
        for (url, origin) in [
            ("https://keys.example:443", "https://keys.example"),
            ("HTTPS://keys.example:443/console", "https://keys.example"),
            ("http://localhost:80", "http://localhost"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert!(check(&head(Method::POST, &[("origin", origin)]), Some(url)).is_ok(), "{url}");
        }
        for (url, origin) in [
            ("https://keys.example:80", "https://keys.example"),
            ("http://keys.example:443", "http://keys.example"),
            ("https://keys.example:8443", "https://keys.example"),
        ] {
            assert!(check(&head(Method::POST, &[("origin", origin)]), Some(url)).is_err(), "{url}");
        }
        assert_eq!((origin_of("https://:443"), origin_of("https:///console")), (None, None));
    }

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        for (origin, url, expected) in [
            ("http://127.0.0.1:3001", None, true),
            ("http://localhost:3001", None, true),
            ("http://keys.localhost", None, true),
            ("http://[::1]:3001", None, true),
            ("http://127.0.0.1:3001", Some("http://127.0.0.1:3001/console"), true),
            ("http://127.0.0.1:3001", Some("https://keys.example"), false),
            ("https://127.0.0.1:3001", None, false),
            ("https://keys.example", None, false),
            ("http://keys.example", None, false),
            ("http://localhost.evil.example", None, false),
            ("http://127.0.0.1.evil.example", None, false),
            ("null", None, false),
        ] {
            let host = authority(origin).unwrap_or("127.0.0.1:3001");
            let fields = [("host", host), ("origin", origin)];
            assert_eq!(is_plain(&head(Method::POST, &fields), url), expected, "{origin} {url:?}");
        }
        // What only a program can say of itself.
        let forged = [("host", "keys.example"), ("origin", "http://localhost"), ("sec-fetch-site", "same-origin")];
        assert!(!is_plain(&head(Method::POST, &forged), None));
        // Whatever a proxy makes of the host.
        assert!(!is_plain(&head(Method::POST, &[("host", "127.0.0.1:8080"), ("sec-fetch-site", "same-origin")]), None));
    }
}
