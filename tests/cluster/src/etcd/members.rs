use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::member::{Member, program};
use crate::processes::run;
use crate::{Authority, Host};

/// How long members have to start, on a machine that does much else.
const START: Duration = Duration::from_secs(60);
/// How long an alarm takes to come back.
const SETTLED: Duration = Duration::from_millis(300);

/// What is special about members.
#[derive(Debug, Clone, Copy)]
pub struct MembersConfig<'a> {
    /// How many there are.
    pub count: usize,
    /// Where each of them runs; else on the loopback interface.
    pub hosts: &'a [Host],
    /// Arguments of the program `etcd`.
    pub arguments: &'a [&'a str],
    /// The authority of their certificates, where they have TLS.
    pub authority: Option<&'a Authority>,
    /// Whether they ask for a certificate of the client.
    pub asks_for_certificate: bool,
}

impl Default for MembersConfig<'_> {
    fn default() -> Self {
        Self { count: 3, hosts: &[], arguments: &[], authority: None, asks_for_certificate: false }
    }
}

/// Members of one cluster, which end when this is dropped.
#[derive(Debug)]
pub struct Members {
    members: Vec<Member>,
    /// How `etcdctl` proves who it is, and whom it trusts.
    access: Vec<(&'static str, PathBuf)>,
    directory: TempDir,
}

impl Members {
    /// Starts them, and waits until they have a leader.
    #[must_use]
    pub fn start(config: MembersConfig<'_>) -> Self {
        for _ in 0..5 {
            if let Some(members) = Self::try_start(config) {
                return members;
            }
            // Another program has taken a port since, if it is not worse.
        }
        panic!("etcd does not start");
    }

    fn try_start(config: MembersConfig<'_>) -> Option<Self> {
        let directory = tempfile::Builder::new().prefix("apikey-etcd-").tempdir().unwrap();
        let mut arguments: Vec<String> = config.arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut access = Vec::new();
        if let Some(authority) = config.authority {
            let (certificate, key) = authority.issue("localhost");
            arguments.push(format!("--cert-file={}", certificate.display()));
            arguments.push(format!("--key-file={}", key.display()));
            access.push(("--cacert", authority.certificate()));
            if config.asks_for_certificate {
                arguments.push("--client-cert-auth".to_owned());
                arguments.push(format!("--trusted-ca-file={}", authority.certificate().display()));
                let (certificate, key) = authority.issue("root");
                access.extend([("--cert", certificate), ("--key", key)]);
            }
        }
        let is_encrypted = config.authority.is_some();
        let member = |number: usize| {
            let host = config.hosts.get(number).cloned().unwrap_or_default();
            Member::new(format!("m{number}"), &host, directory.path(), is_encrypted, &arguments)
        };
        let mut members = Self { members: (0..config.count).map(member).collect(), access, directory };
        let cluster = members.cluster();
        for member in &mut members.members {
            member.spawn(&cluster, "new");
        }
        members.are_ready().then_some(members)
    }

    /// The members as they know each other.
    fn cluster(&self) -> String {
        let members: Vec<_> = self.members.iter().map(|member| format!("{}={}", member.name, member.peer())).collect();
        members.join(",")
    }

    /// Waits until all answer. `false` if one has ended.
    fn are_ready(&mut self) -> bool {
        let end = Instant::now() + START;
        loop {
            if !self.members.iter_mut().all(Member::runs) {
                return false;
            }
            let mut health = self.command(&self.endpoints(), &["endpoint", "health"]);
            if health.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
                return true;
            }
            assert!(Instant::now() < end, "etcd does not start:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// How clients reach each member.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(Member::endpoint).collect()
    }

    /// How clients reach one member.
    #[must_use]
    pub fn endpoint(&self, member: usize) -> String {
        self.members[member].endpoint()
    }

    /// The processes of those that run.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        self.members.iter().filter_map(Member::process).collect()
    }

