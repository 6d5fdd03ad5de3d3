//! The way to a service: TLS at any time the host believes in, proxies, certificates.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::clock::Clock;
use crate::base::scratch::Scratch;
use crate::base::secret::Secret;
use crate::sink::fake_upstream::{Answer, FakeUpstream};
use crate::sink::tls_peer::{ALWAYS, Authority, Issued, ProxyStub, TlsFront, Years};
use crate::sink::{
    At, AwsSettings, Fate, Fault, Kinesis, KinesisSettings, Outcome, Proxy, ServiceClock,
};

use super::aws::{aws, kinesis_settings};

/// Name of a service that no host knows: only a proxy leads there.
const NAME: &str = "kinesis.example.test";

struct Rig {
    fake: FakeUpstream,
    front: TlsFront,
    scratch: Scratch,
    settings: AwsSettings,
}

impl Rig {
    /// A service behind TLS on this host, whose certificate is good in those years.
    async fn start(years: Years) -> Self {
        let authority = Authority::new("an authority");
        let issued = authority.issue("localhost", years);
        Self::behind(&authority, &issued).await
    }

    async fn behind(authority: &Authority, issued: &Issued) -> Self {
        let (fake, scratch) = (FakeUpstream::start().await, Scratch::new());
        let front = TlsFront::start(issued, fake.address()).await;
        let bundle = write(&scratch, "ca.pem", &authority.pem);
        let url = format!("https://localhost:{}", front.address.port());
        let settings = AwsSettings { ca_bundle: Some(bundle), proxy: Proxy::Off, ..aws(&url) };
        Self { fake, front, scratch, settings }
    }

    async fn put(&self, clock: &ServiceClock) -> Outcome {
        let sink = Kinesis::connect(&with(&self.settings), clock).await.unwrap();
        super::aws::put(&sink, &["a"]).await
    }
}

fn with(settings: &AwsSettings) -> KinesisSettings {
    KinesisSettings { aws: settings.clone(), ..kinesis_settings("http://127.0.0.1:1") }
}

