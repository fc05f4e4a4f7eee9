//! The disk is full, read-only or failing, from any call on. No acknowledged change is lost, what was revoked or removed
//! stays so, the service goes on verifying, and the error says what to do.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use apikey::{KeyStore, OpenError, StoreError};
use apikey_testkit::{Process, copy_directory};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::check::{check, open_and_check, used_by_check};
use crate::child::{Role, command, copy_as_killed, ran_as_child, scratch};
use crate::model::{Expected, Outcome, OverlapKind, Progress};
use crate::work::{Buffer, Output, THREADS, Worker, key_id, make_store, work};
use apikey_testkit::power::shim;
use apikey_testkit::random::seed;

const TEST: &str = "refuse::refuse";
const LIMIT: Duration = Duration::from_secs(30);
/// From the end of the output to the end of the process.
const END: Duration = Duration::from_secs(1);

/// Which calls fail, and with which error: writes (w), syncs (s), names (m).
const FAULTS: [(&str, &str); 6] = [
    ("full", "wm 28"),
    ("read-only", "wm 30"),
    ("write error", "w 5"),
    ("one write error", "W 5"),
    ("sync error", "s 5"),
    ("one sync error", "S 5"),
];

/// The numbers of calls that succeed before.
const SHORT: [usize; 5] = [0, 1, 2, 7, 40];
const LONG: usize = 120;

#[test]
fn refuse() {
    if ran_as_child() {
        return;
    }
    let seed = seed();
    // Its value is "all", or a part of the names of the wanted cases.
    let wanted = std::env::var("APIKEY_REFUSALS").ok();
    let long = wanted.is_some();
    let wanted = wanted.filter(|wanted| wanted != "all").unwrap_or_default();
    let places: Vec<usize> = if long { (0..LONG).collect() } else { SHORT.to_vec() };
    println!("refuse: {} places of {} faults, APIKEY_SEED={seed}", places.len(), FAULTS.len());
    let begun = Instant::now();
    let (mut cases, mut failed) = (0, Vec::new());
    let mut run = |case: &str, at: usize| {
        if !case.contains(&wanted) {
            return;
        }
        cases += 1;
        if let Err(text) = run_case(case, at, seed) {
            eprintln!("FAULT in {case}, after {at} calls, of seed {seed}: {text}");
            failed.push((case.to_owned(), at));
        }
    };
    for (fault, _) in FAULTS {
        for at in &places {
            run(&format!("working: {fault}"), *at);
        }
        let most = if long { LONG } else { 16 };
        run(&format!("creating: {fault}"), most);
        run(&format!("opening: {fault}"), most);
    }
    run("file size", 0);
    assert!(cases > 0, "no case is called {wanted:?}");
    println!("refuse: {cases} cases, {} of them failed; {:.0?}", failed.len(), begun.elapsed());
    assert!(failed.is_empty(), "{failed:?}");
}

fn run_case(case: &str, at: usize, seed: u64) -> Result<(), String> {
    let directory = scratch();
    let root = directory.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let role = Role::Refused { case: case.to_owned(), store: root.join("keys.db"), at, seed };
    let mut child = command(TEST, &role);
    if case == "file size" {
        // Only a shell can have the signal ignored without code that is unsafe.
        let (program, arguments) = (child.get_program().to_owned(), child.get_args().map(ToOwned::to_owned));
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(program).args(arguments.collect::<Vec<_>>());
        shell.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.stdin(std::process::Stdio::piped());
        child = shell;
    }
    shim::put_into(&mut child, &root, None);
    let mut process = Process::start(&mut child);
    let log = process.message(LIMIT);
    match log.as_deref() {
        Some("passed") => Ok(()),
        Some(other) => Err(other.to_owned()),
        None => match process.ended(END) {
            Some(status) => Err(format!("the process ended with {status}")),
            None => Err("the process hangs".into()),
        },
    }
}

/// Runs a case in the child; a failed assertion ends the process.
pub(crate) fn run_child(case: &str, store: &Path, at: usize, seed: u64) {
    let fault = |name: &str| FAULTS.into_iter().find(|(fault, _)| *fault == name).expect("a fault that there is").1;
    match case.split_once(": ") {
        None if case == "lock" => lock(store),
        None => file_size(store, seed),
        Some(("working", name)) => working(store, name, || order(&format!("!fail {} {at}", fault(name))), seed, at),
        Some(("creating", name)) => creating(store, name, fault(name), at),
        Some(("opening", name)) => opening(store, name, fault(name), at, seed),
        Some(other) => panic!("{other:?}"),
    }
    println!("\nchild: passed");
}

