//! Directories and what is in them.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Copies a directory with everything in it. The target may exist.
///
/// It skips a file that disappears meanwhile: the maintenance thread of an open store replaces snapshots.
pub fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &to.join(entry.file_name()));
        } else {
            // Not `fs::copy`: the crash tests' shim does not see copies that the kernel makes by itself.
            match fs::read(entry.path()) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                bytes => fs::write(to.join(entry.file_name()), bytes.unwrap()).unwrap(),
            }
        }
    }
}
