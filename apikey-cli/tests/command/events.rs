//! Events: which are shown, in which order, and as they happen.

use serde_json::Value;

use super::Place;

fn numbers(events: &Value) -> Vec<u64> {
    events["events"].as_array().unwrap().iter().map(|event| event["number"].as_u64().unwrap()).collect()
}

#[test]
fn the_newest_come_first_and_not_all_at_once() {
    let (place, _) = Place::with_store();
    let lines: String = (0..150).map(|at| format!("legacy-7f3a9c1e5b2d4860-{at:05}\n")).collect();
    place.fed(&lines, &["import", "--owner", "alice"]).ok();
    let shown = |arguments: &[&str]| numbers(&place.json(&[&["events"], arguments].concat()));
    let down = |from: u64, to: u64| (to..=from).rev().collect::<Vec<_>>();
    assert_eq!(shown(&[]), down(151, 52));
    assert_eq!(shown(&["--last", "3"]), down(151, 149));
    assert_eq!(shown(&["--last", "3", "--oldest-first"]), [149, 150, 151]);
    assert_eq!(shown(&["--all"]), down(151, 1));
    assert_eq!(shown(&["--since", "1d"]), down(151, 1));
    assert_eq!(shown(&["--after", "149"]), [151, 150]);
    assert_eq!(shown(&["--before", "52"]), down(51, 1));
    let page = place.json(&["events", "--last", "2"]);
    assert_eq!(page["next"], 150);
    let text = place.run(&["events"]).ok().says("there may be earlier ones: --before 52");
    assert_eq!(text.out.lines().count(), 101);
    place.run(&["events", "--quiet"]).ok().hides("earlier ones");
    place.run(&["events", "--last", "0"]).with(2);
    place.run(&["events", "--last", "1", "--all"]).with(2);
}

#[test]
fn events_are_chosen_by_kind_and_actor() {
    let (place, _) = Place::with_store();
    let (id, _) = place.key(&["alice"]);
    place.run(&["disable", &id]).ok();
    place.run(&["revoke", &id]).ok();
    let shown = |arguments: &[&str]| numbers(&place.json(&[&["events"], arguments].concat()));
    assert_eq!(shown(&["--kind", "disabled,revoked"]), [4, 3]);
    assert_eq!(shown(&["--kind", "disabled", "--kind", "revoked"]), [4, 3]);
    assert_eq!(shown(&["--actor", "nobody"]), [0; 0]);
    #[cfg(unix)]
    {
        let own = format!("uid:{}", rustix::process::geteuid().as_raw());
        assert_eq!(shown(&["--actor", &own]), [4, 3, 2, 1]);
    }
    place.run(&["update", &place.key(&["bob"]).0, "--rotate-every", "30d", "--limit", "5/1h"]).ok();
    let text = place.run(&["events", "--last", "1"]).ok();
    text.shows("limit=none->5 in 1 hour").shows("rotation=none->every 30 days, overlap 1 day");
}

