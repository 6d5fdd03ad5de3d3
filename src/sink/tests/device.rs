//! Credentials for the certificate of a device, from a provider behind mutual TLS.

use std::time::Duration;

use crate::base::clock::{Clock, rfc3339};
use crate::base::scratch::Scratch;
use crate::sink::fake_upstream::{Answer, FakeUpstream};
use crate::sink::tls_peer::{ALWAYS, Authority, IotAnswer, IotStub};
use crate::sink::{
    At, AwsSettings, Fate, IotSettings, Kinesis, KinesisSettings, Proxy, ServiceClock,
};

use super::aws::{aws, kinesis_settings, put};

struct Rig {
    fake: FakeUpstream,
    stub: IotStub,
    devices: Authority,
    scratch: Scratch,
    settings: KinesisSettings,
}

impl Rig {
    async fn start(script: impl FnMut(usize) -> IotAnswer + Send + 'static) -> Self {
        let (services, devices) = (Authority::new("services"), Authority::new("devices"));
        let own = services.issue("localhost", ALWAYS);
        let stub = IotStub::start(&own, &devices, script).await;
        let (fake, scratch) = (FakeUpstream::start().await, Scratch::new());
        let iot = IotSettings {
            endpoint: format!("localhost:{}", stub.address.port()),
            role_alias: "weir-ingest".into(),
            thing_name: Some("gateway-7".into()),
            cert: scratch.path().join("device.pem"),
            key: scratch.path().join("device.key"),
            ca: Some(scratch.path().join("ca.pem")),
        };
        std::fs::write(scratch.path().join("ca.pem"), services.pem).unwrap();
        let aws = AwsSettings {
            credentials: None,
            iot: Some(iot),
            proxy: Proxy::Off,
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(2),
            ..aws(&fake.url())
        };
        let settings = KinesisSettings { aws, ..kinesis_settings("") };
        let rig = Self { fake, stub, devices, scratch, settings };
        rig.install(&rig.devices);
        rig
    }

    /// Puts a certificate of this authority where the settings say.
    fn install(&self, authority: &Authority) {
        let issued = authority.issue("gateway-7", ALWAYS);
        std::fs::write(self.scratch.path().join("device.pem"), issued.cert).unwrap();
        std::fs::write(self.scratch.path().join("device.key"), issued.key).unwrap();
    }

    async fn connect(&self, clock: &ServiceClock) -> Kinesis {
        Kinesis::connect(&self.settings, clock).await.unwrap()
    }
}

fn real() -> ServiceClock {
    ServiceClock::new(Clock::real(), None)
}

/// Credentials with the number of the call in their id, good for so long.
fn good_for(life: Duration) -> impl FnMut(usize) -> IotAnswer + Send + 'static {
    move |before| {
        let ends = Clock::real().unix_ms() + u64::try_from(life.as_millis()).unwrap();
        IotAnswer::Credentials { access_key_id: format!("ASIA{before}"), ends: rfc3339(ends) }
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_device_certificate_is_turned_into_credentials_once_and_signs_with_them() {
    let rig = Rig::start(good_for(HOUR)).await;
    let sink = rig.connect(&real()).await;

    for _ in 0..3 {
        assert_eq!(put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));
    }

    let asked = rig.stub.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].starts_with("GET /role-aliases/weir-ingest/credentials HTTP/1.1\r\n"));
    assert!(asked[0].contains("x-amzn-iot-thingname: gateway-7\r\n"), "{}", asked[0]);
    assert!(rig.fake.requests().iter().all(|request| request.scope.starts_with("ASIA0/")));
}

#[tokio::test]
async fn credentials_that_the_service_calls_expired_are_fetched_anew() {
    let rig = Rig::start(good_for(HOUR)).await;
    let sink = rig.connect(&real()).await;
    rig.fake.next(1, Answer::refuse(400, "ExpiredTokenException", "it is over"));

    put(&sink, &["a"]).await.unwrap_err();
    assert_eq!(put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));

    assert!(rig.fake.requests()[1].scope.starts_with("ASIA1/"));
}

#[tokio::test]
async fn credentials_at_their_end_are_fetched_anew_and_those_that_end_at_once_still_sign() {
    // Within the minute before their end they count as over.
    let rig = Rig::start(good_for(Duration::from_secs(30))).await;
    let sink = rig.connect(&real()).await;

    for expected in ["ASIA0/", "ASIA1/"] {
        assert_eq!(put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));
        let scope = rig.fake.requests().pop().unwrap().scope;
        assert!(scope.starts_with(expected), "{scope}");
    }
}

