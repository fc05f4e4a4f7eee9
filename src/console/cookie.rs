//! The cookie of a session.

use http::HeaderMap;
use http::header::COOKIE;

/// A browser takes a cookie of this name from this host alone, over HTTPS, and for all paths.
const NAME: &str = "__Host-apikey-console";
/// The name over plain HTTP on this machine.
const PLAIN_NAME: &str = "apikey-console";
/// The length of a token in hexadecimal digits.
const TOKEN: usize = 64;

/// A token that a request presents, and whether it came in the cookie of plain HTTP.
#[derive(Clone, Copy)]
pub(super) struct Presented<'h> {
    pub(super) token: &'h str,
    pub(super) is_plain: bool,
}

/// The tokens of a request, that of HTTPS first.
pub(super) fn presented(headers: &HeaderMap) -> impl Iterator<Item = Presented<'_>> {
    [(NAME, false), (PLAIN_NAME, true)].into_iter().filter_map(|(name, is_plain)| {
        let fields = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
        let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let token = pairs.find(|(held, _)| *held == name).map(|(_, token)| token)?;
        let is_token = token.len() == TOKEN && token.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_token.then_some(Presented { token, is_plain })
    })
}

/// The value of `Set-Cookie` that gives a session its token. It has no end of its own: the browser forgets it when it is closed,
/// and the service ends the session before.
pub(super) fn set(token: &str, is_plain: bool) -> String {
    let (name, secure) = named(is_plain);
    format!("{name}={token}; Path=/; HttpOnly;{secure} SameSite=Strict")
}

/// The value of `Set-Cookie` that takes it away.
pub(super) fn clear(is_plain: bool) -> String {
    let (name, secure) = named(is_plain);
    format!("{name}=; Path=/; Max-Age=0; HttpOnly;{secure} SameSite=Strict")
}

fn named(is_plain: bool) -> (&'static str, &'static str) {
    if is_plain { (PLAIN_NAME, "") } else { (NAME, " Secure;") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_among_other_cookies() {
        let (one, other) = ("a1".repeat(32), "b2".repeat(32));
        let find = |fields: &[String]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(COOKIE, field.parse().unwrap());
            }
            presented(&headers).map(|found| (found.token.to_owned(), found.is_plain)).collect::<Vec<_>>()
        };
        assert_eq!(find(&[format!("a=b; {NAME}={one}; c=d")]), [(one.clone(), false)]);
        assert_eq!(find(&["a=b".into(), format!("{PLAIN_NAME}={one}")]), [(one.clone(), true)]);
        let both = [(one.clone(), false), (other.clone(), true)];
        assert_eq!(find(&[format!("{PLAIN_NAME}={other};{NAME}={one}")]), both);
        for none in ["", NAME, "__Host-apikey-console=", "apikey-console=short", "x__Host-apikey-console=1"] {
            assert_eq!(find(&[none.to_owned()]), [], "{none}");
        }
        assert_eq!(find(&[format!("{NAME}={}", "ü".repeat(32))]), []);
        assert_eq!(find(&[format!("{NAME}={}", "g".repeat(64))]), []);
    }
}
