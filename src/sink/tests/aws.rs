//! Requests as the services want them, answers as delivery wants them.

use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::secret::Secret;
use crate::sink::fake_upstream::{Answer, FakeUpstream};
use crate::sink::{
    At, AwsSettings, Fate, Fault, Firehose, FirehoseSettings, Kinesis, KinesisSettings, Outcome,
    Protocol, ServiceClock, Sink, StaticCredentials,
};

pub(super) fn aws(url: &str) -> AwsSettings {
    AwsSettings {
        region: Some("eu-west-1".into()),
        endpoint_url: Some(url.into()),
        credentials: Some(StaticCredentials {
            access_key_id: Secret::new("AKIAEXAMPLE"),
            secret_access_key: Secret::new("example"),
            session_token: None,
        }),
        connect_timeout: Duration::from_millis(500),
        request_timeout: Duration::from_secs(5),
        ..AwsSettings::default()
    }
}

pub(super) fn clock() -> ServiceClock {
    ServiceClock::new(Clock::real(), None)
}

pub(super) fn kinesis_settings(url: &str) -> KinesisSettings {
    KinesisSettings {
        stream_name: "access".into(),
        max_record_bytes: 1 << 20,
        aggregate_bytes: None,
        protocol: Protocol::Auto,
        aws: aws(url),
    }
}

pub(super) async fn kinesis(url: &str) -> Kinesis {
    Kinesis::connect(&kinesis_settings(url), &clock()).await.unwrap()
}

pub(super) fn firehose_settings(url: &str) -> FirehoseSettings {
    FirehoseSettings {
        delivery_stream: "access-to-s3".into(),
        newline: true,
        pack: false,
        pack_bytes: FirehoseSettings::PACK_BYTES_MAX,
        deaggregation: false,
        aws: aws(url),
    }
}

pub(super) async fn firehose(url: &str) -> Firehose {
    Firehose::connect(&firehose_settings(url), &clock()).await.unwrap()
}

pub(super) async fn put(sink: &impl Sink, payloads: &[&str]) -> Outcome {
    sink.put(super::entries(sink, payloads)).await
}

pub(super) fn fault(at: At, code: &str, message: &str) -> Fault {
    Fault { at, code: code.into(), message: message.into(), retry_after: None }
}

#[tokio::test]
async fn kinesis_gets_keys_and_data_by_name_or_by_arn() {
    let fake = FakeUpstream::start().await;
    let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/access";
    let by_arn = KinesisSettings { stream_name: arn.into(), ..kinesis_settings(&fake.url()) };

    let named = put(&kinesis(&fake.url()).await, &["one", "two"]).await;
    let with_arn = put(&Kinesis::connect(&by_arn, &clock()).await.unwrap(), &["three"]).await;

    assert_eq!(named, Ok(vec![Fate::Taken; 2]));
    assert_eq!(with_arn, Ok(vec![Fate::Taken]));
    let taken: Vec<_> = fake
        .taken()
        .into_iter()
        .map(|taken| (taken.stream, taken.key, String::from_utf8(taken.data).unwrap()))
        .collect();
    let row = |stream: &str, text: &str| (stream.into(), format!("key of {text}"), text.into());
    assert_eq!(taken, [row("access", "one"), row("access", "two"), row(arn, "three")]);
}

#[tokio::test]
async fn firehose_gets_every_record_with_exactly_one_newline() {
    let fake = FakeUpstream::start().await;
    let sink = firehose(&fake.url()).await;

    assert_eq!(put(&sink, &["one", "two\n", ""]).await, Ok(vec![Fate::Taken; 3]));

    let data: Vec<_> = fake.taken().into_iter().map(|taken| taken.data).collect();
    assert_eq!(data, [b"one\n".to_vec(), b"two\n".to_vec(), b"\n".to_vec()]);
}

#[tokio::test]
async fn each_entry_has_its_own_fate_in_the_order_of_the_request() {
    let fake = FakeUpstream::start().await;
    for code in ["ProvisionedThroughputExceededException", "InternalFailure"] {
        fake.script(move |request| Answer::fail_entries(request, code, |place, _| place == 1));
        let failed = Fate::Failed(fault(At::Entry, code, &format!("{code} for this record")));
        let expected = Ok(vec![Fate::Taken, failed, Fate::Taken]);

        assert_eq!(put(&kinesis(&fake.url()).await, &["a", "b", "c"]).await, expected);
        assert_eq!(put(&firehose(&fake.url()).await, &["a", "b", "c"]).await, expected);
    }
}

#[tokio::test]
async fn a_refused_request_keeps_the_services_code_words_status_and_wait() {
    let fake = FakeUpstream::start().await;
    let kinesis = kinesis(&fake.url()).await;
    let firehose = firehose(&fake.url()).await;

    fake.next(
        2,
        Answer::Refuse {
            status: 400,
            code: "com.amazonaws.kinesis#KMSThrottlingException".into(),
            message: "slower".into(),
            retry_after_ms: Some(1_500),
        },
    );
    let expected = Fault {
        retry_after: Some(Duration::from_millis(1_500)),
        ..fault(At::Answer(400), "KMSThrottlingException", "slower")
    };
    assert_eq!(put(&kinesis, &["a"]).await, Err(expected.clone()));
    assert_eq!(put(&firehose, &["a"]).await, Err(expected));

    fake.next(1, Answer::refuse(400, "NobodyKnowsThis", "new"));
    let expected = fault(At::Answer(400), "NobodyKnowsThis", "new");
    assert_eq!(put(&kinesis, &["a"]).await, Err(expected));
}

