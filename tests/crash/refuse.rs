//! The disk refuses: it is full, read-only, or fails, at any call. Nothing acknowledged is lost, what was taken away
//! stays away, the service goes on verifying, and the error says what to do.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use apikey::{KeyStore, OpenError, StoreError};
use apikey_testkit::{Process, copy_directory};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::check::{check, looked_at, open_and_check};
use crate::child::{Role, command, copy_as_killed, plays, scratch};
use crate::model::{Lap, Outcome, Said, World};
use crate::random::seed;
use crate::shim;
use crate::work::{Shared, THREADS, Voice, Worker, key_id, made, work};

const TEST: &str = "refuse::refuse";
const LIMIT: Duration = Duration::from_secs(30);
/// From the end of the output to the end of the process.
const END: Duration = Duration::from_secs(1);

/// Which calls are refused, and with what: writes (w), syncs (s), names (m).
const FAULTS: [(&str, &str); 6] = [
    ("full", "wm 28"),
    ("read-only", "wm 30"),
    ("write error", "w 5"),
    ("one write error", "W 5"),
    ("sync error", "s 5"),
    ("one sync error", "S 5"),
];

/// How many calls pass before.
const SHORT: [usize; 5] = [0, 1, 2, 7, 40];
const LONG: usize = 120;

