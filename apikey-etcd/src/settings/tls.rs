use std::path::{Path, PathBuf};

use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// How connections are encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tls {
    /// The authorities that are trusted; without it those of the system.
    pub(super) authority: Option<PathBuf>,
    /// The certificate of the client, and its key.
    pub(super) certificate: Option<(PathBuf, PathBuf)>,
    /// The name in the certificates of the members, where it is not the host.
    pub(super) server_name: Option<String>,
}

impl Tls {
    pub(super) fn is_set(&self) -> bool {
        *self != Self::default()
    }

    /// Reads the files anew each time, so that a renewed certificate needs no restart.
    pub(super) fn config(&self) -> Result<ClientTlsConfig, String> {
        let config = match &self.authority {
            Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificates(path)?)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        let config = match &self.server_name {
            Some(name) => config.domain_name(name),
            None => config,
        };
        Ok(match &self.certificate {
            Some((certificate, key)) => config.identity(Identity::from_pem(certificates(certificate)?, read(key)?)),
            None => config,
        })
    }
}

/// A file without a certificate would be taken for one with no authority at all.
fn certificates(path: &Path) -> Result<Vec<u8>, String> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let text = read(path)?;
    let has_one = text.windows(BEGIN.len()).any(|part| part == BEGIN);
    if has_one { Ok(text) } else { Err(format!("{} has no certificate in the form of PEM", path.display())) }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}
