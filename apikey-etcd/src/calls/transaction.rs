//! Transactions of etcd, in few words: what they compare, and what they do then.

use apikey_engine::damaged;

use crate::failure::Failure;
use crate::rpc::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, KeyValue, PutRequest, RangeRequest, RangeResponse,
    Request, RequestOp, Response, TargetUnion, TxnRequest, TxnResponse,
};
use crate::session::Connection;

/// The key is there, and holds this.
pub(super) fn holds(key: Vec<u8>, value: Vec<u8>) -> Compare {
    compare(key, CompareResult::Equal, CompareTarget::Value, TargetUnion::Value(value))
}

/// The key is there, and holds something else.
pub(super) fn differs(key: Vec<u8>, value: Vec<u8>) -> Compare {
    compare(key, CompareResult::NotEqual, CompareTarget::Value, TargetUnion::Value(value))
}

/// The key is not there.
pub(super) fn is_absent(key: Vec<u8>) -> Compare {
    compare(key, CompareResult::Equal, CompareTarget::Create, TargetUnion::CreateRevision(0))
}

/// The key is as it was at its last change, of this revision.
pub(super) fn is_unchanged(key: Vec<u8>, mod_revision: i64) -> Compare {
    compare(key, CompareResult::Equal, CompareTarget::Mod, TargetUnion::ModRevision(mod_revision))
}

fn compare(key: Vec<u8>, result: CompareResult, target: CompareTarget, to: TargetUnion) -> Compare {
    Compare { result: result.into(), target: target.into(), key, target_union: Some(to) }
}

pub(super) fn put(key: Vec<u8>, value: Vec<u8>) -> RequestOp {
    RequestOp { request: Some(Request::RequestPut(PutRequest { key, value })) }
}

pub(super) fn delete(key: Vec<u8>) -> RequestOp {
    delete_all((key, Vec::new()))
}

pub(super) fn delete_all((key, range_end): (Vec<u8>, Vec<u8>)) -> RequestOp {
    RequestOp { request: Some(Request::RequestDeleteRange(DeleteRangeRequest { key, range_end })) }
}

pub(super) fn one(key: Vec<u8>) -> RangeRequest {
    RangeRequest { key, ..RangeRequest::default() }
}

pub(super) fn all((key, range_end): (Vec<u8>, Vec<u8>)) -> RangeRequest {
    RangeRequest { key, range_end, ..RangeRequest::default() }
}

/// A range as a part of a transaction.
pub(super) fn range(range: RangeRequest) -> RequestOp {
    RequestOp { request: Some(Request::RequestRange(range)) }
}

/// The answer to a transaction: whether what it compares held, and what its ranges found.
pub(super) struct Done {
    pub(super) held: bool,
    /// The revision of the store at which it was done.
    pub(super) revision: i64,
    ranges: std::vec::IntoIter<RangeResponse>,
}

impl Done {
    /// What the next range found.
    pub(super) fn range(&mut self) -> Result<RangeResponse, Failure> {
        self.ranges.next().ok_or_else(|| damaged("an answer of etcd lacks a range of its transaction").into())
    }

    /// What the next range found, of one key.
    pub(super) fn one(&mut self) -> Result<Option<KeyValue>, Failure> {
        Ok(self.range()?.kvs.into_iter().next())
    }

    pub(super) fn value(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.one()?.map(|pair| pair.value))
    }
}

/// Does a transaction. Without a write it is linearizable unless all its ranges are serializable.
pub(super) async fn transact(
    connection: &Connection,
    compare: Vec<Compare>,
    success: Vec<RequestOp>,
    failure: Vec<RequestOp>,
) -> Result<Done, Failure> {
    let TxnResponse { header, succeeded, responses } =
        connection.call(TxnRequest { compare, success, failure }).await?;
    let ranges: Vec<_> = responses
        .into_iter()
        .filter_map(|op| match op.response {
            Some(Response::ResponseRange(range)) => Some(range),
            _ => None,
        })
        .collect();
    let revision = header.map_or(0, |header| header.revision);
    Ok(Done { held: succeeded, revision, ranges: ranges.into_iter() })
}

/// Reads at one moment; linearizable unless all ranges are serializable.
///
/// A member of etcd 3.4 that is at its quota takes no transaction at all. Then the ranges are read one after the other, at
/// the revision of the first.
pub(super) async fn read(connection: &Connection, ranges: Vec<RangeRequest>) -> Result<Done, Failure> {
    let success = ranges.iter().cloned().map(range).collect();
    match transact(connection, Vec::new(), success, Vec::new()).await {
        Err(failure) if failure.is_no_space() => {}
        done => return done,
    }
    let mut found = Vec::with_capacity(ranges.len());
    let mut at = 0;
    for mut range in ranges {
        if range.revision == 0 {
            range.revision = at;
        }
        let answer = connection.call(range).await?;
        if at == 0 {
            at = answer.header.as_ref().map_or(0, |header| header.revision);
        }
        found.push(answer);
    }
    Ok(Done { held: true, revision: at, ranges: found.into_iter() })
}
