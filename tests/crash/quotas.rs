//! `kill -9` while keys use their quotas, in days of a few seconds: what a kill gives back.

use std::path::Path;
use std::time::{Duration, Instant};

use apikey::{Attempt, AuthError, CreatedKey, KeyStore, NewKey, Quota, Usage};
use apikey_testkit::Process;
use apikey_testkit::random::{Random, rounds, seed};
use chrono::{DateTime, TimeDelta, Utc};

use crate::child::{Role, command, ran_as_child};

const TEST: &str = "quotas::quotas";
const LIMIT: Duration = Duration::from_secs(120);
/// A day takes two and a half seconds.
const SPEED: i64 = 34_560;
/// The quotas: of one nobody uses a hundredth in a day, and of the others all of it. The last is strict.
const QUOTAS: [u64; 3] = [1_000_000, 3_000, 3_000];
/// The uses that a strict quota has reserved at most.
const BLOCK: u64 = QUOTAS[2] / 100;
/// The requests in a millisecond, at most.
const PACE: u64 = 2;
/// What half of the kills may give back at most: what is used in two seconds, and a hundredth with what is used in half a
/// second. A busy disk may keep one kill or another from that. A strict quota gives nothing back, ever.
const MAX_MEDIANS: [u64; 2] = [2_000 * PACE, 30 + 500 * PACE];

/// What a process has done with one key, as it reported last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    now: i64,
    /// The end of the period.
    ends: i64,
    used: u64,
    /// In all periods.
    all: u64,
}

fn time(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap()
}

fn open(path: &Path, now: impl Fn() -> i64 + Send + Sync + 'static) -> KeyStore {
    KeyStore::builder().clock(move || time(now())).count_use(true).open(path).unwrap()
}

