//! Keeps the servers that the tests share: `keep-engine ENGINE DIRECTORY`.

use std::path::Path;

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let engine = arguments.next().unwrap_or_default();
    let directory = arguments.next().unwrap_or_default();
    let directory = Path::new(&directory);
    match engine.to_str() {
        Some("etcd") => apikey_cluster_tests::etcd::serve(directory),
        Some("postgres") => apikey_cluster_tests::postgres::serve(directory),
        _ => {
            eprintln!("keep-engine: the engine {} is not known: etcd or postgres", engine.display());
            std::process::exit(2);
        }
    }
}
