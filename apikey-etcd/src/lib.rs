//! etcd as the ledger of a cluster of `apikey` stores, as `apikey::etcd` shows it.
//!
//! [`Etcd`] keeps the log of a cluster under the keys `/NAMESPACE/..`. A node has one connection, to one of the members, and
//! makes another one when it fails.
//!
//! # What etcd must be
//!
//! - etcd 3.4 or newer; 3.5.33 or newer is supported. Best a cluster of its own: what else is written to it wears its space
//!   and its disk.
//! - It compacts itself: `--auto-compaction-mode=periodic --auto-compaction-retention=1h`. A node warns where it sees that
//!   it does not.
//! - `--max-txn-ops` and `--max-request-bytes` are not below their defaults, 128 and 1.5 MiB.
//! - Whoever reaches it can change the keys of the service, unless it asks who they are: certificates for clients, or users
//!   with a role on the namespace, `etcdctl role grant-permission apikey --prefix=true readwrite /NAMESPACE/`.
//! - [`quota`](Etcd::quota) is the one that it has.
//!
//! # Errors
//!
//! | condition | error |
//! |---|---|
//! | a setting of [`Etcd`] is not allowed | `Refused` |
//! | no connection: host unknown or silent, TLS missing here or there, certificate not trusted | `Refused` |
//! | wrong password; etcd asks for a password, and there is none | `Refused` |
//! | every member is too old or a learner | `Refused` |
//! | the time is up before the call is sent | `Refused` |
//! | the user may not use the keys of the namespace; the request is too large; a member is corrupt | `Refused` |
//! | etcd is at its quota, and the call was not done; a look only reads then | `Refused` |
//! | too many requests, or a learner, at this member: the call goes to another one | `Refused`, if it is the same there |
//! | the token has expired, or the users were changed: the node logs in again, once | `Refused`, if it is the same then |
//! | the time is up after the call was sent, or the connection ends | `Unknown` |
//! | no leader, the leader has changed, or etcd's own time is up | `Unknown` |
//! | etcd is at its quota, and the call may have been done all the same | `Unknown` |
//! | every other error, as what it means is not known | `Unknown` |
//! | members of two clusters; the generation has no log | `Foreign` |
//! | the log no longer has the entry | `BelowFloor` |
//! | a value has another form | `Damaged` |
//!
//! A call that has no answer is made again within its time, at another member, where that does no harm; and an append and a
//! look are such calls. etcd may be done with a write that nobody waits for any more.

mod calls;
mod etcd;
mod failure;
mod listener;
mod recent;
mod rpc;
mod session;
mod settings;

pub use etcd::Etcd;
