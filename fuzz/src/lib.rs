//! Helpers of the targets: bounds on memory, damage, and a second reader of backups that shares nothing with the first.

pub mod archive;
pub mod damage;
pub mod memory;

/// The path of a golden file, whatever the working directory of the target.
pub fn golden(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../apikey-core/golden").join(name)
}
