//! How long does a page of the API for managing keys take in a large store, and what does it cost verifications meanwhile?
//!
//! `cargo bench -p apikey-bench --bench management` fills a store with a million keys (`-- 100000` with fewer), reads pages of
//! each kind through `handle`, beside the same page read from the store without the API, and measures the median of a
//! verification while pages are read beside that while none is. It takes some minutes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that fails shall stop")]

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use apikey::management::{Management, handle};
use apikey::{EventFilter, KeyFilter, KeyStore, NewKey};

const OWNERS: usize = 1000;
/// An owner with as many keys as can be sorted.
const LARGE: usize = 5000;
const READS: usize = 10_000;
const PAGES: usize = 30;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

struct Api {
    management: Management,
    token: String,
}

impl Api {
    fn get(&self, path: &str) -> (Duration, String) {
        let request = http::Request::get(path).header("x-api-key", &self.token).body("").unwrap();
        let begun = Instant::now();
        let response = wait(handle(&self.management, request));
        let took = begun.elapsed();
        assert_eq!(response.status(), 200, "{}", response.body());
        (took, response.into_body())
    }

    /// The slowest and the median of pages that follow each other.
    fn pages(&self, query: &str) -> (Duration, Duration) {
        let (mut cursor, mut times) = (String::new(), Vec::new());
        for _ in 0..PAGES {
            let (took, body) = self.get(&format!("/{query}{cursor}"));
            times.push(took);
            let document: serde_json::Value = serde_json::from_str(&body).unwrap();
            cursor = document["next"].as_str().map(|next| format!("&cursor={next}")).unwrap_or_default();
        }
        spread(times)
    }
}

fn spread(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() - 1], times[times.len() / 2])
}

fn timed(mut work: impl FnMut()) -> (Duration, Duration) {
    let times = (0..PAGES).map(|_| {
        let begun = Instant::now();
        work();
        begun.elapsed()
    });
    spread(times.collect())
}

fn main() {
    let keys: usize = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(1_000_000);
    let store = KeyStore::temporary().unwrap();
    let mut tokens = Vec::new();
    for from in (0..keys).step_by(10_000) {
        let new = (from..keys.min(from + 10_000)).map(|n| {
            NewKey::for_owner(format!("owner-{}", n % OWNERS)).name(format!("key {n}")).permissions(["orders:read"])
        });
        let created = store.create_many(new).unwrap();
        tokens.extend(created.iter().step_by(37).map(|key| key.key.expose_secret().to_owned()));
    }
    store.create_many((0..LARGE).map(|n| NewKey::for_owner("large").name(format!("key {n}")))).unwrap();
    let admin = store.create(NewKey::for_owner("root").permissions(["*"])).unwrap();
    let caller = store.verify(admin.key.expose_secret()).unwrap();
    let api = Api { management: Management::new(store.clone()), token: admin.key.expose_secret().to_owned() };

    println!("{keys} keys; {PAGES} pages of each kind: the slowest, the median, and the slowest without the API (ms)");
    let list = |filter: KeyFilter| {
        timed(|| drop(black_box(store.list_within(&filter.clone().max_reads(READS), &caller).unwrap())))
    };
    let row = |name: &str, (slowest, median): (Duration, Duration), baseline: (Duration, Duration)| {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        println!("{name:<44} {:>7.1} {:>7.1} {:>7.1}", ms(slowest), ms(median), ms(baseline.0));
        slowest
    };
    let slowest = [
        row("keys?limit=100", api.pages("keys?limit=100"), list(KeyFilter::default().limit(100))),
        row("keys?limit=1000", api.pages("keys?limit=1000"), list(KeyFilter::default().limit(1000))),
        row(
            "keys?text=nothing (10,000 records)",
            api.pages("keys?text=nothing"),
            list(KeyFilter::default().text("nothing")),
        ),
        row(
            "keys?owner=owner-1&text=nothing",
            api.pages("keys?owner=owner-1&text=nothing"),
            list(KeyFilter::owner("owner-1").text("nothing")),
        ),
        row(
            "keys?owner=large&sort=expires (5,000 records)",
            api.pages("keys?owner=large&sort=expires&limit=100"),
            timed(|| drop(black_box(store.find_within(&KeyFilter::owner("large"), LARGE, &caller).unwrap()))),
        ),
        row(
            "events?limit=100",
            api.pages("events?limit=100"),
            timed(|| drop(black_box(store.events_within(&EventFilter::default().newest_first(), &caller).unwrap()))),
        ),
        row(
            "events?kind=revoked (5,000 events)",
            api.pages("events?kind=revoked"),
            timed(|| {
                let filter = EventFilter::default().newest_first().kind("revoked").max_reads(5000);
                drop(black_box(store.events_within(&filter, &caller).unwrap()));
            }),
        ),
    ];
    println!("the slowest page of all: {:.1} ms", slowest.iter().max().unwrap().as_secs_f64() * 1000.0);

    // Alternately, so that both meet the same machine.
    let is_reading = AtomicBool::new(false);
    let is_over = AtomicBool::new(false);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let mut read = 0u64;
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut read = 0u64;
            while !is_over.load(Ordering::Relaxed) {
                if is_reading.load(Ordering::Relaxed) {
                    api.get("/keys?text=nothing");
                    read += 1;
                } else {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            read
        });
        for round in 0..40 {
            is_reading.store(round % 2 == 1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(60));
            let times = if round % 2 == 1 { &mut beside } else { &mut alone };
            for batch in tokens.chunks(50).cycle().skip(round * 97).take(2000) {
                let begun = Instant::now();
                for token in batch {
                    black_box(store.verify(token).unwrap());
                }
                times.push(begun.elapsed().as_secs_f64() * 1e9 / batch.len() as f64);
            }
        }
        is_over.store(true, Ordering::Relaxed);
        read = reader.join().unwrap();
    });
    let median = |times: &mut Vec<f64>| {
        times.sort_unstable_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let (alone, beside) = (median(&mut alone), median(&mut beside));
    println!(
        "a verification, median: {alone:.0} ns alone, {beside:.0} ns while {read} pages are read: {:.2}x",
        beside / alone
    );
}