#[tokio::test]
async fn answers_in_other_languages_than_json_are_understood_as_far_as_they_go() {
    let fake = FakeUpstream::start().await;
    let kinesis = kinesis(&fake.url()).await;
    let raw = |status, content_type, body: &str, retry_after_s| Answer::Raw {
        status,
        content_type,
        body: body.into(),
        retry_after_s,
    };

    let xml = "<ErrorResponse><Error><Code>InvalidClientTokenId</Code>\
               <Message>no such key</Message></Error></ErrorResponse>";
    fake.next(1, raw(403, "text/xml", xml, None));
    let expected = fault(At::Answer(403), "InvalidClientTokenId", "no such key");
    assert_eq!(put(&kinesis, &["a"]).await, Err(expected));

    fake.next(1, raw(502, "text/html", "<h1>Bad gateway</h1>", Some(7)));
    let expected = Fault {
        retry_after: Some(Duration::from_secs(7)),
        ..fault(At::Answer(502), "http-502", "<h1>Bad gateway</h1>")
    };
    assert_eq!(put(&kinesis, &["a"]).await, Err(expected));

    fake.next(1, raw(503, "application/x-amz-json-1.1", "", None));
    assert_eq!(put(&kinesis, &["a"]).await, Err(fault(At::Answer(503), "http-503", "")));

    fake.next(1, raw(200, "text/html", "<h1>Sign in to this network</h1>", None));
    let fault = put(&kinesis, &["a"]).await.unwrap_err();
    assert_eq!((fault.at, fault.code.as_str()), (At::Transport, "unreadable-answer"));
}

#[tokio::test]
async fn the_words_of_an_upstream_are_one_short_line_that_moves_no_cursor() {
    let fake = FakeUpstream::start().await;
    let kinesis = kinesis(&fake.url()).await;
    let check = async |answer, at, code: &str, message: &str| {
        fake.next(1, answer);
        assert_eq!(put(&kinesis, &["a"]).await, Err(fault(at, code, message)));
    };

    let page = "<p>\u{1b}[2J\u{1b}[1;31mall\r\nis well\u{9b}</p>".to_owned();
    let page =
        Answer::Raw { status: 400, content_type: "text/html", body: page, retry_after_s: None };
    let shown = "<p> [2J [1;31mall is well </p>";
    check(page, At::Answer(400), "http-400", shown).await;

    let long = Answer::refuse(400, &"c".repeat(200), &"m".repeat(2_000));
    check(long, At::Answer(400), &"c".repeat(100), &"m".repeat(1_000)).await;

    let entry = Some(("c\u{7}".repeat(100), "m\n".repeat(1_000)));
    fake.next(1, Answer::Entries(vec![entry]));
    let expected = fault(At::Entry, "c ".repeat(50).trim_end(), "m ".repeat(500).trim_end());
    assert_eq!(put(&kinesis, &["a"]).await, Ok(vec![Fate::Failed(expected)]));
}

#[tokio::test]
async fn an_answer_with_too_few_or_too_many_results_says_nothing_about_any_entry() {
    let fake = FakeUpstream::start().await;
    for count in [0, 1, 3] {
        fake.next(2, Answer::TakeAndMiscount(count));
        let message = format!("{count} results came for 2 entries");
        let expected = Err(fault(At::Transport, "wrong-result-count", &message));

        assert_eq!(put(&kinesis(&fake.url()).await, &["a", "b"]).await, expected);
        assert_eq!(put(&firehose(&fake.url()).await, &["a", "b"]).await, expected);
    }
}

#[tokio::test]
async fn no_answer_is_told_from_an_answer_that_came_too_late() {
    let fake = FakeUpstream::start().await;
    let mut settings = kinesis_settings(&fake.url());
    settings.aws.request_timeout = Duration::from_millis(200);
    let sink = Kinesis::connect(&settings, &clock()).await.unwrap();

    for lost in [Answer::Reset, Answer::TakeAndReset] {
        fake.next(1, lost);
        assert_eq!(put(&sink, &["a"]).await.unwrap_err().at, At::Transport);
    }
    fake.next(1, Answer::TakeAndStall);
    assert_eq!(put(&sink, &["a"]).await.unwrap_err().at, At::Timeout);

    let (content_type, body) = ("application/x-amz-json-1.1", " ".repeat((8 << 20) + 1));
    fake.next(1, Answer::Raw { status: 200, content_type, body, retry_after_s: None });
    let fault = put(&kinesis(&fake.url()).await, &["a"]).await.unwrap_err();
    assert_eq!((fault.at, fault.code.as_str()), (At::Transport, "answer-too-large"));

    let gone = fake.url();
    fake.stop().await;
    let fault = put(&kinesis(&gone).await, &["a"]).await.unwrap_err();
    assert_eq!((fault.at, fault.code.as_str()), (At::Transport, "connection-refused"));
    let fault = put(&kinesis("http://no-such-host.invalid").await, &["a"]).await.unwrap_err();
    assert_eq!((fault.at, fault.code.as_str()), (At::Transport, "no-connection"));
}

#[tokio::test]
async fn a_wrong_endpoint_is_refused_in_words() {
    let settings = |url: &str| KinesisSettings { aws: aws(url), ..kinesis_settings(url) };
    for wrong in ["kinesis.eu-west-1.amazonaws.com", "http://", "http://a b", "ftp://x"] {
        let words = Kinesis::connect(&settings(wrong), &clock()).await.unwrap_err();
        assert!(words.starts_with(&format!("`endpoint_url` is {wrong:?}, but")), "{words}");
    }
}
