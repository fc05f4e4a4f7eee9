use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use apikey_testkit::free_port;

use crate::Host;
use crate::processes::{install, run, signal};

/// A member, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    host: Host,
    /// Where it has its data and its log.
    directory: PathBuf,
    pub(super) client_port: u16,
    peer_port: u16,
    is_encrypted: bool,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl Member {
    /// A member that is not started yet.
    pub(super) fn new(name: String, host: &Host, directory: &Path, is_encrypted: bool, arguments: &[String]) -> Self {
        Self {
            directory: directory.join(&name),
            name,
            host: host.clone(),
            client_port: free_port(),
            peer_port: free_port(),
            is_encrypted,
            arguments: arguments.to_vec(),
            process: None,
        }
    }

    /// How clients reach it.
    pub(super) fn endpoint(&self) -> String {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.host.address(), self.client_port)
    }

    /// How the other members reach it.
    pub(super) fn peer(&self) -> String {
        format!("http://{}:{}", self.host.address(), self.peer_port)
    }

    /// Starts it, for the first time with these members, or again. `state` is `new` or `existing`.
    pub(super) fn spawn(&mut self, cluster: &str, state: &str) {
        std::fs::create_dir_all(&self.directory).unwrap();
        let log = File::options().create(true).append(true).open(self.directory.join("log")).unwrap();
        let (endpoint, peer) = (self.endpoint(), self.peer());
        let mut command = self.host.run(Command::new(program("etcd")));
        command
            .args(["--name", &self.name, "--initial-cluster", cluster, "--initial-cluster-state", state])
            .arg("--data-dir")
            .arg(self.directory.join("data"))
            .args(["--listen-client-urls", &endpoint, "--advertise-client-urls", &endpoint])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            // Of the loopback interface; and tests wait for elections.
            .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
            .args(["--logger", "zap", "--log-level", "warn"])
            .args(&self.arguments)
            // A signal to the tests, as by Ctrl-C, is for who started them.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.process = Some(command.spawn().unwrap());
    }

    /// Puts what a snapshot has in the place of its data, while it does not run.
    pub(super) fn restore(&self, cluster: &str, snapshot: &Path) {
        let data = self.directory.join("data");
        std::fs::remove_dir_all(&data).unwrap();
        let mut command = Command::new(program("etcdctl"));
        command.env("ETCDCTL_API", "3").args([
            "snapshot",
            "restore",
            "--name",
            &self.name,
            "--initial-cluster",
            cluster,
        ]);
        command.args(["--initial-advertise-peer-urls", &self.peer()]);
        run(command.arg("--data-dir").arg(data).arg(snapshot));
    }

    /// Whether it runs, as far as is known.
    pub(super) fn runs(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }

    /// Its process, if it was started and has not been ended.
    pub(super) fn process(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    pub(super) fn signal(&self, name: &str) {
        if let Some(process) = self.process() {
            signal(process, name);
        }
    }

    /// Ends it at once, as a power cut would.
    pub(super) fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            // One that is stopped ends, too.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.end();
    }
}

/// A program of etcd's.
pub(super) fn program(name: &str) -> PathBuf {
    let find = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|directory| directory.join(name)).find(|program| program.exists())
    };
    find()
        .or_else(|| {
            install("etcd");
            find()
        })
        .unwrap_or_else(|| panic!("{name} is not installed: run tests/install etcd"))
}
