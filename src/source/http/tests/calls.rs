//! The protocols of Kinesis and Firehose: every operation, every no in the service's own code, and
//! what is stored of it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ciborium::{Value as Cbor, cbor};
use serde_json::json;

use super::*;
use crate::base::units::ByteSize;
use crate::queue::Budget;
use crate::record::{Record, decode};

const JSON: &str = "application/x-amz-json-1.1";
const CBOR: &str = "application/x-amz-cbor-1.1";
/// The alias of the stream, as its senders know it.
const STREAM: &str = "access-in-the-cloud";

impl Open {
    async fn call_with(&self, target: &str, kind: &str, body: impl Into<bytes::Bytes>) -> Reply {
        let headers = [("x-amz-target", target), ("content-type", kind)];
        self.ask(Method::POST, "/", &headers, body).await
    }

    async fn kinesis(&self, operation: &str, body: &Value) -> Reply {
        self.call_with(&format!("Kinesis_20131202.{operation}"), JSON, body.to_string()).await
    }

    async fn firehose(&self, operation: &str, body: &Value) -> Reply {
        self.call_with(&format!("Firehose_20150804.{operation}"), JSON, body.to_string()).await
    }

    /// Everything that was stored.
    async fn all_stored(&mut self) -> Vec<Record> {
        if self.stored() == 0 {
            return Vec::new();
        }
        let all = self.reader.next(Budget { count: 1000, bytes: 16 << 20 }).await.unwrap();
        all.into_iter().map(|stored| decode(stored.payload).unwrap()).collect()
    }
}

fn b64(data: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(data)
}

