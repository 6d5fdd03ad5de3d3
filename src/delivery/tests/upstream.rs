//! The worker with the real sinks over HTTP: faults of every class, at every place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::{
    ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future,
};
use tokio::time::sleep;

use super::{Bench, TestQueue};
use crate::base::clock::Clock;
use crate::base::secret::Secret;
use crate::queue::Settled;
use crate::sink::fake_upstream::{Answer, FakeUpstream, Request, Taken};
use crate::sink::{
    AwsSettings, Firehose, FirehoseSettings, Kinesis, KinesisSettings, Protocol, ServiceClock,
    Sink, StaticCredentials,
};

fn aws(url: &str) -> AwsSettings {
    AwsSettings {
        region: Some("eu-west-1".into()),
        endpoint_url: Some(url.into()),
        credentials: Some(StaticCredentials {
            access_key_id: Secret::new("AKIAEXAMPLE"),
            secret_access_key: Secret::new("example"),
            session_token: None,
        }),
        connect_timeout: Duration::from_secs(1),
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
        aggregate_bytes: Some(50 << 10),
        protocol: Protocol::Auto,
        aws: aws(url),
    }
}

pub(super) async fn kinesis(url: &str) -> Arc<Kinesis> {
    Arc::new(Kinesis::connect(&kinesis_settings(url), &clock()).await.unwrap())
}

/// The same, without aggregation.
pub(super) async fn plain(url: &str) -> Arc<Kinesis> {
    let settings = KinesisSettings { aggregate_bytes: None, ..kinesis_settings(url) };
    Arc::new(Kinesis::connect(&settings, &clock()).await.unwrap())
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

async fn firehose(url: &str) -> Arc<Firehose> {
    Arc::new(Firehose::connect(&firehose_settings(url), &clock()).await.unwrap())
}

/// How often each record was taken, by its text.
fn times(taken: Vec<Taken>) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for one in taken {
        let text = String::from_utf8(one.data).unwrap();
        *times.entry(text.trim_end().to_owned()).or_default() += 1;
    }
    times
}

fn texts(request: &Request) -> Vec<String> {
    let text = |data: &[u8]| String::from_utf8(data.to_vec()).unwrap().trim_end().to_owned();
    request.records.iter().map(|sent| text(&sent.data)).collect()
}

/// Delivers this many records to the end.
async fn deliver<S: Sink>(sink: Arc<S>, count: usize) -> Bench {
    let queue = TestQueue::default();
    queue.push_records(count);
    let bench = Bench::start(queue, sink);
    bench.queue.settled_all().await;
    bench
}

/// Every code of both services that does not blame a record, and one that nobody knows.
const CODES: [(u16, &str, &str); 27] = [
    (400, "LimitExceededException", "throttled"),
    (400, "ThrottlingException", "throttled"),
    (400, "RequestLimitExceeded", "throttled"),
    (503, "SlowDown", "throttled"),
    (400, "BandwidthLimitExceeded", "throttled"),
    (503, "ServiceUnavailable", "transient"),
    (408, "RequestTimeout", "transient"),
    (400, "NotAuthorized", "auth"),
    (400, "OptInRequired", "auth"),
    (400, "UnrecognizedClientException", "auth"),
    (403, "MissingAuthenticationToken", "auth"),
    (400, "KMSAccessDeniedException", "config"),
    (400, "KMSInvalidStateException", "config"),
    (400, "KMSNotFoundException", "config"),
    (400, "InvalidKMSResourceException", "config"),
    (400, "ProvisionedThroughputExceededException", "throttled"),
    (400, "KMSThrottlingException", "throttled"),
    (503, "ServiceUnavailableException", "throttled"),
    (500, "InternalFailure", "transient"),
    (400, "ResourceInUseException", "transient"),
    (400, "AccessDeniedException", "auth"),
    (400, "ExpiredTokenException", "auth"),
    (403, "InvalidClientTokenId", "auth"),
    (400, "RequestTimeTooSkewed", "clock"),
    (400, "ResourceNotFoundException", "config"),
    (400, "KMSDisabledException", "config"),
    (400, "NobodyKnowsThis", "config"),
];

