use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

/// The text files of a repository, by path from its root: read from disk, or planted by a test.
#[derive(Debug, Clone, Default)]
pub struct Files {
    texts: BTreeMap<String, String>,
    /// Paths of files that are not read, such as pictures.
    others: BTreeSet<String>,
}

/// Folders that hold no text of ours: what is built, and bytes that tests compare with.
const SKIPPED_FOLDERS: &[&str] = &["target", "golden", "corpus", "artifacts", "advisories", "node_modules"];
/// Hidden folders that do.
const HIDDEN_FOLDERS: &[&str] = &[".ci", ".config", ".github"];
/// Files without an extension are scripts, and are read as well.
const EXTENSIONS: &[&str] = &["c", "css", "fish", "html", "js", "md", "py", "rs", "sh", "toml", "yaml", "yml"];

impl Files {
    /// Reads the repository whose root this is.
    ///
    /// # Errors
    /// If a folder or file cannot be read.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut files = Self::default();
        files.read_folder(root, "")?;
        Ok(files)
    }

    /// This repository, wherever its checkout is.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn of_this_repository() -> io::Result<Self> {
        Self::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() {
                let hidden = name.starts_with('.') && !HIDDEN_FOLDERS.contains(&name.as_str());
                if !hidden && !SKIPPED_FOLDERS.contains(&name.as_str()) {
                    self.read_folder(&entry.path(), &format!("{path}/"))?;
                }
            } else if kind.is_file() && !is_text(&name) {
                self.others.insert(path);
            } else if kind.is_file() {
                // A script's neighbour without an extension may be a program.
                match fs::read_to_string(entry.path()) {
                    Ok(text) => drop(self.texts.insert(path, text)),
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    pub(crate) fn get(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Rust files below a folder.
    pub(crate) fn rust_below(&self, folder: &str) -> impl Iterator<Item = (&str, &str)> {
        let prefix = format!("{folder}/");
        self.iter().filter(move |(path, _)| path.starts_with(&prefix) && path.ends_with(".rs"))
    }

    /// Whether this path leads into a folder that is not read.
    pub(crate) fn skips(path: &str) -> bool {
        path.split('/').any(|part| SKIPPED_FOLDERS.contains(&part))
    }

    /// Whether a `Cargo.toml` defines a package of this name.
    pub(crate) fn has_package(&self, name: &str) -> bool {
        let line = format!("name = \"{name}\"");
        let manifests = self.iter().filter(|(path, _)| path.rsplit('/').next() == Some("Cargo.toml"));
        manifests
            .filter_map(|(_, text)| text.split_once("[package]"))
            .any(|(_, package)| package.lines().take_while(|line| !line.starts_with('[')).any(|found| found == line))
    }

    /// Whether this names a file, or a folder that holds one.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.texts.contains_key(path)
            || self.others.contains(path)
            || self.texts.keys().any(|file| file.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
    }
}

impl<P: Into<String>, T: Into<String>> FromIterator<(P, T)> for Files {
    fn from_iter<I: IntoIterator<Item = (P, T)>>(files: I) -> Self {
        let texts = files.into_iter().map(|(path, text)| (path.into(), text.into())).collect();
        Self { texts, others: BTreeSet::new() }
    }
}

fn is_text(name: &str) -> bool {
    match name.rsplit_once('.') {
        Some(("", _)) => false,
        Some((_, extension)) => EXTENSIONS.contains(&extension),
        None => !name.starts_with("LICENSE"),
    }
}
