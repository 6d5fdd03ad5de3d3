//! Requests as the services want them, answers as delivery wants them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::{
    ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future,
};
use bytes::Bytes;

use crate::base::clock::Clock;
use crate::base::disk::RealDisk;
use crate::base::scratch::Scratch;
use crate::base::secret::Secret;
use crate::sink::fake_upstream::{Answer, FakeUpstream};
use crate::sink::{
    At, AwsSettings, Entry, Fate, Fault, Firehose, FirehoseSettings, Kinesis, KinesisSettings,
    Outcome, RoleSettings, ServiceClock, Sink, StaticCredentials, StreamFacts,
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

fn clock() -> ServiceClock {
    ServiceClock::new(Clock::real(), None)
}

pub(super) fn kinesis_settings(url: &str) -> KinesisSettings {
    KinesisSettings {
        stream_name: "access".into(),
        max_record_bytes: 1 << 20,
        aggregate_bytes: None,
        aws: aws(url),
    }
}

async fn kinesis(url: &str) -> Kinesis {
    Kinesis::connect(&kinesis_settings(url), &clock()).await.unwrap()
}

fn firehose_settings(url: &str) -> FirehoseSettings {
    FirehoseSettings {
        delivery_stream: "access-to-s3".into(),
        newline: true,
        pack: false,
        pack_bytes: FirehoseSettings::PACK_BYTES_MAX,
        deaggregation: false,
        aws: aws(url),
    }
}

async fn firehose(url: &str) -> Firehose {
    Firehose::connect(&firehose_settings(url), &clock()).await.unwrap()
}

pub(super) async fn put(sink: &impl Sink, payloads: &[&str]) -> Outcome {
    sink.put(super::entries(sink, payloads)).await
}

fn fault(at: At, code: &str, message: &str) -> Fault {
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

    let gone = fake.url();
    fake.stop().await;
    let fault = put(&kinesis(&gone).await, &["a"]).await.unwrap_err();
    assert_eq!((fault.at, fault.code.as_str()), (At::Transport, "connection-refused"));
    let fault = put(&kinesis("http://no-such-host.invalid").await, &["a"]).await.unwrap_err();
    assert_eq!((fault.at, fault.code.as_str()), (At::Transport, "no-connection"));
}

#[derive(Debug)]
struct NoCredentials;

impl ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let words = "nobody lent any";
        future::ProvideCredentials::ready(Err::<Credentials, _>(CredentialsError::not_loaded(
            words,
        )))
    }
}

#[tokio::test]
async fn absent_credentials_are_a_fault_of_the_request_not_of_the_start() {
    let fake = FakeUpstream::start().await;
    let none = SharedCredentialsProvider::new(NoCredentials);

    let settings = kinesis_settings(&fake.url());
    let sink = Kinesis::connect_with(&settings, &clock(), Some(none)).await.unwrap();
    let fault = put(&sink, &["a"]).await.unwrap_err();

    assert_eq!((fault.at, fault.code.as_str()), (At::Credentials, "no-credentials"));
    assert!(fault.message.contains("nobody lent any"), "{}", fault.message);
    assert_eq!(fake.request_count(), 0);
}

#[tokio::test]
async fn credentials_that_end_while_nobody_can_be_asked_for_others_are_no_fault_of_credentials() {
    // A role to take on, and an STS that is out of reach.
    let fake = FakeUpstream::start().await;
    let mut settings = kinesis_settings(&fake.url());
    settings.aws.assume_role = Some(RoleSettings {
        arn: "arn:aws:iam::123456789012:role/ingest".into(),
        external_id: None,
        session_name: "weir".into(),
        duration: Duration::from_secs(3_600),
        endpoint_url: Some("http://127.0.0.1:1".into()),
    });
    let sink = Kinesis::connect(&settings, &clock()).await.unwrap();

    let fault = put(&sink, &["a"]).await.unwrap_err();

    assert_eq!((fault.at, fault.code.as_str()), (At::Transport, "credentials-out-of-reach"));
    assert_eq!(fake.request_count(), 0);
}

