//! The messages and methods against etcd's own description of them, `proto/`: this reads as much of the language of such
//! descriptions as it needs, and then what a message has on the wire by the names and types that it finds there.

use std::collections::BTreeMap;

use prost::Message;
use serde_json::{Map, Value, json};

use super::messages::*;
use super::methods::{CALLS, WATCH};

/// A field of a message, or a value of an enumeration, by its number.
type Numbered<T> = BTreeMap<u64, T>;

#[derive(Debug, Default)]
struct Description {
    messages: BTreeMap<String, Numbered<Field>>,
    enumerations: BTreeMap<String, Numbered<String>>,
    /// The request and the answer of each method, and whether both are streams.
    methods: BTreeMap<String, (String, String, bool)>,
}

#[derive(Debug)]
struct Field {
    name: String,
    kind: String,
    is_repeated: bool,
}

fn description() -> Description {
    let mut description = Description::default();
    for text in [include_str!("../../proto/kv.proto"), include_str!("../../proto/rpc.proto")] {
        let plain: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap()).collect();
        let spaced = ['{', '}', '(', ')', ';', '=']
            .iter()
            .fold(plain.join("\n"), |text, mark| text.replace(*mark, &format!(" {mark} ")));
        let words: Vec<&str> = spaced.split_whitespace().collect();
        description.read(&mut words.as_slice());
    }
    description
}

impl Description {
    fn read(&mut self, words: &mut &[&str]) {
        loop {
            match *words {
                ["message", name, "{", rest @ ..] => {
                    *words = rest;
                    self.read_message(name, words);
                }
                ["service", name, "{", rest @ ..] => {
                    *words = rest;
                    self.read_service(name, words);
                }
                [] => return,
                // What comes before: the syntax, the package, imports.
                [_, rest @ ..] => *words = rest,
            }
        }
    }

    fn read_message(&mut self, message: &str, words: &mut &[&str]) {
        self.messages.entry(message.to_owned()).or_default();
        let mut depth = 0;
        loop {
            match *words {
                ["enum", name, "{", rest @ ..] => {
                    *words = rest;
                    while let [value, "=", number, ";", rest @ ..] = *words {
                        let values = self.enumerations.entry((*name).to_owned()).or_default();
                        values.insert(number.parse().unwrap(), (*value).to_owned());
                        *words = rest;
                    }
                    *words = words.strip_prefix(&["}"]).unwrap();
                }
                ["oneof", _, "{", rest @ ..] => {
                    depth += 1;
                    *words = rest;
                }
                ["}", rest @ ..] => {
                    *words = rest;
                    if depth == 0 {
                        return;
                    }
                    depth -= 1;
                }
                ["repeated", kind, name, "=", number, ";", rest @ ..] => {
                    self.add(
                        message,
                        number,
                        Field { name: name.to_string(), kind: kind.to_string(), is_repeated: true },
                    );
                    *words = rest;
                }
                [kind, name, "=", number, ";", rest @ ..] => {
                    self.add(
                        message,
                        number,
                        Field { name: name.to_string(), kind: kind.to_string(), is_repeated: false },
                    );
                    *words = rest;
                }
                _ => panic!("{message} goes on with {:?}", &words[..words.len().min(8)]),
            }
        }
    }

    fn add(&mut self, message: &str, number: &str, mut field: Field) {
        // There is one other package, and no name is in both.
        field.kind = field.kind.trim_start_matches("mvccpb.").to_owned();
        let before = self.messages.get_mut(message).unwrap().insert(number.parse().unwrap(), field);
        assert!(before.is_none(), "{message} has two fields of the number {number}");
    }

    fn read_service(&mut self, service: &str, words: &mut &[&str]) {
        loop {
            let (name, request, answer, is_stream);
            match *words {
                ["rpc", n, "(", "stream", r, ")", "returns", "(", "stream", a, ")", ";", rest @ ..] => {
                    (name, request, answer, is_stream) = (*n, *r, *a, true);
                    *words = rest;
                }
                ["rpc", n, "(", r, ")", "returns", "(", a, ")", ";", rest @ ..] => {
                    (name, request, answer, is_stream) = (*n, *r, *a, false);
                    *words = rest;
                }
                ["}", rest @ ..] => {
                    *words = rest;
                    return;
                }
                _ => panic!("{service} goes on with {:?}", &words[..words.len().min(8)]),
            }
            let path = format!("/etcdserverpb.{service}/{name}");
            self.methods.insert(path, (request.to_owned(), answer.to_owned(), is_stream));
        }
    }

