//! Network namespaces, as machines of a network: each has an address, and a cable to a switch that this process is at, too. As
//! root, in a network namespace of its own: `tests/cluster/namespaces` makes that.

use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use crate::Host;
use crate::processes::run;
use crate::proxy::Traffic;

/// How long connections are refused that are to end.
const ENDING: Duration = Duration::from_millis(300);

/// Whether tests are to use them.
#[must_use]
pub fn are_used() -> bool {
    std::env::var_os("APIKEY_CLUSTER_NAMESPACES").is_some()
}

/// Whether the kernel can delay packets.
#[must_use]
pub fn can_delay() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| {
        let tc = |arguments: &str| {
            let mut command = Command::new("tc");
            command.args(arguments.split(' ')).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        tc("qdisc add dev lo root netem delay 1ms") && tc("qdisc del dev lo root")
    })
}

/// Some machines. They are gone when this is dropped.
#[derive(Debug)]
pub struct Namespaces {
    switch: String,
    names: Vec<String>,
    hosts: Vec<Host>,
}

fn ip(arguments: &str) {
    run(Command::new("ip").args(arguments.split(' ')));
}

impl Namespaces {
    /// Makes so many.
    #[must_use]
    pub fn new(count: usize) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let network = NUMBER.fetch_add(1, Ordering::Relaxed) % 250;
        let mut made = Self { switch: format!("switch{network}"), names: Vec::new(), hosts: Vec::new() };
        let switch = &made.switch;
        ip(&format!("link add {switch} type bridge"));
        ip(&format!("addr add 10.77.{network}.254/24 dev {switch}"));
        ip(&format!("link set {switch} up"));
        for machine in 1..=count {
            let (name, cable) = (format!("machine{network}-{machine}"), format!("cable{network}-{machine}"));
            let address = format!("10.77.{network}.{machine}");
            ip(&format!("netns add {name}"));
            ip(&format!("link add {cable} type veth peer name eth0 netns {name}"));
            ip(&format!("link set {cable} master {switch} up"));
            ip(&format!("-n {name} addr add {address}/24 dev eth0"));
            ip(&format!("-n {name} link set eth0 up"));
            ip(&format!("-n {name} link set lo up"));
            made.hosts.push(Host::of_namespace(&name, &address));
            made.names.push(name);
        }
        made
    }

    /// The machines.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
        let _ = Command::new("ip").args(["link", "del", &self.switch]).status();
    }
}

/// The network of a machine, as far as it leads to some others.
#[derive(Debug)]
pub struct Link {
    host: Host,
    others: Vec<String>,
}

impl Link {
    /// The network between a machine and others, which works.
    #[must_use]
    pub fn new(host: &Host, others: &[Host]) -> Self {
        let others = others.iter().map(|other| other.address().to_owned()).collect();
        let link = Self { host: host.clone(), others };
        for (number, other) in link.others.iter().enumerate() {
            link.iptables(&format!("-N to{number}"));
            link.iptables(&format!("-A OUTPUT -d {other} -j to{number}"));
            link.iptables(&format!("-N from{number}"));
            link.iptables(&format!("-A INPUT -s {other} -j from{number}"));
        }
        link
    }

    fn iptables(&self, arguments: &str) {
        self.in_host("iptables", &format!("-w {arguments}"));
    }

    fn in_host(&self, program: &str, arguments: &str) {
        let mut command = Command::new(program);
        command.args(arguments.split(' '));
        run(&mut self.host.run(command));
    }

    /// Sets what happens to the traffic from now on, to and from every other machine.
    pub fn set(&self, traffic: Traffic) {
        (0..self.others.len()).for_each(|other| self.filter(other, traffic));
        if can_delay() {
            let delay = match traffic {
                Traffic::Delayed(delay) | Traffic::Lossy { delay, .. } => delay.as_millis(),
                _ => 0,
            };
            self.in_host("tc", &format!("qdisc replace dev eth0 root netem delay {delay}ms limit 100000"));
        }
    }

    /// Sets what happens to the traffic from now on, to and from one other machine: all but a delay.
    pub fn set_route(&self, other: usize, traffic: Traffic) {
        self.filter(other, traffic);
    }

    /// Ends every connection.
    pub fn disconnect(&self) {
        self.set(Traffic::Refused);
        sleep(ENDING);
        self.set(Traffic::Flows);
    }

    fn filter(&self, other: usize, traffic: Traffic) {
        let (to, from) = match traffic {
            Traffic::Flows | Traffic::Delayed(_) => (None, None),
            Traffic::HeldToServer => (Some("DROP".to_owned()), None),
            Traffic::HeldToNode => (None, Some("DROP".to_owned())),
            Traffic::Held => (Some("DROP".to_owned()), Some("DROP".to_owned())),
            Traffic::Refused => {
                let rule = "REJECT -p tcp --reject-with tcp-reset".to_owned();
                (Some(rule.clone()), Some(rule))
            }
            Traffic::Lossy { percent, .. } => {
                let rule = format!("DROP -m statistic --mode random --probability 0.{percent:02}");
                (Some(rule.clone()), Some(rule))
            }
        };
        for (chain, rule) in [(format!("to{other}"), to), (format!("from{other}"), from)] {
            self.iptables(&format!("-F {chain}"));
            if let Some(rule) = rule {
                self.iptables(&format!("-A {chain} -j {rule}"));
            }
        }
    }
}
