//! Calls under plans.

use super::*;

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
