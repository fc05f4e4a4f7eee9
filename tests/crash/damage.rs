//! One bit flipped, or one file truncated: the store opens whole, or the open fails with `Damaged` and no other error.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use apikey::{ImportScheme, Imported, KeyStore, NewKey, OpenError};
use apikey_testkit::{Process, copy_directory};
use serde::{Deserialize, Serialize};

use crate::check::{Fault, Kind, Tally, check, history, used_by_check};
use crate::child::{Role, command, copy_as_killed, ran_as_child, scratch};
use crate::model::{Expected, Line};
use crate::work::make_store;
use apikey_testkit::random::{Random, rounds, seed};

const TEST: &str = "damage::damage";
/// An open takes a fraction of a second.
const LIMIT: Duration = Duration::from_secs(60);
/// From the end of the output to the end of the process.
const END: Duration = Duration::from_secs(1);

/// Keys of the large store, all imported: sled's log then has many segments, and a snapshot that refers to them.
const IMPORTED: usize = 10_000;

/// What the child that opens damaged stores needs to know.
#[derive(Serialize, Deserialize)]
struct Plan {
    seed: u64,
    cases: usize,
    bases: Vec<Base>,
    imported: PathBuf,
}

/// A sound store, and the log of its changes.
#[derive(Serialize, Deserialize)]
struct Base {
    directory: PathBuf,
    lines: Vec<Line>,
    events: u64,
}

impl Base {
    fn expected(&self) -> Expected {
        Expected::after(&self.lines)
    }
}

/// The result of a case.
#[derive(Debug, Serialize, Deserialize)]
enum Verdict {
    Whole,
    Damaged(String),
    Wrong(Kind, String),
}

#[test]
fn damage() {
    if ran_as_child() {
        return;
    }
    let (cases, seed) = (rounds("APIKEY_DAMAGES", 40), seed());
    println!("damage: {cases} cases, APIKEY_SEED={seed}");
    let directory = scratch();
    let bases = bases(directory.path(), seed);
    let plan = Plan { seed, cases, bases, imported: imported(directory.path()) };
    let path = directory.path().join("plan");
    fs::write(&path, serde_json::to_vec(&plan).unwrap()).unwrap();
    let begun = Instant::now();
    let mut tally = Tally::default();
    let (mut whole, mut damaged, mut next) = (0, 0, 0);
    while next < cases {
        let mut process = Process::start(&mut command(TEST, &Role::Damaged { plan: path.clone(), first: next }));
        while next < cases {
            let case = format!("in case {next} of seed {seed}, {}", describe(&plan, next));
            let verdict = match process.message(LIMIT) {
                Some(line) => serde_json::from_str(&line).unwrap(),
                None => end_of(&mut process),
            };
            next += 1;
            match verdict {
                Verdict::Whole => whole += 1,
                Verdict::Damaged(_) => damaged += 1,
                Verdict::Wrong(kind, text) => {
                    tally.add(&Fault { kind, text }, &case);
                    if matches!(kind, Kind::Hang | Kind::Abort) {
                        break;
                    }
                }
            }
        }
    }
    println!(
        "damage: {cases} cases, {whole} opened whole, {damaged} refused as damaged; {} silently less, {} refused \
         otherwise, {} hung, {} aborted, all faults {:?}; {:.0?}",
        tally.count(Kind::Silent),
        tally.count(Kind::WrongError),
        tally.count(Kind::Hang),
        tally.count(Kind::Abort),
        tally.counts,
        begun.elapsed()
    );
    assert!(whole > 0 && damaged > 0, "damage that always, or never, matters is no test");
    tally.assert_none();
}

/// The verdict where the child does not answer: it hangs, or has ended.
fn end_of(process: &mut Process) -> Verdict {
    match process.ended(END) {
        Some(status) => Verdict::Wrong(Kind::Abort, status.to_string()),
        None => {
            process.kill();
            Verdict::Wrong(Kind::Hang, format!("no answer for {LIMIT:?}"))
        }
    }
}

/// Creates a closed store, one as a kill leaves it, one with few changes, and one with large records.
fn bases(directory: &Path, seed: u64) -> Vec<Base> {
    // Seeds that 4 divides make large records.
    let base = |name: &str, seed: u64, operations: usize, killed: bool| {
        let original = directory.join(format!("{name}-original"));
        let copied = directory.join(name);
        let lines = make_store(&original, seed, operations, || {
            if killed {
                copy_as_killed(&original, &copied);
            }
        });
        if !killed {
            copy_directory(&original, &copied);
        }
        // This counts the events on a copy of the copy, since an open writes.
        let looked = directory.join(format!("{name}-looked"));
        copy_directory(&copied, &looked);
        let events = match crate::check::open_and_check(&looked, &Expected::after(&lines)) {
            Ok((_, expected)) => history(&looked, &expected).unwrap(),
            Err(fault) => panic!("a sound store does not pass: {fault:?}"),
        };
        Base { directory: copied, lines, events }
    };
    let small = seed | 1;
    vec![
        base("closed", small, 250, false),
        base("killed", small, 250, true),
        base("young", small, 3, false),
        base("large", seed & !3, 100, true),
    ]
}

/// Creates a store of imported keys and opens it again, which makes sled write a new snapshot.
fn imported(directory: &Path) -> PathBuf {
    let path = directory.join("imported");
    let store = KeyStore::open(&path).unwrap();
    let key = |number| NewKey::for_owner("issuer").imported(Imported::raw(foreign(number)), ImportScheme::Whole);
    store.create_many((0..IMPORTED).map(key)).unwrap();
    store.close().unwrap();
    KeyStore::open(&path).unwrap().close().unwrap();
    path
}

