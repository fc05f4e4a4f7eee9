//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Two tiers with API keys between them: a page in your browser, and the API it calls; and a console for the keys.
///
/// All listen on 127.0.0.1 only. The keys are in an embedded store, a directory on disk. The first start makes a
/// reader key and a writer key and prints them, with curl lines to try.
#[derive(Debug, Parser)]
#[command(
    name = "two_tier",
    args_override_self = true,
    after_help = "Ctrl-C stops. Through cargo: cargo run -p two_tier -- --new-demo-keys"
)]
pub(crate) struct Args {
    /// Port of the API; 0 takes any free port
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    pub(crate) api_port: u16,

    /// Port of the page; 0 takes any free port
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub(crate) page_port: u16,

    /// Port of the console; 0 takes any free port
    #[arg(long, value_name = "PORT", default_value_t = 8082)]
    pub(crate) console_port: u16,

    /// Directory of the key store; made if it is not there
    #[arg(long, value_name = "PATH", default_value = "two_tier.db")]
    pub(crate) store: PathBuf,

    /// Revoke the demo keys made before, make new ones and print them
    #[arg(long)]
    pub(crate) new_demo_keys: bool,

    /// Let the command `apikey` manage the store meanwhile, through a Unix socket in it (Linux)
    #[arg(long)]
    pub(crate) admin_socket: bool,
}
