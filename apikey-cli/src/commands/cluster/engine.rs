//! The engine that holds the log of a cluster, as options name it.

use std::fmt;
use std::path::PathBuf;

use apikey_core::cluster::{Cluster, ClusterStatus};
#[cfg(feature = "etcd")]
use apikey_etcd::Etcd;
#[cfg(feature = "postgres")]
use apikey_postgres::Postgres;
use clap::Args;

use crate::failure::{Code, Failure};
#[cfg(feature = "postgres")]
use crate::output;

#[cfg(feature = "etcd")]
const ETCD: &str = "APIKEY_ETCD";
#[cfg(feature = "postgres")]
const POSTGRES: &str = "APIKEY_POSTGRES";

/// How to name an engine, as far as this command knows any.
#[cfg(all(feature = "etcd", feature = "postgres"))]
const HOW: &str = "--postgres 'host=.. user=.. dbname=..' (APIKEY_POSTGRES) or --etcd https://.. (APIKEY_ETCD)";
#[cfg(all(feature = "etcd", not(feature = "postgres")))]
const HOW: &str = "--etcd https://.. or APIKEY_ETCD";
#[cfg(all(feature = "postgres", not(feature = "etcd")))]
const HOW: &str = "--postgres 'host=.. user=.. dbname=..' or APIKEY_POSTGRES";

/// The engine of a cluster.
#[derive(Args)]
#[command(next_help_heading = "Engine")]
pub(super) struct EngineArgs {
    #[cfg(feature = "postgres")]
    #[command(flatten)]
    postgres: PostgresArgs,
    #[cfg(feature = "etcd")]
    #[command(flatten)]
    etcd: EtcdArgs,
    /// The name of the cluster in the engine; by default `default`
    #[arg(long, value_name = "NAME", env = "APIKEY_NAMESPACE")]
    namespace: Option<String>,
    /// A file with the password for the engine
    #[arg(long, value_name = "FILE", env = "APIKEY_PASSWORD_FILE")]
    password_file: Option<PathBuf>,
}

#[cfg(feature = "postgres")]
#[derive(Args)]
struct PostgresArgs {
    /// The PostgreSQL server, as libpq names it: 'host=db user=apikey dbname=keys sslmode=verify-full', or a URL. Give the
    /// password in --password-file or PGPASSWORD
    #[arg(long, value_name = "CONNECTION", env = POSTGRES, hide_env_values = true)]
    postgres: Option<String>,
    /// The schema of the tables in PostgreSQL; by default `public`
    #[arg(long, value_name = "NAME", env = "APIKEY_SCHEMA")]
    schema: Option<String>,
    /// State that this is one PostgreSQL server without a failover; otherwise it must have synchronous standbys
    #[arg(long, requires = "postgres")]
    single: bool,
}

#[cfg(feature = "etcd")]
#[derive(Args)]
struct EtcdArgs {
    /// The members of etcd: https://10.0.0.1:2379, with commas between them
    #[arg(long, value_name = "MEMBERS", env = ETCD)]
    etcd: Option<String>,
    /// The user of etcd. Give the password in --password-file or ETCDCTL_PASSWORD
    #[arg(long, value_name = "NAME", env = "APIKEY_ETCD_USER")]
    etcd_user: Option<String>,
    /// A file with the authorities that issued the certificates of the members; by default those of this system
    #[arg(long, value_name = "FILE", env = "APIKEY_ETCD_AUTHORITY")]
    etcd_authority: Option<PathBuf>,
    /// A file with a certificate by which etcd knows this command
    #[arg(long, value_name = "FILE", env = "APIKEY_ETCD_CERTIFICATE", requires = "etcd_key")]
    etcd_certificate: Option<PathBuf>,
    /// A file with the key of that certificate
    #[arg(long, value_name = "FILE", env = "APIKEY_ETCD_KEY", requires = "etcd_certificate")]
    etcd_key: Option<PathBuf>,
}