fn write(scratch: &Scratch, name: &str, text: &str) -> PathBuf {
    let path = scratch.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn real() -> ServiceClock {
    ServiceClock::new(Clock::real(), None)
}

/// A clock that is off by so many days.
fn off_by(days: i64) -> ServiceClock {
    let real = Clock::real().unix_ms();
    ServiceClock::new(Clock::starting_at(real.saturating_add_signed(days * 86_400_000)), None)
}

#[track_caller]
fn code(outcome: Outcome) -> String {
    let fault: Fault = outcome.unwrap_err();
    assert_eq!(fault.at, At::Transport, "{fault:?}");
    format!("{}: {}", fault.code, fault.message)
}

#[tokio::test]
async fn a_service_behind_tls_is_reached_by_a_bundle_of_ones_own_only() {
    let rig = Rig::start(ALWAYS).await;
    assert_eq!(rig.put(&real()).await, Ok(vec![Fate::Taken]));

    let other = write(&rig.scratch, "other.pem", &Authority::new("another").pem);
    for bundle in [Some(other), None] {
        let settings = AwsSettings { ca_bundle: bundle, ..rig.settings.clone() };
        let sink = Kinesis::connect(&with(&settings), &real()).await.unwrap();
        let words = code(super::aws::put(&sink, &["a"]).await);
        assert!(words.starts_with("certificate-refused: "), "{words}");
    }
}

#[tokio::test]
async fn a_name_that_is_not_in_the_certificate_is_refused_at_any_time() {
    let authority = Authority::new("an authority");
    let rig = Rig::behind(&authority, &authority.issue("elsewhere.test", (2040, 2041))).await;
    for clock in [real(), off_by(-20_000)] {
        let words = code(rig.put(&clock).await);
        assert!(words.starts_with("certificate-refused: "), "{words}");
    }
    assert_eq!(rig.fake.request_count(), 0);
}

#[tokio::test]
async fn a_host_that_believes_in_1976_reaches_a_certificate_of_today_and_then_knows_the_time() {
    let rig = Rig::start((2024, 2120)).await;
    let clock = off_by(-18_262);

    // Signed for 1976, or for the day the certificate became valid; taken here all the same.
    assert_eq!(rig.put(&clock).await, Ok(vec![Fate::Taken]));

    assert!(clock.unix_ms().abs_diff(Clock::real().unix_ms()) < 5_000);
    assert_eq!(rig.put(&clock).await, Ok(vec![Fate::Taken]));
}

#[tokio::test]
async fn a_certificate_of_the_future_is_refused_once_the_time_is_known() {
    let rig = Rig::start((2100, 2120)).await;
    let clock = real();
    let teacher = FakeUpstream::start().await;
    let sink = Kinesis::connect(&with(&aws(&teacher.url())), &clock).await.unwrap();
    super::aws::put(&sink, &["a"]).await.unwrap();

    let words = code(rig.put(&clock).await);

    assert!(words.starts_with("certificate-refused: "), "{words}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused_whatever_the_clock_says_that_is_not_before_its_end() {
    let rig = Rig::start((2020, 2022)).await;
    for clock in [real(), off_by(1), off_by(365)] {
        let words = code(rig.put(&clock).await);
        assert!(words.starts_with("certificate-refused: "), "{words}");
    }
}

#[tokio::test]
async fn a_clock_that_is_ahead_does_not_refuse_a_certificate_that_the_service_time_allows() {
    let rig = Rig::start((2024, 2060)).await;
    let clock = off_by(18_262);
    let words = code(rig.put(&clock).await);
    assert!(words.starts_with("certificate-refused: "), "nobody told the time yet: {words}");

    let teacher = FakeUpstream::start().await;
    let sink = Kinesis::connect(&with(&aws(&teacher.url())), &clock).await.unwrap();
    super::aws::put(&sink, &["a"]).await.unwrap();

    assert_eq!(rig.put(&clock).await, Ok(vec![Fate::Taken]));
}

#[tokio::test]
async fn a_bundle_that_is_none_is_refused_at_the_start_by_its_path() {
    let rig = Rig::start(ALWAYS).await;
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, text) in [("empty.pem", ""), ("words.pem", "no PEM"), ("broken.pem", broken)] {
        let path = write(&rig.scratch, name, text);
        let settings = AwsSettings { ca_bundle: Some(path.clone()), ..rig.settings.clone() };
        let words = Kinesis::connect(&with(&settings), &real()).await.unwrap_err();
        assert!(words.contains(&format!("`{}`", path.display())), "{words}");
    }
    let missing = AwsSettings { ca_bundle: Some("/nowhere/ca.pem".into()), ..rig.settings };
    let words = Kinesis::connect(&with(&missing), &real()).await.unwrap_err();
    assert!(words.starts_with("`/nowhere/ca.pem` cannot be read: "), "{words}");
}

#[tokio::test]
async fn a_proxy_tunnels_to_a_service_behind_tls_and_is_shown_its_word() {
    let authority = Authority::new("an authority");
    let rig = Rig::behind(&authority, &authority.issue(NAME, ALWAYS)).await;
    let proxy = ProxyStub::start(rig.front.address, None).await;
    let settings = AwsSettings {
        endpoint_url: Some(format!("https://{NAME}")),
        proxy: Proxy::Through(Secret::new(format!("http://me:word@{}", proxy.address))),
        ..rig.settings.clone()
    };
    let sink = Kinesis::connect(&with(&settings), &real()).await.unwrap();

    assert_eq!(super::aws::put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));

    let heads = proxy.heads();
    assert_eq!(heads.len(), 1);
    assert_eq!(
        heads[0],
        format!(
            "CONNECT {NAME}:443 HTTP/1.1\r\nHost: {NAME}:443\r\n\
             Proxy-Authorization: Basic bWU6d29yZA==\r\n\r\n"
        )
    );
}

