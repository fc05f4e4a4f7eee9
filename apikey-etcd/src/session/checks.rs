use apikey_core::cluster::{LedgerError, LedgerResult};

use super::connection::Connection;
use crate::rpc::{RangeRequest, Request, RequestOp, StatusResponse, TxnRequest};
use crate::settings::Endpoint;

/// The oldest version of etcd that works.
const OLDEST: [u64; 3] = [3, 4, 0];
/// The oldest version that is supported.
const SUPPORTED: [u64; 3] = [3, 5, 33];

/// So many revisions without a compaction show that none is set up.
const REVISIONS: i64 = 100_000;

/// Whether this member can be used.
pub(super) fn member(status: &StatusResponse, endpoint: &Endpoint) -> LedgerResult<()> {
    if version(&status.version).is_some_and(|version| version < OLDEST) {
        let what = format!("{endpoint} has etcd {}, which is too old: it takes 3.4 or newer", status.version);
        return Err(LedgerError::refused(what));
    }
    if status.is_learner {
        return Err(LedgerError::refused(format!("{endpoint} is a learner, which answers no calls yet")));
    }
    Ok(())
}

/// Says in the log what an operator should know of a cluster, once for each.
pub(super) async fn report(connection: &Connection, status: &StatusResponse, endpoint: &Endpoint, key: Vec<u8>) {
    if version(&status.version).is_some_and(|version| version < SUPPORTED) {
        let version = &status.version;
        tracing::warn!(%endpoint, version, "etcd is older than 3.5.33, the oldest version that is supported");
    }
    if is_never_compacted(connection, status, key).await {
        tracing::warn!(
            %endpoint,
            "etcd keeps every revision: set --auto-compaction-mode=periodic and --auto-compaction-retention=1h, or its \
             space runs out"
        );
    }
}

/// What is wrong in the cluster, as the member says: alarms, mostly.
pub(super) fn alarms(status: &StatusResponse) -> Vec<String> {
    let known = |text: &str| text.split_whitespace().find(|word| word.starts_with("alarm:")).map(str::to_owned);
    let mut alarms: Vec<String> =
        status.errors.iter().map(|text| known(text).unwrap_or_else(|| text.trim().to_owned())).collect();
    alarms.sort();
    alarms.dedup();
    alarms
}

/// Whether the first revision can still be read, after very many. etcd does not say how it is set up.
async fn is_never_compacted(connection: &Connection, status: &StatusResponse, key: Vec<u8>) -> bool {
    if status.header.as_ref().is_none_or(|header| header.revision < REVISIONS) {
        return false;
    }
    let range = RangeRequest { key, limit: 1, revision: 1, serializable: true, ..RangeRequest::default() };
    let success = vec![RequestOp { request: Some(Request::RequestRange(range)) }];
    connection.call(TxnRequest { success, ..TxnRequest::default() }).await.is_ok()
}

/// The numbers of a version; `None` for a text that is none.
fn version(text: &str) -> Option<[u64; 3]> {
    let plain = text.split(['-', '+']).next().unwrap_or_default();
    let mut numbers = plain.split('.').map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some([next()?, next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_their_numbers() {
        assert_eq!(version("3.4.23"), Some([3, 4, 23]));
        assert_eq!(version("3.6.0-rc.1"), Some([3, 6, 0]));
        assert_eq!(version("main"), None);
        let endpoint = Endpoint::parse("http://one").unwrap();
        let of =
            |version: &str| member(&StatusResponse { version: version.to_owned(), ..Default::default() }, &endpoint);
        assert!(of("3.3.27").unwrap_err().to_string().contains("3.4 or newer"));
        for version in ["3.4.0", "3.5.33", "3.10.1", "4.0.0", "unknown"] {
            of(version).unwrap();
        }
    }

    #[test]
    fn a_learner_is_not_asked() {
        let endpoint = Endpoint::parse("http://one").unwrap();
        let learner = StatusResponse { version: "3.5.33".to_owned(), is_learner: true, ..Default::default() };
        assert!(member(&learner, &endpoint).unwrap_err().to_string().contains("learner"));
    }

    #[test]
    fn an_alarm_of_several_members_is_one() {
        let errors = ["memberID:1 alarm:NOSPACE ", "memberID:2 alarm:NOSPACE ", "etcdserver: no leader"];
        let status = StatusResponse { errors: errors.map(str::to_owned).to_vec(), ..Default::default() };
        assert_eq!(alarms(&status), ["alarm:NOSPACE", "etcdserver: no leader"]);
    }
}
