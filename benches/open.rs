//! How long does a store take to open, against sled alone, opened and scanned?
//!
//! `cargo bench -p apikey-bench --bench open`: 100,000 keys, warm files.

#![allow(clippy::unwrap_used, reason = "a bench that fails shall stop")]
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use apikey::KeyStore;
use criterion::{Criterion, criterion_group, criterion_main};

const KEYS: usize = 100_000;

fn open(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.db");
    let store = KeyStore::open(&path).unwrap();
    apikey_bench::fill(&store, KEYS);
    store.close().unwrap();
    let mut group = criterion.benchmark_group(format!("open/{KEYS}"));
    group.sample_size(10);
    group.bench_function("apikey", |bencher| bencher.iter(|| KeyStore::open(&path).unwrap().close().unwrap()));
    group.bench_function("sled alone, opened and scanned", |bencher| {
        bencher.iter(|| {
            let database = sled::open(path.join("sled")).unwrap();
            assert_eq!(database.open_tree("keys").unwrap().iter().filter(|item| item.is_ok()).count(), KEYS);
        });
    });
    group.finish();
}

criterion_group!(benches, open);
criterion_main!(benches);
