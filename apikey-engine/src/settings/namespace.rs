use std::fmt;
use std::ops::Deref;

/// The name of a cluster, of several on one engine: 1 to 32 lower-case letters, digits and `_`, so that it can be a part of any
/// name that an engine has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(String);

impl Namespace {
    /// The longest one, in bytes.
    pub const MAX_LENGTH: usize = 32;

    /// Takes a name.
    ///
    /// # Errors
    /// What is allowed, if this is not.
    pub fn parse(name: &str) -> Result<Self, String> {
        let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !(1..=Self::MAX_LENGTH).contains(&name.len()) || !name.bytes().all(is_part) {
            return Err(format!("the namespace {name:?} is not allowed: 1 to 32 lower-case letters, digits and `_`"));
        }
        Ok(Self(name.to_owned()))
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl Deref for Namespace {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_short_and_plain() {
        for name in ["", "Acme", "a-b", "a.b", "a/b", "ä", &"a".repeat(33)] {
            assert!(Namespace::parse(name).is_err_and(|error| error.contains("1 to 32")), "{name:?}");
        }
        assert_eq!(Namespace::parse(&"a_9".repeat(10)).unwrap().to_string(), "a_9".repeat(10));
        assert_eq!(Namespace::parse(&Namespace::default()), Ok(Namespace::default()));
    }
}
