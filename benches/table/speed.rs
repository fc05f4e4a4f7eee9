//! What one verification costs, beside the baseline and the peers.

use apikey::{KeyStore, Pepper, Requirement};
use apikey_bench::{HandWritten, PERMISSION, Sqlite, Tokens};
use apikey_core::measure;

use crate::baseline::Baseline;
use crate::dependent_loads::{Candidate, Times, race};
use crate::peers::Prefixed;
use crate::plot::{Line, Plot};
use crate::report::{Report, section};

/// The tokens of one store, in the forms that the benches need.
pub struct Case<'a> {
    pub store: &'a KeyStore,
    pub valid: Tokens,
    pub baseline: Baseline,
}

impl<'a> Case<'a> {
    pub fn new(store: &'a KeyStore, tokens: &[String]) -> Self {
        Self { store, valid: Tokens::shuffled(tokens), baseline: Baseline::with(tokens, tokens.len()) }
    }
}

fn authorized(store: &KeyStore, token: &str, requirement: &Requirement) -> u32 {
    store.authorize(token, requirement).map_or(0, |key| key.secret_version())
}

fn refused(store: &KeyStore, token: &str, requirement: &Requirement) -> u32 {
    store.authorize(token, requirement).map_or_else(|error| u32::from(error.status() == 401), |_| 2)
}

/// Rounds, and lookups in a burst: about a second for each candidate where a lookup takes 100 ns.
const ROUNDS: usize = 400;
const BURST: usize = 5_000;

fn ns(times: &Times) -> String {
    format!("{:.0} ns", times.median())
}

fn over(times: &Times, other: &Times) -> String {
    format!("{:.2}x ({} to {})", times.over(other), ns(times), ns(other))
}

/// Measures every row for a thousand keys.
pub fn thousand(report: &mut Report, plot: &mut Plot) {
    section("1,000 keys");
    let read = Requirement::permission(PERMISSION).unwrap();
    let any = Requirement::any(["admin", "orders:write", "reports:read", PERMISSION]).unwrap();
    let [store, untracked, peppered] = [
        KeyStore::builder(),
        KeyStore::builder().track_use(false),
        KeyStore::builder().pepper(Pepper::new(1, [7; 32])),
    ]
    .map(|builder| builder.temporary().unwrap());
    let tokens = apikey_bench::fill(&store, 1_000);
    let case = Case::new(&store, &tokens);
    let [untracked_tokens, peppered_tokens] =
        [&untracked, &peppered].map(|store| Tokens::shuffled(&apikey_bench::fill(store, 1_000)));
    let wrong = case.valid.map(apikey_bench::with_wrong_secret);
    let unknown = case.valid.map(apikey_bench::unknown_id);
    let malformed = case.valid.map(apikey_bench::malformed);
    let (prefixed, prefixed_tokens) = Prefixed::with(1_000);
    let (hand_written, sqlite) = (HandWritten::with(&tokens), Sqlite::with(&tokens));
    let (valid, baseline) = (&case.valid, &case.baseline);
    let found = |answer: (u16, usize)| u32::from(answer.0 == 200);
    let candidates = vec![
        Candidate::new(valid, |token| baseline.check(token, 0).map_or(0, |caller| caller.version)),
        Candidate::new(valid, |token| authorized(&store, token, &read)),
        Candidate::new(valid, |token| store.verify(token).map_or(0, |key| key.secret_version())),
        Candidate::new(valid, |token| authorized(&store, token, &any)),
        Candidate::new(&unknown, |token| refused(&store, token, &read)),
        Candidate::new(&wrong, |token| refused(&store, token, &read)),
        Candidate::new(&malformed, |token| refused(&store, token, &read)),
        Candidate::new(&malformed, |token| {
            baseline.check(token, 0).map_or_else(|status| u32::from(status == 401), |_| 2)
        }),
        Candidate::new(&untracked_tokens, |token| authorized(&untracked, token, &read)),
        Candidate::new(&peppered_tokens, |token| authorized(&peppered, token, &read)),
        Candidate::new(&prefixed_tokens, |token| prefixed.check(token)),
        Candidate::new(valid, |token| found(hand_written.check(token, PERMISSION))),
        Candidate::new(valid, |token| found(sqlite.check(token, PERMISSION))),
    ];
    let times = race(valid, candidates, ROUNDS, BURST);
    let [hand, own, plain, any, unknown, wrong, malformed, hand_malformed, untracked, pepper, prefixed, map, sqlite] =
        &times[..]
    else {
        unreachable!("one time for each candidate")
    };
    report.row("valid, 1 k keys, to the check by hand", over(own, hand), "<= 1.3x", "2x");
    report.row("malformed (bad checksum), 1 k, to own valid", over(malformed, own), "<= 0.2x", "0.35x");
    report.row("the same by hand, to its own valid", over(hand_malformed, hand), "-", "-");
    report.row("unknown key, 1 k, to own valid", over(unknown, own), "<= 1.1x", "1.25x");
    report.row("wrong secret, 1 k, to own valid", over(wrong, own), "<= 1.1x", "1.25x");
    report.row("prefixed-api-key + HashMap, 1 k, to ours", over(prefixed, own), ">= 2.5x", "2x");
    report.row("SHA-256 + prepared SQLite select, 1 k, to ours", over(sqlite, own), ">= 20x", "12x");
    report.row("`RwLock<HashMap>` of hex digests, 1 k, to ours", over(map, own), "-", "-");
    report.row("last use noted, 1 k, to not noted", over(own, untracked), "<= 1.03x", "1.05x");
    report.row("a permission over none", format!("{:+.1} ns", own.median() - plain.median()), "+3 ns", "+8 ns");
    report.row("`any` of four over none", format!("{:+.1} ns", any.median() - plain.median()), "+8 ns", "+20 ns");
    report.row("with a pepper (HMAC), to without", over(pepper, own), "reported", "-");
    note(plot, 1_000, [own, hand, prefixed, map, sqlite]);
}

