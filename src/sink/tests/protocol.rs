//! PutRecords in CBOR, and where that is not understood.

use bytes::Bytes;

use super::aws::{aws, clock, fault, kinesis_settings, put};
use crate::base::secret::Secret;
use crate::sink::fake_upstream::{Answer, FakeUpstream};
use crate::sink::{
    At, AwsSettings, Entry, Fate, Kinesis, KinesisSettings, Load, Protocol, Proxy, Sink,
};

/// One that takes the fake for AWS itself: a proxy that leads there.
async fn as_at_aws(fake: &FakeUpstream) -> Kinesis {
    let proxy = Proxy::Through(Secret::new(fake.url()));
    let url = "http://kinesis.eu-west-1.amazonaws.com";
    let settings =
        KinesisSettings { aws: AwsSettings { proxy, ..aws(url) }, ..kinesis_settings(url) };
    Kinesis::connect(&settings, &clock()).await.unwrap()
}

/// How each request came: whether in CBOR, and of how many records.
fn came(fake: &FakeUpstream) -> Vec<(bool, usize)> {
    fake.requests().iter().map(|request| (request.is_cbor, request.records.len())).collect()
}

#[tokio::test]
async fn at_aws_requests_go_in_cbor_with_data_as_it_is() {
    let fake = FakeUpstream::start().await;
    let sink = as_at_aws(&fake).await;
    let data: Bytes = (0..=255).collect::<Vec<u8>>().repeat(40).into();
    let hashed = Entry { hash_key: Some(u128::MAX), ..Entry::plain("é".into(), data.clone()) };
    let load = Load { entries: 2, weight: data.len() + 2 + 3, hash_keys: 1 };
    let before = sink.wire_bytes(load);

    let entries = vec![hashed, Entry::plain("k".into(), Bytes::from_static(b"ab"))];
    assert_eq!(sink.put(entries).await, Ok(vec![Fate::Taken; 2]));

    let (taken, request) = (fake.taken(), fake.requests().remove(0));
    assert!(request.is_cbor && taken[0].data == data && taken[1].data == b"ab");
    assert_eq!((taken[0].key.as_str(), taken[0].hash_key), ("é", Some(u128::MAX)));
    let after = sink.wire_bytes(load);
    assert!(after < before * 4 / 5, "{after} of {before}: no base64 any more");
    assert!(after.abs_diff(request.body_bytes as u64) < 64, "{after}, {}", request.body_bytes);
}

#[tokio::test]
async fn faults_and_results_that_come_in_cbor_are_those_that_come_in_json() {
    let fake = FakeUpstream::start().await;
    let sink = as_at_aws(&fake).await;
    let code = "ProvisionedThroughputExceededException";

    fake.next(1, Answer::refuse(400, "com.amazonaws.kinesis#KMSThrottlingException", "slower"));
    let refused = fault(At::Answer(400), "KMSThrottlingException", "slower");
    assert_eq!(put(&sink, &["a"]).await, Err(refused));
    fake.script(move |request| Answer::fail_entries(request, code, |place, _| place == 1));
    let failed = Fate::Failed(fault(At::Entry, code, &format!("{code} for this record")));
    assert_eq!(put(&sink, &["a", "b"]).await, Ok(vec![Fate::Taken, failed]));
    assert_eq!(came(&fake), [(true, 1), (true, 2)], "a refusal in CBOR is no doubt of it");
}

#[tokio::test]
async fn who_does_not_like_the_form_gets_the_same_in_json_and_from_then_on_only_json() {
    for status in [400, 404, 413, 415, 501] {
        let fake = FakeUpstream::start().await;
        fake.refuse_cbor(status);
        let sink = as_at_aws(&fake).await;

        // What refuses everything tells nothing of CBOR.
        fake.next(1, Answer::refuse(503, "ServiceUnavailable", "later"));
        put(&sink, &["a"]).await.unwrap_err();
        assert_eq!(put(&sink, &["a", "b"]).await, Ok(vec![Fate::Taken; 2]));
        assert_eq!(put(&sink, &["c"]).await, Ok(vec![Fate::Taken]));
        assert_eq!(came(&fake), [(false, 1), (false, 2), (false, 1)], "{status}");
        assert_eq!(fake.taken_count(), 3);
    }
}

#[tokio::test]
async fn a_hiccup_is_none_of_cbors_and_three_in_a_row_are() {
    for status in [403, 500, 502, 503] {
        let fake = FakeUpstream::start().await;
        fake.refuse_cbor(status);
        let sink = as_at_aws(&fake).await;

        for _ in 0..2 {
            let fault = put(&sink, &["a"]).await.unwrap_err();
            assert_eq!((fault.at, fake.request_count()), (At::Answer(status), 0));
        }
        assert_eq!(put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));
        assert_eq!(came(&fake), [(false, 1)]);
    }
}

#[tokio::test]
async fn who_ceases_to_take_cbor_gets_json_with_the_next_request_and_nothing_is_held_against_the_records()
 {
    for status in [400, 413, 415] {
        let fake = FakeUpstream::start().await;
        let sink = as_at_aws(&fake).await;
        assert_eq!(put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));

        fake.refuse_cbor(status);
        let fault = put(&sink, &["b"]).await.unwrap_err();
        assert_eq!((fault.at, fault.code.as_str()), (At::Transport, "cbor-refused"));
        assert_eq!(put(&sink, &["b"]).await, Ok(vec![Fate::Taken]));
        assert_eq!(came(&fake), [(true, 1), (false, 1)], "{status}");
    }
}

#[tokio::test]
async fn without_an_answer_nothing_is_sent_in_another_way() {
    let fake = FakeUpstream::start().await;
    let sink = as_at_aws(&fake).await;

    fake.next(1, Answer::TakeAndReset);
    put(&sink, &["a"]).await.unwrap_err();
    assert_eq!((came(&fake), fake.taken_count()), (vec![(true, 1)], 1), "it may have arrived");
    assert_eq!(put(&sink, &["b"]).await, Ok(vec![Fate::Taken]));
    assert_eq!(came(&fake), [(true, 1); 2]);
}

#[tokio::test]
async fn answers_that_nobody_can_read_are_not_asked_for_in_cbor_for_ever() {
    let fake = FakeUpstream::start().await;
    let sink = as_at_aws(&fake).await;
    let page = Answer::Raw {
        status: 200,
        content_type: "text/html",
        body: "<h1>welcome</h1>".into(),
        retry_after_s: None,
    };

    fake.next(3, page);
    for _ in 0..3 {
        let fault = put(&sink, &["a"]).await.unwrap_err();
        assert_eq!((fault.at, fault.code.as_str()), (At::Transport, "unreadable-answer"));
    }
    assert_eq!(put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));
    assert_eq!(came(&fake), [(true, 1), (true, 1), (true, 1), (false, 1)]);
}

#[tokio::test]
async fn elsewhere_requests_go_in_json_unless_cbor_is_wanted() {
    let fake = FakeUpstream::start().await;
    for (protocol, is_cbor) in
        [(Protocol::Auto, false), (Protocol::Json, false), (Protocol::Cbor, true)]
    {
        let settings = KinesisSettings { protocol, ..kinesis_settings(&fake.url()) };
        let sink = Kinesis::connect(&settings, &clock()).await.unwrap();
        assert_eq!(put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));
        assert_eq!(fake.requests().last().unwrap().is_cbor, is_cbor, "{protocol:?}");
    }
}
