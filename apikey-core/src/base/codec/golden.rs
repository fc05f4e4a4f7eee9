//! The stored bytes of released versions, in `apikey-core/golden/`. A test must write the same bytes.
//!
//! With `APIKEY_MAKE_GOLDEN=1` a test creates its missing files. It never overwrites an existing one.

use std::fs;
use std::path::Path;

/// Compares bytes with the file of this name.
pub(crate) fn check(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    if !path.exists() && std::env::var_os("APIKEY_MAKE_GOLDEN").is_some() {
        fs::write(&path, bytes).unwrap();
    }
    let held = fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}; APIKEY_MAKE_GOLDEN=1 makes it"));
    assert!(held == bytes, "{name} has other bytes: the stored format has changed");
}
