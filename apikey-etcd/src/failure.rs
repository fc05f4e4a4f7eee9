//! What goes wrong in a call, and what it means: the table of the crate's documentation.

use std::error::Error;

use apikey_core::cluster::LedgerError;
use apikey_engine::with_sources;
use tonic::{Code, Status};

/// How a call failed, before it is known what that means.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A verdict of ours.
    Verdict(LedgerError),
    /// etcd, or the connection to it.
    Etcd(Status),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Etcd(status)
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::Verdict(error)
    }
}

/// What a failure means for a call that has been sent.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// An answer, which every member would give.
    Answer(LedgerError),
    /// Certainly not done: the member no longer knows the caller, which has to log in again.
    LogIn(LedgerError),
    /// Certainly not done, and another member may do it.
    Elsewhere(LedgerError),
    /// It may have been done.
    Unknown(LedgerError),
}

/// etcd's texts of errors by which the member says that it has not done the call. What is not among them may have
/// been done, whatever its code. They are those of `api/v3rpc/rpctypes/error.go`.
const NOT_DONE: [&str; 11] = [
    "etcdserver: permission denied",
    "etcdserver: request is too large",
    "etcdserver: too many operations in txn request",
    "etcdserver: duplicate key given in txn request",
    "etcdserver: key is not provided",
    "etcdserver: mvcc: required revision has been compacted",
    "etcdserver: user name is empty",
    "etcdserver: authentication failed, invalid user ID or password",
    "etcdserver: authentication is not enabled",
    "etcdserver: corrupt cluster",
    "etcdserver: user name not found",
];

const NO_SPACE: &str = "etcdserver: mvcc: database space exceeded";
const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
/// What a token is answered that has expired, or that a member no longer knows, and one from before a change of the users.
const LOG_IN: [&str; 2] = ["etcdserver: invalid auth token", "etcdserver: revision of auth store is old"];
/// A member that answers nothing but its status, until it is a full one; and one that has too much to do.
const ELSEWHERE: [&str; 2] = ["etcdserver: rpc not supported for learner", "etcdserver: too many requests"];

impl Failure {
    /// Whether a member refuses writes since the cluster is at its quota. Such an answer is no verdict: a write that is
    /// under way when the quota is reached is done, and answered like this.
    pub(crate) fn is_no_space(&self) -> bool {
        matches!(self, Self::Etcd(status) if says(status, NO_SPACE))
    }

    /// Whether the revision that was to be read is compacted.
    pub(crate) fn is_compacted(&self) -> bool {
        matches!(self, Self::Etcd(status) if says(status, COMPACTED))
    }

    pub(crate) fn meaning(self) -> Meaning {
        let status = match self {
            Self::Verdict(error) => return Meaning::Answer(error),
            Self::Etcd(status) => status,
        };
        let text = text(&status);
        if LOG_IN.iter().any(|known| says(&status, known)) {
            return Meaning::LogIn(LedgerError::refused(text));
        }
        if ELSEWHERE.iter().any(|known| says(&status, known)) {
            return Meaning::Elsewhere(LedgerError::refused(text));
        }
        if NOT_DONE.iter().any(|known| says(&status, known)) || is_too_large(&status) {
            return Meaning::Answer(LedgerError::refused(text));
        }
        Meaning::Unknown(LedgerError::unknown(text))
    }
}

/// Whether a member has said this. What the connection says has a source, and is no word of a member's.
fn says(status: &Status, known: &str) -> bool {
    status.source().is_none() && status.message() == known
}

/// Whether gRPC itself has refused a request, before etcd saw it.
fn is_too_large(status: &Status) -> bool {
    status.source().is_none()
        && status.code() == Code::ResourceExhausted
        && status.message().contains("received message larger than max")
}

/// That etcd is full, and that the call was not done.
pub(crate) fn full() -> LedgerError {
    LedgerError::refused(FULL)
}

const FULL: &str = "etcd is at its quota and takes no writes (alarm NOSPACE): raise --quota-backend-bytes, or compact and \
    defragment it; then run etcdctl alarm disarm";

