//! etcd's API, as far as this crate uses it.

#[cfg(test)]
mod description;
mod messages;
mod methods;

pub(crate) use messages::{
    AuthenticateRequest, Compare, CompareResult, CompareTarget, DeleteRangeRequest, FilterType, KeyValue, PutRequest,
    RangeRequest, RangeResponse, Request, RequestOp, Response, StatusRequest, StatusResponse, TargetUnion, TxnRequest,
    TxnResponse, WatchCreateRequest, WatchRequest, WatchResponse, WatchUnion,
};
pub(crate) use methods::{Answer, Call, WATCH};
