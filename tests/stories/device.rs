//! A device with a certificate and a wrong clock delivers; keys are made from what records hold.

use std::collections::BTreeMap;

use crate::support::agent::{Agent, weir};
use crate::support::fake_upstream::FakeUpstream;
use crate::support::peers::{Kinesis, REGION};
use crate::support::scratch::Scratch;
use crate::support::tls_peer::{ALWAYS, Authority, IotAnswer, IotStub};
use crate::support::wait_for;

const FIFTY_YEARS: time::Duration = time::Duration::days(18_262);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn config_file(scratch: &Scratch) -> String {
    scratch.join("weir.toml").display().to_string()
}

#[track_caller]
fn wait_until_delivered(agent: &Agent, count: u64) {
    wait_for("the records to be delivered", || {
        let status = agent.status();
        let delivered = &status["streams"]["orders"]["destinations"]["cloud"]["delivered"];
        (delivered.as_u64() == Some(count)).then_some(())
    });
}

#[test]
fn a_device_certificate_becomes_credentials_even_after_the_provider_was_in_trouble() {
    let (scratch, runtime) = (Scratch::new("device"), runtime());
    let (services, devices) = (Authority::new("services"), Authority::new("devices"));
    let own = services.issue("localhost", ALWAYS);
    let stub = runtime.block_on(IotStub::start(&own, &devices, |before| match before {
        0 => IotAnswer::Raw(403, "{\"message\":\"not yet\"}".into()),
        1 => IotAnswer::Raw(500, "garbage".into()),
        _ => IotAnswer::Credentials {
            access_key_id: "ASIADEVICE".into(),
            ends: "2120-01-01T00:00:00Z".into(),
        },
    }));
    let upstream = runtime.block_on(FakeUpstream::start());
    let device = devices.issue("gateway-7", ALWAYS);
    scratch.write("device.pem", &device.cert);
    scratch.write("device.key", &device.key);
    scratch.write("ca.pem", &services.pem);
    let config = format!(
        r#"
        [http.local]
        listen = "127.0.0.1:0"
        [stream.orders]
        destinations = ["cloud"]
        [destination.cloud]
        type = "firehose"
        delivery_stream = "orders"
        region = "{REGION}"
        endpoint_url = "{url}"
        retry_max = "200 ms"
        iot.endpoint = "localhost:{port}"
        iot.role_alias = "weir-ingest"
        iot.thing_name = "gateway-7"
        iot.cert = "device.pem"
        iot.key = "device.key"
        iot.ca = "ca.pem"
        "#,
        url = upstream.url(),
        port = stub.address.port(),
    );
    let agent = Agent::start_without_credentials(&scratch, &config);

    assert_eq!(agent.client("local").post("orders", b"one").unwrap().status, 202);
    wait_until_delivered(&agent, 1);

    let asked = stub.asked();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked[2].contains("x-amzn-iot-thingname: gateway-7\r\n"), "{asked:?}");
    assert!(upstream.requests()[0].scope.starts_with("ASIADEVICE/"));
    assert!(agent.log().contains("it answered 403"), "the log says why it took a while");
    assert!(!agent.log().contains("PRIVATE KEY") && !agent.log().contains("an-example-token"));
}