/// The child's part: it uses both keys without end, and reports after each few requests what has passed.
pub(crate) fn run_child(path: &Path, secrets: &[String; 3], begin: i64) {
    let begun = Instant::now();
    let now = move || begin + i64::try_from(begun.elapsed().as_millis()).unwrap() * SPEED;
    let store = open(path, now);
    println!("\nchild: open");
    let mut all = [0; 3];
    loop {
        for (secret, all) in secrets.iter().zip(&mut all) {
            for _ in 0..PACE {
                *all += u64::from(store.verify(secret).is_ok());
            }
        }
        // The key with much left tells the status of both periods, which are the same.
        let verified = store.verify(&secrets[0]).unwrap();
        all[0] += 1;
        let status = store.quota_status(&verified).unwrap();
        let ends = status.resets_at().unwrap().timestamp_millis();
        let [first, second, strict] = all;
        println!("\nchild: {} {ends} {} {first} {second} {strict}", now(), status.used());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn quotas() {
    if ran_as_child() {
        return;
    }
    let (kills, seed) = (rounds("APIKEY_QUOTA_KILLS", 12), seed());
    println!("quotas: {kills} kills, APIKEY_SEED={seed}");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.db");
    let mut now = Utc::now().timestamp_millis();
    let keys: [CreatedKey; 3] = {
        let store = open(&path, move || now);
        let [much, little, strict] = QUOTAS.map(Quota::per_day);
        [much, little, strict.strict()].map(|quota| store.create(NewKey::for_owner("crash").quota(quota)).unwrap())
    };
    let secrets = keys.each_ref().map(|key| key.key.expose_secret().to_owned());
    let mut given_back = [Vec::new(), Vec::new()];
    let (mut uses, mut lost) = (0, Vec::new());
    for round in 0..kills {
        let mut random = Random::fork(seed, round as u64);
        let role = Role::UsesQuotas { store: path.clone(), secrets: secrets.clone(), begin: now };
        let (progress, [scarce, strict]) = run_and_kill(&role, &mut random);
        let Some(progress) = progress else { continue };
        uses += progress.all;
        now = progress.now;
        let store = open(&path, move || now);
        // In the period in which the process was killed.
        let verified = store.verify(&secrets[0]).unwrap();
        let status = store.quota_status(&verified).unwrap();
        let is_same = status.resets_at().unwrap().timestamp_millis() == progress.ends;
        let held = if is_same { status.used() - 1 } else { 0 };
        given_back[0].push(progress.used.saturating_sub(held));
        // The other key has its whole quota in a period at most, and what the kill gave back.
        let left = (0..QUOTAS[1] * 2).take_while(|_| store.verify(&secrets[1]).is_ok()).count() as u64;
        assert!(left <= QUOTAS[1], "{left} of {}", QUOTAS[1]);
        given_back[1].push((scarce + left).saturating_sub(QUOTAS[1]));
        // A strict one gives nothing back, and loses what was reserved and not used. What is left passes, and no more.
        let held = store.quota_status_of(keys[2].info.id()).unwrap().unwrap().used();
        if is_same {
            assert!(held >= strict, "{held} after the kill, and {strict} before");
        }
        if is_same && strict > 0 {
            lost.push(held - strict);
        }
        let strict_left = QUOTAS[2].saturating_sub(held);
        uses += u64::from(strict_left > 0);
        assert!(strict_left == 0 || uses_strict(&store, &secrets[2], strict_left));
        assert!(!uses_strict(&store, &secrets[2], 1));
        uses += 1 + left;
        // What was counted did happen.
        let since = time(now) - TimeDelta::days(300);
        let counted = store.usage(&Usage::of_store().step(apikey::Step::Day).since(since)).unwrap().uses();
        assert!(counted <= uses + 4 * PACE + 1, "{counted} counted, and {uses} used");
        assert!(store.verify_events().unwrap().is_whole());
        store.close().unwrap();
    }
    for (given_back, max) in given_back.iter_mut().zip(MAX_MEDIANS) {
        given_back.sort_unstable();
        let median = given_back[given_back.len() / 2];
        println!(
            "quotas: {} kills gave back {median} uses (median), {:?} at most",
            given_back.len(),
            given_back.last()
        );
        assert!(median <= max, "{given_back:?}");
    }
    lost.sort_unstable();
    println!("quotas: a strict one loses {:?} uses (median), {:?} at most", lost.get(lost.len() / 2), lost.last());
    assert!(lost[lost.len() / 2] <= BLOCK + 4 * PACE, "{lost:?}");
    assert!(given_back[0].len() > kills / 2, "the processes were killed before they did anything");
}

/// Whether a request of this cost passes a strict quota, after the store has reserved what it can.
fn uses_strict(store: &KeyStore, secret: &str, cost: u64) -> bool {
    let end = Instant::now() + LIMIT;
    loop {
        match store.check(&Attempt::new(secret).cost(cost as u32)) {
            Ok(_) => return true,
            Err(AuthError::QuotaExceeded { status, .. }) if status.remaining() == 0 => return false,
            Err(AuthError::QuotaExceeded { .. }) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(2))
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Returns what the process reported last, and what the other keys had used of their quotas in that period.
fn run_and_kill(role: &Role, random: &mut Random) -> (Option<Progress>, [u64; 2]) {
    let mut process = Process::start(&mut command(TEST, role));
    process.message(LIMIT).expect("the store opens");
    let end = Instant::now() + Duration::from_millis(1_200 + random.below(2_600) as u64);
    let (mut progress, mut before, mut scarce) = (None, 0, [[0; 2]; 2]);
    while Instant::now() < end {
        let message = process.message(LIMIT).expect("the process goes on until it is killed");
        let numbers: Vec<i64> = message.split(' ').map(|number| number.parse().unwrap()).collect();
        let next = Progress { now: numbers[0], ends: numbers[1], used: numbers[2] as u64, all: numbers[3] as u64 };
        let of_scarce = [numbers[4] as u64, numbers[5] as u64];
        if next.ends != before {
            // Those around midnight may be of either period.
            (before, scarce) = (next.ends, [of_scarce; 2]);
        }
        scarce[1] = of_scarce;
        progress = Some(Progress { all: next.all + of_scarce[0] + of_scarce[1], ..next });
    }
    process.kill();
    (progress, [scarce[1][0] - scarce[0][0], scarce[1][1] - scarce[0][1]])
}