    /// What a message has, by the names of the description.
    #[track_caller]
    fn named(&self, message: &str, mut bytes: &[u8]) -> Value {
        let fields = self.messages.get(message).unwrap_or_else(|| panic!("there is no message {message}"));
        let mut named = Map::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let (number, wire) = (key >> 3, key & 7);
            let field = fields.get(&number).unwrap_or_else(|| panic!("{message} has no field {number}"));
            let value = match (wire, field.kind.as_str()) {
                (0, "bool") => json!(varint(&mut bytes) != 0),
                (0, "int64") => json!(varint(&mut bytes).cast_signed()),
                (0, "uint64") => json!(varint(&mut bytes)),
                (0, kind) => {
                    let values =
                        self.enumerations.get(kind).unwrap_or_else(|| panic!("{message}.{} is {kind}", field.name));
                    json!(values[&varint(&mut bytes)])
                }
                (2, kind) => {
                    let length = varint(&mut bytes);
                    let (value, rest) = bytes.split_at(length.try_into().unwrap());
                    bytes = rest;
                    match kind {
                        "bytes" | "string" => json!({ kind: std::str::from_utf8(value).unwrap() }),
                        // Packed; one of them is enough here.
                        kind if self.enumerations.contains_key(kind) => {
                            json!(self.enumerations[kind][&varint(&mut &*value)])
                        }
                        kind => self.named(kind, value),
                    }
                }
                (wire, kind) => panic!("{message}.{} is {kind}, and comes as wire type {wire}", field.name),
            };
            if field.is_repeated {
                named.entry(&field.name).or_insert_with(|| json!([])).as_array_mut().unwrap().push(value);
            } else {
                assert!(named.insert(field.name.clone(), value).is_none(), "{message}.{} comes twice", field.name);
            }
        }
        Value::Object(named)
    }

    #[track_caller]
    fn of<M: Message>(&self, name: &str, message: &M) -> Value {
        self.named(name, &message.encode_to_vec())
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("a number has more than 64 bits")
}

fn bytes(text: &str) -> Value {
    json!({ "bytes": text })
}

fn string(text: &str) -> Value {
    json!({ "string": text })
}

fn header() -> (Option<ResponseHeader>, Value) {
    let header = ResponseHeader { cluster_id: u64::MAX, member_id: 2, revision: -3, raft_term: 4 };
    (Some(header), json!({"cluster_id": u64::MAX, "member_id": 2, "revision": -3, "raft_term": 4}))
}

fn pair() -> (KeyValue, Value) {
    let pair = KeyValue { key: b"key".to_vec(), create_revision: 5, mod_revision: 6, value: b"value".to_vec() };
    (pair, json!({"key": bytes("key"), "create_revision": 5, "mod_revision": 6, "value": bytes("value")}))
}

#[test]
fn requests_read_as_they_are_meant() {
    let description = description();
    let range = RangeRequest {
        key: b"key".to_vec(),
        range_end: b"end".to_vec(),
        limit: 7,
        revision: 8,
        serializable: true,
        keys_only: true,
    };
    let put = PutRequest { key: b"key".to_vec(), value: b"value".to_vec() };
    let delete = DeleteRangeRequest { key: b"key".to_vec(), range_end: b"end".to_vec() };
    let compare = |result: CompareResult, target: CompareTarget, union| Compare {
        result: result.into(),
        target: target.into(),
        key: b"key".to_vec(),
        target_union: Some(union),
    };
    let op = |request| RequestOp { request: Some(request) };
    let txn = TxnRequest {
        compare: vec![
            compare(CompareResult::Equal, CompareTarget::Create, TargetUnion::CreateRevision(1)),
            compare(CompareResult::NotEqual, CompareTarget::Mod, TargetUnion::ModRevision(2)),
            compare(CompareResult::NotEqual, CompareTarget::Value, TargetUnion::Value(b"value".to_vec())),
        ],
        success: vec![op(Request::RequestRange(range.clone())), op(Request::RequestPut(put))],
        failure: vec![op(Request::RequestDeleteRange(delete))],
    };
    let (key, value, end) = (bytes("key"), bytes("value"), bytes("end"));
    let named_range =
        json!({"key": key, "range_end": end, "limit": 7, "revision": 8, "serializable": true, "keys_only": true});
    let named = json!({
        "compare": [
            // The first value of an enumeration is what stands for nothing.
            {"target": "CREATE", "key": key, "create_revision": 1},
            {"result": "NOT_EQUAL", "target": "MOD", "key": key, "mod_revision": 2},
            {"result": "NOT_EQUAL", "target": "VALUE", "key": key, "value": value},
        ],
        "success": [{"request_range": named_range}, {"request_put": {"key": key, "value": value}}],
        "failure": [{"request_delete_range": {"key": key, "range_end": end}}],
    });
    assert_eq!(description.enumerations["CompareResult"][&0], "EQUAL");
    assert_eq!(description.of("TxnRequest", &txn), named);
    assert_eq!(description.of("RangeRequest", &range), named_range);
    let filters = vec![FilterType::NoDelete.into()];
    let create = WatchCreateRequest { key: b"key".to_vec(), range_end: b"end".to_vec(), filters };
    let watch = WatchRequest { request_union: Some(WatchUnion::CreateRequest(create)) };
    let named = json!({"create_request": {"key": key, "range_end": end, "filters": ["NODELETE"]}});
    assert_eq!(description.of("WatchRequest", &watch), named);
    let login = AuthenticateRequest { name: "me".to_owned(), password: "open sesame".to_owned() };
    let named = json!({"name": string("me"), "password": string("open sesame")});
    assert_eq!(description.of("AuthenticateRequest", &login), named);
    assert_eq!(description.of("StatusRequest", &StatusRequest {}), json!({}));
}