fn note(plot: &mut Plot, keys: usize, times: [&Times; 5]) {
    for (line, times) in
        [Line::Apikey, Line::HandWritten, Line::Prefixed, Line::Map, Line::Sqlite].into_iter().zip(times)
    {
        plot.add(line, keys, times.median());
    }
}

/// Times ours, the baseline and the peers with some number of keys.
fn beside_peers(case: &Case<'_>, tokens: &[String], plot: &mut Plot) -> Vec<Times> {
    let read = Requirement::permission(PERMISSION).unwrap();
    let keys = tokens.len();
    let (prefixed, prefixed_tokens) = Prefixed::with(keys);
    let (hand_written, sqlite) = (HandWritten::with(tokens), Sqlite::with(tokens));
    let (valid, baseline) = (&case.valid, &case.baseline);
    let large = Baseline::in_large_pages(tokens, keys);
    let found = |answer: (u16, usize)| u32::from(answer.0 == 200);
    let candidates = vec![
        Candidate::new(valid, |token| authorized(case.store, token, &read)),
        Candidate::new(valid, |token| baseline.check(token, 0).map_or(0, |caller| caller.version)),
        Candidate::new(&prefixed_tokens, |token| prefixed.check(token)),
        Candidate::new(valid, |token| found(hand_written.check(token, PERMISSION))),
        Candidate::new(valid, |token| found(sqlite.check(token, PERMISSION))),
        Candidate::new(valid, |token| large.check(token, 0).map_or(0, |caller| caller.version)),
    ];
    // Fewer rounds: this measures the caches, and each burst visits other keys.
    let times = race(valid, candidates, ROUNDS / 4, BURST);
    if let [own, hand, prefixed, map, sqlite, _] = &times[..] {
        note(plot, keys, [own, hand, prefixed, map, sqlite]);
    }
    times
}

/// The points between, for the plot only.
pub fn between(plot: &mut Plot) {
    for keys in [10_000, 100_000] {
        section(&format!("{keys} keys, for the plot"));
        let store = KeyStore::temporary().unwrap();
        let tokens = apikey_bench::fill(&store, keys);
        beside_peers(&Case::new(&store, &tokens), &tokens, plot);
    }
}

