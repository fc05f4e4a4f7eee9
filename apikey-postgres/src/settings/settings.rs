use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use apikey_engine::CommonSettings;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode as PlainSslMode, TargetSessionAttrs};

use super::conninfo::{self, SslMode, TlsSettings};

/// All that the operator says.
#[derive(Clone)]
pub(crate) struct Settings {
    config: Config,
    pub(crate) tls: TlsSettings,
    pub(crate) common: CommonSettings,
    pub(crate) schema: String,
    /// One server that never fails over.
    pub(crate) single: bool,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("server", &self.server()).field("tls", &self.tls).finish_non_exhaustive()
    }
}

impl Settings {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let conninfo = conninfo::split(text)?;
        let mut config = Config::from_str(&conninfo.rest).map_err(|error| {
            // Its source names the option, and no value.
            match std::error::Error::source(&error) {
                Some(source) => format!("the connection string does not parse: {source}"),
                None => "the connection string does not parse".to_owned(),
            }
        })?;
        let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
        let count = hosts.len().max(addresses.len());
        if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
            let (hosts, addresses) = (hosts.len(), addresses.len());
            return Err(format!(
                "the connection string has {hosts} hosts and {addresses} of hostaddr: as many, or none"
            ));
        }
        if ports.len() > 1 && ports.len() != count {
            let ports = ports.len();
            return Err(format!("the connection string has {count} hosts and {ports} ports: as many, one, or none"));
        }
        let named = |name: &str| conninfo.named.iter().any(|named| named == name);
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err("the connection string has no host".to_owned());
        }
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.ssl_mode(match conninfo.tls.mode {
            SslMode::Disable => PlainSslMode::Disable,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => PlainSslMode::Require,
        });
        // PostgreSQL has no TLS on a Unix socket.
        if config.get_hosts().iter().all(is_socket) && config.get_hostaddrs().is_empty() {
            config.ssl_mode(PlainSslMode::Disable);
        }
        // A server that is gone says nothing: what libpq leaves to the kernel takes hours.
        if !named("connect_timeout") {
            config.connect_timeout(Duration::from_secs(5));
        }
        if !named("tcp_user_timeout") {
            config.tcp_user_timeout(Duration::from_secs(15));
        }
        if !named("keepalives_idle") {
            config.keepalives_idle(Duration::from_secs(10));
        }
        if !named("keepalives_interval") {
            config.keepalives_interval(Duration::from_secs(3));
        }
        if !named("keepalives_retries") {
            config.keepalives_retries(3);
        }
        if !named("application_name") {
            config.application_name("apikey");
        }
        Ok(Self {
            config,
            tls: conninfo.tls,
            common: CommonSettings::new("PGPASSWORD"),
            schema: "public".to_owned(),
            single: false,
        })
    }

    pub(crate) fn set_schema(&mut self, name: &str) -> Result<(), String> {
        if name.is_empty() || name.len() > 63 || name.contains('\0') {
            return Err(format!("the schema {name:?} is not allowed: PostgreSQL's names have 1 to 63 bytes"));
        }
        name.clone_into(&mut self.schema);
        Ok(())
    }

    pub(crate) fn set_password_file(&mut self, path: PathBuf) -> Result<(), String> {
        if self.config.get_password().is_some() {
            return Err("there are two passwords: in the connection string, and in a file".to_owned());
        }
        self.common.set_password_file(path)
    }

    /// The number of hosts.
    pub(crate) fn hosts(&self) -> usize {
        self.config.get_hosts().len().max(self.config.get_hostaddrs().len())
    }

    /// What to connect to one of the hosts with.
    pub(crate) fn config(&self, host: usize) -> Result<Config, String> {
        let mut config = self.only(host);
        if config.get_password().is_none()
            && let Some(password) = self.common.password.read()?
        {
            config.password(password);
        }
        Ok(config)
    }

    /// The same settings for one of the hosts alone.
    fn only(&self, host: usize) -> Config {
        let all = &self.config;
        let mut one = Config::new();
        if let Some(name) = all.get_hosts().get(host) {
            match name {
                Host::Tcp(name) => drop(one.host(name)),
                #[cfg(unix)]
                Host::Unix(path) => drop(one.host_path(path)),
            }
        }
        if let Some(address) = all.get_hostaddrs().get(host) {
            one.hostaddr(*address);
        }
        one.port(self.port(host)).target_session_attrs(all.get_target_session_attrs());
        one.ssl_mode(all.get_ssl_mode()).ssl_negotiation(all.get_ssl_negotiation());
        one.channel_binding(all.get_channel_binding()).load_balance_hosts(all.get_load_balance_hosts());
        one.keepalives(all.get_keepalives()).keepalives_idle(all.get_keepalives_idle());
        if let Some(user) = all.get_user() {
            one.user(user);
        }
        if let Some(password) = all.get_password() {
            one.password(password);
        }
        if let Some(name) = all.get_dbname() {
            one.dbname(name);
        }
        if let Some(options) = all.get_options() {
            one.options(options);
        }
        if let Some(name) = all.get_application_name() {
            one.application_name(name);
        }
        if let Some(timeout) = all.get_connect_timeout() {
            one.connect_timeout(*timeout);
        }
        if let Some(timeout) = all.get_tcp_user_timeout() {
            one.tcp_user_timeout(*timeout);
        }
        if let Some(interval) = all.get_keepalives_interval() {
            one.keepalives_interval(interval);
        }
        if let Some(retries) = all.get_keepalives_retries() {
            one.keepalives_retries(retries);
        }
        one
    }

    /// The servers and the database, for errors.
    pub(crate) fn server(&self) -> String {
        let places: Vec<_> = (0..self.hosts()).map(|host| self.place(host)).collect();
        format!("{}/{}", places.join(","), self.database())
    }

    /// One of the servers and the database, for errors.
    pub(crate) fn server_at(&self, host: usize) -> String {
        format!("{}/{}", self.place(host), self.database())
    }

    fn place(&self, host: usize) -> String {
        let name = self.config.get_hosts().get(host).map(host_name);
        let name = name.or_else(|| self.config.get_hostaddrs().get(host).map(ToString::to_string));
        format!("{}:{}", name.unwrap_or_default(), self.port(host))
    }

    fn port(&self, host: usize) -> u16 {
        let ports = self.config.get_ports();
        ports.get(host).or(ports.first()).copied().unwrap_or(5432)
    }

    pub(crate) fn database(&self) -> &str {
        self.config.get_dbname().or(self.config.get_user()).unwrap_or("(the user's)")
    }

    pub(crate) fn user(&self) -> &str {
        self.config.get_user().unwrap_or("(the system's)")
    }

    /// The schema as SQL has it.
    pub(crate) fn quoted_schema(&self) -> String {
        format!("\"{}\"", self.schema.replace('"', "\"\""))
    }

    /// The channel by which an append wakes other nodes.
    pub(crate) fn channel(&self) -> String {
        format!("apikey_{}", self.common.namespace)
    }
}