#[test]
fn refuse() {
    if plays() {
        return;
    }
    let seed = seed();
    // Its value is "all", or a part of the names of those wanted.
    let wanted = std::env::var("APIKEY_REFUSALS").ok();
    let long = wanted.is_some();
    let wanted = wanted.filter(|wanted| wanted != "all").unwrap_or_default();
    let places: Vec<usize> = if long { (0..LONG).collect() } else { SHORT.to_vec() };
    println!("refuse: {} places of {} faults, APIKEY_SEED={seed}", places.len(), FAULTS.len());
    let begun = Instant::now();
    let (mut scenes, mut failed) = (0, Vec::new());
    let mut run = |scene: &str, at: usize| {
        if !scene.contains(&wanted) {
            return;
        }
        scenes += 1;
        if let Err(text) = one_scene(scene, at, seed) {
            eprintln!("FAULT in {scene}, after {at} calls, of seed {seed}: {text}");
            failed.push((scene.to_owned(), at));
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
    assert!(scenes > 0, "no scene is called {wanted:?}");
    println!("refuse: {scenes} scenes, {} of them failed; {:.0?}", failed.len(), begun.elapsed());
    assert!(failed.is_empty(), "{failed:?}");
}

fn one_scene(scene: &str, at: usize, seed: u64) -> Result<(), String> {
    let directory = scratch();
    let root = directory.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let role = Role::Refused { scene: scene.to_owned(), store: root.join("keys.db"), at, seed };
    let mut child = command(TEST, &role);
    if scene == "file size" {
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
    let said = process.message(LIMIT);
    match said.as_deref() {
        Some("passed") => Ok(()),
        Some(other) => Err(other.to_owned()),
        None => match process.ended(END) {
            Some(status) => Err(format!("the process ended with {status}")),
            None => Err("it hangs".into()),
        },
    }
}

/// Plays a scene; its assertions end the process.
pub(crate) fn play(scene: &str, store: &Path, at: usize, seed: u64) {
    let fault = |name: &str| FAULTS.into_iter().find(|(fault, _)| *fault == name).expect("a fault that there is").1;
    match scene.split_once(": ") {
        None if scene == "lock" => lock(store),
        None => file_size(store, seed),
        Some(("working", name)) => working(store, name, || order(&format!("!fail {} {at}", fault(name))), seed, at),
        Some(("creating", name)) => creating(store, name, fault(name), at),
        Some(("opening", name)) => opening(store, name, fault(name), at, seed),
        Some(other) => panic!("{other:?}"),
    }
    println!("\nchild: passed");
}

fn order(words: &str) {
    shim::voice().write_all(words.as_bytes()).unwrap();
}

/// The error of an open fits the fault: it never says that the store is damaged.
fn fits(error: &OpenError, name: &str) -> bool {
    match name {
        "full" => matches!(error, OpenError::DiskFull { .. }),
        "read-only" => matches!(error, OpenError::ReadOnly { .. }),
        _ => matches!(error, OpenError::Io { .. }),
    }
}

/// A first creation that is refused at each of its calls.
fn creating(store: &Path, name: &str, fault: &str, places: usize) {
    let mut refused = 0;
    for at in 0..places {
        let store = store.with_file_name(format!("keys-{at}.db"));
        order(&format!("!fail {fault} {at}"));
        let opened = KeyStore::open(&store);
        order("!ok");
        if let Err(error) = &opened {
            refused += 1;
            assert!(fits(error, name), "after {at} calls: {error:?}");
        }
        drop(opened);
        open_and_check(&store, &World::default()).unwrap_or_else(|fault| panic!("after {at} calls: {fault:?}"));
    }
    assert!(refused > 0, "no open was refused");
}

/// An open of a store that was killed, refused at each of its calls. Whether it opens or not, nothing is lost.
fn opening(store: &Path, name: &str, fault: &str, places: usize, seed: u64) {
    let original = store.with_file_name("original");
    let said =
        made(&store.with_file_name("made"), seed, 30, || copy_as_killed(&store.with_file_name("made"), &original));
    let world = World::heard(&said);
    let mut refused = 0;
    for at in 0..places {
        let store = store.with_file_name(format!("keys-{at}.db"));
        copy_directory(&original, &store);
        order(&format!("!fail {fault} {at}"));
        let opened = KeyStore::open(&store);
        order("!ok");
        if let Err(error) = &opened {
            refused += 1;
            assert!(fits(error, name), "after {at} calls: {error:?}");
        }
        drop(opened);
        open_and_check(&store, &world).unwrap_or_else(|fault| panic!("after {at} calls: {fault:?}"));
    }
    // Only a sync may not be asked for by an open.
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
    // The log has segments of 512 KiB, and the limit lies within the first: writing comes to it within moments.
    let begin = || setrlimit(Resource::Fsize, Rlimit { current: Some(1), ..before }).unwrap();
    let end = || setrlimit(Resource::Fsize, before).unwrap();
    refused_at_work(path, begin, end, seed, false, false);
}

/// Works until the disk refuses; then looks at what still holds, lets the disk recover, and opens again.
fn refused_at_work(path: &Path, begin: impl FnOnce(), end: impl FnOnce(), seed: u64, sticky: bool, over: bool) {
    let said = Shared::default();
    let voice: Voice = Mutex::new(Box::new(said.clone()));
    let store = KeyStore::open(path).unwrap();
    // Keys of a thread that does nothing by itself.
    let mut keeper = Worker::new(&store, THREADS, seed, &voice);
    for _ in 0..4 {
        keeper.create(1);
    }
    let kept = created(&said);
    work(&store, seed, 300, &voice, begin);
    let refused = said.lines().iter().any(|line| is_refusal(&line.said));
    // One that fails once may fail where it does no harm: the mark may lag, and times of use may be lost.
    assert!(refused || over, "the disk did not refuse");
    // The service goes on, and revoking is in force.
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
    keeper.revoke(revoked);
    keeper.disable(disabled, true);
    keeper.rotate(rotated, Lap::None);
    let lines = said.lines();
    for line in &lines[lines.len() - 6..] {
        match line.said {
            Said::Begin(_) | Said::End(Outcome::NotDurable) => {}
            Said::End(Outcome::Done | Outcome::Rotated(_)) if over && !(refused && sticky) => {}
            _ => panic!("what was taken away: {line:?} of {:?}", &lines[lines.len() - 6..]),
        }
    }
    taken_away(&store);
    if !over {
        // What gives something is refused, and not in force.
        keeper.create(1);
        assert!(matches!(said.lines().last().unwrap().said, Said::End(Outcome::Io(_))));
        // To list is to read, which the disk may refuse, too.
        if let Ok(keys) = crate::check::all(&store) {
            let refused = keys.values().filter(|info| info.name() == Some(&*keeper.last_name())).count();
            assert_eq!(refused, 0, "a key that was refused is listed");
        }
    }
    end();
    keeper.create(1);
    let mut complaint = None;
    match &said.lines().last().unwrap().said {
        Said::End(Outcome::Created(_)) if !(refused && sticky) => {}
        Said::End(Outcome::Io(text)) if !text.contains("open") && !text.contains("restart") => {
            complaint = Some(format!("the disk has recovered, and the error does not say what to do: {text:?}"));
        }
        Said::End(Outcome::Io(_)) => {}
        other => panic!("after the disk recovered: {other:?}"),
    }
    taken_away(&store);
    let _ = store.close();
    drop(store);
    let mut world = World::heard(&said.lines());
    world.crash();
    let (_, now) = open_and_check(path, &world).unwrap_or_else(|fault| panic!("{fault:?}"));
    // Once more, and it takes changes.
    let store = KeyStore::open(path).unwrap();
    let found = check(&store, &now).and_then(|found| looked_at(&store, found));
    found.unwrap_or_else(|fault| panic!("{fault:?}"));
    Worker::new(&store, THREADS + 1, seed, &voice).create(1);
    assert!(matches!(said.lines().last().unwrap().said, Said::End(Outcome::Created(_))));
    // Last, so that all else is looked at.
    assert_eq!(complaint, None);
}

fn created(said: &Shared) -> Vec<(String, String)> {
    let made = said.lines().into_iter().filter_map(|line| match line.said {
        Said::End(Outcome::Created(made)) => Some(made),
        _ => None,
    });
    made.flatten().collect()
}

fn is_refusal(said: &Said) -> bool {
    matches!(said, Said::End(Outcome::NotDurable | Outcome::Io(_)))
}

#[test]
fn a_store_in_use_says_so_until_its_process_is_killed() {
    if plays() {
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
        open_and_check(&path, &World::default()).map_err(|fault| fault.text).unwrap();
    }
}

/// Locks that the file system does not offer are not a store in use.
#[test]
fn a_lock_that_cannot_be_had_is_an_error_of_the_system() {
    if plays() {
        return;
    }
    let test = "refuse::a_lock_that_cannot_be_had_is_an_error_of_the_system";
    let directory = tempfile::tempdir().unwrap();
    let role = Role::Refused { scene: "lock".into(), store: directory.path().join("keys.db"), at: 0, seed: 0 };
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
