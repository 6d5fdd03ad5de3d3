//! The protocols of Kinesis and Firehose: every operation, every no in the service's own code, and
//! what is stored of it.

mod held;
mod refused;

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