    /// What they have logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.members.iter().map(Member::log).collect()
    }

    /// A file in a directory that goes with them.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, endpoints: &[String], arguments: &[&str]) -> Command {
        // As their certificates call them.
        let endpoints = endpoints.join(",").replace("127.0.0.1", "localhost");
        let mut command = Command::new(program("etcdctl"));
        command.env("ETCDCTL_API", "3").args(["--endpoints", &endpoints, "--command-timeout=30s"]);
        for (name, path) in &self.access {
            command.arg(format!("{name}={}", path.display()));
        }
        command.args(arguments);
        command
    }

    /// Runs `etcdctl`, and returns what it says.
    pub fn control(&self, arguments: &[&str]) -> String {
        let output = run(&mut self.command(&self.endpoints(), arguments));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Makes users ask for passwords: `root` has the password `root`, and `user` may use the keys of `prefix`.
    pub fn enable_users(&self, user: &str, password: &str, prefix: &str) {
        self.control(&["user", "add", "root:root"]);
        self.control(&["user", "grant-role", "root", "root"]);
        self.add_user(user, password, prefix);
        self.control(&["auth", "enable"]);
    }

    fn add_user(&self, user: &str, password: &str, prefix: &str) {
        self.control(&["user", "add", &format!("{user}:{password}")]);
        self.control(&["role", "add", user]);
        self.control(&["role", "grant-permission", user, "--prefix=true", "readwrite", prefix]);
        self.control(&["user", "grant-role", user, user]);
    }

    /// The number of the member that leads; waits until there is one.
    #[must_use]
    pub fn leader(&self) -> usize {
        let end = Instant::now() + START;
        loop {
            for member in 0..self.members.len() {
                let endpoint = [self.endpoint(member)];
                let arguments = ["endpoint", "status", "-w", "fields", "--command-timeout=1s"];
                let output = self.command(&endpoint, &arguments).output().unwrap();
                let status = String::from_utf8_lossy(&output.stdout).into_owned();
                let field = |name: &str| {
                    let line = status.lines().find(|line| line.starts_with(&format!("\"{name}\" :")))?;
                    line.rsplit(' ').next().map(str::to_owned)
                };
                if field("MemberID").is_some() && field("MemberID") == field("Leader") {
                    return member;
                }
            }
            assert!(Instant::now() < end, "etcd has no leader:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops a member where it is, as if its machine stood still.
    pub fn pause(&self, member: usize) {
        self.members[member].signal("STOP");
    }

    /// Lets it go on.
    pub fn resume(&self, member: usize) {
        self.members[member].signal("CONT");
    }

    /// Ends a member at once, as a power cut would.
    pub fn end(&mut self, member: usize) {
        self.members[member].end();
    }

    /// Starts a member again, on the same ports.
    pub fn start_again(&mut self, member: usize) {
        let cluster = self.cluster();
        self.members[member].spawn(&cluster, "existing");
    }

    /// Makes another member the leader.
    pub fn move_leader(&self, to: usize) {
        let line = self.listed(to);
        let id = line.split(',').next().unwrap();
        // Only the leader does it.
        run(&mut self.command(&[self.endpoint(self.leader())], &["move-leader", id]));
    }

    /// Drops what is no longer current, and gives its space back.
    pub fn compact(&self) {
        let status = self.control(&["endpoint", "status", "-w", "fields"]);
        let revision = status.lines().find_map(|line| line.strip_prefix("\"Revision\" : ")).unwrap();
        // Another revision may have been compacted in the meantime, which is as well.
        let _ = self.command(&self.endpoints(), &["compact", revision]).output().unwrap();
        self.control(&["defrag"]);
    }

    /// Writes what has nothing to do with keys, until no member takes a write.
    pub fn fill(&self) {
        let value = self.write("filling", &"x".repeat(1 << 20));
        let end = Instant::now() + START;
        for number in 0.. {
            let mut put = self.command(&self.endpoints(), &["put", &format!("/filling/{number}")]);
            let output = put.stdin(File::open(&value).unwrap()).output().unwrap();
            if String::from_utf8_lossy(&output.stderr).contains("database space exceeded") {
                return;
            }
            assert!(Instant::now() < end, "etcd does not become full:\n{}", self.log());
        }
    }

    /// Makes room again, as an operator does.
    pub fn make_room(&self) {
        self.control(&["del", "--prefix", "/filling/"]);
        let end = Instant::now() + START;
        loop {
            // The member that tells the revision may lack the last one, and a member may still be about to raise the alarm for
            // what it refused before.
            self.compact();
            self.control(&["alarm", "disarm"]);
            std::thread::sleep(SETTLED);
            if self.control(&["alarm", "list"]).is_empty() {
                return;
            }
            assert!(Instant::now() < end, "the alarm of etcd comes back:\n{}", self.log());
        }
    }

    /// Writes what the members have now into a file, and returns its path.
    #[must_use]
    pub fn snapshot(&self) -> PathBuf {
        let path = self.directory.path().join("snapshot");
        // It is not written over.
        let _ = std::fs::remove_file(&path);
        run(self.command(&[self.endpoint(0)], &["snapshot", "save"]).arg(&path));
        path
    }

    /// Ends all members, and starts them with what a snapshot has.
    pub fn restore(&mut self, snapshot: &Path) {
        self.members.iter_mut().for_each(Member::end);
        let cluster = self.cluster();
        for member in &mut self.members {
            member.restore(&cluster, snapshot);
            member.spawn(&cluster, "existing");
        }
        self.wait();
    }

    /// Waits until every member answers.
    pub fn wait(&mut self) {
        assert!(self.are_ready(), "a member of etcd has ended:\n{}", self.log());
    }

    /// Waits until a member answers at all. With users, its health is a secret.
    pub fn wait_for(&self, member: usize) {
        let end = Instant::now() + START;
        while self
            .command(&[self.endpoint(member)], &["endpoint", "status"])
            .output()
            .is_ok_and(|output| output.stdout.is_empty())
        {
            assert!(Instant::now() < end, "member {member} does not answer:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Adds a member that only learns, and returns its number.
    pub fn add_learner(&mut self) -> usize {
        let number = self.members.len();
        let member = Member::new(format!("m{number}"), &Host::default(), self.directory.path(), false, &[]);
        self.control(&["member", "add", &member.name, "--learner", &format!("--peer-urls={}", member.peer())]);
        self.members.push(member);
        let cluster = self.cluster();
        self.members[number].spawn(&cluster, "existing");
        number
    }

    /// What the list of members says of one.
    fn listed(&self, member: usize) -> String {
        let list = self.control(&["member", "list"]);
        let name = &self.members[member].name;
        list.lines().find(|line| line.split(", ").nth(2) == Some(name)).expect("the member is listed").to_owned()
    }

    /// Removes a member from the cluster, which ends it.
    pub fn remove(&self, member: usize) {
        let line = self.listed(member);
        // Members refuse that until they have known each other for a while.
        let end = Instant::now() + START;
        let mut remove = self.command(&self.endpoints(), &["member", "remove", line.split(',').next().unwrap()]);
        // A member that removes itself may end before it has answered.
        while !remove.output().unwrap().status.success() && !self.is_removed(member) {
            assert!(Instant::now() < end, "the member is not removed:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Whether the others list a member no more.
    fn is_removed(&self, member: usize) -> bool {
        let others: Vec<_> = (0..self.members.len()).filter(|other| *other != member).collect();
        let endpoints: Vec<_> = others.into_iter().map(|other| self.endpoint(other)).collect();
        let list = self.command(&endpoints, &["member", "list"]).output().unwrap();
        let name = &self.members[member].name;
        list.status.success()
            && !String::from_utf8_lossy(&list.stdout).lines().any(|line| line.split(", ").nth(2) == Some(name))
    }
}
