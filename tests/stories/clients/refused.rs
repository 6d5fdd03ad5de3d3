//! Calls that are wrong get the code, status and words of the service, in the form that they came in, and nothing
//! of them is stored.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ciborium::Value as Cbor;
use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::books::{Books, Row};
use crate::support::client::gzip;
use crate::support::scratch::Scratch;

const JSON: &str = "application/x-amz-json-1.1";
const CBOR: &str = "application/x-amz-cbor-1.1";
const KINESIS: &str = "Kinesis_20131202";
const FIREHOSE: &str = "Firehose_20150804";

/// What a service answered.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Said {
    #[track_caller]
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The body, whatever form it has.
    #[track_caller]
    pub(super) fn value(&self) -> Value {
        if self.header("content-type") == JSON {
            return serde_json::from_slice(&self.body).unwrap();
        }
        assert_eq!(self.header("content-type"), CBOR, "{self:?}");
        let value: Cbor = ciborium::from_reader(&self.body[..]).unwrap();
        value.deserialized().unwrap()
    }
}

/// One call on a connection of its own. `cut` leaves so many bytes of the body unsent.
#[track_caller]
fn send(address: &str, headers: &[(&str, &str)], body: &[u8], cut: usize) -> Said {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    connection.write_all(head.as_bytes()).unwrap();
    // Whoever is refused early may find the connection closed.
    let sent = connection.write_all(&body[..length - cut]);
    if cut > 0 {
        sent.unwrap();
        connection.shutdown(Shutdown::Write).unwrap();
    }
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    while let Ok(count @ 1..) = connection.read(&mut part) {
        answer.extend_from_slice(&part[..count]);
    }
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer");
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header =
        |line: &str| line.split_once(": ").map(|(name, value)| (name.into(), value.into()));
    Said { status, headers: lines.filter_map(header).collect(), body: answer[end + 4..].to_vec() }
}

/// A call in JSON.
#[track_caller]
pub(super) fn call(address: &str, target: &str, body: &Value) -> Said {
    call_with(address, target, &[], body)
}

/// The same with more headers.
#[track_caller]
pub(super) fn call_with(address: &str, target: &str, more: &[(&str, &str)], body: &Value) -> Said {
    let headers = [&[("x-amz-target", target), ("content-type", JSON)], more].concat();
    send(address, &headers, body.to_string().as_bytes(), 0)
}

/// A call, and the no that it must get.
#[derive(Clone, Debug)]
struct Wrong {
    service: &'static str,
    operation: &'static str,
    kind: &'static str,
    encoding: Option<&'static str>,
    body: Vec<u8>,
    cut: usize,
    code: &'static str,
    status: u16,
    says: &'static str,
}

impl Wrong {
    fn new(service: &'static str, operation: &'static str, body: impl Into<Vec<u8>>) -> Self {
        let (body, status) = (body.into(), 400);
        let (kind, encoding, cut, code, says) = (JSON, None, 0, "", "");
        Self { service, operation, kind, encoding, body, cut, code, status, says }
    }

    fn gets(self, code: &'static str, says: &'static str) -> Self {
        Self { code, says, ..self }
    }

    #[track_caller]
    fn check(&self, address: &str) {
        let Self { service, operation, kind, .. } = self;
        let target = format!("{service}.{operation}");
        let mut headers = vec![("x-amz-target", target.as_str()), ("content-type", kind)];
        headers.extend(self.encoding.map(|encoding| ("content-encoding", encoding)));

        let said = send(address, &headers, &self.body, self.cut);

        let start = String::from_utf8_lossy(&self.body[..self.body.len().min(99)]);
        let value = said.value();
        let context = format!("{target} {kind} {start}: {} {value}", said.status);
        assert_eq!(
            (value["__type"].as_str(), said.status),
            (Some(self.code), self.status),
            "{context}"
        );
        assert!(value["message"].as_str().unwrap().contains(self.says), "{context}");
        assert_eq!(said.header("x-amzn-errortype"), self.code, "{context}");
        let id = said.header("x-amzn-requestid");
        assert!(!id.is_empty(), "{context}");
        let host_id = if *service == FIREHOSE { "" } else { id };
        assert_eq!(said.header("x-amz-id-2"), host_id, "{context}");
        let form = if *kind == CBOR { CBOR } else { JSON };
        assert_eq!(said.header("content-type"), form, "{context}");
    }
}

