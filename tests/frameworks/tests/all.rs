//! The same requests, through real sockets, to the example of every web framework; and the same answers expected.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "all/access_log.rs"]
mod access_log;
#[path = "all/answers.rs"]
mod answers;
#[path = "all/documents.rs"]
mod documents;
#[path = "all/examples.rs"]
mod examples;
#[path = "all/grpc.rs"]
mod grpc;
#[path = "all/limits.rs"]
mod limits;
#[path = "all/managing.rs"]
mod managing;
#[path = "all/nested.rs"]
mod nested;
#[path = "all/optional.rs"]
mod optional;
#[path = "all/programs.rs"]
mod programs;
#[path = "all/quotas.rs"]
mod quotas;
#[path = "all/same_answers.rs"]
mod same_answers;
#[path = "all/stores.rs"]
mod stores;
#[path = "all/streams.rs"]
mod streams;
