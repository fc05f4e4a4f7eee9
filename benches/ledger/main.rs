//! What does an append to the log of a cluster in PostgreSQL cost, against a bare insert of the same bytes?
//!
//! `cargo bench -p apikey-ledger-bench`: servers of its own on this machine, which write to the disk, one alone and
//! one with a synchronous standby. Appends and inserts take turns, each from one thread that waits for its answer.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a bench that fails shall stop")]

use std::time::{Duration, Instant};

use apikey_cluster_tests::postgres::{Server, ServerConfig};
use apikey_core::cluster::{Appended, Entry, Ledger, Position};
use apikey_engine::conformance::op;
use apikey_postgres::Postgres;
use tokio_postgres::NoTls;
use tokio_postgres::types::ToSql;

/// Appends, and inserts, of each size; of large ones a tenth.
const TIMES: usize = 2_000;

const DURABLE: ServerConfig<'_> =
    ServerConfig { settings: "", access: None, durable: true, apart: false, disk_can_fill: false, host: None };

fn main() {
    println!("{TIMES} appends and inserts of each size, {} of large ones; in microseconds", TIMES / 10);
    println!(
        "{:<24} {:>7} {:>15} {:>15} {:>15} {:>15} {:>6}",
        "server", "bytes", "insert p50", "append p50", "insert p99", "append p99", "ratio"
    );
    let alone = Server::start(DURABLE);
    run("alone", &alone, |ledger| ledger.single());
    drop(alone);
    let (primary, _standby) = Server::start_with_standby(DURABLE);
    run("with a standby", &primary, |ledger| ledger);
}

fn run(name: &str, server: &Server, settings: impl Fn(Postgres) -> Postgres) {
    // The table that the log has, with its one index.
    server.sql(
        "CREATE TABLE bare (namespace text, generation bigint, first bigint, last bigint, digest bytea, op bytea, \
         bytes bytea, PRIMARY KEY (namespace, generation, last)); ALTER TABLE bare ALTER COLUMN bytes SET STORAGE EXTERNAL",
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connection = server.connection().replace("sslmode=disable", "");
    let (client, driver) = runtime.block_on(tokio_postgres::connect(&connection, NoTls)).unwrap();
    runtime.spawn(driver);
    let sql =
        "INSERT INTO bare (namespace, generation, first, last, digest, op, bytes) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let insert = runtime.block_on(client.prepare(sql)).unwrap();
    let ledger = settings(Postgres::new(server.connection()).namespace("bench"));
    for (generation, size) in [(1_u64, 1 << 10), (2, 16 << 10), (3, 256 << 10)] {
        let bytes: Vec<u8> = (0..size).map(|at: usize| (at.wrapping_mul(at) >> 5).to_le_bytes()[0]).collect();
        assert!(ledger.begin(generation, &Position::default(), soon()).unwrap());
        let times = if size > 100_000 { TIMES / 10 } else { TIMES };
        let (mut inserts, mut appends) = (Vec::new(), Vec::new());
        let mut base = Position::default();
        for number in 0..times as u64 + 50 {
            let last = Position { number: number + 1, digest: [generation.to_le_bytes()[0]; 32] };
            let entry = Entry { generation, op: op(), base, last, bytes: &bytes };
            let begun = Instant::now();
            assert_eq!(ledger.append(&entry, None, soon()).unwrap(), Appended::Here);
            let appended = begun.elapsed();
            let row = (generation.cast_signed(), number.cast_signed() + 1, last.digest.to_vec(), entry.op.to_vec());
            let begun = Instant::now();
            let params = [&"bench" as &(dyn ToSql + Sync), &row.0, &row.1, &row.1, &row.2, &row.3, &bytes];
            assert_eq!(runtime.block_on(client.execute(&insert, &params)).unwrap(), 1);
            let inserted = begun.elapsed();
            base = last;
            // The first ones prepare statements.
            if number >= 50 {
                appends.push(appended);
                inserts.push(inserted);
            }
        }
        let (insert, append) = (percentiles(inserts), percentiles(appends));
        println!(
            "{name:<24} {size:>7} {:>15} {:>15} {:>15} {:>15} {:>5.2}x",
            insert.0.as_micros(),
            append.0.as_micros(),
            insert.1.as_micros(),
            append.1.as_micros(),
            append.0.as_secs_f64() / insert.0.as_secs_f64()
        );
    }
}

fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}