#[test]
fn a_wrong_time_is_learned_from_the_first_answer_and_remembered() {
    let (scratch, runtime) = (Scratch::new("clock"), runtime());
    let upstream = runtime.block_on(FakeUpstream::start());
    upstream.keep_time();
    upstream.be_ahead(FIFTY_YEARS);
    let config = format!(
        r#"
        [http.local]
        listen = "127.0.0.1:0"
        [stream.orders]
        destinations = ["cloud"]
        [destination.cloud]
        type = "firehose"
        delivery_stream = "orders"
        region = "{REGION}"
        endpoint_url = "{url}"
        "#,
        url = upstream.url(),
    );
    let agent = Agent::start(&scratch, &config);
    let offset_ms = |agent: &Agent| {
        agent.status()["streams"]["orders"]["destinations"]["cloud"]["clock_offset_ms"].as_i64()
    };

    assert_eq!(agent.client("local").post("orders", b"one").unwrap().status, 202);
    wait_until_delivered(&agent, 1);
    assert_eq!(upstream.request_count(), 2, "one refused, one signed right");
    let off = i64::try_from(FIFTY_YEARS.whole_milliseconds()).unwrap();
    let shown = offset_ms(&agent).unwrap();
    assert!(shown.abs_diff(off) < 60_000, "{shown} of {off}");
    let told = weir(&scratch, &["status", "--config", &config_file(&scratch)]).succeeded();
    assert!(told.contains("ahead of the host's clock"), "{told}");
    assert!(agent.terminate().success());

    let agent = Agent::start(&scratch, &config);
    assert_eq!(agent.client("local").post("orders", b"two").unwrap().status, 202);
    wait_for("the second record", || (upstream.taken_count() == 2).then_some(()));
    assert_eq!(upstream.request_count(), 3, "what was learned holds after a restart");
    assert!(agent.terminate().success());

    // What was remembered has become wrong by fifty years.
    upstream.be_ahead(time::Duration::ZERO);
    let agent = Agent::start(&scratch, &config);
    assert_eq!(agent.client("local").post("orders", b"three").unwrap().status, 202);
    wait_for("the third record", || (upstream.taken_count() == 3).then_some(()));
    assert_eq!(upstream.request_count(), 5, "one refused, one signed right");
    let offset = "weir_clock_offset_seconds{destination=\"cloud\"} 0\n";
    wait_for("the metric", || agent.metrics().contains(offset).then_some(()));
    assert_eq!(offset_ms(&agent), None);
    assert!(agent.terminate().success());
}

#[test]
fn keys_are_made_from_payloads_headers_and_files_and_a_key_of_the_senders_wins() {
    let scratch = Scratch::new("keys");
    let kinesis = Kinesis::start();
    kinesis.create_stream("orders", 2);
    let logs = scratch.folder("logs");
    std::fs::write(logs.join("app.0.log"), "from a file\n").unwrap();
    let config = format!(
        r#"
        [http.local]
        listen = "127.0.0.1:0"
        [tail.app]
        include = ["{glob}"]
        stream = "orders"
        start_at = "beginning"
        [stream.orders]
        destinations = ["cloud"]
        partition_key = "{{json:/user/id}}|{{header:x-device}}|{{file}}"
        {cloud}
        "#,
        glob = logs.join("*.log").display(),
        cloud = kinesis.destination("cloud", "orders"),
    );
    let agent = Agent::start(&scratch, &config);
    let client = agent.client("local");
    let post = |headers: &[(&str, &str)], body: &[u8]| {
        assert_eq!(client.post_with("orders", body, headers).unwrap().status, 202);
    };

    post(&[], br#"{"user":{"id":"u-1"}}"#);
    post(&[("X-Device", "d-7")], b"no JSON");
    post(&[("Weir-Partition-Key", "mine")], br#"{"user":{"id":"u-2"}}"#);
    post(&[], b"nothing to make a key of");
    wait_until_delivered(&agent, 5);

    let keys: BTreeMap<String, String> = kinesis
        .records("orders")
        .into_iter()
        .map(|record| (String::from_utf8(record.data).unwrap(), record.partition_key))
        .collect();
    assert_eq!(keys[r#"{"user":{"id":"u-1"}}"#], "u-1");
    assert_eq!(keys["no JSON"], "d-7");
    assert_eq!(keys[r#"{"user":{"id":"u-2"}}"#], "mine");
    assert_eq!(keys["from a file"], logs.join("app.0.log").display().to_string());
    assert_eq!(keys["nothing to make a key of"].len(), 26, "spread by its id");
}
