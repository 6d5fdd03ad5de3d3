//! The upstreams of the other stories keep what the AWS SDK hands them, and give it back.

use std::collections::BTreeSet;

use aws_sdk_firehose::types::Record;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use aws_smithy_http_client::Builder;

use crate::support::peers::{Kinesis, Mood, Moto, REGION};
use crate::support::scratch::Scratch;

fn kinesis_client(kinesis: &Kinesis) -> aws_sdk_kinesis::Client {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new("AKID", "secret", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .http_client(Builder::new().build_http())
        .endpoint_url(kinesis.url())
        .build();
    aws_sdk_kinesis::Client::from_conf(config)
}

async fn put(client: &aws_sdk_kinesis::Client, data: &str) -> bool {
    let entry = PutRecordsRequestEntry::builder().data(Blob::new(data)).partition_key(data);
    let request = client.put_records().stream_name("orders").records(entry.build().unwrap());
    request.send().await.is_ok()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn kinesis_gives_back_what_it_was_given() {
    let kinesis = Kinesis::start();
    kinesis.create_stream("orders", 4);
    let client = kinesis_client(&kinesis);

    let names: Vec<String> = (0..100).map(|number| format!("order {number}")).collect();
    runtime().block_on(async {
        for name in &names {
            assert!(put(&client, name).await);
        }
    });

    let mut arrived = kinesis.records("orders");
    let shards: BTreeSet<_> = arrived.iter().map(|one| &one.shard).collect();
    assert_eq!(shards.len(), 4, "the keys are spread over the shards");
    arrived.sort_by_key(|one| one.data.len());
    assert!(arrived.iter().all(|one| one.data == one.partition_key.as_bytes()));
    assert_eq!(arrived.len(), names.len());
}

#[test]
fn kinesis_has_the_moods_it_was_told_to_have() {
    let kinesis = Kinesis::start_moody(|number| match number {
        0 => Mood::Refuse(503),
        1 => Mood::LoseAnswer,
        _ => Mood::Well,
    });
    kinesis.create_stream("orders", 1);
    let client = kinesis_client(&kinesis);

    let answered = runtime().block_on(async {
        [put(&client, "first").await, put(&client, "second").await, put(&client, "third").await]
    });

    assert_eq!(answered, [false, false, true]);
    assert_eq!(kinesis.payloads("orders"), [b"second".to_vec(), b"third".to_vec()]);
}

#[test]
fn kinesis_vanishes_and_comes_back_with_what_it_had() {
    let mut kinesis = Kinesis::start();
    kinesis.create_stream("orders", 1);
    let client = kinesis_client(&kinesis);
    let runtime = runtime();

    assert!(runtime.block_on(put(&client, "before")));
    kinesis.vanish();
    assert!(!runtime.block_on(put(&client, "away")));
    kinesis.appear();
    assert!(runtime.block_on(put(&client, "after")));

    assert_eq!(kinesis.payloads("orders"), [b"before".to_vec(), b"after".to_vec()]);
}

#[test]
fn firehose_puts_what_it_was_given_into_s3() {
    let scratch = Scratch::new("moto");
    let moto = Moto::start(&scratch);
    moto.create_delivery_stream("lake");
    let config = aws_sdk_firehose::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new("AKID", "secret", None, None, "test"))
        .http_client(Builder::new().build_http())
        .endpoint_url(moto.url())
        .build();
    let client = aws_sdk_firehose::Client::from_conf(config);

    runtime().block_on(async {
        for batch in ["one\ntwo\n", "three\n"] {
            let record = Record::builder().data(Blob::new(batch)).build().unwrap();
            let request = client.put_record_batch().delivery_stream_name("lake").records(record);
            assert_eq!(request.send().await.unwrap().failed_put_count(), 0);
        }
    });

    let mut lines = moto.lines("lake");
    lines.sort();
    assert_eq!(lines, [b"one".to_vec(), b"three".to_vec(), b"two".to_vec()]);
}