fn foreign(number: usize) -> String {
    format!("legacy-{number:024}")
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.retain(|path| fs::metadata(path).unwrap().len() > 0);
    found.sort();
    found
}

/// What a case damages, and how.
struct Damage<'a> {
    /// `None` for the large store.
    base: Option<&'a Base>,
    directory: &'a Path,
    file: PathBuf,
    harm: Harm,
}

enum Harm {
    Flip { at: u64, bit: u8 },
    Cut { to: u64 },
}

fn choose(plan: &Plan, case: usize) -> Damage<'_> {
    let mut random = Random::fork(plan.seed, case as u64);
    // A third of the cases flips bits in the log of the large store.
    if case.is_multiple_of(3) {
        let file = PathBuf::from("sled/db");
        let length = fs::metadata(plan.imported.join(&file)).unwrap().len();
        let harm = Harm::Flip { at: random.number() % length, bit: random.below(8) as u8 };
        return Damage { base: None, directory: &plan.imported, file, harm };
    }
    let base = &plan.bases[random.below(plan.bases.len())];
    let files = files(&base.directory);
    // Half of the others damage sled's log; the small files get their share.
    let log = files.iter().position(|file| file.ends_with("sled/db")).unwrap();
    let file = &files[if random.percent(50) { log } else { random.below(files.len()) }];
    let bytes = fs::read(file).unwrap();
    let harm = if random.percent(75) {
        let written: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        // Mostly where bytes are written: the rest of a segment is zeros.
        let at = if random.percent(85) { written[random.below(written.len())] } else { random.below(bytes.len()) };
        Harm::Flip { at: at as u64, bit: random.below(8) as u8 }
    } else {
        let to = if random.percent(15) { 0 } else { random.below(bytes.len()) };
        Harm::Cut { to: to as u64 }
    };
    let file = file.strip_prefix(&base.directory).unwrap().to_owned();
    Damage { base: Some(base), directory: &base.directory, file, harm }
}

fn describe(plan: &Plan, case: usize) -> String {
    let Damage { directory, file, harm, .. } = choose(plan, case);
    let name = directory.file_name().unwrap().to_string_lossy();
    match harm {
        Harm::Flip { at, bit } => format!("{name}/{} with bit {bit} of byte {at} flipped", file.display()),
        Harm::Cut { to } => format!("{name}/{} cut to {to} bytes", file.display()),
    }
}

/// Damages a copy, opens it, and reports the verdict, case by case.
pub(crate) fn run_child(plan: &Path, first: usize) {
    let work = plan.with_extension("work");
    let plan: Plan = serde_json::from_slice(&fs::read(plan).unwrap()).unwrap();
    for case in first..plan.cases {
        let _ = fs::remove_dir_all(&work);
        let Damage { base, directory, file, harm } = choose(&plan, case);
        copy_directory(directory, &work);
        let path = work.join(file);
        match harm {
            Harm::Flip { at, bit } => {
                let mut bytes = fs::read(&path).unwrap();
                bytes[at as usize] ^= 1 << bit;
                fs::write(&path, bytes).unwrap();
            }
            Harm::Cut { to } => fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(to).unwrap(),
        }
        let looked = catch_unwind(AssertUnwindSafe(|| match base {
            Some(base) => look(&work, base),
            None => look_at_imported(&work),
        }));
        let verdict = looked.unwrap_or_else(|_| Verdict::Wrong(Kind::Abort, "the open panics".into()));
        println!("\nchild: {}", serde_json::to_string(&verdict).unwrap());
    }
}

fn opened(directory: &Path) -> Result<KeyStore, Verdict> {
    KeyStore::open(directory).map_err(|error| match error {
        OpenError::Damaged { .. } if !error.to_string().contains("backtrace") => Verdict::Damaged(error.to_string()),
        error => Verdict::Wrong(Kind::WrongError, format!("{error:?}")),
    })
}

fn look_at_imported(directory: &Path) -> Verdict {
    let store = match opened(directory) {
        Ok(store) => store,
        Err(refused) => return refused,
    };
    let good = (0..IMPORTED).filter(|number| store.verify(&foreign(*number)).is_ok()).count();
    match store.verify_events() {
        Ok(report) if good == IMPORTED && report.fault.is_none() && report.events == IMPORTED as u64 => Verdict::Whole,
        found => Verdict::Wrong(Kind::Silent, format!("{good} of {IMPORTED} keys are good; {found:?}")),
    }
}

fn look(directory: &Path, base: &Base) -> Verdict {
    let store = match opened(directory) {
        Ok(store) => store,
        Err(refused) => return refused,
    };
    let silent = |fault: Fault| Verdict::Wrong(Kind::Silent, format!("{:?}: {}", fault.kind, fault.text));
    let looked = check(&store, &base.expected()).and_then(|found| used_by_check(&store, found));
    let closed = store.close();
    drop(store);
    let expected = match looked {
        Ok(expected) => expected,
        Err(fault) => return silent(fault),
    };
    if let Err(error) = closed {
        return Verdict::Wrong(Kind::Answer, format!("it does not close: {error}"));
    }
    match history(directory, &expected) {
        Ok(events) if events == base.events => Verdict::Whole,
        Ok(events) => Verdict::Wrong(Kind::Silent, format!("{events} of {} events", base.events)),
        Err(fault) => silent(fault),
    }
}
