//! The text that the program prints at the start: the nodes, and requests to try, in order.

use std::path::Path;

use two_tier::Failure;

use crate::node::{DemoKey, MAX_STALENESS, Ready};

/// A node that serves.
pub(crate) struct Running {
    pub(crate) number: u8,
    pub(crate) pid: u32,
    pub(crate) ready: Ready,
}

/// The whole text.
pub(crate) fn text(nodes: &[Running], engine: &str, directory: &Path) -> Result<String, Failure> {
    let [one, two, three] = nodes else { return Err("there are not three nodes".into()) };
    let [alice, bob, admin] = one.ready.keys.as_slice() else { return Err("node 1 has not made three keys".into()) };
    let seconds = MAX_STALENESS.as_secs();
    let mut lines = vec![
        "Three nodes of one cluster are up. What has the log of their changes:".to_owned(),
        format!("{engine}."),
        format!("The replicas are in {}. All answer on this machine only.", directory.display()),
        String::new(),
    ];
    let node = |node: &Running| format!("  node {}  {}   process {}", node.number, node.ready.origin, node.pid);
    lines.extend(nodes.iter().map(node));
    lines.push(String::new());
    lines.push("Node 1 has made three keys:".to_owned());
    lines.push(String::new());
    lines.extend([alice, bob, admin].map(|key| format!("  {:5}  {}", key.owner, key.token)));
    lines.push(String::new());
    lines.push(
        "Run these lines in another terminal, in this order. Above each is the status that it will give.".to_owned(),
    );
    let whoami = |node: &Running, key: &DemoKey| get(key, node, "/whoami");
    let revoke = |node: &Running, key: &DemoKey| {
        format!("curl -i -X DELETE -H 'X-API-Key: {}' {}/keys/{}", admin.token, node.ready.origin, key.id)
    };
    let mut step = |announced: String, line: String| lines.push(format!("\n  {announced}\n  {line}"));
    step("200: node 2 knows alice's key, which node 1 has made".into(), whoami(two, alice));
    step("200: so does node 3, and serves her orders".into(), get(alice, three, "/orders"));
    step("204: node 3 revokes it, for all".into(), revoke(three, alice));
    step("401: node 1 refuses it".into(), whoami(one, alice));
    step("401: and so does node 2".into(), whoami(two, alice));
    step("200: bob's key is as good as before".into(), whoami(two, bob));
    lines.push(String::new());
    lines.push(format!(
        "If you like, let node 2 fail. A node that does not answer serves for {seconds} seconds at most, so the"
    ));
    lines.push("revocation waits for that once, and then holds everywhere, too.".to_owned());
    let mut step = |announced: String, line: String| lines.push(format!("\n  {announced}\n  {line}"));
    step("the machine of node 2 stands still".into(), format!("kill -STOP {}", two.pid));
    step(format!("204: node 1 revokes bob's key, after {seconds} seconds"), revoke(one, bob));
    step("401: node 3 refuses it".into(), whoami(three, bob));
    step("the machine of node 2 goes on".into(), format!("kill -CONT {}", two.pid));
    step("401 or 503: it refuses the key from its first instruction on".into(), whoami(two, bob));
    step(
        "200: and serves the others as soon as it has caught up".into(),
        whoami(two, admin).replacen("-i", "-i --retry 9", 1),
    );
    lines.push(String::new());
    lines.push("Ctrl-C stops.\n".to_owned());
    Ok(lines.join("\n"))
}

/// A line for a POSIX shell. No comment behind it: a shell may read that as arguments.
fn get(key: &DemoKey, node: &Running, path: &str) -> String {
    format!("curl -i -H 'X-API-Key: {}' {}{path}", key.token, node.ready.origin)
}