fn order(text: &str) {
    shim::recording().write_all(text.as_bytes()).unwrap();
}

/// Whether the error of an open fits the fault; it never says that the store is damaged.
fn fits(error: &OpenError, name: &str) -> bool {
    match name {
        "full" => matches!(error, OpenError::DiskFull { .. }),
        "read-only" => matches!(error, OpenError::ReadOnly { .. }),
        _ => matches!(error, OpenError::Io { .. }),
    }
}

/// Opens a store while the calls after `at` others fail, and checks it once they work again. Whether the open failed.
fn is_open_refused(store: &Path, name: &str, fault: &str, at: usize, expected: &Expected) -> bool {
    order(&format!("!fail {fault} {at}"));
    let opened = KeyStore::open(store);
    order("!ok");
    if let Err(error) = &opened {
        assert!(fits(error, name), "after {at} calls: {error:?}");
    }
    let refused = opened.is_err();
    drop(opened);
    open_and_check(store, expected).unwrap_or_else(|fault| panic!("after {at} calls: {fault:?}"));
    refused
}

/// Refuses each call of a first creation.
fn creating(store: &Path, name: &str, fault: &str, places: usize) {
    let mut refused = 0;
    for at in 0..places {
        let store = store.with_file_name(format!("keys-{at}.db"));
        refused += usize::from(is_open_refused(&store, name, fault, at, &Expected::default()));
    }
    assert!(refused > 0, "no open was refused");
}

/// Refuses each call of the open of a store that was killed. Whether it opens or not, nothing is lost.
fn opening(store: &Path, name: &str, fault: &str, places: usize, seed: u64) {
    let original = store.with_file_name("original");
    let log = make_store(&store.with_file_name("made"), seed, 30, || {
        copy_as_killed(&store.with_file_name("made"), &original)
    });
    let expected = Expected::after(&log);
    let mut refused = 0;
    for at in 0..places {
        let store = store.with_file_name(format!("keys-{at}.db"));
        copy_directory(&original, &store);
        refused += usize::from(is_open_refused(&store, name, fault, at, &expected));
    }
    // An open may make no sync at all.
    assert!(refused > 0 || name.contains("sync"), "no open was refused");
}

fn working(path: &Path, name: &str, begin: impl FnOnce(), seed: u64, at: usize) {
    let end = || order("!ok");
    let sticky = name.contains("sync");
    refused_at_work(path, begin, end, seed ^ at as u64, sticky, name.starts_with("one "));
}

/// The system's own limit of a file's size.
fn file_size(path: &Path, seed: u64) {
    let before = getrlimit(Resource::Fsize);
    // The log has segments of 512 KiB, and the limit lies within the first, so writes meet it soon.
    let begin = || setrlimit(Resource::Fsize, Rlimit { current: Some(1), ..before }).unwrap();
    let end = || setrlimit(Resource::Fsize, before).unwrap();
    refused_at_work(path, begin, end, seed, false, false);
}

