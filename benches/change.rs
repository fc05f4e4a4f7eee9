//! What does a durable change cost, against the least a disk allows: one `write` and one `fdatasync`?
//!
//! `cargo bench --bench change`. The store and the bare file are in the same directory; set `TMPDIR` to choose the
//! disk: on a memory file system both cost nothing.

#![allow(clippy::unwrap_used, reason = "a bench that fails shall stop")]
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use apikey::{KeyStore, NewKey};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

fn change(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let store = KeyStore::open(directory.path().join("keys.db")).unwrap();
    let new = || NewKey::for_owner("alice").permissions(["orders:read"]);
    let mut group = criterion.benchmark_group("change");
    group.sample_size(20).measurement_time(std::time::Duration::from_secs(3));

    let mut file = File::create(directory.path().join("bare")).unwrap();
    file.write_all(&[0; 1 << 20]).unwrap();
    file.sync_all().unwrap();
    group.bench_function("bare write and fdatasync", |bencher| {
        bencher.iter(|| {
            file.seek(SeekFrom::Start(0)).unwrap();
            file.write_all(&[1; 512]).unwrap();
            file.sync_data().unwrap();
        });
    });
    group.bench_function("create", |bencher| bencher.iter(|| store.create(new()).unwrap()));
    group.bench_function("revoke", |bencher| {
        let created = || store.create(new()).unwrap().info.id();
        bencher.iter_batched(created, |id| store.revoke(id, "bench").unwrap(), BatchSize::PerIteration);
    });
    group.bench_function("create, per change of 16 writers at once", |bencher| {
        bencher.iter_custom(|changes| {
            let left = AtomicUsize::new(usize::try_from(changes).unwrap());
            let took = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
            let start = Instant::now();
            thread::scope(|scope| {
                for _ in 0..16 {
                    scope.spawn(|| {
                        while took() {
                            store.create(new()).unwrap();
                        }
                    });
                }
            });
            start.elapsed()
        });
    });
    group.finish();
}

criterion_group!(benches, change);
criterion_main!(benches);
