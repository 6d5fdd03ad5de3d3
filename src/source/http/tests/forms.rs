//! What may come in, and in whose manner it is answered.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::queue::Budget;
use crate::record::{Record, decode};

impl Open {
    /// Payloads and keys of what is stored, as many as were stored.
    pub(super) async fn records(&mut self) -> Vec<(String, Option<String>)> {
        let pair = |record: Record| {
            let key = record.partition_key.as_deref().map(str::to_owned);
            (String::from_utf8_lossy(&record.payload).into_owned(), key)
        };
        self.whole_records().await.into_iter().map(pair).collect()
    }

    /// The same of explicit hash keys.
    pub(super) async fn hash_keys(&mut self) -> Vec<Option<u128>> {
        self.whole_records().await.into_iter().map(|record| record.hash_key).collect()
    }

    async fn whole_records(&mut self) -> Vec<Record> {
        let mut all = Vec::new();
        while (all.len() as u64) < self.stored() {
            for stored in self.reader.next(Budget { count: 100, bytes: 1 << 20 }).await.unwrap() {
                all.push(decode(stored.payload).unwrap());
            }
        }
        all
    }

    async fn put(&self, path: &str, body: &str) -> Reply {
        self.ask(Method::PUT, path, &[("content-type", "application/json")], body.to_owned()).await
    }
}

fn pair(payload: &str, key: Option<&str>) -> (String, Option<String>) {
    (payload.to_owned(), key.map(str::to_owned))
}

const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"/a","type":"t","partitionkey":"k"}"#;
const HEAD: [(&str, &str); 5] = [
    ("ce-specversion", "1.0"),
    ("ce-id", "1"),
    ("ce-source", "/a"),
    ("ce-type", "t"),
    ("content-type", "application/json"),
];