#[tokio::test]
async fn credentials_in_files_are_read_again_when_they_are_refused_or_not_allowed() {
    let (fake, scratch) = (FakeUpstream::start().await, Scratch::new());
    let (id, key) = (scratch.path().join("id"), scratch.path().join("key"));
    let write = |id_text: &str| {
        std::fs::write(&id, format!("{id_text}\n")).unwrap();
        std::fs::write(&key, "secret\n").unwrap();
    };
    write("AKIA0");
    let read = |path: &std::path::Path| {
        let reference = format!("file:{}", path.display());
        crate::base::secret::resolve(&RealDisk, &|_| None, &reference).unwrap()
    };
    let mut settings = kinesis_settings(&fake.url());
    settings.aws.credentials = Some(StaticCredentials {
        access_key_id: read(&id),
        secret_access_key: read(&key),
        session_token: None,
    });
    let sink = Kinesis::connect(&settings, &clock()).await.unwrap();

    for (number, code) in
        ["UnrecognizedClientException", "AccessDeniedException"].into_iter().enumerate()
    {
        fake.next(1, Answer::refuse(400, code, "no"));
        put(&sink, &["a"]).await.unwrap_err();
        write(&format!("AKIA{}", number + 1));
        assert_eq!(put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));
        let scope = fake.requests().pop().unwrap().scope;
        assert!(scope.starts_with(&format!("AKIA{}/", number + 1)), "{code}: {scope}");
    }

    // A file that is gone says what it said last.
    fake.next(1, Answer::refuse(400, "AccessDeniedException", "no"));
    put(&sink, &["a"]).await.unwrap_err();
    std::fs::remove_file(&key).unwrap();
    assert_eq!(put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));
}

/// Counts how often it was asked.
#[derive(Debug)]
struct Counting(Arc<AtomicUsize>);

impl ProvideCredentials for Counting {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        self.0.fetch_add(1, Ordering::SeqCst);
        let credentials = Credentials::new("AKIAEXAMPLE", "example", None, None, "a test");
        future::ProvideCredentials::ready(Ok(credentials))
    }
}

#[tokio::test]
async fn credentials_are_kept_until_the_service_refuses_them() {
    let fake = FakeUpstream::start().await;
    let count = Arc::new(AtomicUsize::new(0));
    let given = SharedCredentialsProvider::new(Counting(Arc::clone(&count)));
    let settings = kinesis_settings(&fake.url());
    let sink = Kinesis::connect_with(&settings, &clock(), Some(given)).await.unwrap();
    let asked = || count.load(Ordering::SeqCst);

    for (status, code, fetches) in [
        (400, "AccessDeniedException", 1),
        (500, "InternalFailure", 1),
        (400, "ExpiredTokenException", 2),
        (403, "InvalidClientTokenId", 3),
        (400, "UnrecognizedClientException", 4),
        (400, "InvalidSignatureException", 5),
    ] {
        fake.next(1, Answer::refuse(status, code, "no"));
        assert!(put(&sink, &["a"]).await.is_err());
        for _ in 0..2 {
            assert_eq!(put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));
        }
        assert_eq!(asked(), fetches, "{code}");
    }
}

#[tokio::test]
async fn a_wrong_endpoint_is_refused_in_words() {
    let settings = |url: &str| KinesisSettings { aws: aws(url), ..kinesis_settings(url) };
    for wrong in ["kinesis.eu-west-1.amazonaws.com", "http://", "http://a b", "ftp://x"] {
        let words = Kinesis::connect(&settings(wrong), &clock()).await.unwrap_err();
        assert!(words.starts_with(&format!("`endpoint_url` is {wrong:?}, but")), "{words}");
    }
}

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

async fn packing_firehose(url: &str, deaggregation: bool) -> Firehose {
    let settings = FirehoseSettings { pack: true, deaggregation, ..firehose_settings(url) };
    Firehose::connect(&settings, &clock()).await.unwrap()
}

