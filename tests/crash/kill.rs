//! `kill -9` at random moments: acknowledged changes survive, and what was revoked or removed stays so.

use std::time::{Duration, Instant};

use apikey_testkit::Process;

use crate::check::{Fault, Kind, Tally, open_and_check};
use crate::child::{Role, command, ran_as_child, within};
use crate::model::Expected;
use apikey_testkit::random::{Random, rounds, seed};

const TEST: &str = "kill::kill";
/// A new store after so many kills, so that kills meet first creations too, and no store grows without end.
const KILLS_OF_A_STORE: usize = 20;
/// For an open, which takes a fraction of a second.
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn kill() {
    if ran_as_child() {
        return;
    }
    let (kills, seed) = (rounds("APIKEY_KILLS", 12), seed());
    println!("kill: {kills} kills, APIKEY_SEED={seed}");
    let mut tally = Tally::default();
    let (mut acknowledged, mut unacknowledged, mut young) = (0, 0, 0);
    let mut directory = tempfile::tempdir().unwrap();
    let mut expected = Expected::default();
    let begun = Instant::now();
    for round in 0..kills {
        if round % KILLS_OF_A_STORE == 0 {
            directory = tempfile::tempdir().unwrap();
            expected = Expected::default();
        }
        let store = directory.path().join("keys.db");
        let before = expected.acknowledged;
        let random = Random::fork(seed, round as u64);
        run_and_kill(&store, random, &mut expected);
        acknowledged += expected.acknowledged - before;
        unacknowledged += expected.unacknowledged.len();
        young += usize::from(expected.acknowledged == before);
        let held = (store, expected.clone());
        let checked = within(LIMIT, move || open_and_check(&held.0, &held.1))
            .unwrap_or_else(|| Err(Fault { kind: Kind::Hang, text: "the open does not end".into() }));
        match checked {
            Ok((_, now)) => expected = now,
            Err(fault) => {
                let kept = std::mem::replace(&mut directory, tempfile::tempdir().unwrap()).keep();
                tally.add(&fault, &format!("in round {round} of seed {seed}, kept in {}", kept.display()));
                expected = Expected::default();
            }
        }
        if round % 100 == 99 {
            println!("kill: {} kills in {:.0?}, {:?}", round + 1, begun.elapsed(), tally.counts);
        }
    }
    println!(
        "kill: {kills} kills, {acknowledged} acknowledged changes, {unacknowledged} under way, {young} before the first \
         acknowledgement; {} lost, {} resurrected, {} unopenable, all faults {:?}; {:.0?}",
        tally.count(Kind::Lost),
        tally.count(Kind::Resurrected),
        tally.count(Kind::Unopenable),
        tally.counts,
        begun.elapsed()
    );
    assert!(acknowledged > kills, "the processes were killed before they did anything");
    tally.assert_none();
}

fn run_and_kill(store: &std::path::Path, mut random: Random, expected: &mut Expected) {
    let role = Role::Work { store: store.to_owned(), seed: random.number() >> 16 };
    let mut process = Process::start(&mut command(TEST, &role));
    let mut lines = Vec::new();
    if random.percent(20) {
        // While the process starts, opens or creates the store.
        std::thread::sleep(Duration::from_micros(random.below(60_000) as u64));
    } else {
        for _ in 0..random.below(160) {
            lines.push(process.message(LIMIT).expect("the process goes on until it is killed"));
        }
        std::thread::sleep(Duration::from_micros(random.below(4_000) as u64));
    }
    process.kill();
    lines.extend(process.messages());
    for line in &lines {
        expected.apply(&serde_json::from_str(line).unwrap_or_else(|error| panic!("half a line: {error}: {line}")));
    }
    expected.crash();
}