/// Times a million keys, in a store that was opened from the disk.
pub fn million(case: &Case<'_>, tokens: &[String], report: &mut Report, plot: &mut Plot) {
    let times = beside_peers(case, tokens, plot);
    let [own, hand, prefixed, map, sqlite, large] = &times[..] else { unreachable!("one time for each candidate") };
    report.row("valid, 1 M keys, to the check by hand", over(own, hand), "<= 1.3x", "2x");
    report.row("the same, where that has pages of 2 MiB, too", over(own, large), "-", "-");
    report.row("prefixed-api-key + HashMap, 1 M, to ours", over(prefixed, own), ">= 4x", "3x");
    report.row("SHA-256 + prepared SQLite select, 1 M, to ours", over(sqlite, own), ">= 20x", "12x");
    report.row("`RwLock<HashMap>` of hex digests, 1 M, to ours", over(map, own), "-", "-");
    let read = Requirement::permission(PERMISSION).unwrap();
    let wrong = case.valid.map(apikey_bench::with_wrong_secret);
    let unknown = case.valid.map(apikey_bench::unknown_id);
    let candidates = vec![
        Candidate::new(&case.valid, |token| authorized(case.store, token, &read)),
        Candidate::new(&unknown, |token| refused(case.store, token, &read)),
        Candidate::new(&wrong, |token| refused(case.store, token, &read)),
    ];
    let times = race(&case.valid, candidates, ROUNDS / 2, BURST);
    report.row("unknown key, 1 M, to own valid", over(&times[1], &times[0]), "<= 1.1x", "1.25x");
    report.row("wrong secret, 1 M, to own valid", over(&times[2], &times[0]), "<= 1.1x", "1.25x");
}

/// Compares ours with the baseline, in a store that is too large for the peers.
pub fn beside_hand(store: &KeyStore, tokens: &[String], valid: &Tokens) -> String {
    let read = Requirement::permission(PERMISSION).unwrap();
    let baseline = Baseline::with(tokens, tokens.len());
    let candidates = vec![
        Candidate::new(valid, |token| authorized(store, token, &read)),
        Candidate::new(valid, |token| baseline.check(token, 0).map_or(0, |caller| caller.version)),
    ];
    let times = race(valid, candidates, ROUNDS / 2, BURST);
    over(&times[0], &times[1])
}

/// Times what writing the time of use costs where each key is used so seldom that every use is written.
pub fn last_use(count: usize, report: &mut Report) {
    let read = Requirement::permission(PERMISSION).unwrap();
    let mut both = [measure::Keys::with_room(count), measure::Keys::untracked(count)];
    let tokens = both.each_mut().map(|keys| {
        let new = |_| keys.add("owner", PERMISSION).unwrap().0.expose_secret().to_owned();
        Tokens::shuffled(&(0..count).map(new).collect::<Vec<_>>())
    });
    let candidates = both.iter().zip(&tokens).map(|(keys, tokens)| {
        Candidate::new(tokens, |token| keys.authorize(token, &read).map_or(0, |key| key.secret_version()))
    });
    let times = race(&tokens[0], candidates.collect(), ROUNDS / 2, BURST);
    let name = format!("last use noted, {} M keys, index only, to not noted", count / 1_000_000);
    report.row(name, over(&times[0], &times[1]), "<= 1.03x", "1.05x");
}

/// Times keys in the index alone, without a store and a disk, for numbers that would take a disk too long.
pub fn index_only(count: usize, report: &mut Report, plot: &mut Plot) {
    section(&format!("{count} keys, index only"));
    let read = Requirement::permission(PERMISSION).unwrap();
    let mut keys = measure::Keys::with_room(count);
    let tokens: Vec<String> =
        (0..count).map(|_| keys.add("owner", PERMISSION).unwrap().0.expose_secret().to_owned()).collect();
    let [baseline, large] = [Baseline::with(&tokens, count), Baseline::in_large_pages(&tokens, count)];
    let valid = Tokens::shuffled(&tokens);
    drop(tokens);
    let wrong = valid.map(apikey_bench::with_wrong_secret);
    let own = |token: &str| keys.authorize(token, &read).map_or(0, |key| key.secret_version());
    let candidates = vec![
        Candidate::new(&valid, own),
        Candidate::new(&valid, |token| baseline.check(token, 0).map_or(0, |caller| caller.version)),
        Candidate::new(&wrong, |token| u32::from(own(token) == 0)),
        Candidate::new(&valid, |token| large.check(token, 0).map_or(0, |caller| caller.version)),
    ];
    let times = race(&valid, candidates, ROUNDS / 2, BURST);
    let [own, hand, wrong, large] = &times[..] else { unreachable!("one time for each candidate") };
    let name = format!("{} M keys, index only", count / 1_000_000);
    report.row(format!("valid, {name}, to the check by hand"), over(own, hand), "<= 1.3x", "2x");
    report.row("the same, where that has pages of 2 MiB, too", over(own, large), "-", "-");
    report.row(format!("wrong secret, {name}, to own valid"), over(wrong, own), "<= 1.1x", "1.25x");
    plot.add(Line::Apikey, count, own.median());
    plot.add(Line::HandWritten, count, hand.median());
}
