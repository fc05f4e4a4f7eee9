//! Names of header fields that cannot carry a key, since they have another meaning.

/// The fields of HTTP, of browsers and of proxies, in lower case.
const NAMES: &[&str] = &[
    // Fields that frame and route a message: a hop consumes the value, or replaces the caller's.
    "accept",
    "connection",
    "date",
    "expect",
    "host",
    "keep-alive",
    "max-forwards",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    // Fields that a browser sends by itself, even for another site's page, or that a page cannot set.
    "cookie",
    "cookie2",
    "dnt",
    "origin",
    "priority",
    "referer",
    "save-data",
    "user-agent",
    // Fields on which caches and servers act.
    "age",
    "cache-control",
    "etag",
    "expires",
    "pragma",
    "range",
    "vary",
    "warning",
    // Fields in which proxies describe the connection.
    "cf-connecting-ip",
    "forwarded",
    "true-client-ip",
    "x-client-ip",
    "x-real-ip",
    // Fields of responses: nothing reads them in a request, or the response would carry the key back.
    "allow",
    "alt-svc",
    "clear-site-data",
    "link",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "www-authenticate",
    "x-api-key-superseded",
    // Fields for credentials of another kind, or of another scheme.
    "authentication-info",
    "authorization",
    "idempotency-key",
];

/// Families of such fields.
const PREFIXES: &[&str] =
    &["accept-", "access-control-", "content-", "cross-origin-", "if-", "proxy-", "sec-", "x-forwarded-"];

/// Whether a field of this name cannot carry a key.
pub(super) fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.contains(&name.as_str()) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ForwardedHeader;

    #[test]
    fn what_carries_something_else() {
        for name in [
            "Cookie",
            "SET-COOKIE",
            "CF-Connecting-IP",
            "Host",
            "Content-Length",
            "content-type",
            "Transfer-Encoding",
            "Proxy-Authorization",
            "Accept",
            "Accept-Encoding",
            "If-None-Match",
            "Sec-Fetch-Site",
            "Access-Control-Request-Headers",
            ForwardedHeader::XForwardedFor.name(),
            ForwardedHeader::Forwarded.name(),
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["X-API-Key", "apikey", "X-Acme-Key", "Api-Token", "X-Auth-Token", "Ocp-Apim-Subscription-Key"] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