async fn whole_requests_go_again<S: Sink>(fake: &FakeUpstream, sink: Arc<S>) {
    for (status, code, class) in CODES {
        let before = (fake.request_count(), fake.taken_count());
        fake.next(2, Answer::refuse(status, code, "not now"));

        let bench = deliver(Arc::clone(&sink), 30).await;

        let requests = fake.requests().split_off(before.0);
        // One record looks, until it is taken.
        let sizes: Vec<_> = requests.iter().map(|request| request.records.len()).collect();
        assert_eq!(sizes, [30, 1, 1, 29], "{code}");
        assert_eq!(texts(&requests[1]), texts(&requests[2]), "{code}");
        let times = times(fake.taken().split_off(before.1));
        assert_eq!(times.len(), 30, "{code}");
        assert!(times.values().all(|times| *times == 1), "{code}: {times:?}");
        assert!(bench.dead().is_empty(), "{code}");
        let labels = format!("{{stream=\"access\",destination=\"archive\",class=\"{class}\"}}");
        assert_eq!(bench.number(&format!("weir_delivery_faults_total{labels}")), 31.0, "{code}");
        bench.end().await;
    }
}

async fn only_failed_entries_go_again<S: Sink>(fake: &FakeUpstream, sink: Arc<S>) {
    for (_, code, _) in CODES {
        for failing in [vec![0], vec![14], vec![29], vec![0, 1, 14, 28, 29], (0..30).collect()] {
            let before = (fake.request_count(), fake.taken_count());
            let places = failing.clone();
            let mut is_first = true;
            fake.script(move |request| {
                let fails_now = std::mem::take(&mut is_first);
                Answer::fail_entries(request, code, |place, _| fails_now && places.contains(&place))
            });

            let bench = deliver(Arc::clone(&sink), 30).await;

            let requests = fake.requests().split_off(before.0);
            let failed: Vec<_> = failing.iter().map(|place| format!("record {place}")).collect();
            // Where all of them failed, one looks first.
            assert!(requests.len() == 2 || requests.len() == 3 && failed.len() == 30, "{code}");
            let again: Vec<_> = requests[1..].iter().flat_map(texts).collect();
            assert_eq!(again, failed, "{code}");
            let times = times(fake.taken().split_off(before.1));
            assert!(times.len() == 30 && times.values().all(|times| *times == 1), "{times:?}");
            assert!(bench.dead().is_empty(), "{code}");
            bench.end().await;
        }
    }
}

#[tokio::test]
async fn a_refused_kinesis_request_goes_again_whole_for_every_class_and_nothing_dies() {
    let fake = FakeUpstream::start().await;
    whole_requests_go_again(&fake, kinesis(&fake.url()).await).await;
}

#[tokio::test]
async fn a_refused_firehose_request_goes_again_whole_for_every_class_and_nothing_dies() {
    let fake = FakeUpstream::start().await;
    whole_requests_go_again(&fake, firehose(&fake.url()).await).await;
}

#[tokio::test]
async fn exactly_the_failed_kinesis_entries_are_sent_again_for_every_class_and_place() {
    let fake = FakeUpstream::start().await;
    only_failed_entries_go_again(&fake, kinesis(&fake.url()).await).await;
}

#[tokio::test]
async fn exactly_the_failed_firehose_entries_are_sent_again_for_every_class_and_place() {
    let fake = FakeUpstream::start().await;
    only_failed_entries_go_again(&fake, firehose(&fake.url()).await).await;
}

async fn poison_is_isolated<S: Sink>(fake: &FakeUpstream, sink: Arc<S>) {
    for poison in ["record 0", "record 250", "record 499"] {
        let before = fake.taken_count();
        fake.poisoned_by(move |sent| sent.data.trim_ascii_end() == poison.as_bytes());

        let bench = deliver(Arc::clone(&sink), 500).await;

        let times = times(fake.taken().split_off(before));
        assert!(times.len() == 499 && times.values().all(|times| *times == 1), "{times:?}");
        let dead = bench.dead();
        assert_eq!(dead.len(), 1);
        assert_eq!(dead[0].record.payload, poison.as_bytes());
        assert_eq!(
            (dead[0].class.as_str(), dead[0].code.as_str()),
            ("poison", "ValidationException")
        );
        assert!((9..=11).contains(&dead[0].attempts), "{}", dead[0].attempts);
        assert_eq!(bench.queue.settled(Settled::Dead), 1);
        bench.end().await;
    }
}

#[tokio::test]
async fn one_poisonous_record_among_500_dies_alone_at_kinesis() {
    let fake = FakeUpstream::start().await;
    poison_is_isolated(&fake, kinesis(&fake.url()).await).await;
}

