//! What a node says that cannot work with its members.

use apikey_cluster_tests::etcd::{Members, MembersConfig};
use apikey_core::cluster::{Ledger, LedgerError};
use apikey_engine::conformance::{Chain, soon};
use apikey_etcd::Etcd;

use super::{in_ms, node, one, refusal_of, refused, shared};

#[test]
fn settings_that_are_not_allowed_are_an_error_of_the_first_call() {
    let of = |ledger: Etcd| refusal_of(&ledger);
    assert!(of(Etcd::new(["http://one"]).namespace("Acme")).contains("the namespace \"Acme\" is not allowed"));
    assert!(of(Etcd::new([""])).contains("no endpoint"));
    assert!(of(Etcd::new(["one:2379"])).contains("https://"));
    assert!(of(Etcd::new(["http://one"]).authority("/ca.crt")).contains("https://"));
    assert!(of(Etcd::new(["http://one"]).user("me").password("a").password_file("/b")).contains("two passwords"));
    assert!(of(Etcd::new(["http://one"]).password("a")).contains("no user"));
}

#[test]
fn a_password_is_in_no_text() {
    let ledger = Etcd::new([shared().endpoints()]).namespace("acme").user("me").password("correct-horse");
    assert_eq!(ledger.name(), format!("etcd {}, namespace acme", shared().endpoints()));
    // These members have no authentication, so the node logs that it is not asked who it is, and works.
    ledger.sight(1, soon()).unwrap();
    assert!(!format!("{ledger:?}").contains("correct-horse"));
}

#[test]
fn members_that_are_not_there_are_named() {
    let unknown = refusal_of(&Etcd::new(["http://etcd.invalid:2379"]));
    assert!(unknown.starts_with("cannot connect to http://etcd.invalid:2379: "), "{unknown}");
    // Nothing listens on ports 1 and 2.
    let silent = refusal_of(&Etcd::new(["http://127.0.0.1:1", "http://127.0.0.1:2"]));
    assert!(
        silent.contains("127.0.0.1:1: ") && silent.contains("127.0.0.1:2: ") && silent.contains("refused"),
        "{silent}"
    );
}

#[test]
fn a_member_that_does_not_answer_is_refused_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ledger = Etcd::new([format!("http://{}", listener.local_addr().unwrap())]);
    let by = in_ms(300);
    assert!(refused(ledger.sight(1, by)).contains("no answer in time"));
    assert!(std::time::Instant::now() >= by);
}

#[test]
fn one_member_that_answers_is_enough() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let endpoints = [silent, "http://127.0.0.1:1".to_owned(), shared().endpoints().to_owned()];
    Etcd::new(endpoints).sight(1, soon()).unwrap();
}

#[test]
fn members_of_two_clusters_are_foreign() {
    let other = one(&[]);
    let endpoints = [shared().endpoints(), &other.endpoint(0)].join(",");
    let ledger = Etcd::new([&endpoints]);
    ledger.sight(1, soon()).unwrap();
    let own = ledger.sight(1, soon()).unwrap().identity;
    let there = Etcd::new([other.endpoint(0)]).sight(1, soon()).unwrap().identity;
    assert!(own.system != there.system && own.timeline == 0);
    // A node that has seen the one, and comes to the other when its member is gone.
    let mut both = [one(&[]), one(&[])];
    let ledger = Etcd::new(both.iter().map(|members| members.endpoint(0)));
    ledger.sight(1, soon()).unwrap();
    both[0].end(0);
    match ledger.sight(1, soon()) {
        Err(LedgerError::Foreign { what }) => assert!(what.contains("two clusters"), "{what}"),
        other => panic!("{other:?}"),
    }
}

/// A learner refuses all but its status, so calls go to another member.
#[test]
fn a_learner_is_passed_over() {
    let mut members = one(&[]);
    let learner = members.add_learner();
    let endpoints = [members.endpoint(learner), members.endpoint(0)];
    let chain = Chain::begin(&|| std::sync::Arc::new(Etcd::new(&endpoints)));
    chain.fill(0, &[1, 2]);
    let alone = refusal_of(&Etcd::new([members.endpoint(learner)]));
    assert!(alone.contains("learner") || alone.contains("refused"), "{alone}");
}

#[test]
fn a_member_that_was_removed_is_passed_over() {
    let members = Members::start(MembersConfig::default());
    let chain = Chain::begin(&|| node(&members));
    chain.fill(0, &[1]);
    // The one that the node has used so far.
    members.remove(0);
    chain.fill(1, &[2, 3]);
    assert_eq!(chain.follow(0).len(), 3);
}