#[tokio::test]
async fn packed_lines_travel_in_few_firehose_records_and_share_their_fate() {
    let fake = FakeUpstream::start().await;
    let settings = FirehoseSettings { pack: true, pack_bytes: 16 << 10, ..firehose_settings("") };
    let settings = FirehoseSettings { aws: aws(&fake.url()), ..settings };
    let sink = Firehose::connect(&settings, &clock()).await.unwrap();
    let line = |letter: &str, bytes| letter.repeat(bytes);
    let lines = [line("a", 8_000), line("b", 8_000), line("c", 20_000), "d\n\nd".into()];
    fake.script(|request| Answer::fail_entries(request, "InternalFailure", |at, _| at == 0));

    let fates = put(&sink, &lines.each_ref().map(String::as_str)).await.unwrap();

    let failed = |fate: &Fate| matches!(fate, Fate::Failed(_));
    assert_eq!(fates.iter().map(failed).collect::<Vec<_>>(), [true, true, false, false]);
    let sizes: Vec<_> = fake.requests()[0].records.iter().map(|record| record.data.len()).collect();
    assert_eq!(sizes, [16_002, 20_001, 5]);
    assert_eq!(fake.taken()[1].data, b"d\n\nd\n");
}

#[tokio::test]
async fn without_newlines_nothing_is_packed() {
    let fake = FakeUpstream::start().await;
    let unframed =
        FirehoseSettings { newline: false, pack: true, ..firehose_settings(&fake.url()) };
    let sink = Firehose::connect(&unframed, &clock()).await.unwrap();

    assert_eq!(put(&sink, &["a", "b"]).await, Ok(vec![Fate::Taken; 2]));

    assert_eq!(fake.taken_count(), 2);
    assert_eq!(sink.limits().entries, 500);
}

#[tokio::test]
async fn a_full_request_of_packed_lines_of_any_size_stays_within_the_services_limits() {
    let fake = FakeUpstream::start().await;
    for (deaggregation, pack_bytes) in [(false, 16 << 10), (false, 1_024_000), (true, 16 << 10)] {
        for bytes in [0, 1, 60, 8_192, 8_191, 16_384, 1_023_999] {
            let base = firehose_settings(&fake.url());
            let settings = FirehoseSettings { pack: true, pack_bytes, deaggregation, ..base };
            let sink = Firehose::connect(&settings, &clock()).await.unwrap();
            let line = sink.entry(String::new(), vec![b'x'; bytes].into());
            let limits = sink.limits();
            let count = limits.entries.min(limits.request_bytes / sink.weigh(&line));

            let outcome = sink.put(vec![line; count]).await;

            assert_eq!(outcome, Ok(vec![Fate::Taken; count]), "{bytes} {pack_bytes}");
            let request = fake.requests().pop().unwrap();
            assert!(request.body_bytes <= 4 << 20, "{}", request.body_bytes);
            // A full request has little room left, unless the count of lines ended it.
            assert!(count == limits.entries || request.body_bytes > 2_700_000, "{bytes}");
        }
    }
}

#[tokio::test]
async fn a_record_that_firehose_takes_apart_has_at_most_500_lines() {
    let fake = FakeUpstream::start().await;
    let sink = packing_firehose(&fake.url(), true).await;
    let lines = vec![sink.entry(String::new(), Bytes::from_static(b"x")); 501];

    assert_eq!(sink.put(lines).await, Ok(vec![Fate::Taken; 501]));

    let sizes: Vec<_> = fake.taken().iter().map(|taken| taken.data.len()).collect();
    assert_eq!(sizes, [1_000, 2]);
}

#[tokio::test]
async fn a_packed_line_over_the_limit_weighs_more_than_the_limit() {
    let sink = packing_firehose("http://127.0.0.1:1", false).await;
    let most = sink.limits().entry_bytes;
    for (bytes, fits) in [(1_023_999, true), (1_024_000, true), (1_024_001, false)] {
        let entry = Entry::plain(String::new(), vec![b'x'; bytes].into());
        assert_eq!(sink.weigh(&entry) <= most, fits, "{bytes}");
    }
}
