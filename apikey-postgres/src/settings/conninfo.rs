use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// How a connection is encrypted, and what is checked: libpq's `sslmode` without the modes that fall back to plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SslMode {
    Disable,
    Require,
    VerifyCa,
    VerifyFull,
}

/// The options for TLS, which `tokio_postgres` leaves to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    pub(crate) mode: SslMode,
    /// Certificates of authorities; `None` for those of the system.
    pub(crate) roots: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

/// A connection string in two: what `tokio_postgres` reads, and the options for TLS.
#[derive(PartialEq, Eq)]
pub(crate) struct Conninfo {
    pub(crate) rest: String,
    pub(crate) tls: TlsSettings,
    /// The names of the options in `rest`.
    pub(crate) named: Vec<String>,
}

/// Splits a connection string: `host=db user=apikey`, or `postgres://apikey@db/keys?sslmode=verify-full`. No error has a
/// value in it, since any may be part of a password that lacks its quotes.
pub(crate) fn split(text: &str) -> Result<Conninfo, String> {
    let mut conninfo = Conninfo {
        rest: String::new(),
        tls: TlsSettings { mode: SslMode::VerifyFull, roots: None, certificate: None, key: None },
        named: Vec::new(),
    };
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        conninfo.split_url(text)?;
    } else {
        conninfo.split_words(text)?;
    }
    let tls = &conninfo.tls;
    if tls.certificate.is_some() != tls.key.is_some() {
        return Err("sslcert and sslkey belong together: the connection string has one of them".to_owned());
    }
    Ok(conninfo)
}

impl Conninfo {
    fn split_url(&mut self, text: &str) -> Result<(), String> {
        let Some((rest, query)) = text.split_once('?') else {
            text.clone_into(&mut self.rest);
            return Ok(());
        };
        let mut kept = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let Some((name, value)) = pair.split_once('=') else {
                return Err("the connection string has an option without `=` after its `?`".to_owned());
            };
            let decoded = percent_decode_str(value).decode_utf8();
            let decoded =
                decoded.map_err(|_| format!("the option {} of the connection string is no UTF-8", plain(name)))?;
            if !self.take(name, &decoded)? {
                kept.push(pair);
            }
        }
        rest.clone_into(&mut self.rest);
        if !kept.is_empty() {
            self.rest.push('?');
            self.rest.push_str(&kept.join("&"));
        }
        Ok(())
    }

    fn split_words(&mut self, text: &str) -> Result<(), String> {
        let mut left = text.trim_start();
        while !left.is_empty() {
            let Some((name, after)) = left.split_once('=') else {
                return Err("the connection string has a word without `=`; quote a value that has spaces: 'like this'"
                    .to_owned());
            };
            let name = name.trim_end();
            let after = after.trim_start();
            let (value, length) = value(after).ok_or("the connection string has a quote without its end")?;
            let (raw, following) = after.split_at(length);
            if !self.take(name, &value)? {
                self.rest.push_str(name);
                self.rest.push('=');
                self.rest.push_str(raw);
                self.rest.push(' ');
            }
            left = following.trim_start();
        }
        Ok(())
    }

    /// Takes an option that is about TLS; returns whether it was.
    fn take(&mut self, name: &str, value: &str) -> Result<bool, String> {
        match name {
            "sslmode" => {
                self.tls.mode = match value {
                    "disable" => SslMode::Disable,
                    "require" => SslMode::Require,
                    "verify-ca" => SslMode::VerifyCa,
                    "verify-full" => SslMode::VerifyFull,
                    _ => {
                        return Err(format!(
                            "sslmode={} is not supported: it is verify-full, verify-ca, require or disable",
                            plain(value)
                        ));
                    }
                };
            }
            "sslrootcert" if value == "system" => self.tls.roots = None,
            "sslrootcert" => self.tls.roots = Some(PathBuf::from(value)),
            "sslcert" => self.tls.certificate = Some(PathBuf::from(value)),
            "sslkey" => self.tls.key = Some(PathBuf::from(value)),
            _ if KNOWN.contains(&name) => {
                self.named.push(name.to_owned());
                return Ok(false);
            }
            _ => return Err(format!("the connection string has the option {}, which is not supported", plain(name))),
        }
        Ok(true)
    }
}

/// The options that `tokio_postgres` knows.
const KNOWN: [&str; 17] = [
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "sslnegotiation",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "channel_binding",
    "target_session_attrs",
];

/// A name for an error, unless it may be something else.
fn plain(name: &str) -> &str {
    let harmless =
        name.len() <= 24 && name.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-'));
    if harmless { name } else { "(not shown)" }
}

/// Reads a value at the begin of a text, as libpq does: how it reads without quotes, and the bytes that it takes.
fn value(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let quoted = text.starts_with('\'');
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => value.push(chars.next()?.1),
            '\'' if quoted => return Some((value, at + 1)),
            char if char.is_whitespace() && !quoted => return Some((value, at)),
            char => value.push(char),
        }
    }
    (!quoted).then_some((value, text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(text: &str) -> String {
        split(text).map(|conninfo| conninfo.rest).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn options_for_tls_are_taken_out_of_words() {
        let conninfo =
            split("host=db sslmode = verify-ca user='a b' sslrootcert='/etc/it\\'s here' password=s\\ x").unwrap();
        assert_eq!(conninfo.rest, "host=db user='a b' password=s\\ x ");
        assert_eq!(conninfo.named, ["host", "user", "password"]);
        assert_eq!(conninfo.tls.mode, SslMode::VerifyCa);
        assert_eq!(conninfo.tls.roots, Some(PathBuf::from("/etc/it's here")));
    }

    #[test]
    fn options_for_tls_are_taken_out_of_urls() {
        let text =
            "postgresql://me:s%3fcret@db:5433,other/keys?sslmode=require&connect_timeout=3&sslcert=%2Fa&sslkey=b";
        let conninfo = split(text).unwrap();
        assert_eq!(conninfo.rest, "postgresql://me:s%3fcret@db:5433,other/keys?connect_timeout=3");
        assert_eq!(conninfo.tls.mode, SslMode::Require);
        assert_eq!(conninfo.tls.certificate, Some(PathBuf::from("/a")));
        assert_eq!(rest("postgres://db/keys?sslmode=disable"), "postgres://db/keys");
    }

    #[test]
    fn a_connection_is_verified_unless_the_string_says_otherwise() {
        assert_eq!(split("host=db").unwrap().tls.mode, SslMode::VerifyFull);
        for weak in ["prefer", "allow", "Require", ""] {
            assert!(split(&format!("host=db sslmode='{weak}'")).is_err(), "{weak}");
        }
    }

    #[test]
    fn errors_have_no_part_of_a_passplain() {
        for text in [
            "host=db password=correct horse7battery staple",
            "host=db password='correct horse7battery",
            "host=db password=correct horse7battery=staple",
            "postgres://u:horse7battery@db/k?horse7battery",
            "postgres://u:horse7battery@db/k?horse7battery=x",
            "password=horse7battery sslmode=horse7battery",
        ] {
            let error = split(text).err().unwrap();
            assert!(!error.contains("horse7battery") && !error.contains("correct"), "{error}");
        }
    }
}