#[test]
fn answers_read_as_they_are_meant() {
    let description = description();
    let ((header, named_header), (pair, named_pair)) = (header(), pair());
    let op = |response| ResponseOp { response: Some(response) };
    let range = RangeResponse { header: header.clone(), kvs: vec![pair.clone()], more: true };
    let txn = TxnResponse {
        header: header.clone(),
        succeeded: true,
        responses: vec![
            op(Response::ResponseRange(range)),
            op(Response::ResponsePut(PutResponse {})),
            op(Response::ResponseDeleteRange(DeleteRangeResponse {})),
        ],
    };
    let named = json!({
        "header": named_header,
        "succeeded": true,
        "responses": [
            {"response_range": {"header": named_header, "kvs": [named_pair], "more": true}},
            {"response_put": {}},
            {"response_delete_range": {}},
        ],
    });
    assert_eq!(description.of("TxnResponse", &txn), named);
    let watch = WatchResponse {
        header: header.clone(),
        created: true,
        canceled: true,
        cancel_reason: "why".to_owned(),
        events: vec![Event { kv: Some(pair) }],
    };
    let named = json!({
        "header": named_header, "created": true, "canceled": true, "cancel_reason": string("why"),
        "events": [{"kv": named_pair}],
    });
    assert_eq!(description.of("WatchResponse", &watch), named);
    let status = StatusResponse {
        header: header.clone(),
        version: "3.5.33".to_owned(),
        db_size: 1,
        leader: 2,
        errors: vec!["alarm".to_owned()],
        db_size_in_use: 3,
        is_learner: true,
        db_size_quota: 4,
    };
    let named = json!({
        "header": named_header, "version": string("3.5.33"), "dbSize": 1, "leader": 2, "errors": [string("alarm")],
        "dbSizeInUse": 3, "isLearner": true, "dbSizeQuota": 4,
    });
    assert_eq!(description.of("StatusResponse", &status), named);
    let login = AuthenticateResponse { header, token: "token".to_owned() };
    let named = json!({"header": named_header, "token": string("token")});
    assert_eq!(description.of("AuthenticateResponse", &login), named);
}

#[test]
fn a_field_that_is_not_in_the_description_is_found() {
    #[derive(Clone, PartialEq, Message)]
    struct Other {
        #[prost(string, tag = "2")]
        version: String,
        #[prost(string, tag = "63")]
        unknown: String,
    }
    let found = |version: &str, unknown: &str| {
        let other = Other { version: version.to_owned(), unknown: unknown.to_owned() };
        std::panic::catch_unwind(|| description().of("StatusResponse", &other))
    };
    assert!(found("1", "").is_ok() && found("", "1").is_err());
    // A text where a number belongs.
    let text = std::panic::catch_unwind(|| description().named("StatusResponse", &[3 << 3 | 2, 1, b'1']));
    assert!(text.is_err());
}

#[test]
fn methods_are_where_the_description_has_them() {
    let description = description();
    for (path, request, answer) in CALLS {
        let method = (request.to_string(), answer.to_string(), false);
        assert_eq!(description.methods.get(*path), Some(&method), "{path}");
    }
    assert_eq!(description.methods[WATCH], ("WatchRequest".to_owned(), "WatchResponse".to_owned(), true));
}

#[test]
fn passwords_and_tokens_are_in_no_debug() {
    let login = AuthenticateRequest { name: "me".to_owned(), password: "open sesame".to_owned() };
    let answer = AuthenticateResponse { header: None, token: "open sesame".to_owned() };
    let debug = format!("{login:?} {answer:?}");
    assert!(!debug.contains("sesame") && debug.contains("me"), "{debug}");
}