/// The answer is this no, in the form of JSON, its code named twice, and its id in a header.
#[track_caller]
fn check_refused(reply: &Reply, status: u16, code: &str) -> String {
    let body = json(reply);
    assert_eq!((reply.status, body["__type"].as_str()), (status, Some(code)), "{body}");
    assert_eq!(reply.header("x-amzn-errortype"), Some(code));
    assert_eq!(reply.header("content-type"), Some(JSON));
    assert_eq!(reply.header("x-amzn-requestid"), reply.header("x-request-id"));
    body["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn records_of_kinesis_keep_bytes_keys_and_order_and_get_numbers_that_grow() {
    let mut open = Wanted::default().open().await;
    let one = json!({
        "StreamName": STREAM, "Data": b64([0, 255]), "PartitionKey": "k\u{e9}",
        "ExplicitHashKey": "7", "SequenceNumberForOrdering": "0", "Unknown": {"a": [1]},
    });
    let many = json!({
        "StreamARN": format!("arn:aws:kinesis:eu-west-1:123456789012:stream/{STREAM}"),
        "Records": [
            {"Data": b64("a"), "PartitionKey": "x"}, {"Data": "", "PartitionKey": "y"},
            {"Data": b64("c"), "PartitionKey": "z"},
        ],
    });

    let first = open.kinesis("PutRecord", &one).await;
    let rest = open.kinesis("PutRecords", &many).await;

    let (first, rest) = (json(&first), json(&rest));
    assert_eq!(first["ShardId"], "shardId-000000000000", "{first}");
    assert_eq!(rest["FailedRecordCount"], 0, "{rest}");
    let rest = rest["Records"].as_array().unwrap().iter();
    let numbers: Vec<&str> = std::iter::once(&first)
        .chain(rest)
        .map(|one| one["SequenceNumber"].as_str().unwrap())
        .collect();
    assert_eq!(numbers.len(), 4);
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let records = open.all_stored().await;
    let seen: Vec<_> = records
        .iter()
        .map(|one| (one.payload.as_ref(), one.partition_key.as_deref(), one.hash_key))
        .collect();
    let expected: [(&[u8], Option<&str>, Option<u128>); 4] = [
        (&[0, 255], Some("k\u{e9}"), Some(7)),
        (b"a", Some("x"), None),
        (b"", Some("y"), None),
        (b"c", Some("z"), None),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn records_of_firehose_are_stored_as_they_are_and_get_ids() {
    let mut open = Wanted::default().open().await;
    let one = json!({"DeliveryStreamName": STREAM, "Record": {"Data": b64("a\n")}});
    let many = json!({
        "DeliveryStreamName": "access", "Records": [{"Data": b64("b\n")}, {"Data": b64("c\n")}],
    });

    let first = json(&open.firehose("PutRecord", &one).await);
    let rest = json(&open.firehose("PutRecordBatch", &many).await);

    let records = open.all_stored().await;
    let payloads: Vec<&[u8]> = records.iter().map(|one| one.payload.as_ref()).collect();
    assert_eq!(payloads, [b"a\n", b"b\n", b"c\n"]);
    assert!(records.iter().all(|one| one.partition_key.is_none()));
    assert_eq!((&first["Encrypted"], &rest["FailedPutCount"]), (&json!(false), &json!(0)));
    let told = [
        &first["RecordId"],
        &rest["RequestResponses"][0]["RecordId"],
        &rest["RequestResponses"][1]["RecordId"],
    ];
    let ids: Vec<String> = records.iter().map(|one| one.id.to_string()).collect();
    assert_eq!(told.map(|id| id.as_str().unwrap()).to_vec(), ids);
}

#[tokio::test]
async fn cbor_is_answered_in_cbor() {
    let mut open = Wanted::default().open().await;
    let body = |value: &Cbor| {
        let mut out = Vec::new();
        ciborium::into_writer(value, &mut out).unwrap();
        out
    };
    let put = cbor!({
        "StreamName" => STREAM,
        "Records" => [{ "Data" => Cbor::Bytes(vec![1, 2]), "PartitionKey" => "k" }],
    });
    let summary = cbor!({ "StreamName" => STREAM });
    let wrong = cbor!({ "StreamName" => "nobody" });

    let answers = [
        open.call_with("Kinesis_20131202.PutRecords", CBOR, body(&put.unwrap())).await,
        open.call_with("Kinesis_20131202.DescribeStreamSummary", CBOR, body(&summary.unwrap()))
            .await,
        open.call_with("Kinesis_20131202.DescribeStreamSummary", CBOR, body(&wrong.unwrap())).await,
    ];

    assert_eq!(answers.each_ref().map(|answer| answer.status), [200, 200, 400]);
    let read = |answer: &Reply| -> Cbor { ciborium::from_reader(&answer.body[..]).unwrap() };
    let member = |value: &Cbor, name: &str| -> Cbor {
        let found = value.as_map().unwrap().iter().find(|(key, _)| key.as_text() == Some(name));
        found.unwrap_or_else(|| panic!("no {name} in {value:?}")).1.clone()
    };
    for answer in &answers {
        assert_eq!(answer.header("content-type"), Some(CBOR));
    }
    let stored = member(&read(&answers[0]), "Records");
    assert!(member(&stored.as_array().unwrap()[0], "SequenceNumber").is_text());
    let described = member(&read(&answers[1]), "StreamDescriptionSummary");
    let (tag, since) = member(&described, "StreamCreationTimestamp").into_tag().unwrap();
    assert_eq!(tag, 1);
    assert!(u64::try_from(since.into_integer().unwrap()).unwrap() > NOW / 2, "milliseconds");
    assert_eq!(member(&read(&answers[2]), "__type"), Cbor::from("ResourceNotFoundException"));
    assert_eq!(answers[2].header("x-amzn-errortype"), Some("ResourceNotFoundException"));
    assert_eq!(open.all_stored().await[0].payload.as_ref(), [1, 2]);
}

#[tokio::test]
async fn what_clients_ask_before_they_begin_is_answered() {
    let open = Wanted::default().open().await;
    let of = json!({"StreamName": STREAM});

    let summary = json(&open.kinesis("DescribeStreamSummary", &of).await);
    let stream = json(&open.kinesis("DescribeStream", &of).await);
    let shards = json(&open.kinesis("ListShards", &of).await);
    let streams = json(&open.kinesis("ListStreams", &json!({})).await);
    let page = json(&open.kinesis("ListStreams", &json!({"Limit": 1})).await);
    let limits = json(&open.kinesis("DescribeLimits", &json!({})).await);
    let of = json!({"DeliveryStreamName": STREAM});
    let delivery = json(&open.firehose("DescribeDeliveryStream", &of).await);
    let deliveries = json(&open.firehose("ListDeliveryStreams", &json!({})).await);

    let summary = &summary["StreamDescriptionSummary"];
    let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM}");
    assert_eq!((&summary["StreamStatus"], &summary["StreamARN"]), (&json!("ACTIVE"), &json!(arn)));
    assert_eq!(
        (&summary["OpenShardCount"], &summary["MaxRecordSizeInKiB"]),
        (&json!(1), &json!(32))
    );
    let shard = json!({
        "ShardId": "shardId-000000000000",
        "HashKeyRange": {
            "StartingHashKey": "0",
            "EndingHashKey": "340282366920938463463374607431768211455",
        },
        "SequenceNumberRange": {
            "StartingSequenceNumber": format!("49{:054}", 0),
        },
    });
    assert_eq!(shards, json!({"Shards": [shard]}));
    assert_eq!(stream["StreamDescription"]["Shards"], json!([shard]));
    assert_eq!(streams["StreamNames"], json!(["access", STREAM]));
    assert_eq!(page["StreamNames"], json!(["access"]));
    assert_eq!((&page["HasMoreStreams"], &page["NextToken"]), (&json!(true), &json!("access")));
    assert_eq!(limits["OpenShardCount"], 2);
    let delivery = &delivery["DeliveryStreamDescription"];
    assert_eq!(delivery["DeliveryStreamStatus"], "ACTIVE");
    assert_eq!(deliveries["DeliveryStreamNames"], json!(["access", STREAM]));
}

#[tokio::test]
async fn a_dry_run_checks_everything_and_stores_nothing() {
    let open = Wanted::default().open().await;
    let put = |stream: &str| json!({"StreamName": stream, "DryRun": true, "Data": b64("a"), "PartitionKey": "k"});

    check_refused(&open.kinesis("PutRecord", &put(STREAM)).await, 400, "DryRunOperationException");
    check_refused(&open.kinesis("PutRecord", &put("x")).await, 400, "ResourceNotFoundException");
    assert_eq!(open.stored(), 0);
}

#[tokio::test]
async fn a_dry_run_uses_up_nothing_of_the_plan() {
    let rate = CountRate { count: 1, per: Duration::from_secs(3600) };
    let plan = PlanSettings { rate: Some(rate), burst: Some(1), ..PlanSettings::default() };
    let open = Wanted { plan, address_plan: Some("p"), ..Wanted::default() }.open().await;
    let put = |is_dry_run: bool| json!({"StreamName": STREAM, "DryRun": is_dry_run, "Data": b64("a"), "PartitionKey": "k"});

    for _ in 0..3 {
        let reply = open.kinesis("PutRecord", &put(true)).await;
        check_refused(&reply, 400, "DryRunOperationException");
    }
    assert_eq!(open.kinesis("PutRecord", &put(false)).await.status, 200);
    let reply = open.kinesis("PutRecord", &put(false)).await;
    check_refused(&reply, 400, "ProvisionedThroughputExceededException");
}

/// Of an open door whose callers have no plan of their own: of each source address.
#[tokio::test]
async fn plans_of_addresses_hold_requests_records_and_bytes() {
    let hour = Duration::from_secs(3600);
    let count = |count: u64| Some(CountRate { count, per: hour });
    let bytes = Some(ByteRate { bytes: ByteSize(3), per: hour });
    let requests =
        PlanSettings { requests: count(3), requests_burst: Some(3), ..PlanSettings::default() };
    let records = PlanSettings { rate: count(3), burst: Some(3), ..PlanSettings::default() };
    let by_size = PlanSettings { bytes, ..PlanSettings::default() };
    let one = json!({"Data": b64("a"), "PartitionKey": "k"});
    let put = json!({"StreamName": STREAM, "Records": vec![&one; 4]});
    let throttled = "ProvisionedThroughputExceededException";

    for plan in [records, by_size] {
        let open = Wanted { plan, address_plan: Some("p"), ..Wanted::default() }.open().await;
        let said = json(&open.kinesis("PutRecords", &put).await);
        assert_eq!(said["FailedRecordCount"], 1, "{said}");
        assert_eq!(said["Records"][3]["ErrorCode"], throttled);
        check_refused(&open.kinesis("PutRecords", &put).await, 400, throttled);
        assert_eq!(open.stored(), 3);
    }
    for operation in ["ListStreams", "DescribeLimits", "PutRecords", "ListShards"] {
        let plan = requests.clone();
        let open = Wanted { plan, address_plan: Some("p"), ..Wanted::default() }.open().await;
        for _ in 0..3 {
            let reply = open.kinesis(operation, &put).await;
            let code = reply.header("x-amzn-errortype");
            assert_ne!(code, Some(throttled), "{operation}");
        }
        check_refused(&open.kinesis(operation, &put).await, 400, throttled);
    }
}

/// Also what no stream is named for takes of the caller's plan.
#[tokio::test]
async fn lists_take_requests_of_the_plan() {
    let requests = Some(CountRate { count: 2, per: Duration::from_secs(3600) });
    let plan = PlanSettings { requests, requests_burst: Some(2), ..PlanSettings::default() };
    let open = Wanted { keys: vec![key("device")], plan, ..Wanted::default() }.open().await;
    let ask = async |operation: &str| {
        let target = format!("Kinesis_20131202.{operation}");
        let headers = [
            ("x-amz-target", target.as_str()),
            ("content-type", JSON),
            ("x-api-key", open.secrets[0].as_str()),
        ];
        open.ask(Method::POST, "/", &headers, "{}").await
    };

    assert_eq!(ask("ListStreams").await.status, 200);
    assert_eq!(ask("DescribeLimits").await.status, 200);
    let throttled = "ProvisionedThroughputExceededException";
    for operation in ["ListStreams", "DescribeLimits"] {
        check_refused(&ask(operation).await, 400, throttled);
    }
}

/// However much of a request could be repeated, the answer is small.
#[tokio::test]
async fn a_refusal_repeats_only_the_beginning_of_what_is_wrong() {
    let wanted = Wanted { max_body_bytes: 4 << 20, ..Wanted::default() };
    let open = wanted.open().await;
    let long = "\u{1}".repeat(100_000);
    let token = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(format!("{long}\nshardId-1"));

    for (operation, body) in [
        ("PutRecords", json!({"StreamName": STREAM, "DryRun": long})),
        ("PutRecords", json!({"StreamName": long, "StreamARN": long})),
        ("PutRecord", json!({"StreamName": STREAM, "SequenceNumberForOrdering": long})),
        ("ListShards", json!({ "NextToken": token })),
    ] {
        let reply = open.kinesis(operation, &body).await;
        assert_eq!(reply.status, 400);
        assert!(reply.body.len() < 2_000, "{operation}: {} bytes", reply.body.len());
    }
}

/// What a client should not send: operation, content type, body; status and code of the answer.
fn bad_calls() -> Vec<(&'static str, &'static str, Vec<u8>, u16, &'static str)> {
    let record = json!({"Data": b64("a"), "PartitionKey": "k"});
    let put = |records: Value| json!({"StreamName": STREAM, "Records": records}).to_string();
    let batch =
        |records: Value| json!({"DeliveryStreamName": STREAM, "Records": records}).to_string();
    let half = b64(vec![0; 5 << 20]);
    let half_and_one = b64(vec![0; (5 << 20) + 1]);
    let (kinesis, firehose) = ("Kinesis_20131202.PutRecords", "Firehose_20150804.PutRecordBatch");

    vec![
        ("Kinesis_20131202.GetRecords", JSON, b"{}".to_vec(), 400, "UnknownOperationException"),
        ("DynamoDB_20120810.PutItem", JSON, b"{}".to_vec(), 400, "UnknownOperationException"),
        (
            kinesis,
            "application/json",
            put(json!([record])).into(),
            404,
            "UnknownOperationException",
        ),
        (kinesis, JSON, b"{".to_vec(), 400, "SerializationException"),
        (kinesis, JSON, b"".to_vec(), 400, "SerializationException"),
        (kinesis, JSON, put(json!([{"Data": "!", "PartitionKey": "k"}])).into(), 400, "SerializationException"),
        (kinesis, JSON, put(json!([])).into(), 400, "ValidationException"),
        (kinesis, JSON, put(json!(vec![&record; 501])).into(), 400, "ValidationException"),
        (kinesis, JSON, put(json!([{"PartitionKey": "k"}])).into(), 400, "ValidationException"),
        (kinesis, JSON, put(json!([record, {"Data": ""}])).into(), 400, "ValidationException"),
        (
            kinesis,
            JSON,
            put(json!([{"Data": "", "PartitionKey": "k", "ExplicitHashKey": "01"}])).into(),
            400,
            "InvalidArgumentException",
        ),
        (
            kinesis,
            JSON,
            put(json!([{"Data": half, "PartitionKey": "k"}, {"Data": half_and_one, "PartitionKey": "k"}])).into(),
            400,
            "InvalidArgumentException",
        ),
        (kinesis, JSON, vec![b' '; (16 << 20) + 1], 400, "InvalidArgumentException"),
        (
            kinesis,
            JSON,
            b"{\"Records\":[{\"Data\":\"\"}]}".to_vec(),
            400,
            "InvalidArgumentException",
        ),
        (
            kinesis,
            JSON,
            json!({"StreamName": "nobody", "Records": [record]}).to_string().into(),
            400,
            "ResourceNotFoundException",
        ),
        (firehose, JSON, batch(json!(vec![&record; 501])).into(), 400, "ValidationException"),
        (
            firehose,
            JSON,
            batch(json!([{"Data": b64(vec![0; 1_024_001])}])).into(),
            400,
            "ValidationException",
        ),
        (
            firehose,
            JSON,
            json!({"DeliveryStreamName": "nobody", "Records": [record]}).to_string().into(),
            400,
            "ResourceNotFoundException",
        ),
    ]
}

#[tokio::test]
async fn bad_input_gets_the_code_of_the_service_and_stores_nothing() {
    let wanted =
        Wanted { max_body_bytes: 16 << 20, max_record_bytes: 20 << 20, ..Wanted::default() };
    let open = wanted.open().await;
    let truncated = b"\xbf\x6aStreamName\x66access\x67Records\x9f\xbf\x64Data\x44a".to_vec();
    let kinesis = "Kinesis_20131202.PutRecords";
    for (target, kind, body, status, code) in bad_calls() {
        let reply = open.call_with(target, kind, body).await;
        let message = check_refused(&reply, status, code);
        assert!(!message.is_empty());
    }
    let reply = open.call_with(kinesis, CBOR, truncated).await;
    assert_eq!(reply.header("x-amzn-errortype"), Some("SerializationException"));
    assert_eq!(open.stored(), 0);

    // Nothing of it was held against the next one.
    let record = json!({"Data": b64("a"), "PartitionKey": "k"});
    let good = json!({"StreamName": STREAM, "Records": [record]}).to_string();
    assert_eq!(open.call_with(kinesis, JSON, good).await.status, 200);
    assert_eq!(open.stored(), 1);
}

#[tokio::test]
async fn a_record_larger_than_the_stream_takes_refuses_the_call() {
    let open = Wanted::default().open().await;
    let too_large = |bytes: usize| json!({"StreamName": STREAM, "Data": b64(vec![0; bytes]), "PartitionKey": "k"});
    for (bytes, status) in [((32 << 10) - 1, 200), (32 << 10, 200), ((32 << 10) + 1, 400)] {
        let put = too_large(bytes);
        let reply = open.kinesis("PutRecord", &put).await;
        assert_eq!(reply.status, status, "{bytes}");
    }
    let put = too_large((32 << 10) + 1);
    check_refused(&open.kinesis("PutRecord", &put).await, 400, "InvalidArgumentException");
}

#[tokio::test]
async fn of_a_batch_that_empties_the_plan_the_rest_is_held_back_in_order() {
    let rate = CountRate { count: 5, per: Duration::from_secs(3600) };
    let plan = PlanSettings { rate: Some(rate), burst: Some(5), ..PlanSettings::default() };
    let keys = vec![key("device")];
    let mut open = Wanted { keys, plan, ..Wanted::default() }.open().await;
    let secret = open.secrets[0].clone();
    let call = async |target: &str, body: Value| {
        let headers =
            [("x-amz-target", target), ("content-type", JSON), ("x-api-key", secret.as_str())];
        open.ask(Method::POST, "/", &headers, body.to_string()).await
    };
    let records = |names: &[&str]| -> Vec<Value> {
        names.iter().map(|name| json!({"Data": b64(name), "PartitionKey": "k"})).collect()
    };
    let (kinesis, firehose) = ("Kinesis_20131202.PutRecords", "Firehose_20150804.PutRecordBatch");

    let put = json!({"StreamName": STREAM, "Records": records(&["a", "b", "c"])});
    let whole = call(kinesis, put).await;
    let put = json!({"DeliveryStreamName": STREAM, "Records": records(&["d", "e", "f", "g"])});
    let part = call(firehose, put.clone()).await;
    let none = call(firehose, put).await;
    let put = json!({"StreamName": STREAM, "Records": records(&["h"])});
    let none_of_kinesis = call(kinesis, put).await;

    assert_eq!((whole.status, &json(&whole)["FailedRecordCount"]), (200, &json!(0)));
    let told = json(&part);
    assert_eq!((part.status, &told["FailedPutCount"]), (200, &json!(2)), "{told}");
    let codes: Vec<_> = told["RequestResponses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["ErrorCode"].as_str())
        .collect();
    let slow = Some("ServiceUnavailableException");
    assert_eq!(codes, [None, None, slow, slow]);
    check_refused(&none, 503, "ServiceUnavailableException");
    check_refused(&none_of_kinesis, 400, "ProvisionedThroughputExceededException");
    let wait: u64 = none_of_kinesis.header("x-amz-retry-after").unwrap().parse().unwrap();
    assert!((1..=720_000).contains(&wait), "{wait} ms");
    assert!(none_of_kinesis.header("retry-after").is_some());
    let records = open.all_stored().await;
    let stored: Vec<&[u8]> = records.iter().map(|one| one.payload.as_ref()).collect();
    assert_eq!(stored, [b"a", b"b", b"c", b"d", b"e"]);
    assert!(records.iter().all(|one| one.caller == "device"));
}

#[tokio::test]
async fn strangers_and_scopes_are_told_apart() {
    let only = keys::NewKey { streams: Some(vec!["other".into()]), ..key("other") };
    let open = Wanted { keys: vec![key("device"), only], ..Wanted::default() }.open().await;
    let put = json!({"StreamName": STREAM, "Data": b64("a"), "PartitionKey": "k"}).to_string();
    let put_with = async |more: Option<&str>, target: &str, body: String| {
        let mut headers = vec![("x-amz-target", target), ("content-type", JSON)];
        headers.extend(more.map(|secret| ("x-api-key", secret)));
        open.ask(Method::POST, "/", &headers, body).await
    };
    let target = "Kinesis_20131202.PutRecord";

    let nobody = put_with(None, target, put.clone()).await;
    let stranger = put_with(Some("wrong"), target, put.clone()).await;
    let elsewhere = put_with(Some(&open.secrets[1]), target, put.clone()).await;
    let known = put_with(Some(&open.secrets[0]), target, put).await;
    let list = "Kinesis_20131202.ListStreams";
    let listed = put_with(Some(&open.secrets[1]), list, "{}".into()).await;

    check_refused(&nobody, 400, "MissingAuthenticationTokenException");
    check_refused(&stranger, 400, "UnrecognizedClientException");
    check_refused(&elsewhere, 400, "AccessDeniedException");
    assert_eq!(known.status, 200);
    assert_eq!(json(&listed)["StreamNames"], json!([]));
    assert_eq!(open.stored(), 1);
}

#[tokio::test]
async fn a_listener_without_the_protocols_knows_nothing_of_them() {
    let open = Wanted { aws: false, ..Wanted::default() }.open().await;

    let reply = open.kinesis("ListStreams", &json!({})).await;

    check_problem(&reply, 404, "unknown-path");
}
