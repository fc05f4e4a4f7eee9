//! TLS: what each `sslmode` accepts, and what a server without it or with nothing else answers.

use std::path::Path;

use apikey_cluster_tests::Authority;
use apikey_cluster_tests::postgres::{Server, ServerConfig};
use apikey_core::cluster::Ledger;
use apikey_engine::conformance::soon;
use apikey_postgres::Postgres;

use super::{refusal_of, shared};

/// A server with a certificate for `localhost`, which lets the user `me` in only with TLS, and the user `named` only with
/// a certificate of the same authority.
struct Encrypted {
    server: Server,
    authority: Authority,
}

impl Encrypted {
    fn start() -> Self {
        let authority = Authority::new();
        let access = "host all postgres 127.0.0.1/32 trust\nhostssl all me all trust\nhostssl all named all cert\n";
        let server = Server::start(ServerConfig { access: Some(access), ..ServerConfig::default() });
        let (certificate, key) = authority.issue("localhost");
        for (setting, from) in
            [("ssl_cert_file", certificate), ("ssl_key_file", key), ("ssl_ca_file", authority.certificate())]
        {
            let path = server.write(setting, &std::fs::read_to_string(from).unwrap());
            server.sql(&format!("ALTER SYSTEM SET {setting} = '{}'", path.display()));
        }
        server.sql("ALTER SYSTEM SET ssl = on");
        server.sql("CREATE ROLE me LOGIN");
        server.sql("CREATE ROLE named LOGIN");
        server.sql("GRANT CREATE ON SCHEMA public TO me, named");
        Self { server: server.restart(), authority }
    }

    fn ledger(&self, user: &str, host: &str, options: &str) -> Postgres {
        let port = self.server.port();
        let text = format!("host={host} hostaddr=127.0.0.1 port={port} user={user} dbname=postgres {options}");
        Postgres::new(text).single()
    }
}

fn path(path: &Path) -> String {
    format!("'{}'", path.display())
}

#[test]
fn each_mode_checks_what_it_says() {
    let encrypted = Encrypted::start();
    let trusted = path(&encrypted.authority.certificate());
    let other = Authority::new();
    let strange = path(&other.certificate());
    let works = |host: &str, options: &str| {
        encrypted.ledger("me", host, options).sight(1, soon()).map(|_| ()).map_err(|error| error.to_string())
    };
    works("localhost", &format!("sslmode=verify-full sslrootcert={trusted}")).unwrap();
    works("localhost", &format!("sslrootcert={trusted}")).unwrap();
    works("elsewhere", &format!("sslmode=verify-ca sslrootcert={trusted}")).unwrap();
    works("elsewhere", "sslmode=require").unwrap();
    let name = works("elsewhere", &format!("sslmode=verify-full sslrootcert={trusted}")).unwrap_err();
    assert!(name.contains("elsewhere") && name.contains("certificate"), "{name}");
    for mode in ["verify-full", "verify-ca", "require"] {
        let error = works("localhost", &format!("sslmode={mode} sslrootcert={strange}")).unwrap_err();
        assert!(error.contains("sslrootcert") || error.contains("BadSignature"), "{mode}: {error}");
    }
    let system = works("localhost", "sslmode=verify-full").unwrap_err();
    assert!(system.contains("sslrootcert"), "{system}");
    let missing = works("localhost", "sslrootcert=/not/there").unwrap_err();
    assert!(missing.contains("/not/there"), "{missing}");
}

#[test]
fn a_client_has_a_certificate_where_the_server_asks_for_one() {
    let encrypted = Encrypted::start();
    let trusted = path(&encrypted.authority.certificate());
    let (certificate, key) = encrypted.authority.issue("named");
    let (certificate, key) = (path(&certificate), path(&key));
    let with = format!("sslrootcert={trusted} sslcert={certificate} sslkey={key}");
    encrypted.ledger("named", "localhost", &with).sight(1, soon()).unwrap();
    let error = refusal_of(&encrypted.ledger("named", "localhost", &format!("sslrootcert={trusted}")));
    assert!(error.contains("certificate"), "{error}");
    let half = refusal_of(&encrypted.ledger("named", "localhost", &format!("sslcert={certificate}")));
    assert!(half.contains("belong together"), "{half}");
}

#[test]
fn a_server_that_asks_for_tls_says_so() {
    let encrypted = Encrypted::start();
    let error = refusal_of(&encrypted.ledger("me", "localhost", "sslmode=disable"));
    assert!(error.contains("only with TLS") && error.contains("verify-full"), "{error}");
}

#[test]
fn a_server_without_tls_is_no_reason_to_do_without() {
    let plain = shared().connection().replace("sslmode=disable", "sslmode=require");
    let error = refusal_of(&Postgres::new(&plain));
    assert!(error.contains("the server has no TLS") && error.contains("sslmode=disable"), "{error}");
    let error = refusal_of(&Postgres::new(plain.replace("sslmode=require", "")));
    assert!(error.contains("the server has no TLS"), "{error}");
}