/// Makes changes until the disk refuses, checks what still holds, lets the disk recover, and opens the store again.
fn refused_at_work(path: &Path, begin: impl FnOnce(), end: impl FnOnce(), seed: u64, sticky: bool, over: bool) {
    let log = Buffer::default();
    let output: Output = Mutex::new(Box::new(log.clone()));
    let store = KeyStore::open(path).unwrap();
    // A worker with keys of its own, which changes them only as this function says.
    let mut idle = Worker::new(&store, THREADS, seed, &output);
    for _ in 0..4 {
        idle.create(1);
    }
    let kept = created(&log);
    work(&store, seed, 300, &output, begin);
    let refused = log.lines().iter().any(|line| is_refusal(&line.progress));
    // A single failure may do no harm: the commit mark may lag, and times of use may be lost.
    assert!(refused || over, "the disk did not refuse");
    // The service goes on verifying, and a revocation is in force.
    for (_, token) in &kept {
        store.verify(token).unwrap();
    }
    let [(revoked, revoked_token), (disabled, disabled_token), (rotated, rotated_token), (_, good_token)] = &kept[..]
    else {
        panic!("four keys")
    };
    let taken_away = |store: &KeyStore| {
        assert_eq!(store.verify(revoked_token).unwrap_err().code(), "revoked_api_key");
        assert_eq!(store.verify(disabled_token).unwrap_err().code(), "disabled_api_key");
        assert_eq!(store.verify(rotated_token).unwrap_err().code(), "invalid_api_key");
        store.verify(good_token).unwrap();
    };
    idle.revoke(revoked);
    idle.disable(disabled, true);
    idle.rotate(rotated, OverlapKind::None);
    let lines = log.lines();
    for line in &lines[lines.len() - 6..] {
        match line.progress {
            Progress::Begin(_) | Progress::End(Outcome::NotDurable) => {}
            Progress::End(Outcome::Done | Outcome::Rotated(_)) if over && !(refused && sticky) => {}
            _ => panic!("a restriction: {line:?} of {:?}", &lines[lines.len() - 6..]),
        }
    }
    taken_away(&store);
    if !over {
        // A change that gives something is refused, and not in force.
        idle.create(1);
        assert!(matches!(log.lines().last().unwrap().progress, Progress::End(Outcome::Io(_))));
        // A list reads, which the disk may refuse too.
        if let Ok(keys) = crate::check::all(&store) {
            let refused = keys.values().filter(|info| info.name() == Some(&*idle.last_name())).count();
            assert_eq!(refused, 0, "a key that was refused is listed");
        }
    }
    end();
    idle.create(1);
    let mut complaint = None;
    match &log.lines().last().unwrap().progress {
        Progress::End(Outcome::Created(_)) if !(refused && sticky) => {}
        Progress::End(Outcome::Io(text)) if !text.contains("open") && !text.contains("restart") => {
            complaint = Some(format!("the disk has recovered, and the error does not say what to do: {text:?}"));
        }
        Progress::End(Outcome::Io(_)) => {}
        other => panic!("after the disk recovered: {other:?}"),
    }
    taken_away(&store);
    let _ = store.close();
    drop(store);
    let mut expected = Expected::after(&log.lines());
    expected.crash();
    let (_, now) = open_and_check(path, &expected).unwrap_or_else(|fault| panic!("{fault:?}"));
    // Opened again, the store accepts changes.
    let store = KeyStore::open(path).unwrap();
    let found = check(&store, &now).and_then(|found| used_by_check(&store, found));
    found.unwrap_or_else(|fault| panic!("{fault:?}"));
    Worker::new(&store, THREADS + 1, seed, &output).create(1);
    assert!(matches!(log.lines().last().unwrap().progress, Progress::End(Outcome::Created(_))));
    // At the end, so that everything else is checked first.
    assert_eq!(complaint, None);
}

fn created(log: &Buffer) -> Vec<(String, String)> {
    let made = log.lines().into_iter().filter_map(|line| match line.progress {
        Progress::End(Outcome::Created(made)) => Some(made),
        _ => None,
    });
    made.flatten().collect()
}

fn is_refusal(log: &Progress) -> bool {
    matches!(log, Progress::End(Outcome::NotDurable | Outcome::Io(_)))
}

#[test]
fn a_store_in_use_says_so_until_its_process_is_killed() {
    if ran_as_child() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path: PathBuf = directory.path().join("keys.db");
    let test = "refuse::a_store_in_use_says_so_until_its_process_is_killed";
    for _ in 0..3 {
        let mut process = Process::start(&mut command(test, &Role::Holds { store: path.clone() }));
        assert_eq!(process.message(LIMIT).as_deref(), Some("open"));
        let error = KeyStore::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
        assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
        process.kill();
        open_and_check(&path, &Expected::default()).map_err(|fault| fault.text).unwrap();
    }
}

/// A file system without locks does not mean that the store is in use.
#[test]
fn a_lock_that_the_system_refuses_is_an_error_of_the_system() {
    if ran_as_child() {
        return;
    }
    let test = "refuse::a_lock_that_the_system_refuses_is_an_error_of_the_system";
    let directory = tempfile::tempdir().unwrap();
    let role = Role::Refused { case: "lock".into(), store: directory.path().join("keys.db"), at: 0, seed: 0 };
    let mut child = command(test, &role);
    shim::put_into(&mut child, directory.path(), None);
    let process = Process::start(&mut child);
    assert_eq!(process.message(LIMIT).as_deref(), Some("passed"));
}

fn lock(path: &Path) {
    for _ in 0..2 {
        order("!fail l 37 0");
        let error = KeyStore::open(path).unwrap_err();
        assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
        order("!ok");
        let store = KeyStore::open(path).unwrap();
        assert!(!matches!(
            store.revoke(key_id("018f0000-0000-7000-8000-000000000000"), ""),
            Err(StoreError::Io { .. })
        ));
    }
}
