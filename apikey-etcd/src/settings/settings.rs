use std::fmt;
use std::path::PathBuf;

use apikey_engine::{CommonSettings, Password};
use tonic::transport::ClientTlsConfig;

use super::endpoint::Endpoint;
use super::tls::Tls;

/// The variable of the environment that etcd's own command reads, too.
const PASSWORD: &str = "ETCDCTL_PASSWORD";

/// All that the operator says.
#[derive(Clone)]
pub(crate) struct Settings {
    /// At least one.
    endpoints: Vec<Endpoint>,
    tls: Tls,
    user: Option<String>,
    pub(crate) common: CommonSettings,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("server", &self.server()).field("tls", &self.tls).finish_non_exhaustive()
    }
}

impl Settings {
    /// Each text may have several, with commas between them.
    pub(crate) fn parse<S: AsRef<str>>(endpoints: impl IntoIterator<Item = S>) -> Result<Self, String> {
        let mut parsed = Vec::new();
        for text in endpoints {
            for endpoint in text.as_ref().split(',').map(str::trim).filter(|text| !text.is_empty()) {
                parsed.push(Endpoint::parse(endpoint)?);
            }
        }
        if parsed.is_empty() {
            return Err("there is no endpoint: name the members, like https://10.0.0.1:2379".to_owned());
        }
        if parsed.iter().any(|endpoint| endpoint.is_encrypted) != parsed.iter().all(|endpoint| endpoint.is_encrypted) {
            return Err("some endpoints have https:// and some http://: all must have the same".to_owned());
        }
        Ok(Self { endpoints: parsed, tls: Tls::default(), user: None, common: CommonSettings::new(PASSWORD) })
    }

    pub(crate) fn set_user(&mut self, name: &str) -> Result<(), String> {
        if name.is_empty() {
            return Err("the user has no name".to_owned());
        }
        self.user = Some(name.to_owned());
        Ok(())
    }

    pub(crate) fn set_authority(&mut self, path: PathBuf) {
        self.tls.authority = Some(path);
    }

    pub(crate) fn set_certificate(&mut self, certificate: PathBuf, key: PathBuf) {
        self.tls.certificate = Some((certificate, key));
    }

    pub(crate) fn set_server_name(&mut self, name: &str) {
        self.tls.server_name = Some(name.to_owned());
    }

    /// What settings demand of each other, whatever the order in which they are set.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.tls.is_set() && self.endpoints.iter().any(|endpoint| !endpoint.is_encrypted) {
            return Err("there are settings for TLS, and the endpoints have http://: write https://".to_owned());
        }
        if self.user.is_none() && self.common.password != Password::Environment(PASSWORD) {
            return Err("there is a password, and no user".to_owned());
        }
        Ok(())
    }

    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// How to encrypt a connection to this endpoint; `None` for a plain one.
    pub(crate) fn tls(&self, endpoint: &Endpoint) -> Result<Option<ClientTlsConfig>, String> {
        endpoint.is_encrypted.then(|| self.tls.config()).transpose()
    }

    /// The user and the password; `None` where the certificate names the user, or nothing does.
    pub(crate) fn login(&self) -> Result<Option<(String, String)>, String> {
        let Some(user) = &self.user else { return Ok(None) };
        let password = self.common.password.read()?;
        let password = password
            .ok_or_else(|| format!("there is a user, and no password: password_file(), password() or {PASSWORD}"))?;
        Ok(Some((user.clone(), password)))
    }

    /// The members, for errors.
    pub(crate) fn server(&self) -> String {
        self.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::parse(["https://one:1", "https://two"]).unwrap()
    }

    #[test]
    fn members_are_a_list_or_a_text_with_commas() {
        assert_eq!(settings().server(), "https://one:1,https://two:2379");
        assert_eq!(Settings::parse(["https://one:1, https://two,"]).unwrap().server(), settings().server());
        for none in [vec![], vec![""], vec![" , "]] {
            assert!(Settings::parse(none).is_err_and(|error| error.contains("no endpoint")));
        }
        let mixed = Settings::parse(["https://one,http://two"]).unwrap_err();
        assert!(mixed.contains("the same"), "{mixed}");
    }

    #[test]
    fn a_password_is_of_a_user() {
        let file = std::env::temp_dir().join(format!("apikey-etcd-password-{}", std::process::id()));
        let mut settings = settings();
        settings.common.set_password_file(file.clone()).unwrap();
        assert!(settings.check().unwrap_err().contains("no user"));
        settings.set_user("me").unwrap();
        settings.check().unwrap();
        assert!(settings.login().is_err_and(|error| error.contains("cannot read the password")));
        std::fs::write(&file, "pass word\n").unwrap();
        assert_eq!(settings.login().unwrap(), Some(("me".to_owned(), "pass word".to_owned())));
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn passwords_are_in_no_debug() {
        let mut settings = settings();
        settings.set_user("me").unwrap();
        settings.common.set_password("open sesame").unwrap();
        let debug = format!("{settings:?} {:?}", settings.common);
        assert!(!debug.contains("sesame"), "{debug}");
    }

    #[test]
    fn tls_is_for_endpoints_that_have_it() {
        let mut plain = Settings::parse(["http://one"]).unwrap();
        plain.check().unwrap();
        assert!(plain.tls(&plain.endpoints[0]).unwrap().is_none());
        plain.set_authority(PathBuf::from("/not/there"));
        assert!(plain.check().unwrap_err().contains("https://"));
        let mut settings = settings();
        settings.set_authority(PathBuf::from("/not/there"));
        let error = settings.tls(&settings.endpoints[0]).unwrap_err();
        assert!(error.contains("/not/there"), "{error}");
    }
}
