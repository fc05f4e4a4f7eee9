//! Many keys in one store: how long they take, how much memory, and what a verification then costs.

use std::path::Path;
use std::time::Instant;

use apikey::KeyStore;
use apikey_bench::Tokens;

use crate::report::{Report, section};
use crate::{MILLION, memory, speed};

/// Creates a store with so many million keys at `path`, which must not exist yet; prints a line for each million.
pub fn measure(path: &Path, millions: usize, report: &mut Report) {
    assert!(!path.exists(), "{} is there already", path.display());
    section(&format!("{millions} M keys through the store"));
    let store = KeyStore::open(path).unwrap();
    let mut tokens = Vec::new();
    let begun = Instant::now();
    for million in 1..=millions {
        tokens.append(&mut apikey_bench::fill_from(&store, tokens.len(), MILLION));
        let took = begun.elapsed().as_secs_f64();
        section(&format!("  {million} M keys: {took:.0} s, {:.0} MB held at most", max_resident() / 1e6));
    }
    store.close().unwrap();
    drop(store);
    let took = begun.elapsed().as_secs_f64();
    let keys = millions * MILLION;
    let held =
        format!("{took:.0} s ({:.0} us a key), {:.1} GB held at most", took / keys as f64 * 1e6, max_resident() / 1e9);
    report.row(format!("{millions} M keys made, 10,000 in a call"), held, "-", "-");
    let size = files(path);
    report.row(format!("{millions} M keys on the disk"), format!("{:.1} GB", size as f64 / 1e9), "-", "-");
    let valid = Tokens::shuffled(&tokens);
    memory::measure(path, keys, 1, report);
    section("verification");
    let store = KeyStore::open(path).unwrap();
    let times = speed::beside_hand(&store, &tokens, &valid);
    report.row(format!("valid, {millions} M keys in a store, to the check by hand"), times, "-", "-");
}

/// The largest memory of this process so far, as Linux counts it.
fn max_resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
}

fn files(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let size = |entry: std::fs::DirEntry| match entry.metadata().unwrap() {
        found if found.is_dir() => files(&entry.path()),
        found => found.len(),
    };
    entries.map(size).sum()
}
