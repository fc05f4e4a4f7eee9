//! A sink that is a directory with a file for each key.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::base::wiped;
use crate::key::key_info::KeyInfo;
use crate::rotation::sink::{Delivery, SecretSink, SinkError, SinkState};
use crate::token::api_key::ApiKey;

/// The most bytes to read of a file: more than any token has.
const MAX_FILE: usize = 8192;

type Name = Arc<dyn Fn(&KeyInfo) -> String + Send + Sync>;

/// Writes each secret into a file of its own, named by the key's id: the token and a line end, readable by its user
/// alone (mode 0600). That is the form of systemd credentials and of Docker's and Kubernetes' secret mounts;
/// [`dotenv`](Self::dotenv) makes it a line of a `.env` file. A client reads it with `ClientKey::from_file`.
///
/// The sink writes a secret to a new file beside (`O_EXCL`), syncs it, renames it over the old file, and syncs the
/// directory. So a reader always gets the old secret or the new one, whole, and both are valid. The sink follows no
/// symbolic link: it refuses a directory that is one, and replaces a file that is one. It creates the directory with
/// mode 0700 if it is missing; the parent must exist.
#[derive(Clone)]
pub struct DirectorySink {
    path: PathBuf,
    name: Option<Name>,
    variable: Option<String>,
}

impl DirectorySink {
    /// Creates a sink that writes its files into this directory.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), name: None, variable: None }
    }

    /// Sets a closure that names the files, instead of the keys' ids. Two keys must not have the same name: the second
    /// would overwrite the file of the first.
    ///
    /// ```
    /// use apikey::sink::DirectorySink;
    ///
    /// let sink = DirectorySink::new("/run/shop").name(|key| key.name().unwrap_or("unnamed").to_owned());
    /// ```
    #[must_use]
    pub fn name(mut self, name: impl Fn(&KeyInfo) -> String + Send + Sync + 'static) -> Self {
        self.name = Some(Arc::new(name));
        self
    }

    /// Writes `VARIABLE=token` and a line end, the form of a `.env` file.
    #[must_use]
    pub fn dotenv(mut self, variable: impl Into<String>) -> Self {
        self.variable = Some(variable.into());
        self
    }

    /// Returns the path of a key's file.
    ///
    /// # Errors
    /// [`SinkError::Name`] if the name is not allowed for a file.
    pub fn path_of(&self, info: &KeyInfo) -> Result<PathBuf, SinkError> {
        Ok(self.path.join(self.name_of(info)?))
    }

    fn name_of(&self, info: &KeyInfo) -> Result<String, SinkError> {
        let name = self.name.as_ref().map_or_else(|| info.id().to_string(), |name| name(info));
        // A dot begins the names of files that are being written.
        let fits = (1..=200).contains(&name.len()) && !name.starts_with('.');
        if fits && !name.chars().any(|char| char == '/' || char.is_control()) {
            return Ok(name);
        }
        let allowed = "1 to 200 bytes without `/` and control characters, not beginning with a dot";
        Err(SinkError::Name { of: "file", name, allowed })
    }

    /// The text before the token.
    fn variable_text(&self) -> Result<String, SinkError> {
        let Some(name) = &self.variable else { return Ok(String::new()) };
        let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if letters && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit()) {
            return Ok(format!("{name}="));
        }
        let allowed = "ASCII letters, digits and `_`, not beginning with a digit";
        Err(SinkError::Name { of: "variable", name: name.clone(), allowed })
    }

    fn directory(&self) -> io::Result<File> {
        let open = || Ok(File::from(rustix::fs::open(&self.path, directory_flags(), Mode::empty())?));
        match open() {
            Err(error) if io::Error::kind(&error) == ErrorKind::NotFound => {
                match DirBuilder::new().mode(0o700).create(&self.path) {
                    Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                    _ => {}
                }
                if let Some(parent) = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                    File::open(parent)?.sync_all()?;
                }
                open()
            }
            opened => opened,
        }
    }
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Replaces a file as [`files::replace`](crate::base::files::replace) does, relative to a directory that is open:
/// nobody can put a link in the directory's place meanwhile.
fn replace(directory: &File, name: &OsStr, content: &[u8]) -> io::Result<()> {
    let beside = [b".", name.as_bytes(), b".new"].concat();
    let beside = Path::new(OsStr::from_bytes(&beside));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let create = || openat(directory, beside, flags, Mode::RUSR | Mode::WUSR);
    let file = match create() {
        // A process died while it wrote, or somebody has put a link there.
        Err(Errno::EXIST) => {
            unlinkat(directory, beside, AtFlags::empty())?;
            create()?
        }
        other => other?,
    };
    let mut file = File::from(file);
    let written = file.write_all(content).and_then(|()| file.sync_all());
    let renamed = written.and_then(|()| Ok(renameat(directory, beside, directory, name)?));
    if renamed.is_err() {
        // The caller gets the first error.
        let _ = unlinkat(directory, beside, AtFlags::empty());
    }
    renamed?;
    // And not `fsync`, which on Apple's systems leaves the disk's own cache behind.
    directory.sync_all()
}

