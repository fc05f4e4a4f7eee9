//! PostgreSQL as the ledger of a cluster of `apikey` stores, as `apikey::postgres` shows it.
//!
//! [`Postgres`] keeps the log of a cluster in eight tables, `apikey_*`, of one schema. `schema.sql` creates them; the first
//! node does so itself where its role may. A node has two connections for the calls on which a revocation depends, one that
//! listens, one for tallies and reservations once there are any, and a fifth while it loads the whole state.
//!
//! # What the server must be
//!
//! - PostgreSQL 14 or newer. Connections go to it directly, or through a pooler in session mode; a node checks that when
//!   it first connects.
//! - **Every commit is on a standby before it is answered**, and only such a standby is ever promoted. A node refuses a
//!   server whose `synchronous_standby_names` is empty, when it connects and with each answer, unless
//!   [`single`](Postgres::single) states that nothing is ever promoted. Each write sets `synchronous_commit = on` for
//!   itself, whatever role, database or configuration say.
//! - What a node cannot see is up to you: that a failover chooses among the standbys of the quorum. With `ANY k (..)` of n
//!   standbys, k + (the standbys that must agree to a promotion) is more than n. With Patroni set `synchronous_mode: true`
//!   *and* `synchronous_mode_strict: true`: without the latter it empties `synchronous_standby_names` when no standby is
//!   left. `pg_receivewal`, or a backup that runs, must not count as a standby: name the standbys instead of `*`.
//! - `fsync` is on.
//!
//! Of several hosts a node uses the one that is the primary. A former primary that runs on can be connected to, but commits
//! nothing: a node that gets no answer goes on to the next host, and once it has an answer it passes over every host of an
//! earlier timeline.
//!
//! # Errors
//!
//! | condition | SQLSTATE | error |
//! |---|---|---|
//! | a setting of [`Postgres`] is not allowed | | `Refused` |
//! | no connection: host unknown or silent, TLS missing here or there, certificate not trusted | | `Refused` |
//! | wrong password; the user may not connect; no such database; too many connections | 28P01, 28000, 3D000, 53300 | `Refused` |
//! | no primary among the hosts; a pooler in transaction mode; no synchronous standby | | `Refused` |
//! | tables missing, and the role may not create them; of another version | 42501 | `Refused` |
//! | the time is up before the call is sent | | `Refused` |
//! | the server is read-only by now; the connection is made anew | 25006 | `Refused` |
//! | not allowed, disk full, and every other error of a statement | 42501, 53100, .. | `Refused` |
//! | another transaction was in its place, until the time is up | 40001, 40P01, 55P03 | `Refused` |
//! | the time is up after the call was sent, or the connection ends | | `Unknown` |
//! | the server ends the connection (`FATAL`, `PANIC`): perhaps after the commit | 57P01, 57P02, .. | `Unknown` |
//! | a write is answered with a warning, or without a synchronous standby: perhaps only the primary has it | | `Unknown` |
//! | the generation has no log | | `Foreign` |
//! | the log no longer has the entry | | `BelowFloor` |
//! | a number, digest or entry in the tables is none | | `Damaged` |
//!
//! A call that is sent and has no answer is sent again within its time where that does no harm, and an append is such a
//! call. What is given up is never cancelled: to a request to cancel PostgreSQL answers success with a warning if the
//! commit waits for a standby. The connection is dropped instead, and the server may still finish what was sent.

mod acknowledged;
mod calls;
mod failure;
mod listener;
mod postgres;
mod session;
mod settings;

pub use postgres::Postgres;
