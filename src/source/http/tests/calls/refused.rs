//! Every no, in the service's own code.

use super::*;

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
