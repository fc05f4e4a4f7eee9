use apikey_cluster_tests::etcd::{Members, MembersConfig};
use apikey_core::cluster::{Cluster, Ledger};
use apikey_etcd::Etcd;
use http::uri::PathAndQuery;
use prost::Message;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tonic_prost::ProstCodec;

use crate::{Engine, Writer};

/// Room for a million keys.
const QUOTA: u64 = 8 << 30;

pub(crate) struct EtcdServers {
    members: Members,
    /// Nodes ask the first member.
    asks_leader: bool,
}

impl EtcdServers {
    pub(crate) fn start() -> Self {
        let quota = format!("--quota-backend-bytes={QUOTA}");
        let arguments = [
            &quota,
            "--auto-compaction-mode=periodic",
            "--auto-compaction-retention=1h",
            // As etcd has them by itself.
            "--heartbeat-interval=100",
            "--election-timeout=1000",
        ];
        let members = Members::start(MembersConfig { arguments: &arguments, ..MembersConfig::default() });
        Self { asks_leader: members.leader() == 0, members }
    }

    /// The largest number of this name that a member has.
    fn status(&self, name: &str) -> u64 {
        let (status, name) = (self.members.control(&["endpoint", "status", "-w", "fields"]), format!("\"{name}\" : "));
        status.lines().filter_map(|line| line.strip_prefix(&name)?.parse().ok()).max().unwrap()
    }

    fn etcd(&self, namespace: &str) -> Etcd {
        Etcd::new(self.members.endpoints()).namespace(namespace).quota(QUOTA)
    }
}

impl Engine for EtcdServers {
    fn name(&self) -> &'static str {
        if self.asks_leader { "etcd, its leader" } else { "etcd, a follower" }
    }

    fn ledger(&self, namespace: &str) -> Box<dyn Ledger> {
        Box::new(self.etcd(namespace))
    }

    fn cluster(&self, namespace: &str) -> Cluster {
        Cluster::new(self.etcd(namespace))
    }

    fn bare_writer(&self) -> Writer {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // The member that the nodes ask, too.
        let target = Endpoint::from_shared(self.members.endpoint(0)).unwrap().tcp_nodelay(true);
        let channel = runtime.block_on(target.connect()).unwrap();
        let mut number = 0_u64;
        Box::new(move |bytes| {
            number += 1;
            let put = PutRequest { key: format!("/bare/{number:020}").into_bytes(), value: bytes.to_vec() };
            let answer: PutResponse = runtime.block_on(async {
                let mut client = Grpc::new(channel.clone());
                client.ready().await.unwrap();
                let path = PathAndQuery::from_static("/etcdserverpb.KV/Put");
                client.unary(Request::new(put), path, ProstCodec::default()).await.unwrap().into_inner()
            });
            assert!(answer.header.is_some_and(|header| header.revision > 0));
        })
    }

    /// All members.
    fn processes(&self) -> Vec<u32> {
        self.members.processes()
    }

    fn count(&self) -> (u64, &'static str) {
        (self.status("RaftIndex"), "entries of its log")
    }

    fn space_after_cleaning(&self) -> u64 {
        // What it does every hour.
        self.members.control(&["compact", "--physical", &self.status("Revision").to_string()]);
        self.space()
    }

    fn space(&self) -> u64 {
        // etcd 3.4 says only how large the file is, and a defragmented one has nothing else.
        self.members.control(&["defrag"]);
        self.status("DBSize")
    }
}

// As far as it is needed here, of etcd's `rpc.proto`.

#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct PutResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
}

#[derive(Clone, PartialEq, Message)]
struct ResponseHeader {
    #[prost(int64, tag = "3")]
    revision: i64,
}