fn agent(scratch: &Scratch) -> Agent {
    Agent::start(
        scratch,
        "[http.open]\nlisten = \"127.0.0.1:0\"\n\
         [stream.orders]\ndestinations = [\"archive\"]\n\
         [destination.archive]\ntype = \"directory\"\npath = \"archive\"\nobject_age = \"1 s\"\n",
    )
}

/// Each gets its no, nothing is stored, and then one good record by either service is.
#[track_caller]
fn check(all: &[Wrong]) {
    let scratch = Scratch::new("clients-refused");
    let agent = agent(&scratch);
    let address = agent.http("open");

    all.iter().for_each(|one| one.check(&address));

    assert_eq!(Books::check(&agent).row("orders", "archive"), Row::default());
    let of_kinesis = json!({"StreamName": "orders", "Data": "YQ==", "PartitionKey": "k"});
    assert_eq!(call(&address, "Kinesis_20131202.PutRecord", &of_kinesis).status, 200);
    let of_firehose = json!({"DeliveryStreamName": "orders", "Record": {"Data": "YQ=="}});
    assert_eq!(call(&address, "Firehose_20150804.PutRecord", &of_firehose).status, 200);
    let two = Row { accepted: 2, delivered: 2, ..Row::default() };
    assert_eq!(Books::settled(&agent).row("orders", "archive"), two);
}

/// Records of these sizes.
fn many(service: &str, sizes: &[usize]) -> Value {
    let data = |size: &usize| BASE64_STANDARD.encode(vec![b'x'; *size]);
    let entry = |size| match service {
        KINESIS => json!({"Data": data(size), "PartitionKey": "k"}),
        _ => json!({"Data": data(size)}),
    };
    let records: Vec<Value> = sizes.iter().map(entry).collect();
    let name = if service == KINESIS { "StreamName" } else { "DeliveryStreamName" };
    json!({ name: "orders", "Records": records })
}

fn cbor(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).unwrap();
    out
}

const UNKNOWN: &str = "UnknownOperationException";
const MALFORMED: &str = "SerializationException";
const INVALID: &str = "ValidationException";
const ARGUMENT: &str = "InvalidArgumentException";

#[test]
fn what_is_not_served_is_an_unknown_operation() {
    let one = |service, operation| Wrong::new(service, operation, "{}").gets(UNKNOWN, "not served");
    let kind = |service, operation, kind| Wrong {
        kind,
        status: 404,
        ..Wrong::new(service, operation, "{}").gets(UNKNOWN, "content type")
    };
    check(&[
        one(KINESIS, "GetRecords"),
        one(KINESIS, "PutRecordBatch"),
        one(KINESIS, ""),
        one(FIREHOSE, "PutRecords"),
        one(FIREHOSE, "CreateDeliveryStream"),
        one("DynamoDB_20120810", "PutItem"),
        Wrong { kind: CBOR, ..one(KINESIS, "SubscribeToShard") },
        kind(KINESIS, "PutRecords", "application/json"),
        kind(KINESIS, "PutRecord", "application/cbor"),
        kind(FIREHOSE, "PutRecordBatch", "application/x-ndjson"),
        kind(FIREHOSE, "PutRecord", ""),
    ]);
}

