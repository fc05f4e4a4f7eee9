use std::fmt;
use std::path::{Path, PathBuf};

/// The place of a password.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// Here.
    Given(String),
    /// In a file. It is read at each connection, so that a new password needs no restart.
    File(PathBuf),
    /// In this variable of the environment, if it is set.
    Environment(&'static str),
}

impl Password {
    /// Reads the password; `None` if the environment has none.
    ///
    /// # Errors
    /// The file cannot be read, or is empty.
    pub fn read(&self) -> Result<Option<String>, String> {
        match self {
            Self::Given(password) => Ok(Some(password.clone())),
            Self::File(path) => read_file(path).map(Some),
            Self::Environment(variable) => Ok(std::env::var(variable).ok().filter(|password| !password.is_empty())),
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given(_) => "Given(..)",
            Self::File(_) => "File(..)",
            Self::Environment(_) => "Environment(..)",
        })
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path);
    let mut text = text.map_err(|error| format!("cannot read the password from {}: {error}", path.display()))?;
    // What an editor leaves at the end is no part of it.
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    if text.is_empty() { Err(format!("the file of the password, {}, is empty", path.display())) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_each_time() {
        let file = std::env::temp_dir().join(format!("apikey-engine-password-{}", std::process::id()));
        let password = Password::File(file.clone());
        assert!(password.read().is_err_and(|error| error.contains("cannot read the password")));
        std::fs::write(&file, "pass word\r\n").unwrap();
        assert_eq!(password.read(), Ok(Some("pass word".to_owned())));
        std::fs::write(&file, "\n").unwrap();
        assert!(password.read().is_err_and(|error| error.contains("empty")));
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn a_variable_that_is_not_set_has_none() {
        assert_eq!(Password::Environment("APIKEY_ENGINE_NO_SUCH_VARIABLE").read(), Ok(None));
    }
}