#[tokio::test]
async fn one_poisonous_record_among_500_dies_alone_at_firehose() {
    let fake = FakeUpstream::start().await;
    poison_is_isolated(&fake, firehose(&fake.url()).await).await;
}

#[tokio::test]
async fn one_poisonous_line_among_2_000_packed_ones_dies_alone() {
    let fake = FakeUpstream::start().await;
    let poison = b"record 1234\n";
    fake.poisoned_by(move |sent| sent.data.windows(poison.len()).any(|words| words == poison));
    let settings = FirehoseSettings { pack: true, ..firehose_settings(&fake.url()) };

    let bench =
        deliver(Arc::new(Firehose::connect(&settings, &clock()).await.unwrap()), 2_000).await;

    let dead: Vec<_> = bench.dead().into_iter().map(|letter| letter.record.payload).collect();
    assert_eq!(dead, ["record 1234"]);
    let taken: Vec<u8> = fake.taken().into_iter().flat_map(|taken| taken.data).collect();
    let mut lines: Vec<&str> = str::from_utf8(&taken).unwrap().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), 1_999);
    lines.dedup();
    assert_eq!(lines.len(), 1_999);
    bench.end().await;
}

#[tokio::test]
async fn a_request_that_is_too_large_as_a_whole_is_halved_until_it_passes() {
    let fake = FakeUpstream::start().await;
    fake.script(|request| {
        let body = "<html>Payload Too Large</html>".to_owned();
        let too_large =
            Answer::Raw { status: 413, content_type: "text/html", body, retry_after_s: None };
        if request.records.len() > 8 { too_large } else { Answer::Take }
    });
    let bench = deliver(kinesis(&fake.url()).await, 100).await;
    assert!(times(fake.taken()).values().all(|times| *times == 1));
    assert_eq!((fake.taken_count(), bench.dead().len()), (100, 0));
    bench.end().await;
}

fn raw(status: u16, content_type: &'static str, body: &str) -> Answer {
    Answer::Raw { status, content_type, body: body.into(), retry_after_s: None }
}

#[tokio::test]
async fn lost_and_late_answers_cost_duplicates_but_no_record() {
    let fake = FakeUpstream::start().await;
    let mut settings = (kinesis_settings(&fake.url()), firehose_settings(&fake.url()));
    settings.0.aws.request_timeout = Duration::from_millis(200);
    settings.1.aws.request_timeout = Duration::from_millis(200);
    let kinesis = Arc::new(Kinesis::connect(&settings.0, &clock()).await.unwrap());
    let firehose = Arc::new(Firehose::connect(&settings.1, &clock()).await.unwrap());
    for sink_is_kinesis in [true, false] {
        for (lost, most) in [
            (Answer::Reset, 1),
            (Answer::TakeAndReset, 2),
            (Answer::Stall, 1),
            (Answer::TakeAndStall, 2),
            (Answer::TakeAndMiscount(29), 2),
            (Answer::TakeAndMiscount(31), 2),
            (Answer::TakeAndMiscount(0), 2),
            (Answer::TakeAndContradict, 2),
            (Answer::SayNothing, 1),
            (raw(200, "text/html", "<html>Sign in to the hotel's network</html>"), 1),
            (raw(200, "application/x-amz-json-1.1", ""), 1),
            (raw(200, "application/x-amz-json-1.1", "{}"), 1),
            (raw(302, "text/html", ""), 1),
            (raw(400, "text/html", ""), 1),
            (raw(403, "text/xml", "<Error><Code>SlowDown</Code><Message>x</Message></Error>"), 1),
            (raw(502, "text/html", "<html>Bad Gateway</html>"), 1),
            (Answer::After(Duration::from_millis(40), Box::new(Answer::Take)), 1),
        ] {
            let before = fake.taken_count();
            fake.next(1, lost.clone());
            let bench = match sink_is_kinesis {
                true => deliver(Arc::clone(&kinesis), 30).await,
                false => deliver(Arc::clone(&firehose), 30).await,
            };
            let times = times(fake.taken().split_off(before));
            assert_eq!(times.len(), 30, "{lost:?}");
            assert!(times.values().all(|times| *times == most), "{lost:?}: {times:?}");
            assert!(bench.dead().is_empty());
            bench.end().await;
        }
    }
}