#[tokio::test]
async fn a_proxy_behind_tls_itself_is_reached_too() {
    let authority = Authority::new("an authority");
    let rig = Rig::behind(&authority, &authority.issue(NAME, ALWAYS)).await;
    let proxy = ProxyStub::start(rig.front.address, None).await;
    let outer = TlsFront::start(&authority.issue("localhost", ALWAYS), proxy.address).await;
    let through = format!("https://localhost:{}", outer.address.port());
    let settings = AwsSettings {
        endpoint_url: Some(format!("https://{NAME}:8443")),
        proxy: Proxy::Through(Secret::new(through)),
        ..rig.settings.clone()
    };
    let sink = Kinesis::connect(&with(&settings), &real()).await.unwrap();

    assert_eq!(super::aws::put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));

    assert!(proxy.heads()[0].starts_with(&format!("CONNECT {NAME}:8443 ")));
}

#[tokio::test]
async fn a_plain_request_goes_to_the_proxy_with_the_whole_address_and_its_word() {
    let fake = FakeUpstream::start().await;
    let proxy = ProxyStub::start(fake.address(), None).await;
    let settings = AwsSettings {
        proxy: Proxy::Through(Secret::new(format!("http://me:word@{}", proxy.address))),
        ..aws(&format!("http://{NAME}"))
    };
    let sink = Kinesis::connect(&with(&settings), &real()).await.unwrap();

    assert_eq!(super::aws::put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));

    let head = proxy.heads().remove(0);
    assert!(head.starts_with(&format!("POST http://{NAME}/ HTTP/1.1\r\n")), "{head}");
    assert!(head.contains("proxy-authorization: Basic bWU6d29yZA==\r\n"), "{head}");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_with_its_answer_and_without_its_word() {
    let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
    let proxy = ProxyStub::start("127.0.0.1:1".parse().unwrap(), Some(refusal)).await;
    let endless: &'static str = Box::leak("x".repeat(20_000).into_boxed_str());
    let babbler = ProxyStub::start("127.0.0.1:1".parse().unwrap(), Some(endless)).await;
    for (proxy, expected) in [
        (&proxy, "it answered `HTTP/1.1 407 Proxy Authentication Required`"),
        (&babbler, "the head of its answer has no end"),
    ] {
        let through = Secret::new(format!("http://me:topsecret@{}", proxy.address));
        let settings =
            AwsSettings { proxy: Proxy::Through(through), ..aws(&format!("https://{NAME}")) };
        let sink = Kinesis::connect(&with(&settings), &real()).await.unwrap();
        let words = code(super::aws::put(&sink, &["a"]).await);
        assert!(words.starts_with("proxy-refused: "), "{words}");
        assert!(words.contains(expected), "{words}");
        assert!(!words.contains("topsecret"), "{words}");
    }
}

#[tokio::test]
async fn this_host_is_never_reached_through_a_proxy() {
    let fake = FakeUpstream::start().await;
    let proxy = ProxyStub::start(fake.address(), None).await;
    let through = Secret::new(format!("http://{}", proxy.address));
    let settings = AwsSettings { proxy: Proxy::Through(through), ..aws(&fake.url()) };
    let sink = Kinesis::connect(&with(&settings), &real()).await.unwrap();

    assert_eq!(super::aws::put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));

    assert_eq!(proxy.heads(), [""; 0]);
}

