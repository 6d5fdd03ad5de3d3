//! `weir doctor` looks at the host and asks the upstream: what is missing is named with what it
//! costs, and nothing is put into a stream.

use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::agent::{Ended, configure, orders_to_kinesis, weir};
use crate::support::fake_upstream::{Answer, FakeUpstream};
use crate::support::peers::{Kinesis, REGION};
use crate::support::scratch::Scratch;
use crate::support::tls_peer::{ALWAYS, Authority, IotAnswer, IotStub};

/// What was found out of one thing: how it is, and the words.
#[track_caller]
fn found(ended: &Ended, what: &str) -> (String, String) {
    let rows: Value = serde_json::from_str(&ended.stdout).unwrap();
    let row = rows.as_array().unwrap().iter().find(|row| row["what"] == what);
    let row = row.unwrap_or_else(|| panic!("nothing about {what} in {rows}"));
    let text = |name: &str| row[name].as_str().unwrap().to_owned();
    (text("health"), text("words"))
}

fn doctor(scratch: &Scratch, url: &str) -> Ended {
    let file = configure(scratch, &orders_to_kinesis(url, ""));
    scratch.folder("state");
    weir(scratch, &["doctor", "--json", "--config", file.to_str().unwrap()])
}

#[test]
fn an_upstream_that_is_well_is_called_well_and_gets_no_record() {
    let scratch = Scratch::new("doctor-well");
    let kinesis = Kinesis::start();
    kinesis.create_stream("orders", 3);

    let ended = doctor(&scratch, &kinesis.url());

    assert_eq!(ended.code, Some(0), "{ended:?}");
    for what in ["sync", "credentials", "kinesis:PutRecords", "kinesis:DescribeStreamSummary"] {
        assert_eq!(found(&ended, what).0, "well", "{what}: {ended:?}");
    }
    assert_eq!(found(&ended, "kinesis:ListShards"), ("well".into(), "3 open".into()));
    assert_eq!(kinesis.payloads("orders"), Vec::<Vec<u8>>::new());
    assert_eq!(std::fs::read_dir(scratch.join("state")).unwrap().count(), 0);
}

#[test]
fn a_policy_that_grants_only_putting_is_enough_and_what_it_costs_is_named() {
    let runtime = Runtime::new().unwrap();
    let fake = runtime.block_on(FakeUpstream::start());
    let scratch = Scratch::new("doctor-poor");
    fake.script(|_| Answer::refuse(400, "DryRunOperationException", "it would have worked"));

    let ended = doctor(&scratch, &fake.url());

    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(found(&ended, "kinesis:PutRecords").0, "well");
    for what in ["kinesis:DescribeStreamSummary", "kinesis:ListShards"] {
        let (health, words) = found(&ended, what);
        assert_eq!(health, "note");
        assert!(words.contains("not allowed; without it, ") && words.contains("aggregated"));
    }
    fake.script(|_| Answer::refuse(400, "AccessDeniedException", "not for you"));
    let denied = doctor(&scratch, &fake.url());
    assert_eq!(denied.code, Some(77), "{denied:?}");
    assert_eq!(found(&denied, "kinesis:PutRecords").0, "fault");
    assert_eq!(fake.taken_count(), 0);
}

#[test]
fn a_stream_that_is_missing_and_an_upstream_that_is_away_are_told_apart() {
    let scratch = Scratch::new("doctor-away");
    let mut kinesis = Kinesis::start();

    let missing = doctor(&scratch, &kinesis.url());
    kinesis.vanish();
    let away = doctor(&scratch, &kinesis.url());

    assert_eq!((missing.code, away.code), (Some(78), Some(69)), "{missing:?} {away:?}");
    let words = found(&missing, "kinesis:DescribeStreamSummary").1;
    assert!(words.starts_with("ResourceNotFoundException"), "{words}");
    assert!(found(&away, "kinesis:PutRecords").1.starts_with("connection-refused"));
}

#[test]
fn a_delivery_stream_and_credentials_of_a_device_are_looked_at() {
    let runtime = Runtime::new().unwrap();
    let scratch = Scratch::new("doctor-device");
    let fake = runtime.block_on(FakeUpstream::start());
    let (services, devices) = (Authority::new("services"), Authority::new("devices"));
    let own = services.issue("localhost", ALWAYS);
    let stub = runtime.block_on(IotStub::start(&own, &devices, |before| match before {
        0 => IotAnswer::Credentials {
            access_key_id: "ASIADEVICE".into(),
            ends: "2120-01-01T00:00:00Z".into(),
        },
        _ => IotAnswer::Raw(403, r#"{"message":"no policy allows it"}"#.into()),
    }));
    let device = devices.issue("gateway-7", ALWAYS);
    for (name, text) in
        [("device.pem", &device.cert), ("device.key", &device.key), ("ca.pem", &services.pem)]
    {
        scratch.write(name, text);
    }
    scratch.folder("state");
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
        iot = {{ endpoint = "localhost:{port}", role_alias = "ingest", cert = "device.pem", key = "device.key", ca = "ca.pem" }}
        "#,
        url = fake.url(),
        port = stub.address.port(),
    );
    let file = configure(&scratch, &config);
    let ask = || weir(&scratch, &["doctor", "--json", "--config", file.to_str().unwrap()]);

    let well = ask();
    let denied = ask();

    assert_eq!(well.code, Some(0), "{well:?}");
    let words = "from AWS IoT Core, role alias ingest, good until 2120-01-01T00:00:00";
    let (health, told) = found(&well, "credentials");
    assert!(health == "well" && told.starts_with(words), "{told}");
    let described = found(&well, "firehose:DescribeDeliveryStream");
    assert_eq!(described, ("well".into(), "active".into()));
    assert_eq!(found(&well, "clock").0, "well");
    assert_eq!(denied.code, Some(77), "{denied:?}");
    let (health, told) = found(&denied, "credentials");
    assert!(health == "fault" && told.contains("403"), "{told}");
    assert_eq!(fake.request_count(), 0, "nothing is put");
}