#[tokio::test]
async fn an_upstream_that_is_missing_at_the_start_gets_everything_when_it_comes() {
    let fake = FakeUpstream::start().await;
    let (address, url) = (fake.address(), fake.url());
    fake.stop().await;
    let queue = TestQueue::default();
    queue.push_records(700);
    let bench = Bench::start(queue, kinesis(&url).await);
    while bench.watch.hold().is_none() {
        sleep(Duration::from_millis(1)).await;
    }
    let hold = bench.watch.hold().unwrap();
    assert_eq!((hold.class.as_str(), hold.code.as_str()), ("transient", "connection-refused"));
    assert_eq!(bench.queue.owed(), 700);

    let fake = FakeUpstream::start_at(address).await;
    bench.queue.settled_all().await;

    let times = times(fake.taken());
    assert!(times.len() == 700 && times.values().all(|times| *times == 1));
    assert_eq!(bench.watch.hold(), None);
    bench.end().await;
}

/// Credentials that come late.
#[derive(Debug)]
struct Late(Arc<AtomicBool>);

impl ProvideCredentials for Late {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(if self.0.load(Ordering::SeqCst) {
            Ok(Credentials::new("AKIAEXAMPLE", "example", None, None, "a test"))
        } else {
            Err(CredentialsError::not_loaded("nobody lent any"))
        })
    }
}

#[tokio::test]
async fn without_credentials_the_destination_is_held_and_heals_when_they_come() {
    let fake = FakeUpstream::start().await;
    let are_there = Arc::new(AtomicBool::new(false));
    let late = SharedCredentialsProvider::new(Late(Arc::clone(&are_there)));
    let settings = kinesis_settings(&fake.url());
    let sink = Kinesis::connect_with(&settings, &clock(), Some(late)).await.unwrap();
    let queue = TestQueue::default();
    queue.push_records(30);
    let bench = Bench::start(queue, Arc::new(sink));
    while bench.watch.hold().is_none() {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(bench.watch.hold().unwrap().class, "auth");
    assert_eq!(fake.request_count(), 0);

    are_there.store(true, Ordering::SeqCst);
    bench.queue.settled_all().await;

    assert_eq!((fake.taken_count(), bench.dead().len()), (30, 0));
    assert_eq!(bench.watch.hold(), None);
    bench.end().await;
}

#[tokio::test]
async fn ten_thousand_records_through_a_moody_upstream_all_arrive() {
    let fake = FakeUpstream::start().await;
    fake.script(|request| match request.number % 7 {
        1 => Answer::refuse(503, "ServiceUnavailable", "busy"),
        2 => Answer::fail_entries(request, "InternalFailure", |place, _| place % 3 == 0),
        4 => Answer::Reset,
        5 => Answer::fail_entries(request, "ProvisionedThroughputExceededException", |_, sent| {
            sent.data.ends_with(b"5")
        }),
        _ => Answer::Take,
    });
    let bench = deliver(kinesis(&fake.url()).await, 10_000).await;
    let times = times(fake.taken());
    assert!(times.len() == 10_000 && times.values().all(|times| *times == 1));
    assert_eq!(bench.queue.settled(Settled::Delivered), 10_000);
    bench.end().await;
}

async fn entries_all_refused_are_held<S: Sink>(fake: &FakeUpstream, sink: Arc<S>) {
    let before = fake.taken_count();
    fake.script(|request| Answer::fail_entries(request, "ValidationException", |_, _| true));
    let queue = TestQueue::default();
    queue.push_records(30);
    let bench = Bench::start(queue, sink);
    while bench.watch.hold().is_none_or(|hold| hold.class != "config") {
        sleep(Duration::from_millis(1)).await;
    }
    fake.script(|_| Answer::Take);
    bench.queue.settled_all().await;

    let times = times(fake.taken().split_off(before));
    assert!(times.len() == 26 && times.values().all(|times| *times == 1), "{times:?}");
    assert_eq!(bench.dead().len(), 4, "the first four could not be told from bad ones");
    assert!(bench.dead().iter().all(|letter| letter.attempts >= 2));
    bench.end().await;
}

#[tokio::test]
async fn entries_refused_one_after_the_other_with_the_same_words_are_held_and_not_dead() {
    let fake = FakeUpstream::start().await;
    entries_all_refused_are_held(&fake, kinesis(&fake.url()).await).await;
    entries_all_refused_are_held(&fake, firehose(&fake.url()).await).await;
}
