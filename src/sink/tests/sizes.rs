//! How large a record and a request may be.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::aws::{clock, firehose, firehose_settings, kinesis, kinesis_settings};
use crate::sink::fake_upstream::{Answer, FakeUpstream};
use crate::sink::{Entry, Fate, Firehose, FirehoseSettings, Kinesis, Sink, StreamFacts};

#[tokio::test]
async fn an_entry_over_the_limit_weighs_more_than_the_limit_and_one_at_it_does_not() {
    let entry = |key: &str, bytes: usize| Entry::plain(key.into(), vec![b'x'; bytes].into());

    let sink = kinesis("http://127.0.0.1:1").await;
    let (sure, most) = (sink.sure_bytes(), sink.limits().entry_bytes);
    assert_eq!((sure, most), (1 << 20, 10 << 20));
    for limit in [sure, most] {
        assert_eq!(sink.weigh(&entry("key", limit - 3)), limit);
        assert_eq!(sink.weigh(&entry("key", limit - 2)), limit + 1);
    }

    let sink = firehose("http://127.0.0.1:1").await;
    let most = sink.limits().entry_bytes;
    assert!(sink.weigh(&entry("", 1_024_000)) <= most);
    for over in [1_024_001, 1_024_002, 1_024_003, 2_000_000] {
        assert!(sink.weigh(&entry("", over)) > most, "{over}");
    }
    assert_eq!(sink.entry(String::new(), Bytes::from_static(b"x")).data.len(), 2);
}

#[tokio::test]
async fn how_large_a_record_may_be_is_learned_from_what_is_taken_and_from_the_streams_own_word() {
    let fake = FakeUpstream::start().await;
    fake.shards(4, 0, None);
    fake.keep_to_itself();
    let sink = Arc::new(kinesis(&fake.url()).await);
    let of = |bytes: usize| vec![Entry::plain("k".into(), vec![7; bytes - 1].into())];
    let known = || (sink.sure_bytes(), sink.limits().entry_bytes);
    assert_eq!(known(), (1 << 20, 10 << 20));

    // A policy that permits nothing but to put records.
    assert_eq!(sink.put(of(3 << 20)).await, Ok(vec![Fate::Taken]));
    assert_eq!(known(), (3 << 20, 10 << 20));
    let refused = Answer::refuse(400, "ValidationException", "too large");
    fake.next(1, refused);
    sink.put(of(4 << 20)).await.unwrap_err();
    assert_eq!(known(), (3 << 20, 10 << 20), "what is refused may be refused for anything");

    let told = Arc::new(kinesis(&fake.url()).await);
    fake.tell();
    let mut tending = tokio::task::JoinSet::new();
    tending.spawn({
        let told = told.clone();
        async move { told.tend().await }
    });
    told.tended().await;
    assert_eq!((told.sure_bytes(), told.limits().entry_bytes), (2 << 20, 2 << 20));
    tending.abort_all();

    // What an earlier run heard may be old: it makes nothing certain but what it allows.
    let facts = StreamFacts { record_bytes_max: Some(2 << 20), ..StreamFacts::default() };
    let later = kinesis(&fake.url()).await;
    later.recall(facts, Duration::from_secs(86_400));
    assert_eq!((later.sure_bytes(), later.limits().entry_bytes), (2 << 20, 10 << 20));
}

#[tokio::test]
async fn a_request_at_the_limits_is_taken_by_the_services() {
    let fake = FakeUpstream::start().await;
    let mut kinesis_settings = kinesis_settings(&fake.url());
    kinesis_settings.max_record_bytes = 10 << 20;
    kinesis_settings.aws.request_timeout = Duration::from_secs(20);
    let sink = Kinesis::connect(&kinesis_settings, &clock()).await.unwrap();
    let largest = vec![Entry::plain("k".into(), vec![7; (10 << 20) - 1].into())];
    assert_eq!(sink.weigh(&largest[0]), sink.limits().entry_bytes);
    assert_eq!(sink.put(largest).await, Ok(vec![Fate::Taken]));

    let aws = kinesis_settings.aws;
    let settings =
        FirehoseSettings { delivery_stream: "x".repeat(64), aws, ..firehose_settings("") };
    let sink = Firehose::connect(&settings, &clock()).await.unwrap();
    let limits = sink.limits();
    let one = sink.entry(String::new(), vec![b'x'; 8_000].into());
    let mut full = vec![one; limits.entries];
    while full.iter().map(|entry| sink.weigh(entry)).sum::<usize>() > limits.request_bytes {
        full.pop();
    }
    let sent = full.len();
    assert!(sent > 300, "{sent}");
    assert_eq!(sink.put(full).await, Ok(vec![Fate::Taken; sent]));
}
