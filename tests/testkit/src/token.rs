//! Tokens, made without the code under test.

/// The digits of a token, in their order.
pub const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A number in base62, padded with `0` on the left.
pub fn base62(mut number: u128, width: usize) -> String {
    let mut digits = vec![b'0'; width];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[usize::try_from(number % 62).unwrap()];
        number /= 62;
    }
    assert_eq!(number, 0, "the number needs more than {width} digits");
    String::from_utf8(digits).unwrap()
}

/// A token in its parts.
#[derive(Debug, Clone)]
pub struct TokenParts {
    /// What stands before the underscore.
    pub prefix: String,
    /// The id of the key.
    pub id: String,
    /// The secret.
    pub secret: String,
}

impl TokenParts {
    /// Takes a token apart.
    pub fn of(token: &str) -> Self {
        let (before, _checksum) = token.split_at(token.len() - 6);
        let (before, secret) = before.split_at(before.len() - 32);
        let (prefix, id) = before.split_at(before.len() - 22);
        let prefix = prefix.strip_suffix('_').expect("an underscore ends the prefix").to_owned();
        Self { prefix, id: id.to_owned(), secret: secret.to_owned() }
    }

    /// The token of these parts, with the checksum that they have.
    pub fn token(&self) -> String {
        let before = format!("{}_{}{}", self.prefix, self.id, self.secret);
        let check = base62(crc32fast::hash(before.as_bytes()).into(), 6);
        before + check.as_str()
    }
}

/// A token of the same key with another secret: well-formed, with a right checksum.
pub fn with_wrong_secret(token: &str) -> String {
    let parts = TokenParts::of(token);
    let first = if parts.secret.starts_with('A') { "B" } else { "A" };
    TokenParts { secret: format!("{first}{}", &parts.secret[1..]), ..parts }.token()
}