fn is_socket(host: &Host) -> bool {
    match host {
        Host::Tcp(_) => false,
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

fn host_name(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_named_without_a_password() {
        let server = |text: &str| Settings::parse(text).unwrap().server();
        assert_eq!(server("host=db.internal user=me dbname=keys password=secret"), "db.internal:5432/keys");
        assert_eq!(server("postgres://me:secret@one:1,two:2/keys"), "one:1,two:2/keys");
        assert_eq!(server("host=/run/postgresql user=me"), "/run/postgresql:5432/me");
        let debug = format!("{:?}", Settings::parse("host=db user=me password=secret").unwrap());
        assert!(!debug.contains("secret"), "{debug}");
    }

    #[test]
    fn each_host_has_its_port_and_all_that_is_said_of_all() {
        let text = "host=one,/run/two,three port=1,2,3 user=me password=secret dbname=keys options='-c a=b' connect_timeout=7 \
            keepalives_retries=9 channel_binding=require sslmode=disable application_name=mine";
        let settings = Settings::parse(text).unwrap();
        assert_eq!(settings.hosts(), 3);
        // What is the same for all is what a string with this host alone says.
        for (host, (name, port)) in [("one", 1), ("/run/two", 2), ("three", 3)].into_iter().enumerate() {
            let alone = text.replace("one,/run/two,three", name).replace("1,2,3", &port.to_string());
            assert_eq!(settings.config(host).unwrap(), Settings::parse(&alone).unwrap().config(0).unwrap());
            assert_eq!(settings.server_at(host), format!("{name}:{port}/keys"));
        }
        let fault = |text: &str| Settings::parse(text).unwrap_err();
        assert!(fault("host=one,two port=1,2,3").contains("2 hosts and 3 ports"));
        assert!(fault("host=one,two hostaddr=127.0.0.1").contains("2 hosts and 1 of hostaddr"));
    }

    #[test]
    fn one_password_has_one_place() {
        let mut settings = Settings::parse("host=db password=secret").unwrap();
        assert!(settings.set_password_file(PathBuf::from("/run/secrets/db")).is_err());
        assert_eq!(settings.config(0).unwrap().get_password(), Some(&b"secret"[..]));
        let file = std::env::temp_dir().join(format!("apikey-postgres-password-{}", std::process::id()));
        let mut settings = Settings::parse("host=db").unwrap();
        settings.set_password_file(file.clone()).unwrap();
        assert!(settings.config(0).is_err_and(|error| error.contains("cannot read the password")));
        std::fs::write(&file, "pass word\r\n").unwrap();
        assert_eq!(settings.config(0).unwrap().get_password(), Some(&b"pass word"[..]));
        std::fs::remove_file(file).unwrap();
    }
}
