//! What the targets share: bounds on memory, damage, and a second reader of backups that knows nothing of the first.

pub mod archive;
pub mod damage;
pub mod memory;

/// Beside the target, whose working directory may be any.
pub fn golden(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../apikey-core/golden").join(name)
}
