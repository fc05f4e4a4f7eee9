//! Three nodes of one cluster, to run and to try: the same keys on each, with PostgreSQL or etcd between them.
//!
//! ```text
//! curl -- X-API-Key --> node 1 (a process) -- its replica, a directory --.
//!                       node 2             -- its replica ---------------+-- PostgreSQL or etcd: the log of all changes
//!                       node 3             -- its replica ---------------'
//! ```
//!
//! Start with `node.rs`: that is what a service on many machines needs beside what it has on one. `manage.rs` revokes a key
//! for all of them. `servers.rs` starts the engine, and the rest starts three processes and ends them.

#[cfg(unix)]
mod args;
#[cfg(unix)]
mod manage;
#[cfg(unix)]
mod node;
#[cfg(unix)]
mod processes;
#[cfg(unix)]
mod run;
#[cfg(unix)]
mod servers;
#[cfg(unix)]
mod welcome;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    use clap::Parser;

    let args = args::Args::parse();
    let (name, result) = match args.part {
        Some(args::Part::Node(node)) => (format!("three_nodes: node {}", node.number), node::run(node)),
        None => ("three_nodes".to_owned(), run::run(args.engine, args.first_port)),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{name}: {failure}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(not(unix))]
fn main() {
    eprintln!("three_nodes: it starts and ends processes as Unix systems do: run it on Linux or macOS");
}
