//! Users: what they may do, and what happens when a token ends.

use std::sync::Arc;

use apikey_cluster_tests::etcd::Members;
use apikey_core::cluster::{CellKind, CellName, Ledger, Position};
use apikey_engine::conformance;
use apikey_engine::conformance::{Chain, soon};
use apikey_etcd::Etcd;

use super::{one, refusal_of, refused};

fn as_root<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["--user=root:root"], arguments].concat()
}

fn user(members: &Members) -> Etcd {
    Etcd::new(members.endpoints()).user("me").password("correct-horse").namespace("acme")
}

#[test]
fn a_user_with_a_role_on_the_namespace_is_a_node() {
    let members = one(&[]);
    members.enable_users("me", "correct-horse", "/t");
    let suite: [fn(conformance::Nodes<'_>); 5] = [
        conformance::sixteen_writers_lose_nothing,
        conformance::load_is_of_one_moment,
        conformance::append_needs_its_fence,
        conformance::look_has_all_that_there_is,
        conformance::wait_wakes,
    ];
    for promise in suite {
        let namespace = super::fresh();
        promise(&|| Arc::new(user(&members).namespace(&namespace)));
    }
}

#[test]
fn a_password_is_checked_and_read_anew() {
    let members = one(&[]);
    members.enable_users("me", "correct-horse", "/acme/");
    let etcd = || Etcd::new(members.endpoints()).namespace("acme");
    let wrong = refusal_of(&etcd().user("me").password("battery-staple"));
    assert!(wrong.contains("refuses the password of the user me") && !wrong.contains("battery-staple"), "{wrong}");
    let nobody = refusal_of(&etcd().user("nobody").password("correct-horse"));
    assert!(nobody.contains("the user nobody"), "{nobody}");
    let anonymous = refusal_of(&etcd());
    assert!(anonymous.contains("asks for a user"), "{anonymous}");
    let none = refusal_of(&etcd().user("me"));
    assert!(none.contains("ETCDCTL_PASSWORD"), "{none}");
    let file = members.write("password", "battery-staple\n");
    let ledger = etcd().user("me").password_file(&file);
    refusal_of(&ledger);
    std::fs::write(&file, "correct-horse\n").unwrap();
    ledger.sight(1, soon()).unwrap();
}

#[test]
fn a_role_on_other_keys_is_refused_everything() {
    let members = one(&[]);
    members.enable_users("me", "correct-horse", "/other/");
    let ledger = user(&members);
    let cell = CellName { generation: 1, kind: CellKind::Hold, name: "janitor".to_owned() };
    for error in [
        refusal_of(&ledger),
        refused(ledger.begin(1, &Position::default(), soon())),
        refused(ledger.swap(&cell, None, Some(b"mine"), soon())),
        refused(ledger.read(1, 0, 100, soon())),
    ] {
        assert!(error.contains("permission denied") && error.contains("grant-permission"), "{error}");
    }
    let nothing = members.control(&as_root(&["get", "--prefix", "/", "--keys-only"]));
    assert_eq!(nothing, "");
}

/// A token that is gone, on a member that started anew, and one of before the users were changed: the node logs in again.
#[test]
fn a_node_logs_in_again() {
    let mut members = one(&["--auth-token-ttl=1"]);
    members.enable_users("me", "correct-horse", "/acme/");
    let chain = Chain::begin(&|| Arc::new(user(&members)));
    chain.fill(0, &[1]);
    members.control(&as_root(&["role", "add", "another"]));
    chain.fill(1, &[2]);
    // etcd looks for tokens that have ended every second.
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    chain.fill(2, &[3]);
    members.end(0);
    members.start_again(0);
    members.wait_for(0);
    chain.fill(3, &[4]);
    assert_eq!(chain.follow(0).len(), 4);
}
