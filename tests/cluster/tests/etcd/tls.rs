//! TLS: whom a node trusts, and as whom members know it.

use apikey_cluster_tests::Authority;
use apikey_cluster_tests::etcd::{Members, MembersConfig};
use apikey_core::cluster::Ledger;
use apikey_engine::conformance::soon;
use apikey_etcd::Etcd;

use super::{refusal_of, shared};

fn encrypted(authority: &Authority, asks_for_certificate: bool) -> Members {
    let config =
        MembersConfig { count: 1, authority: Some(authority), asks_for_certificate, ..MembersConfig::default() };
    Members::start(config)
}

/// By its name, which is in its certificate; its address is not.
fn by_name(members: &Members) -> String {
    members.endpoint(0).replace("127.0.0.1", "localhost")
}

#[test]
fn a_member_is_believed_by_its_authority_and_its_name() {
    let (authority, other) = (Authority::new(), Authority::new());
    let members = encrypted(&authority, false);
    let trusting = |endpoint: &str, authority: &Authority| Etcd::new([endpoint]).authority(authority.certificate());
    trusting(&by_name(&members), &authority).sight(1, soon()).unwrap();
    trusting(&members.endpoint(0), &authority).server_name("localhost").sight(1, soon()).unwrap();
    let strange = refusal_of(&trusting(&by_name(&members), &other));
    assert!(strange.contains("authority()"), "{strange}");
    let system = refusal_of(&Etcd::new([by_name(&members)]));
    assert!(system.contains("authority()") || system.contains("native cert"), "{system}");
    let name = refusal_of(&trusting(&members.endpoint(0), &authority));
    assert!(name.contains("server_name()"), "{name}");
    let missing = refusal_of(&Etcd::new([by_name(&members)]).authority("/not/there"));
    assert!(missing.contains("/not/there"), "{missing}");
    let (_, key) = authority.issue("other");
    let no_certificate = refusal_of(&Etcd::new([by_name(&members)]).authority(key));
    assert!(no_certificate.contains("has no certificate"), "{no_certificate}");
}

#[test]
fn a_node_is_known_by_its_certificate() {
    let authority = Authority::new();
    let members = encrypted(&authority, true);
    let trusting = || Etcd::new([by_name(&members)]).authority(authority.certificate()).namespace("acme");
    let (certificate, key) = authority.issue("me");
    let with = || trusting().certificate(&certificate, &key);
    with().sight(1, soon()).unwrap();
    let without = refusal_of(&trusting());
    assert!(without.contains("certificate()"), "{without}");
    // Its name is that of a user.
    members.control(&["user", "add", "root:root"]);
    members.control(&["user", "grant-role", "root", "root"]);
    members.control(&["user", "add", "me:me"]);
    members.control(&["auth", "enable"]);
    let denied = refusal_of(&with());
    assert!(denied.contains("permission denied"), "{denied}");
    members.control(&["role", "add", "me"]);
    members.control(&["role", "grant-permission", "me", "--prefix=true", "readwrite", "/acme/"]);
    members.control(&["user", "grant-role", "me", "me"]);
    let ledger = with();
    assert!(ledger.begin(1, &Default::default(), soon()).unwrap());
    assert!(ledger.sight(1, soon()).unwrap().head.is_some());
}

#[test]
fn a_member_with_tls_is_not_reached_without() {
    let members = encrypted(&Authority::new(), false);
    let plain = refusal_of(&Etcd::new([members.endpoint(0).replace("https", "http")]));
    assert!(plain.contains("https://"), "{plain}");
}

#[test]
fn a_member_without_tls_is_no_reason_to_do_without() {
    let authority = Authority::new();
    let endpoint = shared().endpoints().split(',').next().unwrap().replace("http://127.0.0.1", "https://localhost");
    let error = refusal_of(&Etcd::new([endpoint]).authority(authority.certificate()));
    assert!(error.contains("has no TLS"), "{error}");
}