fn read(directory: &File, name: &OsStr) -> io::Result<Option<Zeroizing<String>>> {
    // A pipe in the file's place must not block the rotator.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(directory, name, flags, Mode::empty()) {
        // A link in the file's place is not a file of this sink.
        Err(Errno::NOENT | Errno::LOOP) => return Ok(None),
        other => File::from(other?),
    };
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let text = wiped::read(file, MAX_FILE)?;
    Ok(std::str::from_utf8(&text).ok().map(|text| Zeroizing::new(text.to_owned())))
}

impl SecretSink for DirectorySink {
    fn deliver(&self, delivery: &Delivery<'_>) -> Result<(), SinkError> {
        let name = self.name_of(delivery.info())?;
        let before = self.variable_text()?;
        let content = Zeroizing::new([before.as_str(), delivery.key().expose_secret(), "\n"].concat());
        let directory = self.directory().map_err(SinkError::io(&self.path))?;
        replace(&directory, OsStr::new(&name), content.as_bytes()).map_err(SinkError::io(self.path.join(&name)))
    }

    fn current(&self, info: &KeyInfo) -> Result<SinkState, SinkError> {
        let name = self.name_of(info)?;
        let before = self.variable_text()?;
        let directory = match rustix::fs::open(&self.path, directory_flags(), Mode::empty()) {
            Err(Errno::NOENT) => return Ok(SinkState::Nothing),
            other => File::from(other.map_err(|error| SinkError::io(&self.path)(error.into()))?),
        };
        let text = read(&directory, OsStr::new(&name)).map_err(SinkError::io(self.path.join(&name)))?;
        let token = text.as_ref().and_then(|text| text.strip_suffix('\n').unwrap_or(text).strip_prefix(&before));
        Ok(token.map_or(SinkState::Nothing, |token| SinkState::Token(ApiKey::new(Zeroizing::new(token.to_owned())))))
    }
}

