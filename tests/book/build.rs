//! Takes the program of the quick start out of its page, for the example that the test runs.

use std::path::Path;
use std::{env, fs};

const PAGE: &str = "../../docs/start/quick-start.md";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed={PAGE}");
    let page = fs::read_to_string(PAGE)?;
    let program = page.split_once("```rust,no_run\n").and_then(|(_, rest)| rest.split_once("```\n"));
    let (program, _) = program.ok_or("the page has no program")?;
    // Tests run side by side, so the system chooses the port.
    if !program.contains("127.0.0.1:3000") {
        return Err("the program does not listen on port 3000".into());
    }
    let out = env::var_os("OUT_DIR").ok_or("Cargo sets OUT_DIR")?;
    fs::write(Path::new(&out).join("quick_start.rs"), program.replace("127.0.0.1:3000", "127.0.0.1:0"))?;
    Ok(())
}
