use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::processes::run;

/// An authority, and the certificates that it has issued, made by the program openssl, which Debian's PostgreSQL and
/// `tests/install etcd` bring.
#[derive(Debug)]
pub struct Authority(TempDir);

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        let authority = Self(tempfile::tempdir().unwrap());
        authority.openssl(&[
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout authority.key -out authority.crt",
            "-subj /CN=authority -addext basicConstraints=critical,CA:TRUE",
        ]);
        authority
    }

    /// The file of its own certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.0.path().join("authority.crt")
    }

    /// The files of a certificate for this name, and of its key.
    #[must_use]
    pub fn issue(&self, name: &str) -> (PathBuf, PathBuf) {
        self.openssl(&[
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -CA authority.crt -CAkey authority.key",
            &format!("-keyout {name}.key -out {name}.crt -subj /CN={name} -addext subjectAltName=DNS:{name}"),
            "-addext basicConstraints=critical,CA:FALSE",
        ]);
        (self.0.path().join(format!("{name}.crt")), self.0.path().join(format!("{name}.key")))
    }

    fn openssl(&self, arguments: &[&str]) {
        let arguments = arguments.iter().flat_map(|arguments| arguments.split_whitespace());
        run(Command::new("openssl").args(arguments).current_dir(&self.0));
    }
}
