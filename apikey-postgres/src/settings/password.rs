use std::path::{Path, PathBuf};

/// The place of a password outside of the connection string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Read at each connection, so that a new one needs no restart.
    File(PathBuf),
    /// `PGPASSWORD`, if there is one.
    Environment,
}

impl Source {
    pub(crate) fn read(&self) -> Result<Option<String>, String> {
        match self {
            Self::File(path) => read_file(path).map(Some),
            Self::Environment => Ok(std::env::var("PGPASSWORD").ok().filter(|password| !password.is_empty())),
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
