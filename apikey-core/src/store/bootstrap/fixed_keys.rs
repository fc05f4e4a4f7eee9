//! Fixed keys, which a deployment supplies as lines of text.

use std::fmt;
use std::path::PathBuf;

use crate::key::new_key::NewKey;
use crate::token::imported::{ImportScheme, Imported, from_hex};

/// The source of fixed keys.
#[derive(Clone)]
pub(crate) enum FixedKeys {
    Variable(String),
    File(PathBuf),
}

impl FixedKeys {
    /// Reads the lines; an unset variable has none.
    pub(crate) fn read(&self) -> Result<String, String> {
        match self {
            Self::Variable(name) => match std::env::var_os(name) {
                None => Ok(String::new()),
                Some(text) => text.into_string().map_err(|_| format!("{self}: its value is not UTF-8")),
            },
            Self::File(path) => std::fs::read_to_string(path).map_err(|error| format!("{self}: {error}")),
        }
    }
}

impl fmt::Display for FixedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "fixed keys of ${name}"),
            Self::File(path) => write!(f, "fixed keys of {}", path.display()),
        }
    }
}

/// One line: `owner permissions sha256:<hex>`.
pub(crate) struct FixedKey {
    /// The number of the line, from 1.
    pub(crate) line: usize,
    pub(crate) digest: [u8; 32],
    owner: String,
    permissions: Vec<String>,
    hex: String,
}

impl FixedKey {
    /// Parses the lines of a text. The error is the number of the faulty line and the reason; it does not repeat a text
    /// that may be a secret.
    pub(crate) fn all(text: &str) -> Result<Vec<Self>, (usize, &'static str)> {
        let lines = text.split(['\n', ';']).map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        lines.map(|(at, line)| Self::parse(at + 1, line).map_err(|fault| (at + 1, fault))).collect()
    }

    fn parse(line: usize, text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "it must be `owner permissions sha256:<hex>`, with commas between permissions, `-` for none";
        let mut fields = text.split_whitespace();
        let (Some(owner), Some(permissions), Some(digest), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(FORM);
        };
        let hex = digest.strip_prefix("sha256:").ok_or(FORM)?;
        let digest = from_hex(hex).ok_or("what follows `sha256:` must be 64 hexadecimal digits")?;
        let permissions = permissions.split(',').filter(|_| permissions != "-").map(str::to_owned).collect();
        Ok(Self { line, digest, owner: owner.to_owned(), permissions, hex: hex.to_owned() })
    }

    pub(crate) fn into_new(self) -> NewKey {
        NewKey::for_owner(self.owner)
            .permissions(self.permissions)
            // The deployment would supply the old secret again and again.
            .no_rotation()
            .no_idle_after()
            .imported(Imported::sha256_hex(self.hex), ImportScheme::Whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let hex = "f4d5332088e579bfad3a9c1a04f97a2de4c4d3f38f129433e7e00d0b873bec69";
        let text = format!(
            "# preview\n\nalice orders:read,orders:write sha256:{hex}\r\n bob\t-  sha256:{hex} ;carol * sha256:{hex}"
        );
        let keys = FixedKey::all(&text).unwrap();
        let told: Vec<_> = keys.iter().map(|key| (key.line, key.owner.as_str(), key.permissions.len())).collect();
        assert_eq!(told, [(3, "alice", 2), (4, "bob", 0), (5, "carol", 1)]);
        for bad in
            ["alice", "alice -", "alice - sha256:12", "alice - raw-key-0123456789", "a b c d", "alice - sha512:00"]
        {
            let Err((line, fault)) = FixedKey::all(&format!("# first\n{bad}")) else { panic!("{bad}") };
            assert_eq!(line, 2);
            assert!(!fault.contains("raw-key"));
        }
        assert!(FixedKey::all("").unwrap().is_empty());
    }
}
