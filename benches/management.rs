//! How long does a page of the API for managing keys take in a large store, and what does it cost verifications meanwhile?
//!
//! `cargo bench -p apikey-bench --bench management` fills a store with a million keys (`-- 100000` with fewer), reads pages of
//! each kind through `handle`, beside the same page read from the store without the API, and measures the median of a
//! verification while pages are read beside that while none is. It takes some minutes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that fails shall stop")]

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use apikey::management::{Management, handle};
use apikey::{EventFilter, KeyFilter, KeyStore, NewKey};
use apikey_testkit::block_on;

const OWNERS: usize = 1000;
/// An owner with as many keys as can be sorted.
const LARGE: usize = 1000;
const READS: usize = 2000;
const PAGES: usize = 30;

struct Api {
    management: Management,
    token: String,
}

impl Api {
    fn get(&self, path: &str) -> (Duration, String) {
        let request = http::Request::get(path).header("x-api-key", &self.token).body("").unwrap();
        let begun = Instant::now();
        let response = block_on(handle(&self.management, request));
        let took = begun.elapsed();
        assert_eq!(response.status(), 200, "{}", response.body());
        (took, response.into_body())
    }

    /// Pages that follow each other.
    fn pages(&self, query: &str) -> Pages {
        let mut cursor = String::new();
        measured(|| {
            let (took, body) = self.get(&format!("/{query}{cursor}"));
            let next = body.rsplit_once(r#""next":""#).and_then(|(_, next)| next.split('"').next());
            cursor = next.map(|next| format!("&cursor={next}")).unwrap_or_default();
            took
        })
    }
}

/// The slowest and the median.
fn spread(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() - 1], times[times.len() / 2])
}

/// What this process has used of processors: what a page costs where other programs do not interrupt it.
fn used() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos = threads.filter_map(|thread| {
        std::fs::read_to_string(thread.path().join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

struct Pages {
    slowest: Duration,
    median: Duration,
    /// The most that the process used for a page.
    used: Duration,
}

fn measured(mut page: impl FnMut() -> Duration) -> Pages {
    let mut most = Duration::ZERO;
    let times = (0..PAGES).map(|_| {
        let before = used();
        let took = page();
        most = most.max(used().saturating_sub(before));
        took
    });
    let times = times.collect();
    let (slowest, median) = spread(times);
    Pages { slowest, median, used: most }
}

fn timed(mut work: impl FnMut()) -> Pages {
    measured(|| {
        let begun = Instant::now();
        work();
        begun.elapsed()
    })
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

    println!(
        "{keys} keys; {PAGES} pages of each kind (ms): slowest, median, processor | without the API: median, processor"
    );
    let list = |filter: KeyFilter| {
        timed(|| drop(black_box(store.list_within(&filter.clone().max_reads(READS), &caller).unwrap())))
    };
    let row = |name: &str, pages: Pages, baseline: Pages| {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let (slowest, median, used) = (ms(pages.slowest), ms(pages.median), ms(pages.used));
        let (without, used_without) = (ms(baseline.median), ms(baseline.used));
        println!("{name:<44} {slowest:>7.1} {median:>7.1} {used:>7.1} | {without:>7.1} {used_without:>7.1}");
        (pages.slowest, pages.used)
    };
    let slowest = [
        row("keys?limit=100", api.pages("keys?limit=100"), list(KeyFilter::default().limit(100))),
        row("keys?limit=1000", api.pages("keys?limit=1000"), list(KeyFilter::default().limit(1000))),
        row(
            "keys?text=nothing (2,000 records)",
            api.pages("keys?text=nothing"),
            list(KeyFilter::default().text("nothing")),
        ),
        row(
            "keys?owner=owner-1&text=nothing",
            api.pages("keys?owner=owner-1&text=nothing"),
            list(KeyFilter::owner("owner-1").text("nothing")),
        ),
        row(
            "keys?owner=large&sort=expires (1,000 records)",
            api.pages("keys?owner=large&sort=expires&limit=100"),
            timed(|| drop(black_box(store.find_within(&KeyFilter::owner("large"), LARGE, &caller).unwrap()))),
        ),
        row(
            "events?limit=100",
            api.pages("events?limit=100"),
            timed(|| drop(black_box(store.events_within(&EventFilter::default().newest_first(), &caller).unwrap()))),
        ),
        row(
            "events?kind=revoked (2,000 events)",
            api.pages("events?kind=revoked"),
            timed(|| {
                let filter = EventFilter::default().newest_first().kind("revoked").max_reads(READS);
                drop(black_box(store.events_within(&filter, &caller).unwrap()));
            }),
        ),
    ];
    let most = |of: fn(&(Duration, Duration)) -> Duration| slowest.iter().map(of).max().unwrap().as_secs_f64() * 1000.0;
    println!(
        "the slowest page of all: {:.1} ms, and {:.1} ms of a processor",
        most(|page| page.0),
        most(|page| page.1)
    );

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
