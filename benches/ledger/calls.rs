//! How much of an engine does each call of a node take?
//!
//! `cargo bench -p apikey-ledger-bench --bench calls`: the CPU time of the engine and of the caller for each call, and how
//! long one that is alone takes, on PostgreSQL alone and with a synchronous standby; `-- etcd`: on three members of etcd. Lists are
//! measured at two lengths, and appends with two numbers of nodes that wait for the log, so that there is a figure for each row and
//! each node. Those of PostgreSQL are in `apikey-core/src/cluster/simulation/sizing/engine.rs`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that fails shall stop")]

use std::time::{Duration, Instant};

use apikey_core::cluster::{Appended, CellKind, CellName, Entry, Image, Ledger, Look, Position, Standing, Step, Woken};
use apikey_engine::conformance::op;
use apikey_ledger_bench::{Engine, of_this_process, on_each, percentiles};

const TIMES: u32 = 3_000;
const GENERATION: u64 = 1;
/// The lengths of lists, in nodes.
const NODES: [usize; 2] = [10, 500];
/// Nodes that wait for the log.
const LISTENERS: usize = 100;

fn main() {
    println!("microseconds: CPU time of the engine, CPU time of the caller, p50 of a call that is alone");
    on_each(|engine| run(&Bench { engine, ledger: &*engine.ledger("bench") }));
}

struct Bench<'a> {
    engine: &'a dyn Engine,
    ledger: &'a dyn Ledger,
}

impl Bench<'_> {
    fn measure(&self, what: &str, mut call: impl FnMut(u32)) {
        // The first ones prepare statements.
        (0..50).for_each(&mut call);
        let (engine, caller) = (self.engine.cpu(), of_this_process());
        let mut times = Vec::new();
        for number in 50..TIMES {
            let begun = Instant::now();
            call(number);
            times.push(begun.elapsed());
        }
        let each = |since: Duration| since.as_secs_f64() * 1e6 / f64::from(TIMES - 50);
        let (engine, caller) = (each(self.engine.cpu() - engine), each(of_this_process() - caller));
        let (name, p50) = (self.engine.name(), percentiles(times).0.as_micros());
        println!("{name:<22} {what:<24} {engine:>7.1} {caller:>7.1} {p50:>7}");
    }
}

fn run(bench: &Bench<'_>) {
    let ledger = bench.ledger;
    assert!(ledger.begin(GENERATION, &Position::default(), soon()).unwrap());
    let bytes = [7; 600];
    let mut head = Position::default();
    let mut append = || {
        let last = Position { number: head.number + 1, digest: [1; 32] };
        let entry = Entry { generation: GENERATION, op: op(), base: head, last, bytes: &bytes };
        assert_eq!(ledger.append(&entry, None, soon()).unwrap(), Appended::Here);
        head = last;
        head.number
    };
    let mut last = append();
    bench.measure("append", |_| last = append());
    bench.measure("read of one entry", |_| {
        assert_eq!(ledger.read(GENERATION, last - 1, 1 << 20, soon()).unwrap().len(), 1);
    });
    bench.measure("read of nothing", |_| assert!(ledger.read(GENERATION, last, 1 << 20, soon()).unwrap().is_empty()));
    // It connects.
    let _ = ledger.wait(GENERATION, last, Instant::now() + Duration::from_secs(1)).unwrap();
    bench.measure("wait", |_| assert_eq!(ledger.wait(GENERATION, 0, soon()).unwrap(), Woken::Moved));
    bench.measure("sight", |_| drop(ledger.sight(GENERATION, soon()).unwrap()));
    bench.measure("advance", |number| advance(ledger, u64::from(number)));
    let cell = cell(CellKind::Acknowledgement, 0);
    bench.measure("note", |number| ledger.note(&cell, &[number.to_le_bytes()[0]; 42], soon()).unwrap());
    looks(bench);
    lists(bench);
    listeners(bench, append);
}

fn advance(ledger: &dyn Ledger, number: u64) {
    let at = |number| Position { number, digest: [u8::from(number > 0); 32] };
    let (from, to) = (at(number), at(number + 1));
    let images = [Image { kind: 1, name: &[5; 16], value: Some(&[number.to_le_bytes()[0]; 300]) }];
    let step = Step { generation: GENERATION, from, to, head: &[3; 100], images: &images };
    // A later run of it begins at another place.
    assert!(ledger.advance(&step, None, soon()).unwrap(), "{number}");
}

fn looks(bench: &Bench<'_>) {
    let cell = cell(CellKind::Presence, 0);
    let value = |number: u32| [&number.to_le_bytes()[..], &[5; 60]].concat();
    assert!(bench.ledger.swap(&cell, None, Some(&value(0)), soon()).unwrap());
    bench.measure("look", |number| {
        let standing = Standing { cell: &cell, held: &value(number), next: &value(number + 1) };
        assert!(matches!(bench.ledger.look(GENERATION, &standing, soon()).unwrap(), Look::Standing(_)));
    });
    bench.measure("swap", |number| {
        assert!(
            bench
                .ledger
                .swap(&cell, Some(&value(if number == 0 { TIMES } else { number })), Some(&value(number + 1)), soon())
                .unwrap()
        );
    });
}

fn lists(bench: &Bench<'_>) {
    let ledger = bench.ledger;
    for nodes in NODES {
        for node in 0..nodes {
            let _ = ledger.swap(&cell(CellKind::Presence, node), None, Some(&[4; 64]), soon()).unwrap();
            ledger.note(&cell(CellKind::Acknowledgement, node), &[4; 42], soon()).unwrap();
        }
        bench.engine.tidy();
        let kinds = [CellKind::Presence, CellKind::Acknowledgement];
        bench.measure(&format!("cells of {nodes} nodes"), |_| {
            assert_eq!(ledger.cells(GENERATION, &kinds, soon()).unwrap().len(), 2 * nodes);
        });
        bench.measure(&format!("glance at {nodes} nodes"), |_| {
            assert_eq!(ledger.glance(GENERATION, &kinds[1..], soon()).unwrap().len(), nodes);
        });
    }
}

/// Nodes that wait for the log, each of which learns of every append.
fn listeners(bench: &Bench<'_>, mut append: impl FnMut() -> u64) {
    let listening: Vec<_> = (0..LISTENERS).map(|_| bench.engine.ledger("bench")).collect();
    for ledger in &listening {
        // It connects, and goes on listening.
        assert_eq!(ledger.wait(GENERATION, 0, soon()).unwrap(), Woken::Moved);
    }
    bench.measure(&format!("append, {LISTENERS} listen"), |_| {
        append();
        std::thread::sleep(Duration::from_millis(5));
    });
}

fn cell(kind: CellKind, node: usize) -> CellName {
    CellName { generation: GENERATION, kind, name: format!("{node:032x}") }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}