#[cfg(target_os = "linux")]
mod follow {
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Stdio};
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use apikey_core::{KeyStore, NewKey};
    use apikey_testkit::{Process, wait_until};
    use rustix::process::{Pid, Signal, kill_process};

    use super::super::Place;

    /// The lines of a stream, as they come.
    fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        lines
    }

    fn next(lines: &Receiver<String>) -> String {
        lines.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    fn start(place: &Place, arguments: &[&str]) -> (Child, Receiver<String>, Receiver<String>) {
        let mut command = place.command(&[&["events", "--follow"], arguments].concat());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        (child, out, err)
    }

    fn service(place: &Place) -> KeyStore {
        KeyStore::builder().admin_socket(true).open(place.path("keys.db")).unwrap()
    }

    #[test]
    fn events_are_shown_as_they_happen_from_one_service_to_the_next() {
        let (place, _) = Place::with_store();
        let (mut child, out, err) = start(&place, &[]);
        assert!(next(&out).contains(" created "));
        assert_eq!(next(&err), "no service has the store open: waiting for one");
        // The command that waits is not in the way.
        let store = service(&place);
        assert_eq!(next(&err), "connected to the service");
        let id = store.create(NewKey::for_owner("alice")).unwrap().info.id();
        let line = next(&out);
        assert!(line.starts_with("2 20") && line.ends_with(&format!(" created {id} - -")), "{line}");
        store.close().unwrap();
        assert!(next(&err).starts_with("the service has ended the connection: waiting"));
        let store = service(&place);
        assert_eq!(next(&err), "connected to the service");
        store.revoke(id, "left").unwrap();
        assert!(next(&out).ends_with(&format!(" revoked {id} - reason=left")));
        // Ctrl-c ends it, in the middle of nothing, and the service goes on.
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(2));
        assert!(store.create(NewKey::for_owner("bob")).is_ok() && out.iter().next().is_none());
    }

    /// A service that is killed leaves its socket and its lock file as they were.
    #[test]
    fn a_killed_service_is_waited_for() {
        let (place, _) = Place::with_store();
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_apikey")).with_file_name("examples").join("service");
        let start_service = || {
            let process =
                Process::start(std::process::Command::new(&program).arg("keys.db").current_dir(place.path("")));
            // A command would open the store itself, and be in the service's way.
            wait_until("the service listens", || {
                std::os::unix::net::UnixStream::connect(place.path("keys.db/admin.sock")).is_ok()
            });
            process
        };
        let mut service = start_service();
        let (mut child, out, err) = start(&place, &["--last", "1"]);
        assert!(next(&out).starts_with("1 ") && next(&err).contains("asking it at"));
        service.kill();
        assert!(next(&err).starts_with("the service has ended the connection"));
        // Nothing but the next service has the store open meanwhile.
        let _service = start_service();
        assert_eq!(next(&err), "connected to the service");
        let (id, _) = place.key(&["alice"]);
        assert!(next(&out).starts_with("2 20") && !id.is_empty());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn only_the_chosen_events_are_followed() {
        let (place, _) = Place::with_store();
        let store = service(&place);
        let id = store.create(NewKey::for_owner("alice")).unwrap().info.id();
        let (mut child, out, _err) = start(&place, &["--kind", "revoked", "--json", "--last", "1"]);
        store.update(id, apikey_core::KeyUpdate::new().name("ci")).unwrap();
        store.revoke(id, "left").unwrap();
        let event: serde_json::Value = serde_json::from_str(&next(&out)).unwrap();
        assert_eq!((&event["kind"], &event["number"]), (&"revoked".into(), &4.into()));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_closed_pipe_ends_it_though_nothing_happens() {
        let (place, _) = Place::with_store();
        let _store = service(&place);
        let mut command = place.command(&["events", "--follow"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(first.contains(" created "));
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn what_no_event_can_match_is_an_error() {
    let (place, _) = Place::with_store();
    for (arguments, says) in [
        (&["--since", "2027-01-02", "--until", "2027-01-01"][..], "--since 2027-01-02T00:00:00Z is not before --until"),
        (&["--after", "7", "--before", "7"], "--after 7 is not below --before 7"),
        (&["--actor", "key:01931a4e"], "a whole key id is expected after key:"),
        (&["--actor", "uid:root"], "the number of a user is expected after uid:"),
    ] {
        place.run(&[&["events"], arguments].concat()).with(2).says(says);
    }
    place.run(&["events", "--actor", "billing"]).ok().says("no events");
}

#[test]
fn an_actor_without_events_and_an_event_without_a_reason() {
    let (place, _) = Place::with_store();
    for actor in ["root", "0"] {
        place.run(&["events", "--actor", actor]).ok().says("a user is uid: and a number, as in uid:1000");
    }
    assert_eq!(place.run(&["events", "--actor", "uid:4194303"]).ok().err, "no events\n");
    let (id, _) = place.key(&["alice"]);
    place.run(&["revoke", &id, "--reason", ""]).ok();
    let shown = place.run(&["events", "--last", "1"]).ok();
    assert!(shown.out.trim_end().ends_with(" -"), "{shown:?}");
}
