//! Servers that all processes of a test run share, each test with a namespace of its own.
//!
//! A process of its own keeps them, and ends them when no test has used them for a while. A test holds a lock on a file for
//! that as long as its process lives, so nothing stays behind whose end was not a good one.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the servers stay when no test uses them.
const IDLE: Duration = Duration::from_secs(3);

/// Servers that are kept as long as this lives.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Where they are.
    pub(crate) place: String,
    _used: File,
}

/// The files by which the tests and the program that has the servers know of each other.
struct Files(PathBuf);

impl Files {
    fn open(&self, name: &str) -> File {
        File::options().create(true).truncate(false).read(true).write(true).open(self.0.join(name)).unwrap()
    }

    /// Where the servers are, once they can be used.
    fn ready(&self) -> PathBuf {
        self.0.join("ready")
    }
}

impl Kept {
    /// The servers of this run; they are started if they are not there. `program` keeps them: it is given the name of the
    /// engine and a directory, and calls [`keep`]. `directory` is one of this build.
    #[expect(clippy::zombie_processes, reason = "the program outlives this process")]
    pub(crate) fn start(program: &str, engine: &str, directory: &str) -> Self {
        let files = Files(Path::new(directory).join(engine));
        std::fs::create_dir_all(&files.0).unwrap();
        let used = files.open("used");
        used.lock_shared().unwrap();
        let starting = files.open("starting");
        starting.lock().unwrap();
        let alive = files.open("alive");
        if alive.try_lock().is_ok() {
            alive.unlock().unwrap();
            let _ = std::fs::remove_file(files.ready());
            let log = files.open("log");
            log.set_len(0).unwrap();
            let mut command = Command::new(program);
            command.arg(engine).arg(&files.0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
            let mut process = command.spawn().unwrap();
            let end = Instant::now() + Duration::from_secs(120);
            while !files.ready().exists() {
                let log = || std::fs::read_to_string(files.0.join("log")).unwrap_or_default();
                assert!(process.try_wait().unwrap().is_none(), "the servers do not start:\n{}", log());
                assert!(Instant::now() < end, "the servers do not start:\n{}", log());
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let place = std::fs::read_to_string(files.ready()).unwrap();
        Self { place, _used: used }
    }
}

/// Keeps servers until nobody uses them. `start` starts them, and says where they are.
pub(crate) fn keep<S>(directory: &Path, start: impl FnOnce() -> (S, String)) {
    let files = Files(directory.to_owned());
    let alive = files.open("alive");
    alive.lock().unwrap();
    let (servers, place) = start();
    let ready = files.0.join("ready.new");
    std::fs::write(&ready, place).unwrap();
    std::fs::rename(ready, files.ready()).unwrap();
    let used = files.open("used");
    let mut idle_since = None;
    loop {
        std::thread::sleep(Duration::from_millis(200));
        if used.try_lock().is_err() {
            idle_since = None;
            continue;
        }
        // A test that begins now waits until this lock is released.
        if idle_since.get_or_insert_with(Instant::now).elapsed() >= IDLE {
            std::fs::remove_file(files.ready()).unwrap();
            drop(servers);
            alive.unlock().unwrap();
            return;
        }
        used.unlock().unwrap();
    }
}
