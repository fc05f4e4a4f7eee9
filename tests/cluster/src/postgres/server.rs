use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use apikey_testkit::free_port;
use tempfile::TempDir;

use super::programs::{pooler, program, program_on, user};
use crate::Host;
use crate::processes::{run, signal};

/// How long a server has to start, on a machine that does much else.
const START: Duration = Duration::from_secs(60);

/// The library between a server and its disk, and the file that says that the disk is full.
const DISK: &str = "full_disk.so";
const FULL: &str = "full";

/// What is special about a server.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServerConfig<'a> {
    /// Lines for `postgresql.conf`.
    pub settings: &'a str,
    /// Instead of lines for `pg_hba.conf` that let everybody in from the loopback interface.
    pub access: Option<&'a str>,
    /// Whether to write to the disk what is to be there, as benches want.
    pub durable: bool,
    /// Whether a test can fill its disk. It takes a C compiler.
    pub disk_can_fill: bool,
    /// Whether it has a process group of its own, so that Ctrl-C at a terminal leaves it to who started it.
    pub apart: bool,
    /// Where it runs; else on the loopback interface.
    pub host: Option<&'a Host>,
}

/// The files of a server, as they were at one moment.
#[derive(Debug)]
pub struct Backup(TempDir, Host);

/// A server that ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    directory: TempDir,
    host: Host,
    port: u16,
    process: Child,
}

impl Server {
    /// Starts a server with the superuser `postgres` and the database `postgres`.
    #[must_use]
    pub fn start(config: ServerConfig<'_>) -> Self {
        let directory = directory();
        let data = directory.path().join("data");
        run(program("initdb").args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8"]).arg(&data));
        let host = config.host.cloned().unwrap_or_default();
        let durable = if config.durable { "" } else { "fsync = off\nfull_page_writes = off\n" };
        append(
            &data.join("postgresql.conf"),
            &format!(
                "unix_socket_directories = ''\nmax_connections = 200\n\
                 shared_buffers = 32MB\nmax_wal_size = 256MB\nlogging_collector = off\nautovacuum_naptime = 10s\n{durable}{}\n",
                config.settings
            ),
        );
        if let Some(access) = config.access {
            std::fs::write(data.join("pg_hba.conf"), access).unwrap();
        } else if config.host.is_some() {
            // From its neighbours, too.
            let access = "host all all samenet trust\nhost replication all samenet trust\n";
            std::fs::write(data.join("pg_hba.conf"), access).unwrap();
        }
        if config.disk_can_fill {
            put_before_disk(directory.path());
        }
        Self::spawn(directory, host, None, config.apart)
    }

    /// Starts a server whose every commit waits for a standby, and that standby.
    #[must_use]
    pub fn start_with_standby(config: ServerConfig<'_>) -> (Self, Self) {
        let primary = Self::start(config);
        let standby = primary.add_standby(&primary.host);
        primary.wait_for_standbys();
        (primary, standby)
    }

    /// Starts a standby that follows this server.
    #[must_use]
    pub fn add_standby(&self, host: &Host) -> Self {
        let directory = self.copy(&["--write-recovery-conf"]);
        append(
            &directory.path().join("data/postgresql.auto.conf"),
            &format!("primary_conninfo = '{}'\n", self.connection_as("standby")),
        );
        Self::spawn(directory, host.clone(), None, false)
    }

    /// Copies its files while it runs, as a backup does.
    #[must_use]
    pub fn backup(&self) -> Backup {
        Backup(self.copy(&[]), self.host.clone())
    }

    /// Starts a server that has what a backup has, where the one that it is of was.
    #[must_use]
    pub fn of_backup(backup: Backup) -> Self {
        Self::spawn(backup.0, backup.1, None, false)
    }

    fn connection_as(&self, name: &str) -> String {
        format!("host={} port={} user=postgres application_name={name}", self.host.address(), self.port)
    }

    fn copy(&self, arguments: &[&str]) -> TempDir {
        let directory = directory();
        // Under another name than that of a standby: no commit may count what is only a copy yet.
        run(program("pg_basebackup")
            .args(["--no-sync", "--checkpoint=fast", "--wal-method=stream"])
            .args(arguments)
            .args(["--dbname", &self.connection_as("copy")])
            .arg("--pgdata")
            .arg(directory.path().join("data")));
        if self.directory.path().join(DISK).exists() {
            put_before_disk(directory.path());
        }
        directory
    }

    /// Lets every commit wait for a standby from now on, once there is one that follows.
    pub fn wait_for_standbys(&self) {
        self.sql("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (standby)'");
        self.sql("SELECT pg_reload_conf()");
        let waits = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'";
        let end = Instant::now() + START;
        while self.sql(waits) != "1" {
            assert!(Instant::now() < end, "the standby does not follow");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn spawn(directory: TempDir, host: Host, port: Option<u16>, apart: bool) -> Self {
        let (port, process) = launch(directory.path(), &host, port, apart);
        Self { directory, host, port, process }
    }

    /// Its port on the loopback interface.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How its superuser connects, without TLS.
    #[must_use]
    pub fn connection(&self) -> String {
        let host = self.host.address();
        format!("host={host} port={} user=postgres dbname=postgres sslmode=disable", self.port)
    }

    /// The directory of its data.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        log_of(self.directory.path())
    }

    /// Runs statements as the superuser, and returns their values as text.
    pub fn sql(&self, sql: &str) -> String {
        self.sql_from("postgres", &["-c", sql])
    }

    fn is_primary(&self) -> bool {
        self.can_run("DO $$ BEGIN ASSERT NOT pg_is_in_recovery(); END $$")
    }

    /// Whether the superuser can run statements.
    #[must_use]
    pub fn can_run(&self, sql: &str) -> bool {
        let connection = self.connection();
        Command::new("psql")
            .args(["-X", "-q", "-c", sql, &connection])
            .output()
            .is_ok_and(|output| output.status.success())
    }

    /// Runs psql as this user.
    pub fn sql_from(&self, user: &str, arguments: &[&str]) -> String {
        let output = run(Command::new("psql")
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                self.host.address(),
                "-d",
                "postgres",
                "-U",
                user,
                "-p",
            ])
            .arg(self.port.to_string())
            .args(arguments));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Writes a file that only the server can read, and returns its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        give(&path);
        path
    }