#[tokio::test]
async fn events_come_alone_in_batches_and_with_their_attributes_in_the_head() {
    let mut open = Wanted::default().open().await;
    let whole = ("content-type", "application/cloudevents+json; charset=utf-8");
    let batch = ("content-type", "application/cloudevents-batch+json");
    let key = ("weir-partition-key", "of-all");

    check_accepted(&open.post(&[whole], EVENT).await, 1);
    check_accepted(&open.post(&[batch, key], format!("[{EVENT}, {EVENT}]")).await, 2);
    check_accepted(&open.post(&HEAD, r#"{"a":1}"#).await, 1);

    let made = r#"{"datacontenttype":"application/json","id":"1","source":"/a","specversion":"1.0","type":"t","data":{"a":1}}"#;
    let event = pair(EVENT, Some("k"));
    assert_eq!(open.records().await, [event.clone(), event.clone(), event, pair(made, None)]);
}

#[tokio::test]
async fn events_at_fault_are_named_and_nothing_is_stored() {
    let open = Wanted::default().open().await;
    let batch = ("content-type", "application/cloudevents-batch+json");

    let reply = open.post(&[batch], format!("[{EVENT},{{}},7]")).await;
    check_problem(&reply, 400, "bad-event");
    let body = json(&reply);
    assert_eq!((&body["rejected"][1]["index"], &body["rejected_count"]), (&2.into(), &2.into()));
    check_problem(&open.post(&HEAD, "{").await, 400, "bad-event");
    check_problem(&open.post(&[HEAD[0]], "1").await, 400, "bad-event");
    check_problem(&open.post(&[batch], "[{").await, 400, "bad-json");
    let avro = ("content-type", "application/cloudevents+avro");
    check_problem(&open.post(&[avro], EVENT).await, 415, "unknown-type");
    assert_eq!(open.stored(), 0);
}

#[tokio::test]
async fn arrays_are_split_where_the_listener_says_so() {
    let kind = ("content-type", "application/json");
    let mut open = Wanted { split_arrays: true, ..Wanted::default() }.open().await;

    check_accepted(&open.post(&[kind], r#"[{"a": 1}, "b", [2]]"#).await, 3);
    check_accepted(&open.post(&[], "[1,2]").await, 1);
    check_problem(&open.post(&[kind], "[1,2").await, 400, "bad-json");
    let all = [r#"{"a": 1}"#, "\"b\"", "[2]", "[1,2]"].map(|payload| pair(payload, None));
    assert_eq!(open.records().await, all);

    let mut open = Wanted::default().open().await;
    check_accepted(&open.post(&[kind], "[1,2]").await, 1);
    assert_eq!(open.records().await, [pair("[1,2]", None)]);
}

#[tokio::test]
async fn a_delivery_by_firehose_is_taken_and_answered_as_it_wants() {
    let mut open = Wanted { keys: vec![key("firehose")], ..Wanted::default() }.open().await;
    let secret = open.secrets[0].clone();
    let body = format!(
        r#"{{"requestId":"r-1","timestamp":1,"records":[{{"data":"{}"}},{{"data":"YQ=="}}]}}"#,
        STANDARD.encode("one\n")
    );
    let head = |key: &'static str| {
        [
            ("x-amz-firehose-protocol-version", "1.0"),
            ("x-amz-firehose-request-id", "r-1"),
            ("content-type", "application/json"),
            ("x-amz-firehose-access-key", key),
        ]
    };
    let mut known = head("");
    known[3].1 = &secret;

    let reply = open.post(&known, body.clone()).await;
    let told = json(&reply);
    assert_eq!((reply.status, &told["requestId"]), (200, &"r-1".into()), "{told}");
    assert!(told["timestamp"].as_u64().is_some() && told.get("errorMessage").is_none());
    let other = body.replace("r-1", "r-2");
    for (headers, body, status) in [
        (head("wrong"), body.as_str(), 401),
        (known, "{}", 400),
        (known, "[", 400),
        (known, other.as_str(), 400),
    ] {
        let reply = open.post(&headers, body.to_owned()).await;
        let told = json(&reply);
        assert_eq!((reply.status, &told["requestId"]), (status, &"r-1".into()), "{told}");
        assert!(told["errorMessage"].as_str().unwrap().ends_with('.'), "{told}");
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
    assert_eq!(open.records().await, [pair("one\n", None), pair("a", None)]);
}

#[tokio::test]
async fn the_api_of_api_gateway_is_answered_as_kinesis_does() {
    let mut open = Wanted::default().open().await;

    let one = open.put("/streams/access/record", r#"{"Data":"a b","PartitionKey":"k"}"#).await;
    assert_eq!(one.status, 200);
    assert_eq!(json(&one)["ShardId"], "shardId-000000000000");
    let first = json(&one)["SequenceNumber"].as_str().unwrap().to_owned();
    let many =
        r#"{"records":[{"data":"c","partition-key":"l"},{"data":{"d":1},"partition-key":"m"}]}"#;
    let many = json(&open.put("/streams/access/records", many).await);
    assert_eq!(
        (&many["FailedRecordCount"], many["Records"].as_array().unwrap().len()),
        (&0.into(), 2)
    );
    let last = many["Records"][1]["SequenceNumber"].as_str().unwrap();
    assert!(last.len() == first.len() && last > first.as_str(), "{first} {last}");

    for (path, body, status, kind) in [
        ("/streams/none/record", r#"{"Data":"a"}"#, 404, "ResourceNotFoundException"),
        ("/streams/access/record", r#"{"PartitionKey":"a"}"#, 400, "ValidationException"),
        ("/streams/access/records", r#"{"records":[]}"#, 400, "ValidationException"),
    ] {
        let reply = open.put(path, body).await;
        assert_eq!((reply.status, &json(&reply)["__type"]), (status, &kind.into()), "{path}");
        assert_eq!(reply.header("x-amzn-errortype"), Some(kind));
    }
    let all = [pair("a b", Some("k")), pair("c", Some("l")), pair(r#"{"d":1}"#, Some("m"))];
    assert_eq!(open.records().await, all);
}
