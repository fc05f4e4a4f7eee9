//! The methods of etcd's API that this crate calls.

use prost::Message;

use super::messages::{
    AuthenticateRequest, AuthenticateResponse, RangeRequest, RangeResponse, ResponseHeader, StatusRequest,
    StatusResponse, TxnRequest, TxnResponse,
};

/// A request of a method that has one answer.
pub(crate) trait Call: Message + Clone + 'static {
    type Answer: Answer;
    /// The path of the method.
    const PATH: &'static str;
    /// Whether it is about keys: the caller matters, and a member without a leader is to say so at once, instead of letting
    /// the call wait.
    const IS_ABOUT_KEYS: bool;
}

/// An answer, which says which cluster gave it.
pub(crate) trait Answer: Message + Default + 'static {
    fn header(&self) -> Option<&ResponseHeader>;
}

macro_rules! calls {
    ($($request:ident => $answer:ident at $path:literal, about keys: $keys:literal;)+) => {
        $(impl Call for $request {
            type Answer = $answer;
            const PATH: &'static str = $path;
            const IS_ABOUT_KEYS: bool = $keys;
        }

        impl Answer for $answer {
            fn header(&self) -> Option<&ResponseHeader> {
                self.header.as_ref()
            }
        })+

        /// Paths with the names of what they take and answer, for the comparison with the description.
        #[cfg(test)]
        pub(super) const CALLS: &[(&str, &str, &str)] = &[$(($path, stringify!($request), stringify!($answer))),+];
    };
}

calls! {
    TxnRequest => TxnResponse at "/etcdserverpb.KV/Txn", about keys: true;
    RangeRequest => RangeResponse at "/etcdserverpb.KV/Range", about keys: true;
    StatusRequest => StatusResponse at "/etcdserverpb.Maintenance/Status", about keys: false;
    AuthenticateRequest => AuthenticateResponse at "/etcdserverpb.Auth/Authenticate", about keys: false;
}

/// The path of the method that watches keys: [`WatchRequest`](super::WatchRequest)s go to it, and
/// [`WatchResponse`](super::WatchResponse)s come from it.
pub(crate) const WATCH: &str = "/etcdserverpb.Watch/Watch";
