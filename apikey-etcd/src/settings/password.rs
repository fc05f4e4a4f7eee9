use std::fmt;
use std::path::{Path, PathBuf};

/// The variable of the environment that etcd's own command reads, too.
const VARIABLE: &str = "ETCDCTL_PASSWORD";

/// The place of a password.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Password {
    Given(String),
    /// Read at each login, so that a new one needs no restart.
    File(PathBuf),
    /// `ETCDCTL_PASSWORD`.
    Environment,
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given(_) => "Given(..)",
            Self::File(_) => "File(..)",
            Self::Environment => "Environment",
        })
    }
}

impl Password {
    pub(super) fn read(&self) -> Result<String, String> {
        match self {
            Self::Given(password) => Ok(password.clone()),
            Self::File(path) => read_file(path),
            Self::Environment => std::env::var(VARIABLE)
                .ok()
                .filter(|password| !password.is_empty())
                .ok_or_else(|| format!("there is a user, and no password: password_file(), password() or {VARIABLE}")),
        }
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path);
    let mut text = text.map_err(|error| format!("cannot read the password from {}: {error}", path.display()))?;
    // What an editor leaves at the end is no part of it.
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    if text.is_empty() { Err(format!("the file of the password, {}, is empty", path.display())) } else { Ok(text) }
}