#[tokio::test]
async fn the_regions_own_endpoints_are_chosen_by_name_arn_fips_and_dual_stack() {
    let proxy =
        ProxyStub::start("127.0.0.1:1".parse().unwrap(), Some("HTTP/1.1 403 No\r\n\r\n")).await;
    let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/access";
    for (fips, dual_stack, stream, host) in [
        (false, false, "access", "kinesis.eu-west-1.amazonaws.com"),
        (false, true, "access", "kinesis.eu-west-1.api.aws"),
        (true, false, "access", "kinesis-fips.eu-west-1.amazonaws.com"),
        (true, true, "access", "kinesis-fips.eu-west-1.api.aws"),
        (false, false, arn, "123456789012.data-kinesis.eu-west-1.amazonaws.com"),
    ] {
        let through = Secret::new(format!("http://{}", proxy.address));
        let aws = AwsSettings {
            endpoint_url: None,
            fips,
            dual_stack,
            proxy: Proxy::Through(through),
            ..aws("")
        };
        let settings = KinesisSettings { stream_name: stream.into(), aws, ..kinesis_settings("") };
        let sink = Kinesis::connect(&settings, &real()).await.unwrap();

        super::aws::put(&sink, &["a"]).await.unwrap_err();

        let head = proxy.heads().pop().unwrap();
        assert!(head.starts_with(&format!("CONNECT {host}:443 ")), "{head}");
    }
}

#[tokio::test]
async fn an_endpoint_of_ones_own_is_signed_for_the_region_of_the_settings() {
    let fake = FakeUpstream::start().await;
    let settings = AwsSettings { region: Some("ap-south-2".into()), ..aws(&fake.url()) };
    let sink = Kinesis::connect(&with(&settings), &real()).await.unwrap();

    assert_eq!(super::aws::put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));

    let scope = fake.requests()[0].scope.clone();
    assert!(scope.ends_with("/ap-south-2/kinesis/aws4_request"), "{scope}");
}

#[tokio::test]
async fn a_wrong_clock_is_set_by_the_answer_that_refused_its_signature() {
    for days in [-18_262, -1, 1, 18_262] {
        let fake = FakeUpstream::start().await;
        fake.keep_time();
        let clock = off_by(days);
        let sink = Kinesis::connect(&with(&aws(&fake.url())), &clock).await.unwrap();

        let refused = super::aws::put(&sink, &["a"]).await.unwrap_err();
        assert_eq!(
            (refused.at, refused.code.as_str()),
            (At::Answer(400), "InvalidSignatureException")
        );
        assert_eq!(super::aws::put(&sink, &["a"]).await, Ok(vec![Fate::Taken]), "{days}");
        assert_eq!(fake.request_count(), 2);

        // A new client of the same destination, as after a reload, signs right at once.
        let sink = Kinesis::connect(&with(&aws(&fake.url())), &clock).await.unwrap();
        assert_eq!(super::aws::put(&sink, &["b"]).await, Ok(vec![Fate::Taken]), "{days}");
    }
}

#[tokio::test]
async fn what_an_answer_from_a_cache_or_without_a_signature_says_teaches_nothing() {
    let fake = FakeUpstream::start().await;
    let asked = AtomicUsize::new(0);
    fake.script(move |_| {
        asked.fetch_add(1, Ordering::Relaxed);
        Answer::Aged
    });
    let clock = off_by(3);
    let sink = Kinesis::connect(&with(&aws(&fake.url())), &clock).await.unwrap();

    assert_eq!(super::aws::put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));

    assert_eq!(clock.memory().offset_ms, 0);
}

#[tokio::test]
async fn what_stands_in_the_way_teaches_no_time() {
    let page = "<html>log in</html>";
    let refused = r#"{"__type":"AccessDeniedException","message":"no"}"#;
    for (status, content_type, body, is_learned) in [
        (302, "text/html", page, false),
        (302, "application/json", refused, false),
        (200, "text/html", page, false),
        (511, "text/html", page, false),
        (400, "application/x-amz-json-1.1", refused, true),
        (500, "application/x-amz-json-1.1", " {}", true),
    ] {
        let fake = FakeUpstream::start().await;
        fake.script(move |_| Answer::Raw {
            status,
            content_type,
            body: body.into(),
            retry_after_s: None,
        });
        let clock = off_by(3);
        let sink = Kinesis::connect(&with(&aws(&fake.url())), &clock).await.unwrap();

        drop(super::aws::put(&sink, &["a"]).await.unwrap_err());

        assert_eq!(clock.memory().offset_ms != 0, is_learned, "{status} {body}");
    }
}
