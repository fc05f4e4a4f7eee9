//! Do changes hold readers up, and what do changes cost in a large store?

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use apikey::{KeyStore, NewKey, Overlap};
use apikey_bench::Tokens;

use crate::report::{Report, section};

const LOOKS: usize = 400_000;

/// Times each verification of one reader on tokens of all keys (the clock's own time included), first alone and then
/// while another thread creates, rotates and revokes without a pause.
pub fn measure(store: &KeyStore, tokens: &Tokens, report: &mut Report) {
    section("changes while a reader verifies");
    let quiet = verifications(store, tokens);
    let done = AtomicBool::new(false);
    let (busy, changes) = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut took = [Duration::ZERO; 3];
            let mut turns = 0;
            while !done.load(Ordering::Relaxed) {
                let mut timed = |what: usize, work: &mut dyn FnMut()| {
                    let begun = Instant::now();
                    work();
                    took[what] += begun.elapsed();
                };
                let mut id = None;
                timed(0, &mut || id = Some(store.create(NewKey::for_owner("alice")).unwrap().info.id()));
                timed(1, &mut || drop(store.rotate(id.unwrap(), Overlap::UntilFirstUse).unwrap()));
                timed(2, &mut || assert!(store.revoke(id.unwrap(), "bench").unwrap()));
                turns += 1;
            }
            took.map(|took| took.as_secs_f64() * 1e6 / f64::from(turns))
        });
        let busy = verifications(store, tokens);
        done.store(true, Ordering::Relaxed);
        (busy, writer.join().unwrap())
    });
    let ratio = |part: usize| at(&busy, part).as_secs_f64() / at(&quiet, part).as_secs_f64();
    let shown = |part: usize| {
        format!("{:.2}x ({} ns against {})", ratio(part), at(&busy, part).as_nanos(), at(&quiet, part).as_nanos())
    };
    report.row("a reader's median under changes against none, 1 M keys", shown(500), "-", "-");
    report.row("a reader's 99th percentile under changes against none, 1 M keys", shown(990), "-", "-");
    let [create, rotate, revoke] = changes;
    let figure = format!("{create:.0} / {rotate:.0} / {revoke:.0} us");
    report.row("durable create / rotate / revoke beside that reader", figure, "-", "-");
}

fn verifications(store: &KeyStore, tokens: &Tokens) -> Vec<Duration> {
    let mut took: Vec<Duration> = (0..LOOKS)
        .map(|at| {
            let token = tokens.get(at % tokens.len());
            let begun = Instant::now();
            let verified = store.verify(token);
            let took = begun.elapsed();
            assert!(verified.is_ok());
            took
        })
        .collect();
    took.sort_unstable();
    took
}

/// The time that so many of a thousand verifications did not exceed.
fn at(sorted: &[Duration], part: usize) -> Duration {
    sorted[sorted.len() * part / 1000]
}