/// Without the connection, which may have a password.
impl fmt::Debug for EngineArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineArgs").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl EngineArgs {
    pub(super) fn is_given(&self) -> bool {
        let mut is_given = false;
        #[cfg(feature = "postgres")]
        {
            is_given |= self.postgres.postgres.is_some();
        }
        #[cfg(feature = "etcd")]
        {
            is_given |= self.etcd.etcd.is_some();
        }
        is_given
    }

    /// A cluster with this engine. Each has connections of its own.
    pub(super) fn cluster(&self) -> Result<Cluster, Failure> {
        let mut found = Vec::new();
        #[cfg(feature = "postgres")]
        found.extend(self.postgres().map(Cluster::new));
        #[cfg(feature = "etcd")]
        found.extend(self.etcd().map(Cluster::new));
        match (found.pop(), found.pop()) {
            (Some(cluster), None) => Ok(cluster.name("apikey-command")),
            (None, _) => Err(Failure::usage(format!("name the engine with {HOW}"))),
            (Some(_), Some(_)) => Err(Failure::usage("there are two engines: a cluster has one, PostgreSQL or etcd")),
        }
    }

    #[cfg(feature = "postgres")]
    fn postgres(&self) -> Option<Postgres> {
        let PostgresArgs { postgres, schema, single } = &self.postgres;
        let mut engine = Postgres::new(postgres.as_deref()?);
        if let Some(namespace) = &self.namespace {
            engine = engine.namespace(namespace);
        }
        if let Some(schema) = schema {
            engine = engine.schema(schema);
        }
        if let Some(file) = &self.password_file {
            engine = engine.password_file(file);
        }
        if *single {
            engine = engine.single();
        }
        Some(engine)
    }

    #[cfg(feature = "etcd")]
    fn etcd(&self) -> Option<Etcd> {
        let EtcdArgs { etcd, etcd_user, etcd_authority, etcd_certificate, etcd_key } = &self.etcd;
        let mut engine = Etcd::new([etcd.as_deref()?]);
        if let Some(namespace) = &self.namespace {
            engine = engine.namespace(namespace);
        }
        if let Some(user) = etcd_user {
            engine = engine.user(user);
        }
        if let Some(file) = &self.password_file {
            engine = engine.password_file(file);
        }
        if let Some(authority) = etcd_authority {
            engine = engine.authority(authority);
        }
        if let (Some(certificate), Some(key)) = (etcd_certificate, etcd_key) {
            engine = engine.certificate(certificate, key);
        }
        Some(engine)
    }

    /// Says that other users can read a password that was typed.
    pub(super) fn warn_of_password(&self) {
        #[cfg(feature = "postgres")]
        {
            let connection = &self.postgres.postgres;
            let is_typed = std::env::var(POSTGRES).ok() != *connection;
            if is_typed && connection.as_deref().is_some_and(has_password) {
                output::note(
                    "the password in --postgres can be seen by other users of this machine while the command runs, and is in the \
                     shell's history: use --password-file, or PGPASSWORD",
                );
            }
        }
    }

    /// The state of the cluster in this engine, if there is one.
    pub(super) fn status(&self) -> Result<Option<ClusterStatus>, Failure> {
        let cluster = self.cluster()?;
        let failed = |error| Failure::new(Code::Refused, format!("{}: {error}", cluster.engine()));
        cluster.status().map_err(failed)
    }
}

/// Whether a connection string has a password.
#[cfg(feature = "postgres")]
fn has_password(connection: &str) -> bool {
    let user = connection.split_once("://").and_then(|(_, rest)| rest.split(['/', '?']).next()?.rsplit_once('@'));
    user.is_some_and(|(user, _)| user.contains(':'))
        || connection.split([' ', '&', '?', '\t', '\n']).any(|word| word.trim_start().starts_with("password"))
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_found_in_either_form() {
        for (connection, has) in [
            ("host=db user=apikey", false),
            ("host=db password=secret user=apikey", true),
            ("host=db user=apikey\tpassword = secret", true),
            ("host=passwords user=apikey", false),
            ("postgres://apikey@db/keys", false),
            ("postgres://apikey@db:5432/keys", false),
            ("postgresql://apikey:secret@db/keys", true),
            ("postgres://db/keys?user=apikey&password=secret", true),
        ] {
            assert_eq!(has_password(connection), has, "{connection}");
        }
    }
}