impl fmt::Debug for DirectorySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectorySink")
            .field("path", &self.path)
            .field("variable", &self.variable)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;
    use crate::{CreatedKey, KeyStore, NewKey, Overlap};

    struct Place {
        root: tempfile::TempDir,
        store: KeyStore,
        created: CreatedKey,
    }

    impl Place {
        fn new() -> Self {
            let store = KeyStore::temporary().unwrap();
            let created = store.create(NewKey::for_owner("alice").name("ci")).unwrap();
            Self { root: tempfile::tempdir().unwrap(), store, created }
        }

        fn directory(&self) -> PathBuf {
            self.root.path().join("secrets")
        }

        fn file(&self) -> PathBuf {
            self.directory().join(self.created.info.id().to_string())
        }

        fn sink(&self) -> DirectorySink {
            DirectorySink::new(self.directory())
        }

        fn token(&self) -> &str {
            self.created.key.expose_secret()
        }

        fn deliver(&self, sink: &DirectorySink) -> Result<(), SinkError> {
            sink.deliver(&Delivery::of(&self.created))
        }

        /// Returns the secret that the sink reports.
        fn held(&self, sink: &DirectorySink) -> Option<String> {
            match sink.current(&self.created.info).unwrap() {
                SinkState::Token(token) => Some(token.expose_secret().to_owned()),
                SinkState::Nothing => None,
                SinkState::Unknown => panic!("a directory knows what it holds"),
            }
        }

        fn entries(&self) -> usize {
            fs::read_dir(self.directory()).unwrap().count()
        }
    }

    #[test]
    fn a_secret_is_a_line_that_its_user_alone_can_read() {
        let place = Place::new();
        assert_eq!(place.held(&place.sink()), None);
        place.deliver(&place.sink()).unwrap();
        assert_eq!(fs::read_to_string(place.file()).unwrap(), format!("{}\n", place.token()));
        assert_eq!(fs::metadata(place.file()).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::metadata(place.directory()).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(place.held(&place.sink()).as_deref(), Some(place.token()));
        assert_eq!(place.entries(), 1);
    }

    #[test]
    fn a_file_that_is_there_is_replaced_and_not_written_into() {
        let place = Place::new();
        fs::create_dir(place.directory()).unwrap();
        fs::write(place.file(), "older and longer than any token ".repeat(9)).unwrap();
        fs::set_permissions(place.file(), fs::Permissions::from_mode(0o644)).unwrap();
        // A reader that has the old file open goes on reading the old secret, whole.
        let mut reader = File::open(place.file()).unwrap();
        place.deliver(&place.sink()).unwrap();
        let mut old = String::new();
        reader.read_to_string(&mut old).unwrap();
        assert!(old.starts_with("older") && old.len() == 9 * 32);
        assert_eq!(fs::metadata(place.file()).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(place.held(&place.sink()).as_deref(), Some(place.token()));
    }

    #[test]
    fn no_link_is_followed() {
        let place = Place::new();
        let elsewhere = place.root.path().join("elsewhere");
        fs::write(&elsewhere, "precious").unwrap();
        fs::create_dir(place.directory()).unwrap();
        symlink(&elsewhere, place.file()).unwrap();
        assert_eq!(place.held(&place.sink()), None);
        let beside = place.directory().join(format!(".{}.new", place.created.info.id()));
        symlink(&elsewhere, &beside).unwrap();
        place.deliver(&place.sink()).unwrap();
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "precious");
        assert!(fs::symlink_metadata(place.file()).unwrap().is_file());
        assert_eq!(place.entries(), 1);
        // The directory itself.
        let link = place.root.path().join("link");
        symlink(place.directory(), &link).unwrap();
        let through = DirectorySink::new(&link);
        assert!(matches!(place.deliver(&through), Err(SinkError::Io { .. })));
        assert!(through.current(&place.created.info).is_err());
        // A link to nowhere is not made real.
        let nowhere = place.root.path().join("nowhere");
        let link = place.root.path().join("dangling");
        symlink(&nowhere, &link).unwrap();
        assert!(place.deliver(&DirectorySink::new(&link)).is_err());
        assert!(!nowhere.exists());
    }

    #[test]
    fn a_death_in_the_middle_leaves_the_old_secret_or_the_new_one() {
        let place = Place::new();
        place.deliver(&place.sink()).unwrap();
        // As a process leaves it that was killed before the rename, at any length.
        let beside = place.directory().join(format!(".{}.new", place.created.info.id()));
        let next = place.store.rotate(place.created.info.id(), Overlap::UntilFirstUse).unwrap();
        for length in [0, 1, 30, next.key.expose_secret().len()] {
            fs::write(&beside, &next.key.expose_secret()[..length]).unwrap();
            assert_eq!(place.held(&place.sink()).as_deref(), Some(place.token()));
        }
        place.sink().deliver(&Delivery::of(&next)).unwrap();
        assert_eq!(place.held(&place.sink()).as_deref(), Some(next.key.expose_secret()));
        assert_eq!(place.entries(), 1, "what was left is gone");
    }

    #[test]
    fn a_delivery_that_cannot_be_leaves_no_secret_lying_about() {
        let place = Place::new();
        fs::create_dir_all(place.file().join("in the way")).unwrap();
        let error = place.deliver(&place.sink()).unwrap_err();
        assert!(error.to_string().starts_with(&place.file().display().to_string()), "{error}");
        assert!(!error.to_string().contains(place.token()));
        assert_eq!(place.entries(), 1);
        assert_eq!(place.held(&place.sink()), None);
    }

    #[test]
    fn other_names_and_the_form_of_an_environment_file() {
        let place = Place::new();
        let sink = place.sink().name(|info| info.name().unwrap_or_default().to_owned()).dotenv("SHOP_KEY");
        place.deliver(&sink).unwrap();
        let file = sink.path_of(&place.created.info).unwrap();
        assert_eq!(file, place.directory().join("ci"));
        assert_eq!(fs::read_to_string(file).unwrap(), format!("SHOP_KEY={}\n", place.token()));
        assert_eq!(place.held(&sink).as_deref(), Some(place.token()));
        // The sink does not report a file in another form than its own.
        fs::write(place.directory().join("ci"), place.token()).unwrap();
        assert_eq!(place.held(&sink), None);
        for name in ["", ".", "..", ".hidden", "a/b", "/etc/x", "a\nb", &"x".repeat(201)] {
            let owned = name.to_owned();
            let error = place.deliver(&place.sink().name(move |_| owned.clone())).unwrap_err();
            assert!(matches!(error, SinkError::Name { of: "file", .. }), "{name:?} {error}");
        }
        for variable in ["", "1A", "A B", "A=B", "Ä", "A\n"] {
            let error = place.deliver(&place.sink().dotenv(variable)).unwrap_err();
            assert!(matches!(error, SinkError::Name { of: "variable", .. }), "{variable:?} {error}");
        }
    }
}