    /// Fills its disk: no file of a table or of the write-ahead log grows.
    pub fn fill_disk(&self) {
        self.write(FULL, "");
    }

    /// Makes room on its disk.
    pub fn free_disk(&self) {
        std::fs::remove_file(self.directory.path().join(FULL)).unwrap();
    }

    /// Whether it runs: it ends by itself where its write-ahead log has no room.
    pub fn runs(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Stops all its processes where they are, as if its machine stood still.
    pub fn pause(&self) {
        let own = self.process.id();
        // It first, so that it starts no other meanwhile.
        signal(own, "STOP");
        self.children().iter().for_each(|child| signal(*child, "STOP"));
    }

    /// Lets them go on.
    pub fn resume(&self) {
        self.children().iter().for_each(|child| signal(*child, "CONT"));
        signal(self.process.id(), "CONT");
    }

    /// Kills all its processes, none of which can do anything before.
    pub fn kill(&mut self) {
        self.pause();
        let children = self.children();
        signal(self.process.id(), "KILL");
        children.iter().for_each(|child| signal(*child, "KILL"));
        let _ = self.process.wait();
        // It does not start again before the last of them is gone.
        let end = Instant::now() + START;
        while children.iter().any(|child| is_running(*child)) {
            assert!(Instant::now() < end, "a process of PostgreSQL outlives a kill");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts it again where it was killed or ended, on a port or on a free one.
    pub fn start_again(&mut self, port: Option<u16>) {
        (self.port, self.process) = launch(self.directory.path(), &self.host, port, false);
    }

    /// Ends it at once, as a power cut would.
    pub fn end(&mut self) {
        if self.runs() {
            self.resume();
            // An immediate shutdown: its children end with it.
            signal(self.process.id(), "QUIT");
            let _ = self.process.wait();
        }
    }

    /// Ends it and starts it again, on the same port.
    #[must_use]
    pub fn restart(mut self) -> Self {
        self.end();
        // What is dropped with this has nothing in it.
        let directory = std::mem::replace(&mut self.directory, directory());
        Self::spawn(directory, self.host.clone(), Some(self.port), false)
    }

    /// Has a standby follow a server, which may be at another port than before.
    pub fn follow(&self, primary: &Self) {
        let from = primary.connection_as("standby");
        self.keep_trying(|| self.can_run(&format!("ALTER SYSTEM SET primary_conninfo = '{from}'")));
        self.keep_trying(|| self.can_run("SELECT pg_reload_conf()"));
    }

    /// A standby may end any query that is in the way of what it gets from the primary.
    fn keep_trying(&self, done: impl Fn() -> bool) {
        let end = Instant::now() + START;
        while !done() {
            assert!(Instant::now() < end, "the standby ends every query:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        self.keep_trying(|| self.can_run("SELECT pg_promote(true, 60)") || self.is_primary());
        self.keep_trying(|| self.is_primary());
    }

    /// Starts PgBouncer before this server; `mode` is `transaction` or `session`.
    #[must_use]
    pub fn pooler(&self, mode: &str, pool_size: u32) -> Pooler {
        let port = free_port();
        let settings = format!(
            "[databases]\npostgres = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\ndefault_pool_size = {pool_size}\n",
            self.port
        );
        let file = self.write(&format!("pgbouncer-{port}.ini"), &settings);
        let process = pooler().arg("-q").arg(file).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pooler = Pooler { port, process };
        let end = Instant::now() + START;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(Instant::now() < end, "PgBouncer does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        pooler
    }

    fn children(&self) -> Vec<u32> {
        let own = self.process.id().to_string();
        let children = Command::new("ps").args(["-o", "pid=", "--ppid", &own]).output().unwrap();
        String::from_utf8_lossy(&children.stdout).split_whitespace().map(|child| child.parse().unwrap()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts the server of a directory, and returns its port and its process.
fn launch(directory: &Path, host: &Host, port: Option<u16>, apart: bool) -> (u16, Child) {
    let data = directory.join("data");
    for _ in 0..5 {
        let port = port.unwrap_or_else(|| host.port());
        let log = std::fs::File::options().create(true).append(true).open(directory.join("log")).unwrap();
        let mut command = program_on(host, "postgres");
        if apart {
            command.process_group(0);
        }
        if directory.join(DISK).exists() {
            command.env("LD_PRELOAD", directory.join(DISK)).env("APIKEY_FULL_DISK", directory.join(FULL));
        }
        let mut process = command
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", &format!("listen_addresses={}", host.address())])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let end = Instant::now() + START;
        while process.try_wait().unwrap().is_none() {
            if accepts(host, port) {
                return (port, process);
            }
            assert!(Instant::now() < end, "PostgreSQL does not start:\n{}", log_of(directory));
            std::thread::sleep(Duration::from_millis(10));
        }
        // Another program has taken the port since, if it is not worse.
    }
    panic!("PostgreSQL does not start:\n{}", log_of(directory));
}

/// A pooler that ends when this is dropped.
#[derive(Debug)]
pub struct Pooler {
    port: u16,
    process: Child,
}

impl Pooler {
    /// How to connect through it.
    #[must_use]
    pub fn connection(&self) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname=postgres sslmode=disable", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Builds the library between a server and its disk.
fn put_before_disk(directory: &Path) {
    let library = directory.join(DISK);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/postgres/full_disk.c");
    run(Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .args([&library, &source])
        .arg("-ldl"));
    give(&library);
}

fn directory() -> TempDir {
    let directory = tempfile::Builder::new().prefix("apikey-postgres-").tempdir().unwrap();
    give(directory.path());
    directory
}

/// Gives a file to whom PostgreSQL runs as.
fn give(path: &Path) {
    if let Some((user, group)) = user() {
        chown(path, Some(user), Some(group)).unwrap();
    }
}

fn append(path: &Path, text: &str) {
    let before = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, before + "\n" + text).unwrap();
}

fn log_of(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("log")).unwrap_or_default()
}

/// Whether a server answers, by whatever it thinks of the user.
fn accepts(host: &Host, port: u16) -> bool {
    let mut ready = program("pg_isready");
    ready.args(["-q", "-h", host.address(), "-p", &port.to_string()]).status().is_ok_and(|status| status.success())
}

/// Whether a process is there that has not ended.
fn is_running(process: u32) -> bool {
    let state = Command::new("ps").args(["-o", "stat=", "-p", &process.to_string()]).output().unwrap();
    let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}