#[test]
fn a_body_that_is_not_what_its_type_says_is_malformed() {
    let whole = json!({"StreamName": "orders", "Records": [{"Data": "YQ==", "PartitionKey": "k"}]});
    let text = whole.to_string();
    let one = |body: &[u8]| Wrong::new(KINESIS, "PutRecords", body).gets(MALFORMED, "stored");
    let data = |data: &str| {
        let body = json!({"StreamName": "orders", "Records": [{"Data": "YQ=="}, {"Data": data}]});
        Wrong::new(KINESIS, "PutRecords", body.to_string())
            .gets(MALFORMED, "record 1 is not base64")
    };
    let batch = json!({"DeliveryStreamName": "orders", "Records": [{"Data": "Y!=="}]});
    let in_cbor = |body: &[u8]| Wrong { kind: CBOR, ..one(body).gets(MALFORMED, "CBOR") };
    let packed = cbor(&whole);
    let mut all = vec![
        one(b""),
        one(b"[]"),
        one(&text.as_bytes()[..text.len() - 1]),
        one(&text.as_bytes()[..text.len() / 2]),
        one(br#"{"StreamName":7}"#),
        one(&packed),
        data("YQ"),
        data("YQ="),
        data("_w=="),
        data("Y Q=="),
        Wrong::new(FIREHOSE, "PutRecordBatch", batch.to_string()).gets(MALFORMED, "not base64"),
        in_cbor(text.as_bytes()),
        in_cbor(b""),
        in_cbor(&cbor(&json!({"StreamName": "orders", "Records": [{"Data": "YQ=="}]}))),
        Wrong { cut: 5, ..one(text.as_bytes()).gets(MALFORMED, "ended early") },
        Wrong { encoding: Some("gzip"), ..one(text.as_bytes()).gets(ARGUMENT, "Content-Encoding") },
        Wrong { encoding: Some("br"), ..one(text.as_bytes()).gets(ARGUMENT, "gzip, zstd") },
        Wrong { encoding: Some("gzip"), ..one(&gzip(b"{")) },
    ];
    all.extend((1..packed.len()).step_by(7).map(|end| in_cbor(&packed[..end])));
    check(&all);
}

#[test]
fn members_that_the_service_would_refuse_are_refused_in_its_words() {
    let put = |body: Value| Wrong::new(KINESIS, "PutRecord", body.to_string());
    let key = |key: &str| put(json!({"StreamName": "orders", "Data": "YQ==", "PartitionKey": key}));
    let hash = |hash: &str| {
        let body = json!({"StreamName": "orders", "Data": "YQ==", "PartitionKey": "k", "ExplicitHashKey": hash});
        put(body).gets(ARGUMENT, "Invalid ExplicitHashKey")
    };
    let one = json!([{"Data": "YQ==", "PartitionKey": "k"}]);
    let in_stream = |mut body: Value| {
        body["Records"] = one.clone();
        Wrong::new(KINESIS, "PutRecords", body.to_string())
    };
    let batch = |body: Value| Wrong::new(FIREHOSE, "PutRecordBatch", body.to_string());
    let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/other";
    let missing = "ResourceNotFoundException";
    check(&[
        key("").gets(INVALID, "greater than or equal to 1"),
        key(&"k".repeat(257)).gets(INVALID, "less than or equal to 256"),
        put(json!({"StreamName": "orders", "PartitionKey": "k"})).gets(INVALID, "'data'"),
        hash("-1"),
        hash("01"),
        hash("340282366920938463463374607431768211456"),
        in_stream(json!({"StreamName": "nobody"})).gets(missing, "Stream nobody under account"),
        in_stream(json!({"StreamARN": arn})).gets(missing, "Stream other under account"),
        in_stream(json!({"StreamName": "orders", "StreamARN": arn}))
            .gets(ARGUMENT, "different streams"),
        in_stream(json!({"StreamName": "a b"})).gets(INVALID, "'streamName'"),
        in_stream(json!({"StreamName": "n".repeat(129)})).gets(INVALID, "'streamName'"),
        in_stream(json!({})).gets(ARGUMENT, "StreamName or StreamARN"),
        in_stream(json!({"StreamName": "orders", "DryRun": true}))
            .gets("DryRunOperationException", "would have succeeded"),
        in_stream(json!({"StreamName": "nobody", "DryRun": true})).gets(missing, "nobody"),
        batch(json!({"DeliveryStreamName": "nobody", "Records": [{"Data": "YQ=="}]}))
            .gets(missing, "Firehose nobody under accountId"),
        batch(json!({"DeliveryStreamName": "n".repeat(65), "Records": [{"Data": "YQ=="}]}))
            .gets(INVALID, "'deliveryStreamName'"),
        batch(json!({"DeliveryStreamName": "orders", "Records": [{}]}))
            .gets(INVALID, "'records.1.member.data'"),
        batch(json!({"DeliveryStreamName": "orders"})).gets(INVALID, "'records'"),
        batch(json!({"Records": [{"Data": "YQ=="}]})).gets(INVALID, "'deliveryStreamName'"),
    ]);
}

#[test]
fn a_call_has_its_bounds() {
    let put = |service, operation, sizes: &[usize]| {
        Wrong::new(service, operation, many(service, sizes).to_string())
    };
    let (mib, kib) = (1 << 20, 1 << 10);
    let of_kinesis = |sizes: &[usize]| put(KINESIS, "PutRecords", sizes);
    let of_firehose = |sizes: &[usize]| put(FIREHOSE, "PutRecordBatch", sizes);
    let too_large = vec![b' '; 16 * mib + 1];
    // Keys count, too: 16 of one byte.
    let mut ten_mib = vec![640 * kib - 1; 16];
    ten_mib[0] += 1;
    let mut four_mib = vec![512 * kib; 8];
    four_mib[0] += 1;
    check(&[
        of_kinesis(&[]).gets(INVALID, "greater than or equal to 1"),
        of_kinesis(&[1; 501]).gets(INVALID, "less than or equal to 500"),
        of_firehose(&[]).gets(INVALID, "greater than or equal to 1"),
        of_firehose(&[1; 501]).gets(INVALID, "less than or equal to 500"),
        of_kinesis(&ten_mib).gets(ARGUMENT, "exceeds 10 MB limit"),
        of_firehose(&four_mib).gets(ARGUMENT, "exceeds 4 MB limit"),
        of_firehose(&[1_024_001]).gets(INVALID, "less than or equal to 1024000"),
        of_kinesis(&[mib + 1]).gets(ARGUMENT, "larger than this stream takes"),
        Wrong::new(KINESIS, "PutRecords", too_large).gets(ARGUMENT, "at most 16 MiB"),
    ]);
}

/// One byte less, and exactly as much as may be, in either form.
#[test]
fn up_to_its_bounds_a_call_is_stored() {
    let scratch = Scratch::new("clients-bounds");
    let agent = agent(&scratch);
    let address = agent.http("open");
    let mut all = vec![1; 500];
    let (most, less) =
        (vec![(640 << 10) - 1; 16], [vec![(640 << 10) - 1; 15], vec![(640 << 10) - 2]]);
    let of_firehose = vec![512 << 10; 8];

    let mut count = 0;
    for (service, operation, sizes) in [
        (KINESIS, "PutRecords", std::mem::take(&mut all)),
        (KINESIS, "PutRecords", most.clone()),
        (KINESIS, "PutRecords", less.concat()),
        (FIREHOSE, "PutRecordBatch", vec![1; 500]),
        (FIREHOSE, "PutRecordBatch", of_firehose),
        (FIREHOSE, "PutRecordBatch", vec![1_024_000]),
        (KINESIS, "PutRecords", vec![(1 << 20) - 1, 1 << 20]),
    ] {
        let said = call(&address, &format!("{service}.{operation}"), &many(service, &sizes));
        assert_eq!(said.status, 200, "{operation} of {}: {}", sizes.len(), said.value());
        count += sizes.len() as u64;
    }
    let entry = |size: &usize| {
        let member = |name: &str, value| (Cbor::Text(name.into()), value);
        Cbor::Map(vec![
            member("Data", Cbor::Bytes(vec![b'x'; *size])),
            member("PartitionKey", Cbor::Text("k".into())),
        ])
    };
    let in_cbor = Cbor::Map(vec![
        (Cbor::Text("StreamName".into()), Cbor::Text("orders".into())),
        (Cbor::Text("Records".into()), Cbor::Array(most.iter().map(entry).collect())),
    ]);
    let mut body = Vec::new();
    ciborium::into_writer(&in_cbor, &mut body).unwrap();
    let headers = [("x-amz-target", "Kinesis_20131202.PutRecords"), ("content-type", CBOR)];
    let said = send(&address, &headers, &body, 0);
    assert_eq!((said.status, &said.value()["FailedRecordCount"]), (200, &json!(0)));
    count += 16;

    let stored = Row { accepted: count, delivered: count, ..Row::default() };
    assert_eq!(Books::settled(&agent).row("orders", "archive"), stored);
}
