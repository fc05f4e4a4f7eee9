//! Stored bytes of released versions, in `apikey-core/golden/`: what a test writes must be what is there.
//!
//! A new file is made by its test under `APIKEY_MAKE_GOLDEN=1`. One that is there is never written again.

use std::fs;
use std::path::Path;

/// Holds bytes against the file of this name.
pub(crate) fn check(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    if !path.exists() && std::env::var_os("APIKEY_MAKE_GOLDEN").is_some() {
        fs::write(&path, bytes).unwrap();
    }
    let held = fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}; APIKEY_MAKE_GOLDEN=1 makes it"));
    assert!(held == bytes, "{name} has other bytes: the stored format has changed");
}
