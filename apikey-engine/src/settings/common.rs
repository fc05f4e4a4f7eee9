use std::path::PathBuf;

use super::namespace::Namespace;
use super::password::Password;

/// The settings that every engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommonSettings {
    /// The name of the cluster, of several on one engine.
    pub namespace: Namespace,
    /// The place of the password.
    pub password: Password,
    /// The bytes that the engine may have, as far as the operator says it.
    pub quota: Option<u64>,
}

impl CommonSettings {
    /// The settings where nothing is said. `variable` is the variable of the environment that may have the password.
    #[must_use]
    pub fn new(variable: &'static str) -> Self {
        Self { namespace: Namespace::default(), password: Password::Environment(variable), quota: None }
    }

    /// Names the cluster.
    ///
    /// # Errors
    /// Those of [`Namespace::parse`].
    pub fn set_namespace(&mut self, name: &str) -> Result<(), String> {
        self.namespace = Namespace::parse(name)?;
        Ok(())
    }

    /// Gives the password itself.
    ///
    /// # Errors
    /// It is empty, or the password has a place already.
    pub fn set_password(&mut self, password: &str) -> Result<(), String> {
        if password.is_empty() {
            return Err("the password is empty".to_owned());
        }
        self.place_password(Password::Given(password.to_owned()))
    }

    /// Names a file with the password.
    ///
    /// # Errors
    /// The password has a place already.
    pub fn set_password_file(&mut self, path: impl Into<PathBuf>) -> Result<(), String> {
        self.place_password(Password::File(path.into()))
    }

    fn place_password(&mut self, password: Password) -> Result<(), String> {
        if !matches!(self.password, Password::Environment(_)) {
            return Err("there are two passwords, or two places of one: only one can be used".to_owned());
        }
        self.password = password;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_one_place() {
        let of_file = || {
            let mut settings = CommonSettings::new("VARIABLE");
            settings.set_password_file("/run/secrets/engine").unwrap();
            settings
        };
        assert!(of_file().set_password("open sesame").unwrap_err().contains("two passwords"));
        assert!(of_file().set_password_file("/other").unwrap_err().contains("two places"));
        let mut settings = CommonSettings::new("VARIABLE");
        assert!(settings.set_password("").unwrap_err().contains("empty"));
        settings.set_password("open sesame").unwrap();
        assert_eq!(settings.password.read(), Ok(Some("open sesame".to_owned())));
        assert!(!format!("{settings:?}").contains("sesame"));
    }
}