/// What etcd says, and for what an operator meets, what to do.
fn text(status: &Status) -> String {
    if status.source().is_some() {
        return chain(status);
    }
    let message = status.message();
    let hint = match message {
        "etcdserver: permission denied" => {
            "the user needs a role on the keys of the namespace: etcdctl role grant-permission ROLE --prefix=true \
             readwrite /NAMESPACE/"
        }
        "etcdserver: user name is empty" => "etcd asks for a user: user() and password_file(), or a certificate",
        "etcdserver: request is too large" => "raise --max-request-bytes of every member to its default of 1.5 MiB",
        "etcdserver: too many operations in txn request" => "raise --max-txn-ops of every member to its default of 128",
        "etcdserver: corrupt cluster" => "a member has other data than the rest: restore it as etcd's manual says",
        NO_SPACE => return FULL.to_owned(),
        "" => return format!("etcd answers with {:?} and no text", status.code()),
        _ => return message.to_owned(),
    };
    format!("{message}: {hint}")
}

/// How a connection ends whose member refuses the certificate of the client, or the lack of one: with TLS 1.3 it says so only
/// after the handshake, when that may be lost.
const ENDED: [&str; 3] = ["broken pipe", "reset by peer", "connection closed"];

/// Says why there is no connection to a member. Nothing of a call has been sent.
pub(crate) fn not_connected(error: &(dyn Error + 'static), is_encrypted: bool) -> String {
    let chain = chain(error);
    if chain.contains("UnknownIssuer") || chain.contains("BadSignature") {
        format!("{chain}: name the authority of the members' certificates with authority()")
    } else if chain.contains("NotValidForName") || chain.contains("not valid for name") {
        format!("{chain}: name what is in the members' certificates with server_name()")
    } else if chain.contains("CertificateRequired") || chain.contains("BadCertificate") {
        format!("{chain}: the member asks for another certificate of the client than it got, if any: certificate()")
    } else if is_encrypted && ENDED.iter().any(|ended| chain.contains(ended)) {
        format!("{chain}: the member may ask for another certificate of the client than it got, if any: certificate()")
    } else if chain.contains("InvalidContentType") || chain.contains("handshake eof") {
        format!("{chain}: the member has no TLS on this port, it seems; http:// is for a network that you trust")
    } else if !is_encrypted && chain.contains("refused") {
        chain
    } else if !is_encrypted {
        format!("{chain}: members that have TLS are reached by https://")
    } else {
        chain
    }
}

/// An error with its sources. Those of the connection say only which step failed.
fn chain(error: &(dyn Error + 'static)) -> String {
    let text = match error.downcast_ref::<Status>() {
        Some(status) => status.message().to_owned(),
        None => error.to_string(),
    };
    with_sources(text, error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(code: Code, message: &str) -> Meaning {
        Failure::from(Status::new(code, message)).meaning()
    }

    #[test]
    fn what_a_member_refuses_is_not_done() {
        for message in NOT_DONE {
            assert!(matches!(meaning(Code::InvalidArgument, message), Meaning::Answer(LedgerError::Refused { .. })));
        }
        let grpc = "grpc: received message larger than max (3145731 vs. 2097152)";
        assert!(matches!(meaning(Code::ResourceExhausted, grpc), Meaning::Answer(LedgerError::Refused { .. })));
        for message in LOG_IN {
            assert!(matches!(meaning(Code::Unauthenticated, message), Meaning::LogIn(LedgerError::Refused { .. })));
        }
        for message in ELSEWHERE {
            assert!(matches!(meaning(Code::Unavailable, message), Meaning::Elsewhere(LedgerError::Refused { .. })));
        }
    }

    #[test]
    fn everything_else_may_have_been_done() {
        for (code, message) in [
            (Code::Unavailable, "etcdserver: request timed out"),
            (Code::Unavailable, "etcdserver: request timed out, possibly due to previous leader failure"),
            (Code::Unavailable, "etcdserver: leader changed"),
            (Code::Unavailable, "etcdserver: no leader"),
            (Code::Unavailable, "etcdserver: server stopped"),
            (Code::ResourceExhausted, NO_SPACE),
            (Code::PermissionDenied, "a proxy does not like you"),
            (Code::Unknown, "raft proposal dropped"),
            (Code::Internal, ""),
        ] {
            let meaning = meaning(code, message);
            assert!(matches!(meaning, Meaning::Unknown(LedgerError::Unknown { .. })), "{message}: {meaning:?}");
        }
    }

    #[test]
    fn what_the_connection_says_is_no_word_of_a_member() {
        let broken = std::io::Error::other("etcdserver: permission denied");
        let mut status = Status::new(Code::PermissionDenied, "etcdserver: permission denied");
        status.set_source(std::sync::Arc::new(broken));
        assert!(matches!(Failure::from(status).meaning(), Meaning::Unknown(_)));
    }
}