#[tokio::test]
async fn a_provider_that_gives_none_is_told_in_its_words_and_heals() {
    let answers = [
        IotAnswer::Raw(403, "{\"message\":\"Access Denied\"}".into()),
        IotAnswer::Raw(404, "{\"message\":\"no such alias\"}".into()),
        IotAnswer::Raw(429, "slower".into()),
        IotAnswer::Raw(500, "<html>\nBroken\n</html>".into()),
        IotAnswer::Raw(200, "garbage".into()),
        IotAnswer::Raw(200, "{\"credentials\":{\"accessKeyId\":\"ASIA\"}}".into()),
        IotAnswer::Credentials { access_key_id: "ASIA".into(), ends: "tomorrow".into() },
    ];
    let expected = [
        "it answered 403: {\"message\":\"Access Denied\"}; is the certificate active",
        "it answered 404: {\"message\":\"no such alias\"}; is the role alias right?",
        "it answered 429: slower",
        "it answered 500: <html> Broken </html>",
        "its answer holds no credentials",
        "its answer holds no credentials",
        "its answer does not say when the credentials end",
    ];
    let mut good = good_for(HOUR);
    let script = move |before| answers.get(before).cloned().unwrap_or_else(|| good(before));
    let rig = Rig::start(script).await;
    let sink = rig.connect(&real()).await;

    for words in expected {
        let fault = put(&sink, &["a"]).await.unwrap_err();
        // One that is in trouble itself says nothing of the certificate.
        let expected = match words.contains("answered 429") || words.contains("answered 500") {
            true => (At::Transport, "credentials-out-of-reach"),
            false => (At::Credentials, "no-credentials"),
        };
        assert_eq!((fault.at, fault.code.as_str()), expected);
        assert!(fault.message.contains(words), "{}", fault.message);
        assert!(!fault.message.contains("ASIA"), "{}", fault.message);
    }
    assert_eq!(put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));
}

#[tokio::test]
async fn a_provider_that_never_answers_costs_a_bounded_wait() {
    let mut rig = Rig::start(|_| IotAnswer::Stall).await;
    rig.settings.aws.request_timeout = Duration::from_millis(200);
    rig.settings.aws.connect_timeout = Duration::from_millis(200);
    let sink = rig.connect(&real()).await;

    let fault = put(&sink, &["a"]).await.unwrap_err();

    assert_eq!((fault.at, fault.code.as_str()), (At::Transport, "credentials-out-of-reach"));
    assert!(fault.message.contains("no answer within"), "{}", fault.message);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_and_one_that_is_exchanged_is_taken() {
    let rig = Rig::start(good_for(HOUR)).await;
    let sink = rig.connect(&real()).await;
    rig.install(&Authority::new("strangers"));

    let fault = put(&sink, &["a"]).await.unwrap_err();
    assert_eq!((fault.at, rig.stub.asked().len()), (At::Credentials, 0), "{fault:?}");

    rig.install(&rig.devices);
    assert_eq!(put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));
}

#[tokio::test]
async fn files_that_are_missing_or_belong_to_others_are_named() {
    let rig = Rig::start(good_for(HOUR)).await;
    let sink = rig.connect(&real()).await;
    let key = rig.scratch.path().join("device.key");

    std::fs::write(&key, rig.devices.issue("other", ALWAYS).key).unwrap();
    let fault = put(&sink, &["a"]).await.unwrap_err();
    assert!(fault.message.contains("do not go together"), "{}", fault.message);

    std::fs::write(&key, "no key").unwrap();
    let fault = put(&sink, &["a"]).await.unwrap_err();
    assert!(fault.message.contains("holds no private key"), "{}", fault.message);

    std::fs::remove_file(&key).unwrap();
    let fault = put(&sink, &["a"]).await.unwrap_err();
    let words = format!("`{}` cannot be read", key.display());
    assert!(fault.message.contains(&words), "{}", fault.message);
}

#[tokio::test]
async fn a_device_that_boots_in_1970_gets_credentials_learns_the_time_and_signs_right_at_once() {
    let rig = Rig::start(good_for(HOUR)).await;
    rig.fake.keep_time();
    let clock = ServiceClock::new(Clock::starting_at(60_000), None);
    let sink = rig.connect(&clock).await;

    // The stub's answer has no date, the fake's has.
    put(&sink, &["a"]).await.unwrap_err();
    assert_eq!(put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));
}
