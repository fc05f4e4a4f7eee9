use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use apikey_core::cluster::{Identity, LedgerError, LedgerResult};
use http::uri::PathAndQuery;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint as Target};
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::failure::{Failure, Meaning, not_connected};
use crate::rpc::{
    Answer, AuthenticateRequest, Call, FilterType, StatusRequest, StatusResponse, WATCH, WatchCreateRequest,
    WatchRequest, WatchResponse, WatchUnion,
};
use crate::settings::{Endpoint, Settings};

/// How often a connection is tested while a call or a watch waits on it: not more often than etcd lets its clients, which
/// is every 5 seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(7);
/// How long the answer to such a test may take.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);

/// The largest answer that is read.
const MAX_ANSWER: usize = 256 << 20;

/// A connection to one member. Calls share it.
pub(crate) struct Connection {
    endpoint: Endpoint,
    channel: Channel,
    token: RwLock<Option<MetadataValue<Ascii>>>,
    cluster: u64,
    /// The bytes at which the member refuses writes, where it tells.
    pub(crate) quota: Option<u64>,
    is_lost: AtomicBool,
}

impl Connection {
    /// Connects, and reads what the member says of itself, which needs no login. Nothing of a call has been sent when this
    /// fails.
    pub(super) async fn open(settings: &Settings, endpoint: &Endpoint) -> LedgerResult<(Self, StatusResponse)> {
        let refused = |why: String| LedgerError::refused(format!("cannot connect to {endpoint}: {why}"));
        let mut target = Target::from_shared(endpoint.to_string())
            .map_err(|error| refused(not_connected(&error, endpoint.is_encrypted)))?
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        if let Some(tls) = settings.tls(endpoint).map_err(LedgerError::refused)? {
            target = target.tls_config(tls).map_err(|error| refused(not_connected(&error, true)))?;
        }
        let channel = target.connect().await.map_err(|error| refused(not_connected(&error, endpoint.is_encrypted)))?;
        let mut connection = Self {
            endpoint: endpoint.clone(),
            channel,
            token: RwLock::new(None),
            cluster: 0,
            quota: None,
            is_lost: AtomicBool::new(false),
        };
        let status = connection.unary(StatusRequest {}, &endpoint.to_string()).await.map_err(|status| {
            let why = not_connected(&status, endpoint.is_encrypted);
            refused(why)
        })?;
        connection.cluster = status.header.as_ref().map_or(0, |header| header.cluster_id);
        connection.quota = u64::try_from(status.db_size_quota).ok().filter(|quota| *quota > 0);
        Ok((connection, status))
    }

    /// Asks for a token, if there is a user.
    pub(super) async fn log_in(&self, settings: &Settings) -> LedgerResult<()> {
        let Some((name, password)) = settings.login().map_err(LedgerError::refused)? else { return Ok(()) };
        let endpoint = &self.endpoint;
        let refused = |why: String| LedgerError::refused(format!("cannot log in at {endpoint}: {why}"));
        match self.unary(AuthenticateRequest { name: name.clone(), password }, &endpoint.to_string()).await {
            Ok(answer) => {
                let mut token: MetadataValue<Ascii> =
                    answer.token.parse().map_err(|_| refused("etcd answers with a token that is none".to_owned()))?;
                token.set_sensitive(true);
                *self.token.write().unwrap_or_else(PoisonError::into_inner) = Some(token);
                Ok(())
            }
            Err(status) if status.message() == "etcdserver: authentication is not enabled" => {
                tracing::warn!(%endpoint, user = name, "etcd has no authentication: everybody who reaches it can change the keys");
                Ok(())
            }
            Err(status) if status.message().starts_with("etcdserver: authentication failed") => {
                Err(refused(format!("etcd refuses the password of the user {name}, or there is no such user")))
            }
            Err(status) => Err(match Failure::from(status).meaning() {
                Meaning::Answer(error)
                | Meaning::LogIn(error)
                | Meaning::Elsewhere(error)
                | Meaning::Unknown(error) => refused(error.to_string()),
            }),
        }
    }

    /// Makes a call. An answer of another cluster is none.
    pub(crate) async fn call<C: Call>(&self, request: C) -> Result<C::Answer, Failure> {
        let answer = self.unary(request, &self.endpoint.to_string()).await?;
        let cluster = answer.header().map_or(0, |header| header.cluster_id);
        if cluster != self.cluster {
            let what = format!("{} answers for the cluster {cluster:x} instead of {:x}", self.endpoint, self.cluster);
            return Err(LedgerError::Foreign { what }.into());
        }
        Ok(answer)
    }

    async fn unary<C: Call>(&self, request: C, member: &str) -> Result<C::Answer, Status> {
        let mut client = self.client().await.map_err(|error| lost(member, error))?;
        let path = PathAndQuery::from_static(C::PATH);
        // A token that has ended would end a login, too.
        let request = if C::IS_ABOUT_KEYS { self.request(request) } else { Request::new(request) };
        Ok(client.unary(request, path, ProstCodec::default()).await?.into_inner())
    }

    /// Watches what is put into the keys from this one to the end. The first answer says that the watch stands.
    pub(crate) async fn watch(&self, (key, range_end): (Vec<u8>, Vec<u8>)) -> Result<Watch, Failure> {
        let member = self.endpoint.to_string();
        let mut client = self.client().await.map_err(|error| lost(&member, error))?;
        // The sender stays open: the end of the requests would be the end of the watch.
        let (sender, receiver) = mpsc::channel(1);
        let create = WatchCreateRequest { key, range_end, filters: vec![FilterType::NoDelete.into()] };
        sender
            .try_send(WatchRequest { request_union: Some(WatchUnion::CreateRequest(create)) })
            .map_err(|_| LedgerError::refused("a watch takes no request"))?;
        let request = self.request(ReceiverStream::new(receiver));
        let path = PathAndQuery::from_static(WATCH);
        let answers = client.streaming(request, path, ProstCodec::default()).await?.into_inner();
        Ok(Watch { answers, _requests: sender })
    }

    async fn client(&self) -> Result<Grpc<Channel>, tonic::transport::Error> {
        let mut client =
            Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER).max_encoding_message_size(MAX_ANSWER);
        client.ready().await?;
        Ok(client)
    }

    /// A request about keys.
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        // A member that has lost its leader says so at once, instead of letting the call wait.
        metadata.insert("hasleader", MetadataValue::from_static("true"));
        if let Some(token) = &*self.token.read().unwrap_or_else(PoisonError::into_inner) {
            metadata.insert("token", token.clone());
        }
        request
    }

    /// The cluster that answered first.
    pub(crate) fn identity(&self) -> Identity {
        Identity { system: self.cluster_name(), timeline: 0 }
    }

    pub(super) fn cluster_name(&self) -> String {
        format!("{:016x}", self.cluster)
    }

    /// Another member is to be used from now on.
    pub(crate) fn lose(&self) {
        self.is_lost.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }
}

/// A watch that stands as long as this.
pub(crate) struct Watch {
    answers: Streaming<WatchResponse>,
    _requests: mpsc::Sender<WatchRequest>,
}

impl Watch {
    /// The next answer; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<WatchResponse>, Failure> {
        Ok(self.answers.message().await?)
    }
}

/// The connection ended before a call was given to it.
fn lost(member: &str, error: tonic::transport::Error) -> Status {
    let mut status = Status::unavailable(format!("the connection to {member} is lost"));
    status.set_source(std::sync::Arc::new(error));
    status
}
